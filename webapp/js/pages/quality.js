// How good and how fast answers are, by agent, over time and by version.
import { html } from "../html.js";
import { all, get } from "../api.js";
import { useData } from "../data.js";
import { link, route } from "../route.js";
import * as format from "../format.js";
import { Badge, Card, Empty, Head, Loaded, Table } from "../ui.js";
import { Chart } from "../chart.js";
import { RangePicker, range } from "../range.js";

const overview = ({ first, last }, abort) => all("performance", { from: first, to: last }, 400, { signal: abort });

async function of(agent, { first, last }, abort) {
  const options = { signal: abort };
  const path = encodeURIComponent(agent);
  const [performance, insights, scores] = await Promise.all([
    get(`performance/${path}`, { from: first, to: last }, options),
    get(`performance/${path}/insights`, { from: first, to: last }, options),
    get(`evaluations/${path}/versions`, {}, options).catch((error) => (error.status === 404 ? { versions: [] } : Promise.reject(error))),
  ]);
  return { performance, insights, scores };
}

export const FIGURES = [
  { label: "Runs", num: true, value: (row) => row.figures.runs, show: (row) => format.count(row.figures.runs) },
  { label: "Quality", num: true, value: (row) => row.figures.quality, show: (row) => format.decimal(row.figures.quality) },
  { label: "Errors", num: true, value: (row) => row.figures.error_rate, show: (row) => format.percent(row.figures.error_rate) },
  { label: "Half within", num: true, value: (row) => row.figures.latency_ms.p50, show: (row) => format.duration(row.figures.latency_ms.p50) },
  { label: "95 % within", num: true, value: (row) => row.figures.latency_ms.p95, show: (row) => format.duration(row.figures.latency_ms.p95) },
  { label: "99 % within", num: true, value: (row) => row.figures.latency_ms.p99, show: (row) => format.duration(row.figures.latency_ms.p99) },
  { label: "In the queue, 95 %", num: true, value: (row) => row.figures.queue_ms.p95, show: (row) => format.duration(row.figures.queue_ms.p95) },
  { label: "Cost (USD)", num: true, value: (row) => row.figures.cost_micro_usd / 1e6, show: (row) => format.exactMoney(row.figures.cost_micro_usd) },
  { label: "Wasted", num: true, value: (row) => row.figures.wasted_share, show: (row) => format.percent(row.figures.wasted_share) },
];

