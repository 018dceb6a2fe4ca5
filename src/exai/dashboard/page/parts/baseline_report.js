// The report of a baseline: each percentile with its interval and count, failures in their place, what holds slow calls up.
import { count, DASH, isKnown, milliseconds, money, share, time, words } from "../core/format.js";
import { html } from "../core/html.js";
import { Chart } from "./charts.js";
import { Empty, Facts, Section } from "./states.js";
import { RowName, Table } from "./tables.js";

export function BaselineReport({ report }) {
  const { coverage, subjects, hours } = report;
  const failures = subjects.flatMap((each) => Object.entries(each.failures).map(([code, calls]) => ({ of: nameOf(each), code, calls })));
  const stages = subjects.flatMap((each) => Object.entries(each.stages).map(([stage, latency]) => ({ of: nameOf(each), stage, latency })));
  return html`
    ${report.remarks.map((remark) => html`<p key=${remark}>${remark}</p>`)}
    <${Facts}
      of=${[
        ["Until", time(report.until)],
        ["Coverage", share(coverage.share)],
        coverage.gaps.length > 0 && ["Gaps", coverage.gaps.map((gap) => `${time(gap.began)} to ${time(gap.ended)}`).join("; "), "warn"],
        ["Calls", `${count(report.calls)}${report.open ? `, ${count(report.open)} of them still open` : ""}`],
        report.emulated && ["Emulated", count(report.emulated), "warn"],
        ["Releases", coverage.releases.join(", ") || DASH],
      ]}
    />
    ${hours.length > 1 &&
    html`<${Chart}
      title="By hour"
      points=${hours.map((hour) => [Date.parse(hour.began) / 1000, hour.p50_ms, hour.p95_ms])}
      format=${milliseconds}
      series=${[{ name: "half", colour: "--accent" }, { name: "95 %", colour: "--bad", dash: [6, 3] }]}
    />`}
    <${Section} title="Latency">
      ${subjects.length ? html`<${Table} caption="Latency by provider, model and tool" columns=${LATENCY} rows=${subjects} keyOf=${(each) => each.kind + each.name} />` : html`<${Empty}>No call has ended in it yet.<//>`}
    <//>
    ${failures.length > 0 &&
    html`<${Section} title="Failures"><${Table} caption="Failures by provider, model and tool" columns=${FAILURES} rows=${failures} keyOf=${(each) => each.of + each.code} /><//>`}
    ${stages.length > 0 &&
    html`<${Section} title="Stages"><${Table} caption="Stages by provider, model and tool" columns=${STAGES} rows=${stages} keyOf=${(each) => each.of + each.stage} /><//>`}
    <${Section} title="What holds slow calls up">
      ${report.bottlenecks.length
        ? report.bottlenecks.map((each) => html`<${Bottleneck} key=${each.model} of=${each} />`)
        : html`<${Empty}>Nothing stands out, or there are too few calls to say.<//>`}
    <//>
  `;
}

const nameOf = ({ kind, name }) => `${kind} ${name || "(none chosen)"}`;

/** A percentile with its interval; one that has no upper end is at least its value. */
function Quantile({ of: spread, at }) {
  const found = spread?.quantiles.find((each) => each.share === at);
  if (!found) return DASH;
  if (!isKnown(found.value)) return "never";
  if (!isKnown(found.high)) return `≥ ${milliseconds(found.value)}`;
  return `${milliseconds(found.value)} (${isKnown(found.low) ? milliseconds(found.low) : "0"} to ${milliseconds(found.high)})`;
}

const percentile = (name, at) => ({ name, isNumber: true, cell: (each) => html`<${Quantile} of=${each.latency} at=${at} />` });

const LATENCY = [
  { name: "What", isHead: true, cell: (each) => html`<${RowName}>${nameOf(each)}<//>` },
  { name: "Calls", isNumber: true, cell: (each) => count(each.calls) },
  { name: "Failed", isNumber: true, cell: ({ failed }) => (failed.of ? `${share(failed.hits / failed.of)} (${share(failed.low)} to ${share(failed.high)})` : DASH) },
  percentile("Half within", 0.5),
  percentile("90 %", 0.9),
  percentile("95 %", 0.95),
  percentile("99 %", 0.99),
  { name: "Longest", isNumber: true, cell: (each) => milliseconds(each.latency?.longest) },
  { name: "Useful answer, 95 %", isNumber: true, cell: (each) => html`<${Quantile} of=${each.useful} at=${0.95} />` },
  { name: "Tokens per second", isNumber: true, cell: ({ emulated, tokens_per_s: speed }) => emulated ? "emulated" : speed?.quantiles.find((each) => each.share === 0.5)?.value?.toFixed(1) ?? DASH },
  { name: "Cost", isNumber: true, cell: (each) => `${money(each.cost_usd)}${each.without_price ? " +?" : ""}` },
];

const FAILURES = [
  { name: "What", isHead: true, cell: (each) => html`<${RowName}>${each.of}<//>` },
  { name: "Error", cell: (each) => words(each.code) },
  { name: "Calls", isNumber: true, cell: (each) => count(each.calls) },
];

const STAGES = [
  { name: "What", isHead: true, cell: (each) => html`<${RowName}>${each.of}<//>` },
  { name: "Stage", cell: (each) => words(each.stage.replace(/_ms$/, "")) },
  percentile("Half within", 0.5),
  percentile("90 %", 0.9),
  percentile("95 %", 0.95),
  percentile("99 %", 0.99),
  { name: "Longest", isNumber: true, cell: (each) => milliseconds(each.latency.longest) },
];

function Bottleneck({ of: told }) {
  const { found } = told;
  return html`
    <h3>${told.model}</h3>
    <p>${told.advice}</p>
    <${Table}
      caption=${`Stages of slow calls of ${told.model}`}
      rows=${found.stages}
      keyOf=${(each) => each.stage}
      columns=${[
        { name: "Stage", isHead: true, cell: (each) => html`<${RowName}>${words(each.stage.replace(/_ms$/, ""))}<//>` },
        { name: "More than usual", isNumber: true, cell: (each) => milliseconds(each.excess_ms) },
        { name: "Share", isNumber: true, cell: (each) => `${share(each.share)} (${share(each.low)} to ${share(each.high)})` },
        { name: "95 % without it", isNumber: true, cell: (each) => milliseconds(each.p95_without_ms) },
      ]}
    />
  `;
}
