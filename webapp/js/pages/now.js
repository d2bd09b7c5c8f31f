// The first page: what it costs, what runs, what waits, what is wrong, what changed.
import { useEffect, useState } from "preact/hooks";
import { html } from "../html.js";
import { get } from "../api.js";
import { useData, useResource } from "../data.js";
import { follow, recent, seenBefore } from "../live.js";
import { counted, inbox, waiting } from "../waiting.js";
import { link } from "../route.js";
import * as format from "../format.js";
import { Ago, Badge, Card, Empty, Head, Loaded, Money, Problem, Skeleton, Stat, Table } from "../ui.js";
import { foreseen, monthly } from "../reports.js";
import { Chart } from "../chart.js";

const SHOWN_DAYS = 30;
const LATEST = 12; // runs that are looked at for those in flight; what waits for a person is known from the inbox

async function spent(abort) {
  const today = format.isoDay(new Date());
  const month = today.slice(0, 7);
  const options = { signal: abort };
  const [costs, report] = await Promise.all([
    get("costs", { from: format.addDays(today, 1 - SHOWN_DAYS), to: today, group_by: "day" }, options),
    monthly(month, options),
  ]);
  const byDay = new Map(costs.groups.map((each) => [each.name, each.spend]));
  const spent = costs.groups.filter((each) => each.name.startsWith(month)).reduce((sum, each) => sum + each.spend.cost_micro_usd, 0);
  return { today, byDay, total: costs.total, spent, forecast: foreseen(report, spent) };
}

function Spend({ from }) {
  return html`<${Card} title="Spend, last 30 days" actions=${html`<a href=${link("costs")}>Costs</a>`}>
    <${Loaded} from=${from}>${({ today, byDay, total }) => {
      const days = format.daysBetween(format.addDays(today, 1 - SHOWN_DAYS), today);
      const values = days.map((each) => (byDay.get(each)?.cost_micro_usd ?? 0) / 1e6);
      return html`<${Chart} title="Spend by day, last 30 days" name="spend-by-day" x=${days} label=${(x) => format.day(x.slice(0, 10))}
        series=${[{ label: "Spend", kind: "bar", values }]} format=${(value) => format.exactMoney(Math.round((value ?? 0) * 1e6))}
        axis=${(value) => format.money(Math.round(value * 1e6))}
        summary=${html`<${Money} micro=${total.cost_micro_usd} unpriced=${total.unpriced_calls} /> in ${format.count(total.calls)} model calls. Days are UTC.`} />`;
    }}<//>
  <//>`;
}

const Failed = ({ from }) => from.error && html`<${Problem} error=${from.error} retry=${from.reload} />`;

/** What is spent, as soon as costs are known. */
function spending({ today, byDay, spent, forecast }) {
  const now = new Date();
  const hours = Math.max(now.getUTCHours() + now.getUTCMinutes() / 60, 1 / 60);
  const todays = byDay.get(today)?.cost_micro_usd ?? 0;
  const days = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 0)).getUTCDate();
  const pace = (spent / (now.getUTCDate() - 1 + hours / 24)) * days;
  return {
    today: { value: format.money(todays), title: format.exactMoney(todays), note: `${format.money(Math.round(todays / hours))} an hour so far (UTC day)` },
    month: {
      value: format.money(spent),
      title: format.exactMoney(spent),
      note: forecast ? `forecast ${format.money(forecast.expected)} (${format.money(forecast.low)} – ${format.money(forecast.high)})` : `${format.money(Math.round(pace))} at this pace`,
    },
  };
}

/** What was done, as soon as the day is known. */
function doing({ performance, resources, sessions }) {
  const agents = Object.entries(resources.agents).filter(([, n]) => n > 0);
  return {
    runs: { value: format.count(performance.runs), note: `${format.count(performance.failed)} failed, ${format.count(performance.cancelled)} cancelled · ${format.count(sessions.started)} sessions started` },
    time: { value: format.duration(performance.latency_ms.p50), note: `p95 ${format.duration(performance.latency_ms.p95)}, p99 ${format.duration(performance.latency_ms.p99)}` },
    quality: { value: format.decimal(performance.quality), note: "mean score of answers, 0–100" },
    agents: { value: format.count(agents.reduce((sum, [, n]) => sum + n, 0)), note: agents.map(([state, n]) => `${format.count(n)} ${state}`).join(", ") || "none declared" },
  };
}

