// An approval: what an agent asks to do, and the decision of whoever may give it.
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { get, send } from "./api.js";
import { useData } from "./data.js";
import { lookAgain } from "./waiting.js";
import { link } from "./route.js";
import { Action, Ago, Badge, Card, Money, confirm, say } from "./ui.js";

const NOW = [["", "Once"], ["call", "Always with these arguments"], ["tool", "Always for this tool"]];

export function Approval({ approval, after, keys }) {
  const [reason, setReason] = useState("");
  const [always, setAlways] = useState("");
  const [amended, setAmended] = useState(null);
  const written = JSON.stringify(approval.arguments ?? {}, null, 2);
  const done = () => {
    lookAgain();
    after?.();
  };
  const decide = (decision) => async () => {
    const body = { decision, reason: reason.trim() };
    if (decision === "amend") body.arguments = parsed(amended);
    if (decision === "approve" && always) body.always = always;
    await send("POST", `approvals/${encodeURIComponent(approval.id)}/decision`, { body });
  };
  const title = approval.kind === "answer" ? html`${approval.agent} asks to send this answer` : approval.tool ? html`${approval.agent} asks to call <code>${approval.tool}</code>` : approval.kind === "escalation" ? html`A conversation of ${approval.agent} is to be escalated` : html`${approval.agent} asks to go on`;
  return html`<div data-approval=${approval.id}><${Card} title=${title} label=${`Approval of ${approval.tool || approval.kind}`} actions=${html`<${Badge} state=${approval.state} tone="warn" />`}>
    <div class="stack">
      ${approval.why && html`<p>Required by ${approval.why}.</p>`}
      ${approval.excerpt && html`<p class="muted">“${approval.excerpt}”</p>`}
      ${approval.arguments && (amended == null
        ? html`<pre class="mono small verbatim" tabindex="0" aria-label="Arguments">${written}</pre>`
        : html`<label class="field">Arguments to call it with instead (JSON)<textarea rows="6" class="mono" spellcheck="false" value=${amended} onInput=${(event) => setAmended(event.target.value)}></textarea></label>`)}
      <p class="small muted">Asked <${Ago} at=${approval.requested_at} />${approval.user_id ? ` for ${approval.user_id}` : ""}${approval.expires_at ? html` · expires <${Ago} at=${approval.expires_at} />` : ""}${approval.approvers?.length > 0 ? ` · may decide: ${approval.approvers.join(", ")}` : ""} · spent so far <${Money} micro=${approval.cost_micro_usd} />${" · "}<a href=${link("runs", approval.run_id)}>the run</a></p>
      ${approval.kind === "hosted" && html`<p class="small muted">The provider makes this call with these arguments or not at all. For others, reject it and say which.</p>`}
      ${!approval.may_decide ? html`<p class="note">You may not decide this.</p>` : html`<label class="field">Reason<input maxlength="1000" value=${reason} onInput=${(event) => setReason(event.target.value)} /></label>
      <div class="row">
        ${amended == null
          ? html`<${Action} class="primary" aria-keyshortcuts=${keys && "a"} run=${decide("approve")} done="Approved." after=${done}>Approve<//>
              ${approval.tool && html`<label class="row small"><span class="sr">How long</span><select value=${always} onChange=${(event) => setAlways(event.target.value)}>${NOW.map(([key, text]) => html`<option value=${key}>${text}</option>`)}</select></label>`}
              <${Action} class="danger" aria-keyshortcuts=${keys && "r"} run=${decide("reject")} done="Rejected." after=${done}>Reject<//>
              ${approval.arguments && approval.decisions.includes("amend") && html`<button class="quiet" onClick=${() => setAmended(written)}>Amend…</button>`}`
          : html`<${Action} class="primary" aria-keyshortcuts=${keys && "a"} run=${decide("amend")} done="Approved as amended." after=${done}>Approve as amended<//><button onClick=${() => setAmended(null)}>Keep the arguments</button>`}
      </div>`}
    </div>
  <//></div>`;
}

/** Press an approval's button from the keyboard, after a question: of the card that has the focus, else of the first. */
export function decideByKey(approvals) {
  const press = (key, decision) => async () => {
    const id = document.activeElement?.closest("[data-approval]")?.dataset.approval ?? approvals[0]?.id;
    const approval = approvals.find((each) => each.id === id);
    if (!approval) return;
    const what = approval.tool ? `${approval.agent}: ${approval.tool} ${JSON.stringify(approval.arguments ?? {})}` : `${approval.agent}: ${approval.excerpt || approval.why}`;
    if (!(await confirm({ title: `${decision} this?`, text: what.slice(0, 500), action: `${decision} it`, danger: key === "r" }))) return;
    // What is written in the card counts; it is gone where somebody else was faster.
    const button = document.querySelector(`[data-approval="${CSS.escape(id)}"] [aria-keyshortcuts="${key}"]`);
    if (button) button.click();
    else say("It can no longer be decided that way.");
  };
  return { a: press("a", "Approve"), r: press("r", "Reject") };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("The arguments are not JSON.");
  }
}

/** What one run waits for, decided where it is looked at. */
export function ApprovalsOf({ run, after }) {
  const found = useData((abort) => get("approvals", { run, limit: 20 }, { signal: abort }), ["approval."], [run]);
  return found.data?.items.map((each) => html`<${Approval} key=${each.id} approval=${each} after=${after} />`) ?? null;
}
