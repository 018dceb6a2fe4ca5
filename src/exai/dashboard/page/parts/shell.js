// What is around every page: navigation, search, how EXAI stands, notices, the list of keys.
import { useEffect, useRef, useState } from "preact/hooks";
import { useNow } from "../core/clock.js";
import { count, money, seconds, secondsSince, time } from "../core/format.js";
import { line, useTopic } from "../core/feed.js";
import { html } from "../core/html.js";
import { KEYS, listen, PAGES } from "../core/keyboard.js";
import { keepingRange, useLocation } from "../core/location.js";
import { dismiss, useNotices } from "../core/notices.js";
import { chooseScheme, chosenScheme, SCHEMES } from "../core/scheme.js";
import { makeAbsolute, RangeChoice } from "./range.js";
import { Search } from "./search.js";
import { Badge } from "./states.js";

const READ_ALOUD_MS = 5000;
const STATES = { ready: "good", degraded: "warn", unready: "bad" };

export function Shell({ signedIn, onSignOut, children }) {
  const { path } = useLocation();
  const help = useRef(null);
  useEffect(() => {
    listen({
      help: () => (help.current.open ? help.current.close() : help.current.showModal()),
      range: () => document.querySelector("#range")?.focus(),
      makeAbsolute,
      escape: () => help.current.close(),
    });
  }, []);
  const isAt = (to) => (to === "/" ? path === "/" : path === to || path.startsWith(`${to}/`));
  return html`
    <a class="skip" href="#content">To the content</a>
    <header>
      <a class="brand" href="/">EXAI</a>
      <nav aria-label="Pages">
        ${PAGES.map(
          ([key, to, name]) =>
            html`<a key=${to} href=${keepingRange(to)} title=${`Keys g ${key}`} aria-current=${isAt(to) ? "page" : undefined}>${name}</a>`,
        )}
      </nav>
      <${Search} />
      <${RangeChoice} />
      <${SchemeChoice} />
      <button type="button" title="Key ?" onClick=${() => help.current.showModal()}>Keys</button>
      ${signedIn && html`<button type="button" onClick=${onSignOut} title=${signedIn}>Sign out</button>`}
    </header>
    <${StatusLine} />
    <${Notices} />
    <main id="content" tabindex="-1">${children}</main>
    <${Keys} dialog=${help} />
  `;
}

function SchemeChoice() {
  const [scheme, setScheme] = useState(chosenScheme);
  return html`<label>
    <span class="unseen">Colours</span>
    <select
      value=${scheme}
      onChange=${(event) => {
        chooseScheme(event.target.value);
        setScheme(event.target.value);
      }}
    >
      ${SCHEMES.map((each) => html`<option key=${each} value=${each}>${each === "system" ? "Auto" : each === "light" ? "Light" : "Dark"}</option>`)}
    </select>
  </label>`;
}

function StatusLine() {
  const told = useTopic("status");
  const now = useNow();
  const status = told.full;
  if (!status) return html`<div class="status" role="region" aria-label="How EXAI stands"><${Line} told=${told} /></div>`;
  const ills = Object.entries(status.checks).filter(([, says]) => says !== "ok" && says !== "ready");
  return html`<div class="status" role="region" aria-label="How EXAI stands">
    <${Line} told=${told} />
    <${Badge} kind=${STATES[status.state] ?? "warn"}>${status.state}<//>
    ${status.demo && html`<${Badge} kind="warn">demonstration: nothing is charged<//>`}
    <a href="/">${count(status.calls_running)} running, ${count(status.calls_waiting)} waiting</a>
    ${status.breakers.map(
      (each) =>
        html`<a key=${each.provider + each.model} href="/providers">
          <${Badge} kind="bad">${each.provider} ${each.model}: breaker ${each.state.replaceAll("_", " ")}${leftOf(each, now)}<//>
        </a>`,
    )}
    ${status.errors_open !== null && html`<a href="/errors">${count(status.errors_open)} open errors</a>`}
    <a href="/auditor">auditor: ${status.auditor.mode}${status.auditor.critical ? `, ${status.auditor.critical} critical` : ""}</a>
    <a href="/usage">${money(status.spend_today_usd)} today${status.spend_emulated_usd ? ` (and ${money(status.spend_emulated_usd)} emulated)` : ""}${status.unpriced_requests ? `, ${count(status.unpriced_requests)} requests without a price` : ""}</a>
    ${status.replicas?.length > 0 && html`<a href="/system" title=${status.replicas.map((each) => `${each.run_id} on ${each.host}`).join(", ")}>
      <${Badge} kind="warn">one of ${status.replicas.length + 1} processes: ${status.host}<//>
    </a>`}
    <span class="quiet">${status.version}, up ${seconds(secondsSince(status.began_at, now))}</span>
    ${ills.map(([name, says]) => html`<span key=${name} class="ill">${name.replaceAll("_", " ")}: ${says}</span>`)}
    <${ReadAloud} text=${aloud(status)} />
  </div>`;
}

function leftOf({ until }, now) {
  const left = until ? (Date.parse(until) - now) / 1000 : 0;
  return left >= 0.5 ? `, ${seconds(left)} left` : "";
}

const aloud = (status) =>
  [
    status.state,
    ...status.breakers.map((each) => `breaker of ${each.provider} ${each.model} ${each.state.replaceAll("_", " ")}`),
    `${status.errors_open ?? "unknown"} open errors`,
  ].join(", ");

/** Tells what changed to those who listen, five seconds apart at least. */
function ReadAloud({ text }) {
  const [said, say] = useState("");
  const last = useRef(0);
  useEffect(() => {
    const wait = Math.max(0, last.current + READ_ALOUD_MS - Date.now());
    const timer = setTimeout(() => {
      last.current = Date.now();
      say(text);
    }, wait);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<span class="unseen" role="status">${said}</span>`;
}

function Line({ told }) {
  useNow();
  const ago = seconds((Date.now() - line.since) / 1000);
  if (line.state === "live") return html`<${Badge} kind="good">live<//>`;
  if (line.state === "polling") return html`<${Badge} kind="warn">asked every 2 s<//>`;
  if (line.state === "lost") {
    const age = told.heardAt ? ` These figures are of ${time(new Date(told.heardAt).toISOString())}.` : "";
    return html`<strong class="lost" role="alert">EXAI has not answered for ${ago}; trying again.${age}</strong>`;
  }
  return html`<span class="quiet">connecting…</span>`;
}

function Notices() {
  const notices = useNotices();
  return html`<div class="notices" role="status" aria-label="What was done">
    ${notices.map(
      (each) =>
        html`<p key=${each.number} class=${each.isBad ? "bad" : ""}>
          ${each.text} <button type="button" aria-label="Dismiss" onClick=${() => dismiss(each.number)}>×</button>
        </p>`,
    )}
  </div>`;
}

function Keys({ dialog }) {
  return html`<dialog ref=${dialog} aria-labelledby="keys">
    <h2 id="keys">Keys</h2>
    <dl class="keys">
      ${KEYS.map(([keys, does]) => html`<div key=${keys}><dt><kbd>${keys}</kbd></dt><dd>${does}</dd></div>`)}
    </dl>
    <button type="button" onClick=${() => dialog.current.close()}>Close</button>
  </dialog>`;
}
