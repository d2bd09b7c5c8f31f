// What waits for a person: counted once for the badge, the page's title and the banner.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, offers } from "./api.js";
import { useData } from "./data.js";

export const waiting = signal(0);
/** {approvals, sessions, alerts}: lists of what waits; null until known. */
export const inbox = signal(null);
export const inboxError = signal(null);

let reload = () => {};
export const lookAgain = () => reload();

async function look(abort, withApprovals) {
  const options = { signal: abort };
  const [sessions, fired, approvals] = await Promise.all([
    get("sessions", { state: "waiting", limit: 50 }, options),
    get("alerts/fired", { limit: 50 }, options),
    withApprovals ? get("approvals", { state: "pending", limit: 50 }, options) : { items: [] },
  ]);
  const asked = new Set(approvals.items.map((each) => each.session_id));
  return {
    // A session whose approval is listed waits for that.
    sessions: sessions.items.filter((each) => !asked.has(each.id)),
    alerts: fired.items.filter((each) => !each.resolved_at),
    approvals: approvals.items,
  };
}

/** Keep the inbox up to date; used once, by the shell. */
export function useWaiting() {
  const withApprovals = offers("GET approvals");
  const found = useData((abort) => look(abort, withApprovals), ["approval.", "budget.blocked", "alert.", "session.state_changed"], [withApprovals]);
  reload = found.reload;
  useEffect(() => {
    inbox.value = found.data;
    inboxError.value = found.error;
    const { sessions = [], alerts = [], approvals = [] } = found.data ?? {};
    waiting.value = sessions.length + alerts.length + approvals.length;
  }, [found.data, found.error]);
}
