import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any

import pytest

from bridge import backfill
from bridge.backfill import Backfills
from bridge.errors import HistoryLost, MongoError
from bridge.events import Message, seconds_of
from bridge.feed import Feed
from bridge.history import History
from tests.fakes import at, message, start_of

MEMORY = 1000
"""The second at which memory begins."""


async def turns(number: int = 10) -> None:
    """Lets everything that can go on go on."""
    for _ in range(number):
        await asyncio.sleep(0)


def feed(name: str = "todos") -> Feed:
    history = History(floor=start_of(MEMORY), window=120, max_messages=10, max_bytes=10_000)
    return Feed(name=name, tag="1f3a9c02", history=history)


class Reader:
    """Takes everything on one channel, at its own pace."""

    def __init__(self, seconds: int, *, wants: int = 1 << 30) -> None:
        self.place = at(seconds)
        self.taken: list[Message] = []
        self.wants = wants
        self.ready = asyncio.Event()
        self.ready.set()

    @property
    def satisfied(self) -> bool:
        return len(self.taken) >= self.wants

    def place_in(self, feed: Feed) -> str:
        return self.place

    async def take(
        self, feed: Feed, messages: Mapping[str | None, list[Message]], head: str
    ) -> None:
        for due in messages.get("a", ()):
            if due.position > self.place and not self.satisfied:
                await self.ready.wait()
                self.taken.append(due)
                self.place = due.position
        if not self.satisfied:
            self.place = max(self.place, head)

    @property
    def seconds(self) -> list[int]:
        return [seconds_of(taken.position) for taken in self.taken]


