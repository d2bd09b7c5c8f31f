// What operators look after: drift from the providers, what would be pruned, dead letters, the loader.
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { get, offers, post, send } from "../api.js";
import { useData, useList } from "../data.js";
import { link } from "../route.js";
import { Loader } from "./loader.js";
import * as format from "../format.js";
import { Action, Ago, Badge, Card, Empty, Head, ListTable, Loaded, Stat, Table, say } from "../ui.js";

const SIGNS = { create: "+", make: "+", adopt: "+", update: "~", delete: "−", retire: "−", forget: "−" };
const sign = (line) => (line.destructive ? "−" : (SIGNS[line.action] ?? "~"));
const CLASSES = { "+": "plus", "−": "minus", "~": "tilde" };

function Drift() {
  const [plan, setPlan] = useState(null);
  const look = async () => setPlan(await get("registry/plan", { limit: 200 }));
  const apply = async (destructive) => {
    await post("registry/apply", { plan_id: plan.id, destructive });
    setPlan(await get(`registry/plan/${encodeURIComponent(plan.id)}`));
  };
  return html`<${Card} title="Drift from the providers" actions=${html`<${Action} run=${look}>${plan ? "Check again" : "Check"}<//>`}>
    ${!plan && html`<p class="muted">How agents differ from what is at their providers, with the reason for each line. Checking changes nothing.</p>`}
    ${plan && html`<div class="stack">
      <p>${Object.entries(plan.counts).map(([kind, n]) => `${format.count(n)} ${format.words(kind).toLowerCase()}`).join(", ") || "No difference"}; ${format.count(plan.unchanged)} unchanged. <span class="muted">Plan ${plan.id}, <${Ago} at=${plan.at} /></span></p>
      ${Object.entries(plan.unseen).map(([provider, why]) => html`<div class="note warn">${provider} could not be looked at: ${why}</div>`)}
      ${plan.items.length > 0 && html`<div class="diff" role="list">${plan.items.map((line) => html`<div role="listitem" class=${CLASSES[sign(line)]}>${sign(line)} ${line.would || line.action} ${line.agent ?? line.name ?? ""}<span class="muted"> – ${line.why}${line.outcome && line.outcome !== "pending" ? ` (${line.outcome}${line.detail ? `: ${line.detail}` : ""})` : ""}</span></div>`)}</div>
      <div class="row"><${Action} class="primary" run=${() => apply(false)} done="The plan is applied, but for what deletes." ask=${{ title: "Apply this plan?", text: "Everything but the lines that delete something is done.", action: "Apply" }}>Apply<//>
        ${plan.items.some((line) => line.destructive) && html`<${Action} class="danger" run=${() => apply(true)} done="The plan is applied." ask=${{ title: "Apply, with deletions?", text: "Lines that delete something at a provider are done, too.", action: "Apply all", danger: true, type: "delete" }}>Apply with deletions…<//>`}</div>`}
    </div>`}
  <//>`;
}

function Prune() {
  const [verdicts, setVerdicts] = useState(null);
  const judge = async (dry) => {
    const answer = await post("prune", undefined, { query: { dry_run: String(dry) } });
    setVerdicts(answer.items);
    if (!dry) say("Done.");
  };
  return html`<${Card} title="Idle agents" actions=${html`<${Action} run=${() => judge(true)}>Preview the prune<//>`}>
    ${!verdicts && html`<p class="muted">What the prune timer would do now, and why. The preview changes nothing.</p>`}
    ${verdicts && !verdicts.length && html`<${Empty} title="Nothing is due" />`}
    ${verdicts?.length > 0 && html`<${Table} caption="What would be pruned" rows=${verdicts} keyOf=${(row) => row.agent} columns=${[
      { label: "Agent", value: (row) => row.agent, show: (row) => html`<a href=${link("agents", row.agent)}>${row.agent}</a>` },
      { label: "What", value: (row) => row.action, show: (row) => html`<${Badge} state=${row.action} tone=${row.action === "keep" ? "" : "warn"} />` },
      { label: "Why", value: (row) => row.reason },
      { label: "Idle since", value: (row) => row.idle_since, show: (row) => html`<${Ago} at=${row.idle_since} />` },
    ]} /><div class="row end"><${Action} class="danger" run=${() => judge(false)} ask=${{ title: "Prune now?", text: "Idle agents are retired; their next run brings them back.", action: "Prune", danger: true }}>Prune now<//></div>`}
  <//>`;
}

function DeadLetters() {
  const list = useList("dead-letters", { limit: 50 }, ["run.stage"]);
  return html`<${Card} title="Dead letters"><${ListTable} list=${list} caption="Messages that the queue gave up on" name="dead-letters" keyOf=${(row) => row.id} empty=${html`<${Empty} title="None"><span>Messages that were tried as often as the queue allows come here.</span><//>`} columns=${[
    { label: "Came", value: (row) => row.enqueued_at, show: (row) => html`<${Ago} at=${row.enqueued_at} />` },
    { label: "Agent", value: (row) => row.agent },
    { label: "Run", value: (row) => row.run_id, show: (row) => (row.run_id ? html`<a class="mono small" href=${link("runs", row.run_id)}>${row.run_id.slice(0, 13)}…</a>` : format.none) },
    { label: "Why", value: (row) => row.code, show: (row) => html`<code>${row.code}</code><div class="small muted">${row.detail}</div>` },
    { label: "Tries", num: true, value: (row) => row.deliveries },
    { label: "Redrive", value: () => "", show: (row) => (row.redrivable ? html`<${Action} run=${() => send("POST", `dead-letters/${row.id}/redrive`)} done="It is back on the queue." after=${list.reload}>Redrive<//>` : html`<span class="small muted">cannot be redriven</span>`) },
  ]} /><//>`;
}

function Lifecycle() {
  const from = useData((abort) => get("stats", { limit: 1 }, { signal: abort }), ["agent."]);
  return html`<${Loaded} from=${from}>${({ lifecycle }) => html`<div class="stats">
    <${Stat} label="Agents" value=${format.count(Object.values(lifecycle.agents).reduce((sum, n) => sum + n, 0))} note=${Object.entries(lifecycle.agents).filter(([, n]) => n).map(([state, n]) => `${n} ${state}`).join(", ")} />
    <${Stat} label="Versions kept" value=${format.count(lifecycle.versions)} note="at providers" />
    <${Stat} label="Time to make one" value=${format.duration(lifecycle.mean_provisioning_s == null ? null : lifecycle.mean_provisioning_s * 1000)} note="mean of 24 hours" />
    <${Stat} label="Steps in 24 hours" value=${format.count(Object.values(lifecycle.steps).reduce((sum, n) => sum + n, 0))} note=${Object.entries(lifecycle.steps).slice(0, 4).map(([step, n]) => `${n} ${step}`).join(", ") || "none"} />
  </div>`}<//>`;
}

export const Operations = () => html`
  <${Head} title="Operations" />
  <div class="stack"><${Lifecycle} /><${Drift} /><${Prune} /><${DeadLetters} />${offers("GET loader") && html`<${Loader} />`}</div>
`;
