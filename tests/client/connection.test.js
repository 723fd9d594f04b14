// The one connection: opened for all, watched, opened again, and what it does when it is refused.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import {
  AuthError,
  BridgeError,
  HttpError,
  backoff,
  collection,
  connect,
} from "../../bridge/client/index.js";
import { OTHER, Rig, TAG, fakeTime, id, pass, problem, realTime, settle } from "./rig.js";

beforeEach(fakeTime);
afterEach(realTime);

/** Follows a channel, and notes what it is told. */
function follow(rig, channel, since) {
  const told = [];
  const subscription = rig.bridge.subscribe(
    channel,
    {
      messages: (messages, { replay }) =>
        told.push(
          ...messages.map(({ id: each }) => parseInt(each.slice(9, 17), 16)),
          replay && "replay",
        ),
      live: () => told.push("live"),
      stale: () => told.push("stale"),
      resync: (reason) => told.push(`resync ${reason}`),
      error: (error) => told.push(error),
    },
    { since },
  );
  return { subscription, told: () => told.filter(Boolean) };
}

const states = (rig) => {
  const seen = [];
  rig.bridge.onStatus(({ state }) => seen.push(state));
  return seen;
};

test("connect needs an address, and a transport that there is", () => {
  for (const options of [
    undefined,
    {},
    { url: "" },
    { url: "no address" },
    { url: "https://x", transport: "pigeon" },
  ]) {
    assert.throws(
      () => connect(options),
      (error) => error instanceof BridgeError && error.code === "invalid_argument",
    );
  }
  assert.equal(connect({ url: new URL("https://x/path/") }).status.state, "idle");
});

test("all channels share one stream; what changes within 20 ms opens one", async () => {
  const rig = new Rig();
  follow(rig, "a");
  await pass(10);
  follow(rig, "b");
  await pass(40);
  assert.deepEqual(
    rig.streams.map(({ channels }) => channels),
    [["a", "b"]],
  );
});

test("a channel that is added: the new stream is open before the old one is closed; nothing twice, nothing lost", async () => {
  const rig = new Rig();
  const one = follow(rig, "a", id(1));
  await rig.connected();
  rig.stream.tell(2, { op: "delete", key: 1 }, "a");
  await settle();
  const two = follow(rig, "b", id(1, OTHER));
  await pass(30);
  const [old, fresh] = rig.streams;
  assert.equal(fresh.request.since, `${id(2)}.${id(1, OTHER)}`);
  old.tell(3, { op: "delete", key: 1 }, "a");
  fresh.ready();
  fresh.tell(3, { op: "delete", key: 1 }, "a");
  fresh.tell(2, { op: "delete", key: 1 }, "b", OTHER);
  old.tell(4, { op: "delete", key: 1 }, "a");
  await settle();
  assert.deepEqual([old.closed, rig.bridge.status.state], [false, "open"]);
  await fresh.live(`${id(4)}.${id(2, OTHER)}`);
  assert.equal(old.closed, true);
  old.tell(5, { op: "delete", key: 1 }, "a");
  fresh.tell(4, { op: "delete", key: 1 }, "a");
  fresh.tell(6, { op: "delete", key: 1 }, "a");
  await settle();
  assert.deepEqual(one.told().filter(Number), [2, 3, 4, 6]);
  assert.deepEqual(two.told().filter(Number), [2]);
});

test("a channel that is given up is left out; without any, the connection is let go", async () => {
  const rig = new Rig();
  const { subscription: a } = follow(rig, "a", id(1));
  const { subscription: b } = follow(rig, "b", id(1));
  await rig.connected();
  a.close();
  await pass(30);
  assert.deepEqual(rig.stream.channels, ["b"]);
  await rig.stream.live();
  b.close();
  await pass(30);
  assert.deepEqual([rig.open.length, rig.bridge.status.state], [0, "idle"]);
});

