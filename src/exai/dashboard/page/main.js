// The page: signs in where the address has a ticket, then shows what the address names.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { endSession, line, startFeed, useTopic } from "./core/feed.js";
import { time } from "./core/format.js";
import { html } from "./core/html.js";
import { useLocation } from "./core/location.js";
import { ask, send } from "./core/requests.js";
import { showScheme } from "./core/scheme.js";
import { Shell } from "./parts/shell.js";

const SIGN_IN =
  "To look at this dashboard, run `exai dashboard` where EXAI runs and open the address that it prints, or ask " +
  "POST /api/tickets for one with a token that has the scope `dashboard`.";

const PAGES = [
  [/^\/$/, "Live", () => import("./pages/live.js")],
  [/^\/calls$/, "Calls", () => import("./pages/calls.js")],
  [/^\/calls\/([^/]+)$/, "Call", () => import("./pages/call.js")],
  [/^\/errors$/, "Errors", () => import("./pages/errors.js")],
  [/^\/errors\/([^/]+)$/, "Error", () => import("./pages/error.js")],
  [/^\/auditor$/, "Auditor", () => import("./pages/auditor.js")],
  [/^\/providers$/, "Providers", () => import("./pages/providers.js")],
  [/^\/connections$/, "Connections", () => import("./pages/connections.js")],
  [/^\/usage$/, "Usage", () => import("./pages/usage.js")],
  [/^\/baselines$/, "Baselines", () => import("./pages/baselines.js")],
  [/^\/baselines\/([^/]+)$/, "Baseline", () => import("./pages/baseline.js")],
  [/^\/system$/, "System", () => import("./pages/system.js")],
];

const loaded = new Map();

function Page() {
  const { path } = useLocation();
  const [, show] = useState(0);
  const found = PAGES.find(([pattern]) => pattern.test(path));
  const [pattern, name, load] = found ?? [];
  useEffect(() => {
    document.title = found ? `${name} · EXAI` : "EXAI";
    if (!found || loaded.has(load)) return;
    load().then(
      (module) => {
        loaded.set(load, module.default);
        show((round) => round + 1);
      },
      () => {
        loaded.set(load, null);
        show((round) => round + 1);
      },
    );
  }, [path]);
  if (!found) return html`<h1>Nothing is here</h1><p><a href="/">To the live page</a></p>`;
  const Shown = loaded.get(load);
  if (Shown === null) return html`<h1>${name}</h1><p>This page could not be loaded. <a href=${path} data-whole>Load it again</a></p>`;
  if (!Shown) return html`<h1>${name}</h1><p class="loading">Loading…</p>`;
  const parameter = pattern.exec(path)[1];
  return html`<${Shown} key=${path} id=${parameter === undefined ? undefined : decodeURIComponent(parameter)} />`;
}

function App({ refusal }) {
  useTopic("status");
  const [you, setYou] = useState(null);
  const isOut = line.state === "signed out" || refusal;
  useEffect(() => {
    if (isOut) setYou(null);
    else ask("/api/overview").then(({ you: told }) => setYou(told), () => null);
  }, [isOut]);
  if (isOut) {
    return html`<main class="signed-out">
      <h1>EXAI</h1>
      ${(refusal || line.signedOut) && html`<p role="alert">${refusal ?? line.signedOut}</p>`}
      <p>${SIGN_IN}</p>
    </main>`;
  }
  const until = you?.signed_in_until && `${you.subject}, until ${time(new Date(you.signed_in_until * 1000).toISOString())}`;
  return html`<${Shell} signedIn=${until} onSignOut=${signOut}><${Page} /><//>`;
}

async function signOut() {
  await send("/api/sign-out", {}).catch(() => null);
  endSession("You have signed out.");
}

/** Exchange a ticket of the address for a cookie; why it is not good, or nothing. */
async function signIn() {
  const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");
  if (ticket === null) return null;
  history.replaceState(null, "", location.pathname + location.search); // a used ticket is of no use to the history
  try {
    await send("/api/sign-in", { ticket });
    return null;
  } catch (error) {
    return error.status ? error.message : "EXAI does not answer. Open the address again.";
  }
}

async function start() {
  showScheme();
  const refusal = await signIn();
  if (!refusal) await startFeed();
  render(html`<${App} refusal=${refusal} />`, document.body);
}

// A ticket's address, opened where the page is open already, changes nothing but the part after `#`.
addEventListener("hashchange", () => location.hash.startsWith("#ticket=") && start());
start();
