"""A connection that asks for the state: what comes first, and what a loss becomes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import orjson
import pytest

from bridge import frames, outlet
from bridge import subscription as subscription_module
from bridge.audience import Interest
from bridge.batching import Batching
from bridge.connection import Connection
from bridge.errors import HistoryLost, Unavailable
from bridge.events import END_OF_INSTANT, Chunk, Message, Place, cluster_time
from bridge.feed import Feed
from bridge.history import History
from bridge.hub import Hub
from bridge.reader import Reader
from bridge.sse_wire import PLAIN
from bridge.subscription import Subscription
from tests.fakes import FakeTransport, at, message, served, start_of

TODOS, ORDERS = "1f3a9c02", "77777777"
ROOM = 4 * outlet.LOW_WATER
OPENING = frames.ready(PLAIN, session="s", heartbeat=15, channels=["a"])


async def turns(number: int = 30) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def end_of(seconds: int) -> str:
    """The position of a snapshot at the second's cluster time."""
    return cluster_time(seconds, 1) + END_OF_INSTANT


def feed(tag: str = TODOS, *, floor: int = 1, started: bool = True, **more: Any) -> Feed:
    batching = more.pop("batching", Batching())
    limits = {"window": 1 << 30, "max_messages": 1 << 30, "max_bytes": 1 << 40, **more}
    history = History(floor=start_of(floor), **limits)
    made = Feed(name=tag, tag=tag, history=history, batching=batching)
    made.started = started
    return made


class FakeSnapshots:
    """States at a time that a test sets: two documents for each channel, a chunk each."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.seconds = 5
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False
        self.size = 0
        self.left = 0

    async def read(self, feed: Feed, channels: tuple[str, ...]) -> AsyncGenerator[Chunk, None]:
        self.asked.append((feed.tag, channels))
        position = end_of(self.seconds)
        try:
            for channel in channels:
                for number in (1, 2):
                    await self.gate.wait()
                    body = orjson.dumps({"key": f"{channel}{number}", "pad": "x" * self.size})
                    yield Chunk(channel, position, body, number == 1)
                    if self.fails:
                        raise Unavailable("MongoDB is away")
        finally:
            self.left += 1


class FakeBackfills:
    """The oplog has lost everything, or gives nothing and reaches memory."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lost = True

    async def fetch(self, feed: Feed, reader: Reader) -> None:
        self.asked.append(reader.place_in(feed))
        if self.lost:
            raise HistoryLost("gone")
        await reader.take(feed, {}, feed.history.floor)

    def release(self, reader: Reader) -> None:
        """Nobody waits here."""


class World:
    def __init__(self) -> None:
        self.hub = Hub(flush_interval=0, max_write=ROOM)
        self.backfills = FakeBackfills()
        self.snapshots = FakeSnapshots()
        self.subscriptions: list[Subscription] = []
        self.tasks: list[asyncio.Task[None]] = []

    def connect(
        self,
        *feeds: tuple[Feed, tuple[str, ...]],
        place: Mapping[str, str] | None = None,
        lost: Mapping[Feed, str] | None = None,
        stuck: bool = False,
    ) -> tuple[Connection, FakeTransport]:
        transport = FakeTransport()
        transport.stuck = stuck
        out = outlet.Outlet(transport, max_write=ROOM)
        subscription = Subscription(
            outlet=out,
            hub=self.hub,
            backfills=self.backfills,
            interest=Interest(feeds, PLAIN),
            place=Place(place or {}),
            lost=lost or {},
            snapshots=self.snapshots,
            period=15,
            max_write=ROOM,
        )
        self.subscriptions.append(subscription)
        made = Connection(session="s", outlet=out, wire=PLAIN, subscription=subscription)
        self.tasks.append(asyncio.create_task(served(made, OPENING)))
        return made, transport

    def publish(self, to: Feed, *run: Message) -> None:
        self.hub.publish(to, run, run[-1].position)
        self.hub.flush(windows=True)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(subscription_module, "RETRY", 0)
    monkeypatch.setattr(outlet, "POLL", 0)
    made = World()
    yield made
    for task in made.tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def kinds(transport: FakeTransport) -> list[str]:
    return [event.type for event in transport.events]


def told(transport: FakeTransport) -> list[str]:
    """Snapshot chunks by channel, messages by id, everything else by its name."""
    names = []
    for event in transport.events:
        data = orjson.loads(event.data)
        named = {"snapshot": data.get("channel"), "message": data.get("id")}
        names.append(named.get(event.type) or event.type)
    return names