test("after a break it goes on from what came last, of each channel and watcher", async () => {
  const rig = new Rig();
  const one = follow(rig, "a", id(1));
  follow(rig, "b", id(1));
  follow(rig, "c", id(3, OTHER));
  await rig.connected(`${id(1)}.${id(3, OTHER)}`);
  rig.stream.tell(7, { op: "delete", key: 1 }, "a");
  await settle();
  await rig.stream.cut();
  assert.equal(rig.bridge.status.state, "waiting");
  await pass(110);
  assert.equal(rig.stream.request.since, `${id(1)}.${id(3, OTHER)}`, "the lowest of each watcher");
  rig.stream.ready();
  rig.stream.tell(7, { op: "delete", key: 1 }, "a");
  rig.stream.tell(8, { op: "delete", key: 1 }, "a");
  await rig.stream.live(`${id(8)}.${id(9, OTHER)}`);
  assert.deepEqual(one.told(), ["live", 7, "stale", 8, "replay", "live"]);
  await rig.stream.cut();
  await pass(110);
  assert.equal(rig.stream.request.since, `${id(8)}.${id(9, OTHER)}`);
});

test("a heartbeat moves a quiet channel's cursor; a bare cursor stands for every watcher until then", async () => {
  const rig = new Rig();
  follow(rig, "a", "0000000500000001");
  follow(rig, "b", id(9, OTHER));
  await pass(30);
  assert.equal(rig.stream.request.since, "0000000500000001ffffff");
  rig.stream.ready();
  rig.stream.frame({ type: "heartbeat", cursor: `${id(20)}.${id(20, OTHER)}` });
  await rig.stream.cut();
  await pass(110);
  assert.equal(rig.stream.request.since, `${id(20)}.${id(20, OTHER)}`);
});

test("without a cursor it begins at live; resync of a watcher that it never followed is no loss", async () => {
  const rig = new Rig();
  const known = follow(rig, "a", id(5));
  const fresh = follow(rig, "b");
  await pass(30);
  rig.stream.ready();
  rig.stream.frame({
    type: "resync",
    channel: "b",
    reason: "unknown_cursor",
    cursor: `${id(5)}.${id(7, OTHER)}`,
  });
  rig.stream.tell(8, { op: "delete", key: 1 }, "b", OTHER);
  await rig.stream.live(`${id(8)}.${id(8, OTHER)}`);
  assert.deepEqual([known.told(), fresh.told()], [["live"], [8, "replay", "live"]]);
});

test("a raw subscriber is told of a loss, and goes on after it", async () => {
  const rig = new Rig();
  const { told, subscription } = follow(rig, "a", id(1));
  await rig.connected();
  rig.stream.tell(2, { op: "delete", key: 1 }, "a");
  rig.stream.frame({ type: "resync", channel: "a", reason: "slow_consumer", cursor: id(9) });
  rig.stream.tell(8, { op: "delete", key: 1 }, "a");
  rig.stream.tell(10, { op: "delete", key: 1 }, "a");
  await settle();
  assert.deepEqual(told(), ["live", 2, "resync slow_consumer", 10]);
  assert.equal(subscription.cursor, id(10));
});

test("events and fields that are not known are ignored; a frame that is none ends the stream", async () => {
  const rig = new Rig();
  const { told } = follow(rig, "a", id(1));
  await rig.connected();
  rig.stream.frame({ type: "weather", sun: true });
  rig.stream.frame({ type: "snapshot", channel: "a", documents: [], more: false });
  rig.stream.tell(2, { op: "delete", key: 1, novelty: { x: 1 } }, "a");
  rig.stream.tell(2, { op: "delete", key: 1 }, "not followed");
  await settle();
  assert.deepEqual(told(), ["live", 2]);
  rig.stream.frame("nonsense");
  assert.deepEqual(
    [rig.bridge.status.state, rig.bridge.status.error.code],
    ["waiting", "protocol"],
  );
});

test("silence for two and a half heartbeats is the end of a stream; anything at all is life", async () => {
  const rig = new Rig();
  follow(rig, "a", id(1));
  await rig.connected();
  rig.stream.ready(10);
  await pass(24_000, 1000);
  rig.stream.sink.alive();
  await pass(24_000, 1000);
  assert.equal(rig.open.length, 1);
  await pass(2_000, 100);
  assert.deepEqual([rig.streams[0].closed, rig.streams.length], [true, 2]);
});

test("a stream that does not become ready in 30 s is given up", async () => {
  const rig = new Rig();
  follow(rig, "a");
  await pass(33_000, 1000);
  assert.equal(rig.streams.length, 2);
});

