// What became of a control: a sentence that is shown, and read aloud, for a while.
import { useEffect, useState } from "preact/hooks";

const SHOWN_MS = 12_000;
const notices = [];
const listeners = new Set();
let number = 0;

function tell() {
  for (const listener of listeners) listener();
}

export function notice(text, isBad = false) {
  const made = { number: number++, text, isBad };
  notices.push(made);
  if (notices.length > 4) notices.shift();
  setTimeout(() => dismiss(made.number), SHOWN_MS);
  tell();
}

export function dismiss(which) {
  const index = notices.findIndex((each) => each.number === which);
  if (index >= 0) notices.splice(index, 1);
  tell();
}

export function useNotices() {
  const [, show] = useState(0);
  useEffect(() => {
    const listener = () => show((round) => round + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return notices;
}