async def test_the_state_comes_first_then_what_happened_since_then_live(world: World) -> None:
    todos = feed()
    world.publish(todos, *(message(at(second), "a") for second in (4, 5, 6, 7)))
    _, transport = world.connect((todos, ("a",)))
    await turns()
    world.publish(todos, message(at(8), "a"))
    assert told(transport) == ["ready", "a", "a", at(6), at(7), "live", at(8)]
    data = [orjson.loads(event.data) for event in transport.events[1:3]]
    assert [(each["type"], each["more"]) for each in data] == [
        ("snapshot", True),
        ("snapshot", False),
    ]
    assert [each["documents"][0]["key"] for each in data] == ["a1", "a2"]


async def test_only_the_last_chunk_of_a_watcher_has_a_cursor(world: World) -> None:
    todos, orders = feed(), feed(ORDERS)
    world.publish(todos, message(at(9), "a"))
    world.publish(orders, message(at(9), "o"))
    _, transport = world.connect((todos, ("a", "b")), (orders, ("o",)))
    await turns()
    chunks = [event.id for event in transport.events if event.type == "snapshot"]
    first, both = Place({TODOS: end_of(5)}), Place({TODOS: end_of(5), ORDERS: end_of(5)})
    assert chunks == [None, None, None, first.cursor, None, both.cursor]
    assert kinds(transport).index("message") > kinds(transport).index("snapshot") + 5


async def test_a_state_ahead_of_the_watcher_is_not_repeated_by_messages(world: World) -> None:
    todos = feed()
    world.snapshots.seconds = 20
    _, transport = world.connect((todos, ("a",)))
    await turns()
    world.publish(todos, message(at(19), "a"), message(at(20), "a"))
    world.publish(todos, message(at(21), "a"))
    assert told(transport) == ["ready", "a", "a", "live", at(21)]
    assert transport.events[-2].id == f"{TODOS}-{end_of(20)}"


async def test_one_that_comes_back_with_its_place_is_given_messages_not_the_state(
    world: World,
) -> None:
    todos = feed()
    world.publish(todos, message(at(4), "a"), message(at(5), "a"))
    _, transport = world.connect((todos, ("a",)), place={TODOS: at(4)})
    await turns()
    assert told(transport) == ["ready", at(5), "live"]
    assert world.snapshots.asked == []


async def test_a_lost_cursor_gets_the_state_in_place_of_resync(world: World) -> None:
    todos, orders = feed(), feed(ORDERS)
    world.publish(todos, message(at(6), "a"))
    world.publish(orders, message(at(3), "o"), message(at(6), "o"))
    both = (todos, ("a",)), (orders, ("o",))
    _, transport = world.connect(*both, place={ORDERS: at(2)}, lost={todos: "unknown_cursor"})
    await turns()
    assert told(transport) == ["ready", "a", "a", at(6), at(3), at(6), "live"]
    assert world.snapshots.asked == [(TODOS, ("a",))], "the other watcher keeps its replay"
    assert transport.events[2].id == Place({TODOS: end_of(5), ORDERS: at(2)}).cursor


async def test_a_cursor_that_the_oplog_has_lost_gets_the_state_too(world: World) -> None:
    todos = feed(floor=100)
    world.snapshots.seconds = 150
    world.publish(todos, message(at(151), "a"))
    _, transport = world.connect((todos, ("a",)), place={TODOS: at(50)})
    await turns()
    assert told(transport) == ["ready", "a", "a", at(151), "live"]
    assert world.backfills.asked == [at(50)]


async def test_a_state_that_memory_has_left_behind_is_joined_up_from_the_oplog(
    world: World,
) -> None:
    todos = feed(floor=100)
    world.backfills.lost = False
    world.publish(todos, message(at(101), "a"))
    _, transport = world.connect((todos, ("a",)))
    await turns()
    assert told(transport) == ["ready", "a", "a", at(101), "live"]
    assert world.backfills.asked == [end_of(5)]


async def test_after_live_a_loss_is_a_resync(world: World) -> None:
    todos = feed()
    _, transport = world.connect((todos, ("a",)))
    await turns()
    world.hub.gap(todos, start_of(50))
    await turns()
    world.publish(todos, message(at(51), "a"))
    assert told(transport) == ["ready", "a", "a", "live", "resync", at(51)]
    assert len(world.snapshots.asked) == 1


