// Who works at the inbox, and what people do with the conversations that they have.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { get, send } from "./api.js";
import { useData } from "./data.js";
import { lookAgain } from "./waiting.js";
import { link } from "./route.js";
import { Action, Ago, Badge, Card, Loaded } from "./ui.js";

const WHO = "agent-lifecycle-person";
/** Said by whoever has a function key, which names nobody; with a sign-in the server knows better. */
const me = signal(sessionStorage.getItem(WHO) ?? "");

function call(name) {
  me.value = name.trim();
  sessionStorage.setItem(WHO, me.value);
}

/** Asked for once: it is kept in this tab, and sent with what is done here. */
export const WhoAmI = () => html`<label class="field">Your name in the team (needed only with a function key)<input autocomplete="email" maxlength="128" value=${me.value} onChange=${(event) => call(event.target.value)} /></label>`;

const cut = (text) => (text.length > 400 ? `${text.slice(0, 400)}…` : text);
const List = ({ title, items }) => (items.length > 0 ? html`<div class="small"><strong>${title}</strong><ul>${items.map((each) => html`<li>${each}</li>`)}</ul></div>` : null);

export function Conversation({ waiting }) {
  const { session, team, member, claimed_by: claimed } = waiting;
  const [text, setText] = useState("");
  const [reason, setReason] = useState("");
  const runs = useData((abort) => get("runs", { session: session.id, state: "waiting", limit: 20 }, { signal: abort }), [], [session.id, session.last_activity]);
  const act = (what, body = {}) => () => send("POST", `sessions/${encodeURIComponent(session.id)}/${what}`, { body: { ...body, by: me.value || undefined } });
  const answered = () => {
    setText("");
    runs.reload();
    lookAgain();
  };
  const mine = claimed && (!me.value || claimed === me.value);
  const title = html`<a href=${link("sessions", session.id)}>${session.id}</a> · ${team}, ${member}`;
  return html`<${Card} title=${title} label=${`Conversation ${session.id}`} actions=${html`<${Badge} state=${claimed ? "taken" : "waits for a person"} tone=${claimed ? "accent" : "warn"} />`}>
    <div class="stack">
      <${Loaded} from=${runs}>${({ items }) => (items.length ? [...items].reverse().map((run) => html`<p key=${run.id}>“${cut(run.query)}”</p>`) : html`<p class="muted">Nothing waits for an answer in it now.</p>`)}<//>
      ${waiting.summary && html`<p class="small">${cut(waiting.summary)}</p>`}
      <${List} title="Known" items=${waiting.facts} /><${List} title="Open questions" items=${waiting.questions} />
      <p class="small muted">${claimed ? `Taken by ${claimed} · ` : ""}${waiting.reason} · since <${Ago} at=${waiting.since} />${waiting.due ? html` · due <${Ago} at=${waiting.due} />` : ""}</p>
      ${claimed && !mine ? null : html`<label class="field">Your answer<textarea rows="3" maxlength="100000" value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
      <label class="field">Note for the agent that gets the conversation back<input maxlength="2000" value=${reason} onInput=${(event) => setReason(event.target.value)} /></label>`}
      <div class="row">
        ${!claimed && html`<${Action} run=${act("claim")} done="It is yours." after=${lookAgain}>Claim<//>`}
        ${(!claimed || mine) && html`<${Action} class="primary" run=${act("reply", { text })} done="Your answer is sent." after=${answered}>Reply<//>
          <${Action} run=${act("return", reason.trim() ? { reason: reason.trim() } : {})} done="An agent has it again." after=${lookAgain}>Give back<//>`}
        ${mine && html`<${Action} class="quiet" run=${act("release")} done="It is in the inbox for others." after=${lookAgain}>Release<//>`}
        <a class="button" href=${link("sessions", session.id)}>Whole conversation</a>
      </div>
    </div>
  <//>`;
}
