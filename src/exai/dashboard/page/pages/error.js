// One group: what it is, why it is one, what varies, what was found out, what was decided.
import { useState } from "preact/hooks";
import { count, DASH, money, share, time, words } from "../core/format.js";
import { html } from "../core/html.js";
import { useDocument } from "../core/requests.js";
import { Control } from "../parts/buttons.js";
import { Chart } from "../parts/charts.js";
import { Badge, Document, Empty, Facts, Section } from "../parts/states.js";
import { RowName, Table } from "../parts/tables.js";
import { Investigation } from "../parts/investigation.js";

const titled = (text) => text[0].toUpperCase() + text.slice(1);
const DECISIONS = { open: ["resolve", "archive"], archived: ["reopen", "resolve"], resolved: ["reopen"] };

export default function ErrorGroup({ id }) {
  const told = useDocument(`/api/errors/${encodeURIComponent(id)}`, 5);
  return html`
    <div class="head"><h1>Error ${id}</h1><button type="button" onClick=${told.again}>Refresh</button></div>
    <${Document} of=${told}>${(body) => html`<${Details} body=${body} again=${told.again} />`}<//>
  `;
}

function Details({ body, again }) {
  const { group, report } = body;
  return html`
    <p class="title">${group.title} ${group.reporter && html`<${Badge} kind="off">words of ${group.reporter}, which nobody has checked<//>`}</p>
    <${Deciding} group=${group} again=${again} />
    <${Facts}
      of=${[
        ["State", html`<${Badge} kind=${group.state === "open" ? "bad" : "off"}>${group.state}<//>${group.escalates && html` <${Badge} kind="bad">escalates<//>`}`],
        ["Code", group.code ?? DASH],
        ["Place", html`<code>${group.place}</code>`],
        ["Seen", `${count(group.seen)} (${count(group.stored)} kept, ${count(group.lost)} lost, ${count(group.handled)} mended by a retry)`],
        ["Callers", count(group.callers)],
        ["First seen", `${time(group.first_seen)} in ${group.first_release}`],
        ["Last seen", `${time(group.last_seen)} in ${group.last_release}`],
        ["Mended by", group.fixable_by ?? DASH],
        group.code && ["Its calls", html`<a href=${`/calls?q=${encodeURIComponent(`error:${group.code}`)}`}>calls that ended with ${group.code}</a>`],
      ]}
    />
    <${Section} title="What is known of it without a model">
      <p>${report.means}</p>
      <${Facts} of=${[["Whose", report.cause], ["Place", html`<code>${report.place}</code>`], ["Since", report.since], report.suspect && ["First suspect", report.suspect], ["Look at", report.look_at], ["What to do", report.fix]]} />
      ${report.observations.length > 0 && html`<ul>${report.observations.map((each) => html`<li key=${each}>${each}</li>`)}</ul>`}
      ${report.shared.length > 0 &&
      html`<${Table}
        caption="What its occurrences share and good calls do not"
        rows=${report.shared}
        keyOf=${(each) => each.what}
        columns=${[
          { name: "What", isHead: true, cell: (each) => html`<${RowName}>${words(each.what)}<//>` },
          { name: "Value", cell: (each) => each.value },
          { name: "Of failures", isNumber: true, cell: (each) => share(each.of_failures) },
          { name: "Of good calls", isNumber: true, cell: (each) => share(each.of_good) },
        ]}
      />`}
    <//>
    <${Section} title="Investigation" more=${html`<${Control} label="Investigate now" sure="Ask models, which costs money?" path=${`/api/errors/${group.group}/investigate`} then=${again} />`}>
      ${body.investigation ? html`<${Investigation} of=${body.investigation} />` : html`<${Empty}>No model has been asked about this group.<//>`}
    <//>
    <${Hours} hours=${body.hours} />
    <${Occurrences} group=${group.group} latest=${body.latest} />
    <${Section} title="Why it is one group">
      <ul>${body.grouped_by.map((each) => html`<li key=${each.hash}>Rule ${each.rule}, <span class="id">${each.hash.slice(0, 12)}</span>, seen ${count(each.seen)}: <code>${each.why}</code>${body.grouped_by.length > 1 && html` <${Split} of=${each} group=${group} again=${again} />`}</li>`)}</ul>
    <//>
    <${Section} title="History">
      <ol class="history">
        ${body.history.map(
          (turn) =>
            html`<li key=${turn.number}>${time(turn.at)}: ${words(turn.kind)} by ${turn.actor}${turn.from_state !== turn.to_state ? `, ${turn.from_state ?? "new"} → ${turn.to_state}` : ""}${turn.note && `. ${turn.note}`}</li>`,
        )}
      </ol>
    <//>
  `;
}

function Deciding({ group, again }) {
  const [note, setNote] = useState("");
  const [release, setRelease] = useState("");
  const [others, setOthers] = useState("");
  const path = `/api/errors/${group.group}/decide`;
  const merged = others.match(/E-\d+/g) ?? [];
  return html`<div class="choices" role="group" aria-label="Decide">
    ${(DECISIONS[group.state] ?? []).map(
      (decision) =>
        html`<${Control}
          key=${decision}
          keys=${decision === "resolve" ? "r" : undefined}
          label=${titled(decision)}
          sure=${decision === "archive" ? "Archive it for good?" : `${titled(decision)}: press again`}
          path=${path}
          body=${{ decision, version: group.version, ...(note ? { note } : {}), ...(decision === "resolve" && release ? { release } : {}) }}
          then=${again}
        />`,
    )}
    <label>Note <input value=${note} maxlength="500" onInput=${(event) => setNote(event.target.value)} /></label>
    ${group.state !== "resolved" && html`<label>Resolved in <input placeholder="release, or next" size="12" value=${release} onInput=${(event) => setRelease(event.target.value)} /></label>`}
    <label>Merge <input placeholder="E-3 E-9" size="10" value=${others} onInput=${(event) => setOthers(event.target.value)} /></label>
    ${merged.length > 0 && html`<${Control} label=${`Merge ${merged.join(", ")} into it`} sure="Merge: press again" path=${path} body=${{ decision: "merge", version: group.version, groups: merged }} then=${again} />`}
  </div>`;
}

/** Takes one fingerprint, with what it gathered, out of a group that has several. */
const Split = ({ of, group, again }) =>
  html`<${Control}
    label="Split it off"
    sure="Make it a group of its own?"
    path=${`/api/errors/${group.group}/decide`}
    body=${{ decision: "split", version: group.version, fingerprint: of.hash }}
    then=${again}
  />`;

function Hours({ hours }) {
  const seen = new Map(hours.map((each) => [Math.floor(Date.parse(each.hour) / 3_600_000), each]));
  const last = Math.floor(Date.now() / 3_600_000);
  const points = Array.from({ length: 7 * 24 }, (_, index) => {
    const hour = last - 7 * 24 + 1 + index;
    return [hour * 3600, seen.get(hour)?.seen ?? 0, seen.get(hour)?.lost ?? 0];
  });
  return html`<${Section} title="By hour, 7 days">
    <${Chart} title="Seen per hour" points=${points} format=${(value) => count(Math.round(value))} series=${[{ name: "seen", colour: "--bad", isFilled: true }, { name: "lost", colour: "--quiet", dash: [4, 3] }]} />
  <//>`;
}

