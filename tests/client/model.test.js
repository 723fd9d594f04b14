// Models: states, fetching, replay, pausing, telling; rows and rules are in docs/client.md's words.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { BridgeError, SyncError, collection, fixed } from "../../bridge/client/index.js";
import {
  OTHER,
  Rig,
  fakeTime,
  id,
  letter,
  letters,
  pass,
  problem,
  realTime,
  settle,
} from "./rig.js";

beforeEach(fakeTime);
afterEach(realTime);

const states = (model) => {
  const seen = [];
  model.on("state", ({ previous, current, reason }) =>
    seen.push([previous, current, reason?.code]),
  );
  return seen;
};

test("a model needs a channel, a merge, and a sync where its merge cannot read a snapshot", () => {
  const { bridge } = new Rig();
  for (const spec of [
    undefined,
    {},
    { channel: "" },
    { channel: 1, merge: collection() },
    { channel: "a" },
    { channel: "a", merge: 1 },
    { channel: "a", merge: (state) => state },
    { channel: "a", merge: collection(), sync: 1 },
    { channel: "a", merge: collection(), batch: "never" },
    { channel: "a", merge: collection(), batch: -1 },
  ]) {
    assert.throws(
      () => bridge.model(spec),
      (error) => error instanceof BridgeError && error.code === "invalid_argument",
    );
  }
});

test("one model for each channel, until it is disposed", () => {
  const rig = new Rig();
  const first = rig.model();
  assert.equal(rig.model({ merge: collection({ sort: () => 0 }) }), first);
  first.dispose();
  const second = rig.model();
  assert.notEqual(second, first);
  assert.equal(second.state, "initialized");
});

test("making a model asks for nothing; the first subscriber starts it", async () => {
  const rig = new Rig();
  const model = rig.model();
  await pass(100);
  assert.deepEqual([rig.asked.length, rig.streams.length, model.state], [0, 0, "initialized"]);
  model.subscribe(() => {});
  assert.equal(model.state, "syncing");
  await pass(100);
  assert.deepEqual([rig.asked.length, rig.streams.length], [1, 1]);
  assert.equal(rig.asked[0].url, "https://bridge.test/channels/todos%3Aacme/snapshot");
});

test("from initialized to disposed; each change of state is told once, by both names", async () => {
  const rig = new Rig();
  const model = rig.model();
  const seen = states(model);
  const named = [];
  model.on("ready", ({ current }) => named.push(current));
  const ready = model.sync();
  assert.equal(model.state, "syncing");
  await rig.connected();
  await ready;
  model.pause();
  model.pause();
  model.resume();
  model.dispose();
  model.dispose();
  assert.deepEqual(seen, [
    ["initialized", "syncing", undefined],
    ["syncing", "ready", undefined],
    ["ready", "paused", undefined],
    ["paused", "ready", undefined],
    ["ready", "disposed", undefined],
  ]);
  assert.deepEqual(named, ["ready", "ready"]);
});

test("the replay is applied without telling; live makes it ready and tells once", async () => {
  const rig = new Rig();
  const model = rig.model();
  const seen = [];
  model.subscribe(({ state, data }) => seen.push([state, data?.length]));
  await pass(30);
  assert.equal(rig.stream.request.since, id(1));
  rig.stream.ready();
  for (let n = 2; n < 12; n++) rig.stream.insert(n, n);
  await settle();
  assert.equal(model.state, "syncing");
  await rig.stream.live(id(20));
  assert.deepEqual(seen, [
    ["syncing", undefined],
    ["ready", 10],
  ]);
  assert.equal(model.isStale, false);
});

test("where the bridge is not heard, the fetched state is shown after a second, stale", async () => {
  const rig = new Rig();
  rig.snapshot = { cursor: id(1), documents: [{ key: 1, document: { _id: 1 } }] };
  const model = rig.model();
  const seen = [];
  model.subscribe(({ data, isStale }) => seen.push([data?.length, isStale]));
  await pass(1100);
  assert.deepEqual(seen, [
    [undefined, true],
    [1, true],
  ]);
});

