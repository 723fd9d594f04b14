"""A WebSocket client that asks for anything at any moment, of a bridge that meets every fault."""

import asyncio
from functools import partial
from itertools import product
from random import Random
from typing import Any, cast

import aiohttp
import pytest

from bridge import stream, subscription, websockets
from bridge.auth import Anonymous, Gate
from bridge.batching import Batching
from bridge.encode import Encoder
from bridge.errors import HistoryLost, MongoError
from bridge.events import END_OF_INSTANT, cluster_time, time_of
from bridge.feed import Feed
from bridge.history import History
from bridge.mutation import MutationFields
from bridge.outlet import Outlet
from bridge.redaction import Redaction, Rule
from bridge.routing import Route
from bridge.snapshots import Origin
from bridge.templates import Template
from bridge.tokens import Tokens
from bridge.watcher import Watcher
from tests import rig as rigs
from tests.rig import NOW, Rig, eventually
from tests.socket_client import SocketClient, connected
from tests.socket_model import PLACES, TAGS, Model, Truth

TOKENS = Tokens(secret="a secret that is long enough for HS256", leeway=0)


class Throttled:
    """A transport that says it is full while ``stuck``."""

    stuck = False

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport

    def get_write_buffer_size(self) -> int:
        return 1 << 30 if self.stuck else self._transport.get_write_buffer_size()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Actor:
    """Does something at random, again and again."""

    def __init__(self, rng: Random, rig: Rig, truths: dict[str, Truth], *, conflate: bool) -> None:
        self.rng, self.rig, self.truths = rng, rig, truths
        self.conflate = conflate
        self.ref = 0
        self.cursors: dict[str, tuple[str, str]] = {}
        self.throttles: list[Throttled] = []

    def outlet(self, transport: Any, *, max_write: int) -> Outlet:
        self.throttles.append(Throttled(transport))
        return Outlet(cast("Any", self.throttles[-1]), max_write=max_write)

    async def connection(self, steps: int, *, last: bool) -> None:
        rng = self.rng
        who = rng.choice(["ann", "boss"])
        token = TOKENS.mint(channels=["**"], ttl=60, subject=who)
        async with connected(self.rig.url, f"?access_token={token}") as client:
            model = Model(self.truths, who, conflate=self.conflate)
            reading = asyncio.create_task(self._read(client, model))
            try:
                for _ in range(steps):
                    await self._step(client, model)
                    if reading.done():
                        break
                if last and not reading.done():
                    await self._settle(client, model)
            finally:
                self.throttles[-1].stuck = False
                reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.result()
        self.cursors |= model.cursors()

    async def _read(self, client: SocketClient, model: Model) -> None:
        try:
            while True:
                seen = len(client.frames)
                message = await client.ws.receive()
                assert isinstance(message.data, str), message
                client.frames.append(message.json())
                model.hear(client.frames[seen])
        except (AssertionError, KeyError) as error:
            error.add_note("\n".join(str(each)[:300] for each in model.log[-100:]))
            raise

    async def _settle(self, client: SocketClient, model: Model) -> None:
        self.throttles[-1].stuck = False
        for truth in self.truths.values():
            truth.source.gate.set()
        await eventually(lambda: all(feed.started for feed in self.rig.feeds))
        for truth in self.truths.values():
            head = cluster_time(NOW, truth.increment)
            feed = next(each for each in self.rig.feeds if each.name == truth.name)
            await eventually(partial(_reached, feed, head))
        await eventually(lambda: model.replayed)
        told = -1
        while told < model.told:
            told = model.told
            self.rig.hub.flush(windows=True)
            await asyncio.sleep(0.2)
        model.finish()

    async def _step(self, client: SocketClient, model: Model) -> None:
        rng = self.rng
        truth = rng.choice(list(self.truths.values()))
        choice = rng.random()
        self.ref += 2
        if choice < 0.35:
            for _ in range(rng.randint(1, 12)):
                truth.change(rng)
        elif choice < 0.55:
            await self._subscribe(client, model)
        elif choice < 0.68:
            own = rng.sample(self.all(), rng.randint(1, 4))
            model.waiting[self.ref] = ("unsubscribe", own)
            await client.send("unsubscribe", ref=self.ref, channels=own)
        elif choice < 0.74:
            who = rng.choice(["ann", "boss"])
            model.waiting[self.ref] = ("auth", who)
            token = TOKENS.mint(channels=["**"], ttl=60, subject=who)
            await client.send("auth", ref=self.ref, token=token)
        else:
            self._disturb(truth)
        if rng.random() < 0.6:
            await asyncio.sleep(rng.choice([0, 0, 0.001, 0.004, 0.02]))

    def _disturb(self, truth: Truth) -> None:
        choice = self.rng.random()
        if choice < 0.25:
            self.throttles[-1].stuck = not self.throttles[-1].stuck
        elif choice < 0.4:
            (truth.source.gate.clear if self.rng.random() < 0.5 else truth.source.gate.set)()
        elif choice < 0.5:
            truth.source.fail(MongoError("gone"))
        elif choice < 0.55:
            truth.source.first = cluster_time(NOW, truth.increment)
            truth.source.fail(HistoryLost("rolled over"))

    def all(self) -> list[str]:
        return [f"{name}:{place}" for name in self.truths for place in PLACES]

    async def _subscribe(self, client: SocketClient, model: Model) -> None:
        rng = self.rng
        stateful = rng.random() < 0.4
        ref = self.ref + stateful
        busy = {*model.followed, *(name for asked in model.asked.values() for name in asked)}
        free = [name for name in self.all() if name not in busy] or self.all()
        names = rng.sample(free, rng.randint(1, len(free)))
        asked: dict[str, str | None] = {}
        for name in names:
            cursor, who = (self.cursors | model.left).get(name, (None, ""))
            if rng.random() < 0.25 and not stateful:
                truth = model.truth(name)
                ahead = rng.choice([-40, -10, 0, 3])
                where = cluster_time(NOW, max(1, truth.increment + ahead)) + END_OF_INSTANT
                cursor, who = f"{TAGS[truth.name]}-{where}", model.who
            switching = any(kind == "auth" for kind, _ in model.waiting.values())
            good = cursor and who == model.who and not switching and rng.random() < 0.8
            asked[name] = (cursor or "").partition("-")[2] if good else None
        model.asked[ref] = asked
        wanted = [
            {"channel": name, "since": f"{TAGS[model.truth(name).name]}-{since}"} if since else name
            for name, since in asked.items()
        ]
        await client.subscribe(*wanted, ref=ref, snapshot=stateful)


