// What was spent, on what, how much more is to come, and what holds it.
import { html } from "../html.js";
import { get } from "../api.js";
import { useData, useList } from "../data.js";
import { link, refine, route } from "../route.js";
import * as format from "../format.js";
import { Ago, Badge, Bar, Card, Empty, Head, ListTable, Loaded, Money, Stat, Table, Tabs } from "../ui.js";
import { foreseen, monthly } from "../reports.js";
import { Chart } from "../chart.js";
import { RangePicker, range } from "../range.js";

const BY = [["agent", "Agent"], ["model", "Model"], ["user", "User"], ["purpose", "Purpose"], ["provider", "Provider"]];

async function load({ first, last, by }, abort) {
  const options = { signal: abort };
  const [days, groups, performance] = await Promise.all([
    get("costs", { from: first, to: last, group_by: "day", split_by: by }, options),
    get("costs", { from: first, to: last, group_by: by }, options),
    get("analytics", { from: first, to: last }, options),
  ]);
  return { days, groups, performance: performance.performance };
}

async function thisMonth(abort) {
  const today = format.isoDay(new Date());
  const first = `${today.slice(0, 7)}-01`;
  const [days, report] = await Promise.all([
    get("costs", { from: first, to: today, group_by: "day" }, { signal: abort }),
    monthly(today.slice(0, 7), { signal: abort }),
  ]);
  return { first, today, days, forecast: foreseen(report, days.total.cost_micro_usd), anomalies: report?.anomalies ?? [] };
}

/** What the month has come to so far, where it is going, and what may be spent. */
function Month({ month, budgets }) {
  const { first, today, days, forecast } = month;
  const next = new Date(`${first}T00:00:00Z`);
  next.setUTCMonth(next.getUTCMonth() + 1);
  const points = format.daysBetween(first, format.addDays(format.isoDay(next), -1));
  const byDay = new Map(days.groups.map((each) => [each.name, usd(each.spend)]));
  let sum = 0;
  const spent = points.map((point) => (point <= today ? (sum += byDay.get(point) ?? 0) : null));
  const series = [{ label: "Spent", plain: true, values: spent }];
  const at = points.indexOf(today);
  if (forecast) {
    const step = (forecast.expected / 1e6 - sum) / Math.max(1, points.length - 1 - at);
    series.push({ label: "Forecast", dashed: true, plain: true, values: points.map((_, index) => (index >= at ? sum + step * (index - at) : null)) });
  }
  const budget = budgets?.find((each) => each.scope === "workspace" && each.unit === "usd" && each.period === "month");
  if (budget) series.push({ label: "Budget", plain: true, values: points.map(() => budget.limit) });
  const over = budget && forecast && forecast.expected / 1e6 > budget.limit;
  return html`<${Card} title="This month" actions=${over ? html`<${Badge} state="over its budget by the forecast" tone="bad" />` : null}>
    <${Chart} title="Spend of this month, added up" name="month" x=${points} label=${(x) => format.day(x.slice(0, 10))} format=${(value) => (value == null ? format.none : shown(value))} axis=${(value) => format.money(Math.round(value * 1e6))} series=${series}
      summary=${html`<${Money} micro=${days.total.cost_micro_usd} unpriced=${days.total.unpriced_calls} /> so far${forecast ? html`; forecast ${format.money(forecast.expected)} (${format.money(forecast.low)} – ${format.money(forecast.high)}, from ${forecast.days} days)` : "; a forecast needs seven days with costs"}${budget ? html`; ${format.percent(sum / budget.limit)} of ${format.money(Math.round(budget.limit * 1e6))}` : ""}.`} />
  <//>`;
}

const usd = (spend) => (spend?.cost_micro_usd ?? 0) / 1e6;
const shown = (value) => format.exactMoney(Math.round((value ?? 0) * 1e6));

const OTHERS = "*";

/** What each day is made of, as series that stand upon each other: the dearest of all days first. */
function stacked(days, points) {
  const byDay = new Map(days.groups.map((each) => [each.name, new Map(each.parts.map((part) => [part.name, usd(part.spend)]))]));
  const totals = new Map();
  for (const parts of byDay.values()) for (const [name, amount] of parts) totals.set(name, (totals.get(name) ?? 0) + amount);
  const names = [...totals.keys()].sort((a, b) => (a === OTHERS) - (b === OTHERS) || totals.get(b) - totals.get(a) || a.localeCompare(b));
  const label = (name) => (name === OTHERS ? "All others" : name || "no user");
  return (names.length ? names : [OTHERS]).map((name) => ({ label: label(name), kind: "bar", values: points.map((point) => byDay.get(point)?.get(name) ?? 0) }));
}

