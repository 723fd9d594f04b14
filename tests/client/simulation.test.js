// A bridge that does its worst within its contract, by chance, and models that must end up right.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { collection, connect } from "../../bridge/client/index.js";
import { OTHER, TAG, fakeTime, id, pass, realTime, settle } from "./rig.js";

beforeEach(fakeTime);
afterEach(realTime);

const SEEDS = 200;
const TURNS = 150;
const TAGS = { "a:1": TAG, "a:2": TAG, "b:1": OTHER };
const CHANNELS = Object.keys(TAGS);

/** The same numbers for the same seed (mulberry32). */
function chance(seed) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const below = (count) => Math.floor(next() * count);
  return { below, of: (list) => list[below(list.length)], one: (in_) => below(in_) === 0 };
}

/** The instant of a position. */
const instant = (position) => parseInt(position.slice(0, 8), 16);

/** Messages of all channels; each patch fits only the version before it. */
class Sea {
  constructor(random) {
    this.random = random;
    this.now = 1;
    this.floor = 0;
    this.messages = [];
  }

  write() {
    const channel = this.random.of(CHANNELS);
    const documents = this.state(channel, this.now);
    const key = this.random.below(6);
    const old = documents.get(key);
    this.now += 1;
    const head = { type: "change", id: id(this.now, TAGS[channel]), channel, key };
    const v = this.now;
    if (!old) Object.assign(head, { op: "insert", mode: "full", document: { _id: key, v } });
    else if (this.random.one(5)) head.op = "delete";
    else {
      const patch = [
        { op: "test", path: "/v", value: old.v },
        { op: "replace", path: "/v", value: v },
      ];
      Object.assign(head, { op: "update", mode: "patch", patch });
    }
    if (this.random.one(4)) head.txn = { id: String(v), index: 0 };
    this.messages.push({ n: this.now, channel, v, ...head });
  }

  /** A channel's documents at an instant. */
  state(channel, at) {
    const documents = new Map();
    for (const { n, channel: own, op, key, v } of this.messages) {
      if (own !== channel || n > at) continue;
      if (op === "delete") documents.delete(key);
      else documents.set(key, { _id: key, v });
    }
    return documents;
  }

  cursor(at) {
    return `${id(at)}.${id(at, OTHER)}`;
  }
}

/** One stream of the sea, as far as it has got. */
class Current {
  constructor(sea, { channels, since }, sink) {
    Object.assign(this, { sea, sink, channels: channels.map(({ channel }) => channel) });
    this.closed = false;
    this.isLive = false;
    sink.alive();
    sink.frame({ type: "ready", heartbeat: 15, channels: this.channels });
    this.places = new Map(this.channels.map((channel) => [channel, this.start(channel, since)]));
  }

  /** As a WebSocket does: channels come and go, each with its own cursor. */
  change(add, remove) {
    for (const channel of remove) this.places.delete(channel);
    const names = add.map(({ channel }) => channel);
    this.channels = [...new Set([...this.places.keys(), ...names])];
    this.sink.frame({ type: "ready", heartbeat: 15, channels: names }, names);
    for (const { channel, since } of add) this.places.set(channel, this.start(channel, since));
    this.isLive = false;
  }

  close() {
    this.closed = true;
  }

  /** Where a channel begins; says so where messages are missing. */
  start(channel, since) {
    if (since === undefined) return this.sea.now;
    for (const part of since.split(".")) {
      const bare = !part.includes("-");
      if (!bare && !part.startsWith(TAGS[channel])) continue;
      const at = instant(bare ? part : part.slice(9));
      if (at >= this.sea.floor) return at;
      return this.lose(channel, "history_lost");
    }
    return this.lose(channel, "unknown_cursor");
  }

  lose(channel, reason) {
    const cursor = this.sea.cursor(this.sea.now);
    this.sink.frame({ type: "resync", channel, reason, cursor });
    return this.sea.now;
  }

  /** Messages that are due, in order. */
  due() {
    return this.sea.messages.filter(({ n, channel }) => n > (this.places.get(channel) ?? Infinity));
  }

