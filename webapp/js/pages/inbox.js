// What waits for a person, the most urgent first.
import { html } from "../html.js";
import { get, offers, send } from "../api.js";
import { useData } from "../data.js";
import { inbox, inboxError, lookAgain } from "../waiting.js";
import { Approval } from "../approvals.js";
import { link } from "../route.js";
import * as format from "../format.js";
import { Action, Ago, Badge, Card, Empty, Head, Loaded, Problem, Skeleton, Table } from "../ui.js";

async function waitingRun(session, abort) {
  const { runs } = await get(`sessions/${encodeURIComponent(session)}/export`, { format: "json" }, { signal: abort });
  return runs.find((each) => each.state === "waiting") ?? null;
}

function Waiting({ session }) {
  const run = useData((abort) => waitingRun(session.id, abort), [], [session.id, session.last_activity]);
  return html`<${Card} title=${html`<a href=${link("sessions", session.id)}>${session.id}</a> · ${session.agent}`} label=${`Session ${session.id}`} actions=${html`<${Badge} state="waiting" />`}>
    <${Loaded} from=${run}>${(found) => html`<div class="stack">
      ${found ? html`<p>“${found.query.length > 240 ? `${found.query.slice(0, 240)}…` : found.query}”</p><p class="small muted">${found.error?.detail ?? "It waits for a budget or an approval."} · since <${Ago} at=${session.last_activity} /></p>` : html`<p class="muted">Its run goes on already.</p>`}
      <div class="row">
        ${found && html`<${Action} class="primary" run=${() => send("POST", `runs/${found.id}/resume`)} done="Resumed." after=${lookAgain}>Resume<//>
          <${Action} class="danger" run=${() => send("POST", `runs/${found.id}/cancel`)} done="It is cancelled." after=${lookAgain}>Cancel it<//>`}
        <a class="button" href=${link("chat", session.agent, { session: session.id })}>Open</a>
      </div></div>`}<//>
  <//>`;
}

export function Inbox() {
  const found = inbox.value;
  const approvalsOffered = offers("GET approvals");
  if (!found) return html`<${Head} title="Inbox" />${inboxError.value ? html`<${Problem} error=${inboxError.value} retry=${lookAgain} />` : html`<${Skeleton} />`}`;
  const { approvals, sessions, alerts } = found;
  const order = { critical: 0, error: 1, warning: 2 };
  const firing = [...alerts].sort((a, b) => (order[a.severity] ?? 3) - (order[b.severity] ?? 3) || (a.fired_at < b.fired_at ? 1 : -1));
  const nothing = !approvals.length && !sessions.length && !alerts.length;
  return html`
    <${Head} title="Inbox" text="What waits for a person: approvals, runs that a budget has stopped, alerts that have fired." />
    <div class="stack">
      ${nothing && html`<section class="card"><${Empty} title="Nothing waits for you"><span>Approvals, budget stops and alerts come here as they happen.</span><//></section>`}
      ${approvalsOffered && approvals.map((each) => html`<${Approval} key=${each.id} approval=${each} />`)}
      ${firing.length > 0 && html`<${Card} title="Alerts that have fired"><${Table} caption="Alerts that have fired" rows=${firing} keyOf=${(row) => row.id} columns=${[
        { label: "Alert", value: (row) => row.alert, show: (row) => html`<strong>${row.alert}</strong><div class="small muted">${row.description}</div>` },
        { label: "Severity", value: (row) => row.severity, show: (row) => html`<${Badge} state=${row.severity} tone=${row.severity === "critical" ? "bad" : "warn"} />` },
        { label: "Agent", value: (row) => row.agent, show: (row) => (row.agent ? html`<a href=${link("agents", row.agent)}>${row.agent}</a>` : "all") },
        { label: "Measured", num: true, value: (row) => row.value, show: (row) => html`${format.decimal(row.value, 3)}<div class="small muted">${format.words(row.metric)} ${row.condition} ${format.decimal(row.threshold, 3)}</div>` },
        { label: "Fired", value: (row) => row.fired_at, show: (row) => html`<${Ago} at=${row.fired_at} />` },
      ]} /><//>`}
      ${sessions.length > 0 && html`<h2>Runs that wait</h2><div class="cols">${sessions.map((each) => html`<${Waiting} key=${each.id} session=${each} />`)}</div>`}
    </div>
  `;
}