test("messages after the snapshot are applied in order, those before it are not", async () => {
  const rig = new Rig();
  const { model, seen } = await rig.ready([{ _id: 1, n: 1 }]);
  rig.stream.tell(1, { op: "delete", key: 1 });
  rig.stream.insert(2, 2);
  rig.stream.insert(2, 2, { again: true });
  rig.stream.tell(3, {
    op: "update",
    key: 1,
    mode: "patch",
    patch: [{ op: "replace", path: "/n", value: 2 }],
  });
  await settle();
  assert.deepEqual(model.data, [{ _id: 1, n: 2 }, { _id: 2 }]);
  assert.equal(seen.length, 1);
});

test("parameters of sync are used again in later resyncs, until there are others", async () => {
  const rig = new Rig();
  const calls = [];
  const model = rig.model({
    ...letters,
    sync: ({ reason, attempt }, ...params) => {
      calls.push([reason, attempt, ...params]);
      return letters.sync();
    },
  });
  model.sync("a", 1);
  await rig.connected();
  rig.stream.frame({ type: "resync", channel: "todos:acme", reason: "dropped", cursor: id(5) });
  await rig.connected(id(6));
  const again = model.sync("b");
  await rig.connected(id(6));
  await again;
  assert.deepEqual(calls, [
    ["initial", 1, "a", 1],
    ["dropped", 1, "a", 1],
    ["manual", 1, "b"],
  ]);
});

test("of two syncs the later one wins, whichever answers first; both callers are told", async () => {
  const rig = new Rig();
  const answers = {};
  const aborted = [];
  const model = rig.model({
    ...letters,
    sync: ({ signal }, name) => {
      signal.addEventListener("abort", () => aborted.push(name));
      return new Promise((resolve) => {
        answers[name] = () => resolve({ data: name, cursor: id(1) });
      });
    },
  });
  const first = model.sync("one");
  const second = model.sync("two");
  await settle();
  answers.two();
  await rig.connected();
  answers.one();
  await Promise.all([first, second]);
  assert.equal(model.data, "two");
  assert.deepEqual(aborted, ["one"]);
});

test("a sync that fails is asked again, without the model becoming errored", async () => {
  const rig = new Rig();
  rig.snapshots = [new TypeError("no network"), problem(503, "unavailable")];
  const model = rig.model({ retry: fixed(50) });
  const seen = states(model);
  model.sync();
  await pass(60);
  assert.ok(model.error instanceof SyncError);
  await pass(60);
  await rig.connected();
  assert.equal(model.state, "ready");
  assert.equal(model.error, undefined);
  assert.deepEqual(
    seen.map(([, current]) => current),
    ["syncing", "ready"],
  );
});

test("a bridge that does not answer the first fetching is waited for, and says so", async () => {
  const rig = new Rig();
  const told = [];
  rig.bridge.onStatus(({ state, error }) => told.push([state, error?.code]));
  rig.snapshots = [new TypeError("no network"), problem(403, "forbidden")];
  const model = rig.model();
  model.subscribe(() => {});
  await settle();
  assert.deepEqual(told, [["waiting", "connection"]]);
  await pass(1000, 50);
  assert.equal(model.state, "errored", "what is refused is the model's own trouble");
  model.sync();
  await rig.connected();
  assert.deepEqual([rig.bridge.status.state, model.state], ["open", "ready"]);
});

test("fixed(1, 3) calls three times in all, then the model is errored once, with the last error", async () => {
  const rig = new Rig();
  let calls = 0;
  const model = rig.model({
    ...letters,
    retry: fixed(1, 3),
    sync: () => {
      throw new Error(`failure ${++calls}`);
    },
  });
  const seen = states(model);
  const ready = model.sync();
  await pass(50);
  await assert.rejects(
    ready,
    (error) =>
      error instanceof SyncError && error.attempts === 3 && error.cause.message === "failure 3",
  );
  assert.equal(calls, 3);
  assert.deepEqual(
    seen.map(([, current]) => current),
    ["syncing", "errored"],
  );
  assert.equal(model.error.cause.message, "failure 3");
});

