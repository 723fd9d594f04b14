// Optimistic writes: shown at once, confirmed or rolled back, and never left hanging.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import {
  BridgeError,
  HttpError,
  MergeError,
  MutationError,
  document,
} from "../../bridge/client/index.js";
import { Rig, at, fakeTime, id, letter, letters, pass, realTime, settle, text } from "./rig.js";

beforeEach(fakeTime);
afterEach(realTime);

/** How a promise has ended so far. */
function outcome(promise) {
  const seen = { state: "waits" };
  promise.then(
    (value) => Object.assign(seen, { state: "kept", value }),
    (error) => Object.assign(seen, { state: "broken", error, code: error.code }),
  );
  return seen;
}

const write = (model, data, send, options) =>
  model.mutate({ name: "letter", data, mutationId: `m${data}` }, send, options);

test("a write shows at once, in data but not in confirmed; several in the order of their calls", async () => {
  const { model, told } = await text();
  for (const data of ["1", "2", "3"]) write(model, data);
  assert.deepEqual([model.data, model.confirmed], ["0123", "0"]);
  assert.deepEqual(
    model.pending.map(({ mutationId, status }) => [mutationId, status]),
    [
      ["m1", "pending"],
      ["m2", "pending"],
      ["m3", "pending"],
    ],
  );
  await settle();
  assert.deepEqual(told, ["0123"]);
});

test("ids are made where none is given; bad ones and those in use are refused", async () => {
  const { model } = await text();
  const one = model.mutate({ data: "1" });
  assert.match(one.mutationId, /^[0-9a-f-]{32,36}$/);
  for (const mutationId of [one.mutationId, "", 7, "x".repeat(257)]) {
    assert.throws(
      () => model.mutate({ data: "2", mutationId }),
      (error) => error instanceof BridgeError && error.code === "invalid_argument",
    );
  }
  assert.throws(() => model.mutate(null), { code: "invalid_argument" });
  assert.equal(model.data, "01");
});

test("its message confirms it: the data of the message counts, the others are laid over it", async () => {
  const { rig, model } = await text();
  const one = write(model, "1");
  write(model, "2");
  const confirmed = outcome(one.confirmed);
  rig.stream.frame(letter(5, "ONE", { mutationId: "m1" }));
  await settle();
  assert.deepEqual(
    [model.confirmed, model.data, confirmed.state, one.status],
    ["0ONE", "0ONE2", "kept", "confirmed"],
  );
  assert.equal(model.pending.length, 1);
});

test("confirmations may come in another order, and follow that order", async () => {
  const { rig, model } = await text();
  write(model, "1");
  write(model, "2");
  rig.stream.frame(letter(5, "2", { mutationId: "m2" }));
  await settle();
  assert.deepEqual([model.confirmed, model.data], ["02", "021"]);
  rig.stream.frame(letter(6, "1", { mutationId: "m1" }));
  await settle();
  assert.deepEqual([model.confirmed, model.data], ["021", "021"]);
});

test("somebody else's message goes below the writes that wait", async () => {
  const { rig, model } = await text();
  write(model, "1");
  write(model, "2");
  rig.stream.frame(letter(5, "3"));
  await settle();
  assert.deepEqual([model.confirmed, model.data], ["03", "0312"]);
});

test("a message that rejects: not merged, rolled back, told, with its reason", async () => {
  const { rig, model, told } = await text();
  const one = write(model, "1");
  await settle();
  const confirmed = outcome(one.confirmed);
  rig.stream.frame(letter(5, { why: "no money" }, { mutationId: "m1", rejected: true }));
  await settle();
  assert.deepEqual([model.confirmed, model.data, told], ["0", "0", ["01", "0"]]);
  assert.ok(confirmed.error instanceof MutationError);
  assert.deepEqual(
    [confirmed.code, confirmed.error.mutationId, confirmed.error.reason],
    ["rejected", "m1", { why: "no money" }],
  );
});

test("cancel rolls back at once and rebases the others; after the end it changes nothing", async () => {
  const { rig, model } = await text();
  const [one, two] = [write(model, "1"), write(model, "2"), write(model, "3")];
  const cancelled = outcome(one.confirmed);
  one.cancel();
  assert.equal(model.data, "023");
  await settle();
  assert.deepEqual([cancelled.code, one.status], ["cancelled", "cancelled"]);
  rig.stream.frame(letter(5, "2", { mutationId: "m2" }));
  await settle();
  two.cancel();
  assert.deepEqual([model.data, two.status], ["023", "confirmed"]);
});

