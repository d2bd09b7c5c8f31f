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
  return { performance, insights, versions: await compared(path, scores.versions, options) };
}

const MOST_VERSIONS = 5;

/** The latest versions by when they began, oldest first, each with how it compares with the one before. */
async function compared(path, versions, options) {
  const begun = (version) => version.days.reduce((first, each) => (each.day < first ? each.day : first), "9999");
  const latest = [...versions].sort((a, b) => (begun(a) < begun(b) ? -1 : 1)).slice(-MOST_VERSIONS);
  const verdicts = await Promise.all(latest.slice(1).map((each, at) => get(`evaluations/${path}/comparison`, { base: latest[at].version, new: each.version }, options)));
  return latest.map((each, at) => ({ ...each, begun: begun(each), comparison: verdicts[at - 1] ?? null }));
}

export const FIGURES = [
  { label: "Runs", num: true, value: (row) => row.figures.runs, show: (row) => format.count(row.figures.runs) },
  { label: "Quality", num: true, value: (row) => row.figures.quality, show: (row) => format.decimal(row.figures.quality) },
  { label: "Errors", num: true, value: (row) => row.figures.error_rate, show: (row) => format.percent(row.figures.error_rate) },
  { label: "p50", num: true, value: (row) => row.figures.latency_ms.p50, show: (row) => format.duration(row.figures.latency_ms.p50) },
  { label: "p95", num: true, value: (row) => row.figures.latency_ms.p95, show: (row) => format.duration(row.figures.latency_ms.p95) },
  { label: "p99", num: true, value: (row) => row.figures.latency_ms.p99, show: (row) => format.duration(row.figures.latency_ms.p99) },
  { label: "Queue p95", num: true, value: (row) => row.figures.queue_ms.p95, show: (row) => format.duration(row.figures.queue_ms.p95) },
  { label: "Cost (USD)", num: true, value: (row) => row.figures.cost_micro_usd / 1e6, show: (row) => format.exactMoney(row.figures.cost_micro_usd) },
  { label: "Wasted", num: true, value: (row) => row.figures.wasted_share, show: (row) => format.percent(row.figures.wasted_share) },
];

export function AgentTrends({ agent, days }) {
  const from = useData((abort) => of(agent, days, abort), ["run.stage", "run.evaluated"], [agent, days.first, days.last], { of: { agent } });
  return html`<${Loaded} from=${from}>${({ performance, insights, versions: scored }) => {
    const { trend } = performance;
    const x = trend.map((point) => point.start);
    const hourly = trend.length > 1 && Date.parse(trend[1].start) - Date.parse(trend[0].start) < 86_400_000;
    const label = (at) => (hourly ? `${format.day(at.slice(0, 10))} ${at.slice(11, 16)}` : format.day(at.slice(0, 10)));
    const versions = performance.versions;
    const versionQuality = trendOfVersions(scored);
    const toRuns = (index) => link("sessions", null, { view: "runs", agent, from: x[index].slice(0, 10), to: x[index].slice(0, 10) });
    return html`<div class="stack">
      ${insights.items.length > 0 && html`<${Card} title="Insights"><ul class="stack">${insights.items.map((each) => html`<li><${Badge} state=${each.severity} tone=${each.severity === "info" ? "accent" : each.severity === "critical" ? "bad" : "warn"} /> <strong>${each.cause}</strong> ${each.recommendation}</li>`)}</ul><//>`}
      <div class="cols">
        <${Card} title="Quality by version">${versionQuality.x.length
          ? html`<${Chart} title="Quality by version" name=${`${agent}-quality`} x=${versionQuality.x} label=${(at) => format.day(at.slice(0, 10))} format=${(value) => format.decimal(value)} series=${versionQuality.series} marks=${versionQuality.marks} to=${versionQuality.to(agent)} summary="Mean score of a day's answers, 0–100, one line for each version." />`
          : html`<${Empty} title="No scores in these days" />`}<//>
        <${Card} title="Latency">${x.length
          ? html`<${Chart} title="Latency" name=${`${agent}-latency`} x=${x} label=${label} format=${(value) => format.duration(value)} series=${["p50", "p95", "p99"].map((each) => ({ label: each, values: trend.map((point) => point[`${each}_ms`]) }))} to=${toRuns} summary=${`From a run's acceptance to its answer: p50 ${format.duration(performance.figures.latency_ms.p50)}, p95 ${format.duration(performance.figures.latency_ms.p95)}, p99 ${format.duration(performance.figures.latency_ms.p99)}.`} />`
          : html`<${Empty} title="No runs in these days" />`}<//>
        <${Card} title="Errors">${x.length
          ? html`<${Chart} title="Error rate" name=${`${agent}-errors`} x=${x} label=${label} format=${(value) => format.percent(value)} series=${[{ label: "Failed", kind: "bar", values: trend.map((point) => point.error_rate) }]} to=${toRuns} summary=${`${format.count(performance.figures.failed)} of ${format.count(performance.figures.runs)} runs failed. ${Object.entries(performance.figures.codes).map(([code, n]) => `${code}: ${n}`).join(", ")}`} />`
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

/** A line for each version over the days that any of them has a score of, and where one is worse than the one before. */
function trendOfVersions(versions) {
  const overall = (parts) => parts.find((each) => each.part === "overall")?.mean ?? null;
  const days = [...new Set(versions.flatMap((each) => each.days.map((point) => point.day)))].sort();
  const series = versions.map((each) => {
    const byDay = new Map(each.days.map((point) => [point.day, overall(point.parts)]));
    return { label: `Version ${each.version}${each.current ? " (current)" : ""}`, values: days.map((day) => byDay.get(day) ?? null) };
  });
  const marks = versions.filter((each) => each.comparison?.verdict === "worse").map(({ version, begun, comparison: { base, changes } }) => {
    const { base: before, new: now } = changes.find((each) => each.part === "overall") ?? changes[0];
    return { at: days.indexOf(begun), text: `Regression. Version ${version} scores ${format.decimal(now)}, version ${base} ${format.decimal(before)}; the difference is statistically significant.` };
  });
  const to = (agent) => (index) => link("sessions", null, { view: "runs", agent, from: days[index], to: days[index] });
  return { x: series.length ? days : [], series, marks, to };
}

export function Quality() {
  const days = range();
  const { agent } = route.value.query;
  const from = useData((abort) => overview(days, abort), ["run.stage"], [days.first, days.last]);
  return html`
    <${Head} title="Quality and speed"><${RangePicker} /><//>
    <div class="stack">
      <${Card} title="Agents"><${Loaded} from=${from} empty=${html`<${Empty} title="No runs in these days" />`}>${({ items, complete }) => html`
        ${!complete && html`<p class="note warn">Only the first ${format.count(items.length)} are listed.</p>`}
        <${Table} caption="Agents by quality and speed" name="performance" rows=${items} keyOf=${(row) => row.agent} columns=${[
          { label: "Agent", value: (row) => row.agent, show: (row) => html`<a href=${link("quality", null, { ...route.value.query, agent: row.agent })} aria-current=${row.agent === agent ? "true" : undefined}>${row.agent}</a>` }, ...FIGURES,
        ]} />`}<//><//>
      ${agent && html`<div class="row"><h2>${agent}</h2><a href=${link("agents", agent)}>The agent</a></div><${AgentTrends} agent=${agent} days=${days} />`}
      ${!agent && html`<p class="muted">Choose an agent to see its trends, versions and what stands out.</p>`}
    </div>
  `;
}