test("a strategy of null or below 0 calls once; 0 calls again at once", async () => {
  for (const [wait, expected] of [
    [null, 1],
    [-1, 1],
    [0, 4],
  ]) {
    const rig = new Rig();
    let calls = 0;
    const retry = (attempt) => (attempt > 3 ? null : wait);
    const model = rig.model({
      ...letters,
      retry,
      sync: () => {
        calls += 1;
        throw new Error("no");
      },
    });
    model.sync().catch(() => {});
    await pass(100);
    assert.equal(calls, expected);
    assert.equal(model.state, "errored");
  }
});

test("an answer of the wrong shape is fatal, whatever the strategy; sync() leaves errored", async () => {
  const rig = new Rig();
  let answer = { data: "x" };
  const model = rig.model({ ...letters, sync: () => answer });
  const ready = model.sync();
  await settle();
  await assert.rejects(ready, { code: "invalid_argument" });
  assert.equal(model.state, "errored");
  answer = { data: "y", sequenceId: id(1) };
  const again = model.sync();
  await rig.connected();
  await again;
  assert.equal(model.data, "y");
});

test("no cursor: follows from now on, and stays stale", async () => {
  const rig = new Rig();
  const model = rig.model({ ...letters, sync: () => ({ data: "0", sequenceId: null }) });
  model.sync();
  await pass(30);
  assert.equal(rig.stream.request.since, undefined);
  await rig.stream.live(id(5));
  rig.stream.frame(letter(6, "1"));
  await settle();
  assert.deepEqual([model.state, model.data, model.isStale], ["ready", "01", true]);
});

test("0 stands before the first message; a cluster time for the end of its instant", async () => {
  for (const [sequenceId, since] of [
    [0, "0".repeat(16) + "ffffff"],
    ["0", "0".repeat(16) + "ffffff"],
    ["6b0427d500000009", "6b0427d500000009ffffff"],
  ]) {
    const rig = new Rig();
    rig.model({ ...letters, sync: () => ({ data: "", sequenceId }) }).sync();
    await pass(30);
    assert.equal(rig.stream.request.since, since);
  }
});

test("a cursor ahead of the bridge: messages up to it are skipped, later ones come", async () => {
  const rig = new Rig();
  const model = rig.model({ ...letters, sync: () => ({ data: "0", cursor: id(10) }) });
  model.sync();
  await rig.connected(id(5));
  rig.stream.frame(letter(9, "9"));
  rig.stream.frame(letter(11, "b"));
  await settle();
  assert.equal(model.data, "0b");
});

test("initial data skips the first sync; a cursor that is lost asks for it", async () => {
  const rig = new Rig();
  const model = rig.model({ initial: { data: [{ _id: 1 }], cursor: id(3) } });
  model.subscribe(() => {});
  await pass(30);
  assert.deepEqual(model.data, [{ _id: 1 }]);
  assert.deepEqual([rig.asked.length, rig.stream.request.since], [0, id(3)]);
  rig.snapshot = { cursor: id(8), documents: [] };
  rig.stream.frame({
    type: "resync",
    channel: "todos:acme",
    reason: "history_lost",
    cursor: id(7),
  });
  await rig.connected(id(9));
  assert.deepEqual([model.data, rig.asked.length, model.state], [[], 1, "ready"]);
});

test("a resync keeps the old state visible until the new one is complete, and needs no new stream", async () => {
  const rig = new Rig();
  const { model, seen } = await rig.ready([{ _id: 1 }]);
  let answer;
  rig.snapshots = [
    () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  ];
  rig.stream.frame({ type: "resync", channel: "todos:acme", reason: "dropped", cursor: id(5) });
  rig.stream.insert(6, "in the snapshot");
  rig.stream.insert(8, "after it");
  await settle();
  assert.deepEqual([model.state, model.isStale, model.data], ["syncing", true, [{ _id: 1 }]]);
  answer({ cursor: id(7), documents: [{ key: 2, document: { _id: 2 } }] });
  await settle();
  assert.deepEqual(model.data, [{ _id: 2 }, { _id: "after it" }]);
  assert.deepEqual([model.state, model.isStale, rig.streams.length], ["ready", false, 1]);
  assert.ok(
    seen.every(({ data }) => data.length !== 1 || data[0]._id === 1),
    "no half state was told",
  );
});