function Figures({ costs, analytics }) {
  const spend = costs.data ? spending(costs.data) : {};
  const done = analytics.data ? doing(analytics.data) : {};
  return html`<${Failed} from=${costs} /><${Failed} from=${analytics} /><div class="stats">
    ${(costs.data || !costs.error) && html`<${Stat} label="Spent today" ...${spend.today} /><${Stat} label="This month" ...${spend.month} />`}
    ${(analytics.data || !analytics.error) && html`
      <${Stat} label="Runs ended today" ...${done.runs} /><${Stat} label="Median answer time" ...${done.time} />
      <${Stat} label="Quality today" ...${done.quality} /><${Stat} label="Agents" ...${done.agents} />`}
  </div>`;
}

function Banner() {
  if (!waiting.value) return null;
  const { approvals, people, runs, alerts, cut } = inbox.value;
  const number = (kind) => counted(inbox.value[kind].length, cut.includes(kind));
  const parts = [
    approvals.length && `${number("approvals")} to approve`,
    people.length && `${number("people")} ${people.length === 1 ? "conversation waits" : "conversations wait"} for a person`,
    runs.length && `${number("runs")} ${runs.length === 1 ? "run waits" : "runs wait"} for a budget`,
    alerts.length && `${number("alerts")} ${alerts.length === 1 ? "alert has" : "alerts have"} fired`,
  ].filter(Boolean);
  const bad = alerts.some((each) => each.severity === "critical") || people.some((each) => each.due && Date.parse(each.due) < Date.now());
  return html`<div class=${`banner ${bad ? "bad" : "warn"}`} role="status"><span>${parts.join(" · ")}</span><a href=${link("inbox")}>Open the inbox</a></div>`;
}

function Health({ from }) {
  return html`<${Card} title="Health" actions=${from.data && html`<${Badge} state=${from.data.health.status} />`}>
    <${Loaded} from=${from}>${({ health: { components } }) => {
      const wrong = components.filter((each) => each.health !== "healthy");
      if (!wrong.length) return html`<p class="muted">Everything works: ${components.map((each) => format.words(each.name).toLowerCase()).join(", ")}.</p>`;
      return html`<dl class="pairs">${wrong.map((each) => html`<dt><${Badge} state=${each.health} /></dt><dd><strong>${format.words(each.name)}</strong> ${each.reason}</dd>`)}</dl>`;
    }}<//>
  <//>`;
}

/** What is in flight: of the latest runs those that have not finished, and all that wait for a decision or a budget. */
function unfinished(latest, { approvals = [], runs = [] } = {}) {
  const found = [
    ...latest.filter((run) => !run.finished_at).map((run) => ({ id: run.id, agent: run.agent, state: run.state, about: run.query, since: run.created_at })),
    ...approvals.map((each) => ({ id: each.run_id, agent: each.agent, state: "waiting", about: each.tool ? `asks to call ${each.tool}` : each.excerpt, since: each.requested_at })),
    ...runs.map((each) => ({ id: each.id, agent: each.agent, state: "waiting", about: each.query, since: each.since })),
  ];
  return [...new Map(found.map((each) => [each.id, each])).values()];
}