async def test_the_state_waits_until_the_watcher_has_started(world: World) -> None:
    todos = feed(started=False)
    _, transport = world.connect((todos, ("a",)))
    await turns()
    assert told(transport) == ["ready"]
    world.hub.start(todos)
    await turns()
    assert told(transport) == ["ready", "a", "a", "live"]


async def test_a_watcher_that_starts_after_live_owes_its_state_and_says_resync(
    world: World,
) -> None:
    todos, orders = feed(), feed(ORDERS, started=False)
    orders.failed = "not authorised"
    _, transport = world.connect((todos, ("a",)), (orders, ("o",)))
    await turns()
    assert told(transport) == ["ready", "a", "a", "live"]
    world.publish(orders, message(at(9), "o"))
    world.hub.start(orders)
    await turns()
    world.publish(orders, message(at(10), "o"))
    assert told(transport)[4:] == ["resync", at(10)]
    assert orjson.loads(transport.events[4].data)["channel"] == "o"


async def test_where_there_is_no_state_now_the_client_is_sent_away_to_come_back(
    world: World,
) -> None:
    world.snapshots.fails = True
    _, transport = world.connect((feed(), ("a",)))
    await turns()
    assert told(transport) == ["ready", "a", "bye"]
    assert [event.id for event in transport.events] == [None] * 3, "it has no cursor yet"
    bye = orjson.loads(transport.events[-1].data)
    assert (bye["code"], bye["reconnect"]) == ("unavailable", True)
    assert bye["delay"] > 0
    assert world.tasks[0].done()


async def test_a_state_goes_at_the_pace_of_the_socket(world: World) -> None:
    world.snapshots.size = 3 * outlet.LOW_WATER
    channels = tuple("abcdefgh")
    _, transport = world.connect((feed(), channels), stuck=True)
    largest = 0
    for _ in range(200):
        await turns(3)
        largest = max(largest, len(transport.unsent))
        transport.read(outlet.LOW_WATER)
    assert largest < 5 * outlet.LOW_WATER
    assert kinds(transport) == ["ready", *["snapshot"] * 16, "live"]


async def test_heartbeats_go_on_while_the_state_is_read(world: World) -> None:
    world.snapshots.gate.clear()
    connection, transport = world.connect((feed(), ("a",)), (feed(ORDERS), ("o",)))
    await turns()
    connection.check(world.subscriptions[-1].beaten + 16, patience=30)
    assert b": not ready yet" in transport.received
    assert not transport.aborted


async def test_who_leaves_while_the_state_is_read_stops_following_it(world: World) -> None:
    world.snapshots.gate.clear()
    world.connect((feed(), ("a",)))
    await turns()
    world.tasks[0].cancel()
    await turns()
    assert world.snapshots.left == 1


async def test_goodbye_ends_a_state_that_is_being_written(world: World) -> None:
    world.snapshots.size = 3 * outlet.LOW_WATER
    connection, transport = world.connect((feed(), tuple("abcdefgh")), stuck=True)
    await turns()
    connection.end("shutdown", reconnect=True, delay=1500)
    async with asyncio.timeout(1):
        await world.tasks[0]
    transport.read()
    assert kinds(transport)[-1] == "bye"
    assert "live" not in kinds(transport)


async def test_missed_messages_of_a_window_come_as_batches(world: World) -> None:
    todos = feed(batching=Batching(window=1.0))
    world.publish(todos, *(message(at(second), "a") for second in (4, 6, 7)))
    _, transport = world.connect((todos, ("a",)))
    await turns()
    assert kinds(transport) == ["ready", "snapshot", "snapshot", "message", "live"]
    batch = orjson.loads(transport.events[3].data)
    assert [each["id"] for each in batch["messages"]] == [at(6), at(7)]


async def test_goodbye_does_not_wait_for_a_state_that_is_long_in_coming(world: World) -> None:
    todos = feed()
    world.snapshots.gate.clear()
    connection, transport = world.connect((todos, ("a",)))
    await turns()
    connection.end("shutdown", reconnect=True, delay=1)
    async with asyncio.timeout(5):
        await world.tasks[0]
    assert [event.type for event in transport.events][-1] == "bye"
    await turns()
    assert world.snapshots.left == 1
