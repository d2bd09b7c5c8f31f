// The month's report, where the timer has written one.
import { get } from "./api.js";

/** Return the report of a month like 2026-11, or null: asked for only if the list names it. */
export async function monthly(month, options) {
  const { items } = await get("reports", { period: "month", limit: 1 }, options);
  return items[0]?.period.key === month ? get(`reports/${month}`, {}, options) : null;
}

/** A report's forecast beside what is spent by now, which may be more than when the report was written. */
export function foreseen(report, spent) {
  if (!report?.forecast) return null;
  const { expected, low, high, from_days: days } = report.forecast;
  return { expected: Math.max(expected, spent), low: Math.max(low, spent), high: Math.max(high, spent), days };
}