test("send gets the id and a signal; what it gives is sent; that it throws rolls back", async () => {
  const { model } = await text();
  let context;
  const one = write(model, "1", (given) => {
    context = given;
    return "answer";
  });
  assert.equal(await one.sent, "answer");
  assert.equal(context.mutationId, "m1");
  assert.equal(one.status, "acknowledged");
  const cause = new Error("refused");
  const two = write(model, "2", () => {
    throw cause;
  });
  const confirmed = outcome(two.confirmed);
  await assert.rejects(two.sent, cause);
  await settle();
  assert.deepEqual([model.data, confirmed.code, confirmed.error.cause], ["01", "rejected", cause]);
  const three = write(model, "3", async () => {
    throw cause;
  });
  assert.equal(model.data, "013");
  await settle();
  assert.deepEqual([model.data, three.status], ["01", "rejected"]);
});

test("an HTTP answer without success rolls back", async () => {
  const { model } = await text();
  const one = write(model, "1", async () => new Response("no", { status: 409 }));
  await assert.rejects(one.sent, (error) => error instanceof HttpError && error.status === 409);
  assert.equal(model.data, "0");
  const two = write(model, "2", async () => new Response("ok"));
  await two.sent;
  assert.equal(two.status, "acknowledged");
});

test("cancel aborts what is being sent", async () => {
  const { model } = await text();
  let signal;
  const one = write(model, "1", (context) => {
    ({ signal } = context);
    return new Promise(() => {});
  });
  one.cancel();
  assert.equal(signal.aborted, true);
});

test("nothing that is not waited for is an unhandled rejection", async () => {
  const unhandled = [];
  const note = (error) => unhandled.push(error);
  process.on("unhandledRejection", note);
  const { rig, model } = await text();
  write(model, "1", () => {
    throw new Error("x");
  });
  write(model, "2", async () => new Response("", { status: 500 }));
  write(model, "3").cancel();
  write(model, "4");
  rig.stream.frame(letter(5, null, { mutationId: "m4", rejected: true }));
  write(model, "5");
  await settle();
  model.dispose();
  await settle();
  process.off("unhandledRejection", note);
  assert.deepEqual(unhandled, []);
});

test("confirmed by its position: a message, a heartbeat, live or a state that has reached it", async () => {
  const reach = {
    message: async (rig) => rig.stream.frame(letter(10, "x")),
    heartbeat: async (rig) => rig.stream.frame({ type: "heartbeat", cursor: id(10) }),
    live: async (rig) => {
      await rig.stream.cut();
      await pass(130);
      await rig.stream.live(id(10));
    },
    state: async (rig, model) => {
      model.sync();
      await rig.connected(id(8));
    },
  };
  for (const [how, go] of Object.entries(reach)) {
    let cursor = id(1);
    const { rig, model } = await text({ sync: () => ({ data: "0", cursor }) });
    const one = write(model, "1", async () => ({ operationTime: { t: 9, i: 1 } }));
    await one.sent;
    rig.stream.frame({ type: "heartbeat", cursor: id(8) });
    await settle();
    assert.equal(one.status, "acknowledged", how);
    cursor = id(10);
    await go(rig, model);
    await settle();
    assert.equal(one.status, "confirmed", how);
    assert.equal(model.data, how === "message" ? "0x" : "0", how);
  }
});

test("positions are found in the answer, or by a function; one that is reached already confirms at once", async () => {
  const { rig, model } = await text();
  rig.stream.frame({ type: "heartbeat", cursor: id(8) });
  for (const [answer, options] of [
    [{ position: at(7) }],
    [{ position: id(7) }],
    [{ operationTime: "0000000700000001" }],
    [{ deep: at(7) }, { position: ({ deep }) => deep }],
  ]) {
    const one = model.mutate({ data: "1" }, () => answer, options);
    await one.sent;
    assert.equal(one.status, "confirmed");
  }
  const none = model.mutate({ data: "1" }, () => ({ operationTime: null }));
  await none.sent;
  assert.equal(none.status, "acknowledged");
});

