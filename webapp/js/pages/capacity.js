// How full it is: pools and their limits, routes and their deployments, workers, teams.
import { html } from "../html.js";
import { all, get } from "../api.js";
import { useData } from "../data.js";
import { link } from "../route.js";
import * as format from "../format.js";
import { Ago, Badge, Bar, Card, Empty, Head, Loaded, Stat, Table } from "../ui.js";

const MOST_DETAILS = 20;
const TONES = { ok: "ok", warning: "warn", critical: "bad" };
const share = (used, limit) => (limit ? used / limit : 0);

/** A list's items one by one, for what only the single one says; `complete` says whether those are all. */
async function each(path, tail, abort) {
  const { items, complete } = await all(path, {}, MOST_DETAILS, { signal: abort });
  const found = await Promise.all(items.map(({ name }) => get(`${path}/${encodeURIComponent(name)}${tail}`, {}, { signal: abort })));
  return { items: found, complete };
}

const Some = ({ complete }) => !complete && html`<p class="note warn">Only the first ${MOST_DETAILS} are shown.</p>`;

function Resources({ found }) {
  const limits = found.pools.flatMap(({ pool, usage }) => usage.limits.map((one) => ({ ...one, pool, usage })));
  return html`
    <div class="stats">
      <${Stat} label="Capacity" value=${html`<${Badge} state=${found.level} tone=${TONES[found.level]} />`} note="the worst of workers and pools" />
      <${Stat} label="Workers" value=${format.count(found.workers.length)} note="seen in the last minutes" />
      <${Stat} label="Waiting for capacity" value=${format.count(found.pools.reduce((sum, { usage }) => sum + usage.waiting, 0))} note=${found.pools.length === 1 ? "in one pool" : `in ${format.count(found.pools.length)} pools`} />
    </div>
    <${Card} title="Pools">${limits.length ? html`<${Table} caption="Limits of pools, and what is used of them" name="pools" rows=${limits} keyOf=${(row) => `${row.pool} ${row.name}`} columns=${[
      { label: "Pool", value: (row) => row.pool, show: (row) => html`<strong>${row.pool}</strong>` },
      { label: "Limit", value: (row) => row.name, show: (row) => format.words(row.name) },
      { label: "In use", num: true, value: (row) => row.used, show: (row) => html`${format.count(row.used)} of ${format.count(row.limit)}<${Bar} part=${share(row.used, row.limit)} level=${row.level} />` },
      { label: "Level", value: (row) => row.level, show: (row) => html`<${Badge} state=${row.level} tone=${TONES[row.level]} />` },
      { label: "Waiting", num: true, value: (row) => row.usage.waiting, show: (row) => html`${format.count(row.usage.waiting)}${row.usage.waiting ? html`<div class="small muted">longest ${format.duration(row.usage.longest_wait_s * 1000)}</div>` : ""}` },
      { label: "Workers", num: true, value: (row) => row.usage.workers, show: (row) => format.count(row.usage.workers) },
    ]} />` : html`<${Empty} title="No pools"><span>Agents without a pool share no limit. Declare one with <code>PUT /api/pools/NAME</code>.</span><//>`}<//>
    <${Card} title="Workers">${found.workers.length ? html`<${Table} caption="Memory and CPU of workers" name="workers" rows=${found.workers} keyOf=${(row) => row.worker} columns=${[
      { label: "Worker", value: (row) => row.worker, show: (row) => html`<code>${row.worker.slice(0, 18)}</code>` },
      { label: "Seen", value: (row) => row.at, show: (row) => html`<${Ago} at=${row.at} />` },
      { label: "Memory", num: true, value: (row) => row.memory_mb, show: (row) => html`${format.count(row.memory_mb)} MB${row.memory_share == null ? "" : html` <span class="muted">${format.percent(row.memory_share)}</span><${Bar} part=${row.memory_share} level=${row.level} />`}` },
      { label: "CPU", num: true, value: (row) => row.cpu_share, show: (row) => html`${format.percent(row.cpu_share)}<${Bar} part=${row.cpu_share} level=${row.level} />` },
      { label: "Level", value: (row) => row.level, show: (row) => html`<${Badge} state=${row.level} tone=${TONES[row.level]} />` },
    ]} />` : html`<${Empty} title="No worker has said what it uses"><span>Workers say so once a minute while they work.</span><//>`}<//>`;
}

