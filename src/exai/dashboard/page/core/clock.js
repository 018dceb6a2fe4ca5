// The server's time, once a second: ages are counted in the page and never sent.
import { useEffect, useState } from "preact/hooks";
import { line } from "./feed.js";

export const serverNow = () => Date.now() + line.clockAheadMs;

export function useNow(everyMs = 1000) {
  const [now, show] = useState(serverNow);
  useEffect(() => {
    const timer = setInterval(() => show(serverNow()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