export function AgentTrends({ agent, days }) {
  const from = useData((abort) => of(agent, days, abort), ["run.stage", "run.evaluated"], [agent, days.first, days.last]);
  return html`<${Loaded} from=${from}>${({ performance, insights, scores }) => {
    const { trend } = performance;
    const x = trend.map((point) => point.start);
    const hourly = trend.length > 1 && Date.parse(trend[1].start) - Date.parse(trend[0].start) < 86_400_000;
    const label = (at) => (hourly ? `${format.day(at.slice(0, 10))} ${at.slice(11, 16)}` : format.day(at.slice(0, 10)));
    const versions = performance.versions;
    const versionQuality = trendOfVersions(scores.versions);
    return html`<div class="stack">
      ${insights.items.length > 0 && html`<${Card} title="What stands out"><ul class="stack">${insights.items.map((each) => html`<li><${Badge} state=${each.severity} tone=${each.severity === "info" ? "accent" : each.severity === "critical" ? "bad" : "warn"} /> <strong>${each.cause}</strong> ${each.recommendation}</li>`)}</ul><//>`}
      <div class="cols">
        <${Card} title="Quality by version">${versionQuality.x.length
          ? html`<${Chart} title="Quality by version" name=${`${agent}-quality`} x=${versionQuality.x} label=${(at) => format.day(at.slice(0, 10))} format=${(value) => format.decimal(value)} series=${versionQuality.series} summary="Mean score of a day's answers, 0–100, one line for each version." />`
          : html`<${Empty} title="No scores in these days" />`}<//>
        <${Card} title="Time to the answer, 95 % within">${x.length
          ? html`<${Chart} title="Latency" name=${`${agent}-latency`} x=${x} label=${label} format=${(value) => format.duration(value)} series=${[{ label: "95 % within", values: trend.map((point) => point.p95_ms) }]} summary=${`Half of all within ${format.duration(performance.figures.latency_ms.p50)}, 95 % within ${format.duration(performance.figures.latency_ms.p95)}, 99 % within ${format.duration(performance.figures.latency_ms.p99)}.`} />`
          : html`<${Empty} title="No runs in these days" />`}<//>
        <${Card} title="Errors">${x.length
          ? html`<${Chart} title="Error rate" name=${`${agent}-errors`} x=${x} label=${label} format=${(value) => format.percent(value)} series=${[{ label: "Failed", kind: "bar", values: trend.map((point) => point.error_rate) }]} summary=${`${format.count(performance.figures.failed)} of ${format.count(performance.figures.runs)} runs failed. ${Object.entries(performance.figures.codes).map(([code, n]) => `${code}: ${n}`).join(", ")}`} />`
          : html`<${Empty} title="No runs in these days" />`}<//>
        <${Card} title="Service level"><dl class="pairs">
          <dt>Kept</dt><dd>${performance.sla.kept == null ? "nothing to go by" : performance.sla.kept ? html`<${Badge} state="kept" tone="ok" />` : html`<${Badge} state="missed" tone="bad" />`}</dd>
          <dt>In time</dt><dd>${format.percent(performance.sla.in_time)} within ${format.duration(performance.sla.target_latency_ms)}</dd>
          <dt>Available</dt><dd>${format.percent(performance.sla.availability)} of ${format.percent(performance.sla.target_availability)} wanted</dd>
          <dt>Retried</dt><dd>${format.percent(performance.figures.retry_rate)} of runs</dd></dl><//>
      </div>
      <${Card} title="Versions">${versions.length ? html`<${Table} caption="Figures by version" name=${`${agent}-versions`} rows=${versions} keyOf=${(row) => row.version} columns=${[
        { label: "Version", value: (row) => row.version }, { label: "Since", value: (row) => row.since, show: (row) => format.exactTime(row.since) }, ...FIGURES,
      ]} />` : html`<${Empty} title="No runs in these days" />`}<//>
    </div>`;
  }}<//>`;
}

/** A line for each version over the days that any of them has a score of. */
function trendOfVersions(versions) {
  const overall = (parts) => parts.find((each) => each.part === "overall")?.mean ?? null;
  const days = [...new Set(versions.flatMap((each) => each.days.map((point) => point.day)))].sort();
  const begun = (version) => version.days.reduce((first, each) => (each.day < first ? each.day : first), "9999");
  const latest = [...versions].sort((a, b) => (begun(a) < begun(b) ? -1 : 1)).slice(-5);
  const series = latest.map((each) => {
    const byDay = new Map(each.days.map((point) => [point.day, overall(point.parts)]));
    return { label: `Version ${each.version}${each.current ? " (current)" : ""}`, values: days.map((day) => byDay.get(day) ?? null) };
  });
  return { x: series.length ? days : [], series };
}

export function Quality() {
  const days = range();
  const { agent } = route.value.query;
  const from = useData((abort) => overview(days, abort), ["run.stage"], [days.first, days.last]);
  return html`
    <${Head} title="Quality and speed"><${RangePicker} /><//>
    <div class="stack">
      <${Card} title="Agents"><${Loaded} from=${from} empty=${html`<${Empty} title="No runs in these days" />`}>${({ items }) => html`
        <${Table} caption="Agents by quality and speed" name="performance" rows=${items} keyOf=${(row) => row.agent} columns=${[
          { label: "Agent", value: (row) => row.agent, show: (row) => html`<a href=${link("quality", null, { ...route.value.query, agent: row.agent })} aria-current=${row.agent === agent ? "true" : undefined}>${row.agent}</a>` }, ...FIGURES,
        ]} />`}<//><//>
      ${agent && html`<div class="row"><h2>${agent}</h2><a href=${link("agents", agent)}>The agent</a></div><${AgentTrends} agent=${agent} days=${days} />`}
      ${!agent && html`<p class="muted">Choose an agent to see its trends, versions and what stands out.</p>`}
    </div>
  `;
}
