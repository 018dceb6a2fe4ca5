// One call: its stages, its requests, what it cost, why it failed, what was logged.
import { useEffect, useState } from "preact/hooks";
import { count, DASH, milliseconds, money, seconds, secondsSince, share, stageName, time } from "../core/format.js";
import { useNow } from "../core/clock.js";
import { html } from "../core/html.js";
import { useDocument } from "../core/requests.js";
import { Control } from "../parts/buttons.js";
import { Document, Empty, Facts, Outcome, Section } from "../parts/states.js";
import { RowName, Table } from "../parts/tables.js";
import { Waterfall } from "../parts/waterfall.js";

export default function Call({ id }) {
  const [isRunning, setRunning] = useState(false);
  const told = useDocument(`/api/calls/${encodeURIComponent(id)}`, isRunning ? 2 : 0);
  useEffect(() => setRunning(told.body?.call.outcome === null), [told.body]);
  return html`
    <div class="head">
      <h1>Call <span class="id">${id}</span></h1>
      ${isRunning && html`<${Control} keys="x" kind="danger" label="Cancel" sure="Cancel it now?" path=${`/api/calls/${encodeURIComponent(id)}/cancel`} then=${told.again} />`}
      <button type="button" onClick=${told.again}>Refresh</button>
    </div>
    <${Document} of=${told}>${(body) => html`<${Details} body=${body} />`}<//>
  `;
}

function Details({ body }) {
  const { call } = body;
  const without = call.without_price ? ` and ${count(call.without_price)} without a price` : "";
  return html`
    <${Facts}
      of=${[
        ["Outcome", html`<${Outcome} of=${call.outcome} />`],
        call.error && ["Error", call.error, "bad"],
        body.group && ["Group", html`<a href=${`/errors/${body.group.group}`}>${body.group.group}</a> ${body.group.title} (${body.group.state}, seen ${count(body.group.seen)} times)`],
        ["Began", time(call.began_at)],
        ["Took", call.outcome === null ? html`<${Age} since=${call.began_at} />` : milliseconds(call.latency_ms)],
        ["First token", milliseconds(call.first_token_ms)],
        ["Tool", call.tool],
        ["Model", html`${call.model ?? DASH}${call.provider && ` of ${call.provider}`}${call.emulated ? " (emulated)" : ""}`],
        call.model_requested && call.model_requested !== call.model && ["Asked for", call.model_requested],
        call.model_reason && ["Chosen because", call.model_reason],
        ["Caller", html`<a href=${`/calls?q=${encodeURIComponent(`caller:${call.caller}`)}`}>${call.caller}</a>`],
        ["Client", call.client ?? DASH],
        ["Door", call.door],
        call.token && ["Token", html`<span class="id">${call.token}</span>`],
        call.conversation_id && ["Conversation", html`<a class="id" href=${`/calls?q=${encodeURIComponent(`conversation:${call.conversation_id}`)}`}>${call.conversation_id}</a>`],
        ["Tokens", `${count(call.input_tokens)} in (${count(call.cached_tokens)} cached), ${count(call.output_tokens)} out (${count(call.reasoning_tokens)} of them reasoning)`],
        ["Cost", `${money(call.cost_usd)}${without}${call.emulated ? " (emulated: nothing is charged)" : ""}`],
      ]}
    />
    <${Section} title="Waterfall">
      ${body.spans?.length
        ? html`<${Waterfall} spans=${body.spans} whole=${call.latency_ms ?? Math.max(...body.spans.map((span) => span.ended_ms))} firstToken=${call.first_token_ms} requests=${body.requests} timings=${body.timings} usual=${body.usual} />`
        : html`<${Empty}>${body.spans_why ?? "No stage was recorded."}<//>`}
    <//>
    <div class="columns">
      <${Section} title="Stages">
        <${Stages} body=${body} />
      <//>
      <${Section} title="Requests to models">
        ${body.requests.length
          ? html`<${Table} caption="Each request to a model" columns=${REQUESTS} rows=${body.requests} keyOf=${(request) => request.number} />`
          : html`<${Empty}>No model was asked.<//>`}
      <//>
    </div>
    ${body.occurrences?.length > 0 &&
    html`<${Section} title="Occurrences of its error">
      <ul>${body.occurrences.map((each) => html`<li key=${each.occurrence_id}>${time(each.at)} <span class="id">${each.occurrence_id}</span> ${each.body?.message || each.body?.chain?.at(-1)?.message || ""}</li>`)}</ul>
    <//>`}
    <${Section} title="Log">
      ${body.log.length
        ? html`<pre class="log" tabindex="0">${body.log.map(logLine).join("\n")}</pre>`
        : html`<${Empty}>${body.log_why ?? "Nothing was logged of this call."}<//>`}
    <//>
    ${body.report &&
    html`<${Section} title="What its tool reported">
      <pre class="log" tabindex="0">${JSON.stringify(body.report, null, 2)}</pre>
    <//>`}
  `;
}

/** A line of the log with its parts apart, so that it can be read and wraps between them. */
function logLine(text) {
  try {
    const { timestamp, level, event, ...rest } = JSON.parse(text);
    const parts = Object.entries(rest).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
    return [time(timestamp), level, event, ...parts].join("  ");
  } catch {
    return text;
  }
}

function Age({ since }) {
  const now = useNow();
  return html`${seconds(secondsSince(since, now))} so far`;
}

function Stages({ body }) {
  const { timings, usual } = body;
  const names = Object.keys(timings).filter((name) => timings[name] !== null);
  if (!names.length) return html`<${Empty}>No stage was measured.<//>`;
  const columns = [
    { name: "Stage", isHead: true, cell: (name) => html`<${RowName}>${stageName(name.replace(/_ms$/, ""))}<//>` },
    { name: "This call", isNumber: true, cell: (name) => milliseconds(timings[name]) },
    { name: "Usual, half", isNumber: true, cell: (name) => milliseconds(usual?.stages?.[name]?.p50) },
    { name: "Usual, 95 %", isNumber: true, cell: (name) => milliseconds(usual?.stages?.[name]?.p95) },
    { name: "Faster were", isNumber: true, cell: (name) => share(usual?.stages?.[name]?.below) },
  ];
  return html`<${Table} caption="How long each stage took" columns=${columns} rows=${names} keyOf=${(name) => name} />
    <p class="quiet">${usual ? `Compared with ${count(usual.calls)} calls of its like since ${time(usual.since)}.` : (body.usual_why ?? "")}</p>`;
}

const REQUESTS = [
  { name: "No.", isHead: true, cell: (request) => html`<${RowName}>${request.number}<//>` },
  { name: "Purpose", cell: (request) => request.purpose ?? DASH },
  { name: "Model", cell: (request) => `${request.provider}/${request.model}${request.emulated ? " (emulated)" : ""}` },
  { name: "Outcome", cell: (request) => html`<${Outcome} of=${request.outcome} />` },
  { name: "Tries", isNumber: true, cell: (request) => count(request.attempts) },
  { name: "In", isNumber: true, cell: (request) => count(request.input_tokens) },
  { name: "Out", isNumber: true, cell: (request) => count(request.output_tokens) },
  { name: "Cost", isNumber: true, cell: (request) => (request.without_price ? "no price" : money(request.cost_usd)) },
];
