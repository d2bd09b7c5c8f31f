// The fleet: which agents there are, and one with everything that is known of it.
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { all, get, send } from "../api.js";
import { useData, useList, useResource } from "../data.js";
import { link, refine, route } from "../route.js";
import * as format from "../format.js";
import { Action, Ago, Badge, Card, Empty, Head, ListTable, Loaded, Stat, Table, Tabs } from "../ui.js";
import { Compare } from "../compare.js";
import { AgentTrends } from "./quality.js";
import { range } from "../range.js";

async function fleet(abort) {
  const options = { signal: abort };
  const today = format.isoDay(new Date());
  const [agents, figures] = await Promise.all([
    all("agents", {}, 1000, options),
    all("performance", { from: format.addDays(today, -29), to: today }, 1000, options),
  ]);
  const byName = new Map(figures.items.map((each) => [each.agent, each.figures]));
  return { ...agents, items: agents.items.filter((each) => each.state !== "deleted").map((each) => ({ ...each, figures: byName.get(each.name) })) };
}

const matches = (agent, words) => {
  const text = `${agent.name} ${agent.spec.description} ${agent.spec.model} ${agent.spec.provider} ${agent.state}`.toLowerCase();
  return words.every((word) => text.includes(word));
};

function List() {
  const [query, setQuery] = useState("");
  const from = useData(fleet, ["agent.", "run.stage"]);
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return html`
    <${Head} title="Agents"><label class="sr" for="search">Search agents</label><input id="search" type="search" data-search placeholder="Search" value=${query} onInput=${(event) => setQuery(event.target.value)} /><//>
    <section class="card" aria-label="Agents">
      <${Loaded} from=${from} empty=${html`<${Empty} title="No agents yet"><span>Declare one with <code>PUT /api/agents/NAME</code>, or create one from a preset in the <a href=${link("chat")}>chat</a>.</span><//>`}>${({ items, complete }) => {
        const shown = items.filter((each) => matches(each, words));
        return html`${!complete && html`<p class="note warn">Only the first ${format.count(items.length)} are listed.</p>`}
        ${shown.length ? html`<${Table} caption="Agents; figures of 30 days" name="agents" rows=${shown} keyOf=${(row) => row.name} columns=${[
          { label: "Agent", value: (row) => row.name, show: (row) => html`<a href=${link("agents", row.name)}>${row.name}</a><div class="small muted">${row.spec.description}</div>` },
          { label: "State", value: (row) => row.state, show: (row) => html`<${Badge} state=${row.state} />${row.failure ? html`<div class="small muted">${row.failure.code}</div>` : ""}${row.health?.trouble ? html`<div class="small muted">${row.health.trouble}</div>` : ""}` },
          { label: "Model", value: (row) => row.spec.model, show: (row) => html`<span class="num">${row.spec.model}</span><div class="small muted">${row.spec.provider}</div>` },
          { label: "Version", value: (row) => row.version?.version, show: (row) => html`${row.version?.version ?? format.none}${row.current || !row.version ? "" : html` <span class="badge warn">behind</span>`}` },
          { label: "Uses", num: true, value: (row) => row.uses, show: (row) => format.count(row.uses) },
          { label: "Last used", value: (row) => row.last_used, show: (row) => html`<${Ago} at=${row.last_used} />` },
          { label: "Cost (USD)", num: true, value: (row) => (row.figures?.cost_micro_usd ?? 0) / 1e6, show: (row) => format.exactMoney(row.figures?.cost_micro_usd ?? 0) },
          { label: "Quality", num: true, value: (row) => row.figures?.quality, show: (row) => format.decimal(row.figures?.quality) },
          { label: "p95", num: true, value: (row) => row.figures?.latency_ms.p95, show: (row) => format.duration(row.figures?.latency_ms.p95) },
        ]} />` : html`<${Empty} title="No agent matches" />`}`;
      }}<//>
    </section>
  `;
}

const value = (what) => (typeof what === "string" ? what : JSON.stringify(what));

function Spec({ name }) {
  const [defaults, setDefaults] = useState(false);
  const from = useResource(`agents/${encodeURIComponent(name)}/effective`, {}, ["agent."], { of: { agent: name } });
  return html`<${Loaded} from=${from}>${({ values, choices, instructions, mcp, problem }) => html`<div class="stack">
    ${problem && html`<div class="note bad" role="alert">${problem.detail} <code>${problem.code}</code></div>`}
    <${Card} title="Values, and where each comes from" actions=${html`<label class="row small"><input type="checkbox" checked=${defaults} onChange=${(event) => setDefaults(event.target.checked)} /> with defaults</label>`}><${Table} caption="Effective spec" rows=${[...values, ...choices].filter((each) => defaults || each.origin.kind !== "default")} keyOf=${(row) => row.pointer} columns=${[
      { label: "Field", value: (row) => row.pointer, show: (row) => html`<code>${row.pointer}</code>` },
      { label: "Value", value: (row) => value(row.value) },
      { label: "From", value: (row) => `${row.origin.kind} ${row.origin.name}`, show: (row) => html`${format.words(row.origin.kind)} ${row.origin.name}${row.origin.version ? html` <span class="muted">v${row.origin.version}</span>` : ""}` },
    ]} /><//>
    ${mcp.length > 0 && html`<${Card} title="MCP servers"><${Table} caption="What each offered when the agent was declared" rows=${mcp} keyOf=${(row) => row.server_label} columns=${[
      { label: "Server", value: (row) => row.server_label },
      { label: "Called by", value: (row) => (row.called_by === "provider" ? "the provider" : "this app") },
      { label: "Tools", value: (row) => row.tools.map((tool) => tool.name).join(", ") },
      { label: "Now", value: (row) => row.state, show: (row) => html`<${Badge} state=${row.state} tone=${row.state === "same" ? "ok" : "warn"} /> ${row.problem ? html`<code>${row.problem}</code>` : Object.entries(row.changes).map(([tool, change]) => `${tool} was ${change}`).join(", ")}` },
    ]} sortable=${false} /><//>`}
    ${instructions.length > 0 && html`<${Card} title="Instructions, by where each part comes from"><dl class="stack">${instructions.map((each) => html`<div><dt class="small muted">${each.origins.map((one) => `${format.words(one.kind)} ${one.name}`).join(", ")}</dt><dd class="verbatim">${each.text}</dd></div>`)}</dl><//>`}
  </div>`}<//>`;
}

