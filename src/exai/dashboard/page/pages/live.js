// What runs now, what waits and where, how the last hour was, how the last calls ended.
import { useNow } from "../core/clock.js";
import { useTopic } from "../core/feed.js";
import { count, DASH, milliseconds, money, seconds, secondsSince, share, stageName, time } from "../core/format.js";
import { html } from "../core/html.js";
import { Control } from "../parts/buttons.js";
import { Chart } from "../parts/charts.js";
import { TimeTravel } from "../parts/range.js";
import { Empty, Facts, Meter, Outcome, Section, Topic } from "../parts/states.js";
import { RowLink, RowName, Table } from "../parts/tables.js";

export default function Live() {
  const told = useTopic("live");
  return html`
    <h1>Live</h1>
    <${TimeTravel} />
    <${Topic} of=${told}>
      ${(live) => html`
        <${Hour} live=${live} />
        <${Running} live=${live} />
        <div class="columns">
          <${Gates} live=${live} />
          <${Endings} live=${live} />
        </div>
      `}
    <//>
  `;
}

function Hour({ live }) {
  const { hour, minutes } = live;
  return html`<${Section} title="The last hour">
    <${Facts}
      of=${[
        ["Calls", count(hour.calls)],
        ["Failed", `${count(hour.failed)}${hour.calls ? ` (${share(hour.failed / hour.calls)})` : ""}`, hour.failed ? "bad" : ""],
        ["Cancelled", count(hour.cancelled)],
        ["Now", `${hour.per_s.toFixed(2)} calls/s`],
        ["Half within", milliseconds(hour.p50_ms)],
        ["95 % within", milliseconds(hour.p95_ms)],
        ["First token, half", milliseconds(hour.first_token_p50_ms)],
        ["First token, 95 %", milliseconds(hour.first_token_p95_ms)],
      ]}
    />
    ${minutes.length > 1 &&
    html`<div class="columns">
      <${Chart}
        title="Calls per minute"
        points=${minutes.map((row) => row.slice(0, 3))}
        format=${(value) => count(Math.round(value))}
        series=${[
          { name: "calls", colour: "--accent", isFilled: true },
          { name: "failed", colour: "--bad", dash: [6, 3] },
        ]}
      />
      <${Chart}
        title="How long calls took"
        points=${minutes.map((row) => [row[0], row[3], row[4], row[5]])}
        format=${milliseconds}
        series=${[
          { name: "half", colour: "--accent" },
          { name: "95 %", colour: "--bad", dash: [6, 3] },
          { name: "first token", colour: "--good", dash: [2, 3] },
        ]}
      />
    </div>`}
  <//>`;
}

function Running({ live }) {
  const now = useNow();
  const title = `Calls running: ${count(live.running_total)}`;
  const columns = [
    { name: "Call", isHead: true, kind: "id", cell: (call) => html`<${RowLink} href=${`/calls/${call.call_id}`}>${call.call_id}<//>` },
    {
      name: "Control",
      label: html`<span class="unseen">Control</span>`,
      cell: (call) => html`<${Control} keys="x" kind="danger" label="Cancel" sure="Cancel it now?" path=${`/api/calls/${call.call_id}/cancel`} />`,
    },
    { name: "Tool", cell: (call) => call.tool },
    { name: "Stage", cell: (call) => (call.stage ? stageName(call.stage) : DASH) },
    { name: "In it", isNumber: true, cell: (call) => (call.stage_since ? seconds(secondsSince(call.stage_since, now)) : DASH) },
    { name: "Age", isNumber: true, cell: (call) => seconds(secondsSince(call.began_at, now)) },
    { name: "Model", cell: (call) => (call.model ? `${call.provider}/${call.model}` : call.model_requested ? `(${call.model_requested})` : DASH) },
    { name: "Try", isNumber: true, cell: (call) => (call.attempt > 1 ? call.attempt : DASH) },
    { name: "Caller", cell: (call) => call.caller },
    { name: "Client", cell: (call) => call.client ?? DASH },
    { name: "Door", cell: (call) => call.door },
  ];
  return html`<${Section} title=${title} id="running">
    ${live.running.length
      ? html`<${Table} caption="Calls that run, the oldest first" columns=${columns} rows=${live.running} keyOf=${(call) => call.call_id} />`
      : html`<${Empty}>Nothing runs. ${live.hour.calls ? `${count(live.hour.calls)} calls in the last hour.` : "No call in the last hour."}<//>`}
    ${live.running_total > live.running.length && html`<p class="quiet">The ${live.running.length} oldest are shown; <a href="/calls?q=outcome%3Arunning">all that run</a>.</p>`}
  <//>`;
}

function Gates({ live }) {
  const columns = [
    { name: "Limit", isHead: true, cell: (gate) => html`<${RowName}>${gate.name}<//>` },
    { name: "In use", isNumber: true, cell: (gate) => `${gate.in_use} of ${gate.limit}` },
    { name: "Share", label: html`<span class="unseen">Share</span>`, cell: (gate) => html`<${Meter} used=${gate.in_use} limit=${gate.limit} label=${gate.name} />` },
    { name: "Most", isNumber: true, cell: (gate) => gate.most_in_use },
    { name: "Waiting", isNumber: true, cell: (gate) => gate.waiting },
    { name: "Who waits", cell: (gate) => gate.waiters.map((each) => `${each.caller} (${each.calls})`).join(", ") || DASH },
  ];
  return html`<${Section} title="Limits, and who waits">
    <${Table} caption="Limits of calls and requests" columns=${columns} rows=${live.gates} keyOf=${(gate) => gate.name} />
    ${live.callers.waiting > 0 && html`<p>${count(live.callers.waiting)} wait at their caller's own limit.</p>`}
  <//>`;
}

function Endings({ live }) {
  const columns = [
    { name: "Ended", cell: (call) => time(call.ended_at) },
    { name: "Call", isHead: true, kind: "id", cell: (call) => html`<${RowLink} href=${`/calls/${call.call_id}`}>${call.call_id}<//>` },
    { name: "Outcome", cell: (call) => html`<${Outcome} of=${call.outcome} />${call.error && ` ${call.error}`}` },
    { name: "Tool", cell: (call) => call.tool },
    { name: "Model", cell: (call) => `${call.model ?? DASH}${call.emulated ? " (emulated)" : ""}` },
    { name: "Took", isNumber: true, cell: (call) => milliseconds(call.latency_ms) },
    { name: "First token", isNumber: true, cell: (call) => milliseconds(call.first_token_ms) },
    { name: "Cost", isNumber: true, cell: (call) => money(call.cost_usd) },
    { name: "Caller", cell: (call) => call.caller },
  ];
  return html`<${Section} title="The last calls that ended">
    ${live.endings.length
      ? html`<${Table} caption="Calls that ended, the latest first" columns=${columns} rows=${live.endings} keyOf=${(call) => call.call_id} />`
      : html`<${Empty}>No call has ended since this process began. <a href="/calls">Calls of earlier ones</a><//>`}
  <//>`;
}