test("a state confirms the writes that it says it contains, in the same telling", async () => {
  let result = { data: "0", cursor: id(1) };
  const { rig, model, told } = await text({ sync: () => result });
  const one = write(model, "1");
  write(model, "2");
  await settle();
  told.length = 0;
  result = { data: "01", cursor: id(5), mutationIds: ["m1"] };
  const synced = model.sync();
  await rig.connected(id(6));
  await synced;
  assert.deepEqual([one.status, model.data], ["confirmed", "012"]);
  assert.ok(
    told.every((data) => data === "012"),
    told.join(),
  );
});

test("sync is told which writes wait; they survive it and are laid over the new state", async () => {
  let asked;
  let data = "0";
  const { rig, model } = await text({
    sync: ({ pending }) => {
      asked = pending;
      return { data, cursor: id(1) };
    },
  });
  write(model, "1");
  data = "fresh";
  const synced = model.sync();
  await rig.connected();
  await synced;
  assert.deepEqual([asked, model.confirmed, model.data], [["m1"], "fresh", "fresh1"]);
});

test("not acknowledged in time: rolled back; only time on a live connection counts", async () => {
  const { rig, model } = await text();
  const one = write(model, "1", () => new Promise(() => {}));
  const confirmed = outcome(one.confirmed);
  await pass(20_000, 1000);
  await rig.stream.cut();
  await pass(60_000, 1000);
  assert.equal(one.status, "pending");
  await rig.stream.live();
  await pass(9_000, 1000);
  assert.equal(one.status, "pending");
  await pass(2_000, 1000);
  assert.deepEqual([confirmed.code, model.data], ["timeout", "0"]);
});

test("options beat the model's spec, which beats 30 seconds", async () => {
  const { model } = await text({ timeout: 5000 });
  const one = write(model, "1");
  const two = write(model, "2", undefined, { timeout: 1000 });
  await pass(1100, 100);
  assert.deepEqual([one.status, two.status, model.data], ["pending", "timeout", "01"]);
  await pass(4000, 100);
  assert.equal(one.status, "timeout");
});

test("acknowledged but never seen: never rolled back; the state is fetched, and it is in there", async () => {
  const reasons = [];
  const { rig, model, told } = await text({
    sync: ({ reason }) => {
      reasons.push(reason);
      return { data: reasons.length > 1 ? "01" : "0", cursor: id(1) };
    },
  });
  const one = write(model, "1", () => "done");
  await pass(31_000, 1000);
  await rig.connected();
  await settle();
  assert.deepEqual([reasons, one.status, model.data], [["initial", "timeout"], "confirmed", "01"]);
  assert.ok(!told.includes("0"), `never rolled back: ${told}`);
});

test("acknowledged at a position that is not reached yet: waits on", async () => {
  const { rig, model } = await text();
  const one = write(model, "1", () => ({ position: at(90) }));
  await pass(31_000, 1000);
  await rig.connected();
  await settle();
  assert.deepEqual([one.status, model.data], ["acknowledged", "01"]);
  rig.stream.frame({ type: "heartbeat", cursor: id(91) });
  assert.equal(one.status, "confirmed");
});

test("a change that does not fit is a conflict: nothing is sent, the others stay", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1, n: 1 }]);
  let sends = 0;
  const lost = model.mutate({ key: 9, update: (one) => one }, () => {
    sends += 1;
  });
  const fits = model.mutate({ key: 1, update: (one) => ({ ...one, n: 2 }) }, () => {
    sends += 1;
  });
  const confirmed = outcome(lost.confirmed);
  await settle();
  assert.deepEqual(
    [lost.status, confirmed.code, fits.status, sends, model.state],
    ["conflict", "conflict", "acknowledged", 1, "ready"],
  );
  await assert.rejects(lost.sent, { code: "conflict" });
  assert.deepEqual(model.data, [{ _id: 1, n: 2 }]);
});

test("a change that gives no document is a conflict, and nothing of it is shown", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1, n: 1 }]);
  const forgetful = (one) => void { ...one, n: 2 };
  for (const change of [{ key: 1 }, { key: 1, udpate: forgetful }, { key: 1, update: forgetful }]) {
    const confirmed = outcome(model.mutate(change, () => assert.fail("sent")).confirmed);
    await settle();
    assert.deepEqual([confirmed.code, model.data], ["conflict", [{ _id: 1, n: 1 }]]);
    assert.match(confirmed.error.cause.message, /expected a document/);
  }
});