function Routes() {
  const from = useData((abort) => each("routes", "", abort), ["run.stage"]);
  return html`<${Loaded} from=${from} empty=${html`<${Card} title="Routes"><${Empty} title="No routes"><span>A route is several deployments behind one model name: <code>PUT /api/routes/NAME</code>.</span><//><//>`}>${({ items, complete }) => html`<${Some} complete=${complete} />${items.map((route) => html`
    <${Card} key=${route.name} title=${html`Route ${route.name}`} label=${`Route ${route.name}`}><${Table} caption=${`Deployments of ${route.name}`} name=${`route-${route.name}`} rows=${route.deployments} keyOf=${(row) => row.name} columns=${[
      { label: "Deployment", value: (row) => row.name, show: (row) => html`<strong>${row.name}</strong><div class="small muted">${row.model}, ${row.provider}</div>` },
      { label: "Takes calls", value: (row) => row.available, show: (row) => html`<${Badge} state=${row.available ? "yes" : "no"} tone=${row.available ? "ok" : "bad"} />${row.last_failure ? html`<div class="small muted">${row.last_failure}</div>` : ""}` },
      { label: "Breaker", value: (row) => row.breaker, show: (row) => html`${format.words(row.breaker)}${row.open_until ? html`<div class="small muted">tried again <${Ago} at=${row.open_until} /></div>` : ""}${row.throttled_until ? html`<div class="small muted">throttled, ends <${Ago} at=${row.throttled_until} /></div>` : ""}` },
      { label: "Priority", num: true, value: (row) => row.priority, show: (row) => html`${row.priority}<div class="small muted">weight ${format.count(row.weight)}</div>` },
      { label: "Requests this minute", num: true, value: (row) => row.minute.requests, show: (row) => html`${format.count(row.minute.requests)}${row.rpm ? ` of ${format.count(row.rpm)}` : ""}` },
      { label: "Tokens this minute", num: true, value: (row) => row.minute.tokens, show: (row) => html`${format.count(row.minute.tokens)}${row.tpm ? ` of ${format.count(row.tpm)}` : ""}` },
      { label: "Share of 5 minutes", num: true, value: (row) => row.share, show: (row) => html`${format.percent(row.share)}${row.share == null ? "" : html`<${Bar} part=${row.share} />`}<div class="small muted">${format.count(row.recent.failures)} of ${format.count(row.recent.requests)} failed</div>` },
    ]} /><//>`)}`}<//>`;
}

function Teams() {
  const from = useData((abort) => each("teams", "/status", abort), ["handoff.", "person.", "session.state_changed"]);
  return html`<${Loaded} from=${from} empty=${html`<${Card} title="Teams"><${Empty} title="No teams"><span>Agents and people who serve one conversation: <code>PUT /api/teams/NAME</code>.</span><//><//>`}>${({ items, complete }) => html`<${Some} complete=${complete} />${items.map((team) => html`
    <${Card} key=${team.team} title=${html`Team ${team.team}`} label=${`Team ${team.team}`} actions=${html`<a href=${link("chat", team.team, { with: "team" })}>Ask it</a>`}>
      <p class="small muted">${format.count(team.conversations)} open conversations, ${format.count(team.waiting_for_member)} waiting for capacity; in 7 days ${format.count(team.handoffs)} handoffs and ${format.count(team.escalations)} escalations.</p>
      ${team.insights.map((text) => html`<p class="note warn">${text}</p>`)}
      <${Table} caption=${`Members of ${team.team}`} name=${`team-${team.team}`} rows=${team.members} keyOf=${(row) => row.name} columns=${[
        { label: "Member", value: (row) => row.name, show: (row) => html`<strong>${row.name}</strong>${row.role ? html`<div class="small muted">${format.words(row.role)}</div>` : ""}` },
        { label: "Who", value: (row) => row.agent ?? row.people.join(", "), show: (row) => (row.agent ? html`<a href=${link("agents", row.agent)}>${row.agent}</a>` : row.people.join(", ")) },
        { label: "Present", value: (row) => row.present, show: (row) => html`<${Badge} state=${row.present ? "yes" : "away"} tone=${row.present ? "ok" : "warn"} />` },
        { label: "Conversations", num: true, value: (row) => row.workload, show: (row) => html`${format.count(row.workload)} of ${format.count(row.max_workload)}<${Bar} part=${share(row.workload, row.max_workload)} />` },
        { label: "Waiting", num: true, value: (row) => row.waiting, show: (row) => html`${format.count(row.waiting)}${row.longest_wait_s == null ? "" : html`<div class="small muted">longest ${format.duration(row.longest_wait_s * 1000)}</div>`}` },
        { label: "Time to answer", num: true, value: (row) => row.answer_s, show: (row) => format.duration(row.answer_s == null ? null : row.answer_s * 1000) },
      ]} /><//>`)}`}<//>`;
}

export function Capacity() {
  const found = useData((abort) => get("resources", {}, { signal: abort }), ["run.stage", "resource.", "pool."]);
  return html`
    <${Head} title="Capacity" text="What agents, deployments, workers and people can take, and how much of it is in use." />
    <div class="stack">
      <${Loaded} from=${found}>${(data) => html`<${Resources} found=${data} />`}<//>
      <${Routes} />
      <${Teams} />
    </div>
  `;
}