def _reached(feed: Feed, head: str) -> bool:
    return time_of(feed.history.head) >= head


async def paged(rig: Rig, rng: Random, channel: str, who: str, since: str) -> list[str]:
    """The positions of all messages after a cursor, as pages of history have them."""
    token = TOKENS.mint(channels=["**"], ttl=60, subject=who)
    found: list[str] = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        for _ in range(500):
            query = {"since": since, "limit": rng.choice(["1", "2", "7", "1000"])}
            async with session.get(f"{rig.url}/channels/{channel}/history", params=query) as answer:
                page = await answer.json()
            assert answer.status == 200, page
            assert who == "boss" or "hidden" not in str(page)
            for each in page["messages"]:
                messages = each["messages"] if each["type"] == "batch" else [each]
                found += [message["id"].partition("-")[2] for message in messages]
            since = page["cursor"]
            if page["complete"]:
                return found
            assert page["messages"], "nothing to see, and yet not complete"
    raise AssertionError("there is no end")


class Weather:
    """How the watchers of one run are configured."""

    def __init__(self, rng: Random) -> None:
        self.conflate = rng.random() < 0.25
        self.mode = "full" if self.conflate else rng.choice(["full", "delta", "patch"])
        self.window = rng.choice([0, 0, 0.02])
        self.remembered = rng.choice([15, 1000])

    def watcher(self, tag: str, name: str) -> Watcher:
        rule = Template(name + ":{workspace}")
        feed = Feed(
            name=name,
            tag=tag,
            history=History(
                floor="0" * 22, window=120, max_messages=self.remembered, max_bytes=1 << 26
            ),
            batching=Batching(window=self.window, max_messages=3, conflate=self.conflate),
            redaction=Redaction([Rule("sub", "boss", ("h", "items.h"))]),
        )
        encoder = Encoder(
            mode=cast("Any", self.mode),
            json="plain",
            wide=False,
            max_message=1 << 20,
            seen_whole=False,
        )
        route = Route(rule, expect_before=True)
        return Watcher(
            feed=feed, rule=rule, route=route, encoder=encoder, refuse=lambda reason: None
        )


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_requests_and_faults_is_exact(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = Random(seed)
    weather = Weather(rng)
    monkeypatch.setattr(rigs, "watcher", weather.watcher)
    monkeypatch.setattr(stream, "FIRST_DELAY", 0.002)
    monkeypatch.setattr(stream, "LONGEST_DELAY", 0.02)
    monkeypatch.setattr(subscription, "RETRY", 0.01)
    unhandled: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    gate = Gate(anonymous=Anonymous(patterns=[]), tokens=TOKENS)
    rig = Rig(gate=gate, heartbeat=0.08, write_buffer=rng.choice([3000, 1 << 20]))
    truths = {"todos": Truth("todos", rig.todos), "orders": Truth("orders", rig.orders)}
    for feed in rig.feeds:
        truth = truths[feed.name]
        truth.source.batch_size = rng.choice([1, 5, 100])
        rig.snapshots._origins[feed] = Origin(truth, "plain", False, 1 << 20, MutationFields(()))
    actor = Actor(rng, rig, truths, conflate=weather.conflate)
    monkeypatch.setattr(websockets, "Outlet", actor.outlet)
    async with rig.running():
        for number in range(4):
            await actor.connection(rng.randint(20, 80), last=number == 3)
        await eventually(lambda: not rig.connections.open)
        for truth in truths.values() if not weather.conflate else ():
            since = max(truth.source.first, cluster_time(NOW, 1)) + END_OF_INSTANT
            for channel, who in product(truth.messages, ("ann", "boss")):
                told = [where for where, *_ in truth.seen(channel, who) if where > since]
                assert await paged(rig, rng, channel, who, since) == told
        assert not rig.hub._standing
        assert not rig.hub._audiences
    assert not rig.reported
    assert not unhandled
