// WebSocket and EventSource, with fakes of the platform's constructors.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { AuthError, HttpError } from "../../bridge/client/index.js";
import { eventSource } from "../../bridge/client/eventsource.js";
import { webSocket } from "../../bridge/client/websocket.js";
import { OTHER, Rig, fakeTime, id, pass, problem, realTime, settle } from "./rig.js";

beforeEach(fakeTime);
afterEach(realTime);

class FakeSocket {
  static all = [];
  sent = [];
  closed = false;
  constructor(url) {
    this.url = url;
    FakeSocket.all.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.closed = true;
  }
  get frames() {
    return this.sent.splice(0);
  }
  async say(...frames) {
    for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
    await settle();
  }
  async end(code, reason = "") {
    this.onclose?.({ code, reason });
    await settle();
  }
}

const ready = (ref, ...channels) => ({ type: "ready", ref, session: "s", heartbeat: 15, channels });
const live = (ref, cursor) => ({ type: "live", ref, cursor });
const gone = (n, channel, tag) => ({
  type: "change",
  id: id(n, tag),
  channel,
  op: "delete",
  key: n,
});

function sockets(options = {}) {
  FakeSocket.all = [];
  const rig = new Rig({ transport: webSocket(FakeSocket), ...options });
  return { rig, socket: () => FakeSocket.all.at(-1) };
}

function follow(rig, channel, since) {
  const told = [];
  const subscription = rig.bridge.subscribe(
    channel,
    {
      messages: (messages) => told.push(...messages.map(({ key }) => key)),
      live: () => told.push("live"),
      resync: (reason) => told.push(reason),
      error: (error) => told.push(error),
    },
    { since },
  );
  return { told, subscription };
}

test("WebSocket: the token goes first, then one subscribe with each channel's own cursor", async () => {
  const { rig, socket } = sockets({ token: "T" });
  follow(rig, "a", id(3));
  follow(rig, "b");
  await pass(30);
  socket().onopen();
  assert.equal(socket().url, "wss://bridge.test/ws");
  assert.deepEqual(socket().frames, [
    { type: "auth", token: "T" },
    { type: "subscribe", ref: 1, channels: [{ channel: "a", since: id(3) }, "b"] },
  ]);
});

test("WebSocket: channels come and go while the socket stays open; each resumes from its own cursor", async () => {
  const { rig, socket } = sockets();
  const a = follow(rig, "a", id(1));
  await pass(30);
  socket().onopen();
  await socket().say(ready(1, "a"), live(1, id(1)), gone(5, "a"));
  socket().frames;
  const b = follow(rig, "b", id(2, OTHER));
  a.subscription.close();
  await pass(30);
  assert.deepEqual(socket().frames, [
    { type: "unsubscribe", ref: 2, channels: ["a"] },
    { type: "subscribe", ref: 3, channels: [{ channel: "b", since: id(2, OTHER) }] },
  ]);
  await socket().say(ready(3, "b"), gone(3, "b", OTHER), live(3, id(4, OTHER)));
  assert.deepEqual(
    [a.told, b.told],
    [
      ["live", 5],
      [3, "live"],
    ],
  );
  assert.equal(FakeSocket.all.length, 1);
  await socket().end(4000);
  await pass(110);
  socket().onopen();
  assert.deepEqual(socket().frames[0].channels, [{ channel: "b", since: id(4, OTHER) }]);
});

test("WebSocket: frames of a subscription that was given up do not count for the one after it", async () => {
  const { rig, socket } = sockets();
  const { model } = await (async () => {
    rig.snapshot = { cursor: id(5), documents: [] };
    const started = rig.model();
    started.sync();
    await pass(30);
    socket().onopen();
    await socket().say(ready(1, "todos:acme"), live(1, id(8)));
    return { model: started };
  })();
  rig.snapshot = { cursor: id(3), documents: [] };
  const synced = model.sync();
  await pass(30);
  const insert = (n) => ({
    type: "change",
    id: id(n),
    channel: "todos:acme",
    op: "insert",
    key: n,
    mode: "full",
    document: { _id: n },
  });
  await socket().say(insert(9), ready(3, "todos:acme"), insert(4), insert(9), live(3, id(9)));
  await synced;
  assert.deepEqual(
    model.data.map(({ _id }) => _id),
    [4, 9],
  );
});