test("a state older than what the stream gave: everything since then is asked for again", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  rig.stream.insert(5, "five");
  await settle();
  rig.snapshot = { cursor: id(3), documents: [] };
  const synced = model.sync();
  await pass(30);
  assert.equal(rig.streams.length, 2);
  assert.equal(rig.stream.request.since, id(3));
  rig.streams[0].insert(6, "from the old stream, too early");
  rig.stream.ready();
  rig.stream.insert(5, "five");
  await rig.stream.live(id(5));
  await synced;
  assert.deepEqual(model.data, [{ _id: "five" }]);
});

test("more than the client can keep while it fetches is asked for again", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  let answer;
  rig.snapshots = [
    () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  ];
  const synced = model.sync();
  await settle();
  for (let n = 2; n < 10_010; n++) rig.stream.insert(n, n);
  answer({ cursor: id(10_000), documents: [] });
  await pass(30);
  assert.equal(rig.stream.request.since, id(10_000));
  rig.stream.ready();
  for (let n = 10_001; n < 10_010; n++) rig.stream.insert(n, n);
  await rig.stream.live(id(10_010));
  await synced;
  assert.equal(model.data.length, 9);
});

test("another tag on the channel means another history: the state is fetched", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  const reasons = [];
  model.on("resync", (reason) => reasons.push(reason));
  rig.snapshot = { cursor: id(9, OTHER), documents: [] };
  rig.stream.tell(5, { op: "delete", key: 1 }, "todos:acme", OTHER);
  await pass(30);
  assert.deepEqual(reasons, ["unknown_cursor"]);
  await rig.connected(id(9, OTHER));
  assert.equal(model.state, "ready");
});

for (const [what, fields, reason] of [
  [
    "a patch that does not fit",
    { op: "update", key: 1, mode: "patch", patch: [{ op: "remove", path: "/no" }] },
    "patch",
  ],
  ["a change of an unknown document", { op: "update", key: 9, mode: "patch", patch: [] }, "gap"],
  [
    "a document that did not come",
    { op: "update", key: 1, mode: "ref", reason: "no_document" },
    "gap",
  ],
]) {
  test(`${what}: the state is fetched, the old one stays visible`, async () => {
    const rig = new Rig();
    const { model } = await rig.ready([{ _id: 1 }]);
    const reasons = [];
    model.on("resync", (each) => reasons.push(each));
    rig.snapshot = { cursor: id(9), documents: [{ key: 1, document: { _id: 1, fresh: true } }] };
    rig.stream.tell(5, fields);
    await Promise.resolve();
    await Promise.resolve();
    assert.deepEqual(model.data, [{ _id: 1 }]);
    await settle();
    assert.deepEqual(
      [reasons, model.data, model.state],
      [[reason], [{ _id: 1, fresh: true }], "ready"],
    );
    rig.stream.insert(10, 2);
    await settle();
    assert.equal(model.data.length, 2);
  });
}

test("a merge that throws: syncing with that error as the reason, then ready; subscribers go on", async () => {
  const rig = new Rig();
  const told = [];
  let poison = true;
  const model = rig.model({
    ...letters,
    merge: (state, event) => {
      if (event.data === "x" && poison) throw new Error("poison");
      return state + event.data;
    },
    sync: () => ({ data: "fresh", cursor: id(told.length ? 9 : 1) }),
  });
  model.subscribe(({ data }) => told.push(data));
  await rig.connected();
  const seen = states(model);
  rig.stream.frame(letter(5, "x"));
  await settle();
  assert.deepEqual(seen, [
    ["ready", "syncing", "merge"],
    ["syncing", "ready", undefined],
  ]);
  poison = false;
  rig.stream.frame(letter(10, "!"));
  await settle();
  assert.equal(told.at(-1), "fresh!");
});

