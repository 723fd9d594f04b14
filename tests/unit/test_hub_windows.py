"""Windows and conflation: what they collect, and when it is given."""

import asyncio
from typing import Any

import orjson
import pytest

from bridge.audience import Interest
from bridge.batching import Batching
from bridge.events import Message, Place
from bridge.feed import Feed
from bridge.history import History
from bridge.hub import Hub
from bridge.sse_wire import PLAIN
from tests.acceptance.sse_parser import Event
from tests.fakes import FakeListener, at, events_in, start_of

LATER = 3600.0
"""Seconds of a window that ends only when the test says so."""


def feed(tag: str, **batching: Any) -> Feed:
    history = History(floor=start_of(1), window=1 << 30, max_messages=1 << 30, max_bytes=1 << 40)
    made = Feed(name=tag, tag=tag, history=history, batching=Batching(**batching))
    made.started = True
    return made


def about(where: str, channel: str, document: str) -> Message:
    body = {"id": where, "channel": channel, "key": document}
    return Message(where, channel, orjson.dumps(body), "", document)


def follow(*feeds: tuple[Feed, tuple[str, ...]]) -> Interest:
    return Interest(feeds, PLAIN)


def join(hub: Hub, *feeds: tuple[Feed, tuple[str, ...]]) -> FakeListener:
    listener = FakeListener()
    hub.join(listener, follow(*feeds), Place({f.tag: f.flushed for f, _ in feeds}))
    return listener


def publish(hub: Hub, to: Feed, *run: Message) -> None:
    hub.publish(to, run, run[-1].position)


def told(events: list[Event]) -> list[str]:
    """The ids of all messages, in the order that they came."""
    ids: list[str] = []
    for event in events:
        data = orjson.loads(event.data)
        ids += [each["id"] for each in data.get("messages", [data]) if "id" in each]
    return ids


@pytest.fixture
async def hub() -> Hub:
    return Hub(flush_interval=0, max_write=1 << 20)


async def test_a_window_collects_until_it_ends(hub: Hub) -> None:
    todos = feed("1f3a9c02", window=0.01)
    listener = join(hub, (todos, ("a",)))
    for second in (2, 3, 4):
        publish(hub, todos, about(at(second), "a", "d"))
        await asyncio.sleep(0)
    hub.flush()
    assert listener.data == []
    async with asyncio.timeout(5):
        while not listener.data:
            await asyncio.sleep(0.001)
    (event,) = listener.events
    assert told([event]) == [at(2), at(3), at(4)]
    assert event.id == f"1f3a9c02-{at(4)}"
    publish(hub, todos, about(at(5), "a", "d"))
    hub.flush()
    assert len(listener.events) == 1, "the next window has begun"


async def test_a_watcher_without_a_window_does_not_wait_for_one_that_has(hub: Hub) -> None:
    todos, orders = feed("1f3a9c02", window=LATER), feed("77777777")
    listener = join(hub, (todos, ("a",)), (orders, ("o",)))
    before = Place({"1f3a9c02": todos.flushed, "77777777": at(2)}).cursor
    publish(hub, todos, about(at(2), "a", "d"))
    publish(hub, orders, about(at(2), "o", "d"))
    hub.flush()
    assert [event.id for event in listener.events] == [before]


async def test_time_that_moves_on_shows_no_cursor_above_what_waits(hub: Hub) -> None:
    todos = feed("1f3a9c02", window=LATER)
    listener = join(hub, (todos, ("a",)))
    publish(hub, todos, about(at(2), "a", "d"))
    hub.publish(todos, [], start_of(9))
    listener.period = 0.0
    hub.beat(1e12)
    beat = listener.events[-1]
    assert (beat.type, beat.id) == ("heartbeat", f"1f3a9c02-{start_of(1)}")
    hub.flush(windows=True)
    assert told(listener.events[1:]) == [at(2)]
    assert todos.flushed == start_of(9)


async def test_all_channels_of_a_window_flush_together_with_one_cursor(hub: Hub) -> None:
    todos = feed("1f3a9c02", window=LATER, max_messages=2)
    listener = join(hub, (todos, ("a", "b")))
    publish(hub, todos, *(about(at(s), "ab"[s % 2], f"d{s}") for s in range(2, 8)))
    hub.flush(windows=True)
    cursors = [event.id for event in listener.events]
    assert cursors == [None, None, None, f"1f3a9c02-{at(7)}"]
    assert sorted(told(listener.events)) == [at(s) for s in range(2, 8)]


async def test_a_gap_ends_the_window(hub: Hub) -> None:
    todos = feed("1f3a9c02", window=LATER)
    listener = join(hub, (todos, ("a",)))
    publish(hub, todos, about(at(2), "a", "d"))
    hub.gap(todos, start_of(50))
    assert told(listener.events) == [at(2)]
    assert listener.behind == [Place({"1f3a9c02": at(2)})]


async def test_conflation_sends_the_latest_of_each_document(hub: Hub) -> None:
    todos = feed("1f3a9c02", window=LATER, conflate=True)
    listener = join(hub, (todos, ("a",)))
    run = [about(at(s), "a", f"d{s % 2}") for s in range(2, 8)]
    publish(hub, todos, *run)
    hub.flush(windows=True)
    assert told(listener.events) == [at(6), at(7)]
    assert hub.delivered == 2


async def test_who_was_slow_catches_up_conflated(hub: Hub) -> None:
    todos = feed("1f3a9c02", conflate=True)
    listener = join(hub, (todos, ("a",)))
    listener.full = True
    for second in range(2, 100):
        publish(hub, todos, about(at(second), "a", f"d{second % 3}"))
        hub.flush()
    (place,) = listener.behind
    data, reached, _ = hub.replay(follow((todos, ("a",))), place)
    assert told(events_in(data)) == [at(97), at(98), at(99)]
    assert reached == Place({"1f3a9c02": at(99)})


async def test_a_document_that_changes_again_in_an_open_window_is_told_when_it_ends(
    hub: Hub,
) -> None:
    """Its older message is left out of a replay although the newer one is not due yet."""
    todos = feed("1f3a9c02", window=LATER, conflate=True)
    publish(hub, todos, about(at(2), "a", "d"), about(at(3), "a", "e"))
    hub.flush(windows=True)
    publish(hub, todos, about(at(4), "a", "d"))
    interest = follow((todos, ("a",)))
    data, place, _ = hub.replay(interest, Place({"1f3a9c02": start_of(1)}))
    assert told(events_in(data)) == [at(3)]
    late = FakeListener()
    hub.join(late, interest, place)
    hub.flush(windows=True)
    assert told(late.events) == [at(4)]
