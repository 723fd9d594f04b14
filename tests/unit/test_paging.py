import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bridge import paging
from bridge.audience import Interest
from bridge.errors import HistoryGone, HistoryLost, MongoError, Unavailable
from bridge.events import Message
from bridge.feed import Feed
from bridge.history import History
from bridge.hub import Hub
from bridge.paging import PAGE_BYTES, ROUNDS, Page
from bridge.reader import Reader
from bridge.sse_wire import PLAIN
from tests.fakes import at, message, resync, start_of

TODOS = "1f3a9c02"


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def feed(*, floor: int = 1, started: bool = True, max_bytes: int = 1 << 20) -> Feed:
    history = History(floor=start_of(floor), window=1 << 30, max_messages=1000, max_bytes=max_bytes)
    made = Feed(name="todos", tag=TODOS, history=history)
    made.started = started
    return made


class FakeBackfills:
    """Readings that do what a test tells them, one after the other."""

    def __init__(self, *then: Callable[[Feed, Reader], Any] | Exception) -> None:
        self.then = [*then]
        self.asked: list[str] = []

    async def fetch(self, feed: Feed, reader: Reader) -> None:
        self.asked.append(reader.place_in(feed))
        do = self.then.pop(0) if self.then else None
        if isinstance(do, Exception):
            raise do
        if do:
            await do(feed, reader)

    def release(self, reader: Reader) -> None:
        raise AssertionError("a page waits for its readings")


def giving(*messages: Message, head: str) -> Callable[[Feed, Reader], Any]:
    by_channel: dict[str | None, list[Message]] = {}
    for each in messages:
        by_channel.setdefault(each.channel, []).append(each)
    return lambda feed, page: page.take(feed, by_channel, head)


@pytest.fixture
async def hub() -> Hub:
    return Hub(flush_interval=0, max_write=1 << 20)


def publish(hub: Hub, to: Feed, *run: Message) -> None:
    hub.publish(to, run, run[-1].position)
    hub.flush()


def page(of: Feed, *, after: str, limit: int = 100) -> Page:
    return Page(interest=Interest(((of, ("a",)),), PLAIN), place=after, limit=limit)


def positions(of: Page) -> list[str]:
    return [each.position for each in of.messages]


async def test_a_page_has_the_channels_messages_and_ends_where_the_watcher_is(hub: Hub) -> None:
    todos = feed()
    publish(hub, todos, message(at(2), "a"), message(at(3), "b"), message(at(4), "a"))
    hub.publish(todos, [], start_of(9))
    got = page(todos, after=at(2))
    await got.fill(hub, FakeBackfills(), 0)
    assert (positions(got), got.place, got.complete) == ([at(4)], start_of(9), True)


async def test_a_full_page_ends_at_its_last_message_and_the_next_goes_on_there(hub: Hub) -> None:
    todos = feed()
    publish(hub, todos, *(message(at(second), "a") for second in range(2, 8)))
    read: list[str] = []
    where, complete = start_of(1), False
    while not complete:
        got = page(todos, after=where, limit=4)
        await got.fill(hub, FakeBackfills(), 0)
        read += positions(got)
        where, complete = got.place, got.complete
    assert read == [at(second) for second in range(2, 8)]


async def test_a_page_that_is_just_full_is_complete(hub: Hub) -> None:
    todos = feed()
    publish(hub, todos, message(at(2), "a"), message(at(3), "a"), message(at(4), "b"))
    got = page(todos, after=start_of(1), limit=2)
    await got.fill(hub, FakeBackfills(), 0)
    assert (got.place, got.complete) == (at(3), True)


async def test_the_place_is_never_below_what_was_given(hub: Hub) -> None:
    todos = feed()
    publish(hub, todos, message(at(2), "a"))
    got = page(todos, after=at(50))
    await got.fill(hub, FakeBackfills(), 0)
    assert (positions(got), got.place, got.complete) == ([], at(50), True)


async def test_it_waits_for_the_first_message(hub: Hub) -> None:
    todos = feed()
    got = page(todos, after=start_of(1))
    filling = asyncio.create_task(got.fill(hub, FakeBackfills(), 60))
    await turns()
    publish(hub, todos, message(at(2), "b"))
    await turns()
    assert not filling.done()
    publish(hub, todos, message(at(3), "a"))
    await filling
    assert (positions(got), got.place) == ([at(3)], at(3))
    assert not hub._audiences


async def test_it_waits_no_longer_than_asked_and_its_place_moves_on(hub: Hub) -> None:
    todos = feed()
    got = page(todos, after=start_of(1))
    filling = asyncio.create_task(got.fill(hub, FakeBackfills(), 0.001))
    await turns()
    hub.publish(todos, [], start_of(9))
    await filling
    assert (positions(got), got.place) == ([], start_of(9))


async def test_a_page_stops_before_a_resync_and_the_next_one_is_gone(hub: Hub) -> None:
    todos = feed()
    publish(hub, todos, message(at(2), "a"), resync(at(3)), message(at(4), "a"))
    got = page(todos, after=start_of(1))
    await got.fill(hub, FakeBackfills(), 0)
    assert (positions(got), got.place, got.complete) == ([at(2)], at(2), False)
    with pytest.raises(HistoryGone, match="dropped"):
        await page(todos, after=got.place).fill(hub, FakeBackfills(), 60)
    after = page(todos, after=at(3))
    await after.fill(hub, FakeBackfills(), 0)
    assert positions(after) == [at(4)]