test("resyncs that come one after the other are slowed down", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  const before = rig.asked.length;
  for (let n = 0; n < 40; n++) {
    rig.stream.frame({
      type: "resync",
      channel: "todos:acme",
      reason: "dropped",
      cursor: id(10 + n),
    });
    rig.snapshot = { cursor: id(10 + n), documents: [] };
    await pass(20);
  }
  assert.ok(rig.asked.length - before < 12, `${rig.asked.length - before} syncs in 0.8 s`);
  await pass(40_000, 100);
  rig.stream.frame({ type: "heartbeat", cursor: id(99) });
  assert.equal(model.state, "ready");
});

test("a transaction is applied as one, also where it comes in several tasks", async () => {
  const rig = new Rig();
  const { model, seen } = await rig.ready([{ _id: 1 }]);
  const part = (n, fields) =>
    rig.stream.frame({
      type: "change",
      id: `1f3a9c02-0000000500000001${String(n).padStart(5, "0")}0`,
      channel: "todos:acme",
      txn: { id: "t", index: n },
      ...fields,
    });
  part(1, { op: "delete", key: 1 });
  await settle();
  part(2, { op: "insert", key: 2, mode: "full", document: { _id: 2 } });
  await pass(1, 1);
  part(3, { op: "insert", key: 3, mode: "full", document: { _id: 3 } });
  await settle();
  assert.deepEqual(model.data, [{ _id: 1 }]);
  await pass(5, 1);
  assert.deepEqual(model.data, [{ _id: 2 }, { _id: 3 }]);
  assert.equal(seen.length, 1);
});

test("a heartbeat closes a transaction at once", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  rig.stream.insert(5, 1, {}, { txn: { id: "t", index: 0 } });
  await settle();
  assert.equal(model.data.length, 0);
  rig.stream.frame({ type: "heartbeat", cursor: id(6) });
  assert.equal(model.data.length, 1);
});

test("a batch, and all that comes in one task, is told once", async () => {
  const rig = new Rig();
  const { model, seen } = await rig.ready();
  const message = (n) => ({
    type: "change",
    id: id(n),
    channel: "todos:acme",
    op: "insert",
    key: n,
    mode: "full",
    document: { _id: n },
  });
  rig.stream.frame({ type: "batch", channel: "todos:acme", messages: [message(2), message(3)] });
  for (let n = 4; n < 50; n++) rig.stream.frame(message(n));
  await settle();
  assert.deepEqual([seen.length, model.data.length], [1, 48]);
});

test("frames and milliseconds as batches; sync tells within the call", async () => {
  for (const [batch, wait] of [
    ["frame", 16],
    [200, 200],
  ]) {
    const rig = new Rig();
    const { seen } = await rig.ready([], { batch });
    await pass(wait + 10);
    seen.length = 0;
    rig.stream.insert(5, 1);
    await pass(wait - 6, 1);
    assert.equal(seen.length, 0);
    await pass(10, 1);
    assert.equal(seen.length, 1);
  }
  const rig = new Rig();
  const { model, seen } = await rig.ready([{ _id: 1 }], { batch: "sync" });
  model.mutate({ op: "delete", key: 1 });
  assert.deepEqual(seen.at(-1).data, []);
});

test("the snapshot is the same object until something changes; what changes nothing tells nothing", async () => {
  const rig = new Rig();
  const { model, seen } = await rig.ready([{ _id: 1 }]);
  const before = model.getSnapshot();
  rig.stream.tell(5, { op: "delete", key: "unknown" });
  rig.stream.frame({ type: "heartbeat", cursor: id(6) });
  await settle();
  assert.equal(model.getSnapshot(), before);
  assert.deepEqual(seen, []);
  assert.equal(before.data, model.data);
  assert.ok(Object.isFrozen(before));
});

