// Talking to agents and teams.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { html } from "../html.js";
import { all, send } from "../api.js";
import { useData, useResource } from "../data.js";
import { go, link, refine, route } from "../route.js";
import * as format from "../format.js";
import { Action, Ago, Badge, Card, Empty, Loaded, Problem, Skeleton, download } from "../ui.js";
import { Conversation } from "../conversation.js";
import { Ended, Stages } from "../answer.js";
import { ApprovalsOf } from "../approvals.js";
import { Markdown } from "../markdown.js";

function Turn({ turn, talk }) {
  const { run } = turn;
  return html`
    <div class="message user"><span class="sr">You asked: </span>${turn.query}</div>
    <article class="message agent" aria-label="Answer" aria-busy=${String(!run && !turn.error)}>
      ${run && html`<${Ended} run=${run} onRetry=${talk.busy ? null : () => talk.ask(turn.query)} />`}
      ${!run && !turn.error && html`
        ${turn.waiting && html`<${ApprovalsOf} run=${turn.id} />`}
        ${turn.waiting
          ? html`<div class="note warn row" role="status"><span>${talk.team.value ? "It waits: a person answers, somebody has to approve, or a budget is used up." : "It waits: a budget is used up, or somebody has to approve."}</span>
              <${Action} run=${() => talk.resume(turn)}>Resume<//></div>`
          : html`<${Stages} stage=${turn.stage} />`}
        ${turn.notes.map((note) => html`<p class="small muted">${note}</p>`)}
        ${turn.text && !turn.gap && html`<${Markdown} text=${turn.text} pending />`}
      `}
      ${turn.error && html`<${Problem} error=${turn.error} retry=${() => talk.ask(turn.query)} />`}
    </article>
  `;
}

function Talk({ talk, agents, teams }) {
  const [query, setQuery] = useState("");
  const [topics, setTopics] = useState("");
  const list = useRef();
  const pinned = useRef(true);
  const turns = talk.turns.value;
  const team = talk.team.value;
  const whom = team ?? talk.agent.value;
  const agent = team ? null : agents.find((each) => each.name === talk.agent.value);
  const about = team ? membersOf(teams.find((each) => each.name === team)) : agent?.spec.description;
  const session = talk.sessionId.value;

  useEffect(() => {
    if (session && route.value.query.session !== session) refine({ session });
  }, [session]);

  useEffect(() => {
    // Follow the text only while its reader does.
    if (pinned.current && list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [turns]);

  const ask = (event) => {
    event?.preventDefault();
    const text = query.trim();
    if (!text || talk.busy || !whom || talk.loading.value) return;
    pinned.current = true;
    setQuery("");
    talk.ask(text, { topics: topics.split(",").map((each) => each.trim()).filter(Boolean) });
  };
  const press = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) ask(event);
    if (event.key === "Escape" && talk.busy) talk.stop();
  };
  const exported = async (kind) => {
    const response = await send("GET", `sessions/${encodeURIComponent(session)}/export`, { query: { format: kind } });
    download(`${session}.${kind === "json" ? "json" : "md"}`, await response.text(), response.headers.get("content-type"));
  };
  const announced = turns.length && turns.at(-1).run ? `Answer: ${turns.at(-1).run.answer ?? turns.at(-1).run.state}` : talk.busy ? "The agent is working." : "";
  const ended = talk.session.value?.state === "ended";
  return html`<section class="card talk" aria-label="Conversation">
    <header><h2>${whom ?? "Choose an agent"}</h2>
      ${team && html`<${Badge} state="team" tone="accent" />`}
      ${agent && html`<${Badge} state=${agent.state} />`}
      ${session && html`<a class="mono small" href=${link("sessions", session)}>${session.slice(0, 18)}${session.length > 18 ? "…" : ""}</a>
        <${Action} class="quiet small" run=${() => exported("markdown")}>Export Markdown<//><${Action} class="quiet small" run=${() => exported("json")}>Export JSON<//>
        <button class="quiet small" onClick=${() => go("chat", whom, kindOf(talk))}>New conversation</button>`}
    </header>
    <div class="messages" ref=${list} tabindex="0" role="log" aria-label="Messages" aria-live="off" onScroll=${(event) => {
      const { scrollHeight, scrollTop, clientHeight } = event.target;
      pinned.current = scrollHeight - scrollTop - clientHeight < 60;
    }}>
      ${talk.loading.value && html`<${Skeleton} label="Loading the conversation" />`}
      ${talk.error.value && html`<${Problem} error=${talk.error.value} retry=${() => { talk.error.value = null; talk.loading.value = true; talk.open(); }} />`}
      ${!turns.length && !talk.loading.value && !talk.error.value && html`<${Empty} title=${whom ? `Ask ${whom}` : "Whom do you want to ask?"}>
        <span>${about || (whom ? "The answer comes here while it is written, with what it costs." : "Choose an agent, or a preset to make one of.")}</span><//>`}
      ${turns.map((turn) => html`<${Turn} key=${turn.key} turn=${turn} talk=${talk} />`)}
    </div>
    <form class="composer" onSubmit=${ask}>
      <div class="sr" role="status" aria-live="polite">${announced}</div>
      ${talk.lost.value && html`<div class="note bad" role="alert">Connection lost. Trying again; nothing of the answer is lost.</div>`}
      ${ended && html`<div class="note">This session has ended (${format.words(talk.session.value.end_reason).toLowerCase()}). <a href=${link("chat", whom, kindOf(talk))}>Start another</a></div>`}
      <label class="sr" for="query">Your message</label>
      <textarea id="query" data-search rows="2" placeholder=${whom ? `Message ${whom} – Enter sends, Shift Enter starts a line` : ""} disabled=${!whom || ended || talk.loading.value}
        value=${query} onInput=${(event) => setQuery(event.target.value)} onKeyDown=${press}></textarea>
      <div class="row">
        <details class="small"><summary>Expected topics</summary>
          <label class="field">What a good answer speaks of, separated by commas; it is scored by that<input value=${topics} onInput=${(event) => setTopics(event.target.value)} /></label>
        </details>
        <span class="grow"></span>
        ${talk.busy
          ? html`<${Action} class="danger" type="button" run=${() => talk.stop()}>Stop<//>`
          : html`<button class="primary" type="submit" disabled=${!query.trim() || !whom || ended}>Ask</button>`}
      </div>
    </form>
  </section>`;
}

const membersOf = (each) => each?.team.members.map((member) => member.name).join(", ");
const kindOf = (talk) => (talk.team.value ? { with: "team" } : {});

function Teams({ teams, chosen }) {
  if (!teams.length) return null;
  return html`<${Card} title="Teams"><ul class="choices">${teams.map((each) => html`<li key=${each.name}><a href=${link("chat", each.name, { with: "team" })} aria-current=${String(each.name === chosen)}>
    <span>${each.name}</span><small>${membersOf(each)}</small></a></li>`)}</ul><//>`;
}

