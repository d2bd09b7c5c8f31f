// What waits for a person, the most urgent first.
import { html } from "../html.js";
import { send } from "../api.js";
import { MOST, inbox, inboxError, lookAgain, ordered } from "../waiting.js";
import { Approval, decideByKey } from "../approvals.js";
import { Conversation, WhoAmI } from "../person.js";
import { useKeys } from "../keys.js";
import { link } from "../route.js";
import * as format from "../format.js";
import { Action, Ago, Badge, Card, Empty, Head, Money, Problem, Skeleton } from "../ui.js";

const Waiting = ({ run }) => html`<${Card} title=${html`<a href=${link("runs", run.id)}>${run.agent}</a> has no budget left`} label=${`Run in session ${run.session_id}`} actions=${html`<${Badge} state="waiting" />`}>
  <div class="stack"><p>“${run.query}”</p>
    <p class="small muted">${run.detail} ${run.user_id ? `For ${run.user_id}. ` : ""}Since <${Ago} at=${run.since} /> · spent so far <${Money} micro=${run.cost_micro_usd} /> · <a href=${link("costs")}>budgets</a></p>
    <div class="row"><${Action} class="primary" run=${() => send("POST", `runs/${run.id}/resume`)} done="Resumed." after=${lookAgain}>Resume<//>
      <${Action} class="danger" run=${() => send("POST", `runs/${run.id}/cancel`)} done="It is cancelled." after=${lookAgain}>Cancel it<//>
      <a class="button" href=${link("chat", run.agent, { session: run.session_id })}>Open</a></div></div>
<//>`;

const CONDITIONS = { gt: ">", gte: "≥", lt: "<", lte: "≤" };
const figure = (metric, value) => (/_ms$/.test(metric) ? format.duration(value) : /_rate$|_share$/.test(metric) ? format.percent(value) : /micro_usd$/.test(metric) ? format.money(value) : format.decimal(value, 2));

function Fired({ alert }) {
  return html`<${Card} title=${alert.alert} label=${`Alert ${alert.alert}`} actions=${html`<${Badge} state=${alert.severity} tone=${alert.severity === "critical" ? "bad" : "warn"} />`}>
    ${alert.description && html`<p>${alert.description}</p>`}
    <p class="small muted">${format.words(alert.metric.replace(/_ms$|_micro_usd$/, ""))}: ${figure(alert.metric, alert.value)} ${CONDITIONS[alert.condition] ?? alert.condition} ${figure(alert.metric, alert.threshold)} · ${alert.agent ? html`<a href=${link("agents", alert.agent)}>${alert.agent}</a>` : "all agents"} · fired <${Ago} at=${alert.fired_at} /></p>
  <//>`;
}

const SHOWN = {
  approval: (of) => html`<${Approval} key=${of.id} approval=${of} keys />`,
  person: (of) => html`<${Conversation} key=${of.session.id} waiting=${of} />`,
  alert: (of) => html`<${Fired} key=${of.id} alert=${of} />`,
  run: (of) => html`<${Waiting} key=${of.id} run=${of} />`,
};

export function Inbox() {
  const found = inbox.value;
  const entries = found ? ordered(found) : [];
  useKeys(decideByKey(entries.filter(({ kind, of }) => kind === "approval" && of.may_decide).map(({ of }) => of)));
  if (!found) return html`<${Head} title="Inbox" />${inboxError.value ? html`<${Problem} error=${inboxError.value} retry=${lookAgain} />` : html`<${Skeleton} />`}`;
  return html`
    <${Head} title="Inbox" text="What waits for a person: approvals, conversations of teams, runs that a budget has stopped, alerts that have fired. The most urgent first." />
    <div class="stack">
      ${!entries.length && html`<section class="card"><${Empty} title="Nothing waits for you"><span>Approvals, conversations, budget stops and alerts come here as they happen.</span><//></section>`}
      ${found.approvals.some((each) => each.may_decide) && html`<p class="small muted"><kbd>a</kbd> approves and <kbd>r</kbd> rejects, after a question, the approval that has the focus, else the first.</p>`}
      ${found.cut.length > 0 && html`<p class="note">There is more than is shown: the first ${MOST} of each kind.</p>`}
      ${found.people.length > 0 && html`<${WhoAmI} />`}
      ${entries.map(({ kind, of }) => SHOWN[kind](of))}
    </div>
  `;
}
