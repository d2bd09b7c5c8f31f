// What waits for a person: counted once for the badge, the page's title and the banner.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get } from "./api.js";
import { useData } from "./data.js";
import { leading, onShare, share } from "./live.js";

export const waiting = signal(0);
/** {approvals, people, runs, alerts}: lists of what waits, and `cut`, the names of those with more; null until known. */
export const inbox = signal(null);
export const inboxError = signal(null);

let reload = () => {};
/** Ask again: the tab that follows asks for all. */
export const lookAgain = () => (leading.value ? reload() : share("look"));

/** Most that is read of each kind. */
export const MOST = 50;
const PATHS = { approvals: "approvals", people: "inbox", runs: "usage/waiting", alerts: "alerts/fired" };

async function look(abort) {
  const read = async ([kind, path]) => [kind, await get(path, { limit: MOST, open: kind === "alerts" || undefined }, { signal: abort })];
  const pages = await Promise.all(Object.entries(PATHS).map(read));
  return { ...Object.fromEntries(pages.map(([kind, { items }]) => [kind, items])), cut: pages.filter(([, { next }]) => next).map(([kind]) => kind) };
}

/** A number of what waits, with a plus where there are more than are read. */
export const counted = (number, cut) => `${number}${cut ? "+" : ""}`;

const SOON_MS = 900_000;

/** What waits, {kind, of, rank, at}, the most urgent first: by rank, then by when it is due or since when it waits. */
export function ordered({ approvals, people, alerts, runs }, now = Date.now()) {
  const due = (at) => (at && Date.parse(at) - now < SOON_MS ? 0 : 1);
  return [
    ...alerts.map((of) => ({ kind: "alert", of, rank: { critical: 0, error: 1 }[of.severity] ?? 2, at: of.fired_at })),
    ...people.map((of) => ({ kind: "person", of, rank: due(of.due), at: of.due ?? of.since })),
    ...approvals.map((of) => ({ kind: "approval", of, rank: due(of.expires_at), at: of.expires_at ?? of.requested_at })),
    ...runs.map((of) => ({ kind: "run", of, rank: 2, at: of.since })),
  ].sort((a, b) => a.rank - b.rank || Date.parse(a.at) - Date.parse(b.at));
}

const TOUCHING = ["approval.", "budget.blocked", "alert.", "session.state_changed", "handoff.", "person.", "run.waiting"];

function show({ data, error }) {
  inbox.value = data;
  inboxError.value = error;
  waiting.value = Object.keys(PATHS).reduce((sum, kind) => sum + (data?.[kind].length ?? 0), 0);
}

const told = () => leading.value && share("waiting", { data: inbox.value, error: inboxError.value });
onShare("waiting", show);
onShare("hello", told);
onShare("look", () => leading.value && reload());

/** Keep the inbox up to date; used once, by the shell. The tab that follows asks for all, though it may be hidden. */
export function useWaiting() {
  const lead = leading.value;
  const found = useData(lead ? look : null, TOUCHING, [lead], { hidden: true });
  reload = found.reload;
  useEffect(() => {
    if (!lead || (!found.data && !found.error)) return;
    const { message, status, code } = found.error ?? {};
    show({ data: found.data, error: found.error && { message, status, code } });
    told();
  }, [lead, found.data, found.error]);
}