test("waits grow with failures in a row, and begin anew after ten good seconds", async () => {
  const attempts = [];
  const rig = new Rig({
    retry: (attempt) => {
      attempts.push(attempt);
      return 10;
    },
  });
  follow(rig, "a", id(1));
  await pass(30);
  for (let n = 0; n < 3; n++) {
    await rig.stream.live();
    await rig.stream.cut();
    await pass(20);
  }
  await rig.stream.live();
  await pass(11_000, 1000);
  await rig.stream.cut();
  assert.deepEqual(attempts, [1, 2, 3, 1]);
});

test("the server's retry, Retry-After and a goodbye's delay are the least it waits", async () => {
  for (const [floor, act] of [
    [
      3000,
      (stream) => {
        stream.sink.retry(3000);
        return stream.cut();
      },
    ],
    [4000, (stream) => stream.cut(new HttpError(429, "full", { retryAfter: 4000 }))],
    [
      2500,
      (stream) => {
        stream.frame({ type: "bye", code: "shutdown", reconnect: true, delay: 2500 });
        return stream.cut();
      },
    ],
  ]) {
    const rig = new Rig({ retry: () => 5 });
    follow(rig, "a", id(1));
    await rig.connected();
    await act(rig.stream);
    assert.ok(rig.bridge.status.retryAt - Date.now() >= floor - 50);
    await pass(floor - 100, 100);
    assert.equal(rig.streams.length, 1);
    await pass(200);
    assert.equal(rig.streams.length, 2);
  }
});

test("the default waits between 0 and 0.5 s first", () => {
  assert.ok(backoff()(1) <= 500);
});

test("a strategy that gives up: errored, every follower is told; resume tries again", async () => {
  const rig = new Rig({ retry: () => null });
  const { told } = follow(rig, "a", id(1));
  await rig.connected();
  await rig.stream.cut(new BridgeError("connection", "gone", { retryable: true }));
  assert.equal(rig.bridge.status.state, "errored");
  assert.ok(told().at(-1) instanceof BridgeError);
  await pass(60_000, 10_000);
  assert.equal(rig.streams.length, 1);
  rig.bridge.resume();
  await rig.connected();
  assert.equal(rig.bridge.status.state, "open");
});

test("the token is asked for before each connection, also after token_expired", async () => {
  let asked = 0;
  const rig = new Rig({ token: async () => `token ${++asked}` });
  follow(rig, "a", id(1));
  await rig.connected();
  assert.equal(rig.stream.request.token, "token 1");
  rig.stream.frame({ type: "bye", code: "token_expired", reconnect: true, delay: 50 });
  await rig.stream.cut();
  await pass(120);
  assert.equal(rig.stream.request.token, "token 2");
});

test("401: another token once, at once; then an AuthError and rest, until resume", async () => {
  let asked = 0;
  const rig = new Rig({ token: () => `token ${++asked}` });
  const { told } = follow(rig, "a", id(1));
  await pass(30);
  await rig.stream.cut(new AuthError(401, "expired"));
  assert.equal(rig.streams.length, 2);
  await rig.stream.cut(new AuthError(401, "still"));
  await pass(60_000, 10_000);
  assert.deepEqual([rig.bridge.status.state, rig.streams.length, asked], ["errored", 2, 2]);
  assert.ok(told().at(-1) instanceof AuthError);
  rig.bridge.resume();
  await rig.connected();
  assert.equal(rig.bridge.status.state, "open");
  await rig.stream.cut(new AuthError(401, "expired again"));
  assert.equal(rig.streams.length, 4, "a stream that was good earns another try");
});

test("401 without a callback is final at once", async () => {
  const rig = new Rig({ token: "fixed" });
  follow(rig, "a", id(1));
  await pass(30);
  await rig.stream.cut(new AuthError(401, "no"));
  assert.deepEqual([rig.bridge.status.state, rig.streams.length], ["errored", 1]);
});

test("a token callback that fails is asked again later", async () => {
  let calls = 0;
  const rig = new Rig({
    token: async () => {
      if (++calls === 1) throw new Error("offline");
      return "t";
    },
  });
  follow(rig, "a", id(1));
  await pass(30);
  assert.deepEqual([rig.bridge.status.state, rig.bridge.status.error.code], ["waiting", "auth"]);
  await pass(110);
  assert.equal(rig.streams.length, 1);
});