test("subscribers: immediate, confirmed only, ended, and one that throws", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1 }]);
  const reported = [];
  const { error: consoleError } = console;
  console.error = (error) => reported.push(error.message);
  const told = { now: [], confirmed: [], after: [] };
  model.subscribe(() => {
    throw new Error("a listener");
  });
  model.subscribe(({ data }) => told.now.push(data.length), { immediate: true });
  const end = model.subscribe(({ confirmed }) => told.confirmed.push(confirmed.length), {
    confirmed: true,
  });
  await settle();
  assert.deepEqual(told.now, [1]);
  const write = model.mutate({ key: 2, document: { _id: 2 } });
  await settle();
  assert.deepEqual([told.now, told.confirmed], [[1, 2], []]);
  rig.stream.insert(5, 2, {}, { mutationId: write.mutationId });
  await settle();
  assert.deepEqual([told.now.at(-1), told.confirmed], [2, [2]]);
  end();
  rig.stream.insert(6, 3);
  await settle();
  console.error = consoleError;
  assert.deepEqual([told.now.at(-1), told.confirmed], [3, [2]]);
  assert.ok(reported.length >= 3);
});

test("pause: nothing comes; resume: what was missed is replayed, without a sync", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  rig.stream.insert(5, 1);
  model.pause();
  await pass(30);
  assert.deepEqual([model.state, model.isStale, rig.open.length], ["paused", true, 0]);
  rig.stream.insert(6, 2);
  await pass(10_000_000, 1_000_000);
  assert.equal(model.data.length, 1);
  const asked = rig.asked.length;
  const resumed = model.resume();
  await pass(30);
  assert.equal(rig.stream.request.since, id(5));
  rig.stream.ready();
  rig.stream.insert(6, 2);
  await rig.stream.live(id(7));
  await resumed;
  assert.deepEqual([model.data.length, rig.asked.length, model.state], [2, asked, "ready"]);
});

test("resume without pause does nothing; a replay that cannot be given asks for the state", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  await model.resume();
  model.pause();
  await pass(30);
  model.resume();
  rig.snapshot = { cursor: id(50), documents: [{ key: 1, document: { _id: 1 } }] };
  await pass(30);
  rig.stream.ready();
  rig.stream.frame({
    type: "resync",
    channel: "todos:acme",
    reason: "history_lost",
    cursor: id(40),
  });
  await rig.stream.live(id(51));
  assert.deepEqual([model.state, model.data.length], ["ready", 1]);
});

test("pause while it fetches: resume fetches", async () => {
  const rig = new Rig();
  const model = rig.model();
  model.subscribe(() => {});
  model.pause();
  await pass(50);
  assert.equal(rig.streams.length, 0);
  const resumed = model.resume();
  await rig.connected();
  await resumed;
  assert.equal(model.state, "ready");
});

test("a disposed model refuses every call, tells that it is, and is silent", async () => {
  const rig = new Rig();
  const { model, seen } = await rig.ready([{ _id: 1 }]);
  model.dispose();
  assert.deepEqual(
    seen.map(({ state }) => state),
    ["disposed"],
  );
  for (const call of [
    () => model.sync(),
    () => model.subscribe(() => {}),
    () => model.mutate({}),
    () => model.pause(),
    () => model.resume(),
    () => model.waitFor(),
  ]) {
    assert.throws(call, { code: "disposed" });
  }
  rig.stream.insert(5, 2);
  await pass(50);
  assert.deepEqual([seen.length, model.data.length, rig.open.length], [1, 1, 0]);
});

test("disposing rejects those who wait for it", async () => {
  const rig = new Rig();
  const model = rig.model();
  const syncing = model.sync();
  const waiting = model.waitFor(id(9));
  model.dispose();
  await assert.rejects(syncing, { code: "disposed" });
  await assert.rejects(waiting, { code: "disposed" });
});

test("waitFor: ready, a position, a condition; limits and signals end it", async () => {
  const rig = new Rig();
  const model = rig.model();
  const done = [];
  model.waitFor().then(() => done.push("ready"));
  model.waitFor({ t: 5, i: 1 }).then(() => done.push("position"));
  model.waitFor(({ data }) => data?.length === 1).then(() => done.push("condition"));
  const late = assert.rejects(model.waitFor(id(99), { timeout: 500 }), { code: "timeout" });
  const controller = new AbortController();
  const cancelled = assert.rejects(model.waitFor(id(99), { signal: controller.signal }), {
    code: "cancelled",
  });
  controller.abort();
  await cancelled;
  await rig.connected();
  assert.deepEqual(done, ["ready"]);
  rig.stream.insert(4, 1);
  await settle();
  assert.deepEqual(done, ["ready", "condition"]);
  rig.stream.frame({ type: "heartbeat", cursor: id(6) });
  await settle();
  assert.deepEqual(done, ["ready", "condition", "position"]);
  await pass(600);
  await late;
  assert.throws(() => model.waitFor("not a position"), BridgeError);
});