function Versions({ name, reload }) {
  const path = `agents/${encodeURIComponent(name)}`;
  const from = useResource(`${path}/versions`, {}, ["agent."], { of: { agent: name } });
  const labels = [...new Set((from.data?.items ?? []).map((each) => each.version))];
  const back = (version) => send("POST", `${path}/rollback`, { body: { version } });
  return html`<${Card} title="Versions at the provider"><${Loaded} from=${from} empty=${html`<${Empty} title="No versions at the provider"><span>A version is created when the agent is first used.</span><//>`}>${({ items }) => html`
    <${Table} caption="Versions, newest first" rows=${items} keyOf=${(row) => row.id} columns=${[
      { label: "Version", value: (row) => row.version, show: (row) => html`${row.version} ${row.current ? html`<${Badge} state="current" tone="ok" />` : ""}` },
      { label: "Made", value: (row) => row.created_at, show: (row) => html`<${Ago} at=${row.created_at} />` },
      { label: "Kept because", value: (row) => row.kept_because },
      { label: "Pinned sessions", num: true, value: (row) => row.pinned_sessions },
      { label: "Fingerprint", value: (row) => row.fingerprint, show: (row) => html`<code>${row.fingerprint.slice(0, 12)}</code>` },
      { label: "Roll back", value: () => "", show: (row) => (row.current ? "" : html`<${Action} run=${() => back(row.version)} done="Rolled back." after=${() => { from.reload(); reload(); }} ask=${{ title: `Go back to version ${row.version}?`, text: "The spec that it was made from is declared again. Nothing is deleted; forward is the same.", action: "Roll back" }}>Roll back<//>`) },
    ]} sortable=${false} />`}<//><//>
    ${labels.length > 1 && html`<${Compare} key=${labels.join()} agent=${name} versions=${labels} />`}`;
}

