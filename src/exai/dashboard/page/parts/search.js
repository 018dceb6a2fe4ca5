// One search box. On the page of errors it finds groups, elsewhere calls; an id leads to what it names.
import { useEffect, useState } from "preact/hooks";
import { html } from "../core/html.js";
import { change, go, keepingRange, useLocation } from "../core/location.js";

const TERMS = [
  "tool:chat",
  "outcome:failed",
  "outcome:running",
  "model:glm*",
  "provider:kimi",
  "caller:",
  "client:",
  "door:websocket",
  "error:circuit_open",
  "conversation:",
  "took:>5s",
  "first:>2s",
  "cost:>0.1",
  "tokens:>1000",
  "requests:>1",
  "emulated:no",
];

export function Search() {
  const { path, query } = useLocation();
  const isOfGroups = path === "/errors";
  const given = (isOfGroups ? query.get("matching") : path === "/calls" ? query.get("q") : "") ?? "";
  const [text, setText] = useState(given);
  useEffect(() => setText(given), [given, path]);

  const search = (event) => {
    event.preventDefault();
    const asked = text.trim();
    if (/^E-\d+$/.test(asked)) go(`/errors/${asked}`);
    else if (/^call_[\w-]+$/.test(asked)) go(`/calls/${asked}`);
    else if (isOfGroups) change({ matching: asked });
    else if (path === "/calls") change({ q: asked });
    else {
      const address = keepingRange("/calls");
      go(asked ? `${address}${address.includes("?") ? "&" : "?"}q=${encodeURIComponent(asked)}` : address);
    }
  };
  return html`<form class="search" role="search" onSubmit=${search}>
    <label class="unseen" for="search">Search</label>
    <input
      id="search"
      type="search"
      list="terms"
      autocomplete="off"
      spellcheck="false"
      maxlength=${isOfGroups ? 200 : 500}
      placeholder=${isOfGroups ? "Text of a title or place" : "An id, or tool:chat took:>5s"}
      value=${text}
      onInput=${(event) => setText(event.target.value)}
    />
    ${!isOfGroups &&
    html`<datalist id="terms">
      ${TERMS.map((term) => html`<option key=${term} value=${`${text.replace(/\S*$/, "")}${term}`}></option>`)}
    </datalist>`}
  </form>`;
}
