// Conversations: which there are, and one with all its runs.
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { get, send } from "../api.js";
import { useData, useList } from "../data.js";
import { go, link, refine, route } from "../route.js";
import * as format from "../format.js";
import { Action, Ago, Badge, Card, Dialog, Empty, Head, ListTable, Loaded, Money, Stat, Tabs, download } from "../ui.js";
import { Ended, Stages } from "../answer.js";
import { Timeline } from "../timeline.js";
import { AllRuns } from "./runs.js";

const RUN_STATES = ["", "queued", "running", "waiting", "succeeded", "failed", "cancelled"];
const STATES = ["", "started", "active", "waiting", "paused", "ended"];

const UUID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/i;

/** Go to the run or session of that id: the server's ids of both look alike. */
async function find(id) {
  if (!id) return;
  const isRun = UUID.test(id) && (await get(`runs/${id}`).then(() => true, (error) => error.status !== 404));
  go(isRun ? "runs" : "sessions", id);
}

function List() {
  const { state = "", agent = "", user = "", view = "sessions", from = "", to = "" } = route.value.query;
  return html`
    <${Head} title="Sessions and runs">
      <form class="row" role="search" onSubmit=${(event) => { event.preventDefault(); find(new FormData(event.target).get("id").trim()); }}>
        <label class="sr" for="find">Session or run id</label><input id="find" name="id" data-search placeholder="Session or run id" /><button type="submit">Open</button>
      </form>
    <//>
    <section class="card stack" aria-label="List">
      <div class="row">
        <${Tabs} label="What to list" value=${view} options=${[["sessions", "Sessions"], ["runs", "Runs"]]} onChange=${(next) => refine({ view: next, state: "" })} />
        <label class="field">State<select value=${state} onChange=${(event) => refine({ state: event.target.value })}>${(view === "runs" ? RUN_STATES : STATES).map((each) => html`<option value=${each}>${each ? format.words(each) : "Any"}</option>`)}</select></label>
        <label class="field">Agent<input value=${agent} onChange=${(event) => refine({ agent: event.target.value.trim() })} /></label>
        <label class="field">User<input value=${user} onChange=${(event) => refine({ user: event.target.value.trim() })} /></label>
        ${view === "runs" && html`
          <label class="field">From (UTC)<input type="date" value=${from} onChange=${(event) => refine({ from: event.target.value })} /></label>
          <label class="field">To (UTC)<input type="date" value=${to} onChange=${(event) => refine({ to: event.target.value })} /></label>`}
      </div>
      ${view === "runs" ? html`<${AllRuns} state=${state} agent=${agent} user=${user} from=${from} to=${to} />` : html`<${AllSessions} state=${state} agent=${agent} user=${user} />`}
    </section>
  `;
}

function AllSessions({ state, agent, user }) {
  const list = useList("sessions", { state, agent, user_id: user, limit: 50 }, ["session.", "run.stage"]);
  return html`<${ListTable} list=${list} caption="Sessions" name="sessions" keyOf=${(row) => row.id}
    empty=${html`<${Empty} title="No sessions"><span>${state || agent || user ? "None matches these filters." : "A session begins with the first run."}</span><//>`}
    columns=${[
      { label: "Session", value: (row) => row.id, show: (row) => html`<a href=${link("sessions", row.id)}>${row.id}</a>` },
      { label: "Agent", value: (row) => row.agent, show: (row) => html`<a href=${link("agents", row.agent)}>${row.agent}</a>` },
      { label: "User", value: (row) => row.user_id },
      { label: "State", value: (row) => row.state, show: (row) => html`<${Badge} state=${row.state} />${row.end_reason || row.pause_reason ? html` <span class="small muted">${format.words(row.end_reason ?? row.pause_reason)}</span>` : ""}` },
      { label: "Runs", num: true, value: (row) => row.runs, show: (row) => html`${format.count(row.runs)}${row.pending ? html` <span class="badge accent">${row.pending} open</span>` : ""}` },
      { label: "Tokens", num: true, value: (row) => row.spend.input_tokens + row.spend.output_tokens, show: (row) => format.count(row.spend.input_tokens + row.spend.output_tokens) },
      { label: "Cost (USD)", num: true, value: (row) => row.spend.cost_micro_usd / 1e6, show: (row) => html`<${Money} micro=${row.spend.cost_micro_usd} unpriced=${row.spend.unpriced_calls} exact />` },
      { label: "Last activity", value: (row) => row.last_activity, show: (row) => html`<${Ago} at=${row.last_activity} />` },
    ]} />`;
}

function Receipt({ receipt, onClose }) {
  return html`<${Dialog} title=${receipt.completed_at ? "Erased" : "Erasing"} onClose=${onClose}>
    <p>${receipt.completed_at ? "Everything is erased except what is listed below." : "It is being erased; a timer finishes what a worker still holds."}</p>
    <dl class="pairs">
      <dt>Runs</dt><dd>${format.count(receipt.runs)}</dd><dt>Messages</dt><dd>${format.count(receipt.messages)}</dd>
      <dt>Events</dt><dd>${format.count(receipt.events)}</dd><dt>Conversations at providers</dt><dd>${format.count(receipt.conversations)}</dd>
      ${Object.entries(receipt.kept ?? {}).map(([name, why]) => html`<dt>Kept: ${format.words(name).toLowerCase()}</dt><dd>${why}</dd>`)}
    </dl>
    <div class="row end"><button onClick=${() => download(`receipt-${receipt.session_id}.json`, JSON.stringify(receipt, null, 2), "application/json")}>Download the receipt</button>
      <button class="primary" onClick=${onClose}>Close</button></div>
  <//>`;
}

