// Groups of faults, sorted and searched; several can be decided on at once.
import { useState } from "preact/hooks";
import { count, DASH, money, time } from "../core/format.js";
import { html } from "../core/html.js";
import { change, useLocation } from "../core/location.js";
import { useDocument } from "../core/requests.js";
import { Control } from "../parts/buttons.js";
import { TimeTravel } from "../parts/range.js";
import { Badge, Document, Empty } from "../parts/states.js";
import { RowLink, Table } from "../parts/tables.js";

const STATES = ["open", "resolved", "archived", "all"];
const SORTS = [
  ["last", "last seen"],
  ["first", "first seen"],
  ["seen", "how often"],
  ["callers", "callers"],
  ["cost", "cost of their calls"],
];

const OF_THE_PAST = ["last", "first", "seen"];

export default function Errors() {
  const { query } = useLocation();
  const at = query.get("at");
  const state = query.get("state") ?? "open";
  const sort = query.get("sort") ?? "last";
  const matching = query.get("matching") ?? "";
  const sorts = at ? SORTS.filter(([value]) => OF_THE_PAST.includes(value)) : SORTS;
  const given = new URLSearchParams({ state, sort: at && !OF_THE_PAST.includes(sort) ? "last" : sort, most: "100" });
  if (at) given.set("at", at);
  if (matching) given.set("matching", matching);
  const told = useDocument(`/api/errors?${given}`, at ? undefined : 10);
  const [chosen, setChosen] = useState([]);
  const groups = told.body?.groups ?? [];
  const marked = groups.filter((group) => chosen.includes(group.group));
  return html`
    <h1>Errors</h1>
    <${TimeTravel} knows />
    <div class="choices">
      <label>State <select value=${state} onChange=${(event) => change({ state: event.target.value })}>${STATES.map((each) => html`<option key=${each}>${each}</option>`)}</select></label>
      <label>Sorted by <select value=${sort} onChange=${(event) => change({ sort: event.target.value })}>${sorts.map(([value, name]) => html`<option key=${value} value=${value}>${name}</option>`)}</select></label>
      ${marked.length > 0 &&
      ["resolve", "archive", "reopen"].map(
        (decision) =>
          html`<${Control}
            key=${decision}
            label=${`${decision} ${marked.length}`}
            sure=${`${decision} ${marked.length}: press again`}
            path="/api/errors/decide"
            body=${{ decision, groups: marked.map(({ group, version }) => ({ group, version })) }}
            then=${() => {
              setChosen([]);
              told.again();
            }}
          />`,
      )}
    </div>
    <${Document} of=${told}>
      ${() =>
        groups.length
          ? html`<${Table} caption=${`Groups of errors: ${state}`} rows=${groups} keyOf=${(group) => group.group} columns=${at ? PAST : columns(chosen, setChosen, told.again)} tall=${24} />`
          : html`<${Empty}>${emptiness(state, matching)}<//>`}
    <//>
  `;
}

function emptiness(state, matching) {
  if (matching) return html`No ${state === "all" ? "" : state} group has “${matching}”. <button type="button" onClick=${() => change({ matching: null })}>Show all</button>`;
  if (state === "all") return "Nothing had gone wrong yet.";
  return html`No group is ${state}. <button type="button" onClick=${() => change({ state: "all" })}>Show groups of every state</button>`;
}

const columns = (chosen, setChosen, again) => [
  {
    name: "Chosen",
    label: html`<span class="unseen">Chosen</span>`,
    cell: ({ group }) =>
      html`<input
        type="checkbox"
        aria-label=${`Choose ${group}`}
        checked=${chosen.includes(group)}
        onChange=${({ target }) => setChosen(target.checked ? [...chosen, group] : chosen.filter((each) => each !== group))}
      />`,
  },
  { name: "Group", isHead: true, cell: ({ group }) => html`<${RowLink} href=${`/errors/${group}`}>${group}<//>` },
  { name: "Title", kind: "long", cell: (group) => html`${group.title}${group.reporter && html` <${Badge} kind="off">words of ${group.reporter}<//>`}` },
  { name: "State", cell: (group) => html`<${Badge} kind=${group.state === "open" ? "bad" : "off"}>${group.state}<//>${group.escalates && html` <${Badge} kind="bad">escalates<//>`}` },
  { name: "Seen", isNumber: true, cell: (group) => count(group.seen) },
  { name: "Lost", isNumber: true, cell: (group) => (group.lost ? count(group.lost) : DASH) },
  { name: "Callers", isNumber: true, cell: (group) => count(group.callers) },
  { name: "Cost", isNumber: true, cell: (group) => money(group.cost_usd) },
  {
    name: "Control",
    label: html`<span class="unseen">Control</span>`,
    cell: ({ group, state, version }) =>
      state === "open" && html`<${Control} keys="r" label="Resolve" sure="Resolve it now?" path=${`/api/errors/${group}/decide`} body=${{ decision: "resolve", version }} then=${again} />`,
  },
  { name: "7 days", cell: (group) => html`<${Spark} days=${group.days} />` },
  { name: "Last", cell: (group) => time(group.last_seen) },
  { name: "First", cell: (group) => time(group.first_seen) },
  { name: "Mended by", cell: (group) => group.fixable_by ?? DASH },
  { name: "Place", kind: "long", cell: (group) => html`<code>${group.place}</code>` },
];

const PAST = [
  { name: "Group", isHead: true, cell: ({ group }) => html`<${RowLink} href=${`/errors/${group}`}>${group}<//>` },
  { name: "Title", kind: "long", cell: (group) => group.title },
  { name: "State then", cell: (group) => html`<${Badge} kind=${group.state === "open" ? "bad" : "off"}>${group.state}<//>` },
  { name: "Seen until then", isNumber: true, cell: (group) => count(group.seen) },
  { name: "Last, in the hour from", cell: (group) => time(group.last_hour) },
  { name: "First", cell: (group) => time(group.first_seen) },
  { name: "Place", kind: "long", cell: (group) => html`<code>${group.place}</code>` },
];

/** Seven days as bars, with their numbers for who does not see them. */
function Spark({ days }) {
  if (!days) return DASH;
  const most = Math.max(1, ...days);
  return html`<span class="spark" role="img" aria-label=${`Seen on the last ${days.length} days: ${days.join(", ")}`}>
    ${days.map((seen, index) => html`<i key=${index} style=${{ height: `${Math.round((100 * seen) / most)}%` }}></i>`)}
  </span>`;
}