test("waitFor ends with the error of a model that cannot become ready, conditions aside", async () => {
  const rig = new Rig();
  const model = rig.model({ sync: () => ({ data: [] }), merge: (state) => state });
  const broken = assert.rejects(model.waitFor(), { code: "invalid_argument" });
  const behind = assert.rejects(model.waitFor(id(9)), { code: "invalid_argument" });
  await model.waitFor(({ state }) => state === "errored");
  await Promise.all([broken, behind]);
  await assert.rejects(model.waitFor(), model.error);
});

test("a condition that throws ends its own waiting and nothing else", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1 }]);
  const wrong = assert.rejects(
    model.waitFor(({ data }) => data[1]?.is.missing),
    TypeError,
  );
  rig.stream.insert(4, 2);
  await settle();
  await wrong;
  assert.equal(model.data.length, 2);
});

test("an idle model disposes itself; a new subscriber keeps it", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([], { idle: 1000 });
  const end = model.subscribe(() => {});
  end();
  await pass(2000);
  assert.equal(model.state, "ready", "the first subscriber is still there");
  const other = rig.bridge.model({ channel: "todos:beta", merge: collection(), idle: 1000 });
  other.subscribe(() => {})();
  await pass(500);
  const stop = other.subscribe(() => {});
  await pass(1500);
  assert.notEqual(other.state, "disposed");
  stop();
  await pass(1500);
  assert.equal(other.state, "disposed");
});

test("a loss while the state is fetched: a state from before the loss is not enough", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  const answers = [];
  const ask = () => new Promise((resolve) => answers.push(resolve));
  rig.snapshots = [ask, ask];
  const synced = model.sync();
  rig.stream.insert(3, 3);
  rig.stream.frame({
    type: "resync",
    channel: "todos:acme",
    reason: "slow_consumer",
    cursor: id(9),
  });
  await pass(600);
  answers[1]({ cursor: id(5), documents: [] });
  await pass(30);
  assert.deepEqual([rig.streams.length, rig.stream.request.since], [2, id(5)]);
  rig.stream.ready();
  rig.stream.insert(7, 7);
  await rig.stream.live(id(9));
  await synced;
  assert.deepEqual(
    model.data.map(({ _id }) => _id),
    [7],
  );
});

test("a heartbeat while the state is fetched is no promise about what is applied", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  let answer;
  rig.snapshots = [() => new Promise((resolve) => (answer = resolve))];
  const write = model.mutate({ document: { _id: 1 } }, () => ({ operationTime: { t: 5, i: 1 } }));
  model.sync();
  rig.stream.insert(5, 1);
  rig.stream.frame({ type: "heartbeat", cursor: id(9) });
  await settle();
  assert.deepEqual([write.status, model.confirmed], ["acknowledged", []]);
  answer({ cursor: id(4), documents: [] });
  await settle();
  rig.stream.frame({ type: "heartbeat", cursor: id(10) });
  assert.deepEqual([write.status, model.confirmed], ["confirmed", [{ _id: 1 }]]);
});

test("a replay that is lost after a good sync counts as a failed attempt", async () => {
  const rig = new Rig();
  let calls = 0;
  const model = rig.model({
    ...letters,
    retry: fixed(10, 3),
    sync: () => {
      calls += 1;
      return { data: "0", cursor: id(calls) };
    },
  });
  const ready = model.sync();
  for (let n = 0; n < 3; n++) {
    await pass(50);
    assert.equal(calls, n + 1);
    rig.stream.frame({
      type: "resync",
      channel: "todos:acme",
      reason: "history_lost",
      cursor: id(99),
    });
  }
  await pass(50);
  await assert.rejects(ready, (error) => error instanceof SyncError && error.attempts === 3);
  assert.deepEqual([calls, model.state], [3, "errored"]);
});