const runsOf = (query) => link("sessions", null, { view: "runs", ...query });

function Breakdown({ by, groups, total, first, last }) {
  const share = (row) => (total.cost_micro_usd ? row.spend.cost_micro_usd / total.cost_micro_usd : 0);
  return html`<${Table} caption=${`Spend by ${by}`} name=${`costs-by-${by}`} rows=${groups} keyOf=${(row) => row.name} columns=${[
    { label: format.words(by), value: (row) => row.name, show: (row) => (by === "agent" ? html`<a href=${link("agents", row.name)}>${row.name}</a>` : row.name || html`<span class="muted">no user</span>`) },
    { label: "Cost (USD)", num: true, value: (row) => usd(row.spend), show: (row) => html`<${Money} micro=${row.spend.cost_micro_usd} unpriced=${row.spend.unpriced_calls} exact />` },
    { label: "Share", num: true, value: share, show: (row) => html`${format.percent(share(row))}<${Bar} part=${share(row)} />` },
    { label: "Calls", num: true, value: (row) => row.spend.calls, show: (row) => (["agent", "user"].includes(by) && row.name ? html`<a href=${runsOf({ [by]: row.name, from: first, to: last })} title="Its runs of these days">${format.count(row.spend.calls)}</a>` : format.count(row.spend.calls)) },
    { label: "Tokens in", num: true, value: (row) => row.spend.input_tokens, show: (row) => format.count(row.spend.input_tokens) },
    { label: "of them cached", num: true, value: (row) => row.spend.cached_tokens, show: (row) => format.count(row.spend.cached_tokens) },
    { label: "Tokens out", num: true, value: (row) => row.spend.output_tokens, show: (row) => format.count(row.spend.output_tokens) },
    { label: "of them reasoning", num: true, value: (row) => row.spend.reasoning_tokens, show: (row) => format.count(row.spend.reasoning_tokens) },
  ]} foot=${html`<tr><td>Total</td><td class="num"><${Money} micro=${total.cost_micro_usd} unpriced=${total.unpriced_calls} exact /></td><td></td>
    <td class="num">${format.count(total.calls)}</td><td class="num">${format.count(total.input_tokens)}</td><td class="num">${format.count(total.cached_tokens)}</td><td class="num">${format.count(total.output_tokens)}</td><td class="num">${format.count(total.reasoning_tokens)}</td></tr>`} />`;
}

function Budgets({ list }) {
  const share = (row) => (row.limit ? row.used / row.limit : 0);
  const amount = (row, value) => (row.unit === "usd" ? format.exactMoney(Math.round(value * 1e6)) : format.count(value));
  return html`<${Card} title="Budgets"><${ListTable} list=${list} caption="Budgets and what is used of them" name="budgets" keyOf=${(row) => `${row.scope}${row.unit}${row.period}`}
    empty=${html`<${Empty} title="No shared budgets"><span>Without a budget nothing stops a run for what it costs. Declare one with PUT /api/budgets/workspace.</span><//>`}
    columns=${[
      { label: "Scope", value: (row) => row.scope },
      { label: "Used", num: true, wrap: true, value: (row) => row.used, show: (row) => html`${amount(row, row.used)} of ${amount(row, row.limit)}${row.unit === "usd" ? "" : ` ${row.unit}`}<${Bar} part=${share(row)} level=${share(row) >= 1 ? "critical" : share(row) >= 0.8 ? "warning" : ""} /><span class="small muted">${format.percent(share(row))} ${{ day: "today", total: "in all" }[row.period] ?? `this ${row.period}`}${row.resets_at ? html`, resets <${Ago} at=${row.resets_at} />` : ""}</span>` },
      { label: "Left", num: true, value: (row) => row.remaining, show: (row) => html`${amount(row, row.remaining)}${row.reserved ? html`<div class="small muted">${amount(row, row.reserved)} reserved</div>` : ""}` },
    ]} /><//>`;
}

