// An answer: its text, and what it took.
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { send } from "./api.js";
import { useResource } from "./data.js";
import { link } from "./route.js";
import * as format from "./format.js";
import { Action, Badge, Bar, Empty, Loaded, Money, Table, copy } from "./ui.js";
import { Markdown } from "./markdown.js";

const STAGES = ["INITIALIZING", "CHECKING_BUDGET", "RUNNING", "EVALUATING", "COMPLETED"];

export function Stages({ stage }) {
  const at = STAGES.indexOf(stage);
  const failed = stage === "FAILED";
  return html`<ol class="stages" aria-label="Progress">
    ${stage ? "" : html`<li class="now">Queued</li>`}
    ${STAGES.map((each, index) => html`<li key=${each} class=${failed ? "" : index < at ? "done" : index === at ? "now" : ""} aria-current=${index === at ? "step" : undefined}>${format.words(each)}</li>`)}
    ${failed && html`<li class="failed">Failed</li>`}
  </ol>`;
}

export function Parts({ score }) {
  return html`<div class="parts">${Object.entries(score.parts).map(([name, value]) => html`<div title=${score.reasons[name] ?? ""}>
    <div class="row small"><span>${format.words(name)}</span><strong class="num">${format.count(value)}</strong></div>
    <${Bar} part=${value / 100} level=${value < 50 ? "critical" : value < 75 ? "warning" : ""} />
    ${score.reasons[name] && html`<p class="small muted">${score.reasons[name]}</p>`}
  </div>`)}</div>`;
}

const took = (from, to) => (from && to ? new Date(to) - new Date(from) : null);

/** What a run took: money, tokens, time, and who answered. */
export function Metrics({ run }) {
  const { spend, wasted } = run;
  return html`<dl class="pairs small">
    <dt>Cost</dt><dd><${Money} micro=${spend.cost_micro_usd} unpriced=${spend.unpriced_calls} exact /> in ${format.count(spend.calls)} ${spend.calls === 1 ? "call" : "calls"}
      ${spend.unsettled_calls > 0 && html` <span class="badge warn" title="The worker or the connection died before the usage was known: counted at the estimate">${spend.unsettled_calls} estimated</span>`}
      ${wasted.cost_micro_usd > 0 && html` · of it <${Money} micro=${wasted.cost_micro_usd} exact /> gave no answer`}</dd>
    <dt>Tokens in</dt><dd class="num">${format.count(spend.input_tokens)}<span class="muted">, ${format.count(spend.cached_tokens)} of them cached</span></dd>
    <dt>Tokens out</dt><dd class="num">${format.count(spend.output_tokens)}<span class="muted">, ${format.count(spend.reasoning_tokens)} of them reasoning</span></dd>
    <dt>Time</dt><dd>${format.duration(took(run.started_at, run.finished_at))}<span class="muted"> after ${format.duration(took(run.created_at, run.started_at ?? run.finished_at))} in the queue</span></dd>
    <dt>Model</dt><dd>${run.model ?? format.none}<span class="muted"> · version ${run.version ?? format.none}${run.attempt > 1 ? ` · attempt ${run.attempt}` : ""}</span></dd>
    <dt>Run</dt><dd><a href=${link("runs", run.id)} class="mono">${run.id}</a></dd>
  </dl>`;
}

const BY = { model: "the model", trigger: "a trigger", operator: "an operator", person: "a person", escalation: "the escalation path", failure: "a failure" };

/** Which members of a team had the run, in order, and why it changed hands. */
export function Hops({ run }) {
  const { team, reason, hops, by } = run.team;
  // A hop names the agent that had the run until then.
  const agentAt = (index) => (index < hops.length ? hops[index].agent : by || run.agent);
  return html`<div class="small"><strong>Handoffs in team ${team}</strong><ol class="hops">
    ${hops.length > 0 && html`<li>${hops[0].source} (${agentAt(0)})<span class="muted"> – ${reason}</span></li>`}
    ${hops.map((hop, index) => html`<li>${hop.target} (${agentAt(index + 1)})<span class="muted"> – by ${BY[hop.by] ?? hop.by}: ${hop.reason}; until then <${Money} micro=${hop.cost_micro_usd} exact /></span></li>`)}
  </ol>${hops.length ? "" : html`<p class="muted">No handoff: ${reason}.</p>`}<p>Answered by ${by || run.agent}.</p></div>`;
}