function Underway({ running }) {
  const list = useResource("runs", { limit: LATEST }, ["run.queued", "run.stage", "run.waiting", "approval."]);
  return html`<${Card} title="Running and waiting" actions=${html`${running > 0 && html`<${Badge} tone="accent" state=${`${format.count(running)} running`} />`}<a href=${link("sessions", null, { view: "runs" })}>All runs</a>`}>
    <${Loaded} from=${list}>${({ items }) => {
      const rows = unfinished(items, inbox.value ?? {});
      if (!rows.length) return html`<${Empty} title="Nothing is running"><span>Runs appear here while they are queued, running or waiting.</span><//>`;
      return html`<${Table} caption="Runs that have not finished" rows=${rows.slice(0, 12)} keyOf=${(row) => row.id} columns=${[
        { label: "Run", value: (row) => row.about, show: (row) => html`<a href=${link("runs", row.id)}>${row.about.length > 70 ? `${row.about.slice(0, 70)}…` : row.about || row.id}</a>` },
        { label: "Agent", value: (row) => row.agent },
        { label: "State", value: (row) => row.state, show: (row) => html`<${Badge} state=${row.state} />` },
        { label: "Since", value: (row) => row.since, show: (row) => html`<${Ago} at=${row.since} />` },
      ]} />${rows.length > 12 && html`<p class="small muted">and ${format.count(rows.length - 12)} more</p>`}`;
    }}<//>
  <//>`;
}

const NOTABLE = /^(agent\.|alert\.|budget\.|approval\.|session\.erased|run\.retrying)/;

function sentence({ name, data }) {
  if (name === "run.stage") return { title: `Run ${format.words(data.stage).toLowerCase()}`, about: data.agent ?? data.run_id, how: data.code ?? "" };
  if (name === "session.state_changed") return { title: `Session ${data.state}`, about: data.session_id ?? data.agent, how: data.reason ? format.words(data.reason) : "" };
  const about = data.agent ?? data.alert ?? data.scope ?? data.session_id ?? "";
  const how = data.stage ?? data.state ?? data.code ?? data.reason ?? data.why ?? "";
  return { title: format.words(name), about, how: how ? format.words(how) : "" };
}

const Line = ({ event }) => {
  const { title, about, how } = sentence(event);
  return html`<li><time class="muted num" datetime=${event.data.at} title=${format.exactTime(event.data.at)}>${format.clockTime(event.data.at)}</time>
    <span>${title} ${about && html`<strong>${about}</strong>`} ${how && html`<span class="muted">${how}</span>`}</span></li>`;
};

function SinceLast() {
  const [missed, setMissed] = useState(null);
  useEffect(() => {
    if (!seenBefore) return;
    // At most one answer of 200 events: it is a reminder, not the record.
    follow("events", { after: seenBefore, wait: 0 }).then(({ events }) => setMissed(events), () => setMissed([]));
  }, []);
  if (!missed?.length) return null;
  const ended = missed.filter((each) => each.name === "run.stage" && ["COMPLETED", "FAILED"].includes(each.data.stage));
  const failed = ended.filter((each) => each.data.stage === "FAILED").length;
  const notable = missed.filter((each) => NOTABLE.test(each.name)).slice(-8).reverse();
  return html`<${Card} title="Since you last looked">
    <p class="muted">${missed.length >= 200 ? "Among the first 200 events: " : ""}${format.count(ended.length)} runs ended, ${format.count(failed)} of them failed; ${format.count(missed.length)} events in all.</p>
    <ul class="feed">${notable.map((each) => html`<${Line} key=${each.id} event=${each} />`)}</ul>
  <//>`;
}

function Feed() {
  const events = recent.value.filter((each) => each.name !== "run.delta");
  return html`<${Card} title="Live events">
    ${events.length
      ? html`<ul class="feed" tabindex="0" aria-label="Events, newest first">${events.slice(0, 40).map((each) => html`<${Line} key=${each.id} event=${each} />`)}</ul>`
      : html`<${Empty} title="Nothing has happened since this page was opened" />`}
  <//>`;
}

export function Now() {
  const costs = useData(spent, ["run.stage"]);
  const analytics = useResource("analytics", {}, ["run.stage", "session.state_changed", "agent.", "alert."]);
  return html`
    <${Head} title="Now"><a class="button" href=${link("chat")}>Ask an agent</a><//>
    <${Banner} />
    <div class="stack">
      <${Figures} costs=${costs} analytics=${analytics} />
      <div class="cols"><${Spend} from=${costs} /><div class="stack"><${Underway} running=${analytics.data?.runs.running} /><${Health} from=${analytics} /></div></div>
      <div class="cols"><${SinceLast} /><${Feed} /></div>
    </div>
  `;
}
