// The process: memory, loop lag, database, settings with their source, runs and releases.
import { useState } from "preact/hooks";
import { useNow } from "../core/clock.js";
import { useTopic } from "../core/feed.js";
import { bytes, count, DASH, isKnown, seconds, secondsSince, time, words } from "../core/format.js";
import { html } from "../core/html.js";
import { useDocument } from "../core/requests.js";
import { Chart } from "../parts/charts.js";
import { TimeTravel } from "../parts/range.js";
import { Badge, Document, Empty, Facts, Section, Topic } from "../parts/states.js";
import { RowName, Table } from "../parts/tables.js";

export default function System() {
  const told = useTopic("system");
  return html`
    <h1>System</h1>
    <${TimeTravel} />
    <${Topic} of=${told}>${(body) => html`<${Process} body=${body} />`}<//>
    <${Series} />
    <${Settings} />
    <${Runs} />
  `;
}

function Process({ body }) {
  const now = useNow();
  const { database } = body;
  return html`
    <${Facts}
      of=${[
        ["Resident memory", bytes(body.resident_bytes)],
        ["Loop lag", isKnown(body.loop_lag_ms) ? `${body.loop_lag_ms.toFixed(1)} ms` : DASH],
        ["Tasks", count(body.tasks)],
        ["Writes waiting", count(body.pending_writes)],
        ["Writes dropped", count(body.dropped_writes), body.dropped_writes ? "bad" : ""],
        ["Database", `${database.kind}, ${bytes(database.bytes)}`],
        ["Up", seconds(secondsSince(body.began_at, now))],
        ["Python", body.python],
        ["Platform", body.platform],
      ]}
    />
    <div class="columns">
      <${Section} title="What is held in memory">
        <${Table} caption="Memory" rows=${body.memory} keyOf=${(each) => each.name} columns=${MEMORY} />
      <//>
      <${Section} title="Duties">
        <${Duties} all=${body.duties} />
      <//>
    </div>
    ${body.jobs.length > 0 && html`<${Section} title="Jobs"><${Table} caption="Durable work" rows=${body.jobs} keyOf=${(each) => each.kind + each.state} columns=${JOBS} /><//>`}
  `;
}

/** Those that fail are shown at once. */
function Duties({ all }) {
  const failing = all.filter((each) => each.failed_in_a_row);
  const table = (rows, caption) => html`<${Table} caption=${caption} rows=${rows} keyOf=${(each) => each.name} columns=${DUTIES} />`;
  return html`
    ${failing.length > 0 && table(failing, "Duties that fail")}
    <details>
      <summary>${count(all.length - failing.length)} in order</summary>
      ${table(all.filter((each) => !each.failed_in_a_row), "Duties that are in order")}
    </details>
  `;
}

const MEMORY = [
  { name: "What", isHead: true, cell: (each) => html`<${RowName}>${words(each.name)}<//>` },
  { name: "How much", isNumber: true, cell: (each) => (each.unit === "bytes" ? bytes(each.value) : `${count(each.value)} ${each.unit}`) },
];

const DUTIES = [
  { name: "Duty", isHead: true, cell: (each) => html`<${RowName}>${words(each.name)}<//>` },
  { name: "Runs", isNumber: true, cell: (each) => count(each.runs) },
  { name: "Rows removed", isNumber: true, cell: (each) => (isKnown(each.removed) ? count(each.removed) : DASH) },
  { name: "State", cell: (each) => (each.failed_in_a_row ? html`<${Badge} kind="bad">failed ${each.failed_in_a_row} times: ${each.error}<//>` : html`<${Badge} kind="good">in order<//>`) },
];

const JOBS = [
  { name: "Kind", isHead: true, cell: (each) => html`<${RowName}>${words(each.kind)}<//>` },
  { name: "State", cell: (each) => words(each.state) },
  { name: "Jobs", isNumber: true, cell: (each) => count(each.jobs) },
];

function Series() {
  const told = useDocument("/api/series", 15);
  return html`<${Section} title="The last hour">
    <${Document} of=${told}>
      ${({ series }) =>
        series.some((each) => each.points.length > 1)
          ? html`<div class="columns">
              ${series
                .filter((each) => each.points.length > 1)
                .map((each) => html`<${Chart} key=${each.name} title=${words(each.name)} points=${each.points} format=${formatOf(each.name)} series=${[{ name: "mean", colour: "--accent", isFilled: true }, { name: "most", colour: "--bad", dash: [4, 3] }]} />`)}
            </div>`
          : html`<${Empty}>Nothing has been measured yet; the first minute is not over.<//>`}
    <//>
  <//>`;
}

function formatOf(name) {
  if (/bytes|rss|resident|memory/.test(name)) return bytes;
  if (/_ms$|lag/.test(name)) return (value) => `${+value.toFixed(1)} ms`;
  return (value) => count(+value.toFixed(2));
}

function Settings() {
  const told = useDocument("/api/system/settings");
  const [isAll, showAll] = useState(false);
  return html`<${Section} title="Settings" more=${html`<label><input type="checkbox" checked=${isAll} onChange=${(event) => showAll(event.target.checked)} /> with the defaults</label>`}>
    <${Document} of=${told}>
      ${({ settings }) => {
        const shown = settings.filter((each) => isAll || each.source !== "default");
        return shown.length
          ? html`<${Table}
              caption="Settings and where they come from"
              rows=${shown}
              keyOf=${(each) => each.name}
              columns=${[
                { name: "Setting", isHead: true, cell: (each) => html`<${RowName}><code>${each.name}</code><//>` },
                { name: "Value", kind: "long", cell: (each) => html`<code>${each.value}</code>` },
                { name: "From", cell: (each) => each.source },
              ]}
            />`
          : html`<${Empty}>Every setting is as by default.<//>`;
      }}
    <//>
  <//>`;
}

function Runs() {
  const told = useDocument("/api/system/runs?most=50", 30);
  const now = useNow(10_000);
  return html`<${Section} title="Runs and releases">
    <${Document} of=${told}>
      ${({ runs, releases }) => html`
        <${Table}
          caption="Lives of daemons on this database, the latest first"
          rows=${runs}
          keyOf=${(run) => run.run_id}
          columns=${[
            { name: "Run", isHead: true, kind: "id", cell: (run) => html`<${RowName}>${run.run_id}<//>${run.this && html` <${Badge} kind="good">this one<//>`}` },
            { name: "Release", cell: (run) => run.release },
            { name: "Host", cell: (run) => run.host },
            { name: "Started", cell: (run) => time(run.began_at) },
            { name: "Ended", cell: (run) => (run.state === "gone" ? time(run.beat_at) : secondsSince(run.beat_at, now) > 60 ? `no sign since ${time(run.beat_at)}` : run.state) },
            { name: "Settings", kind: "id", cell: (run) => run.settings_digest?.slice(0, 12) ?? DASH },
          ]}
        />
        <p class="quiet">${releases.map((each) => `${each.release} first seen ${time(each.first_seen)}`).join("; ")}</p>
      `}
    <//>
  <//>`;
}
