// How the workers' caches of agents do, and what another size or policy would have come to.
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { get, post } from "../api.js";
import { useList, useResource } from "../data.js";
import { link } from "../route.js";
import * as format from "../format.js";
import { Action, Ago, Badge, Bar, Card, Empty, ListTable, Loaded, Stat, Table } from "../ui.js";

const METRICS = [
  { label: "Hits", num: true, value: ({ metrics }) => metrics.cache_performance.hit_rate, show: ({ metrics }) => html`${format.percent(metrics.cache_performance.hit_rate)}<${Bar} part=${metrics.cache_performance.hit_rate ?? 0} />` },
  { label: "Look-ups", num: true, value: ({ metrics }) => metrics.cache_performance.cache_hits + metrics.cache_performance.cache_misses, show: ({ metrics }) => format.count(metrics.cache_performance.cache_hits + metrics.cache_performance.cache_misses) },
  { label: "Cached", num: true, value: ({ metrics }) => metrics.agent_status.active_agents, show: ({ metrics: { agent_status: now } }) => html`${format.count(now.active_agents)} of ${format.count(now.max_active)}<${Bar} part=${now.max_active ? now.active_agents / now.max_active : 0} />` },
  { label: "Evicted", num: true, value: ({ metrics }) => metrics.cache_performance.evictions, show: ({ metrics }) => format.count(metrics.cache_performance.evictions) },
  { label: "Preloaded", num: true, value: ({ metrics }) => metrics.preloading.preload_successes, show: ({ metrics }) => html`${format.count(metrics.preloading.preload_successes)} <span class="muted">${format.count(metrics.preloading.wasted)} wasted</span>` },
];

function WhatIf() {
  const [found, setFound] = useState(null);
  return html`<${Card} title="Cache policies compared" actions=${html`<${Action} run=${async () => setFound(await get("loader/what-if"))}>Replay the last 24 hours<//>`}>
    ${!found && html`<p class="muted">Replays the recorded look-ups against each eviction policy. It changes nothing.</p>`}
    ${found && html`<${Table} caption="Hit rate by policy" name="loader-what-if" rows=${found.replays} columns=${[
      { label: "Policy", value: (row) => row.policy },
      { label: "Hits", num: true, value: (row) => row.hit_rate, show: (row) => format.percent(row.hit_rate) },
      { label: "Evicted", num: true, value: (row) => row.evictions, show: (row) => format.count(row.evictions) },
    ]} /><p class="small muted">${format.count(found.accesses)} look-ups, cache size ${format.count(found.capacity)}. The best possible hit rate is ${format.percent(found.clairvoyant_hit_rate)}; the suggested size is ${format.count(found.suggested_capacity)}.</p>`}
  <//>`;
}

function Optimize() {
  const [steps, setSteps] = useState(null);
  const run = (dry) => async () => setSteps((await post("loader/optimize", undefined, { query: { dry_run: String(dry) } })).items);
  return html`<${Card} title="This worker's cache" actions=${html`<${Action} run=${run(true)}>Preview<//>`}>
    ${!steps && html`<p class="muted">Which agents to evict and preload, and why. The preview changes nothing.</p>`}
    ${steps && (steps.length ? html`<${Table} caption="Suggested evictions and preloads" rows=${steps} columns=${[
      { label: "Action", value: (row) => row.action, show: (row) => html`<${Badge} state=${row.action} tone=${row.action === "evict" ? "warn" : "accent"} />` },
      { label: "Agent", value: (row) => row.agent, show: (row) => html`<a href=${link("agents", row.agent)}>${row.agent}</a>` },
      { label: "Why", value: (row) => format.words(row.reason) },
      { label: "Score", num: true, value: (row) => row.score, show: (row) => format.decimal(row.score, 2) },
    ]} /><div class="row end"><${Action} run=${run(false)} done="Done.">Apply<//></div>` : html`<${Empty} title="Nothing to do" />`)}
  <//>`;
}

