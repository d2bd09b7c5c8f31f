// When what happened in a run, to scale.
import { html } from "./html.js";
import * as format from "./format.js";

const LAST = new Set(["COMPLETED", "FAILED"]);

/** The spans of a run, {label, from, to (ms), kind}, from its times and its session's events. */
export function spans(run, events, now = Date.now()) {
  const own = events.filter((each) => each.data.run_id === run.id);
  const end = run.finished_at ? Date.parse(run.finished_at) : now;
  const begin = Date.parse(run.created_at);
  const found = [];
  let open = { label: "In the queue", from: begin, kind: "queue" };
  const close = (at) => {
    if (open) found.push({ ...open, to: Math.max(at, open.from) });
    open = null;
  };
  for (const { name, data, at } of own) {
    const time = Date.parse(at ?? data.at);
    if (name === "run.stage") {
      close(time);
      const attempt = data.attempt > 1 ? `, attempt ${data.attempt}` : "";
      if (!LAST.has(data.stage)) open = { label: `${format.words(data.stage)}${attempt}`, from: time, kind: "" };
    } else if (name === "run.retrying") {
      close(time);
      if (found.length) found.at(-1).kind = "bad";
      open = { label: "Waiting to be tried again", from: time, kind: "wait" };
    } else if (name === "run.waiting" || name === "approval.requested") {
      close(time);
      open = { label: "Waiting", from: time, kind: "wait" };
    }
  }
  close(end);
  return { begin, end: Math.max(end, begin + 1), found };
}

export function Timeline({ run, events }) {
  const { begin, end, found } = spans(run, events);
  const share = (ms) => `${(ms / (end - begin)) * 100}%`;
  return html`<div class="timeline" role="list" aria-label=${`${format.duration(end - begin)} in all`}>
    ${found.map((span) => html`<div class="lane" role="listitem">
      <span>${span.label}</span>
      <span class="track" aria-hidden="true"><i class=${span.kind} ref=${(node) => {
        if (!node) return;
        node.style.left = share(span.from - begin);
        node.style.width = share(span.to - span.from);
      }}></i></span>
      <span class="num muted">${format.duration(span.to - span.from)}</span>
    </div>`)}
  </div>`;
}