test("a merge function that throws for a write says so as the cause; no resync", async () => {
  const { rig, model } = await text({
    merge: (state, { data }) => {
      if (data === "x") throw new Error("bad");
      return state + data;
    },
  });
  write(model, "1");
  const bad = write(model, "x");
  const confirmed = outcome(bad.confirmed);
  await settle();
  assert.ok(confirmed.error.cause instanceof MergeError);
  assert.deepEqual([model.data, model.state, rig.streams.length], ["01", "ready", 1]);
});

test("a write that does not fit any more is dropped alone", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1 }, { _id: 2 }]);
  const gone = model.mutate({ key: 1, update: (one) => ({ ...one, mine: true }) });
  const stays = model.mutate({ key: 2, update: (one) => ({ ...one, mine: true }) });
  const confirmed = outcome(gone.confirmed);
  rig.stream.tell(5, { op: "delete", key: 1 });
  await settle();
  assert.deepEqual(
    [confirmed.code, stays.status, model.data],
    ["conflict", "pending", [{ _id: 2, mine: true }]],
  );
});

/** Writes of one name, and what becomes of each. */
async function queue() {
  const { rig, model } = await text();
  const order = [];
  const answers = {};
  const send = (name) => () => {
    order.push(name);
    return new Promise((resolve, reject) => {
      answers[name] = { resolve, reject };
    });
  };
  const serial = (data, name = "s") => write(model, data, send(data), { serial: name });
  return { rig, model, order, answers, serial };
}

test("serial: one by one, waiting for sent and not for confirmed", async () => {
  const { model, order, answers, serial } = await queue();
  const one = serial("1");
  serial("2");
  serial("3");
  serial("4", "other");
  await settle();
  assert.deepEqual([order, model.data], [["1", "4"], "01234"]);
  answers[1].resolve();
  await settle();
  assert.deepEqual([order, one.status], [["1", "4", "2"], "acknowledged"]);
});

test("serial: what waits behind a write that fails goes with it, unsent, with its reason", async () => {
  for (const fail of [
    ({ answers }) => answers[2].reject("no"),
    ({ model }) => model.reject("m2", "no"),
  ]) {
    const all = await queue();
    const { model, order, answers, serial } = all;
    const [one, two, three, other] = [serial("1"), serial("2"), serial("3"), serial("4", "other")];
    const [failed, gone] = [outcome(two.confirmed), outcome(three.confirmed)];
    const unsent = outcome(three.sent);
    await settle();
    answers[1].resolve();
    await settle();
    fail(all);
    answers[2].reject("no");
    await settle();
    assert.deepEqual(order, ["1", "4", "2"]);
    assert.deepEqual([one.status, other.status, model.data], ["acknowledged", "pending", "014"]);
    assert.deepEqual([failed.code, failed.error.reason], ["rejected", "no"]);
    assert.deepEqual([gone.code, gone.error.reason], ["cancelled", "no"]);
    assert.equal(gone.error.cause, failed.error);
    assert.equal(unsent.error, gone.error);
    const next = serial("5");
    await settle();
    assert.deepEqual([next.status, order.at(-1), model.data], ["pending", "5", "0145"]);
  }
});

test("serial: a timeout takes what waits with it; cancel() takes nothing", async () => {
  const { model, order, serial, answers } = await queue();
  const [one, two] = [serial("1"), serial("2")];
  await settle();
  one.cancel();
  assert.deepEqual([two.status, model.data], ["pending", "02"]);
  answers[1].resolve();
  await settle();
  assert.deepEqual(order, ["1", "2"]);
  const three = serial("3");
  await pass(31_000, 1000);
  assert.deepEqual([two.status, three.status, model.data], ["timeout", "cancelled", "0"]);
});

test("serial: a write that was made after an acknowledged one stays when that is confirmed", async () => {
  const { rig, model, answers, serial } = await queue();
  const [one, two] = [serial("1"), serial("2")];
  await settle();
  rig.stream.frame(letter(5, "1", { mutationId: "m1" }));
  await settle();
  answers[1].reject(new Error("the answer was cut off"));
  await settle();
  assert.deepEqual([one.status, two.status, model.data], ["confirmed", "pending", "012"]);
});

test("a write in a queue that is cancelled is never sent", async () => {
  const { model } = await text();
  let sends = 0;
  write(model, "1", () => new Promise((resolve) => setTimeout(resolve, 50)), { serial: "s" });
  write(
    model,
    "2",
    () => {
      sends += 1;
    },
    { serial: "s" },
  ).cancel();
  await pass(100);
  assert.equal(sends, 0);
});

