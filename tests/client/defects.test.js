// What went wrong in models elsewhere, and must not here. The numbers are those of the list of
// defects that this client was designed against.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, test } from "node:test";

import { MergeError, collection } from "../../bridge/client/index.js";
import {
  OTHER,
  Rig,
  at,
  fakeTime,
  id,
  letter,
  letters,
  pass,
  realTime,
  settle,
  text,
} from "./rig.js";

beforeEach(fakeTime);
afterEach(realTime);

test("S1: event, drop, event: after a break the model still hears", async () => {
  const { rig, model, told } = await text();
  rig.stream.frame(letter(2, "1"));
  await settle();
  for (let n = 3; n < 8; n++) {
    await rig.stream.cut();
    await pass(130);
    await rig.stream.live(id(n - 1));
    rig.stream.frame(letter(n, String(n)));
    await settle();
    assert.equal(told.at(-1).at(-1), String(n));
  }
  assert.equal(model.data, "0134567");
});

test("S2: however much was missed, one request asks for it", async () => {
  const { rig, model } = await text();
  await rig.stream.cut();
  await pass(110);
  rig.stream.ready();
  for (let n = 2; n < 2002; n++) rig.stream.frame(letter(n, "x"));
  await rig.stream.live(id(2002));
  assert.deepEqual([model.data.length, rig.streams.length, rig.asked.length], [2001, 2, 0]);
});

test("S3: ids are compared as text of one width; a message needs no mutation id", async () => {
  const { rig, model } = await text();
  const big = (tail) => ({ ...letter(2, tail), id: `1f3a9c02-ffffffffffffffff0000${tail}0` });
  rig.stream.frame(big("1"));
  rig.stream.frame(big("2"));
  rig.stream.frame(big("1"));
  await settle();
  assert.equal(model.data, "012");
});

test("S4: an echo that comes before the write is told of: applied once, confirmed at once", async () => {
  const { rig, model } = await text();
  rig.stream.frame(letter(2, "1", { mutationId: "early" }));
  await settle();
  let sends = 0;
  const write = model.mutate({ data: "1", mutationId: "early" }, () => {
    sends += 1;
  });
  await write.confirmed;
  assert.deepEqual([model.data, write.status, sends], ["01", "confirmed", 1]);
});

test("S4: seen ids are forgotten after five minutes, and beyond a thousand", async () => {
  const { rig, model } = await text();
  rig.stream.frame(letter(2, "1", { mutationId: "old" }));
  for (let n = 3; n < 1002; n++) rig.stream.frame(letter(n, "", { mutationId: `m${n}` }));
  await settle();
  assert.equal(model.mutate({ data: "x", mutationId: "old" }).status, "confirmed");
  rig.stream.frame(letter(1003, "", { mutationId: "one more" }));
  await settle();
  assert.equal(model.mutate({ data: "x", mutationId: "old" }).status, "pending");
  await pass(301_000, 10_000);
  assert.equal(model.mutate({ data: "x", mutationId: "one more" }).status, "pending");
});

test("S5: a state that contains the write already is not shown with the write twice", async () => {
  let result = { data: "0", cursor: id(1) };
  const { rig, model, told } = await text({ sync: () => result });
  const write = model.mutate({ data: "1" }, () => ({ operationTime: { t: 5, i: 1 } }));
  await write.sent;
  result = { data: "01", cursor: id(6) };
  const synced = model.sync();
  await rig.connected(id(7));
  await synced;
  assert.deepEqual([model.data, write.status], ["01", "confirmed"]);
  assert.ok(!told.includes("011"));
});

test("S6: it heals by itself, however long the back end was away", async () => {
  let broken = true;
  const rig = new Rig();
  const model = rig.model({
    ...letters,
    sync: () => {
      if (broken) throw new Error("down");
      return letters.sync();
    },
  });
  model.sync();
  await pass(3_600_000, 60_000);
  assert.equal(model.state, "syncing");
  broken = false;
  while (!rig.stream) await pass(1000, 100);
  await rig.stream.live();
  assert.equal(model.state, "ready");
});

test("S6: a write that conflicts in a resync is dropped alone; the model becomes ready", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1 }]);
  const write = model.mutate({ key: 1, update: (one) => ({ ...one, x: 1 }) });
  rig.snapshot = { cursor: id(9), documents: [] };
  rig.stream.frame({ type: "resync", channel: "todos:acme", reason: "dropped", cursor: id(8) });
  await settle();
  assert.deepEqual([write.status, model.state, model.data], ["conflict", "ready", []]);
});

test("S7: disposing rejects what waits, and nothing wakes the model again", async () => {
  const { model } = await text();
  const write = model.mutate({ data: "1" });
  model.dispose();
  await assert.rejects(write.confirmed, { code: "disposed" });
  assert.throws(() => model.mutate({ data: "2" }), { code: "disposed" });
  assert.throws(() => model.sync(), { code: "disposed" });
  assert.equal(model.state, "disposed");
});