function One({ id }) {
  const path = `sessions/${encodeURIComponent(id)}`;
  const from = useData((abort) => get(`${path}/export`, { format: "json" }, { signal: abort }), ["run.", "session."], [id], { of: { session_id: id } });
  const [receipt, setReceipt] = useState(null);
  const erase = async () => setReceipt(await (await send("DELETE", path)).json());
  const act = (what) => () => send("POST", `${path}/${what}`);
  return html`
    <${Head} title=${`Session ${id}`}>
      ${from.data && html`<a class="button" href=${link("chat", from.data.session.agent, { session: id })}>Go on in chat</a>`}
    <//>
    ${receipt && html`<${Receipt} receipt=${receipt} onClose=${() => go("sessions")} />`}
    <${Loaded} from=${from}>${({ session, runs, events }) => html`<div class="stack">
      <div class="stats">
        <${Stat} label="State" value=${html`<${Badge} state=${session.state} />`} note=${format.words(session.end_reason ?? session.pause_reason ?? "") || html`started <${Ago} at=${session.created_at} />`} />
        <${Stat} label="Agent" value=${html`<a href=${link("agents", session.agent)}>${session.agent}</a>`} note=${session.user_id ? `for ${session.user_id}` : "no user"} />
        <${Stat} label="Runs" value=${format.count(session.runs)} note=${`${format.count(session.pending)} not finished · ${format.count(session.turns)} messages`} />
        <${Stat} label="Cost" value=${format.money(session.spend.cost_micro_usd)} title=${format.exactMoney(session.spend.cost_micro_usd)} note=${session.spend.unpriced_calls ? `and ${session.spend.unpriced_calls} calls without a price` : `${format.count(session.spend.calls)} model calls`} />
      </div>
      <div class="row">
        ${session.state === "paused" ? html`<${Action} run=${act("resume")} done="Resumed." after=${from.reload}>Resume<//>` : session.state !== "ended" && html`<${Action} run=${act("pause")} done="It is paused." after=${from.reload}>Pause<//>`}
        ${session.state !== "ended" && html`<${Action} run=${act("end")} done="It has ended." after=${from.reload} ask=${{ title: "End this session?", text: "It takes no more runs. Its messages are kept.", action: "End it" }}>End<//>`}
        <${Action} class="danger" run=${erase} ask=${{ title: "Erase this session?", text: "Its messages, runs and events are removed for good, here and at the provider. Amounts and scores are kept, without texts or user.", action: "Erase it", danger: true, type: "erase" }}>Erase…<//>
      </div>
      ${runs.length ? [...runs].reverse().map((run) => html`<${Card} key=${run.id} title=${html`<a href=${link("runs", run.id)}>Run ${runs.indexOf(run) + 1}</a>`} label=${`Run ${runs.indexOf(run) + 1}`}
        actions=${html`<span class="small muted"><${Ago} at=${run.created_at} /></span><${Badge} state=${run.state} />
          ${!run.finished_at && html`<${Action} class="danger" run=${() => send("POST", `runs/${run.id}/cancel`)} done="It is being cancelled." after=${from.reload}>Cancel<//>`}`}>
        <div class="stack"><p><strong>${run.query.length > 400 ? `${run.query.slice(0, 400)}…` : run.query}</strong></p>
          ${run.finished_at ? html`<div class="message agent"><${Ended} run=${run} /></div>` : html`<${Stages} stage=${run.stage} />`}
          <${Timeline} run=${run} events=${events} /></div>
      <//>`) : html`<section class="card"><${Empty} title="No runs yet" /></section>`}
    </div>`}<//>
  `;
}

export const Sessions = ({ id }) => (id ? html`<${One} id=${id} />` : html`<${List} />`);
