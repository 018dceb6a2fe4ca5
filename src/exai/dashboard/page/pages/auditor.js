// The auditor: its phase and budget, what it has observed, how often its detectors were right.
import { useTopic } from "../core/feed.js";
import { count, DASH, money, share, time, words } from "../core/format.js";
import { html } from "../core/html.js";
import { notice } from "../core/notices.js";
import { Control } from "../parts/buttons.js";
import { TimeTravel } from "../parts/range.js";
import { Badge, Empty, Facts, Meter, Section, Topic } from "../parts/states.js";
import { RowName, Table } from "../parts/tables.js";

const SEVERITIES = { critical: "bad", warning: "warn", info: "off" };

export default function Auditor() {
  const told = useTopic("auditor");
  return html`
    <h1>Auditor</h1>
    <${TimeTravel} />
    <${Topic} of=${told}>${(auditor) => html`<${Shown} auditor=${auditor} />`}<//>
  `;
}

function Shown({ auditor }) {
  return html`
    <${Facts}
      of=${[
        ["Mode", auditor.mode],
        ["Watching", auditor.watching ? "yes" : "no"],
        ["Events read", count(auditor.folded)],
        ["Dropped", count(auditor.dropped), auditor.dropped ? "bad" : ""],
        ["Windows kept", `${count(auditor.windows)} of ${auditor.window_s} s`],
        ...auditor.budget.map((each) => [`Budget of ${each.window_s >= 86_400 ? "a day" : `${each.window_s / 60} minutes`}`, html`<${Budget} of=${each} />`]),
      ]}
    />
    <${Section} title="Observations">
      ${auditor.observations.length
        ? auditor.observations.map((each) => html`<${Observation} key=${each.observation_id} of=${each} />`)
        : html`<${Empty}>${auditor.mode === "off" ? "The auditor is off: `auditor.mode` turns it on." : "Nothing stands out now."}<//>`}
    <//>
    <${Section} title="Detectors">
      ${auditor.detectors.length ? html`<${Table} caption="Detectors and how often they were right" columns=${DETECTORS} rows=${auditor.detectors} keyOf=${(each) => each.detector} />` : html`<${Empty}>No detector has seen anything yet.<//>`}
    <//>
  `;
}

function Budget({ of: purse }) {
  const { requests, usd } = purse;
  if (!requests && !usd) return "asks no model";
  return html`${requests && html`<${Meter} used=${requests.used} limit=${requests.limit} label="requests" /> ${requests.used} of ${requests.limit} requests`}
  ${requests && usd && ", "}${usd && `${money(usd.used)} of ${money(usd.limit)}`}`;
}

function Observation({ of: seen }) {
  const path = `/api/auditor/observations/${encodeURIComponent(seen.observation_id)}/decide`;
  const then = (answer) => answer && notice(`${words(seen.detector)}: ${answer.state}${answer.verdict ? `, judged ${answer.verdict}` : ""}.`);
  return html`<article class="observation">
    <h3><${Badge} kind=${SEVERITIES[seen.severity] ?? "off"}>${seen.severity}<//> ${words(seen.detector)}: ${seen.subject}</h3>
    <p>${seen.recommendation}</p>
    ${seen.explanation && html`<p class="quiet">A model says: ${seen.explanation}</p>`}
    <p class="quiet">${seen.category}, ${seen.state}, seen ${count(seen.count)} times, ${time(seen.first_at)} to ${time(seen.last_at)}. ${Object.entries(seen.numbers).map(([name, value]) => `${words(name)} ${typeof value === "number" ? +value.toPrecision(4) : value}`).join(", ")}</p>
    <p class="controls">
      ${seen.state === "open" && html`<${Control} label="Acknowledge" path=${path} body=${{ state: "acknowledged" }} then=${then} />`}
      ${["useful", "noise"].map((verdict) => html`<${Control} key=${verdict} label=${verdict === "useful" ? "It is useful" : "It is noise"} path=${path} body=${{ verdict }} then=${then} />`)}
      ${seen.verdict && html`<span class="quiet">judged ${seen.verdict}</span>`}
    </p>
  </article>`;
}

const DETECTORS = [
  { name: "Detector", isHead: true, cell: (each) => html`<${RowName}>${words(each.detector)}<//>` },
  { name: "Observations", isNumber: true, cell: (each) => count(each.sightings) },
  { name: "Useful", isNumber: true, cell: (each) => count(each.useful) },
  { name: "Noise", isNumber: true, cell: (each) => count(each.noise) },
  { name: "Right", isNumber: true, cell: (each) => (each.precision === null ? `${DASH} not judged` : share(each.precision)) },
];
