// Two specs of an agent side by side, line by line.
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { get } from "./api.js";
import { useData } from "./data.js";
import { Card, Loaded } from "./ui.js";

const MOST_LINES = 2000;

/** A value's lines: keys in order, and texts of several lines as they are written. */
export function linesOf(value, indent = "", key = "") {
  const name = key ? `${key}: ` : "";
  if (typeof value === "string" && value.includes("\n")) return [`${indent}${name}|`, ...value.split("\n").map((line) => `${indent}  ${line}`)];
  if (value === null || typeof value !== "object") return [`${indent}${name}${JSON.stringify(value)}`];
  const entries = Array.isArray(value) ? value.map((each) => ["-", each]) : Object.keys(value).sort().map((each) => [each, value[each]]);
  if (!entries.length) return [`${indent}${name}${Array.isArray(value) ? "[]" : "{}"}`];
  const below = entries.flatMap(([each, inner]) => linesOf(inner, key ? `${indent}  ` : indent, each));
  return key ? [`${indent}${key}:`, ...below] : below;
}

/** Pairs of lines that belong together, [before, after], null where there is none: by their longest common sequence. */
export function pairsOf(before, after) {
  const longest = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i -= 1)
    for (let j = after.length - 1; j >= 0; j -= 1)
      longest[i][j] = before[i] === after[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
  const pairs = [];
  for (let i = 0, j = 0; i < before.length || j < after.length; ) {
    if (i < before.length && j < after.length && before[i] === after[j]) pairs.push([before[i++], after[j++]]);
    else if (j >= after.length || (i < before.length && longest[i + 1][j] >= longest[i][j + 1])) pairs.push([before[i++], null]);
    else pairs.push([null, after[j++]]);
  }
  return pairs;
}

const Line = ({ text, sign, kind }) => html`<td class=${`verbatim ${text != null && sign ? kind : ""}`}>${text == null ? "" : `${sign || " "} ${text}`}</td>`;

function Differences({ left, right, names }) {
  const [before, after] = [linesOf(left).slice(0, MOST_LINES), linesOf(right).slice(0, MOST_LINES)];
  const pairs = pairsOf(before, after);
  const differ = pairs.filter(([one, other]) => one !== other).length;
  return html`<p class="small muted" role="status">${differ ? `${differ} lines differ.` : "Nothing differs."}</p>
    <div class="scroll" role="region" tabindex="0" aria-label="Specs side by side"><table class="diff">
      <caption class="sr">Specs side by side</caption>
      <thead><tr>${names.map((name) => html`<th scope="col">Version ${name}</th>`)}</tr></thead>
      <tbody>${pairs.map(([one, other]) => html`<tr><${Line} text=${one} sign=${one === other ? "" : "−"} kind="minus" /><${Line} text=${other} sign=${one === other ? "" : "+"} kind="plus" /></tr>`)}</tbody>
    </table></div>`;
}

/** @param versions  Labels, newest first. */
export function Compare({ agent, versions }) {
  const [names, setNames] = useState([versions[1], versions[0]]);
  const spec = (version, signal) => get(`agents/${encodeURIComponent(agent)}/versions/${encodeURIComponent(version)}`, {}, { signal });
  const from = useData((abort) => Promise.all(names.map((name) => spec(name, abort))), [], names);
  const choose = (at) => (event) => setNames((old) => old.map((name, index) => (index === at ? event.target.value : name)));
  return html`<${Card} title="Side by side" actions=${html`<span class="row">${["Before", "After"].map((label, at) => html`
      <label class="field">${label}<select value=${names[at]} onChange=${choose(at)}>${versions.map((each) => html`<option value=${each}>${each}</option>`)}</select></label>`)}</span>`}>
    <${Loaded} from=${from}>${([left, right]) => html`<${Differences} left=${left.spec} right=${right.spec} names=${names} />`}<//>
  <//>`;
}
