import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson
import pytest

from bridge import frames, outlet
from bridge import subscription as subscription_module
from bridge.audience import Interest
from bridge.connection import Connection
from bridge.errors import HistoryLost, MongoError
from bridge.events import Message, Place
from bridge.feed import Feed
from bridge.history import History
from bridge.hub import Hub
from bridge.outlet import LOW_WATER, Outlet
from bridge.reader import Reader
from bridge.sse_wire import PLAIN
from bridge.subscription import ROUNDS, Subscription
from tests.fakes import FakeTransport, at, message, resync, served, start_of

TODOS, ORDERS = "1f3a9c02", "77777777"
ROOM = 4 * LOW_WATER
"""Bytes that a connection may have unsent."""

OPENING = frames.ready(PLAIN, session="s", heartbeat=15, channels=["a"])


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def feed(tag: str = TODOS, *, floor: int = 1, started: bool = True, **bounds: Any) -> Feed:
    limits = {"window": 1 << 30, "max_messages": 1 << 30, "max_bytes": 1 << 40, **bounds}
    made = Feed(name=tag, tag=tag, history=History(floor=start_of(floor), **limits))
    made.started = started
    return made


class FakeBackfills:
    """Readings that do what a test tells them, one after the other."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.then: list[Callable[[Feed, Reader], Any] | Exception] = []

    async def fetch(self, feed: Feed, reader: Reader) -> None:
        self.asked.append(reader.place_in(feed))
        do = self.then.pop(0) if self.then else None
        if isinstance(do, Exception):
            raise do
        if do:
            await do(feed, reader)
        await asyncio.sleep(0)

    def release(self, reader: Reader) -> None:
        self.released = reader


def giving(*messages: Message, head: str) -> Callable[[Feed, Reader], Any]:
    by_channel: dict[str | None, list[Message]] = {}
    for each in messages:
        by_channel.setdefault(each.channel, []).append(each)
    return lambda feed, connection: connection.take(feed, by_channel, head)


class World:
    """A hub, readings of the oplog, and connections that run."""

    def __init__(self) -> None:
        self.hub = Hub(flush_interval=0, max_write=ROOM)
        self.backfills = FakeBackfills()
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
        out = Outlet(transport, max_write=ROOM)
        subscription = Subscription(
            outlet=out,
            hub=self.hub,
            backfills=self.backfills,
            interest=Interest(feeds, PLAIN),
            place=Place(place or {}),
            lost=lost or {},
            snapshots=None,
            period=15,
            max_write=ROOM,
        )
        self.subscriptions.append(subscription)
        made = Connection(session="s", outlet=out, wire=PLAIN, subscription=subscription)
        self.tasks.append(asyncio.create_task(served(made, OPENING)))
        return made, transport

    def publish(self, to: Feed, *run: Message) -> None:
        self.hub.publish(to, run, run[-1].position)
        self.hub.flush()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(outlet, "POLL", 0)
    monkeypatch.setattr(subscription_module, "RETRY", 0)
    made = World()
    yield made
    for task in made.tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def kinds(transport: FakeTransport) -> list[str]:
    return [event.type for event in transport.events]


def ids(transport: FakeTransport) -> list[str]:
    return [orjson.loads(e.data)["id"] for e in transport.events if e.type == "message"]


def reasons(transport: FakeTransport) -> list[str]:
    return [orjson.loads(e.data)["reason"] for e in transport.events if e.type == "resync"]


async def test_a_new_client_is_ready_and_live_and_gets_what_happens_from_now_on(
    world: World,
) -> None:
    todos = feed()
    world.publish(todos, message(at(2), "a"))
    _, transport = world.connect((todos, ("a",)))
    await turns()
    world.publish(todos, message(at(3), "a"))
    assert kinds(transport) == ["ready", "live", "message"]
    assert ids(transport) == [at(3)]
    assert [event.id for event in transport.events] == [
        None,
        f"{TODOS}-{at(2)}",
        f"{TODOS}-{at(3)}",
    ]


async def test_a_client_that_comes_back_is_given_what_it_missed_before_live(world: World) -> None:
    todos = feed()
    run = [message(at(2), "a"), message(at(3), "b"), message(at(4), "a"), message(at(5), "b")]
    world.publish(todos, *run)
    _, transport = world.connect((todos, ("a",)), place={TODOS: at(2)})
    await turns()
    assert kinds(transport) == ["ready", "message", "live"]
    assert ids(transport) == [at(4)]
    assert transport.events[-1].id == f"{TODOS}-{at(5)}"


async def test_a_lost_cursor_is_told_before_anything_else(world: World) -> None:
    todos, orders = feed(), feed(ORDERS)
    world.publish(todos, message(at(2), "a"))
    world.publish(orders, message(at(2), "o"))
    both = (todos, ("a",)), (orders, ("o", "p"))
    _, transport = world.connect(*both, place={TODOS: start_of(1)}, lost={orders: "unknown_cursor"})
    await turns()
    assert kinds(transport) == ["ready", "resync", "resync", "message", "live"]
    assert reasons(transport) == ["unknown_cursor"] * 2
    assert transport.events[1].id is None
    assert transport.events[2].id == Place({TODOS: start_of(1), ORDERS: at(2)}).cursor


async def test_live_is_withheld_until_the_watcher_has_passed_its_start(world: World) -> None:
    todos = feed(started=False)
    _, new = world.connect((todos, ("a",)))
    _, known = world.connect((todos, ("a",)), place={TODOS: at(1)})
    world.publish(todos, message(at(2), "a"))
    await turns()
    assert kinds(new) == kinds(known) == ["ready"]
    world.hub.start(todos)
    await turns()
    assert kinds(new) == ["ready", "live"]
    assert kinds(known) == ["ready", "message", "live"]


async def test_a_watcher_that_failed_does_not_hold_the_others_up(world: World) -> None:
    todos, orders = feed(), feed(ORDERS, started=False)
    orders.failed = "not authorised"
    _, transport = world.connect((todos, ("a",)), (orders, ("o",)), place={ORDERS: at(2)})
    await turns()
    assert kinds(transport) == ["ready", "live"]
    world.publish(orders, message(at(2), "o"), message(at(3), "o"))
    world.hub.start(orders)
    await turns()
    world.publish(todos, message(at(2), "a"))
    assert kinds(transport) == ["ready", "live", "message", "message"]
    assert ids(transport) == [at(3), at(2)]
    assert transport.events[-1].id == Place({TODOS: at(2), ORDERS: at(3)}).cursor


async def test_below_memory_it_is_served_from_the_oplog_and_then_from_memory(
    world: World,
) -> None:
    todos = feed(floor=100)
    world.publish(todos, message(at(101), "a"))
    old = [message(at(50), "a"), message(at(60), "b"), resync(at(70)), message(at(80), "a")]
    world.backfills.then = [giving(*old, head=start_of(100))]
    _, transport = world.connect((todos, ("a",)), place={TODOS: at(50)})
    await turns()
    assert kinds(transport) == ["ready", "resync", "message", "message", "live"]
    assert ids(transport) == [at(80), at(101)]
    assert world.backfills.asked == [at(50)]


async def test_what_the_oplog_has_lost_is_a_resync(world: World) -> None:
    todos = feed(floor=100)
    world.backfills.then = [HistoryLost("gone")]
    _, transport = world.connect((todos, ("a",)), place={TODOS: at(50)})
    await turns()
    assert kinds(transport) == ["ready", "resync", "live"]
    assert reasons(transport) == ["history_lost"]


async def test_readings_that_do_not_reach_memory_are_tried_three_times(world: World) -> None:
    todos = feed(floor=100)
    _, transport = world.connect((todos, ("a",)), place={TODOS: at(50)})
    await turns()
    assert len(world.backfills.asked) == ROUNDS
    assert reasons(transport) == ["history_lost"]


async def test_while_mongodb_is_away_it_asks_again_and_nothing_is_lost(world: World) -> None:
    todos = feed(floor=100)
    away = [MongoError("away") for _ in range(7)]
    world.backfills.then = [*away, giving(head=start_of(100))]
    _, transport = world.connect((todos, ("a",)), place={TODOS: at(50)})
    await turns(60)
    assert kinds(transport) == ["ready", "live"]
    assert len(world.backfills.asked) == 8


async def test_a_full_socket_is_skipped_and_caught_up_without_loss(world: World) -> None:
    todos = feed()
    _, transport = world.connect((todos, ("a",)))
    await turns()
    transport.stuck = True
    for second in range(2, 30):
        world.publish(todos, message(at(second), "a", size=LOW_WATER))
        await turns(3)
    assert len(transport.unsent) <= ROOM + 2 * LOW_WATER
    transport.stuck = False
    transport.read()
    await turns(100)
    assert ids(transport) == [at(second) for second in range(2, 30)]
    assert kinds(transport).count("live") == 1


async def test_it_catches_up_in_pieces_each_when_the_last_has_drained(world: World) -> None:
    todos = feed()
    for second in range(2, 40):
        world.publish(todos, message(at(second), "a", size=LOW_WATER))
    _, transport = world.connect((todos, ("a",)), place={TODOS: at(1)}, stuck=True)
    largest = 0
    for _ in range(100):
        await turns(3)
        largest = max(largest, len(transport.unsent))
        transport.read(LOW_WATER)
    assert 2 * LOW_WATER < largest <= ROOM + LOW_WATER + 4096
    assert ids(transport) == [at(second) for second in range(2, 40)]


async def test_a_reading_of_the_oplog_goes_at_the_pace_of_the_socket(world: World) -> None:
    todos = feed(floor=100)
    old = [message(at(second), "a", size=LOW_WATER) for second in range(2, 40)]
    world.backfills.then = [giving(*old, head=start_of(100))]
    _, transport = world.connect((todos, ("a",)), place={TODOS: at(1)}, stuck=True)
    largest = 0
    for _ in range(100):
        await turns(3)
        largest = max(largest, len(transport.unsent))
        transport.read(LOW_WATER)
    assert 2 * LOW_WATER < largest <= ROOM + LOW_WATER + 4096
    assert ids(transport) == [at(second) for second in range(2, 40)]


async def test_connected_and_too_slow_for_memory_it_is_told(world: World) -> None:
    todos = feed(max_messages=3)
    _, transport = world.connect((todos, ("a",)))
    await turns()
    transport.stuck = True
    for second in range(2, 30):
        world.publish(todos, message(at(second), "a", size=LOW_WATER))
    transport.stuck = False
    transport.read()
    await turns()
    assert reasons(transport) == ["slow_consumer"]
    assert transport.events[-1].id == f"{TODOS}-{at(29)}"
    assert world.backfills.asked == []
    world.publish(todos, message(at(30), "a"))
    assert ids(transport)[-1] == at(30)


async def test_a_gap_in_the_stream_is_lost_history_for_all_who_are_connected(
    world: World,
) -> None:
    todos = feed()
    _, transport = world.connect((todos, ("a",)))
    await turns()
    world.hub.gap(todos, start_of(50))
    await turns()
    world.publish(todos, message(at(51), "a"))
    assert kinds(transport) == ["ready", "live", "resync", "message"]
    assert reasons(transport) == ["history_lost"]


async def test_it_says_goodbye_and_leaves_the_hub(world: World) -> None:
    todos = feed()
    connection, transport = world.connect((todos, ("a",)))
    await turns()
    connection.end("shutdown", reconnect=True, delay=1500)
    connection.end("max_age", reconnect=True, delay=1)
    await world.tasks[0]
    world.publish(todos, message(at(2), "a"))
    assert kinds(transport) == ["ready", "live", "bye"]
    assert orjson.loads(transport.events[-1].data)["code"] == "shutdown"


async def test_goodbye_comes_at_once_while_a_slow_client_catches_up(world: World) -> None:
    todos = feed(floor=100)
    old = [message(at(second), "a", size=LOW_WATER) for second in range(2, 90)]
    world.backfills.then = [giving(*old, head=start_of(100))]
    connection, transport = world.connect((todos, ("a",)), place={TODOS: at(1)}, stuck=True)
    await turns()
    unsent = len(transport.unsent)
    connection.end("shutdown", reconnect=True, delay=1500)
    await asyncio.wait_for(world.tasks[0], 1)
    assert len(transport.unsent) < unsent + 200
    transport.read()
    assert kinds(transport)[-1] == "bye"
    assert world.subscriptions[-1].satisfied


async def test_cancelled_it_leaves_the_hub(world: World) -> None:
    todos = feed()
    _, transport = world.connect((todos, ("a",)))
    await turns()
    world.tasks[0].cancel()
    await turns(2)
    world.publish(todos, message(at(2), "a"))
    assert kinds(transport) == ["ready", "live"]


async def test_a_client_that_takes_nothing_is_cut_after_a_while(world: World) -> None:
    todos = feed()
    connection, transport = world.connect((todos, ("a",)))
    await turns()
    now = world.subscriptions[-1].beaten
    transport.stuck = True
    world.publish(todos, message(at(2), "a", size=1000))
    connection.check(now + 30, patience=30)
    transport.read(1)
    connection.check(now + 31, patience=30)
    connection.check(now + 61, patience=30)
    assert not transport.aborted
    connection.check(now + 61.1, patience=30)
    assert transport.aborted


async def test_a_quiet_client_is_not_cut(world: World) -> None:
    connection, transport = world.connect((feed(), ("a",)))
    await turns()
    connection.check(world.subscriptions[-1].beaten + 10_000, patience=30)
    assert not transport.aborted


async def test_heartbeats_go_on_while_it_waits(world: World) -> None:
    todos = feed(started=False)
    connection, transport = world.connect((todos, ("a",)), place={TODOS: at(1)})
    await turns()
    now = world.subscriptions[-1].beaten
    for seconds in (14, 15, 20, 30):
        connection.check(now + seconds, patience=30)
    beats = [event.id for event in transport.events if event.type == "heartbeat"]
    assert beats == [f"{TODOS}-{at(1)}"] * 2
