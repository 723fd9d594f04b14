"""Random histories: whatever happens, everybody is given what is due, once and in order."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from bridge.audience import Interest
from bridge.events import Cursor, Message, Place
from bridge.feed import Feed
from bridge.history import History
from bridge.hub import Hub
from bridge.sse_wire import PLAIN
from tests.acceptance.sse_parser import Event
from tests.fakes import at, events_in, message, resync, start_of

TAGS = "1f3a9c02", "77777777", "00000003"
NEVER = float("inf")


def feed(tag: str) -> Feed:
    history = History(floor=start_of(1), window=1 << 30, max_messages=1 << 30, max_bytes=1 << 40)
    made = Feed(name=tag, tag=tag, history=history)
    made.started = True
    return made


def follow(*feeds: tuple[Feed, tuple[str, ...]]) -> Interest:
    return Interest(feeds, PLAIN)


class Client:
    """A listener that catches up as a connection does, and writes down all it is given."""

    def __init__(self, world: "World", interest: Interest, place: Place) -> None:
        self.world = world
        self.interest = interest
        self.place = place
        self.events: list[Event] = []
        self.at_start = place
        self.level = False
        self.stubborn = 0
        self.period = float("inf")
        self.beaten = 0.0

    def send(self, data: bytes) -> bool:
        if self.world.random.random() < 0.2:
            self.stubborn = self.world.random.randrange(4)
            return False
        self.events += events_in(data)
        return True

    def fall_behind(self, place: Place) -> None:
        self.level = False
        self.place = Place({**self.place.parts, **place.parts})

    def step(self, *, finish: bool = False) -> None:
        if self.level:
            return
        if self.stubborn and not finish:
            self.stubborn -= 1
            return
        data, self.place, _ = self.world.hub.replay(self.interest, self.place)
        self.events += events_in(data)
        if not data:
            self.level = True
            self.world.hub.join(self, self.interest, self.place)


class World:
    """Three watchers that publish at random, and clients that come from anywhere."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.hub = Hub(flush_interval=0, max_write=self.random.choice([300, 2000, 1 << 20]))
        self.feeds = [feed(tag) for tag in TAGS]
        self.published: dict[Feed, list[Message]] = {each: [] for each in self.feeds}
        self.seconds = dict.fromkeys(self.feeds, 1)
        self.clients: list[Client] = []

    def step(self) -> None:
        act = self.random.random()
        if act < 0.45:
            self.publish(self.random.choice(self.feeds))
        elif act < 0.7:
            self.hub.flush()
        elif act < 0.8:
            self.come()
        elif act < 0.85:
            self.hub.beat(self.random.random() * 100)
        for client in self.random.sample(self.clients, len(self.clients) // 2):
            client.step()

    def publish(self, to: Feed) -> None:
        self.seconds[to] += self.random.randrange(3)
        run = []
        for _ in range(self.random.randrange(5)):
            self.seconds[to] += 1
            where = at(self.seconds[to])
            some = message(where, self.channel(to), size=self.random.choice([0, 0, 200]))
            run.append(resync(where) if self.random.random() < 0.1 else some)
        self.seconds[to] += 1
        self.published[to] += run
        self.hub.publish(to, run, start_of(self.seconds[to]))

    def channel(self, of: Feed) -> str:
        return f"{of.tag}:{self.random.choice('abcd')}"

    def come(self) -> None:
        followed = self.random.sample(self.feeds, self.random.randrange(1, 4))
        interest = follow(
            *((f, tuple(sorted({self.channel(f) for _ in range(3)}))) for f in followed)
        )
        parts = {f.tag: at(self.random.randrange(1, self.seconds[f] + 9)) for f in followed}
        self.add(interest, Place(parts))

    def add(self, interest: Interest, place: Place) -> Client:
        client = Client(self, interest, place)
        client.period = self.random.choice([5.0, float("inf")])
        self.clients.append(client)
        return client

    def settle(self) -> None:
        for each in self.feeds:  # time passes everybody who was ahead
            self.seconds[each] += 20
            self.hub.publish(each, [], start_of(self.seconds[each]))
        self.hub.flush()
        while any(not client.level for client in self.clients):
            for client in self.clients:
                client.step(finish=True)

    def due(self, interest: Interest, place: Place) -> dict[str, list[tuple[str, str]]]:
        return {
            f.tag: [
                (channel, each.position)
                for each in self.published[f]
                if each.position > place.parts[f.tag]
                for channel in ([each.channel] if each.channel else channels)
                if channel in channels
            ]
            for f, channels in interest.feeds
        }


def told(interest: Interest, events: Sequence[Event]) -> dict[str, list[tuple[str, str]]]:
    """What these events tell, by watcher: channel and position."""
    seen: dict[str, list[tuple[str, str]]] = {f.tag: [] for f, _ in interest.feeds}
    for event in events:
        data = orjson.loads(event.data)
        if event.type == "message":
            seen[data["channel"][:8]].append((data["channel"], data["id"]))
        elif event.type == "resync":
            tag = data["channel"][:8]
            seen[tag].append((data["channel"], Cursor.parse(data["cursor"]).parts[tag]))
    return seen


def collapsed(world: World, told: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    """Of resyncs in a row only the last: how many are told depends on who was level when."""
    resyncs = {each.position for run in world.published.values() for each in run if each.resync}
    kept: dict[str, Any] = {}
    for tag, run in told.items():
        positions = list(dict.fromkeys(position for _, position in run))
        following = dict(itertools.pairwise(positions))
        gone = {p for p in positions if p in resyncs and following.get(p) in resyncs}
        kept[tag] = [each for each in run if each[1] not in gone]
    return kept


def joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {tag: one[tag] + other[tag] for tag in one}


def assert_given_exactly_what_was_due(world: World, client: Client) -> None:
    due = collapsed(world, world.due(client.interest, client.at_start))
    assert collapsed(world, told(client.interest, client.events)) == due
    parts = dict(client.at_start.parts)
    for index, event in enumerate(client.events, 1):
        if event.id is None:
            continue
        cursor = Cursor.parse(event.id)
        assert cursor.parts.keys() == parts.keys()
        assert all(cursor.parts[tag] >= parts[tag] for tag in parts), "a part went back"
        parts = dict(cursor.parts)
        given = told(client.interest, client.events[:index])
        rest = world.due(client.interest, Place(parts))
        assert collapsed(world, joined(given, rest)) == due, "a cursor lied"


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_happens_everybody_is_given_everything_once_and_cursors_are_honest(
    seed: int,
) -> None:
    world = World(seed)
    for _ in range(100):
        world.step()
    world.settle()
    assert any(client.events for client in world.clients)
    for client in world.clients:
        assert_given_exactly_what_was_due(world, client)
    first = [*world.clients]
    for client in world.random.sample(first, min(4, len(first))):
        cursors = [event.id for event in client.events if event.id]
        for cursor in world.random.sample(cursors, min(4, len(cursors))):
            world.add(client.interest, Place(Cursor.parse(cursor).parts))
    world.settle()
    for client in world.clients[len(first) :]:
        assert_given_exactly_what_was_due(world, client)
    for client in world.clients:
        world.hub.leave(client)
    assert not world.hub._audiences
