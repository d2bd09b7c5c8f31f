// What operators look after: drift from the providers, what would be pruned, dead letters, the loader.
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { get, post, send } from "../api.js";
import { useData, useList } from "../data.js";
import { link } from "../route.js";
import { Drift } from "../drift.js";
import { Loader } from "./loader.js";
import * as format from "../format.js";
import { Action, Ago, Badge, Card, Empty, Head, ListTable, Loaded, Stat, Table, say } from "../ui.js";

function Prune() {
  const [verdicts, setVerdicts] = useState(null);
  const judge = async (dry) => {
    const answer = await post("prune", undefined, { query: { dry_run: String(dry) } });
    setVerdicts(answer.items);
    if (!dry) say("Done.");
  };
  return html`<${Card} title="Prune" actions=${html`<${Action} run=${() => judge(true)}>Preview<//>`}>
    ${!verdicts && html`<p class="muted">Which idle agents the prune would retire now, and why. The preview changes nothing.</p>`}
    ${verdicts && !verdicts.length && html`<${Empty} title="No agent is idle" />`}
    ${verdicts?.length > 0 && html`<${Table} caption="What would be pruned" rows=${verdicts} keyOf=${(row) => row.agent} columns=${[
      { label: "Agent", value: (row) => row.agent, show: (row) => html`<a href=${link("agents", row.agent)}>${row.agent}</a>` },
      { label: "Action", value: (row) => row.action, show: (row) => html`<${Badge} state=${row.action} tone=${row.action === "keep" ? "" : "warn"} />` },
      { label: "Why", value: (row) => row.reason },
      { label: "Idle since", value: (row) => row.idle_since, show: (row) => html`<${Ago} at=${row.idle_since} />` },
    ]} /><div class="row end"><${Action} class="danger" run=${() => judge(false)} ask=${{ title: "Prune now?", text: "Idle agents are retired; their next run brings them back.", action: "Prune", danger: true }}>Prune now<//></div>`}
  <//>`;
}

function DeadLetters() {
  const list = useList("dead-letters", { limit: 50 }, ["run.stage"]);
  return html`<${Card} title="Dead letters"><${ListTable} list=${list} caption="Messages that the queue gave up on" name="dead-letters" keyOf=${(row) => row.id} empty=${html`<${Empty} title="Nothing is left over"><span>Runs that failed for good and messages that the queue gave up on come here.</span><//>`} columns=${[
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
    <${Stat} label="Versions kept" value=${format.count(lifecycle.versions)} note="at the providers" />
    <${Stat} label="Mean provisioning time" value=${format.duration(lifecycle.mean_provisioning_s == null ? null : lifecycle.mean_provisioning_s * 1000)} note="in 24 hours" />
    <${Stat} label="Lifecycle steps" value=${format.count(Object.values(lifecycle.steps).reduce((sum, n) => sum + n, 0))} note=${`${Object.entries(lifecycle.steps).slice(0, 4).map(([step, n]) => `${n} ${step}`).join(", ") || "none"} in 24 hours`} />
  </div>`}<//>`;
}

export const Operations = () => html`
  <${Head} title="Operations" text="Whether providers have what is declared, which agents are idle, what could not be processed, and which agents are kept ready." />
  <div class="stack"><${Lifecycle} /><${Drift} /><${Prune} /><${DeadLetters} /><${Loader} /></div>
`;
