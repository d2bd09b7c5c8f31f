// Numbers, money and times as the reader's locale writes them.

const locale = navigator.languages?.length ? [...navigator.languages] : undefined;
const cache = new Map();

function number(options) {
  const key = JSON.stringify(options);
  if (!cache.has(key)) cache.set(key, new Intl.NumberFormat(locale, options));
  return cache.get(key);
}

const usd = (minimumFractionDigits, maximumFractionDigits) =>
  number({ style: "currency", currency: "USD", minimumFractionDigits, maximumFractionDigits });

export const none = "–";

/** All that is known of an amount: a micro-dollar is six digits. */
export function exactMoney(micro) {
  return micro == null ? none : usd(2, 6).format(micro / 1e6);
}

/** An amount short enough for a headline; what is spent never shows as nothing. */
export function money(micro) {
  if (micro == null) return none;
  const size = Math.abs(micro);
  if (size >= 1e6) return usd(2, 2).format(micro / 1e6);
  if (size >= 1e4) return usd(2, 4).format(micro / 1e6);
  return usd(2, 6).format(micro / 1e6);
}

export function count(value) {
  return value == null ? none : number({ maximumFractionDigits: 0 }).format(value);
}

export function decimal(value, digits = 1) {
  return value == null ? none : number({ maximumFractionDigits: digits }).format(value);
}

export function percent(share) {
  if (share == null) return none;
  if (share > 0 && share < 0.001) return `< ${number({ style: "percent", maximumFractionDigits: 1 }).format(0.001)}`;
  // 98.8 % of a wanted 99 % is not 99 %.
  const digits = share > 0.9 && share < 1 ? 2 : share > 0 && share < 0.1 ? 1 : 0;
  return number({ style: "percent", maximumFractionDigits: digits }).format(share);
}

/** "320 ms", "4.2 s", "3 min 5 s". */
export function duration(ms) {
  if (ms == null) return none;
  if (ms < 1000) return `${count(ms)} ms`;
  if (ms < 60_000) return `${decimal(ms / 1000)} s`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = Math.floor((ms % 60_000) / 1000);
  if (minutes < 60) return seconds ? `${minutes} min ${seconds} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });
const full = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "long" });
const clock = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
const dayOf = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: "UTC" });
const dayAndYear = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" });

export function ago(iso, now = Date.now()) {
  if (!iso) return none;
  const seconds = (new Date(iso).getTime() - now) / 1000;
  const size = Math.abs(seconds);
  if (size < 60) return relative.format(Math.round(seconds), "second");
  if (size < 3600) return relative.format(Math.round(seconds / 60), "minute");
  if (size < 86_400) return relative.format(Math.round(seconds / 3600), "hour");
  return relative.format(Math.round(seconds / 86_400), "day");
}

export const exactTime = (iso) => (iso ? full.format(new Date(iso)) : none);
export const clockTime = (iso) => (iso ? clock.format(new Date(iso)) : none);

/** A UTC day like 2026-11-03. */
export const day = (iso) => dayOf.format(new Date(`${iso}T00:00:00Z`));
export const longDay = (iso) => dayAndYear.format(new Date(`${iso}T00:00:00Z`));

export const isoDay = (date) => date.toISOString().slice(0, 10);

export function addDays(iso, days) {
  const date = new Date(`${iso}T00:00:00Z`);
  date.setUTCDate(date.getUTCDate() + days);
  return isoDay(date);
}

/** The first of every day from one to the other, both included. */
export function daysBetween(first, last) {
  const days = [];
  for (let each = first; each <= last && days.length < 400; each = addDays(each, 1)) days.push(each);
  return days;
}

/** "run.stage_changed" or "RUNNING" as words. */
export function words(name) {
  const text = String(name ?? "").replaceAll(/[._-]/g, " ").toLowerCase();
  return text.charAt(0).toUpperCase() + text.slice(1);
}
