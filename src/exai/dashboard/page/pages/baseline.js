// One baseline: its circumstances, its report, and what changed since another one.
import { DASH, milliseconds, time } from "../core/format.js";
import { html } from "../core/html.js";
import { change, useLocation } from "../core/location.js";
import { useDocument } from "../core/requests.js";
import { BaselineReport } from "../parts/baseline_report.js";
import { Badge, Document, Empty, Facts, Section } from "../parts/states.js";
import { RowName, Table } from "../parts/tables.js";

const VERDICTS = { worse: "bad", better: "good", same: "off", "not enough": "warn" };

export default function Baseline({ id }) {
  const told = useDocument(`/api/baselines/${encodeURIComponent(id)}`, 15);
  return html`
    <h1>Baseline ${id}</h1>
    <${Document} of=${told}>
      ${({ run, report, why }) => html`
        <${Facts} of=${[["State", run.state], ["Began", time(run.began_at)], [run.ended_at ? "Ended" : "Ends", time(run.ended_at ?? run.planned_end)], run.filter && ["Of", run.filter], run.note && ["Note", run.note], run.compressed && ["Time", "compressed: not a real day", "warn"]]} />
        ${report ? html`<${BaselineReport} report=${report} />` : html`<${Empty}>${why ?? "It has no report yet."}<//>`}
      `}
    <//>
    <${Comparison} name=${id} />
  `;
}

function Comparison({ name }) {
  const { query } = useLocation();
  const other = query.get("with");
  const all = useDocument("/api/baselines");
  const others = (all.body?.runs ?? []).filter((run) => run.name !== name);
  if (!others.length) return null;
  return html`<${Section} title="Compared with">
    <label>An earlier one <select value=${other ?? ""} onChange=${(event) => change({ with: event.target.value })}>
      <option value="">(none)</option>
      ${others.map((run) => html`<option key=${run.name} value=${run.name}>${run.name}</option>`)}
    </select></label>
    ${other && html`<${Changes} key=${other} before=${other} after=${name} />`}
  <//>`;
}

function Changes({ before, after }) {
  const told = useDocument(`/api/baselines/${encodeURIComponent(before)}/compare/${encodeURIComponent(after)}`);
  return html`<${Document} of=${told}>
    ${({ changes }) =>
      changes.length
        ? html`<${Table} caption=${`What changed from ${before} to ${after}`} columns=${CHANGES} rows=${changes} keyOf=${(each) => each.kind + each.name + each.share} />`
        : html`<${Empty}>They have nothing in common that could be compared.<//>`}
  <//>`;
}

/** By how much more or less a ratio is. */
function percent(ratio) {
  if (ratio === null) return DASH;
  const text = (100 * (ratio - 1)).toFixed(1);
  if (Number(text) === 0) return "0.0 %";
  return `${ratio > 1 ? "+" : ""}${text} %`;
}

const CHANGES = [
  { name: "What", isHead: true, cell: (each) => html`<${RowName}>${each.kind} ${each.name}, ${100 * each.share} %<//>` },
  { name: "Before", isNumber: true, cell: (each) => milliseconds(each.before_ms) },
  { name: "After", isNumber: true, cell: (each) => milliseconds(each.after_ms) },
  { name: "Change", isNumber: true, cell: (each) => percent(each.ratio) },
  { name: "Between", isNumber: true, cell: (each) => (each.low === null ? DASH : `${percent(each.low)} and ${percent(each.high)}`) },
  { name: "Verdict", cell: (each) => html`<${Badge} kind=${VERDICTS[each.verdict] ?? "off"}>${each.verdict === "same" ? "no change shown" : each.verdict}<//>` },
];
