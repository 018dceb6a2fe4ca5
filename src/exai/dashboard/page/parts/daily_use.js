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
      ${(body) =>
        body.days.length
          ? html`
              <${CostByDay} rows=${body.days} />
              <${Table} caption="Use by day, model and tool" columns=${COLUMNS} rows=${body.days} keyOf=${(row) => [row.day, row.provider, row.model, row.tool].join()} />
              ${body.cut && html`<p class="quiet">The latest rows alone are shown.</p>`}
            `
          : html`<${Empty}>No hour with calls is closed yet. The table above has the open ones.<//>`}
    <//>
  <//>`;
}

function CostByDay({ rows }) {
  const sums = new Map();
  for (const row of rows) {
    if (row.emulated) continue;
    const at = Date.parse(row.day) / 1000;
    sums.set(at, (sums.get(at) ?? 0) + (row.cost_usd ?? 0));
  }
  if (sums.size < 2) return null;
  const points = [...sums].sort(([one], [other]) => one - other);
  return html`<${Chart} title="Cost by day, of calls that are charged" points=${points} format=${money} series=${[{ name: "cost", colour: "--accent", isFilled: true }]} />`;
}

const COLUMNS = [
  { name: "Day", isHead: true, cell: (row) => html`<${RowName}>${row.day}<//>` },
  { name: "Model", cell: (row) => `${row.provider ? `${row.provider}/` : ""}${row.model ?? "(none chosen)"}${row.emulated ? " (emulated)" : ""}` },
  { name: "Tool", cell: (row) => row.tool },
  { name: "Calls", isNumber: true, cell: (row) => count(row.calls) },
  { name: "Failed", isNumber: true, cell: (row) => count(row.failed) },
  { name: "Tokens in", isNumber: true, cell: (row) => count(row.input_tokens) },
  { name: "Cached", isNumber: true, cell: (row) => count(row.cached_tokens) },
  { name: "Tokens out", isNumber: true, cell: (row) => count(row.output_tokens) },
  { name: "Cost", isNumber: true, cell: (row) => money(row.cost_usd) },
  { name: "Without a price", isNumber: true, cell: (row) => count(row.unpriced) },
];
