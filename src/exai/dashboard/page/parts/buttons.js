// Controls. Where one destroys something, it asks for a second press; whatever it did, it says.
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../core/html.js";
import { notice } from "../core/notices.js";
import { send } from "../core/requests.js";

const ARMED_MS = 6000;

/**
 * A button that posts. `sure` is what it says when it has been pressed once, where a second press is needed.
 */
export function Control({ label, sure, path, body, then, keys, why, kind = "" }) {
  const [isArmed, arm] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);

  const press = async () => {
    if (sure && !isArmed) {
      arm(true);
      timer.current = setTimeout(() => arm(false), ARMED_MS);
      return;
    }
    clearTimeout(timer.current);
    arm(false);
    setBusy(true);
    try {
      const answer = await send(path, body);
      notice(answer?.told ?? (answer?.group ? `${answer.group} is ${answer.state} now.` : "Done."));
      then?.(answer);
    } catch (error) {
      notice(`${error.message}${error.scope ? ` It needs the scope ${error.scope}.` : ""}`, true);
      then?.(null);
    }
    setBusy(false);
  };
  return html`<button
    type="button"
    class="control ${kind} ${isArmed ? "armed" : ""}"
    data-key=${keys}
    disabled=${isBusy || Boolean(why)}
    title=${why ?? (keys ? `Key ${keys}` : undefined)}
    onClick=${press}
  >${isBusy ? "…" : isArmed ? sure : label}</button>`;
}
