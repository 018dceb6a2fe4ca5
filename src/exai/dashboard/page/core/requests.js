// Asking the daemon: documents by GET, controls by POST.
import { useEffect, useRef, useState } from "preact/hooks";

class Refusal extends Error {
  constructor(status, error, path) {
    super(error?.message ?? `${path} answered ${status}.`);
    this.status = status;
    this.code = error?.code ?? null;
    this.scope = error?.scope ?? null;
  }
}

async function answered(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { message: "EXAI does not answer." }, path);
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const refused = await answer.json().catch(() => null);
  throw new Refusal(answer.status, refused?.error, path);
}

export const ask = (path, signal) => answered(path, { headers: { accept: "application/json" }, signal });

export function send(path, body) {
  const options = { method: "POST", headers: { accept: "application/json" } };
  if (body !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  return answered(path, options);
}

/**
 * A document, asked for again every so many seconds and whenever its path changes.
 * While another is on its way, and when none comes, the former one stays, with the time when it was heard.
 */
export function useDocument(path, everyS = 0) {
  const [state, setState] = useState({ body: null, of: null, error: null, heardAt: 0, isLoading: true });
  const [round, setRound] = useState(0);
  const isFirst = useRef(true);
  useEffect(() => {
    if (path === null) return undefined;
    const ended = new AbortController();
    let timer;
    const load = async () => {
      setState((before) => ({ ...before, isLoading: true }));
      try {
        const body = await ask(path, ended.signal);
        setState({ body, of: path, error: null, heardAt: Date.now(), isLoading: false });
      } catch (error) {
        if (error.name === "AbortError") return;
        setState((before) => ({ ...before, error, isLoading: false }));
      }
      if (everyS && !ended.signal.aborted) timer = setTimeout(load, everyS * 1000);
    };
    load();
    isFirst.current = false;
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [path, everyS, round]);
  return { ...state, again: () => setRound((before) => before + 1) };
}
