// Runs over the journal whose figures are kept to be compared with.
import { useState } from "preact/hooks";
import { count, DASH, share, time } from "../core/format.js";
import { html } from "../core/html.js";
import { useDocument } from "../core/requests.js";
import { Control } from "../parts/buttons.js";
import { TimeTravel } from "../parts/range.js";
import { Badge, Document, Empty, Section } from "../parts/states.js";
import { RowLink, Table } from "../parts/tables.js";

const STATES = { collecting: "warn", complete: "good", stopped: "off", insufficient: "bad" };

export default function Baselines() {
  const told = useDocument("/api/baselines", 15);
  return html`
    <h1>Baselines</h1>
    <${TimeTravel} />
    <${Document} of=${told}>
      ${({ runs }) => html`
        <${Start} then=${told.again} />
        ${runs.length
          ? html`<${Table} caption="Baselines, the latest first" columns=${columns(told.again)} rows=${runs} keyOf=${(run) => run.name} />`
          : html`<${Empty}>No baseline has been taken. One is a window over the calls of every day: start it here, or with <code>exai baseline start</code>.<//>`}
      `}
    <//>
  `;
}

function Start({ then }) {
  const [name, setName] = useState("");
  const [hours, setHours] = useState(24);
  const [where, setWhere] = useState("");
  const [note, setNote] = useState("");
  return html`<div class="choices" role="group" aria-label="Start a baseline">
    <label>Name <input value=${name} maxlength="60" onInput=${(event) => setName(event.target.value)} /></label>
    <label>Hours <input type="number" min="1" max="1440" value=${hours} onInput=${(event) => setHours(Number(event.target.value))} /></label>
    <label>Only calls with <input value=${where} maxlength="500" placeholder="tool=chat" onInput=${(event) => setWhere(event.target.value)} /></label>
    <label>Note <input value=${note} maxlength="500" onInput=${(event) => setNote(event.target.value)} /></label>
    <${Control} label="Start" why=${name ? null : "Give it a name first."} path="/api/baselines" body=${{ name, hours, where, note }} then=${then} />
  </div>`;
}

const columns = (again) => [
  { name: "Name", isHead: true, cell: (run) => html`<${RowLink} href=${`/baselines/${encodeURIComponent(run.name)}`}>${run.name}<//>` },
  { name: "State", cell: (run) => html`<${Badge} kind=${STATES[run.state] ?? "off"}>${run.state}<//>${run.compressed && html` <${Badge} kind="warn">compressed<//>`}` },
  { name: "Began", cell: (run) => time(run.began_at) },
  { name: "Ends", cell: (run) => time(run.ended_at ?? run.planned_end) },
  { name: "Coverage", isNumber: true, cell: (run) => share(run.coverage) },
  { name: "Calls", isNumber: true, cell: (run) => count(run.calls) },
  { name: "Of", cell: (run) => run.filter || "all calls" },
  { name: "Note", kind: "long", cell: (run) => run.note || DASH },
  {
    name: "Control",
    label: html`<span class="unseen">Control</span>`,
    cell: (run) => run.state === "collecting" && html`<${Control} keys="x" kind="danger" label="Stop" sure="Stop it now?" path=${`/api/baselines/${encodeURIComponent(run.name)}/stop`} then=${again} />`,
  },
];
