// Use and cost day by day: by model and tool, as far as hours are closed.
import { count, money } from "../core/format.js";
import { html } from "../core/html.js";
import { useDocument } from "../core/requests.js";
import { Chart } from "./charts.js";
import { Document, Empty, Section } from "./states.js";
import { RowName, Table } from "./tables.js";

export function DailyUse({ days }) {
  const told = useDocument(`/api/usage/days?days=${days}`);
  return html`<${Section} title="By day">
    <${Document} of=${told}>
      ${({ days: rows, callers, cut }) => html`
        ${rows.length
          ? html`<${CostByDay} rows=${rows} /><${Table} caption="Use by day, model and tool" columns=${COLUMNS} rows=${rows} keyOf=${(row) => [row.day, row.provider, row.model, row.tool].join()} />`
          : html`<${Empty}>No hour with calls is closed yet. The table above has the open ones.<//>`}
        ${callers.length > 0 && html`<h3>By caller, model and tool</h3><${Table} caption="Use by caller, model and tool, the most expensive first" columns=${CALLERS} rows=${callers} keyOf=${(row) => [row.caller, row.model, row.tool].join()} />`}
        ${cut && html`<p class="quiet">There are more rows: the latest days and the most expensive callers are shown.</p>`}
      `}
    <//>
  <//>`;
}

function CostByDay({ rows }) {
  const sums = new Map();
  for (const row of rows) {
    if (row.emulated === row.calls) continue;
    const at = Date.parse(row.day) / 1000;
    sums.set(at, (sums.get(at) ?? 0) + (row.cost_usd ?? 0));
  }
  if (sums.size < 2) return null;
  const points = [...sums].sort(([one], [other]) => one - other);
  return html`<${Chart} title="Cost by day, of calls that are charged" when=${dayOf} points=${points} format=${money} series=${[{ name: "cost", colour: "--accent", isFilled: true }]} />`;
}

/** As the rows name it: days are those of UTC. */
const dayOf = (at) => new Date(at * 1000).toISOString().slice(0, 10);

const modelOf = ({ provider, model }) => (model ? `${provider ? `${provider}/` : ""}${model}` : "(none chosen)");

/** How many of a row's calls the emulator answered, where any. */
function emulatedOf({ emulated, calls }) {
  if (!emulated) return "";
  return emulated === calls ? " (emulated)" : ` (${count(emulated)} emulated)`;
}

const COLUMNS = [
  { name: "Day", isHead: true, cell: (row) => html`<${RowName}>${row.day}<//>` },
  { name: "Model", cell: (row) => modelOf(row) + emulatedOf(row) },
  { name: "Tool", cell: (row) => row.tool },
  { name: "Calls", isNumber: true, cell: (row) => count(row.calls) },
  { name: "Failed", isNumber: true, cell: (row) => count(row.failed) },
  { name: "Requests", isNumber: true, cell: (row) => count(row.requests) },
  { name: "Tokens in", isNumber: true, cell: (row) => count(row.input_tokens) },
  { name: "Cached", isNumber: true, cell: (row) => count(row.cached_tokens) },
  { name: "Tokens out", isNumber: true, cell: (row) => count(row.output_tokens) },
  { name: "Cost", isNumber: true, cell: (row) => money(row.cost_usd) },
  { name: "Without a price", isNumber: true, cell: (row) => count(row.unpriced) },
];

const CALLERS = [
  { name: "Caller", isHead: true, cell: (row) => html`<${RowName}>${row.caller}<//>` },
  { name: "Model", cell: (row) => row.model || "(none chosen)" },
  { name: "Tool", cell: (row) => row.tool },
  { name: "Calls", isNumber: true, cell: (row) => count(row.calls) },
  { name: "Failed", isNumber: true, cell: (row) => count(row.failures) },
  { name: "Cost", isNumber: true, cell: (row) => money(row.cost_usd) },
];