test("a refused channel that the answer names is given up alone", async () => {
  const rig = new Rig();
  const bad = follow(rig, "bad", id(1));
  const good = follow(rig, "good", id(1));
  await pass(30);
  await rig.stream.cut(
    new HttpError(404, "no such channel", { problem: { code: "unknown_channel", channel: "bad" } }),
  );
  await pass(30);
  assert.deepEqual(rig.stream.channels, ["good"]);
  await rig.stream.live();
  assert.equal(bad.told()[0].status, 404);
  assert.deepEqual(good.told(), ["live"]);
});

test("a cursor that is none makes every channel begin again", async () => {
  const rig = new Rig();
  const { told } = follow(rig, "a", id(1));
  await pass(30);
  await rig.stream.cut(new HttpError(400, "ahead", { problem: { code: "bad_cursor" } }));
  await pass(30);
  assert.deepEqual(told(), ["resync unknown_cursor"]);
  assert.equal(rig.stream.request.since, undefined);
});

test("a request that cannot work is not repeated", async () => {
  const rig = new Rig();
  follow(rig, "a");
  await pass(30);
  await rig.stream.cut(
    new HttpError(400, "too many channels", { problem: { code: "bad_request" } }),
  );
  await pass(60_000, 10_000);
  assert.deepEqual([rig.bridge.status.state, rig.streams.length], ["errored", 1]);
});

test("a goodbye for good is final, whatever the token", async () => {
  const rig = new Rig({ token: () => "T" });
  const { told } = follow(rig, "a", id(1));
  await rig.connected();
  rig.stream.frame({ type: "bye", code: "forbidden", reconnect: false });
  await rig.stream.cut();
  assert.ok(told().at(-1) instanceof AuthError);
  assert.equal(rig.bridge.status.state, "errored");
});

test("pause lets go, resume goes on from there; status tells each step", async () => {
  const rig = new Rig();
  const seen = states(rig);
  follow(rig, "a", id(1));
  await rig.connected();
  rig.stream.tell(5, { op: "delete", key: 1 }, "a");
  await settle();
  rig.bridge.pause();
  await pass(5000, 1000);
  assert.deepEqual([rig.open.length, rig.streams.length], [0, 1]);
  rig.bridge.resume();
  await pass(30);
  assert.equal(rig.stream.request.since, id(5));
  await rig.stream.live(id(6));
  assert.deepEqual(seen, ["connecting", "open", "paused", "connecting", "open"]);
  const { status } = rig.bridge;
  assert.equal(rig.bridge.status, status);
});

test("resume ends a wait", async () => {
  const rig = new Rig({ retry: () => 1_000_000 });
  follow(rig, "a", id(1));
  await rig.connected();
  await rig.stream.cut();
  rig.bridge.resume();
  await settle();
  assert.equal(rig.streams.length, 2);
});

test("close is for good, and disposes the models", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  rig.bridge.close();
  assert.deepEqual(
    [model.state, rig.open.length, rig.bridge.status.state],
    ["disposed", 0, "closed"],
  );
  for (const call of [
    () => rig.model(),
    () => rig.bridge.subscribe("a", {}),
    () => rig.bridge.resume(),
  ]) {
    assert.throws(call, { code: "disposed" });
  }
  await pass(60_000, 10_000);
  assert.equal(rig.streams.length, 1);
});

test("two followers of one channel each get what comes after their own cursor", async () => {
  const rig = new Rig();
  const early = follow(rig, "a", id(1));
  const late = follow(rig, "a", id(5));
  await pass(30);
  assert.deepEqual([rig.stream.channels, rig.stream.request.since], [["a"], id(1)]);
  rig.stream.ready();
  for (const n of [3, 5, 7]) rig.stream.tell(n, { op: "delete", key: 1 }, "a");
  await rig.stream.live(id(8));
  assert.deepEqual([early.told().filter(Number), late.told().filter(Number)], [[3, 5, 7], [7]]);
});

