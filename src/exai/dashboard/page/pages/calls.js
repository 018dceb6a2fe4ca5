// Every row of the journal, by terms that combine.
import { useEffect, useRef, useState } from "preact/hooks";
import { count, DASH, milliseconds, money, time } from "../core/format.js";
import { html } from "../core/html.js";
import { change, go, useLocation } from "../core/location.js";
import { ask, useDocument } from "../core/requests.js";
import { rangeName, rangeOf, TimeTravel } from "../parts/range.js";
import { Document, Empty, Outcome } from "../parts/states.js";
import { RowLink, Table } from "../parts/tables.js";

const PAGE = 100;

export default function Calls() {
  const { query } = useLocation();
  const given = rangeOf(query);
  if (query.get("q")) given.set("q", query.get("q"));
  const parameters = given.toString();
  const told = useDocument(`/api/calls?${parameters}&most=${PAGE}`);
  useEffect(() => {
    if (told.body?.jump && told.of?.includes(parameters)) go(told.body.jump.page, { replace: true });
  }, [told.body]);
  return html`
    <div class="head">
      <h1>Calls</h1>
      <span class="quiet">${rangeName(query)}</span>
      <span class="exports">
        Export: ${["csv", "jsonl"].map((format) => html`<a key=${format} download data-whole href=${`/api/calls/export?${parameters}&format=${format}`}>${format.toUpperCase()}</a> `)}
      </span>
      <button type="button" onClick=${told.again}>Refresh</button>
    </div>
    <${TimeTravel} knows />
    <${Terms} text=${query.get("q") ?? ""} />
    <${Document} of=${told}>${(body) => html`<${Rows} key=${told.of + told.heardAt} first=${body} parameters=${parameters} query=${query} />`}<//>
  `;
}

/** The terms, each of which can be taken away. */
function Terms({ text }) {
  const terms = text.match(/(?:[^\s"]|"[^"]*")+/g) ?? [];
  if (!terms.length) return null;
  return html`<p class="terms">
    ${terms.map(
      (term, index) =>
        html`<span key=${index} class="term">${term} <button type="button" aria-label=${`Without ${term}`} onClick=${() => change({ q: terms.filter((_, other) => other !== index).join(" ") })}>×</button></span>`,
    )}
  </p>`;
}

function Rows({ first, parameters, query }) {
  const [calls, setCalls] = useState(first.calls);
  const [cursor, setCursor] = useState(first.next);
  const [error, setError] = useState(null);
  const [searchedTo, setSearchedTo] = useState(first.searched_to);
  const isBusy = useRef(false);

  const more = async () => {
    if (isBusy.current || !cursor) return;
    isBusy.current = true;
    try {
      const body = await ask(`/api/calls?${parameters}&most=${PAGE}&cursor=${encodeURIComponent(cursor)}`);
      setCalls((before) => [...before, ...body.calls]);
      setCursor(body.next);
      setSearchedTo(body.searched_to);
      setError(null);
    } catch (failed) {
      setError(failed);
    }
    isBusy.current = false;
  };
  if (!calls.length) {
    return html`<${Empty}>
      ${query.get("q")
        ? html`No call ${rangeName(query)} matches all of these terms. <button type="button" onClick=${() => change({ q: null })}>Show all calls of this time</button> `
        : html`No call ${rangeName(query)}. `}
      ${cursor
        ? html`It was looked back to ${time(searchedTo)} so far. <button type="button" onClick=${more}>Look further back</button>`
        : query.get("from") !== "-30d" && html`<button type="button" onClick=${() => change({ from: "-30d", to: null, at: null })}>Look at the last 30 days</button>`}
    <//>`;
  }
  return html`
    <${Table} caption="Calls, the latest first" columns=${COLUMNS} rows=${calls} keyOf=${(call) => call.call_id} more=${cursor ? more : undefined} tall=${24} />
    <p class="quiet">
      ${count(calls.length)} calls${cursor ? " so far; scroll for more" : ""}.
      ${cursor && html` <button type="button" onClick=${more}>More</button>`}
      ${error && html` <span class="bad">${error.message}</span>`}
    </p>
  `;
}

const COLUMNS = [
  { name: "Began", cell: (call) => time(call.began_at) },
  { name: "Call", isHead: true, kind: "id", cell: (call) => html`<${RowLink} href=${`/calls/${call.call_id}`}>${call.call_id}<//>` },
  { name: "Outcome", cell: (call) => html`<${Outcome} of=${call.outcome} />` },
  { name: "Error", cell: (call) => html`${call.error ?? ""}${call.group && html` <a href=${`/errors/${call.group}`}>${call.group}</a>`}` },
  { name: "Tool", cell: (call) => call.tool },
  { name: "Model", cell: (call) => `${call.model ?? call.model_requested ?? DASH}${call.emulated ? " (emulated)" : ""}` },
  { name: "Caller", cell: (call) => call.caller },
  { name: "Took", isNumber: true, cell: (call) => milliseconds(call.latency_ms) },
  { name: "First token", isNumber: true, cell: (call) => milliseconds(call.first_token_ms) },
  { name: "Requests", isNumber: true, cell: (call) => count(call.requests) },
  { name: "Tokens in", isNumber: true, cell: (call) => count(call.input_tokens) },
  { name: "Tokens out", isNumber: true, cell: (call) => count(call.output_tokens) },
  { name: "Cost", isNumber: true, cell: (call) => `${money(call.cost_usd)}${call.without_price ? " +?" : ""}` },
  { name: "Client", cell: (call) => call.client ?? DASH },
  { name: "Door", cell: (call) => call.door },
];
