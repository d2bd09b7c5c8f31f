// A chart: drawn by uPlot, said in a sentence, and with its numbers as a table.
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "./html.js";
import { Table } from "./ui.js";
import { color, painted } from "./theme.js";

const uPlot = globalThis.uPlot;
const HEIGHT = 210;

const seconds = (x) => new Date(x).getTime() / 1000;

function stackedUp(series) {
  const sum = series[0].values.map(() => 0);
  return series.map(({ values }) => values.map((value, at) => (sum[at] += value ?? 0)));
}

/**
 * @param title  What it shows.
 * @param x  Points in time (RFC 3339).
 * @param label  Returns what a point in time is called.
 * @param series  {label, values, kind: "bar" or "line", dashed?, plain? (without points)}; bars are stacked upon each other.
 * @param format  Returns a value as text, in the table and the legend.
 * @param axis  The same for the axis, where there is little room.
 * @param onPick  Called with the index of the point that is clicked.
 * @param to  Returns the address of what is behind the point of an index: where a click and the table lead.
 * @param marks  Points that something is said of, {at: index, text}: a dashed line, and its text below.
 * @param summary  The chart in a sentence.
 */
export function Chart({ title, x, label, series, format, axis = format, onPick, to, marks = [], summary, name }) {
  const place = useRef();
  const [at, setAt] = useState(null);
  const theme = painted.value;
  const drawn = JSON.stringify([x, series, marks]);

  useEffect(() => {
    if (!x.length) return;
    const frame = place.current;
    const width = () => Math.max(200, frame.clientWidth);
    const bars = series.filter((each) => each.kind === "bar");
    const sums = bars.length ? stackedUp(bars) : [];
    // The tallest first, so that each that follows is drawn over it.
    const shown = [
      ...bars.map((each, index) => ({ ...each, values: sums[index], color: color(`c${index + 1}`) })).reverse(),
      ...series.filter((each) => each.kind !== "bar").map((each, index) => ({ ...each, color: color(`c${bars.length + index + 1}`) })),
    ];
    const grid = { stroke: color("line"), width: 1 };
    const options = {
      width: width(),
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { time: true, range: () => ends(x.map(seconds)) }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] } },
      axes: [
        { stroke: color("muted"), grid: { show: false }, ticks: grid, size: 32, splits: () => named(x.map(seconds), width()), values: (_, splits) => splits.map((t) => label(new Date(t * 1000).toISOString())) },
        { stroke: color("muted"), grid, ticks: { show: false }, values: (_, splits) => splits.map(axis), size: 66, space: 34 },
      ],
      series: [
        {},
        ...shown.map((each) => ({
          label: each.label,
          stroke: each.color,
          width: each.kind === "bar" ? 0 : 2,
          fill: each.kind === "bar" ? each.color : undefined,
          dash: each.dashed ? [6, 4] : undefined,
          spanGaps: true,
          paths: each.kind === "bar" ? uPlot.paths.bars({ size: [0.7, 44] }) : undefined,
          points: { show: each.kind !== "bar" && !each.plain && x.length < 40, size: 5 },
        })),
      ],
      hooks: { setCursor: [(plot) => setAt(plot.cursor.idx ?? null)], draw: [(plot) => marks.forEach((each) => dashed(plot, seconds(x[each.at])))] },
    };
    const plot = new uPlot(options, [x.map(seconds), ...shown.map((each) => each.values)], frame);
    const watch = new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT }));
    watch.observe(frame);
    const pick = onPick ?? (to && ((index) => (location.hash = to(index))));
    if (pick) plot.over.addEventListener("click", () => plot.cursor.idx != null && pick(plot.cursor.idx));
    return () => {
      watch.disconnect();
      plot.destroy();
    };
  }, [drawn, theme]);

  const columns = [
    { label: "Time", value: (row) => x[row], show: (row) => (to ? html`<a href=${to(row)}>${label(x[row])}</a>` : label(x[row])) },
    ...series.map((each) => ({ label: each.label, num: true, value: (row) => each.values[row], show: (row) => format(each.values[row]) })),
  ];
  return html`<figure class="chart" aria-label=${title}>
    <div class="legend" aria-hidden="true">
      ${at != null && x[at] && html`<strong>${label(x[at])}</strong>`}
      ${series.map((each, index) => html`<span><i ref=${(node) => node && (node.style.background = color(`c${order(series, index)}`))}></i>${each.label}${at != null && each.values[at] != null ? ` ${format(each.values[at])}` : ""}</span>`)}
    </div>
    <div class="plot" ref=${place} aria-hidden="true"></div>
    <figcaption class="small muted">${summary}${marks.map((each) => html`<p class="mark">${label(x[each.at])}: ${each.text}</p>`)}</figcaption>
    <details><summary class="small">Numbers as a table</summary>
      <${Table} caption=${`${title}, as a table`} columns=${columns} rows=${x.map((_, index) => index)} name=${name ?? "chart"} sortable=${false} />
    </details>
  </figure>`;
}

function order(series, index) {
  const bars = series.filter((each) => each.kind === "bar");
  const kind = series[index].kind === "bar";
  const among = series.slice(0, index).filter((each) => (each.kind === "bar") === kind).length;
  return kind ? among + 1 : bars.length + among + 1;
}

/** A line across the plot at a time. */
function dashed({ ctx, bbox, valToPos }, time) {
  const left = Math.round(valToPos(time, "x", true));
  ctx.save();
  ctx.strokeStyle = color("bad");
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(left, bbox.top);
  ctx.lineTo(left, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}

/** The points that there is room to name. */
function named(times, width) {
  const step = Math.ceil(times.length / Math.max(1, Math.floor((width - 66) / 70)));
  return times.filter((_, at) => at % step === 0);
}

/** Half a step on each side: a bar stands on its point. */
function ends(times) {
  const step = times.length > 1 ? times[1] - times[0] : 86_400;
  return [times[0] - step / 2, times.at(-1) + step / 2];
}
