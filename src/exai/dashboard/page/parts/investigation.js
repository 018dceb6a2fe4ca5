// What models make of a group, with what was checked of it. All of their texts are shown as text.
import { count, DASH, money, time } from "../core/format.js";
import { html } from "../core/html.js";
import { Badge, Facts } from "./states.js";

const LEVELS = { likely: "good", possible: "warn", disputed: "bad", unknown: "off" };

export function Investigation({ of: told }) {
  const { report } = told;
  return html`
    <${Facts}
      of=${[
        ["State", `${told.state}${told.stage && !told.ended_at ? `: ${told.stage}` : ""}${told.why ? `: ${told.why}` : ""}`],
        ["Asked", `${time(told.asked_at)} by ${told.asked_by} (${told.reason})`],
        told.ended_at && ["Ended", time(told.ended_at)],
        ["Spent", `${count(told.requests)} requests, ${money(told.cost_usd)}`],
      ]}
    />
    ${report && html`<${Report} report=${report} />`}
  `;
}

function Report({ report }) {
  const { fix, second_opinion: second } = report;
  return html`
    <h3>Cause <${Badge} kind=${LEVELS[report.level] ?? "off"}>${report.level}<//></h3>
    <p>${report.cause}</p>
    ${report.chain?.length > 0 &&
    html`<ol>
      ${report.chain.map((step, index) => html`<li key=${index}>${step.text} <span class="quiet">(${step.who})</span><${Citations} of=${step.citations} /></li>`)}
    </ol>`}
    ${report.rejected?.length > 0 && html`<h3>Rejected</h3><ul>${report.rejected.map((each, index) => html`<li key=${index}>${each.cause}: ${each.why_not}</li>`)}</ul>`}
    <h3>What to do</h3>
    <p>${fix.text || DASH}</p>
    ${fix.patch && html`<pre class="log" tabindex="0">${fix.patch}</pre>`}
    ${fix.check && html`<p>The patch ${fix.check.applies ? "applies" : "does not apply"}${fix.check.commit ? ` to ${fix.check.commit.slice(0, 12)}` : ""}; nothing was written. ${fix.check.problems?.join(" ")}</p>`}
    ${second &&
    html`<h3>Second opinion: ${second.verdict}</h3>
      <p>${second.why}</p>
      <${Citations} of=${second.citations} />`}
    ${report.no_second_opinion && html`<p>No second opinion: ${report.no_second_opinion}</p>`}
    ${report.notes.length > 0 && html`<ul>${report.notes.map((each) => html`<li key=${each}>${each}</li>`)}</ul>`}
    <${Facts} of=${[report.reproduction && ["Reproduction", report.reproduction], report.reach && ["Reach", report.reach], report.would_decide && ["Would decide", report.would_decide], report.not_looked_at && ["Not looked at", report.not_looked_at], ["Models", report.models.map((each) => `${each.name} (${each.role}${each.emulated ? ", emulated" : ""})`).join(", ") || DASH]]} />
  `;
}

function Citations({ of: citations }) {
  if (!citations?.length) return null;
  return html`<ul class="citations">
    ${citations.map(
      ({ citation, verdict }, index) =>
        html`<li key=${index}>
          <details>
            <summary><${Badge} kind=${verdict === "verified" ? "good" : "bad"}>${verdict}<//> ${citation.evidence} ${citation.place}</summary>
            <pre class="log" tabindex="0">${citation.quote}</pre>
          </details>
        </li>`,
    )}
  </ul>`;
}