test("WebSocket: a refused request of several is asked again one by one; only the bad one fails", async () => {
  const { rig, socket } = sockets();
  const good = follow(rig, "good", id(1));
  const bad = follow(rig, "bad", id(1));
  await pass(30);
  socket().onopen();
  socket().frames;
  await socket().say({
    type: "error",
    ref: 1,
    code: "forbidden",
    detail: "channel 'bad' may not be read",
  });
  assert.deepEqual(
    socket().frames.map(({ ref, channels }) => [ref, channels[0].channel]),
    [
      [2, "good"],
      [3, "bad"],
    ],
  );
  await socket().say(ready(2, "good"), live(2, id(1)), {
    type: "error",
    ref: 3,
    code: "forbidden",
    detail: "no",
  });
  assert.deepEqual(good.told, ["live"]);
  assert.ok(bad.told[0] instanceof AuthError);
  assert.equal(rig.bridge.status.state, "open");
});

test("WebSocket: what a token does not cover any more is told for its channels", async () => {
  const { rig, socket } = sockets();
  const { told } = follow(rig, "a", id(1));
  await pass(30);
  socket().onopen();
  await socket().say(ready(1, "a"), live(1, id(1)), {
    type: "error",
    code: "forbidden",
    detail: "not any more",
    channels: ["a"],
  });
  assert.ok(told.at(-1) instanceof AuthError);
});

test("WebSocket: close codes: back for 4000 to 4499, with another token for 4501, not for 4500 and 4503", async () => {
  for (const [code, state, error] of [
    [4000, "open"],
    [4008, "open"],
    [1006, "open"],
    [4001, "open"],
    [4500, "errored", HttpError],
    [4501, "errored", AuthError],
    [4503, "errored", AuthError],
  ]) {
    const { rig, socket } = sockets();
    const { told } = follow(rig, "a", id(1));
    await pass(30);
    socket().onopen();
    await socket().say(ready(1, "a"), live(1, id(1)));
    await socket().end(code);
    await pass(110);
    if (state === "open") {
      socket().onopen();
      await socket().say(ready(1, "a"));
    } else assert.ok(told.at(-1) instanceof error, String(code));
    assert.equal(rig.bridge.status.state, state, String(code));
  }
});

test("WebSocket: a token that is refused is replaced once", async () => {
  let asked = 0;
  const { rig, socket } = sockets({ token: () => `t${++asked}` });
  follow(rig, "a", id(1));
  await pass(30);
  socket().onopen();
  await socket().say({ type: "error", code: "unauthorized", detail: "expired" });
  await pass(30);
  socket().onopen();
  assert.equal(socket().frames[0].token, "t2");
  assert.equal(FakeSocket.all[0].closed, true);
});

test("WebSocket: what will pass, and a frame that is no JSON, end the socket; it is opened again", async () => {
  for (const bad of [
    { type: "error", ref: 1, code: "unavailable", detail: "starting" },
    undefined,
  ]) {
    const { rig, socket } = sockets();
    follow(rig, "a", id(1));
    await pass(30);
    socket().onopen();
    if (bad) await socket().say(bad);
    else socket().onmessage({ data: "{" });
    await settle();
    await pass(110);
    assert.equal(FakeSocket.all.length, 2);
  }
});