const messageOf = ({ body }) => body?.message || body?.chain?.at(-1)?.message || DASH;

function Occurrences({ group, latest }) {
  const told = useDocument(`/api/errors/${group}/occurrences?most=20`);
  const [opened, open] = useState(null);
  return html`<${Section} title="Occurrences that were kept">
    <${Document} of=${told}>
      ${({ occurrences }) =>
        occurrences.length
          ? html`<${Table}
              caption="Occurrences, the latest first"
              rows=${occurrences}
              keyOf=${(each) => each.occurrence_id}
              columns=${[
                { name: "At", isHead: true, cell: (each) => html`<button type="button" data-row class="as-link" onClick=${() => open(each)}>${time(each.at)}</button>` },
                { name: "Release", cell: (each) => each.release },
                { name: "Call", kind: "id", cell: (each) => (each.call_id ? html`<a href=${`/calls/${each.call_id}`}>${each.call_id}</a>` : DASH) },
                { name: "Incident", kind: "id", cell: (each) => each.incident_id ?? DASH },
                { name: "Message", kind: "long", cell: messageOf },
              ]}
            />`
          : html`<${Empty}>None was kept.<//>`}
    <//>
    ${(opened ?? latest) &&
    html`<details open=${Boolean(opened)}>
      <summary>${opened ? `Occurrence of ${time(opened.at)}` : "The latest, whole"}</summary>
      <pre class="log" tabindex="0">${JSON.stringify(opened ? opened.body : latest, null, 2)}</pre>
    </details>`}
  <//>`;
}
