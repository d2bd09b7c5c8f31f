// How the workers' caches of agents do, and what another size or policy would have come to.
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { get, post } from "../api.js";
import { useList, useResource } from "../data.js";
import { link } from "../route.js";
import * as format from "../format.js";
import { Action, Ago, Badge, Card, Empty, ListTable, Loaded, Stat, Table } from "../ui.js";

const METRICS = [
  { label: "Hits", num: true, value: ({ metrics }) => metrics.cache_performance.hit_rate, show: ({ metrics }) => format.percent(metrics.cache_performance.hit_rate) },
  { label: "Look-ups", num: true, value: ({ metrics }) => metrics.cache_performance.cache_hits + metrics.cache_performance.cache_misses, show: ({ metrics }) => format.count(metrics.cache_performance.cache_hits + metrics.cache_performance.cache_misses) },
  { label: "Held", num: true, value: ({ metrics }) => metrics.agent_status.active_agents, show: ({ metrics }) => `${format.count(metrics.agent_status.active_agents)} of ${format.count(metrics.agent_status.max_active)}` },
  { label: "Evicted", num: true, value: ({ metrics }) => metrics.cache_performance.evictions, show: ({ metrics }) => format.count(metrics.cache_performance.evictions) },
  { label: "Preloaded", num: true, value: ({ metrics }) => metrics.preloading.preload_successes, show: ({ metrics }) => html`${format.count(metrics.preloading.preload_successes)} <span class="muted">${format.count(metrics.preloading.wasted)} in vain</span>` },
];

function WhatIf() {
  const [found, setFound] = useState(null);
  return html`<${Card} title="What if" actions=${html`<${Action} run=${async () => setFound(await get("loader/what-if"))}>Replay the last day<//>`}>
    ${!found && html`<p class="muted">Replays recorded accesses over caches of every policy. It changes nothing.</p>`}
    ${found && html`<${Table} caption="Hit rate by policy" name="loader-what-if" rows=${found.replays} columns=${[
      { label: "Policy", value: (row) => row.policy },
      { label: "Hits", num: true, value: (row) => row.hit_rate, show: (row) => format.percent(row.hit_rate) },
      { label: "Evicted", num: true, value: (row) => row.evictions, show: (row) => format.count(row.evictions) },
    ]} /><p class="small muted">${format.count(found.accesses)} accesses, ${format.count(found.capacity)} places. No policy could have hit more than ${format.percent(found.clairvoyant_hit_rate)}; ${format.count(found.suggested_capacity)} places would do.</p>`}
  <//>`;
}

function Optimize() {
  const [steps, setSteps] = useState(null);
  const run = (dry) => async () => setSteps((await post("loader/optimize", undefined, { query: { dry_run: String(dry) } })).items);
  return html`<${Card} title="This worker's cache" actions=${html`<${Action} run=${run(true)}>Preview<//>`}>
    ${!steps && html`<p class="muted">What it should let go and open, and why. The preview changes nothing.</p>`}
    ${steps && (steps.length ? html`<${Table} caption="What the cache should do" rows=${steps} columns=${[
      { label: "What", value: (row) => row.action, show: (row) => html`<${Badge} state=${row.action} tone=${row.action === "evict" ? "warn" : "accent"} />` },
      { label: "Agent", value: (row) => row.agent, show: (row) => html`<a href=${link("agents", row.agent)}>${row.agent}</a>` },
      { label: "Why", value: (row) => format.words(row.reason) },
      { label: "Score", num: true, value: (row) => row.score, show: (row) => format.decimal(row.score, 2) },
    ]} /><div class="row end"><${Action} run=${run(false)} done="Done.">Do it<//></div>` : html`<${Empty} title="Nothing to do" />`)}
  <//>`;
}

export function Loader() {
  const from = useResource("loader", {}, ["run.stage"]);
  const activity = useList("loader/activity", { limit: 20 }, ["run.stage"]);
  return html`
    <h2>Loader</h2>
    <${Loaded} from=${from}>${({ policy, total, workers, learned_until, strategies, insights }) => html`
      <div class="stats">
        <${Stat} label="Found in the cache" value=${format.percent(total.cache_performance.hit_rate)} note=${`policy ${policy}`} />
        <${Stat} label="Agents held" value=${format.count(total.agent_status.active_agents)} note=${`of ${format.count(total.agent_status.total_configurations)} there are`} />
        <${Stat} label="Preloaded" value=${format.count(total.preloading.preload_successes)} note=${`${format.count(total.preloading.used)} used, ${format.count(total.preloading.wasted)} in vain`} />
        <${Stat} label="Learnt" value=${html`<${Ago} at=${learned_until} />`} note="the latest use in the ranking" />
      </div>
      ${insights.length > 0 && html`<${Card} title="Insights"><ul>${insights.map((each) => html`<li key=${each.code}><b>${each.cause}</b> ${each.recommendation}</li>`)}</ul><//>`}
      ${strategies.length > 0 && html`<${Card} title="Strategies compared, last day"><${Table} caption="Hit rates by strategy" name="loader-strategies" rows=${strategies} keyOf=${(row) => row.strategy} columns=${[
        { label: "Strategy", value: (row) => row.strategy },
        { label: "Hits", num: true, value: (row) => row.hit_rate, show: (row) => format.percent(row.hit_rate) },
        { label: "With 95 % confidence", num: true, value: (row) => row.least, show: (row) => `${format.percent(row.least)} to ${format.percent(row.most)}` },
        { label: "Look-ups", num: true, value: (row) => row.hits + row.misses, show: (row) => format.count(row.hits + row.misses) },
      ]} /><//>`}
      <${Card} title="Workers"><${Table} caption="Caches by worker" rows=${workers} keyOf=${(row) => row.worker} columns=${[
        { label: "Worker", value: (row) => row.worker, show: (row) => html`<code>${row.worker.slice(0, 8)}</code>` },
        ...(strategies.length ? [{ label: "Strategy", value: (row) => row.strategy ?? "" }] : []),
        { label: "Seen", value: (row) => row.at, show: (row) => html`<${Ago} at=${row.at} />` }, ...METRICS,
      ]} /><//>`}<//>
    <div class="cols"><${Optimize} /><${WhatIf} /></div>
    <${Card} title="Agents by priority"><${ListTable} list=${activity} caption="Agents by priority" name="loader-activity" keyOf=${(row) => row.agent} empty=${html`<${Empty} title="Nothing is learnt yet" />`} columns=${[
      { label: "Agent", value: (row) => row.agent, show: (row) => html`<a href=${link("agents", row.agent)}>${row.agent}</a> ${row.active ? html`<${Badge} state="held" tone="ok" />` : ""}` },
      { label: "Priority", num: true, value: (row) => row.priority_score, show: (row) => format.decimal(row.priority_score, 3) },
      { label: "Uses", num: true, value: (row) => row.usage_count, show: (row) => format.count(row.usage_count) },
      { label: "Succeeded", num: true, value: (row) => row.success_rate, show: (row) => format.percent(row.success_rate) },
      { label: "Mean time", num: true, value: (row) => row.average_response_time_ms, show: (row) => format.duration(row.average_response_time_ms) },
      { label: "Cost (USD)", num: true, value: (row) => row.total_cost_micro_usd / 1e6, show: (row) => format.exactMoney(row.total_cost_micro_usd) },
      { label: "Used next", value: (row) => row.companions.map((each) => `${each.agent} ${format.percent(each.share)}`).join(", ") },
    ]} /><//>
  `;
}
