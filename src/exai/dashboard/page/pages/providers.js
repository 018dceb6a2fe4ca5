// Each model of each provider: its breaker with cause and countdown, its health, its limit, its last hour.
import { useNow } from "../core/clock.js";
import { useTopic } from "../core/feed.js";
import { count, DASH, milliseconds, seconds, secondsSince, share, time, words } from "../core/format.js";
import { html } from "../core/html.js";
import { useLocation } from "../core/location.js";
import { useDocument } from "../core/requests.js";
import { Control } from "../parts/buttons.js";
import { TimeTravel } from "../parts/range.js";
import { Badge, Document, Empty, Meter, Section, Topic } from "../parts/states.js";
import { RowName, Table } from "../parts/tables.js";

const STATES = { closed: "good", half_open: "warn", open: "bad" };

export default function Providers() {
  const at = useLocation().query.get("at");
  return html`<h1>Providers</h1><${TimeTravel} knows />${at ? html`<${Past} at=${at} />` : html`<${Now} />`}`;
}

function Now() {
  const told = useTopic("providers");
  return html`<${Topic} of=${told}>
    ${({ providers, transitions }) => html`
      ${providers.map((provider) => html`<${Provider} key=${provider.name} of=${provider} />`)}
      <${Section} title="Breakers that opened and closed">
        ${transitions.length
          ? html`<${Table} caption="Changes of breakers, the latest first" columns=${TRANSITIONS} rows=${transitions} keyOf=${(each) => each.at + each.provider + each.model + each.to} />`
          : html`<${Empty}>No breaker has opened since this process began.<//>`}
      <//>
    `}
  <//>`;
}

function Provider({ of: provider }) {
  const { quota, gate } = provider;
  const asked = provider.models.filter(hasBeenAsked);
  const others = provider.models.filter((model) => !hasBeenAsked(model));
  const about = [
    provider.configured ? null : html`<${Badge} kind="off">no key<//>`,
    gate && html`<span>${gate.in_use} of ${gate.limit} in use, ${gate.waiting} waiting</span>`,
    quota && html`<${Badge} kind="warn">${quota.told ?? "quota spent"}${quota.resets_at ? `, until ${time(quota.resets_at)}` : ""}<//>`,
  ];
  return html`<${Section} title=${provider.name} more=${html`<span class="quiet">${about}</span>`}>
    ${asked.length
      ? html`<${Models} provider=${provider} models=${asked} />`
      : html`<${Empty}>${provider.configured ? "None of its models has been asked by this process." : "It has no key; exai doctor says how to give it one."}<//>`}
    ${others.length > 0 &&
    html`<details>
      <summary class="quiet">${others.length} models that this process has not asked</summary>
      <${Models} provider=${provider} models=${others} />
    </details>`}
  <//>`;
}

const hasBeenAsked = (model) => Boolean(model.health || model.gate || model.hour.requests || model.breaker.state !== "closed");

const Models = ({ provider, models }) =>
  html`<${Table} caption=${`Models of ${provider.name}`} columns=${columns(provider)} rows=${models} keyOf=${(model) => model.model} mark=${(model) => (model.breaker.state === "open" ? "is-bad" : "")} />`;

function Breaker({ of: breaker }) {
  const now = useNow();
  const left = breaker.until ? (Date.parse(breaker.until) - now) / 1000 : null;
  return html`<${Badge} kind=${STATES[breaker.state]}>${words(breaker.state)}<//>${breaker.state !== "closed" &&
  html`<span>: ${breaker.cause ? words(breaker.cause) : "cause unknown"}${left === null ? "" : left >= 0.5 ? `, tries again in ${seconds(left)}` : ", tries again with the next request"}${breaker.since ? `, for ${seconds(secondsSince(breaker.since, now))}` : ""}; ${count(breaker.refused)} refused</span>`}`;
}

