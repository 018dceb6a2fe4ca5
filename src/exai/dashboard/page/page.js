"use strict";
// Everything that comes from elsewhere enters the page as text: by `textContent`, never as markup.

const REFRESH_MS = 2000;
const SIGN_IN =
  "To look at this dashboard, run `exai dashboard` where EXAI runs and open the address that it prints, " +
  "or ask POST /api/tickets for one with a token that has the scope `dashboard`.";

const byId = (id) => document.getElementById(id);

function element(name, text, kind) {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

function pairs(id, entries) {
  byId(id).replaceChildren(
    ...entries.flatMap(([name, value, kind]) => [element("dt", name), element("dd", String(value), kind)]),
  );
}

function rows(id, cells, columns) {
  const made = cells.map((row) => {
    const line = document.createElement("tr");
    line.replaceChildren(
      ...row.map((value) => element("td", String(value), typeof value === "number" ? "number" : "")),
    );
    return line;
  });
  if (!made.length) {
    const line = document.createElement("tr");
    const none = element("td", "None.", "nothing");
    none.colSpan = columns;
    line.replaceChildren(none);
    made.push(line);
  }
  byId(id).replaceChildren(...made);
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  return minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

function showOverview(told) {
  const { service, you } = told;
  byId("service").textContent = `${service.version}${service.demo ? " (demonstration: nothing is charged)" : ""}, ` +
    `up ${duration(service.uptime_s)}, auth.mode ${service.auth_mode}`;
  const until = you.signed_in_until && new Date(you.signed_in_until * 1000).toLocaleTimeString();
  byId("you").textContent = until ? `${you.subject}, until ${until}` : `${you.subject}, without a token`;
  byId("sign-out").hidden = !until;
  pairs("health", [
    ...Object.entries(told.checks).map(([name, says]) => [
      name.replaceAll("_", " "), says, told.check_states[name] === "ready" ? "good" : "bad",
    ]),
    ...told.duties
      .filter(({ failed_in_a_row }) => failed_in_a_row > 0)
      .map(({ name, error, failed_in_a_row }) => [name, `${error}, ${failed_in_a_row} times in a row`, "bad"]),
    ...told.providers.map(({ name, configured }) => [name, configured ? "has a key" : "no key", configured ? "good" : ""]),
  ]);
  pairs("sessions", Object.entries(told.sessions).map(([name, value]) => [name.replaceAll("_", " "), value]));
  rows("connected", told.connected.map(({ caller, door, connections }) => [caller, door, connections]), 3);
  byId("calls-running").textContent = told.calls_running;
  rows("calls", told.calls.map((call) => [call.tool, call.caller, call.door, call.client, call.seconds, call.call_id]), 6);
}

function showUsage(told) {
  rows(
    "usage",
    told.usage.map((each) => [
      each.caller, `${each.model ?? "(none chosen)"}${each.emulated ? " (emulated)" : ""}`, each.calls, each.unanswered,
      each.input_tokens, each.output_tokens, Number(each.cost_usd.toFixed(4)),
    ]),
    7,
  );
}

async function asked(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (answer.ok) return answer.json();
  const refusal = await answer.json().catch(() => null);
  const error = new Error(refusal?.error?.message ?? `${path} answered ${answer.status}.`);
  error.status = answer.status;
  throw error;
}

/** Shows how things stand; whether it makes sense to ask again. */
async function refresh() {
  try {
    const [overview, usage] = await Promise.all([asked("/api/overview"), asked("/api/usage?days=1")]);
    showOverview(overview);
    showUsage(usage);
    byId("board").hidden = false;
    notice("");
    return true;
  } catch (error) {
    const mayNot = error.status === 401 || error.status === 403;
    if (mayNot) hideAll();
    notice(mayNot ? SIGN_IN : error.status ? error.message : "EXAI does not answer; trying again.");
    return !mayNot;
  }
}

function hideAll() {
  byId("board").hidden = true;
  byId("sign-out").hidden = true;
  for (const id of ["service", "you", "health", "sessions", "connected", "calls", "usage"]) byId(id).replaceChildren();
}

function post(path, body) {
  return fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function signIn() {
  const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");
  if (ticket === null) return true;
  history.replaceState(null, "", location.pathname); // a ticket that was used is of no use to the history
  const answer = await post("/api/sign-in", { ticket }).catch(() => null);
  if (answer?.ok) return true;
  const refusal = await answer?.json().catch(() => null);
  notice(refusal?.error?.message ?? "EXAI does not answer. Open the address again.");
  return false;
}

async function signOut() {
  await post("/api/sign-out", {});
  await refresh();
}

let rounds = 0;

/** Signs in where there is a ticket, and refreshes until that is no longer allowed. A newer round ends an older one. */
async function show() {
  const round = ++rounds;
  if (!(await signIn())) return;
  while (round === rounds) {
    if (!document.hidden && !(await refresh())) return;
    await new Promise((wake) => setTimeout(wake, REFRESH_MS));
  }
}

byId("sign-out").addEventListener("click", signOut);
// A ticket's address, opened where the page is open already, changes nothing but the part after `#`.
addEventListener("hashchange", () => location.hash && show());
show();
