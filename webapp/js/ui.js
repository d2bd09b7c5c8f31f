// What every page is made of.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "./html.js";
import * as format from "./format.js";

/* State -------------------------------------------------------------------------------------------------------- */

const TONES = {
  ok: ["active", "succeeded", "completed", "healthy", "open", "ok", "resolved", "approved", "better"],
  warn: ["waiting", "paused", "provisioning", "degraded", "idle", "warning", "pending", "requested", "disabled"],
  bad: ["failed", "critical", "unhealthy", "firing", "error", "expired", "rejected", "worse", "deleted"],
  accent: ["running", "queued", "started"],
};

export function toneOf(state) {
  return Object.keys(TONES).find((tone) => TONES[tone].includes(String(state).toLowerCase())) ?? "";
}

export const Badge = ({ state, tone }) =>
  html`<span class=${`badge ${tone ?? toneOf(state)}`}>${format.words(state)}</span>`;

export const Money = ({ micro, unpriced = 0, exact = false }) => html`
  <span class="num" title=${format.exactMoney(micro)}>${exact ? format.exactMoney(micro) : format.money(micro)}</span>
  ${unpriced > 0 && html` <span class="badge warn" title="Calls of models without a known price; their cost is not in the sum">+ ${format.count(unpriced)} unpriced</span>`}
`;

/** A share of a whole, 0 to 1, as a bar. */
export const Bar = ({ part, level }) => html`<div class=${`bar ${{ warning: "warn", critical: "bad" }[level] ?? ""}`} aria-hidden="true"><i ref=${(node) => node && (node.style.width = `${Math.min(1, part) * 100}%`)}></i></div>`;

export function Ago({ at }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 15_000);
    return () => clearInterval(timer);
  }, []);
  return at ? html`<time datetime=${at} title=${format.exactTime(at)}>${format.ago(at)}</time>` : html`<span>${format.none}</span>`;
}

/** A figure with its name; a skeleton stands in its place while `value` is undefined. */
export const Stat = ({ label, value, note, title }) => html`
  <div class="stat"><span class="label">${label}</span>${value === undefined
    ? html`<span class="skeleton"><span class="sr">Loading…</span><i></i><i></i></span>`
    : html`<span class="value" title=${title}>${value}</span>${note && html`<span class="hint">${note}</span>`}`}</div>
`;

export const Empty = ({ title, children }) => html`<div class="empty"><strong>${title}</strong>${children}</div>`;

export const Skeleton = ({ label = "Loading" }) =>
  html`<div class="skeleton" role="status"><span class="sr">${label}…</span><i></i><i></i><i></i></div>`;

export function Problem({ error, retry }) {
  if (error.status === 401 || error.status === 403) {
    return html`<${Empty} title="You may not see this"><span>The key you are signed in with has no access to it.</span><//>`;
  }
  return html`<div class="note bad" role="alert"><div class="row">
    <span>${error.message}${error.code ? html` <code>${error.code}</code>` : ""}</span>
    ${retry && html`<button onClick=${retry}>Try again</button>`}
  </div></div>`;
}

/** A request's answer: a skeleton until it is there, what went wrong, or what `children(data)` makes of it. */
export function Loaded({ from, children, empty }) {
  if (!from.data) return from.error ? html`<${Problem} error=${from.error} retry=${from.reload} />` : html`<${Skeleton} />`;
  return html`${from.error && html`<${Problem} error=${from.error} retry=${from.reload} />`}${empty && isEmpty(from.data) ? empty : children(from.data)}`;
}

const isEmpty = (data) => (Array.isArray(data) ? data : (data.items ?? [1])).length === 0;

export const Card = ({ title, actions, children, label }) => html`
  <section class="card" aria-label=${label ?? (typeof title === "string" ? title : undefined)}>
    ${title && html`<header><h2>${title}</h2>${actions}</header>`}${children}
  </section>
`;

export const Head = ({ title, children, text }) => html`
  <div class="head"><h1 tabindex="-1" id="title">${title}</h1><span class="grow"></span>${children}${text && html`<p>${text}</p>`}</div>
`;

export const Tabs = ({ label, value, options, onChange }) => html`
  <div class="tabs" role="group" aria-label=${label}>
    ${options.map(([key, text]) => html`<button key=${key} aria-pressed=${String(key === value)} onClick=${() => onChange(key)}>${text}</button>`)}
  </div>
`;

/* Tables --------------------------------------------------------------------------------------------------------- */