/** What a run did, step by step. */
export function Steps({ id }) {
  const from = useResource(`runs/${encodeURIComponent(id)}/steps`);
  return html`<${Loaded} from=${from} empty=${html`<${Empty} title="No steps yet" />`}>${({ items }) => html`<${Table} caption="Steps of the run" rows=${items} sortable=${false} columns=${[
    { label: "Step", value: (row) => row.kind, show: (row) => html`${format.words(row.kind)}${row.attempt > 1 ? html` <span class="muted">attempt ${row.attempt}</span>` : ""}` },
    { label: "Name", value: (row) => row.name, show: (row) => html`<code>${row.name || format.none}</code>${row.deployment ? html`<div class="small muted">${row.deployment}</div>` : ""}` },
    { label: "Arguments", value: (row) => JSON.stringify(row.arguments), show: (row) => (row.arguments ? html`<code>${JSON.stringify(row.arguments)}</code>` : format.none) },
    { label: "Result", value: (row) => row.result, show: (row) => (row.result ? html`<code>${row.result}</code>` : row.result_bytes == null ? format.none : `${format.count(row.result_bytes)} bytes`) },
    { label: "Outcome", value: (row) => row.outcome, show: (row) => format.words(row.outcome) },
    { label: "Took", num: true, value: (row) => row.ms, show: (row) => format.duration(row.ms) },
    { label: "Tokens", num: true, value: (row) => row.input_tokens, show: (row) => (row.input_tokens == null ? format.none : `${format.count(row.input_tokens)} in, ${format.count(row.output_tokens)} out`) },
    { label: "Cost (USD)", num: true, value: (row) => row.cost_micro_usd, show: (row) => format.exactMoney(row.cost_micro_usd) },
  ]} />`}<//>`;
}

/** The same, asked for when it is unfolded. */
function FoldedSteps({ id }) {
  const [open, setOpen] = useState(false);
  return html`<details onToggle=${(event) => setOpen(event.target.open)}><summary>Model and tool calls</summary>${open && html`<${Steps} id=${id} />`}</details>`;
}

const VERDICTS = [[true, "Helpful"], [false, "Not helpful"]];

/** A verdict is given once: the comment goes with it. */
function Feedback({ run }) {
  const known = run.score?.parts.feedback;
  const [given, setGiven] = useState(known == null ? null : known >= 50);
  const [chosen, setChosen] = useState(null);
  const [comment, setComment] = useState("");
  if (given != null) return html`<${Badge} state=${given ? "Found helpful" : "Found not helpful"} tone=${given ? "ok" : "warn"} />`;
  const give = async () => {
    await send("POST", `runs/${run.id}/feedback`, { body: { helpful: chosen, comment: comment.trim() || undefined } });
    setGiven(chosen);
  };
  return html`<span class="row" role="group" aria-label="Was this helpful?">
    ${VERDICTS.map(([value, label]) => html`<button class="quiet small" aria-pressed=${String(chosen === value)} onClick=${() => setChosen(value)}>${label}</button>`)}
    ${chosen != null && html`<input aria-label="Comment" maxlength="2000" placeholder=${chosen ? "What was good? (optional)" : "What was wrong? (optional)"} value=${comment} onInput=${(event) => setComment(event.target.value)} />
      <${Action} class="small" run=${give} done="Your feedback is recorded.">Send<//>`}
  </span>`;
}

export function Ended({ run, onRetry }) {
  const [open, setOpen] = useState(false);
  return html`
    ${run.answer != null && html`<${Markdown} text=${run.answer} />`}
    ${run.tool_calls?.length > 0 && html`<ul class="small">${run.tool_calls.map((call) => html`<li key=${call.id}>calls the caller's tool <code>${call.name}</code> <code>${call.arguments}</code></li>`)}</ul>`}
    ${run.state === "failed" && html`<div class="note bad" role="alert"><strong>No answer.</strong> ${run.error?.detail ?? "It failed."} ${run.error && html`<code>${run.error.code}</code>`}</div>`}
    ${run.state === "cancelled" && html`<div class="note">Stopped${run.error ? `: ${run.error.detail}` : "."}</div>`}
    <footer>
      <span><span class="sr">Cost: </span><${Money} micro=${run.spend.cost_micro_usd} unpriced=${run.spend.unpriced_calls} /></span>
      <span class="num">${format.count(run.spend.input_tokens + run.spend.output_tokens)} tokens</span>
      <span>${format.duration(took(run.started_at, run.finished_at))}</span>
      ${run.score && html`<${Badge} state=${`Quality ${run.score.overall}`} tone=${run.score.overall >= 75 ? "ok" : run.score.overall >= 50 ? "warn" : "bad"} />`}
      <span>${run.team?.by || (run.team ? `${run.agent}, ${run.model}` : run.model)}</span>
      <button class="quiet small" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>Details</button>
      ${run.answer != null && html`<button class="quiet small" onClick=${() => copy(run.answer)}>Copy</button>`}
      ${onRetry && html`<button class="quiet small" onClick=${onRetry}>Ask again</button>`}
      ${run.score && run.state === "succeeded" && html`<${Feedback} run=${run} />`}
    </footer>
    ${open && html`<div class="card stack"><${Metrics} run=${run} />${run.team && html`<${Hops} run=${run} />`}<${FoldedSteps} id=${run.id} />${run.score && html`<${Parts} score=${run.score} />`}</div>`}
  `;
}