async def test_below_memory_it_is_read_from_the_oplog_and_on_from_memory(hub: Hub) -> None:
    todos = feed(floor=100)
    publish(hub, todos, message(at(101), "a"))
    old = [message(at(50), "a"), message(at(60), "a"), message(at(70), "b")]
    got = page(todos, after=at(50))
    await got.fill(hub, FakeBackfills(giving(*old, head=start_of(100))), 0)
    assert (positions(got), got.complete) == ([at(60), at(101)], True)


async def test_a_page_filled_from_the_oplog_is_not_complete(hub: Hub) -> None:
    todos = feed(floor=100)
    old = [message(at(second), "a") for second in (60, 70, 80)]
    got = page(todos, after=at(50), limit=2)
    await got.fill(hub, FakeBackfills(giving(*old, head=start_of(100))), 0)
    assert (positions(got), got.place, got.complete) == ([at(60), at(70)], at(70), False)
    assert got.satisfied


async def test_a_resync_in_the_oplog_is_gone_too(hub: Hub) -> None:
    todos = feed(floor=100)
    backfills = FakeBackfills(giving(resync(at(60)), head=start_of(100)))
    with pytest.raises(HistoryGone, match="dropped"):
        await page(todos, after=at(50)).fill(hub, backfills, 0)


async def test_what_the_oplog_has_lost_is_gone(hub: Hub) -> None:
    with pytest.raises(HistoryGone, match="no longer reaches back"):
        await page(feed(floor=100), after=at(50)).fill(hub, FakeBackfills(HistoryLost("286")), 0)


async def test_readings_that_never_reach_memory_end(hub: Hub) -> None:
    backfills = FakeBackfills()
    with pytest.raises(HistoryGone, match="in time"):
        await page(feed(floor=100), after=at(50)).fill(hub, backfills, 0)
    assert len(backfills.asked) == ROUNDS


async def test_while_mongodb_is_away_it_is_unavailable(hub: Hub) -> None:
    with pytest.raises(Unavailable, match="away"):
        await page(feed(floor=100), after=at(50)).fill(hub, FakeBackfills(MongoError("away")), 0)


async def test_a_watcher_that_failed_is_unavailable_by_name(hub: Hub) -> None:
    todos = feed(started=False)
    todos.failed = "not authorised"
    with pytest.raises(Unavailable, match="watcher todos: not authorised"):
        await page(todos, after=at(1)).fill(hub, FakeBackfills(), 0)


async def test_it_waits_for_the_start_but_not_for_ever(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "POLL", 0)
    todos = feed(started=False)
    got = page(todos, after=start_of(1))
    filling = asyncio.create_task(got.fill(hub, FakeBackfills(), 0))
    await turns()
    assert not filling.done()
    hub.publish(todos, [message(at(2), "a")], at(2))
    hub.start(todos)
    await filling
    assert positions(got) == [at(2)]
    monkeypatch.setattr(paging, "START_LIMIT", 0.001)
    with pytest.raises(Unavailable, match="still starting"):
        await page(feed(started=False), after=at(1)).fill(hub, FakeBackfills(), 0)


async def test_a_gap_while_it_waits_is_told(hub: Hub) -> None:
    todos = feed()
    backfills = FakeBackfills(HistoryLost("286"))
    got = page(todos, after=start_of(1))
    filling = asyncio.create_task(got.fill(hub, backfills, 60))
    await turns()
    hub.gap(todos, start_of(50))
    with pytest.raises(HistoryGone):
        await filling


@pytest.mark.parametrize("below_memory", [False, True])
async def test_a_page_is_full_at_eight_mebibytes_and_the_next_goes_on_from_there(
    hub: Hub, below_memory: bool
) -> None:
    third = PAGE_BYTES // 3
    run = [message(at(second), "a", size=third) for second in range(2, 10)]
    todos = feed(floor=20 if below_memory else 1, max_bytes=1 << 30)
    if below_memory:
        backfills = FakeBackfills(*[giving(*run, head=start_of(20))] * 3)
    else:
        backfills = FakeBackfills()
        publish(hub, todos, *run)
    found: list[list[str]] = []
    after = at(1)
    for _ in range(3):
        got = page(todos, after=after)
        await got.fill(hub, backfills, 0)
        assert sum(len(body) for body in got.bodies) < PAGE_BYTES + third
        found.append(positions(got))
        after = got.place
    expected = [each.position for each in run]
    assert found == [expected[:4], expected[4:], []]
    assert got.complete


async def test_a_message_larger_than_a_page_is_a_page(hub: Hub) -> None:
    todos = feed(max_bytes=1 << 30)
    run = [message(at(second), "a", size=PAGE_BYTES + 1) for second in (2, 3)]
    publish(hub, todos, *run)
    got = page(todos, after=at(1))
    await got.fill(hub, FakeBackfills(), 0)
    assert positions(got) == [at(2)]
    assert not got.complete
