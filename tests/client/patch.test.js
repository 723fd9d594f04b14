// JSON Patch and deltas: the public suite, our own vectors, and what must never happen.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

import { applyDelta } from "../../bridge/client/delta.js";
import { PatchError, applyPatch } from "../../bridge/client/index.js";

const require = createRequire(import.meta.url);
const { vectors } = JSON.parse(
  readFileSync(new URL("../vectors/updates.json", import.meta.url), "utf8"),
);
const hasProto = (vector) =>
  JSON.stringify([vector.delta, vector.patch]).includes('"__proto__"') ||
  JSON.stringify(vector.patch)?.includes("/__proto__");

for (const file of ["tests", "spec_tests"]) {
  const cases = require(`json-patch-test-suite/${file}.json`).filter(
    (one) => !one.disabled && one.patch,
  );
  test(`json-patch-tests, ${file}.json: all ${cases.length}`, () => {
    assert.ok(cases.length > 15);
    for (const { comment, doc, patch, expected, error } of cases) {
      const name = `${comment}: ${JSON.stringify(patch)}`;
      const before = structuredClone(doc);
      if (error !== undefined) {
        assert.throws(() => applyPatch(doc, patch), PatchError, `${name} (${error})`);
      } else {
        const after = applyPatch(doc, patch);
        assert.deepEqual(after, expected === undefined ? before : expected, name);
      }
      assert.deepEqual(doc, before, `${name}: the document before has changed`);
    }
  });
}

test("every vector's patch and delta gives the document after, and leaves the one before", () => {
  let told = 0;
  for (const vector of vectors.filter((one) => !hasProto(one))) {
    const before = structuredClone(vector.before);
    if (vector.patch)
      assert.deepEqual(applyPatch(vector.before, vector.patch), vector.after, vector.name);
    if (vector.delta)
      assert.deepEqual(applyDelta(vector.before, vector.delta), vector.after, vector.name);
    assert.deepEqual(vector.before, before, vector.name);
    told += vector.delta ? 1 : 0;
  }
  assert.ok(told > 25);
});

test("a patch is applied as a whole or not at all", () => {
  const document = Object.freeze({ a: Object.freeze([1]), b: 1 });
  const patch = [
    { op: "add", path: "/a/-", value: 2 },
    { op: "replace", path: "/b", value: 2 },
    { op: "test", path: "/b", value: 3 },
  ];
  assert.throws(
    () => applyPatch(document, patch),
    (error) => error instanceof PatchError && error.index === 2,
  );
  assert.deepEqual(document, { a: [1], b: 1 });
});

test("what a patch does not touch is the same object", () => {
  const before = { touched: { x: 1 }, rest: { y: [1] } };
  const after = applyPatch(before, [
    { op: "replace", path: "/touched/x", value: 2 },
    { op: "add", path: "/touched/z", value: 3 },
  ]);
  assert.notEqual(after.touched, before.touched);
  assert.equal(after.rest, before.rest);
});

test("a copied value and its source go their own ways", () => {
  const patch = [
    { op: "add", path: "/a/x", value: 1 },
    { op: "copy", from: "/a", path: "/b" },
    { op: "replace", path: "/b/x", value: 2 },
    { op: "replace", path: "/a/x", value: 3 },
  ];
  assert.deepEqual(applyPatch({ a: {} }, patch), { a: { x: 3 }, b: { x: 2 } });
});

test("a value of the patch is never changed by later operations", () => {
  const value = Object.freeze({ l: Object.freeze([]) });
  const after = applyPatch({}, [
    { op: "add", path: "/a", value },
    { op: "add", path: "/a/l/-", value: 1 },
  ]);
  assert.deepEqual(after, { a: { l: [1] } });
  assert.deepEqual(value, { l: [] });
});

for (const path of ["/__proto__/polluted", "/a/__proto__/polluted", "/a/__proto__", "/__proto__"]) {
  for (const op of ["add", "replace", "remove", "test", "move", "copy"]) {
    test(`${op} ${path} is refused`, () => {
      const document = JSON.parse('{"a":{"__proto__":{"x":1}},"__proto__":{"x":1},"from":1}');
      assert.throws(
        () => applyPatch(document, [{ op, path, from: "/from", value: 1 }]),
        PatchError,
      );
      assert.equal({}.polluted, undefined);
    });
  }
}

test("moving or copying from __proto__ is refused", () => {
  for (const op of ["move", "copy"]) {
    assert.throws(
      () => applyPatch({ a: {} }, [{ op, from: "/a/__proto__", path: "/b" }]),
      PatchError,
    );
  }
});

test("members of the prototype are no members of the document", () => {
  for (const path of ["/constructor", "/toString", "/hasOwnProperty/x"]) {
    assert.throws(() => applyPatch({}, [{ op: "replace", path, value: 1 }]), PatchError);
  }
  assert.deepEqual(applyPatch({ constructor: 1 }, [{ op: "remove", path: "/constructor" }]), {});
});

test("bad pointers and operations are refused", () => {
  for (const operation of [
    null,
    1,
    {},
    { op: "add", path: "a", value: 1 },
    { op: "add", path: "/a~2", value: 1 },
    { op: "add", path: "/a~", value: 1 },
    { op: "add", path: "/l/01", value: 1 },
    { op: "remove", path: "" },
    { op: "move", from: "", path: "/a" },
  ]) {
    assert.throws(() => applyPatch({ l: [1] }, [operation]), PatchError, JSON.stringify(operation));
  }
  assert.throws(() => applyPatch({}, { op: "add" }), PatchError);
});

test("a delta truncates, then unsets, then sets; beyond the end it pads with null", () => {
  const before = Object.freeze({
    l: Object.freeze([1, 2, 3]),
    o: Object.freeze({ x: 1, 1: 1 }),
    keep: {},
  });
  const after = applyDelta(before, {
    truncate: [[["l"], 2]],
    unset: [
      ["l", "0"],
      ["o", "x"],
      ["o", "gone"],
    ],
    set: [
      [["l", "4"], 5],
      [["o", "1"], 2],
    ],
  });
  assert.deepEqual(after, { l: [null, 2, null, null, 5], o: { 1: 2 }, keep: {} });
  assert.equal(after.keep, before.keep);
});

test("a delta that does not fit, or would reach a prototype, is refused", () => {
  for (const delta of [
    { set: [[["a", "b"], 1]] },
    { set: [[["l", "x"], 1]] },
    { set: [[["__proto__"], 1]] },
    { set: [[["o", "__proto__", "polluted"], 1]] },
    { set: [[["l", "999999999"], 1]] },
    { unset: [["__proto__"]] },
    { truncate: [[["o"], 1]] },
  ]) {
    assert.throws(() => applyDelta({ l: [1], o: {} }, delta), PatchError, JSON.stringify(delta));
  }
  assert.equal({}.polluted, undefined);
});
