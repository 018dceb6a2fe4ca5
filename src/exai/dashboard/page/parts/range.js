// The range of time that is looked at: `from` and `to` of the address, relative to now or absolute; `at` is a moment in
// the past that the page is shown as of.
import { serverNow } from "../core/clock.js";
import { time } from "../core/format.js";
import { html } from "../core/html.js";
import { change, here, useLocation } from "../core/location.js";

const DEFAULT_FROM = "-24h";
const RANGES = [
  ["-15m", "15 minutes"],
  ["-1h", "hour"],
  ["-6h", "6 hours"],
  ["-24h", "24 hours"],
  ["-7d", "7 days"],
  ["-30d", "30 days"],
];
const UNITS_S = { s: 1, m: 60, h: 3600, d: 86_400 };

function secondsOf(relative) {
  const read = /^-(\d+)([smhd])$/.exec(relative);
  return read ? Number(read[1]) * UNITS_S[read[2]] : null;
}

/** The parameters of a request that say which range is meant. */
export function rangeOf(query) {
  const given = new URLSearchParams();
  for (const name of ["from", "to", "at"]) if (query.get(name)) given.set(name, query.get(name));
  if (!given.has("from")) given.set("from", DEFAULT_FROM);
  return given;
}

/** How the range is called in a sentence. */
export function rangeName(query) {
  const from = query.get("from") ?? DEFAULT_FROM;
  const named = RANGES.find(([value]) => value === from);
  if (named && !query.get("to") && !query.get("at")) return `in the last ${named[1]}`;
  return `from ${secondsOf(from) === null ? time(from) : from} to ${time(query.get("to") ?? query.get("at"))}`;
}

export function makeAbsolute() {
  const { query } = here();
  const relative = secondsOf(query.get("from") ?? DEFAULT_FROM);
  if (relative === null) return;
  const now = serverNow();
  change({ from: new Date(now - relative * 1000).toISOString(), to: new Date(now).toISOString() });
}

export function RangeChoice() {
  const { query } = useLocation();
  const from = query.get("from") ?? DEFAULT_FROM;
  const isRelative = RANGES.some(([value]) => value === from);
  return html`<label class="range">
    <span class="unseen">Time range</span>
    <select id="range" value=${isRelative && !query.get("to") ? from : ""} onChange=${(event) => change({ from: event.target.value, to: null, at: null })}>
      ${!(isRelative && !query.get("to")) && html`<option value="">${rangeName(query)}</option>`}
      ${RANGES.map(([value, name]) => html`<option key=${value} value=${value}>${name}</option>`)}
    </select>
  </label>`;
}

/** Says that the page is not of now, and how to return. */
export function TimeTravel({ knows }) {
  const { query } = useLocation();
  const at = query.get("at");
  if (!at) return null;
  return html`<p class="travel" role="note">
    ${knows ? `Shown as of ${time(at)}.` : `This page knows only now, and not ${time(at)}.`}
    <button type="button" onClick=${() => change({ at: null })}>Back to now</button>
  </p>`;
}