export function Costs() {
  const { first, last } = range();
  const by = BY.some(([key]) => key === route.value.query.by) ? route.value.query.by : "agent";
  const from = useData((abort) => load({ first, last, by }, abort), ["run.stage"], [first, last, by]);
  const month = useData(thisMonth, ["run.stage"]);
  const budgets = useList("usage", { limit: 50 }, ["budget.", "run.stage"]);
  return html`
    <${Head} title="Costs" text="What model calls and tools cost, up to this moment. Days are UTC; amounts are exact to the micro-dollar."><${RangePicker} /><//>
    <div class="stack">
      <${Loaded} from=${from}>${({ days, groups, performance }) => {
        const points = format.daysBetween(first, last);
        const byDay = new Map(days.groups.map((each) => [each.name, each.spend]));
        const at = (name, of) => points.map((point) => of(byDay.get(point)) ?? 0);
        const total = days.total;
        const summary = html`<${Money} micro=${total.cost_micro_usd} unpriced=${total.unpriced_calls} exact /> from ${format.longDay(first)} to ${format.longDay(last)}.`;
        const perDay = points.length ? total.cost_micro_usd / points.length : 0;
        return html`
          <div class="stats">
            <${Stat} label="Spent" value=${format.money(total.cost_micro_usd)} title=${format.exactMoney(total.cost_micro_usd)} note=${total.unpriced_calls ? `and ${format.count(total.unpriced_calls)} calls without a known price` : `${format.money(Math.round(perDay))} a day`} />
            <${Stat} label="Wasted" value=${format.money(performance.wasted_micro_usd)} title=${format.exactMoney(performance.wasted_micro_usd)} note=${`${format.percent(performance.wasted_share)} spent on attempts without an answer`} />
            <${Stat} label="Cost per run" value=${format.money(performance.cost_per_run_micro_usd == null ? null : Math.round(performance.cost_per_run_micro_usd))} note=${`mean of ${format.count(performance.runs)} runs`} />
            <${Stat} label="Cached input" value=${format.percent(performance.cached_share)} note="of input tokens" />
          </div>
          <div class="cols">
            <${Loaded} from=${month}>${(found) => html`<${Month} month=${found} budgets=${budgets.items} />`}<//>
            <${Budgets} list=${budgets} />
            <${Card} title=${`Spend by day and ${by}`} label="Spend by day" actions=${html`<a href=${runsOf({ from: first, to: last })}>Runs of these days</a>`}><${Chart} title="Spend by day" name="spend-by-day" x=${points} label=${(x) => format.day(x.slice(0, 10))} format=${shown} axis=${(value) => format.money(Math.round(value * 1e6))}
              series=${stacked(days, points)} summary=${summary} to=${(index) => runsOf({ from: points[index], to: points[index] })} /><//>
            <${Card} title="Tokens by day"><${Chart} title="Tokens by day" name="tokens-by-day" x=${points} label=${(x) => format.day(x.slice(0, 10))} format=${format.count} axis=${compact}
              series=${[
                { label: "Input", kind: "bar", values: at("in", (each) => each && each.input_tokens - each.cached_tokens) },
                { label: "Input, cached", kind: "bar", values: at("cached", (each) => each?.cached_tokens) },
                { label: "Output", kind: "bar", values: at("out", (each) => each && each.output_tokens - each.reasoning_tokens) },
                { label: "Output, reasoning", kind: "bar", values: at("reasoning", (each) => each?.reasoning_tokens) },
              ]} summary=${`${format.count(total.input_tokens)} in, ${format.count(total.output_tokens)} out.`} onPick=${(index) => refine({ from: points[index], to: points[index] })} /><//>
          </div>
          <${Card} title="Breakdown" actions=${html`<${Tabs} label="Group by" value=${by} options=${BY} onChange=${(next) => refine({ by: next })} />`}>
            ${groups.groups.length ? html`<${Breakdown} by=${by} groups=${groups.groups} total=${groups.total} first=${first} last=${last} />` : html`<${Empty} title="Nothing was spent in these days" />`}
          <//>
          ${month.data?.anomalies.length > 0 && html`<${Card} title="Unusual days"><${Table} caption="Days with unusual costs" rows=${month.data.anomalies} columns=${[
            { label: "Day", value: (row) => row.day, show: (row) => format.longDay(row.day) },
            { label: "Agent", value: (row) => row.agent, show: (row) => html`<a href=${link("agents", row.agent)}>${row.agent}</a>` },
            { label: "Cost (USD)", num: true, value: (row) => row.cost_micro_usd / 1e6, show: (row) => format.exactMoney(row.cost_micro_usd) },
            { label: "Usual (USD)", num: true, value: (row) => row.usual_micro_usd / 1e6, show: (row) => format.exactMoney(row.usual_micro_usd) },
          ]} /><//>`}
        `;
      }}<//>
    </div>
  `;
}

const short = new Intl.NumberFormat(undefined, { notation: "compact" });
const compact = (value) => short.format(value);
