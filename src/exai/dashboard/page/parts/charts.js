// Charts by uPlot: an image with a name for those who do not see it, and its figures as a table.
import { useEffect, useRef } from "preact/hooks";
import { html } from "../core/html.js";
import { DASH, isKnown, time } from "../core/format.js";
import { Table } from "./tables.js";

const HEIGHT_PX = 150;
const STEPS_S = [1, 5, 15, 30, 60, 120, 360, 720, 1440].map((minutes) => 60 * minutes); // between marks of time

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A colour of the style sheet as the canvas understands it, whichever scheme is shown. */
function resolved(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value || colour(name);
}

const LONG_S = 36 * 3600; // from here on a time of day says too little
const clockOf = (at) => new Date(at * 1000).toLocaleTimeString();
const momentOf = (at) => time(new Date(at * 1000).toISOString()).slice(-14, -3);
const isLong = (points) => points.length > 1 && points.at(-1)[0] - points[0][0] > LONG_S;

/** Ticks in words, each said once: whole numbers have the same words as the halves between them. */
function told(ticks, format) {
  const texts = ticks.map((tick) => format(tick));
  return texts.map((text, index) => (text === texts[index - 1] ? "" : text));
}

function options(series, width, format, when) {
  const text = resolved("--quiet");
  const grid = { stroke: resolved("--line"), width: 1 };
  const axis = { stroke: text, grid, ticks: grid, font: "12px system-ui, sans-serif" };
  return {
    width,
    height: HEIGHT_PX,
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, (high || 1) * 1.05] } },
    axes: [
      when ? { ...axis, space: 110, values: (_, ticks) => ticks.map(when) } : { ...axis, incrs: STEPS_S, values: [[3600, "{HH}:{mm}", null, null, null, null, null, null, 1], [1, "{HH}:{mm}", null, null, null, null, null, null, 1]] },
      { ...axis, size: 76, values: (_, ticks) => told(ticks, format) },
    ],
    series: [
      {},
      ...series.map((each) => ({
        label: each.name,
        stroke: resolved(each.colour),
        width: 1.5,
        dash: each.dash,
        fill: each.isFilled ? `${resolved(each.colour).replace("rgb(", "rgba(").replace(")", ", 0.15)")}` : undefined,
        points: { show: false },
        spanGaps: false,
      })),
    ],
  };
}

/**
 * points: rows [seconds, value of each series…], oldest first; `null` leaves a gap.
 * series: [{ name, colour: "--name", dash, isFilled }]
 * when: how a moment of these points is written, where it is no time of today.
 */
export function Chart({ title, points, series, format, when: given }) {
  const when = given ?? (isLong(points) ? momentOf : null);
  const place = useRef(null);
  const plot = useRef(null);
  const columns = [...Array(series.length + 1).keys()].map((at) => points.map((row) => row[at]));
  useEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      const width = Math.max(160, place.current.clientWidth);
      plot.current = new globalThis.uPlot(options(series, width, format, when), columns, place.current);
    };
    draw();
    const resized = new ResizeObserver(() => {
      if (Math.abs(place.current.clientWidth - plot.current.width) > 1) draw();
    });
    resized.observe(place.current);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    const chosen = new MutationObserver(draw);
    chosen.observe(document.documentElement, { attributes: true, attributeFilter: ["data-scheme"] });
    return () => {
      resized.disconnect();
      chosen.disconnect();
      scheme.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [series.length, Boolean(when)]);
  useEffect(() => plot.current?.setData(columns), [points]);
  return html`<figure class="chart">
    <figcaption>
      ${title}
      <span class="legend">
        ${series.map((each) => html`<span key=${each.name}><i class=${each.dash ? "dashed" : ""} style=${{ color: `var(${each.colour})` }}></i>${each.name}</span>`)}
      </span>
    </figcaption>
    <div ref=${place} role="img" aria-label=${summary(title, points, series, format)}></div>
    <details>
      <summary>Figures</summary>
      <${Table}
        caption=${`${title}: figures`}
        keyOf=${(row) => row[0]}
        rows=${[...points].reverse()}
        columns=${[
          { name: "Time", isHead: true, cell: (row) => (when ?? clockOf)(row[0]) },
          ...series.map((each, index) => ({
            name: each.name,
            isNumber: true,
            cell: (row) => (isKnown(row[index + 1]) ? format(row[index + 1]) : DASH),
          })),
        ]}
      />
    </details>
  </figure>`;
}

function summary(title, points, series, format) {
  const latest = (index) => points.findLast((row) => isKnown(row[index + 1]))?.[index + 1];
  const told = series.map((each, index) => `${each.name} ${isKnown(latest(index)) ? format(latest(index)) : "unknown"}`);
  return `${title}; ${points.length} points, the latest: ${told.join(", ")}. The table below has all figures.`;
}