class Oplog:
    """One message a second, each its own batch; gives only what it is allowed to."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.allowed = 1 << 30
        self.more = asyncio.Event()
        self.first = 0
        self.error: Exception | None = None
        self.reported: list[tuple[str, BaseException]] = []

    async def open(self, feed: Feed, start: str) -> AsyncGenerator[tuple[list[Message], str], None]:
        second = seconds_of(start)
        self.begun.append(second)
        try:
            if second < self.first:
                raise HistoryLost("overrun")
            while True:
                while second > self.allowed:
                    await self.more.wait()
                if self.error:
                    raise self.error
                yield [message(at(second), "a")], at(second, 1, 15)
                second += 1
        finally:
            self.ended.append(seconds_of(start))

    def allow(self, second: int) -> None:
        self.allowed = second
        self.more.set()
        self.more = asyncio.Event()


@pytest.fixture
def oplog() -> Oplog:
    return Oplog()


Make = Callable[..., Backfills]


@pytest.fixture
async def backfills(oplog: Oplog) -> AsyncIterator[Make]:
    async with asyncio.TaskGroup() as tasks:

        def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
            return tasks.create_task(coroutine, name=name)

        yield lambda at_once=4: Backfills(
            at_once=at_once,
            open_messages=oplog.open,
            spawn=spawn,
            count=lambda: None,
            report=lambda reading, error: oplog.reported.append((reading, error)),
        )


def fetching(fetch: Awaitable[None]) -> "asyncio.Task[None]":
    return asyncio.ensure_future(fetch)


async def test_a_reader_takes_everything_between_its_place_and_memory(
    backfills: Make, oplog: Oplog
) -> None:
    reader = Reader(990)
    await backfills().fetch(feed(), reader)
    assert reader.seconds == list(range(991, MEMORY + 1))
    assert oplog.ended == [990]


async def test_readers_of_about_the_same_stretch_share_one_reading(
    backfills: Make, oplog: Oplog
) -> None:
    oplog.allow(0)
    todos, shared = feed(), backfills(at_once=1)
    blocker = Reader(999)
    blocking = fetching(shared.fetch(feed("other"), blocker))
    await turns()
    readers = [Reader(second) for second in (990, 985, 995)]
    waiting = [fetching(shared.fetch(todos, reader)) for reader in readers]
    await turns()
    oplog.allow(MEMORY)
    await asyncio.gather(blocking, *waiting)
    assert oplog.begun == [999, 985]
    assert [reader.seconds[0] for reader in readers] == [991, 986, 996]
    assert all(reader.seconds[-1] == MEMORY for reader in readers)


async def test_who_comes_later_joins_a_reading_that_has_not_passed_its_place(
    backfills: Make, oplog: Oplog
) -> None:
    oplog.allow(985)
    todos, shared = feed(), backfills()
    first, second, third = Reader(980), Reader(990), Reader(983)
    one = fetching(shared.fetch(todos, first))
    await turns(20)
    two = fetching(shared.fetch(todos, second))
    three = fetching(shared.fetch(todos, third))
    await turns()
    assert oplog.begun == [980, 983]
    oplog.allow(MEMORY)
    await asyncio.gather(one, two, three)
    assert (first.seconds[0], second.seconds[0], third.seconds[0]) == (981, 991, 984)
    assert all(r.seconds[-1] == MEMORY for r in (first, second, third))


async def test_who_joins_while_a_batch_is_given_out_does_not_miss_that_batch(
    backfills: Make, oplog: Oplog
) -> None:
    todos, shared = feed(), backfills()
    slow, late = Reader(980), Reader(980)
    slow.ready.clear()
    one = fetching(shared.fetch(todos, slow))
    await turns()  # until the second batch is held up
    late.place = at(980, 1, 15)  # where the first one has ended
    two = fetching(shared.fetch(todos, late))
    await turns()
    slow.ready.set()
    await asyncio.gather(one, two)
    assert late.seconds == slow.seconds == list(range(981, MEMORY + 1))


async def test_the_shortest_stretch_goes_first(backfills: Make, oplog: Oplog) -> None:
    oplog.allow(0)
    todos, shared = feed(), backfills(at_once=1)
    waiting = [fetching(shared.fetch(todos, Reader(second))) for second in (999, 100, 800, 980)]
    await turns()
    oplog.allow(MEMORY)
    await asyncio.gather(*waiting)
    assert oplog.begun == [999, 980, 800, 100]


async def test_a_short_stretch_does_not_wait_for_a_long_reading(
    backfills: Make, oplog: Oplog
) -> None:
    todos, shared = feed(), backfills()
    old, young = Reader(100), Reader(990)
    old.ready.clear()
    long = fetching(shared.fetch(todos, old))
    await turns()
    await shared.fetch(todos, young)
    assert young.seconds == list(range(991, MEMORY + 1))
    assert not long.done()
    old.ready.set()
    await long


async def test_only_so_many_readings_run_at_once(backfills: Make, oplog: Oplog) -> None:
    oplog.allow(0)
    shared = backfills(at_once=2)
    waiting = [fetching(shared.fetch(feed(), Reader(990))) for _ in range(5)]
    await turns()
    assert len(oplog.begun) == 2
    oplog.allow(MEMORY)
    await asyncio.gather(*waiting)
    assert len(oplog.begun) == 5


async def test_a_slow_reader_leaves_with_what_it_has_and_the_others_go_on(
    backfills: Make, oplog: Oplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "GRACE", 0.0)
    oplog.allow(985)
    todos, shared = feed(), backfills()
    slow, quick = Reader(980), Reader(980)
    one, two = fetching(shared.fetch(todos, slow)), fetching(shared.fetch(todos, quick))
    await turns(20)
    slow.ready.clear()
    oplog.allow(MEMORY)
    await asyncio.gather(one, two)
    assert slow.seconds == list(range(981, 986))
    assert quick.seconds == list(range(981, MEMORY + 1))
    slow.ready.set()
    await shared.fetch(todos, slow)
    assert slow.seconds == quick.seconds


async def test_a_reader_that_has_enough_leaves(backfills: Make, oplog: Oplog) -> None:
    reader = Reader(980, wants=3)
    await backfills().fetch(feed(), reader)
    assert reader.seconds == [981, 982, 983]
    await turns()
    assert oplog.ended == [980]


async def test_a_reading_that_nobody_waits_for_ends(backfills: Make, oplog: Oplog) -> None:
    oplog.allow(985)
    todos, shared = feed(), backfills(at_once=1)
    one, two = (fetching(shared.fetch(todos, Reader(980))) for _ in range(2))
    await turns()
    one.cancel()
    await turns()
    assert oplog.ended == []
    two.cancel()
    await turns()
    assert oplog.ended == [980]


@pytest.mark.parametrize("moment", range(12))
async def test_a_reading_cancelled_before_it_began_leaves_its_slot_to_others(
    backfills: Make, oplog: Oplog, moment: int
) -> None:
    oplog.allow(0)
    todos, shared = feed(), backfills(at_once=1)
    first = fetching(shared.fetch(feed("other"), Reader(1000)))
    queued = fetching(shared.fetch(todos, Reader(980)))
    await turns()
    oplog.allow(MEMORY)
    await turns(moment)  # at one of these, the queued one is started while it is leaving
    queued.cancel()
    await turns(2)
    reader = Reader(990)
    await asyncio.wait_for(asyncio.gather(first, shared.fetch(todos, reader)), 1)
    assert reader.seconds[-1] == MEMORY


async def test_nobody_joins_a_reading_that_is_being_cancelled(
    backfills: Make, oplog: Oplog
) -> None:
    oplog.allow(985)
    todos, shared = feed(), backfills(at_once=1)
    gone = fetching(shared.fetch(todos, Reader(980)))
    await turns(20)
    gone.cancel()
    await turns(1)
    reader = Reader(990)
    oplog.allow(MEMORY)
    await shared.fetch(todos, reader)
    assert reader.seconds == list(range(991, MEMORY + 1))


async def test_a_lost_start_is_told_only_to_those_who_asked_for_it(
    backfills: Make, oplog: Oplog
) -> None:
    oplog.allow(0)
    oplog.first = 985
    todos, shared = feed(), backfills(at_once=1)
    blocking = fetching(shared.fetch(feed("other"), Reader(999)))
    await turns()
    lost, kept = Reader(984), Reader(990)
    one, two = fetching(shared.fetch(todos, lost)), fetching(shared.fetch(todos, kept))
    await turns()
    oplog.allow(MEMORY)
    await asyncio.gather(blocking, two)
    with pytest.raises(HistoryLost):
        await one
    assert kept.seconds == list(range(991, MEMORY + 1))
    assert oplog.begun == [999, 984, 990]


async def test_what_goes_wrong_in_between_is_told_to_all_who_wait(
    backfills: Make, oplog: Oplog
) -> None:
    oplog.error = MongoError("away")
    todos, shared = feed(), backfills()
    waiting = [shared.fetch(todos, Reader(980)) for _ in range(2)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["away", "away"]


async def test_a_reading_ends_after_its_time_and_its_readers_may_ask_again(
    backfills: Make, oplog: Oplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "TIME_LIMIT", 0.01)
    oplog.allow(985)
    todos, shared = feed(), backfills()
    reader = Reader(980)
    await shared.fetch(todos, reader)
    assert reader.seconds == list(range(981, 986))
    assert oplog.ended == [980]


async def test_an_error_that_nobody_foresaw_ends_its_reading_and_no_other(
    backfills: Make, oplog: Oplog
) -> None:
    """The fixture's TaskGroup would end everything with it."""
    shared, other = backfills(), Reader(990)
    oplog.allow(995)
    going_on = fetching(shared.fetch(feed("other"), other))
    await turns(100)
    oplog.error = KeyError("nobody foresaw it")
    with pytest.raises(HistoryLost, match="the log says why"):
        await shared.fetch(feed(), Reader(980))
    assert oplog.reported == [("backfill todos", oplog.error)]
    oplog.error = None
    oplog.allow(MEMORY)
    await going_on
    assert other.seconds == list(range(991, MEMORY + 1))


async def test_who_cannot_take_fails_alone(backfills: Make, oplog: Oplog) -> None:
    class Broken(Reader):
        async def take(self, *_: Any) -> None:
            raise KeyError("nobody foresaw it")

    todos, shared, fine = feed(), backfills(), Reader(990)
    oplog.allow(995)
    failing = fetching(shared.fetch(todos, Broken(990)))
    going_on = fetching(shared.fetch(todos, fine))
    await turns()
    oplog.allow(1 << 30)
    with pytest.raises(KeyError):
        await failing
    await going_on
    assert fine.seconds == list(range(991, MEMORY + 1))
    assert oplog.reported == []
