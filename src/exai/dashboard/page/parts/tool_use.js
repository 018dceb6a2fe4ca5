// Which tools are used, what their entries in the list cost those who do not use them, and what follows from that.
import { count, DASH, milliseconds, money, share } from "../core/format.js";
import { html } from "../core/html.js";
import { useDocument } from "../core/requests.js";
import { Badge, Document, Empty, Section } from "./states.js";
import { RowName, Table } from "./tables.js";

const VERDICTS = { used: "good", "not enough use": "off" };

export function ToolUse({ days }) {
  const told = useDocument(`/api/usage/tools?days=${days}`);
  return html`<${Section} title="By tool">
    <${Document} of=${told}>
      ${({ tools, coverage, callers, plan }) => html`
        <p class="quiet">${count(callers)} callers; ${share(coverage)} of the time was watched.</p>
        ${tools.length ? html`<${Table} caption="Use of tools" columns=${COLUMNS} rows=${tools} keyOf=${(each) => each.tool} />` : html`<${Empty}>No tool was called in the last ${days} days.<//>`}
        ${plan.length > 0 && html`<h3>What could go, and when</h3><${Table} caption="Plan" columns=${PLAN} rows=${plan} keyOf=${(each) => each.tool} />`}
      `}
    <//>
  <//>`;
}

/** Names with their counts, the most frequent first. */
function counted(counts) {
  const names = Object.entries(counts).sort(([, one], [, other]) => other - one);
  if (!names.length) return DASH;
  const text = names.map(([name, calls]) => `${name} ${count(calls)}`).join(", ");
  return html`<span title=${text}>${text}</span>`;
}

const COLUMNS = [
  { name: "Tool", isHead: true, cell: (each) => html`<${RowName}>${each.tool}<//>` },
  { name: "Calls", isNumber: true, cell: (each) => count(each.calls) },
  { name: "Failures", isNumber: true, cell: (each) => count(each.failures) },
  { name: "Outcomes", kind: "long", cell: (each) => counted(each.outcomes) },
  { name: "Callers", isNumber: true, cell: (each) => count(each.callers) },
  { name: "Clients", isNumber: true, cell: (each) => count(each.clients) },
  { name: "Half within", isNumber: true, cell: (each) => milliseconds(each.p50_ms) },
  { name: "Cost", isNumber: true, cell: (each) => money(each.cost_usd) },
  { name: "Tokens of its entry", isNumber: true, cell: (each) => (each.list_tokens === null ? "not listed" : count(each.list_tokens)) },
  { name: "Lists sent", isNumber: true, cell: (each) => (each.list_tokens === null ? DASH : count(each.lists_sent)) },
  { name: "Tokens read of it", isNumber: true, cell: (each) => (each.list_tokens === null ? DASH : count(each.lists_sent * each.list_tokens)) },
  { name: "Last use", cell: (each) => each.last_day ?? DASH },
  { name: "Verdict", cell: (each) => html`<${Badge} kind=${VERDICTS[each.verdict] ?? "warn"}>${each.verdict}<//>` },
  { name: "Called as", cell: (each) => counted(each.older_names) },
  { name: "Asked next", kind: "long", cell: (each) => counted(each.followed_by) },
  { name: "Why", kind: "long", cell: (each) => html`<span title=${each.why}>${each.why}</span>` },
];

const PLAN = [
  { name: "Tool", isHead: true, cell: (each) => html`<${RowName}>${each.tool}<//>` },
  { name: "Hide on", cell: (each) => each.hide_on ?? DASH },
  { name: "Alias from", cell: (each) => each.alias_from ?? DASH },
  { name: "Remove on", cell: (each) => each.remove_on ?? DASH },
  { name: "Tokens saved", isNumber: true, cell: (each) => count(each.tokens_saved) },
];
