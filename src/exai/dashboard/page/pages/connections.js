// Who is connected: doors, sessions that outlive their sockets, and what is cleaned up.
import { useNow } from "../core/clock.js";
import { useTopic } from "../core/feed.js";
import { bytes, count, DASH, isKnown, seconds, secondsSince, words } from "../core/format.js";
import { html } from "../core/html.js";
import { Control } from "../parts/buttons.js";
import { TimeTravel } from "../parts/range.js";
import { Badge, Empty, Facts, Section, Topic } from "../parts/states.js";
import { RowName, Table } from "../parts/tables.js";

export default function Connections() {
  const told = useTopic("connections");
  return html`
    <h1>Connections</h1>
    <${TimeTravel} />
    <${Topic} of=${told}>${(body) => html`<${Shown} body=${body} />`}<//>
  `;
}

function Shown({ body }) {
  const { totals, clean_up: cleaning, browsers } = body;
  return html`
    <${Facts}
      of=${[
        ...body.doors.map((each) => [`By ${each.door}`, count(each.connections)]),
        ["Sessions", count(totals.sessions)],
        ["Cut off", count(totals.cut), totals.cut ? "warn" : ""],
        ["Kept out", count(totals.kept_out), totals.kept_out ? "bad" : ""],
        ["Pending", `${count(totals.pending)} messages, ${bytes(totals.pending_bytes)}`],
        ["Acknowledged after", isKnown(totals.ack_lag_s) ? seconds(totals.ack_lag_s) : DASH],
        ["Sent, received", `${count(totals.sent)}, ${count(totals.received)}`],
        ["Duplicates", count(totals.duplicates)],
        ["Evicted", count(totals.evicted), totals.evicted ? "bad" : ""],
        ["Gaps", count(totals.gaps), totals.gaps ? "bad" : ""],
        ["Browsers", `${count(browsers.signed_in)} signed in, ${count(browsers.feeds)} with this page open`],
      ]}
    />
    <${Section} title="Sessions">
      ${body.sessions.length
        ? html`<${Table} caption="Resumable sessions, those with the most pending first" columns=${SESSIONS} rows=${body.sessions} keyOf=${(each) => each.session} />`
        : html`<${Empty}>No resumable session is open. Clients that speak plain MCP have none.<//>`}
    <//>
    <div class="columns">
      <${Section} title="Callers">
        ${body.callers.length
          ? html`<${Table} caption="Connected callers" columns=${CALLERS} rows=${body.callers} keyOf=${(each) => each.caller + each.door} />`
          : html`<${Empty}>Nobody is connected.<//>`}
      <//>
      <${Section} title="Clean-up" more=${html`<span class="quiet">${count(cleaning.rounds)} rounds, ${bytes(cleaning.reclaimed_bytes)} reclaimed</span>`}>
        ${cleaning.duties.length
          ? html`<${Table} caption="What is removed when it is old" columns=${DUTIES} rows=${cleaning.duties} keyOf=${(each) => each.duty} />`
          : html`<${Empty}>No round has run yet.<//>`}
      <//>
    </div>
  `;
}

function Ends({ at }) {
  const now = useNow();
  return at ? `in ${seconds(Math.max(0, (Date.parse(at) - now) / 1000))}` : DASH;
}

function Age({ since }) {
  const now = useNow();
  return seconds(secondsSince(since, now));
}

const SESSIONS = [
  { name: "Session", isHead: true, kind: "id", cell: (each) => html`<${RowName}>${each.session}<//>` },
  { name: "State", cell: (each) => html`<${Badge} kind=${each.connected ? "good" : each.kept_out ? "bad" : "warn"}>${each.kept_out ? "kept out" : each.connected ? "connected" : "cut off"}<//>` },
  { name: "Caller", cell: (each) => each.caller },
  { name: "Client", cell: (each) => each.client ?? DASH },
  { name: "Age", isNumber: true, cell: (each) => html`<${Age} since=${each.opened_at} />` },
  { name: "Socket no.", isNumber: true, cell: (each) => count(each.generation) },
  { name: "Pending", isNumber: true, cell: (each) => `${count(each.pending)}, ${bytes(each.pending_bytes)}` },
  { name: "Acknowledged after", isNumber: true, cell: (each) => (isKnown(each.ack_lag_s) ? seconds(each.ack_lag_s) : DASH) },
  { name: "Sent", isNumber: true, cell: (each) => count(each.sent) },
  { name: "Received", isNumber: true, cell: (each) => count(each.received) },
  { name: "Duplicates", isNumber: true, cell: (each) => count(each.duplicates) },
  { name: "Evicted", isNumber: true, cell: (each) => count(each.evicted) },
  { name: "Gaps", isNumber: true, cell: (each) => count(each.gaps) },
  { name: "Ends", isNumber: true, cell: (each) => html`<${Ends} at=${each.ends_at} />` },
  {
    name: "Control",
    label: html`<span class="unseen">Control</span>`,
    cell: (each) => html`<${Control} keys="x" kind="danger" label="End session" sure="End it now?" path=${`/api/sessions/${encodeURIComponent(each.session)}/end`} />`,
  },
];

const CALLERS = [
  { name: "Caller", isHead: true, cell: (each) => html`<${RowName}>${each.caller}<//>` },
  { name: "Door", cell: (each) => each.door },
  { name: "Connections", isNumber: true, cell: (each) => count(each.connections) },
];

const DUTIES = [
  { name: "What", isHead: true, cell: (each) => html`<${RowName}>${words(each.duty)}<//>` },
  { name: "Runs", isNumber: true, cell: (each) => count(each.runs) },
  { name: "Rows removed", isNumber: true, cell: (each) => (isKnown(each.removed) ? count(each.removed) : DASH) },
  { name: "State", cell: (each) => (each.failed_in_a_row ? html`<${Badge} kind="bad">failed ${each.failed_in_a_row} times: ${each.error}<//>` : html`<${Badge} kind="good">${each.elsewhere ? "done by another process" : "in order"}<//>`) },
];