test("models share the connection, and what refuses one leaves the others", async () => {
  const rig = new Rig();
  const { model } = await rig.ready();
  const other = rig.bridge.model({ channel: "secret", merge: collection() });
  rig.snapshots = [problem(403, "forbidden")];
  const refused = assert.rejects(other.sync(), AuthError);
  await pass(30);
  await refused;
  assert.deepEqual([other.state, other.error.status, model.state], ["errored", 403, "ready"]);
  rig.bridge.resume();
  await pass(30);
  await rig.stream.live();
  assert.equal(other.state, "ready");
});

test("snapshots ask with the token, and for another one once", async () => {
  let asked = 0;
  const rig = new Rig({ token: () => `token ${++asked}` });
  rig.snapshots = [problem(401, "unauthorized")];
  rig.model().sync();
  await rig.connected();
  assert.deepEqual(
    rig.asked.map(({ headers }) => headers.Authorization),
    ["Bearer token 1", "Bearer token 2"],
  );
});

test("the tag and the order of parts of a composed cursor are those of the protocol", async () => {
  const rig = new Rig();
  follow(rig, "a", `${id(4)}.${id(6, OTHER)}`);
  await pass(30);
  assert.equal(rig.stream.request.since, `${TAG}-${id(4).slice(9)}.${OTHER}-${id(6).slice(9)}`);
});

test("a stream that is refused because of what was added leaves those who are served", async () => {
  const rig = new Rig();
  const old = follow(rig, "a", id(1));
  await rig.connected();
  const one_too_many = follow(rig, "b", id(1));
  await pass(30);
  await rig.stream.cut(
    new HttpError(400, "at most 1 channel", { problem: { code: "bad_request" } }),
  );
  assert.equal(one_too_many.told()[0].status, 400);
  rig.streams[0].tell(5, { op: "delete", key: 1 }, "a");
  await settle();
  assert.deepEqual(
    [old.told(), rig.open.length, rig.bridge.status.state],
    [["live", 5], 1, "open"],
  );
});

test("a channel that is given up while the token is fetched opens no stream without channels", async () => {
  let answer;
  const rig = new Rig({ token: () => new Promise((resolve) => (answer = resolve)) });
  const { subscription } = follow(rig, "a");
  await pass(30);
  subscription.close();
  answer("T");
  await settle();
  assert.equal(rig.streams.length, 0);
  await pass(30);
  assert.equal(rig.bridge.status.state, "idle");
  follow(rig, "b");
  await pass(30);
  answer("T");
  await settle();
  assert.deepEqual(rig.stream.channels, ["b"]);
});

test("a transport that this platform does not have says so", async () => {
  const rig = new Rig({ transport: "eventsource" });
  const { told } = follow(rig, "a");
  while (!told().length) await pass(30);
  assert.deepEqual([told()[0].code, rig.bridge.status.state], ["invalid_argument", "errored"]);
});

test("from now is from live: what another channel's replay brings with it does not count", async () => {
  const rig = new Rig();
  follow(rig, "a", "0000000100000001");
  const fresh = follow(rig, "b");
  await pass(30);
  rig.stream.ready();
  rig.stream.frame({ type: "heartbeat", cursor: id(3) });
  rig.stream.tell(4, { op: "delete", key: 1 }, "b");
  await rig.stream.live(id(9));
  rig.stream.tell(10, { op: "delete", key: 1 }, "b");
  await settle();
  assert.deepEqual(fresh.told(), ["live", 10]);
});

test("a cursor of another history beside a good one is lost, though the bridge cannot say so", async () => {
  const rig = new Rig();
  const first = await rig.ready([{ _id: 1 }]);
  rig.snapshot = { cursor: id(5), documents: [{ key: 2, document: { _id: 2, now: true } }] };
  const initial = { data: [{ _id: 2 }], cursor: id(9, OTHER) };
  const late = rig.model({ channel: "todos:beta", initial });
  const reasons = [];
  late.on("resync", (reason) => reasons.push(reason));
  const told = late.waitFor(({ isStale }) => !isStale);
  await rig.connected(id(5));
  await told;
  assert.deepEqual(reasons, ["unknown_cursor"]);
  assert.deepEqual(late.data, [{ _id: 2, now: true }]);
  assert.deepEqual([first.model.state, first.model.data], ["ready", [{ _id: 1 }]]);
});
