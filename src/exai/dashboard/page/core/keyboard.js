// Keys of every page. Rows and their controls are found in the page by what they are marked with: `data-row` is the link
// of a row, `data-key` the key of a control.
import { go, keepingRange } from "./location.js";

export const PAGES = [
  ["l", "/", "Live"],
  ["c", "/calls", "Calls"],
  ["e", "/errors", "Errors"],
  ["a", "/auditor", "Auditor"],
  ["p", "/providers", "Providers"],
  ["s", "/connections", "Connections"],
  ["u", "/usage", "Usage"],
  ["b", "/baselines", "Baselines"],
  ["y", "/system", "System"],
];

export const KEYS = [
  ["?", "This list"],
  ...PAGES.map(([key, , name]) => [`g ${key}`, name]),
  ["/", "Search"],
  ["j, k", "Next row, former row"],
  ["Enter", "Open the row"],
  ["x", "Cancel the call, end the session or the like of the row; press again to do it"],
  ["r", "Resolve the group of errors of the row"],
  ["t", "Time range"],
  ["t a", "Make the range absolute, so that the address shows the same tomorrow"],
  ["Esc", "Close what is open; leave a field"],
];

const CHAIN_MS = 1200;
let chain = null;

const rows = () => [...document.querySelectorAll("main [data-row]")];

function move(step) {
  const all = rows();
  const at = all.indexOf(document.activeElement?.closest("tr")?.querySelector("[data-row]"));
  all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + step))]?.focus();
}

function press(key) {
  const row = document.activeElement?.closest("main tr");
  const control = (row ?? document.querySelector("main"))?.querySelector(`[data-key="${key}"]`);
  if (!control || control.disabled) return;
  control.click();
}

/** Listen; `actions` are of the shell: `help`, `range`, `makeAbsolute`, `escape`. */
export function listen(actions) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      chain = null;
      document.activeElement?.blur?.();
      actions.escape();
      return;
    }
    if (event.target.closest?.("input, select, textarea")) return;
    const after = chain && Date.now() - chain.at < CHAIN_MS ? chain.key : null;
    chain = null;
    if (done(event.key, after, actions)) event.preventDefault();
  });
}

function done(key, after, actions) {
  if (after === "g") {
    const page = PAGES.find(([letter]) => letter === key);
    if (page) go(keepingRange(page[1]));
    return Boolean(page);
  }
  if (after === "t" && key === "a") return actions.makeAbsolute() ?? true;
  switch (key) {
    case "g":
      chain = { key, at: Date.now() };
      return true;
    case "t":
      chain = { key, at: Date.now() };
      setTimeout(() => chain?.key === "t" && actions.range(), 350);
      return true;
    case "?":
      return actions.help() ?? true;
    case "/":
      document.querySelector("#search")?.focus();
      return true;
    case "j":
      return move(1) ?? true;
    case "k":
      return move(-1) ?? true;
    case "x":
    case "r":
      return press(key) ?? true;
    default:
      return false;
  }
}
