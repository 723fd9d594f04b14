// What could be lost, repeated or left hanging between streams, states and pages.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { AuthError } from "../../bridge/client/index.js";
import { Rig, fakeTime, id, letter, letters, pass, problem, realTime, settle } from "./rig.js";

beforeEach(fakeTime);
afterEach(realTime);

const CHANNEL = "todos:acme";
const lost = (n, reason) => ({ type: "resync", channel: CHANNEL, reason, cursor: id(n) });

test("a model's cursor is that of its confirmed state, also while it fetches another", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  rig.snapshots.push(() => new Promise(() => {}));
  rig.stream.frame(lost(5, "unrouted"));
  rig.stream.insert(6, 1);
  await settle();
  assert.deepEqual([model.state, model.cursor, model.confirmed], ["syncing", id(1), []]);
});

test("a model's cursor waits for a transaction as its state does", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  rig.stream.insert(5, 1, {}, { txn: { id: "t", index: 0 } });
  await settle();
  assert.deepEqual([model.cursor, model.confirmed.length], [id(1), 0]);
  await pass(10, 1);
  assert.deepEqual([model.cursor, model.confirmed.length], [id(5), 1]);
});

test("after a loss that nothing could mend, pause and resume do not pretend that it is mended", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  rig.snapshots.push(problem(403, "forbidden"));
  rig.stream.frame(lost(5, "history_lost"));
  await settle();
  assert.equal(model.state, "errored");
  model.pause();
  model.resume();
  await pass(30);
  assert.equal(rig.stream.request.since, id(1), "from before the loss");
});

test("a subscription that is closed with messages untold can go on from before them", async () => {
  const rig = new Rig();
  const told = [];
  const subscription = rig.bridge.subscribe(CHANNEL, {
    messages: (messages) => told.push(...messages.map(({ key }) => key)),
  });
  await rig.connected();
  rig.stream.insert(5, 1);
  await settle();
  rig.stream.insert(6, 2);
  subscription.close();
  await settle();
  assert.deepEqual([told, subscription.cursor], [[1], id(5)]);
});

test("a subscription that is closed while it is told of a loss is told nothing more", async () => {
  const rig = new Rig();
  const told = [];
  const subscription = rig.bridge.subscribe(CHANNEL, {
    messages: (messages) => told.push(...messages),
    resync: () => subscription.close(),
  });
  await rig.connected();
  const message = { type: "change", channel: CHANNEL, op: "delete", key: 1 };
  const messages = [
    { ...message, id: id(5, "99999999") },
    { ...message, id: id(6) },
  ];
  rig.stream.frame({ type: "batch", channel: CHANNEL, messages });
  await settle();
  assert.deepEqual(told, []);
});

test("a loss that a second stream tells of again takes nothing back", async () => {
  const rig = new Rig();
  const told = [];
  rig.bridge.subscribe(CHANNEL, {
    messages: (messages) => told.push(...messages.map(({ key }) => key)),
    resync: (reason) => told.push(reason),
  });
  await rig.connected();
  const first = rig.stream;
  first.frame(lost(5, "dropped"));
  for (const n of [6, 7]) first.insert(n, n);
  await settle();
  rig.bridge.subscribe("todos:beta", {}, { since: id(3) });
  await pass(30);
  assert.equal(rig.stream.request.since, id(3));
  rig.stream.ready();
  rig.stream.frame(lost(5, "dropped"));
  first.insert(8, 8);
  for (const n of [6, 7, 8]) rig.stream.insert(n, n);
  await rig.stream.live(id(8));
  assert.deepEqual(told, ["dropped", 6, 7, 8]);
});

test("what may be seen has changed: that counts wherever it stands", async () => {
  const rig = new Rig();
  const told = [];
  rig.bridge.subscribe(CHANNEL, { resync: (reason) => told.push(reason) });
  await rig.connected(id(9));
  rig.stream.frame(lost(8, "access_changed"));
  assert.deepEqual(told, ["access_changed"]);
});

test("a condition that throws breaks its own wait, not the model", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1, tags: [] }]);
  const wait = model.waitFor(({ data }) => data[0].tags.includes("x"));
  const broken = assert.rejects(wait, TypeError);
  rig.stream.tell(5, { op: "delete", key: 1 });
  await settle();
  rig.stream.insert(6, 2, { tags: ["y"] });
  await broken;
  await settle();
  rig.stream.tell(7, { op: "delete", key: 2 });
  await settle();
  assert.deepEqual([model.state, model.data, model.cursor], ["ready", [], id(7)]);
});

test("resume of a model that does not know its place ends when it is heard again", async () => {
  const rig = new Rig();
  const model = rig.model({ ...letters, sync: () => ({ data: "0", cursor: null }) });
  model.sync();
  await rig.connected();
  model.pause();
  await pass(30);
  let resumed = false;
  model.resume().then(() => (resumed = true));
  await rig.connected();
  rig.stream.frame(letter(5, "1"));
  await settle();
  assert.deepEqual([resumed, model.isStale, model.data], [true, true, "01"]);
});

test("a token that never comes is a failed attempt", async () => {
  let asks = 0;
  const rig = new Rig({ token: () => (asks++ ? "T" : new Promise(() => {})) });
  rig.bridge.subscribe(CHANNEL, {});
  await pass(29_000, 1000);
  assert.equal(rig.bridge.status.state, "connecting");
  await pass(2_000, 1000);
  assert.equal(rig.bridge.status.state, "waiting");
});

test("those who need a token at one time share the answer of the callback", async () => {
  let asks = 0;
  const rig = new Rig({ token: async () => `T${++asks}` });
  for (const channel of ["a", "b", "c"]) rig.model({ channel }).sync();
  await settle();
  assert.deepEqual(
    rig.asked.map(({ headers }) => headers.Authorization),
    ["Bearer T1", "Bearer T1", "Bearer T1"],
  );
  await pass(30);
  assert.deepEqual([asks, rig.stream.request.token], [2, "T2"]);
});

test("a frame that cannot be understood breaks the stream, not the bridge", async () => {
  for (const frame of [
    { type: "heartbeat", cursor: "?" },
    { type: "change", channel: CHANNEL },
    { type: "live" },
  ]) {
    const rig = new Rig();
    rig.bridge.subscribe(CHANNEL, {});
    await rig.connected();
    rig.stream.frame(frame);
    assert.deepEqual(
      [rig.bridge.status.state, rig.bridge.status.error.code],
      ["waiting", "protocol"],
    );
    await pass(110);
    assert.equal(rig.streams.length, 2);
  }
});

test("a refused token stays refused in a hidden tab", async (t) => {
  const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  const [before, listen] = [globalThis.document, globalThis.addEventListener];
  t.after(() => Object.assign(globalThis, { document: before, addEventListener: listen }));
  Object.assign(globalThis, { document: page, addEventListener: () => {} });
  globalThis.removeEventListener ??= () => {};
  const rig = new Rig();
  rig.bridge.subscribe(CHANNEL, {});
  await pass(30);
  await rig.stream.cut(new AuthError(401, "no"));
  page.visibilityState = "hidden";
  page.dispatchEvent(new Event("visibilitychange"));
  await pass(61_000, 1000);
  page.visibilityState = "visible";
  page.dispatchEvent(new Event("visibilitychange"));
  await pass(30);
  assert.deepEqual([rig.bridge.status.state, rig.streams.length], ["errored", 1]);
});