const columns = (provider) => [
  { name: "Model", isHead: true, cell: (model) => html`<${RowName}>${model.model}<//>` },
  { name: "Breaker", cell: (model) => html`<${Breaker} of=${model.breaker} />` },
  {
    name: "Control",
    label: html`<span class="unseen">Control</span>`,
    cell: (model) => {
      const body = { provider: provider.name, model: model.model };
      return html`<span class="controls">
        ${model.breaker.state !== "closed" && html`<${Control} keys="x" label="Close breaker" sure="Close it now?" path="/api/breakers/close" body=${body} />`}
        ${provider.configured && html`<${Control} label="Probe now" sure="A small real request: press again" path="/api/breakers/probe" body=${body} />`}
      </span>`;
    },
  },
  { name: "In use", isNumber: true, cell: ({ gate }) => (gate ? html`${gate.in_use} of ${gate.limit} <${Meter} used=${gate.in_use} limit=${gate.limit} label="In use" />` : DASH) },
  { name: "Waiting", isNumber: true, cell: ({ gate }) => (gate ? gate.waiting : DASH) },
  { name: "Requests this hour", isNumber: true, cell: ({ hour }) => count(hour.requests) },
  { name: "Failed", isNumber: true, cell: ({ hour }) => `${count(hour.failed)}${hour.requests ? ` (${share(hour.failed / hour.requests)})` : ""}` },
  { name: "Retries", isNumber: true, cell: ({ hour }) => count(hour.retries) },
  { name: "Throttled", isNumber: true, cell: ({ hour }) => count(hour.throttled) },
  { name: "Fallbacks", isNumber: true, cell: ({ hour }) => count(hour.fallbacks) },
  { name: "Mean", isNumber: true, cell: ({ health }) => (health ? seconds(health.mean_s) : DASH) },
  { name: "Last error", cell: ({ health }) => (health?.last_error ? `${words(health.last_error)}, ${time(health.last_at)}` : DASH) },
];

const TRANSITIONS = [
  { name: "At", isHead: true, cell: (each) => html`<${RowName}>${time(each.at)}<//>` },
  { name: "Model", cell: (each) => `${each.provider}/${each.model}` },
  { name: "Became", cell: (each) => html`<${Badge} kind=${STATES[each.to]}>${words(each.to)}<//>` },
  { name: "Cause", cell: (each) => (each.cause ? words(each.cause) : DASH) },
  { name: "For", isNumber: true, cell: (each) => (each.for_s ? seconds(each.for_s) : DASH) },
  { name: "Was open", isNumber: true, cell: (each) => (each.open_s ? seconds(each.open_s) : DASH) },
];

function Past({ at }) {
  const told = useDocument(`/api/providers?at=${encodeURIComponent(at)}`);
  return html`<${Document} of=${told}>
    ${(body) => html`
      <p class="quiet">What the store has of the ${seconds(body.window_s)} before. ${body.why ?? ""}</p>
      ${body.models.length
        ? html`<${Table}
            caption="Models as they were"
            rows=${body.models}
            keyOf=${(model) => model.provider + model.model}
            columns=${[
              { name: "Model", isHead: true, cell: (model) => html`<${RowName}>${model.provider}/${model.model}<//>` },
              { name: "Requests", isNumber: true, cell: (model) => count(model.requests) },
              { name: "Tries", isNumber: true, cell: (model) => count(model.attempts) },
              { name: "Failed", isNumber: true, cell: (model) => count(model.failed) },
              { name: "Half within", isNumber: true, cell: (model) => milliseconds(model.p50_ms) },
              { name: "95 % within", isNumber: true, cell: (model) => milliseconds(model.p95_ms) },
              { name: "Outcomes", cell: (model) => Object.entries(model.outcomes).map(([code, times]) => `${code} ${times}`).join(", ") },
            ]}
          />`
        : html`<${Empty}>No model was asked then.<//>`}
    `}
  <//>`;
}
