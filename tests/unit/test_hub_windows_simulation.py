"""Random histories with windows and conflation: in the end everybody has the same documents."""

import random
from typing import Any

import orjson
import pytest

from bridge.audience import Interest
from bridge.batching import Batching
from bridge.events import Cursor, Message, Place
from bridge.feed import Feed
from bridge.history import History
from bridge.hub import Hub
from bridge.sse_wire import PLAIN
from tests.acceptance.sse_parser import Event
from tests.fakes import at, events_in, resync, start_of

LATER = 3600.0
"""Seconds of a window that ends only when the test says so."""

Held = dict[str, dict[str, str]]
"""By channel: the documents, each with the id of its last message."""


def feed(tag: str, **batching: Any) -> Feed:
    history = History(floor=start_of(1), window=1 << 30, max_messages=1 << 30, max_bytes=1 << 40)
    made = Feed(name=tag, tag=tag, history=history, batching=Batching(**batching))
    made.started = True
    return made


def about(where: str, channel: str, document: str, *, gone: bool = False, size: int = 0) -> Message:
    body = {"id": where, "channel": channel, "key": document, "gone": gone, "pad": "x" * size}
    return Message(where, channel, orjson.dumps(body), "", document)


def follow(*feeds: tuple[Feed, tuple[str, ...]]) -> Interest:
    return Interest(feeds, PLAIN)


class Client:
    """A listener that catches up as a connection does, and keeps what it is given."""

    def __init__(self, world: "World", interest: Interest, place: Place) -> None:
        self.world = world
        self.interest = interest
        self.place = self.at_start = place
        self.events: list[Event] = []
        self.level = False
        self.period = float("inf")
        self.beaten = 0.0

    def send(self, data: bytes) -> bool:
        if self.world.random.random() < 0.2:
            return False
        self.events += events_in(data)
        return True

    def fall_behind(self, place: Place) -> None:
        self.level, self.place = False, Place({**self.place.parts, **place.parts})

    def step(self) -> None:
        if self.level:
            return
        data, self.place, _ = self.world.hub.replay(self.interest, self.place)
        self.events += events_in(data)
        if not data:
            self.level = True
            self.world.hub.join(self, self.interest, self.place)


class World:
    """Watchers of every kind of batching that publish at random."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.hub = Hub(flush_interval=0, max_write=self.random.choice([300, 2000, 1 << 20]))
        self.feeds = [
            feed("00000001"),
            feed("00000002", window=LATER, max_messages=3),
            feed("00000003", conflate=True),
            feed("00000004", window=LATER, max_messages=3, conflate=True),
        ]
        self.published: dict[Feed, list[Message]] = {each: [] for each in self.feeds}
        self.seconds = dict.fromkeys(self.feeds, 1)
        self.clients: list[Client] = []

    def step(self) -> None:
        act = self.random.random()
        if act < 0.5:
            self.publish(self.random.choice(self.feeds))
        elif act < 0.75:
            self.hub.flush(windows=self.random.random() < 0.4)
        elif act < 0.85:
            self.come()
        elif act < 0.88:
            self.hub.beat(self.random.random() * 100)
        for client in self.random.sample(self.clients, len(self.clients) // 2):
            client.step()

    def publish(self, to: Feed) -> None:
        run = []
        for _ in range(self.random.randrange(6)):
            self.seconds[to] += 1
            where, pick = at(self.seconds[to]), self.random
            channel, document = f"{to.tag}:{pick.choice('ab')}", pick.choice("123")
            some = about(
                where, channel, document, gone=pick.random() < 0.3, size=pick.choice([0, 200])
            )
            run.append(resync(where) if pick.random() < 0.05 else some)
        self.seconds[to] += 1
        self.published[to] += run
        self.hub.publish(to, run, start_of(self.seconds[to]))

    def come(self) -> None:
        followed = self.random.sample(self.feeds, self.random.randrange(1, 5))
        channels = [("a",), ("b",), ("a", "b")]
        interest = follow(
            *((f, tuple(f"{f.tag}:{c}" for c in self.random.choice(channels))) for f in followed)
        )
        parts = {f.tag: at(self.random.randrange(1, self.seconds[f] + 5)) for f in followed}
        self.add(interest, Place(parts))

    def add(self, interest: Interest, place: Place) -> Client:
        self.clients.append(Client(self, interest, place))
        return self.clients[-1]

    def settle(self) -> None:
        for each in self.feeds:
            self.seconds[each] += 20
            self.hub.publish(each, [], start_of(self.seconds[each]))
        self.hub.flush(windows=True)
        while any(not client.level for client in self.clients):
            for client in self.clients:
                client.step()

    def due(self, interest: Interest, place: Place) -> list[tuple[str, Message]]:
        return [
            (channel, each)
            for f, channels in interest.feeds
            for each in self.published[f]
            if each.position > place.parts[f.tag]
            for channel in ([each.channel] if each.channel else channels)
            if channel in channels
        ]

    def end(self, interest: Interest, place: Place) -> Held:
        """The documents that everything after a place leads to."""
        held: Held = {channel: {} for _, channels in interest.feeds for channel in channels}
        for channel, each in self.due(interest, place):
            if each.resync:
                held[channel].clear()
            else:
                take(held, orjson.loads(each.body))
        return held


def take(held: Held, data: Any) -> None:
    if data.get("gone"):
        held[data["channel"]].pop(data["key"], None)
    else:
        held[data["channel"]][data["key"]] = data["id"]


def documents(interest: Interest, events: list[Event]) -> Held:
    """What these events leave a client with."""
    held: Held = {channel: {} for _, channels in interest.feeds for channel in channels}
    for event in events:
        data = orjson.loads(event.data)
        if event.type == "resync":
            held[data["channel"]].clear()
        elif event.type == "message":
            for each in data.get("messages", [data]):
                take(held, each)
    return held


def in_order(client: Client) -> None:
    """Of each channel every message at most once and in order; all, where nothing is conflated."""
    seen: dict[str, list[str]] = {}
    for event in client.events:
        data = orjson.loads(event.data)
        if event.type == "message":
            for each in data.get("messages", [data]):
                seen.setdefault(each["channel"], []).append(each["id"])
    for f, channels in client.interest.feeds:
        due = [
            (c, e.position)
            for c, e in client.world.due(client.interest, client.at_start)
            if not e.resync
        ]
        for channel in channels:
            positions = seen.get(channel, [])
            assert positions == sorted(set(positions))
            whole = [position for name, position in due if name == channel]
            assert set(positions) <= set(whole) if f.batching.conflate else positions == whole


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_everybody_ends_with_the_same_documents(seed: int) -> None:
    world = World(seed)
    for _ in range(120):
        world.step()
    world.settle()
    first = [*world.clients]
    for client in first:
        in_order(client)
        held = documents(client.interest, client.events)
        assert held == world.end(client.interest, client.at_start)
    for client in first:
        cut = [n for n, event in enumerate(client.events) if event.id]
        for number in world.random.sample(cut, min(4, len(cut))):
            place = Place(Cursor.parse(client.events[number].id or "").parts)
            again = world.add(client.interest, place)
            world.settle()
            had = client.events[: number + 1]
            assert documents(client.interest, had + again.events) == documents(
                client.interest, client.events
            )
    for client in world.clients:
        world.hub.leave(client)
    assert not world.hub._audiences