function Presets({ agents }) {
  const templates = useResource("templates", { limit: 100 }, []);
  const known = new Set(agents.map((each) => each.name));
  const make = async (name) => {
    if (!known.has(name)) await send("PUT", `agents/${encodeURIComponent(name)}`, { body: { template: name } });
    go("chat", name);
  };
  return html`<${Loaded} from=${templates}>${({ items }) => {
    const fresh = items.filter((each) => !known.has(each.name));
    if (!fresh.length) return null;
    return html`<details><summary class="small">Presets (${fresh.length})</summary><ul class="choices">${fresh.map((each) => html`
      <li><${Action} run=${() => make(each.name)} done=${`Agent ${each.name} is declared.`}><span>${each.name}</span><small>${each.content?.description ?? "Make an agent of this preset"}</small><//></li>`)}</ul></details>`;
  }}<//>`;
}

function Earlier({ agent, session }) {
  const list = useResource(agent ? "sessions" : null, { agent, limit: 20 }, ["session."]);
  if (!agent) return null;
  return html`<${Card} title="Sessions"><${Loaded} from=${list}>${({ items }) => items.length
    ? html`<ul class="choices">${items.map((each) => html`<li key=${each.id}><a href=${link("chat", agent, { session: each.id })} aria-current=${String(each.id === session)}>
        <span>${each.id.slice(0, 22)}${each.id.length > 22 ? "…" : ""}</span><small>${format.count(each.runs)} ${each.runs === 1 ? "run" : "runs"} · <${Ago} at=${each.last_activity} />${each.state === "ended" ? " · ended" : ""}</small></a></li>`)}</ul>`
    : html`<p class="muted small">None yet.</p>`}<//><//>`;
}

export function Chat({ id }) {
  const { session, with: kind } = route.value.query;
  const teams = useData((abort) => all("teams", {}, 400, { signal: abort })).data?.items ?? [];
  const team = kind === "team" ? id : null;
  const from = useData((abort) => all("agents", {}, 400, { signal: abort }), ["agent."]);
  const agents = (from.data?.items ?? []).filter((each) => each.state !== "deleted");
  const chosen = team ? null : id ?? (session ? null : agents[0]?.name) ?? null;

  const own = useRef(null);
  const talk = useMemo(() => {
    // The session that this conversation has itself begun is not another one.
    if (own.current && session && own.current.sessionId.value === session) return own.current;
    own.current?.close();
    return (own.current = new Conversation(chosen, session ?? null, team));
  }, [id, session, team]);
  useEffect(() => {
    if (!talk.turns.value.length) talk.open();
  }, [talk]);
  useEffect(() => () => own.current?.close(), []);
  if (!talk.agent.value && chosen) talk.agent.value = chosen;

  return html`
    <h1 class="sr" tabindex="-1" id="title">Chat</h1>
    <div class="chat">
      <aside aria-label="Whom to ask">
        <${Card} title="Agents"><${Loaded} from=${from} empty=${html`<${Empty} title="No agents yet"><span>Make one of a preset below.</span><//>`}>${() => html`
          <ul class="choices">${agents.map((each) => html`<li key=${each.name}><a href=${link("chat", each.name)} aria-current=${String(!talk.team.value && each.name === talk.agent.value)}>
            <span class="row">${each.name}${["failed", "disabled"].includes(each.state) ? html`<${Badge} state=${each.state} />` : ""}</span><small>${each.spec.description || each.spec.model}</small></a></li>`)}</ul>
          ${from.data.complete ? "" : html`<p class="small muted">Only the first ${format.count(agents.length)} are listed. <a href=${link("agents")}>All agents</a></p>`}
          <${Presets} agents=${agents} />`}<//><//>
        <${Teams} teams=${teams} chosen=${talk.team.value} />
        <${Earlier} agent=${talk.agent.value} session=${talk.sessionId.value} />
      </aside>
      <${Talk} talk=${talk} agents=${agents} teams=${teams} />
    </div>
  `;
}