test("confirm decides where mutation ids do not travel", async () => {
  const { rig, model } = await text({ confirm: ({ event }, { data }) => event.data === data });
  const one = write(model, "1");
  rig.stream.frame(letter(5, "1"));
  await settle();
  assert.deepEqual([one.status, model.data], ["confirmed", "01"]);
});

test("writes before the state is there wait for it", async () => {
  const rig = new Rig();
  const model = rig.model(letters);
  const one = write(model, "1", () => "sent");
  assert.deepEqual([model.data, model.state], [undefined, "syncing"]);
  assert.equal(await one.sent, "sent");
  await rig.connected();
  assert.equal(model.data, "01");
});

test("statuses are told as they change", async () => {
  const { rig, model } = await text();
  const seen = [];
  model.on("mutation", ({ mutationId, status }) => seen.push(`${mutationId} ${status}`));
  write(model, "1", () => "ok");
  await settle();
  rig.stream.frame(letter(5, "1", { mutationId: "m1" }));
  await settle();
  assert.deepEqual(seen, ["m1 pending", "m1 acknowledged", "m1 confirmed"]);
});

test("disposing rejects what waits, with disposed", async () => {
  const { model } = await text();
  const one = outcome(write(model, "1").confirmed);
  model.dispose();
  await settle();
  assert.equal(one.code, "disposed");
});

// Why a write was rolled back.

test("reason: what the change, the merge or send threw, and what the back end answered", async () => {
  const why = new Error("version 3 is there");
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1 }]);
  const fail = () => {
    throw why;
  };
  const problem = { title: "Full", status: 409, detail: "The board is full" };
  const json = () => Response.json(problem, { status: 409 });
  const plain = () => new Response("<h1>no</h1>", { status: 502 });
  const update = (one) => one;
  const cases = [
    [model.mutate({ key: 1, update: fail }), (reason) => reason === why],
    [model.mutate({ key: 1, update }, fail), (reason) => reason === why],
    [model.mutate({ key: 1, update }, json), (reason) => reason.detail === problem.detail],
    [model.mutate({ key: 1, update }, plain), (reason) => reason.status === 502],
    [model.mutate({ key: 9, update }), (reason) => reason.code === "history_lost"],
    [
      model.mutate({ key: 1, patch: [{ op: "remove", path: "/x" }] }),
      (reason) => reason.code === "patch",
    ],
  ];
  for (const [{ confirmed }, fits] of cases) {
    await assert.rejects(
      confirmed,
      (error) => error instanceof MutationError && fits(error.reason),
    );
  }
  const cancelled = model.mutate({ key: 1, update });
  cancelled.cancel();
  await assert.rejects(cancelled.confirmed, ({ reason }) => reason === undefined);
});

// Refusals that come elsewhere.

const refusal = (n, mutationId, channel) =>
  letter(n, { why: "no money" }, { mutationId, channel, rejected: true });

test("an event with rejected rolls a write back, on whichever channel it comes", async () => {
  const { rig, model } = await text();
  rig.bridge.subscribe("outbox:me", {});
  await rig.connected();
  const [one, two] = [write(model, "1"), write(model, "2", () => "accepted")];
  const rejected = outcome(two.confirmed);
  await two.sent;
  rig.stream.frame({ ...refusal(5, "m2", "outbox:me"), type: "event" });
  await settle();
  assert.deepEqual([one.status, model.data, rejected.code], ["pending", "01", "rejected"]);
  assert.deepEqual(rejected.error.reason, { why: "no money" });
});

test("a refusal counts at once, also on a channel whose state is being fetched", async () => {
  const { rig, model } = await text();
  let answer;
  const sync = () => new Promise((resolve) => (answer = resolve));
  const other = rig.bridge.model({ ...letters, channel: "outbox:me", sync });
  other.sync();
  await settle();
  answer({ data: "", cursor: id(1) });
  await rig.connected();
  other.sync();
  await settle();
  const one = write(model, "1");
  rig.stream.frame(refusal(5, "m1", "outbox:me"));
  await settle();
  assert.deepEqual([one.status, model.data], ["rejected", "0"]);
  answer({ data: "", cursor: id(9) });
  await settle();
  assert.equal(other.state, "ready");
});

