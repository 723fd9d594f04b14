import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from bridge.encode import Encoder
from bridge.errors import HistoryLost, MongoError, MongoRefused
from bridge.events import cluster_time
from bridge.feed import Feed
from bridge.history import History
from bridge.hub import Hub
from bridge.metrics import Metrics
from bridge.routing import Route
from bridge.stream import Stream
from bridge.templates import Template
from bridge.watcher import Watcher
from tests.fakes import FakeSource, at, insert, start_of

NOW = 1000
WINDOW = 120


def watcher(name: str) -> Watcher:
    rule = Template(name + ":{workspace}")
    floor = "0" * 22
    history = History(floor=floor, window=WINDOW, max_messages=1000, max_bytes=1 << 20)
    return Watcher(
        feed=Feed(name=name, tag="1f3a9c02", history=history),
        rule=rule,
        route=Route(rule, expect_before=True),
        encoder=Encoder(mode="full", json="plain", wide=False, max_message=1 << 20),
        refuse=lambda reason: None,
    )


@dataclass
class Rig:
    """A stream over a scripted source, and the waits that it asked for."""

    source: FakeSource = field(default_factory=lambda: FakeSource(now=NOW))
    watchers: list[Watcher] = field(default_factory=lambda: [watcher("todos"), watcher("users")])
    delays: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stream = Stream(
            name="todos+users",
            source=self.source,
            watchers=self.watchers,
            hub=Hub(flush_interval=0, max_write=1 << 20),
            metrics=Metrics(),
            window=WINDOW,
        )
        self.feed = self.watchers[0].feed
        self.task: asyncio.Task[None] | None = None

    async def runs(self) -> None:
        """Lets the stream go on for as long as it has something to do."""
        self.task = self.task or asyncio.create_task(self.stream.run())
        for _ in range(40):
            await asyncio.sleep(0)
        assert not self.task.done()

    @property
    def kept(self) -> list[str]:
        history = self.feed.history
        run, _ = history.since("0" * 22, ("todos:acme",), until=history.head, limit=1 << 20)
        return [message.position for message in run]


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    made = Rig()
    turn = asyncio.sleep

    async def note(delay: float) -> None:
        if delay:
            made.delays.append(delay)
        await turn(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    yield made
    if made.task:
        made.task.cancel()
        with suppress(asyncio.CancelledError):
            await made.task


async def test_it_begins_a_window_ago_and_is_past_its_start_when_it_has_read_up_to_it(
    rig: Rig,
) -> None:
    rig.source.gate.clear()
    rig.source.changes = [insert(890), insert(950)]
    await rig.runs()
    assert rig.source.starts == [cluster_time(NOW - WINDOW, 0)]
    assert rig.feed.history.floor == cluster_time(NOW - WINDOW, 0) + "000000"
    assert (rig.stream.state, rig.stream.settled, rig.feed.started) == ("starting", False, False)
    rig.source.gate.set()
    await rig.runs()
    assert (rig.stream.state, rig.stream.settled, rig.feed.started) == ("live", True, True)
    assert rig.kept == [at(890), at(950)]
    assert rig.feed.flushed == start_of(NOW)


async def test_watchers_that_share_a_stream_all_get_its_changes(rig: Rig) -> None:
    await rig.runs()
    rig.source.emit(insert(1001))
    await rig.runs()
    assert [len(each.feed.history) for each in rig.watchers] == [1, 1]
    assert [each.feed.history.head for each in rig.watchers] == [at(1001, 1, 15)] * 2


async def test_the_head_moves_on_without_changes(rig: Rig) -> None:
    await rig.runs()
    rig.source.tick(1234)
    await rig.runs()
    assert (rig.feed.history.head, rig.feed.flushed) == (start_of(1234), start_of(1234))


async def test_a_restart_skips_what_was_delivered(rig: Rig) -> None:
    await rig.runs()
    rig.source.emit(insert(1001), insert(1001, ordinal=2))
    await rig.runs()
    rig.source.fail(MongoError("reset"))
    rig.source.changes += [insert(1001, ordinal=3), insert(1002)]
    await rig.runs()
    assert rig.source.starts[-1] == cluster_time(1001, 1)
    assert rig.kept == [at(1001), at(1001, 2), at(1001, 3), at(1002)]
    assert rig.stream.state == "live"


async def test_a_replica_that_lags_after_a_restart_gives_nothing_twice(rig: Rig) -> None:
    await rig.runs()
    rig.source.emit(insert(1005))
    await rig.runs()
    rig.source.fail(MongoError("reset"))
    await rig.runs()
    head = rig.feed.history.head
    rig.source.tick(1003)
    await rig.runs()
    assert rig.feed.history.head == head
    assert rig.kept == [at(1005)]


async def test_waits_grow_while_mongodb_is_away_and_begin_small_again(rig: Rig) -> None:
    await rig.runs()
    rig.source.failures.extend(MongoError("away") for _ in range(8))
    rig.source.fail(MongoError("reset"))
    await rig.runs()
    assert rig.delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert rig.stream.state == "live"
    rig.source.tick(1001)
    await rig.runs()
    rig.source.fail(MongoError("reset"))
    await rig.runs()
    assert rig.delays[-1] == 0.1


async def test_an_interrupted_stream_says_so_and_stays_past_its_start(rig: Rig) -> None:
    await rig.runs()
    rig.source.gate.clear()
    rig.source.fail(MongoError("reset"))
    rig.source.gate.set()
    rig.source.failures.extend(MongoError("away") for _ in range(40))
    await rig.runs()
    assert (rig.stream.state, rig.stream.why) == ("reconnecting", "away")
    assert rig.stream.settled
    assert rig.feed.started


async def test_a_lost_position_is_tried_once_more(rig: Rig) -> None:
    await rig.runs()
    rig.source.emit(insert(1001))
    await rig.runs()
    rig.source.fail(HistoryLost("280"))
    rig.source.changes.append(insert(1002))
    await rig.runs()
    assert rig.kept == [at(1001), at(1002)]
    assert rig.feed.joined_up == cluster_time(NOW - WINDOW, 0) + "000000"


async def test_a_position_lost_twice_is_a_gap_and_the_stream_goes_on_from_now(rig: Rig) -> None:
    await rig.runs()
    rig.source.emit(insert(1001))
    rig.source.tick(1010)
    await rig.runs()
    rig.source.fail(HistoryLost("286"))
    rig.source.failures.append(HistoryLost("286"))
    await rig.runs()
    assert rig.kept == []
    assert rig.feed.history.floor == rig.feed.joined_up == start_of(1010)
    rig.source.emit(insert(1011))
    await rig.runs()
    assert rig.kept == [at(1011)]
    assert rig.stream.state == "live"


async def test_positions_lost_at_different_times_are_each_tried_again(rig: Rig) -> None:
    await rig.runs()
    for second in (1001, 1002, 1003):
        rig.source.emit(insert(second))
        await rig.runs()
        rig.source.fail(HistoryLost("280"))
        await rig.runs()
    assert rig.kept == [at(1001), at(1002), at(1003)]


async def test_an_oplog_younger_than_the_window_is_read_from_its_beginning(rig: Rig) -> None:
    rig.source.first = cluster_time(900, 0)
    rig.source.changes = [insert(890), insert(950)]
    await rig.runs()
    assert rig.stream.state == "live"
    assert rig.kept == [at(950)]
    assert rig.feed.history.floor == cluster_time(900, 0) + "000000"


async def test_refused_it_fails_by_name_and_tries_again_slowly(rig: Rig) -> None:
    rig.source.failures.extend([MongoRefused("not authorised")] * 2)
    rig.source.gate.clear()
    await rig.runs()
    assert (rig.stream.state, rig.stream.why) == ("failed", "not authorised")
    assert rig.feed.failed == "not authorised"
    assert rig.feed.absent
    assert rig.stream.settled, "readiness does not wait for it"
    assert rig.delays == [60.0, 60.0]
    rig.source.gate.set()
    await rig.runs()
    assert (rig.stream.state, rig.stream.why, rig.feed.failed) == ("live", "", "")
    assert rig.feed.started


async def test_restarts_are_counted(rig: Rig) -> None:
    await rig.runs()
    rig.source.fail(MongoError("reset"))
    await rig.runs()
    text = rig.stream._metrics.exposition().decode()
    assert 'bridge_stream_restarts_total{stream="todos+users"} 1.0' in text