const cell = (text) => {
  const plain = String(text ?? "");
  // A spreadsheet would run what begins like a formula.
  const safe = /^[=+\-@\t\r]/.test(plain) && !/^-?\d+(\.\d+)?$/.test(plain) ? `'${plain}` : plain;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

export function download(name, text, type = "text/plain") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export function csv(columns, rows) {
  const lines = [columns.map((column) => cell(column.label)), ...rows.map((row) => columns.map((column) => cell(column.value(row))))];
  return `${lines.map((line) => line.join(",")).join("\r\n")}\r\n`;
}

/**
 * A table that sorts and exports itself.
 * @param columns  {label, value(row): what sorts and is exported, show(row)?: what is seen, num?, wrap?: may be broken into lines}
 */
export function Table({ caption, columns, rows, name, keyOf, foot, sortable = true }) {
  const [sort, setSort] = useState(null);
  const ordered = sort ? [...rows].sort((a, b) => compare(columns[sort.at].value(a), columns[sort.at].value(b)) * sort.way) : rows;
  const by = (at) => setSort((old) => (old?.at === at ? { at, way: -old.way } : { at, way: columns[at].num ? -1 : 1 }));
  return html`
    <div class="scroll" role="region" tabindex="0" aria-label=${caption}>
      <table>
        <caption class="sr">${caption}</caption>
        <thead><tr>${columns.map((column, at) => html`
          <th scope="col" class=${column.num ? "num" : ""} aria-sort=${sort?.at === at ? (sort.way > 0 ? "ascending" : "descending") : undefined}>
            ${sortable ? html`<button onClick=${() => by(at)}>${column.label}${sort?.at === at ? (sort.way > 0 ? " ↑" : " ↓") : ""}</button>` : column.label}
          </th>`)}</tr></thead>
        <tbody>${ordered.map((row, at) => html`<tr key=${keyOf?.(row) ?? at}>
          ${columns.map((column) => html`<td class=${`${column.num ? "num" : ""} ${column.wrap ? "wrap" : ""}`}>${column.show ? column.show(row) : (column.value(row) ?? format.none)}</td>`)}
        </tr>`)}</tbody>
        ${foot && html`<tfoot>${foot}</tfoot>`}
      </table>
    </div>
    ${name && html`<div class="row end"><button class="quiet small" onClick=${() => download(`${name}.csv`, csv(columns, ordered), "text/csv")}>Export CSV</button></div>`}
  `;
}

function compare(a, b) {
  if (a == null || b == null) return a == null ? (b == null ? 0 : -1) : 1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

/** A list in pages, as a table. */
export const ListTable = ({ list, empty, ...table }) => html`
  <${Loaded} from=${list} empty=${list.next ? undefined : empty}>${() => html`
    <${Table} ...${table} rows=${list.items} />
    ${list.moreError && html`<${Problem} error=${list.moreError} />`}
    ${list.next && html`<div class="row end"><button disabled=${list.loadingMore} onClick=${list.more}>${list.loadingMore ? "Loading…" : "Show more"}</button></div>`}
  `}<//>
`;

/* Dialogs and messages --------------------------------------------------------------------------------------------- */

export function Dialog({ title, onClose, children }) {
  const element = useRef();
  useEffect(() => {
    const dialog = element.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  return html`<dialog ref=${element} aria-label=${title} onCancel=${(event) => { event.preventDefault(); onClose?.(); }}>
    <div class="body"><h2>${title}</h2>${children}</div>
  </dialog>`;
}

const asked = signal(null);

/** Ask before something that cannot be taken back; true if the reader means it. */
export const confirm = (question) => new Promise((resolve) => (asked.value = { ...question, resolve }));

export function Confirmations() {
  const question = asked.value;
  const [typed, setTyped] = useState("");
  if (!question) return null;
  const answer = (value) => {
    asked.value = null;
    setTyped("");
    question.resolve(value);
  };
  return html`<${Dialog} title=${question.title} onClose=${() => answer(false)}>
    <p>${question.text}</p>
    ${question.type && html`<label class="field">Type ${question.type} to confirm<input value=${typed} onInput=${(event) => setTyped(event.target.value)} /></label>`}
    <div class="row end">
      <button onClick=${() => answer(false)}>Cancel</button>
      <button class=${question.danger ? "danger" : "primary"} disabled=${question.type && typed !== question.type} onClick=${() => answer(true)}>${question.action}</button>
    </div>
  <//>`;
}

const messages = signal([]);
let numbered = 0;

/** Show a line for a few seconds; it is read out, too. */
export function say(text) {
  const id = ++numbered;
  messages.value = [...messages.value, { id, text }];
  setTimeout(() => (messages.value = messages.value.filter((each) => each.id !== id)), 6000);
}

export const Messages = () => html`<div class="toasts" role="status" aria-live="polite">
  ${messages.value.map((each) => html`<div key=${each.id}><span>${each.text}</span><button aria-label="Dismiss" onClick=${() => (messages.value = messages.value.filter((other) => other !== each))}>✕</button></div>`)}
</div>`;

/** A button that does something on the server: disabled meanwhile, and what goes wrong is said. */
export function Action({ run, done, children, class: style, ask, after, ...rest }) {
  const [busy, setBusy] = useState(false);
  const click = async () => {
    if (ask && !(await confirm(ask))) return;
    setBusy(true);
    try {
      await run();
      if (done) say(done);
      after?.();
    } catch (error) {
      say(error.message);
    } finally {
      setBusy(false);
    }
  };
  return html`<button class=${style ?? ""} disabled=${busy} onClick=${click} ...${rest}>${children}</button>`;
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    say("The browser does not let this page copy.");
  }
}