test("a message on another channel confirms nothing: the model's state does not contain it", async () => {
  const { rig, model } = await text();
  rig.bridge.subscribe("outbox:me", {});
  await rig.connected();
  const one = write(model, "1");
  rig.stream.frame(letter(5, "x", { mutationId: "m1", channel: "outbox:me" }));
  await settle();
  assert.equal(one.status, "pending");
});

test("model.reject() is for what is heard elsewhere", async () => {
  const { model } = await text();
  const one = write(model, "1");
  const rejected = outcome(one.confirmed);
  model.reject("m9", "nothing");
  model.reject("m1", "no");
  await settle();
  assert.deepEqual([model.data, rejected.code, rejected.error.reason], ["0", "rejected", "no"]);
});

// Deletes: their message has the id of the write before them.

test("a delete is confirmed by what takes its document away, whoever did it", async () => {
  for (const op of ["delete", "leave"]) {
    const rig = new Rig();
    const { model } = await rig.ready([{ _id: 1 }, { _id: 2 }]);
    const twice = [1, 1].map((key) => model.mutate({ op: "delete", key }));
    const other = model.mutate({ op: "delete", key: 2 });
    rig.stream.tell(5, { op, key: 1, mutationId: "a stranger's" });
    await settle();
    assert.deepEqual(
      [...twice.map(({ status }) => status), other.status, model.confirmed],
      ["confirmed", "confirmed", "pending", [{ _id: 2 }]],
    );
  }
});

test("a delete that repeats the id of an earlier write: both are in the state", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1 }]);
  const update = (one) => ({ ...one, x: 1 });
  const earlier = model.mutate({ key: 1, update, mutationId: "m1" }, () => "ok");
  const gone = model.mutate({ op: "delete", key: 1 });
  const later = model.mutate({ document: { _id: 1, again: true }, mutationId: "m3" });
  await earlier.sent;
  // Conflation leaves out the message of the earlier write.
  rig.stream.tell(5, { op: "delete", key: 1, mutationId: "m1" });
  await settle();
  assert.deepEqual(
    [earlier.status, gone.status, later.status, model.data],
    ["confirmed", "confirmed", "pending", [{ _id: 1, again: true }]],
  );
});

test("a stranger's delete: a change of the document conflicts, with an id of its own or not", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1 }]);
  const change = model.mutate({ key: 1, update: (one) => ({ ...one, x: 1 }) });
  rig.stream.tell(5, { op: "delete", key: 1, mutationId: "the stranger's last" });
  await settle();
  assert.equal(change.status, "conflict");
});

test("deletes of document(): of its own key, and no other", async () => {
  for (const [key, status] of [
    [1, "confirmed"],
    [2, "pending"],
  ]) {
    const rig = new Rig();
    const { model } = await rig.ready([{ _id: 1 }], { merge: document({ key: 1 }) });
    const write = model.mutate({ op: "delete", key: 1 });
    rig.stream.tell(5, { op: "delete", key });
    await settle();
    assert.equal(write.status, status);
  }
});

// What must not undo a write that the database has.

test("an answer whose position is none is an answer all the same", async () => {
  const reported = [];
  globalThis.reportError = (error) => reported.push(error);
  const { model } = await text();
  const fields = write(model, "1", () => ({ position: 4, title: "fourth in its list" }));
  const own = write(model, "2", () => ({}), { position: () => "not a position" });
  await Promise.all([fields.sent, own.sent]);
  delete globalThis.reportError;
  assert.deepEqual(
    [fields.status, own.status, model.data],
    ["acknowledged", "acknowledged", "012"],
  );
  assert.deepEqual(
    reported.map(({ code }) => code),
    ["invalid_argument"],
  );
});

test("a confirm that throws is reported, and no message is missing for it", async () => {
  const reported = [];
  globalThis.reportError = (error) => reported.push(error);
  const { rig, model } = await text({ confirm: (_, { headers }) => headers.id === 1 });
  write(model, "1");
  rig.stream.frame(letter(5, "x"));
  await settle();
  delete globalThis.reportError;
  assert.deepEqual([model.confirmed, model.data, reported.length], ["0x", "0x1", 1]);
});

test("a write whose state cannot be fetched does not wake an errored model again and again", async () => {
  let fetches = 0;
  const { model } = await text({
    sync: () => {
      fetches += 1;
      return fetches > 1 ? "wrong" : { data: "0", cursor: id(1) };
    },
  });
  write(model, "1", () => "ok");
  await pass(200_000, 5000);
  assert.deepEqual([model.state, fetches], ["errored", 2]);
});
