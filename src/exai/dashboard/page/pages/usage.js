// What is used, by whom, and what it costs. A price that is not known is apart, and never zero.
import { count, money, share } from "../core/format.js";
import { html } from "../core/html.js";
import { change, useLocation } from "../core/location.js";
import { useDocument } from "../core/requests.js";
import { TimeTravel } from "../parts/range.js";
import { Document, Empty, Facts, Section } from "../parts/states.js";
import { RowName, Table } from "../parts/tables.js";
import { DailyUse } from "../parts/daily_use.js";
import { ToolUse } from "../parts/tool_use.js";

const DAYS = [1, 7, 30, 90];

export default function Usage() {
  const { query } = useLocation();
  const asked = Number(query.get("days"));
  const days = DAYS.includes(asked) ? asked : 30;
  const told = useDocument(`/api/usage?days=${days}`, 30);
  return html`
    <div class="head">
      <h1>Usage</h1>
      <label>Days <select value=${days} onChange=${(event) => change({ days: event.target.value })}>${DAYS.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>
    </div>
    <${TimeTravel} />
    <${Document} of=${told}>${({ usage }) => html`<${Shown} usage=${usage} days=${days} />`}<//>
    <${DailyUse} days=${days} />
    <${ToolUse} days=${days} />
  `;
}

const sum = (rows, name) => rows.reduce((all, row) => all + (row[name] ?? 0), 0);

function Shown({ usage, days }) {
  if (!usage.length) return html`<${Empty}>No call in the last ${days} days.<//>`;
  const real = usage.filter((row) => !row.emulated);
  const emulated = usage.filter((row) => row.emulated);
  const tokensIn = sum(usage, "input_tokens");
  return html`
    <${Facts}
      of=${[
        ["Calls", count(sum(usage, "calls"))],
        ["Unanswered", count(sum(usage, "unanswered"))],
        ["Cost", money(sum(real, "cost_usd"))],
        emulated.length > 0 && ["Emulated, not charged", money(sum(emulated, "cost_usd"))],
        ["Requests without a price", count(sum(usage, "without_price"))],
        ["Tokens in", count(tokensIn)],
        ["From caches", tokensIn ? share(sum(usage, "cached_tokens") / tokensIn) : share(null)],
        ["Tokens out", count(sum(usage, "output_tokens"))],
      ]}
    />
    <${Section} title="By caller and model">
      <${Table} caption="Use by caller and model" columns=${COLUMNS} rows=${usage} keyOf=${(row) => `${row.caller} ${row.model} ${row.emulated}`} />
    <//>
  `;
}

const COLUMNS = [
  { name: "Caller", isHead: true, cell: (row) => html`<${RowName}>${row.caller}<//>` },
  { name: "Model", cell: (row) => `${row.model || "(none chosen)"}${row.emulated ? " (emulated)" : ""}` },
  { name: "Calls", isNumber: true, cell: (row) => count(row.calls) },
  { name: "Unanswered", isNumber: true, cell: (row) => count(row.unanswered) },
  { name: "Tokens in", isNumber: true, cell: (row) => count(row.input_tokens) },
  { name: "Tokens out", isNumber: true, cell: (row) => count(row.output_tokens) },
  { name: "Cost", isNumber: true, cell: (row) => money(row.cost_usd) },
  { name: "Without a price", isNumber: true, cell: (row) => count(row.without_price) },
];
