import assert from "node:assert/strict";
import { test } from "node:test";
import { fetchAll, fetchFeed, FeedError } from "../src/fetching.ts";
import { decode, parse, toHtml } from "../src/parse.ts";
import { Store } from "../src/store.ts";

const item = (id: string, at: number) => ({ id, title: id, link: "https://x.invalid/", at });

test("parse", () => {
  const xml = `<rss><item><guid isPermaLink="false">1</guid><title>A &amp; B</title><link>https://a.invalid/1</link>
    <pubDate>Thu, 01 Jan 1970 00:00:01 GMT</pubDate></item>
    <item><link>https://a.invalid/2</link></item><item><guid>3</guid><link>javascript:x()</link></item></rss>`;
  assert.deepEqual(parse(xml), [
    { id: "1", title: "A & B", link: "https://a.invalid/1", at: 1000 },
    { id: "https://a.invalid/2", title: "(untitled)", link: "https://a.invalid/2", at: 0 },
  ]);
  assert.equal(decode("&amp;lt;"), "&lt;");
});

test("texts of feeds are no markup", () => {
  const html = toHtml([{ id: "1", title: "<b>", link: 'https://a.invalid/"x', at: 0 }]);
  assert.equal(html, '<ul><li><a href="https://a.invalid/&quot;x">&lt;b&gt;</a></li></ul>');
});

test("the store tells what is new and keeps the newest", () => {
  const store = new Store(2);
  assert.deepEqual(store.add("f", [item("a", 1), item("b", 2)]).map((each) => each.id), ["b", "a"]);
  assert.deepEqual(store.add("f", [item("b", 2), item("c", 3)]).map((each) => each.id), ["c"]);
  assert.deepEqual(store.page("f", 1, 5).map((each) => each.id), ["c", "b"]);
  assert.deepEqual(store.page("f", 2, 1).map((each) => each.id), ["b"]);
  assert.deepEqual(store.page("none", 1, 1), []);
  assert.throws(() => new Store(0), RangeError);
});

test("a failure that may pass is tried again", async () => {
  const pauses: number[] = [];
  const options = { tries: 3, timeoutMs: 1000, pause: async (ms: number) => void pauses.push(ms) };
  const statuses = [503, 429, 200];
  const get = async () => ({ status: statuses.shift()!, text: "ok" });
  assert.equal(await fetchFeed(get, "u", options), "ok");
  assert.deepEqual(pauses, [500, 1000]);
  let asked = 0;
  const gone = async () => ({ status: (asked++, 404), text: "" });
  await assert.rejects(fetchFeed(gone, "u", options), FeedError);
  assert.equal(asked, 1);
  const down = async () => Promise.reject(new Error("down"));
  await assert.rejects(fetchFeed(down, "u", options), /down/);
});

test("a request that takes too long is stopped", async () => {
  const get = (_: string, signal: AbortSignal) =>
    new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(new FeedError("late", false))));
  await assert.rejects(fetchFeed(get, "u", { tries: 1, timeoutMs: 1, pause: async () => {} }), /late/);
});

test("at most so many at a time, and each at its place", async () => {
  let running = 0;
  let most = 0;
  const outcomes = await fetchAll(["a", "b", "c"], 2, async (url) => {
    most = Math.max(most, ++running);
    await new Promise((done) => setImmediate(done));
    running--;
    if (url === "b") throw new Error("no");
    return url;
  });
  assert.equal(most, 2);
  assert.deepEqual(outcomes.map((each) => each.status), ["fulfilled", "rejected", "fulfilled"]);
});
