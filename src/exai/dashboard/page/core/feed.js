// The feed: the newest state of each topic that somebody on the page wants, over one WebSocket. Where none opens, and
// while it is lost, the same documents are asked for every two seconds.
import { useEffect, useState } from "preact/hooks";
import { ask } from "./requests.js";

const POLL_MS = 2000;
const SILENT_MS = 15_000; // the daemon says something every five seconds
const RETRIES_MS = [500, 1000, 2000, 5000, 10_000];

const wanted = new Map(); // topic: how many want it
const topics = new Map(); // topic: { full, at, seq, error, heardAt }
const listeners = new Set();
/** `live`: by the socket. `polling`: by asking. `lost`: nothing answers. `signed out`: nothing may be asked. */
export const line = { state: "connecting", since: Date.now(), signedOut: null, clockAheadMs: 0 };

let socket = null;
let silence = 0;
let attempts = 0;
let isPolling = false;

function tell() {
  for (const listener of listeners) listener();
}

function become(state) {
  if (line.state === state) return;
  line.state = state;
  line.since = Date.now();
  tell();
}

function heard(frame) {
  if (frame.at) line.clockAheadMs = Date.parse(frame.at) - Date.now();
  if (frame.topic === "beat") return;
  const before = topics.get(frame.topic);
  if (frame.error) topics.set(frame.topic, { ...before, error: frame.error });
  else topics.set(frame.topic, { full: frame.full, at: frame.at, seq: frame.seq, error: null, heardAt: Date.now() });
  tell();
}

function want() {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ want: [...wanted.keys()] }));
}

function listenForSilence() {
  clearTimeout(silence);
  silence = setTimeout(() => socket?.close(), SILENT_MS);
}

function connect() {
  const made = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/feed`);
  socket = made;
  made.onopen = () => {
    want();
    listenForSilence();
  };
  made.onmessage = ({ data }) => {
    attempts = 0;
    listenForSilence();
    become("live");
    heard(JSON.parse(data));
  };
  made.onclose = ({ code }) => {
    clearTimeout(silence);
    if (socket !== made) return;
    socket = null;
    if (code === 4401) return endSession("Your sign-in has ended.");
    if (line.state === "live") become("connecting");
    poll();
    setTimeout(connect, RETRIES_MS[Math.min(attempts++, RETRIES_MS.length - 1)]);
  };
}

export function endSession(why) {
  line.signedOut = why;
  topics.clear();
  line.state = "";
  become("signed out");
}

async function poll() {
  if (isPolling) return;
  isPolling = true;
  while (line.state !== "live" && line.state !== "signed out" && socket?.readyState !== WebSocket.OPEN) {
    try {
      const frames = await Promise.all([...wanted.keys()].map(askTopic));
      for (const frame of frames) heard(frame);
      if (socket?.readyState !== WebSocket.OPEN) become("polling");
    } catch (error) {
      if (error.status === 401 || error.status === 403) endSession(null);
      else become("lost");
    }
    await new Promise((wake) => setTimeout(wake, POLL_MS));
  }
  isPolling = false;
}

async function askTopic(topic) {
  try {
    return await ask(`/api/feed/${topic}`);
  } catch (error) {
    if (error.status === 403 && error.scope !== "dashboard") {
      return { topic, error: { message: error.message, scope: error.scope } };
    }
    if (error.status === 404) return { topic, error: { message: `This EXAI has no topic ${topic}.` } };
    throw error;
  }
}

/** Begin, once the browser may ask. A rejected sign-in is heard of by asking first: a socket does not say why. */
export async function startFeed() {
  line.signedOut = null;
  line.state = "connecting";
  wanted.set("status", Math.max(1, wanted.get("status") ?? 0));
  try {
    heard(await ask("/api/feed/status"));
  } catch (error) {
    if (error.status === 401 || error.status === 403) return endSession(null);
  }
  if (!socket) connect();
}

/** The newest state of a topic: `{ full, at, error, heardAt }`, with `full` undefined until there is one. */
export function useTopic(topic) {
  const [, show] = useState(0);
  useEffect(() => {
    const listener = () => show((round) => round + 1);
    listeners.add(listener);
    wanted.set(topic, (wanted.get(topic) ?? 0) + 1);
    want();
    return () => {
      listeners.delete(listener);
      if (wanted.get(topic) > 1) wanted.set(topic, wanted.get(topic) - 1);
      else wanted.delete(topic);
      want();
    };
  }, [topic]);
  return topics.get(topic) ?? {};
}
