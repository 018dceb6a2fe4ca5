import assert from "node:assert/strict";
import { test } from "node:test";
import { apply, inverse, moved, rebased } from "../src/edits.ts";
import { History } from "../src/history.ts";
import { offsetOf, placeOf } from "../src/lines.ts";
import { SharedText } from "../src/shared.ts";

test("edits and their inverses", () => {
  const edit = { from: 1, to: 3, text: "XYZ" };
  const after = apply("abcd", edit);
  assert.equal(after, "aXYZd");
  assert.equal(apply(after, inverse("abcd", edit)), "abcd");
  assert.throws(() => apply("ab", { from: 1, to: 3, text: "" }), RangeError);
  assert.throws(() => apply("ab", { from: 2, to: 1, text: "" }), RangeError);
  assert.deepEqual([0, 1, 2, 3, 4].map((place) => moved(place, edit)), [0, 1, 4, 4, 5]);
});

test("rebased", () => {
  const earlier = { from: 2, to: 4, text: "x" };
  assert.deepEqual(rebased({ from: 4, to: 5, text: "" }, earlier), { from: 3, to: 4, text: "" });
  assert.deepEqual(rebased({ from: 0, to: 2, text: "q" }, earlier), { from: 0, to: 2, text: "q" });
  assert.equal(rebased({ from: 3, to: 5, text: "" }, earlier), undefined);
});

test("undo and redo", () => {
  const history = new History("ab", 2);
  history.edit({ from: 2, to: 2, text: "c" });
  history.edit({ from: 0, to: 1, text: "" });
  assert.equal(history.text, "bc");
  assert.equal(history.undo(), true);
  assert.equal(history.text, "abc");
  assert.equal(history.redo(), true);
  assert.equal(history.text, "bc");
  history.edit({ from: 0, to: 0, text: "z" });
  assert.equal(history.redo(), false);
  assert.deepEqual([history.undo(), history.undo(), history.undo()], [true, true, false]);
  assert.equal(history.text, "abc");
});

test("late edits are rebased", () => {
  const shared = new SharedText("hello");
  const seen: number[] = [];
  const end = shared.follow((_, revision) => seen.push(revision));
  shared.receive({ author: "ann", revision: 0, edit: { from: 0, to: 0, text: "oh " } });
  const made = shared.receive({ author: "bob", revision: 0, edit: { from: 5, to: 5, text: "!" } });
  assert.deepEqual(made, { from: 8, to: 8, text: "!" });
  assert.equal(shared.text, "oh hello!");
  end();
  assert.equal(shared.receive({ author: "bob", revision: 2, edit: { from: 0, to: 3, text: "" } }) !== undefined, true);
  assert.equal(shared.receive({ author: "ann", revision: 2, edit: { from: 1, to: 2, text: "" } }), undefined);
  assert.deepEqual(seen, [1, 2]);
  assert.deepEqual([...shared.authors()], [["ann", 1], ["bob", 2]]);
  assert.throws(() => shared.receive({ author: "x", revision: 4, edit: { from: 0, to: 0, text: "" } }), RangeError);
});

test("lines and offsets", () => {
  const text = "ab\n\ncd";
  assert.deepEqual(placeOf(text, 4), { line: 3, column: 1 });
  assert.deepEqual(placeOf(text, 6), { line: 3, column: 3 });
  for (let offset = 0; offset <= text.length; offset++) assert.equal(offsetOf(text, placeOf(text, offset)), offset);
  assert.equal(offsetOf(text, { line: 1, column: 9 }), 2);
  assert.throws(() => offsetOf(text, { line: 4, column: 1 }), RangeError);
  assert.throws(() => placeOf(text, 7), RangeError);
});