test("S8: ending a subscription ends it; the first telling has pending writes in it", async () => {
  const { rig, model } = await text();
  model.mutate({ data: "1" });
  const told = [];
  const end = model.subscribe(({ data }) => told.push(data), { immediate: true });
  await settle();
  assert.equal(told[0], "01");
  end();
  rig.stream.frame(letter(2, "2"));
  await settle();
  assert.equal(told.length, 1);
});

test("S9: lost history is never silence", async () => {
  const { rig, model } = await text();
  const reasons = [];
  model.on("resync", (reason) => reasons.push(reason));
  await rig.stream.cut();
  await pass(110);
  rig.stream.ready();
  rig.stream.frame({
    type: "resync",
    channel: "todos:acme",
    reason: "history_lost",
    cursor: id(50),
  });
  await rig.stream.live(id(50));
  await settle();
  assert.deepEqual(reasons, ["history_lost"]);
});

test("S10: fifty messages in a task are one telling and one rebase; a replay is one, too", async () => {
  let merges = 0;
  const { rig, model, told } = await text({
    merge: (state, { data }) => {
      merges += 1;
      return state + data;
    },
  });
  for (let n = 0; n < 10; n++) model.mutate({ data: "p" });
  merges = 0;
  for (let n = 2; n < 52; n++) rig.stream.frame(letter(n, "x"));
  await settle();
  assert.ok(merges <= 60, `${merges} merges`);
  told.length = 0;
  await rig.stream.cut();
  await pass(110);
  rig.stream.ready();
  told.length = 0;
  for (let n = 52; n < 102; n++) {
    rig.stream.frame(letter(n, "x"));
    await settle();
  }
  assert.equal(told.length, 0);
  await rig.stream.live(id(102));
  assert.equal(told.length, 1);
});

test("S11: a disposed model is not given again; of two syncs the later wins, the older is aborted", async () => {
  const { rig, model } = await text();
  model.dispose();
  assert.notEqual(rig.model(letters), model);
});

test("S12: with freeze, a merge in place throws instead of corrupting what is confirmed", async () => {
  const merge = (state, { data }) => {
    state.push(data);
    return state;
  };
  const rig = new Rig({ freeze: true });
  const model = rig.model({ merge, sync: () => ({ data: ["0"], cursor: id(1) }) });
  model.sync();
  await rig.connected();
  const write = model.mutate({ data: "1" });
  await assert.rejects(
    write.confirmed,
    (error) => error.code === "conflict" && error.cause instanceof MergeError,
  );
  assert.deepEqual([model.confirmed, model.data], [["0"], ["0"]]);
});

test("S12: the automatic merges never change a state in place", async () => {
  const rig = new Rig({ freeze: true });
  const { model } = await rig.ready([{ _id: 1, l: [{ x: 1 }] }]);
  const before = structuredClone(model.confirmed);
  const write = model.mutate({ key: 1, patch: [{ op: "replace", path: "/l/0/x", value: 2 }] });
  assert.deepEqual(model.confirmed, before);
  write.cancel();
  assert.deepEqual(model.data, before);
});

test("S13: what is settled is forgotten; an older handler never runs beside a newer one", async () => {
  const { rig, model } = await text();
  for (let n = 2; n < 500; n++) {
    model.mutate({ data: "", mutationId: `m${n}` });
    rig.stream.frame(letter(n, "", { mutationId: `m${n}` }));
  }
  await settle();
  assert.equal(model.pending.length, 0);
  const old = rig.stream;
  await old.cut();
  await pass(110);
  old.frame(letter(900, "ghost"));
  await rig.stream.live(id(500));
  assert.ok(!model.data.includes("ghost"));
});

test("a cursor never passes what has not been applied: pause in the middle of a task", async () => {
  const { rig, model } = await text();
  rig.stream.frame(letter(2, "2"));
  model.pause();
  model.resume();
  await pass(30);
  assert.ok(
    rig.stream.request.since === id(2) ? model.data === "02" : rig.stream.request.since === id(1),
  );
});

test("the state of one cluster never stands under messages of another", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1 }]);
  await rig.stream.cut();
  await pass(110);
  rig.snapshot = { cursor: id(2, OTHER), documents: [{ key: 2, document: { _id: 2 } }] };
  rig.stream.ready();
  rig.stream.tell(
    3,
    { op: "insert", key: 3, mode: "full", document: { _id: 3 } },
    "todos:acme",
    OTHER,
  );
  await pass(30);
  await rig.stream.live(id(3, OTHER));
  assert.deepEqual(model.data, [{ _id: 2 }]);
  assert.equal(rig.stream.request.since, id(2, OTHER));
});

test("package.json, the version constant and the bridge agree", async () => {
  const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
  const { version } = await import("../../bridge/client/index.js");
  assert.equal(version, JSON.parse(read("../../bridge/client/package.json")).version);
  assert.match(read("../../bridge/__init__.py"), new RegExp(`__version__ = "${version}"`));
  assert.ok(collection && at(1));
});
