// What waits for a person: counted once for the badge, the page's title and the banner.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, offers } from "./api.js";
import { useData } from "./data.js";

export const waiting = signal(0);
/** {approvals, people, sessions, alerts}: lists of what waits; null until known. */
export const inbox = signal(null);
export const inboxError = signal(null);

let reload = () => {};
export const lookAgain = () => reload();

async function look(abort, withApprovals, withTeams) {
  const options = { signal: abort };
  const [sessions, fired, approvals, people] = await Promise.all([
    get("sessions", { state: "waiting", limit: 50 }, options),
    get("alerts/fired", { limit: 50 }, options),
    withApprovals ? get("approvals", { state: "pending", limit: 50 }, options) : { items: [] },
    withTeams ? get("inbox", { limit: 50 }, options) : { items: [] },
  ]);
  const asked = new Set([...approvals.items.map((each) => each.session_id), ...people.items.map((each) => each.session.id)]);
  return {
    // A session whose approval is listed, or that a person has, waits for that.
    sessions: sessions.items.filter((each) => !asked.has(each.id)),
    alerts: fired.items.filter((each) => !each.resolved_at),
    approvals: approvals.items,
    people: people.items,
  };
}

const SOON_MS = 900_000;

/** What waits, {kind, of, rank, at}, the most urgent first: by rank, then by when it is due or since when it waits. */
export function ordered({ approvals, people, alerts, sessions }, now = Date.now()) {
  const due = (at) => (at && Date.parse(at) - now < SOON_MS ? 0 : 1);
  return [
    ...alerts.map((of) => ({ kind: "alert", of, rank: { critical: 0, error: 1 }[of.severity] ?? 2, at: of.fired_at })),
    ...people.map((of) => ({ kind: "person", of, rank: due(of.due), at: of.due ?? of.since })),
    ...approvals.map((of) => ({ kind: "approval", of, rank: due(of.expires_at), at: of.expires_at ?? of.requested_at })),
    ...sessions.map((of) => ({ kind: "session", of, rank: 2, at: of.last_activity })),
  ].sort((a, b) => a.rank - b.rank || Date.parse(a.at) - Date.parse(b.at));
}

const TOUCHING = ["approval.", "budget.blocked", "alert.", "session.state_changed", "handoff.", "person.", "run.waiting"];

/** Keep the inbox up to date; used once, by the shell. */
export function useWaiting() {
  const withApprovals = offers("GET approvals");
  const withTeams = offers("GET inbox");
  const found = useData((abort) => look(abort, withApprovals, withTeams), TOUCHING, [withApprovals, withTeams]);
  reload = found.reload;
  useEffect(() => {
    inbox.value = found.data;
    inboxError.value = found.error;
    waiting.value = Object.values(found.data ?? {}).reduce((sum, each) => sum + each.length, 0);
  }, [found.data, found.error]);
}