test("WebSocket: a cursor that lies in the future is given up, and the channel is not", async () => {
  const { rig, socket } = sockets();
  const { told } = follow(rig, "a", id(9));
  follow(rig, "b", id(1));
  await pass(30);
  socket().onopen();
  const bad = { type: "error", code: "bad_cursor", channel: "a", detail: "it lies in the future" };
  await socket().say({ ...bad, ref: 1 });
  await socket().say({ ...bad, ref: 2 });
  socket().frames;
  await socket().say(ready(3, "b"), live(3, id(1)));
  await pass(30);
  assert.deepEqual(told, ["unknown_cursor"]);
  const [, again] = socket().frames;
  assert.deepEqual(again, { type: "subscribe", ref: 5, channels: ["a"] });
  await socket().say(ready(5, "a"), live(5, id(3)), gone(5, "a"));
  assert.deepEqual(told, ["unknown_cursor", "live", 5]);
});

test("WebSocket: what was given up is not asked for again with those it was refused with", async () => {
  const { rig, socket } = sockets();
  const c = follow(rig, "c", id(1));
  follow(rig, "bad", id(1));
  follow(rig, "a", id(1));
  await pass(30);
  socket().onopen();
  await socket().say({ type: "heartbeat", cursor: id(1) });
  socket().onmessage({ data: JSON.stringify(ready(0)) });
  c.subscription.close();
  await pass(30);
  socket().frames;
  await socket().say({ type: "error", ref: 1, code: "unknown_channel", detail: "no" });
  assert.deepEqual(
    socket().frames.flatMap(({ channels }) => channels.map(({ channel }) => channel)),
    ["bad", "a"],
  );
});

class FakeSource extends EventTarget {
  static all = [];
  constructor(url, init) {
    super();
    Object.assign(this, { url, init, closed: false });
    FakeSource.all.push(this);
  }
  close() {
    this.closed = true;
  }
  async say(...frames) {
    for (const frame of frames) {
      const name = frame.type === "change" ? "message" : frame.type;
      this.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(frame) }));
    }
    await settle();
  }
  async fail() {
    this.onerror?.();
    await settle();
  }
}

function sources(options = {}) {
  FakeSource.all = [];
  const rig = new Rig({ transport: eventSource(FakeSource), ...options });
  return { rig, source: () => FakeSource.all.at(-1) };
}

test("EventSource: always opened by us, with an explicit cursor", async () => {
  const { rig, source } = sources({ credentials: "include" });
  const { told } = follow(rig, "a b", id(1));
  await pass(30);
  assert.equal(source().url, `https://bridge.test/sse?channel=a+b&since=${id(1)}`);
  assert.deepEqual(source().init, { withCredentials: true });
  source().onopen();
  await source().say(ready(undefined, "a b"), live(undefined, id(1)), gone(5, "a b"));
  await source().fail();
  assert.equal(source().closed, true);
  await pass(110);
  assert.equal(source().url, `https://bridge.test/sse?channel=a+b&since=${id(5)}`);
  assert.deepEqual(told, ["live", 5]);
});

test("EventSource: a token becomes a ticket; the token itself where there are none", async () => {
  for (const [answer, expected] of [
    [Response.json({ ticket: "tick", expiresIn: 60 }), "tick"],
    [problem(404, "bad_request"), "T"],
  ]) {
    const { rig, source } = sources({ token: "T" });
    rig.snapshots = [answer];
    follow(rig, "a");
    await pass(30);
    assert.deepEqual(
      [rig.asked[0].url, rig.asked[0].method, rig.asked[0].headers.Authorization],
      ["https://bridge.test/tickets", "POST", "Bearer T"],
    );
    assert.equal(source().url, `https://bridge.test/sse?channel=a&access_token=${expected}`);
  }
});

test("EventSource: it does not say why it was refused; the same request does", async () => {
  const { rig, source } = sources();
  const { told } = follow(rig, "a");
  await pass(30);
  rig.snapshots = [problem(403, "forbidden", { channel: "a" })];
  await source().fail();
  assert.ok(told[0] instanceof AuthError);
  assert.equal(rig.asked[0].url, source().url);
});

test("EventSource: where the same request works, it was the network", async () => {
  const { rig, source } = sources();
  follow(rig, "a");
  await pass(30);
  await source().fail();
  assert.equal(rig.bridge.status.state, "waiting");
  await pass(110);
  assert.equal(FakeSource.all.length, 2);
});