export function Loader() {
  const from = useResource("loader", {}, ["run.stage"]);
  const activity = useList("loader/activity", { limit: 20 }, ["run.stage"]);
  return html`
    <h2>Loader</h2>
    <${Loaded} from=${from}>${({ policy, total, workers, learned_until, strategies, insights }) => html`
      <div class="stats">
        <${Stat} label="Cache hit rate" value=${format.percent(total.cache_performance.hit_rate)} note=${`policy ${policy}`} />
        <${Stat} label="Agents cached" value=${format.count(total.agent_status.active_agents)} note=${`in ${format.count(workers.length)} workers; ${format.count(total.agent_status.total_configurations)} agents configured`} />
        <${Stat} label="Preloaded" value=${format.count(total.preloading.preload_successes)} note=${`${format.count(total.preloading.used)} used, ${format.count(total.preloading.wasted)} wasted`} />
        <${Stat} label="Ranking updated" value=${html`<${Ago} at=${learned_until} />`} note="agents by expected use" />
      </div>
      ${insights.map((each) => html`<p key=${each.code} class=${each.severity === "info" ? "note" : "note warn"}><b>${each.cause}</b> ${each.recommendation}</p>`)}
      ${strategies.length > 0 && html`<${Card} title="Strategies compared, last day"><${Table} caption="Hit rates by strategy" name="loader-strategies" rows=${strategies} keyOf=${(row) => row.strategy} columns=${[
        { label: "Strategy", value: (row) => row.strategy },
        { label: "Hits", num: true, value: (row) => row.hit_rate, show: (row) => format.percent(row.hit_rate) },
        { label: "With 95 % confidence", num: true, value: (row) => row.least, show: (row) => `${format.percent(row.least)} to ${format.percent(row.most)}` },
        { label: "Look-ups", num: true, value: (row) => row.hits + row.misses, show: (row) => format.count(row.hits + row.misses) },
      ]} /><//>`}
      <${Card} title="Workers"><${Table} caption="Caches by worker" rows=${workers} keyOf=${(row) => row.worker} columns=${[
        { label: "Worker", value: (row) => row.worker, show: (row) => html`<code>${row.worker.slice(0, 18)}</code>` },
        ...(strategies.length ? [{ label: "Strategy", value: (row) => row.strategy ?? "" }] : []),
        { label: "Seen", value: (row) => row.at, show: (row) => html`<${Ago} at=${row.at} />` }, ...METRICS,
      ]} /><//>`}<//>
    <div class="cols"><${Optimize} /><${WhatIf} /></div>
    <${Card} title="Agents by priority"><${ListTable} list=${activity} caption="Agents by priority" name="loader-activity" keyOf=${(row) => row.agent} empty=${html`<${Empty} title="No uses yet" />`} columns=${[
      { label: "Agent", value: (row) => row.agent, show: (row) => html`<a href=${link("agents", row.agent)}>${row.agent}</a> ${row.active ? html`<${Badge} state="cached" tone="ok" />` : ""}` },
      { label: "Priority", num: true, value: (row) => row.priority_score, show: (row) => html`${format.decimal(row.priority_score, 3)}<${Bar} part=${row.priority_score} />` },
      { label: "Uses", num: true, value: (row) => row.usage_count, show: (row) => format.count(row.usage_count) },
      { label: "Succeeded", num: true, value: (row) => row.success_rate, show: (row) => format.percent(row.success_rate) },
      { label: "Mean time", num: true, value: (row) => row.average_response_time_ms, show: (row) => format.duration(row.average_response_time_ms) },
      { label: "Cost (USD)", num: true, value: (row) => row.total_cost_micro_usd / 1e6, show: (row) => format.exactMoney(row.total_cost_micro_usd) },
      { label: "Often used next", value: (row) => row.companions.map((each) => `${each.agent} ${format.percent(each.share)}`).join(", ") },
    ]} /><//>
  `;
}
