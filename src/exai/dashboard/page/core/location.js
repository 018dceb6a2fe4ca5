// The address holds all that a page shows: which page, its filters, its range. Links change it, and so does the keyboard.
import { useEffect, useState } from "preact/hooks";

const listeners = new Set();

export function here() {
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}

function tell() {
  for (const listener of listeners) listener();
}

export function go(address, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  tell();
}

/** Change some parameters of the address; what is empty is taken out of it. */
export function change(values, options) {
  go(changed(values), options);
}

export function changed(values) {
  const { path, query } = here();
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** An address of another page, with the range that is looked at. */
export function keepingRange(path) {
  const kept = new URLSearchParams();
  for (const name of ["from", "to", "at"]) {
    const value = here().query.get(name);
    if (value) kept.set(name, value);
  }
  const text = kept.toString();
  return text ? `${path}?${text}` : path;
}

export function useLocation() {
  const [, show] = useState(0);
  useEffect(() => {
    const listener = () => show((round) => round + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return here();
}

addEventListener("popstate", tell);
// Links of our own change the page without loading it anew.
addEventListener("click", (event) => {
  const link = event.target instanceof Element && event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (link.origin !== location.origin || link.hasAttribute("download") || "whole" in link.dataset || link.hash) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
