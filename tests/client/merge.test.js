// collection() and document(): a channel's messages as data.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  BridgeError,
  PatchError,
  applyMessage,
  collection,
  document,
} from "../../bridge/client/index.js";

const full = (key, fields, op = "insert") => ({
  type: "change",
  confirmed: true,
  op,
  key,
  mode: "full",
  document: { _id: key, ...fields },
});
const entries = (...documents) => documents.map((one) => ({ key: one._id, document: one }));

test("a snapshot becomes an array; documents that did not come are left out", () => {
  const todos = collection();
  const state = todos.state([...entries({ _id: 1 }, { _id: 2 }), { key: 3, reason: "too_large" }]);
  assert.deepEqual(state, [{ _id: 1 }, { _id: 2 }]);
});

test("insert adds, update replaces in place, delete and leave remove, enter adds", () => {
  const todos = collection();
  let state = todos.state(entries({ _id: "a", n: 1 }, { _id: "b", n: 1 }));
  const before = state;
  state = todos(state, full("c", { n: 1 }));
  state = todos(state, full("a", { n: 2 }, "replace"));
  assert.deepEqual(
    state.map(({ _id, n }) => [_id, n]),
    [
      ["a", 2],
      ["b", 1],
      ["c", 1],
    ],
  );
  state = todos(state, { type: "change", op: "leave", key: "b" });
  state = todos(state, full("d", {}, "enter"));
  state = todos(state, { type: "change", op: "delete", key: "unknown" });
  assert.deepEqual(
    state.map(({ _id }) => _id),
    ["a", "c", "d"],
  );
  assert.deepEqual(before, [
    { _id: "a", n: 1 },
    { _id: "b", n: 1 },
  ]);
});

test("patches and deltas change one document and share the rest", () => {
  const todos = collection();
  const before = todos.state(entries({ _id: 1, l: { x: 1 } }, { _id: 2 }));
  let state = todos(before, {
    type: "change",
    op: "update",
    key: 1,
    mode: "patch",
    patch: [{ op: "add", path: "/done", value: true }],
  });
  state = todos(state, {
    type: "change",
    op: "update",
    key: 1,
    mode: "delta",
    delta: { set: [[["n"], 1]] },
  });
  assert.deepEqual(state[0], { _id: 1, l: { x: 1 }, done: true, n: 1 });
  assert.equal(state[0].l, before[0].l);
  assert.equal(state[1], before[1]);
});

test("a change of an unknown document is a gap; a patch that does not fit says so", () => {
  const todos = collection();
  const state = todos.state(entries({ _id: 1 }));
  const patch = [{ op: "replace", path: "/no", value: 1 }];
  assert.throws(() => todos(state, { type: "change", op: "update", key: 2, patch }), BridgeError);
  assert.throws(() => todos(state, { type: "change", op: "update", key: 1, patch }), PatchError);
});

test("no_document asks for the state; too_large leaves the document out until it comes whole", () => {
  const todos = collection();
  const ref = (reason) => ({ type: "change", op: "update", key: 1, mode: "ref", reason });
  let state = todos.state(entries({ _id: 1 }, { _id: 2 }));
  assert.throws(() => todos(state, ref("no_document")), BridgeError);
  state = todos(state, ref("too_large"));
  assert.deepEqual(state, [{ _id: 2 }]);
  const same = todos(state, {
    type: "change",
    op: "update",
    key: 1,
    patch: [{ op: "add", path: "/x", value: 1 }],
  });
  assert.deepEqual(same, [{ _id: 2 }]);
  assert.deepEqual(todos(state, full(1, { x: 1 })), [{ _id: 2 }, { _id: 1, x: 1 }]);
});

test("a placeholder stands for what the bridge could not send", () => {
  const todos = collection({ placeholder: (key, reason) => ({ _id: key, reason }) });
  let state = todos.state([{ key: 1, reason: "too_large" }, ...entries({ _id: 2 })]);
  assert.deepEqual(state, [{ _id: 1, reason: "too_large" }, { _id: 2 }]);
  const update = {
    type: "change",
    op: "update",
    key: 1,
    patch: [{ op: "add", path: "/x", value: 1 }],
  };
  assert.deepEqual(todos(state, update)[0], { _id: 1, reason: "too_large" });
  state = todos(state, { type: "change", op: "delete", key: 1 });
  assert.deepEqual(state, [{ _id: 2 }]);
});

test("sort is restored after every batch", () => {
  const todos = collection({ sort: (one, other) => one.n - other.n });
  let state = todos.state(entries({ _id: 1, n: 3 }, { _id: 2, n: 1 }));
  state = todos.fold(state, [full(3, { n: 2 }), full(2, { n: 9 }, "replace")]);
  assert.deepEqual(
    state.map(({ n }) => n),
    [2, 3, 9],
  );
  state = todos(state, { type: "change", op: "delete", key: 1 });
  assert.deepEqual(
    state.map(({ n }) => n),
    [2, 9],
  );
});