  /** Gives so many of them; live, and heartbeats, where they are due. */
  flow(count) {
    for (const { n, v: _v, ...message } of this.due().slice(0, count)) {
      if (this.closed) return;
      this.places.set(message.channel, n);
      this.sink.frame(message);
    }
    const [next] = this.due();
    const cursor = this.sea.cursor(
      next ? Math.min(...this.places.values(), next.n - 1) : this.sea.now,
    );
    if (this.closed) return;
    if (!next && !this.isLive) {
      this.isLive = true;
      this.sink.frame({ type: "live", cursor });
    } else if (this.sea.random.one(3)) this.sink.frame({ type: "heartbeat", cursor });
  }

  /** It was not read for too long. */
  overrun() {
    const channel = this.sea.random.of(this.channels);
    for (const each of this.channels) {
      if (TAGS[each] === TAGS[channel]) this.places.set(each, this.lose(each, "slow_consumer"));
    }
  }
}

async function simulate(seed) {
  const random = chance(seed);
  const socket = seed % 2 === 1;
  const sea = new Sea(random);
  const currents = [];
  const answers = [];
  const bridge = connect({
    url: "https://sea.test",
    retry: () => random.below(40),
    transport: (request, sink) => {
      const current = new Current(sea, request, sink);
      currents.push(current);
      return socket ? current : { close: () => current.close() };
    },
    fetch: (url) =>
      new Promise((resolve, reject) => {
        const channel = decodeURIComponent(url.split("/").at(-2));
        // A state may be as old as the request, or older: a function of the application's own may
        // read from a server that lags.
        const at = Math.max(sea.floor, sea.now - random.below(4));
        const documents = [...sea.state(channel, at)].map(([key, document]) => ({ key, document }));
        const answer = { channel, cursor: id(at, TAGS[channel]), documents };
        answers.push(() =>
          random.one(6) ? reject(new Error("cut")) : resolve(Response.json(answer)),
        );
      }),
  });
  const retry = () => random.below(30);
  const models = CHANNELS.map((channel) => bridge.model({ channel, merge: collection(), retry }));
  const open = () => currents.filter(({ closed }) => !closed);
  const deeds = [
    () => sea.write(),
    () => sea.write(),
    () => sea.write(),
    () => open().forEach((current) => current.flow(random.below(4))),
    () => open().forEach((current) => current.flow(random.below(9))),
    () => answers.splice(0, 1 + random.below(2)).forEach((answer) => answer()),
    () => pass(random.below(30), 10),
    () => pass(random.below(60), 10),
    () => random.one(4) && open().at(-1)?.sink.close(),
    () => random.one(6) && open()[0]?.sink.close(),
    () => random.one(8) && open().at(-1)?.overrun(),
    () => random.one(4) && void random.of(models).sync(),
    () => random.one(5) && random.of(models).pause(),
    () => void random.of(models).resume(),
    () => random.one(9) && bridge.pause(),
    () => bridge.status.state === "paused" && bridge.resume(),
    () => random.one(6) && (sea.floor = Math.max(sea.floor, sea.now - random.below(12))),
  ];
  const reasons = new Set();
  for (const model of models) {
    model.subscribe(() => {});
    model.on("resync", (reason) => reasons.add(reason));
  }
  for (let turn = 0; turn < TURNS; turn++) {
    await random.of(deeds)();
    if (random.one(3)) await settle();
  }
  bridge.resume();
  for (const model of models) model.resume();
  const level = () => models.every(({ state, isStale }) => state === "ready" && !isStale);
  for (let turn = 0; turn < 400 && !level(); turn++) {
    answers.splice(0).forEach((answer) => answer());
    await pass(60, 20);
    open().forEach((current) => current.flow(100));
  }
  sea.write();
  open().forEach((current) => current.flow(100));
  await pass(20);
  for (const model of models) {
    const right = [...sea.state(model.channel, sea.now).values()];
    const by = (one, other) => one._id - other._id;
    assert.equal(model.state, "ready", `seed ${seed}, ${model.channel}: ${model.error?.message}`);
    assert.deepEqual(model.data.toSorted(by), right.toSorted(by), `seed ${seed}, ${model.channel}`);
  }
  for (const reason of ["patch", "gap", "merge"]) {
    assert.ok(!reasons.has(reason), `seed ${seed}: a message did not fit (${reason})`);
  }
  bridge.close();
  return currents.length;
}

test("models end up as the database is, whatever happened on the way", async () => {
  let streams = 0;
  for (let seed = 1; seed <= SEEDS; seed++) streams += await simulate(seed);
  assert.ok(streams > SEEDS * 3, `${streams} streams: too calm a sea`);
});