function Audit({ name }) {
  const list = useList(`agents/${encodeURIComponent(name)}/audit`, { limit: 50 }, ["agent."]);
  return html`<${Card} title="Audit"><${ListTable} list=${list} caption="What happened to the agent" name=${`${name}-audit`} empty=${html`<${Empty} title="Nothing yet" />`} columns=${[
    { label: "When", value: (row) => row.at, show: (row) => format.exactTime(row.at) },
    { label: "What", value: (row) => row.step, show: (row) => format.words(row.step) },
    { label: "Version", value: (row) => row.version },
    { label: "By", value: (row) => row.by },
    { label: "Why", value: (row) => row.why },
  ]} /><//>`;
}

function One({ id }) {
  const path = `agents/${encodeURIComponent(id)}`;
  const from = useResource(path, {}, ["agent.", "run.stage"], { of: { agent: id } });
  const tab = route.value.query.tab ?? "spec";
  const order = (what) => () => send("POST", `${path}/${what}`);
  return html`
    <${Head} title=${id}><a class="button" href=${link("chat", id)}>Ask it</a><//>
    <${Loaded} from=${from}>${(agent) => html`<div class="stack">
      ${agent.spec.description && html`<p class="muted">${agent.spec.description}</p>`}
      ${agent.failure && html`<div class="note bad" role="alert"><strong>Provisioning failed.</strong> ${agent.failure.detail} <code>${agent.failure.code}</code></div>`}
      ${agent.health?.trouble && html`<div class="note warn">At its provider: ${agent.health.trouble}, since <${Ago} at=${agent.health.trouble_since} /></div>`}
      <div class="stats">
        <${Stat} label="State" value=${html`<${Badge} state=${agent.state} />`} note=${agent.version ? (agent.current ? "its version is current" : "a new version is due") : "nothing at the provider"} />
        <${Stat} label="Model" value=${agent.spec.model} note=${agent.spec.provider} />
        <${Stat} label="Version" value=${agent.version?.version ?? format.none} note=${`revision ${agent.revision} · ${format.count(agent.superseded_versions)} superseded`} />
        <${Stat} label="Uses" value=${format.count(agent.uses)} note=${html`last <${Ago} at=${agent.last_used} />`} />
      </div>
      <div class="row">
        <${Action} run=${order("prewarm")} done="It is being prewarmed." after=${from.reload}>Prewarm<//>
        <${Action} run=${order("verify")} done="It is being verified." after=${from.reload}>Verify<//>
        ${agent.state === "disabled" ? html`<${Action} class="primary" run=${order("enable")} done="It is being enabled." after=${from.reload}>Enable<//>` : html`<${Action} run=${order("disable")} done="It is being disabled." after=${from.reload} ask=${{ title: `Disable ${id}?`, text: "Its runs are refused until somebody enables it.", action: "Disable it", danger: true }}>Disable<//>`}
        ${agent.state === "idle" ? html`<${Action} run=${order("restore")} done="It is being restored." after=${from.reload}>Restore<//>` : html`<${Action} run=${order("retire")} done="It is being retired." after=${from.reload} ask=${{ title: `Retire ${id}?`, text: "It is put away at the provider. Its spec is kept, and its next run brings it back.", action: "Retire it" }}>Retire<//>`}
      </div>
      <${Tabs} label="What to show" value=${tab} options=${[["spec", "Spec"], ["versions", "Versions"], ["trends", "Quality and speed"], ["audit", "Audit"]]} onChange=${(next) => refine({ tab: next })} />
      ${tab === "spec" && html`<${Spec} name=${id} />`}
      ${tab === "versions" && html`<${Versions} name=${id} reload=${from.reload} />`}
      ${tab === "trends" && html`<${AgentTrends} agent=${id} days=${range()} />`}
      ${tab === "audit" && html`<${Audit} name=${id} />`}
    </div>`}<//>
  `;
}

export const Agents = ({ id }) => (id ? html`<${One} key=${id} id=${id} />` : html`<${List} />`);
