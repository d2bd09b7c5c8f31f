// How agents differ from what is at their providers: a plan like a diff, applied line by line.
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { get, post } from "./api.js";
import { useList } from "./data.js";
import { link } from "./route.js";
import * as format from "./format.js";
import { Action, Ago, Badge, Card, Loaded, Problem } from "./ui.js";

const SIGNS = { create: "+", adopt: "+", recreate: "+", update: "~", changed: "~", tools: "~", orphan: "−", duplicate: "−" };
const CLASSES = { "+": "plus", "−": "minus", "~": "tilde" };
const TONES = { done: "ok", failed: "bad", skipped: "warn", overtaken: "warn", pending: "accent", sent: "accent" };
const OPEN = new Set(["planned", "failed", "skipped"]);
const ACTOR_MS = 1500;

function Line({ line, apply }) {
  const sign = SIGNS[line.kind] ?? " ";
  return html`<li class=${CLASSES[sign] ?? ""}>
    <span class="sign" aria-hidden="true">${sign}</span>
    <div class="grow"><p><strong><a href=${link("agents", line.agent)}>${line.agent}</a></strong> ${format.words(line.kind).toLowerCase()} <span class="muted">at ${line.provider}</span></p>
      <p class="muted">${line.why}</p><p>${line.would}</p>${line.detail && html`<p>${line.detail}</p>`}
      ${line.versions.length > 0 && html`<details><summary>${line.versions.length === 1 ? "1 version" : `${format.count(line.versions.length)} versions`}</summary><ul>${line.versions.map((each) => html`<li><code>${each.id}</code>${each.created_at ? html`, made <${Ago} at=${each.created_at} />` : ""}</li>`)}</ul></details>`}</div>
    ${line.outcome !== "planned" && html`<${Badge} state=${line.outcome} tone=${TONES[line.outcome] ?? ""} />`}
    ${line.action !== "none" && OPEN.has(line.outcome) && (line.destructive
      ? html`<${Action} class="danger" aria-label=${`Apply to ${line.agent}, which deletes`} run=${() => apply([line.number], true)} ask=${{ title: `Delete at ${line.provider}?`, text: `${line.agent}: ${line.would}`, action: "Delete it", danger: true }}>Apply…<//>`
      : html`<${Action} aria-label=${`Apply to ${line.agent}`} run=${() => apply([line.number], false)}>Apply<//>`)}
  </li>`;
}

function Plan({ id }) {
  const list = useList(`registry/plan/${encodeURIComponent(id)}`, { limit: 200 }, ["agent."]);
  const apply = async (lines, destructive) => {
    try {
      await post("registry/apply", { plan_id: id, lines, destructive });
    } finally {
      list.reload();
      // The actors work after the answer, and not all that they do is an event.
      setTimeout(list.reload, ACTOR_MS);
    }
  };
  return html`<${Loaded} from=${list}>${({ counts, total, unchanged, unseen, at }) => html`<div class="stack">
    <p role="status">${Object.entries(counts).map(([kind, n]) => `${format.count(n)} ${format.words(kind).toLowerCase()}`).join(", ") || "No difference"}; ${format.count(unchanged)} unchanged. <span class="muted">Checked <${Ago} at=${at} />; plan <code>${id}</code></span></p>
    ${Object.entries(unseen).map(([provider, why]) => html`<div class="note warn">${provider} could not be looked at: ${why}</div>`)}
    ${total > 0 && html`<ul class="diff lines" aria-label="Lines of the plan">${list.items.map((line) => html`<${Line} key=${line.number} line=${line} apply=${apply} />`)}</ul>
      ${list.moreError && html`<${Problem} error=${list.moreError} />`}
      <div class="row end">${list.next && html`<button disabled=${list.loadingMore} onClick=${list.more}>Show more</button>`}
        <${Action} class="primary" run=${() => apply(undefined, false)} done="The plan is being applied, without its deletions." ask=${{ title: "Apply all lines?", text: "All lines are applied except those that delete something.", action: "Apply" }}>Apply all<//>
        ${list.items.some((line) => line.destructive) && html`<${Action} class="danger" run=${() => apply(undefined, true)} done="The plan is being applied." ask=${{ title: "Apply all lines, with deletions?", text: "Lines that delete something at a provider are applied, too.", action: "Apply all", danger: true, type: "delete" }}>Apply all, with deletions…<//>`}</div>`}
  </div>`}<//>`;
}

export function Drift() {
  const [id, setId] = useState(null);
  const check = async () => setId((await get("registry/plan", { limit: 1 })).id);
  return html`<${Card} title="Drift" actions=${html`<${Action} run=${check}>${id ? "Check again" : "Check"}<//>`}>
    ${id ? html`<${Plan} key=${id} id=${id} />` : html`<p class="muted">Compares the agents with their providers, and shows for each difference the reason and what applying does. Checking changes nothing.</p>`}
  <//>`;
}
