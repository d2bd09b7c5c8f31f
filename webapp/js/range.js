// The range of days that a page looks at; it is part of the address, so that it can be sent to a colleague.
import { html } from "./html.js";
import { refine, route } from "./route.js";
import * as format from "./format.js";

const isDay = (text) => /^[12]\d{3}-\d\d-\d\d$/.test(text ?? "") && !Number.isNaN(Date.parse(text));

export function range() {
  const today = format.isoDay(new Date());
  const { from, to } = route.value.query;
  const last = isDay(to) ? to : today;
  const first = isDay(from) && from <= last ? from : format.addDays(last, -29);
  return { first, last, today };
}

export function RangePicker() {
  const { first, last, today } = range();
  const days = (count) => ({ from: format.addDays(today, 1 - count), to: today });
  return html`<form class="row" aria-label="Days" onSubmit=${(event) => event.preventDefault()}>
    ${[7, 30, 90].map((count) => html`<button type="button" aria-pressed=${String(last === today && first === days(count).from)} onClick=${() => refine(days(count))}>${count} days</button>`)}
    <label class="field"><span class="sr">First day (UTC)</span><input type="date" value=${first} max=${last} onChange=${(event) => event.target.value && refine({ from: event.target.value, to: last })} /></label>
    <label class="field"><span class="sr">Last day (UTC)</span><input type="date" value=${last} min=${first} max=${today} onChange=${(event) => event.target.value && refine({ from: first, to: event.target.value })} /></label>
  </form>`;
}