test("what the filter hides stays known: a patch can bring it back", () => {
  const todos = collection({ filter: ({ done }) => !done });
  const set = (value) => ({
    type: "change",
    op: "update",
    key: 1,
    patch: [{ op: "replace", path: "/done", value }],
  });
  let state = todos.state(entries({ _id: 1, done: true }, { _id: 2, done: false }));
  assert.deepEqual(
    state.map(({ _id }) => _id),
    [2],
  );
  state = todos(state, set(false));
  assert.deepEqual(
    state.map(({ _id }) => _id),
    [2, 1],
  );
  state = todos(state, set(true));
  assert.deepEqual(
    state.map(({ _id }) => _id),
    [2],
  );
  assert.equal(todos(state, { type: "change", op: "delete", key: 99 }), state);
});

test("a long batch gives what one by one gives", () => {
  const todos = collection({ sort: (one, other) => one._id - other._id });
  const events = Array.from({ length: 200 }, (_, n) => {
    const key = (n * 7) % 31;
    return n % 5 === 4 ? { type: "change", op: "delete", key } : full(key, { n });
  });
  const one = events.reduce(todos, todos.state([]));
  assert.deepEqual(todos.fold(todos.state([]), events), one);
});

test("keys may be objects, and the same in several collections", () => {
  const all = collection();
  const ns = (coll) => ({ db: "app", coll });
  let state = all.state([
    { key: { a: 1 }, document: { x: 1 }, ns: ns("one") },
    { key: { a: 1 }, document: { x: 2 }, ns: ns("two") },
  ]);
  state = all(state, { type: "change", op: "delete", key: { a: 1 }, ns: ns("one") });
  assert.deepEqual(state, [{ x: 2 }]);
});

test("a state from elsewhere is known by the documents' own keys", () => {
  const todos = collection({ key: ({ id }) => id });
  const state = todos([{ id: 7, n: 1 }], {
    type: "change",
    op: "update",
    key: 7,
    patch: [{ op: "replace", path: "/n", value: 2 }],
  });
  assert.deepEqual(state, [{ id: 7, n: 2 }]);
});

test("events of an outbox, and what changes nothing, leave the same array", () => {
  const todos = collection();
  const state = todos.state(entries({ _id: 1 }));
  assert.equal(todos(state, { type: "event", name: "x", data: 1 }), state);
  assert.equal(todos(state, { type: "change", op: "delete", key: 2 }), state);
});

test("optimistic changes: insert, update by a function, delete", () => {
  const todos = collection();
  let state = todos.state(entries({ _id: 1, n: 1 }));
  state = todos(state, { confirmed: false, key: 1, update: (one) => ({ ...one, n: one.n + 1 }) });
  state = todos(state, { confirmed: false, document: { _id: 2 } });
  assert.deepEqual(state, [{ _id: 1, n: 2 }, { _id: 2 }]);
  assert.deepEqual(todos(state, { confirmed: false, op: "delete", key: 1 }), [{ _id: 2 }]);
  assert.throws(
    () => todos(state, { confirmed: false, key: 3, update: (one) => one }),
    BridgeError,
  );
});

test("document() is the channel's document, or null", () => {
  const board = document();
  assert.equal(board.state([]), null);
  let state = board.state(entries({ _id: 1, n: 1 }));
  state = board(state, {
    type: "change",
    op: "update",
    key: 1,
    patch: [{ op: "replace", path: "/n", value: 2 }],
  });
  state = board(state, { confirmed: false, update: (one) => ({ ...one, m: 1 }) });
  assert.deepEqual(state, { _id: 1, n: 2, m: 1 });
  assert.equal(board(state, { type: "change", op: "delete", key: 1 }), null);
  assert.throws(
    () => board(null, { type: "change", op: "update", key: 1, patch: [] }),
    BridgeError,
  );
  assert.throws(
    () =>
      board(state, { type: "change", op: "update", key: 1, mode: "ref", reason: "no_document" }),
    BridgeError,
  );
  assert.equal(
    board(state, { type: "change", op: "update", key: 1, mode: "ref", reason: "too_large" }),
    null,
  );
});

test("document({ key }) sees one of several", () => {
  const board = document({ key: 2, placeholder: (key, reason) => ({ key, reason }) });
  let state = board.state(entries({ _id: 1 }, { _id: 2 }));
  assert.deepEqual(state, { _id: 2 });
  assert.equal(board(state, { type: "change", op: "delete", key: 1 }), state);
  state = board(state, { type: "change", op: "update", key: 2, mode: "ref", reason: "too_large" });
  assert.deepEqual(state, { key: 2, reason: "too_large" });
  assert.equal(
    board(state, { type: "change", op: "update", key: 2, patch: [{ op: "remove", path: "/x" }] }),
    state,
  );
});

test("applyMessage gives a raw subscriber the document after", () => {
  assert.deepEqual(applyMessage({ n: 1 }, { mode: "delta", delta: { set: [[["n"], 2]] } }), {
    n: 2,
  });
  assert.deepEqual(applyMessage(undefined, full(1, {})), { _id: 1 });
  assert.equal(applyMessage({ n: 1 }, { op: "delete", key: 1 }), undefined);
});
