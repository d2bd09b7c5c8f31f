// One run: what was asked and answered, what it took, and when what happened.
import { html } from "../html.js";
import { get, send } from "../api.js";
import { useData, useList } from "../data.js";
import { link } from "../route.js";
import * as format from "../format.js";
import { Action, Ago, Badge, Card, Empty, Head, ListTable, Loaded, Money } from "../ui.js";
import { Ended, Metrics, Parts, Stages } from "../answer.js";
import { Timeline } from "../timeline.js";

async function load(id, abort) {
  const options = { signal: abort };
  const run = await get(`runs/${encodeURIComponent(id)}`, {}, options);
  // A session too large for one answer, or erased meanwhile, takes nothing from what is known of the run.
  const events = await get(`sessions/${encodeURIComponent(run.session_id)}/export`, { format: "json" }, options).then((found) => found.events, () => []);
  return { run, events };
}

export function Runs({ id }) {
  const from = useData(id ? (abort) => load(id, abort) : null, ["run."], [id], { of: { run_id: id } });
  const own = (name) => () => send("POST", `runs/${id}/${name}`);
  return html`
    <${Head} title="Run">${from.data && html`<a class="button" href=${link("sessions", from.data.run.session_id)}>Its session</a>`}<//>
    <${Loaded} from=${from}>${({ run, events }) => html`<div class="stack">
      <${Card} title=${html`${run.agent} <${Badge} state=${run.state} />`} label="Question and answer" actions=${html`
        ${run.state === "waiting" && html`<${Action} class="primary" run=${own("resume")} done="Resumed." after=${from.reload}>Resume<//>`}
        ${!run.finished_at && html`<${Action} class="danger" run=${own("cancel")} done="It is being cancelled." after=${from.reload}>Cancel<//>`}`}>
        <div class="stack"><p><strong>${run.query}</strong></p>${run.finished_at ? html`<div class="message agent"><${Ended} run=${run} /></div>` : html`<${Stages} stage=${run.stage} />`}</div>
      <//>
      <div class="cols">
        <${Card} title="When"><${Timeline} run=${run} events=${events} /><//>
        <${Card} title="What it took"><${Metrics} run=${run} /><//>
        ${run.score && html`<${Card} title=${`Quality ${run.score.overall} of 100`}><${Parts} score=${run.score} /><//>`}
        ${Object.keys(run.metadata).length > 0 && html`<${Card} title="Metadata"><dl class="pairs">${Object.entries(run.metadata).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl><//>`}
      </div>
    </div>`}<//>
  `;
}

/** The workspace's runs, where the server lists them. */
export function AllRuns({ state, agent, user, from, to }) {
  const list = useList("runs", { state, agent, user, from, to, limit: 50 }, ["run.stage", "run.queued"]);
  return html`<${ListTable} list=${list} caption="Runs" name="runs" keyOf=${(row) => row.id} empty=${html`<${Empty} title="No runs" />`}
    columns=${[
      { label: "Run", value: (row) => row.id, show: (row) => html`<a class="mono small" href=${link("runs", row.id)}>${row.id.slice(0, 18)}…</a>` },
      { label: "Agent", value: (row) => row.agent },
      { label: "User", value: (row) => row.user_id },
      { label: "State", value: (row) => row.state, show: (row) => html`<${Badge} state=${row.state} />` },
      { label: "Asked", value: (row) => row.created_at, show: (row) => html`<${Ago} at=${row.created_at} />` },
      { label: "Took", num: true, value: (row) => (row.finished_at ? Date.parse(row.finished_at) - Date.parse(row.created_at) : null), show: (row) => (row.finished_at ? format.duration(Date.parse(row.finished_at) - Date.parse(row.created_at)) : format.none) },
      { label: "Cost (USD)", num: true, value: (row) => (row.spend ? row.spend.cost_micro_usd / 1e6 : null), show: (row) => (row.spend ? html`<${Money} micro=${row.spend.cost_micro_usd} unpriced=${row.spend.unpriced_calls} exact />` : format.none) },
    ]} />`;
}
