// What a part shows beside its figures: nothing yet, nothing at all and why, older figures with their age, a refusal.
import { useNow } from "../core/clock.js";
import { seconds } from "../core/format.js";
import { html } from "../core/html.js";

/** Nothing to show, with the reason and a way on. */
export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

function Age({ since, what }) {
  useNow();
  return html`<p class="aged">${what} These figures are ${seconds((Date.now() - since) / 1000)} old.</p>`;
}

/** What is asked for by REST: its figures, and how they stand. */
export function Document({ of: told, children }) {
  const { body, error, heardAt, isLoading } = told;
  if (body === null) {
    return error ? html`<${Refused} error=${error} again=${told.again} />` : html`<p class="loading">Loading…</p>`;
  }
  return html`
    ${error && html`<${Age} since=${heardAt} what=${error.message} />`}
    <div class=${isLoading ? "is-loading" : ""} aria-busy=${isLoading}>${children(body)}</div>
  `;
}

/** What is told by the feed. */
export function Topic({ of: told, children }) {
  if (told.full) return children(told.full, told);
  if (told.error) return html`<${Refused} error=${told.error} />`;
  return html`<p class="loading">Loading…</p>`;
}

function Refused({ error, again }) {
  const isMissing = error.status === 404 && !error.code;
  return html`<div class="refused" role="note">
    <p>${isMissing ? "This EXAI does not answer for this part of the page." : error.message}</p>
    ${error.scope && html`<p>It needs the scope <code>${error.scope}</code>: <code>exai dashboard</code> signs in with it.</p>`}
    ${again && html`<p><button type="button" onClick=${again}>Ask again</button></p>`}
  </div>`;
}

export function Section({ title, more, children, wide, id }) {
  const name = id ?? title.toLowerCase().replaceAll(/[^a-z]+/g, "-");
  return html`<section class=${wide ? "wide" : ""} aria-labelledby=${name}>
    <div class="head"><h2 id=${name}>${title}</h2>${more}</div>
    ${children}
  </section>`;
}

/** Names with values. */
export const Facts = ({ of: pairs }) => html`<dl class="facts">
  ${pairs
    .filter(Boolean)
    .map(([name, value, kind]) => html`<div key=${name}><dt>${name}</dt><dd class=${kind ?? ""}>${value}</dd></div>`)}
</dl>`;

/** A word with a colour of its own, and a sign, as colour alone says nothing to some. */
const SIGNS = { good: "●", bad: "▲", warn: "◆", off: "○" };
export const Badge = ({ kind, children }) =>
  html`<span class="badge ${kind}"><span aria-hidden="true">${SIGNS[kind] ?? "·"} </span>${children}</span>`;

const OUTCOMES = { ok: "good", failed: "bad", timed_out: "bad", lost: "bad", cancelled: "off" };

export const Outcome = ({ of: outcome }) =>
  outcome === null
    ? html`<${Badge} kind="warn">running<//>`
    : html`<${Badge} kind=${OUTCOMES[outcome] ?? "bad"}>${outcome.replaceAll("_", " ")}<//>`;

/** How much of a limit is used. */
export function Meter({ used, limit, label }) {
  const part = limit ? Math.min(1, used / limit) : 0;
  return html`<span class="meter" role="img" aria-label="${label}: ${used} of ${limit}">
    <span class=${part >= 1 ? "full" : ""} style=${{ width: `${100 * part}%` }}></span>
  </span>`;
}
