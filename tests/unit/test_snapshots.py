import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any

import orjson
import pytest

from bridge import reading as reading_module
from bridge import snapshots as snapshots_module
from bridge.errors import MongoError, Unavailable
from bridge.events import Chunk, Namespace
from bridge.feed import Feed
from bridge.history import History
from bridge.mutation import MutationFields
from bridge.snapshots import (
    CHUNK_BYTES,
    CHUNK_DOCUMENTS,
    MESSAGES_SINCE,
    Entry,
    Origin,
    Snapshots,
)
from bridge.state import Portion
from tests.fakes import at, message, resync, start_of

NS = Namespace("app", "todos")


async def turns(number: int = 30) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def some(number: int, *, size: int = 0) -> list[Entry]:
    return [(NS, n, {"_id": n, "pad": "x" * size}, "") for n in range(number)]


class FakeState:
    """Gives the documents of each channel at a time that moves on with each reading."""

    def __init__(self) -> None:
        self.documents: list[Entry] = some(3)
        self.readings: list[tuple[str, ...]] = []
        self.given = 0
        """Documents asked for so far."""
        self.ended = 0
        self.seconds = 100
        self.fails: Exception | None = None
        self.gate = asyncio.Event()
        """Closed, nothing is given."""
        self.gate.set()

    async def read(self, channels: Sequence[str]) -> AsyncGenerator[Portion, None]:
        self.readings.append(tuple(channels))
        self.seconds += 1
        position = start_of(self.seconds)
        try:
            for channel in channels:
                for start in range(0, len(self.documents), 10):
                    await self.gate.wait()
                    part = self.documents[start : start + 10]
                    self.given += len(part)
                    yield Portion(channel, position, part, more=True)
                if self.fails:
                    raise self.fails
                await self.gate.wait()
                yield Portion(channel, position, [], more=False)
        finally:
            self.ended += 1


class World:
    """Snapshots of one watcher over a state that a test can hold up."""

    def __init__(self, *, at_once: int = 4, max_message: int = 1 << 30, wide: bool = False) -> None:
        self.state = FakeState()
        history = History(
            floor=start_of(1), window=1 << 30, max_messages=1 << 30, max_bytes=1 << 40
        )
        self.feed = Feed(name="todos", tag="1f3a9c02", history=history)
        origin = Origin(
            state=self.state,
            json="plain",
            wide=wide,
            max_message=max_message,
            mutations=MutationFields(["_mutationId"]),
        )
        self.tasks: list[asyncio.Task[None]] = []
        self.counted = 0
        self.reported: list[tuple[str, BaseException]] = []
        self.snapshots = Snapshots(
            at_once=at_once,
            origins={self.feed: origin},
            spawn=self._spawn,
            count=self._count,
            report=lambda reading, error: self.reported.append((reading, error)),
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(coroutine, name=name))
        return self.tasks[-1]

    def _count(self) -> None:
        self.counted += 1

    async def read(self, *channels: str, fresh: bool = False) -> list[Chunk]:
        chunks = self.snapshots.read(self.feed, channels or ("a",), fresh=fresh)
        return [chunk async for chunk in chunks]

    def ask(self, *channels: str, fresh: bool = False) -> "asyncio.Task[list[Chunk]]":
        return asyncio.create_task(self.read(*channels, fresh=fresh))

    def publish(self, *run: Any) -> None:
        self.feed.history.append(run, run[-1].position)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(snapshots_module, "SPACING", 0)
    made = World()
    yield made
    for task in made.tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def documents(chunks: list[Chunk]) -> list[Any]:
    return [each for chunk in chunks for each in orjson.loads(b"[" + chunk.documents + b"]")]


async def test_all_that_ask_before_it_begins_share_one_reading(world: World) -> None:
    asked = [world.ask(fresh=fresh) for fresh in (True, False) * 250]
    got = await asyncio.gather(*asked)
    assert world.counted == 1
    assert all(chunks == got[0] for chunks in got)
    assert [each["key"] for each in documents(got[0])] == [0, 1, 2]


async def test_who_follows_the_messages_is_given_one_that_has_begun(world: World) -> None:
    world.state.gate.clear()
    first = world.ask()
    await turns()
    second = world.ask()
    await turns()
    world.state.gate.set()
    assert await first == await second
    third = await world.read()
    assert third == await first
    assert world.counted == 1


async def test_who_does_not_is_given_one_that_begins_after_the_request(world: World) -> None:
    world.state.gate.clear()
    first = world.ask(fresh=True)
    await turns()
    second = world.ask(fresh=True)
    await turns()
    world.state.gate.set()
    assert (await first)[0].position < (await second)[0].position
    assert (await world.read(fresh=True))[0].position > (await second)[0].position
    assert world.counted == 3


async def test_one_that_memory_can_bring_up_to_date_is_given_again(world: World) -> None:
    (first,) = await world.read()
    run = [message(at(200 + n), "a") for n in range(MESSAGES_SINCE)]
    world.publish(*run, message(at(500), "b"))
    assert await world.read() == [first]
    world.publish(message(at(501), "a"))
    (second,) = await world.read()
    assert second.position > first.position


async def test_none_is_given_across_a_resync(world: World) -> None:
    (first,) = await world.read()
    world.publish(resync(at(200)))
    (second,) = await world.read()
    assert second.position > first.position


async def test_none_is_given_that_has_left_memory(world: World) -> None:
    (first,) = await world.read()
    world.feed.history.reset(start_of(300))
    (second,) = await world.read()
    assert second.position > first.position


async def test_other_channels_are_another_reading(world: World) -> None:
    await asyncio.gather(world.read("a"), world.read("b"), world.read("a", "b"))
    assert sorted(world.state.readings) == [("a",), ("a", "b"), ("b",)]


async def test_readings_of_the_same_channels_are_spaced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots_module, "SPACING", 0.02)
    began = asyncio.get_running_loop().time()
    for _ in range(3):
        await world.read(fresh=True)
    assert asyncio.get_running_loop().time() - began >= 0.04
    assert world.counted == 3


async def test_requests_that_go_away_again_put_nobody_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots_module, "SPACING", 0.02)
    await world.read(fresh=True)
    for _ in range(1000):
        impatient = world.ask(fresh=True)
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait({impatient})
    async with asyncio.timeout(1):
        await world.read(fresh=True)
    assert world.counted < 10


async def test_chunks_are_of_a_size_and_of_one_position(world: World) -> None:
    world.state.documents = some(2 * CHUNK_DOCUMENTS + 1)
    chunks = await world.read("a", "b")
    assert [(c.channel, len(documents([c])), c.more) for c in chunks] == [
        ("a", CHUNK_DOCUMENTS, True),
        ("a", CHUNK_DOCUMENTS, True),
        ("a", 1, False),
        ("b", CHUNK_DOCUMENTS, True),
        ("b", CHUNK_DOCUMENTS, True),
        ("b", 1, False),
    ]
    assert len({chunk.position for chunk in chunks}) == 1


async def test_chunks_of_large_documents_are_as_large_as_they_may_be(world: World) -> None:
    third = CHUNK_BYTES // 3
    world.state.documents = some(4, size=third - 100) + some(1, size=3 * CHUNK_BYTES) + some(1)
    chunks = await world.read()
    assert [len(documents([chunk])) for chunk in chunks] == [3, 1, 1, 1]
    assert all(len(c.documents) <= CHUNK_BYTES for c in chunks if len(documents([c])) > 1)
    assert [chunk.more for chunk in chunks] == [True, True, True, False]


async def test_an_empty_channel_is_one_empty_chunk_with_a_position(world: World) -> None:
    world.state.documents = []
    assert await world.read() == [Chunk("a", start_of(101), b"", False)]


async def test_documents_are_written_without_what_clients_never_see() -> None:
    world = World(max_message=200, wide=True)
    world.state.documents = [
        (NS, 1, {"_id": 1, "_mutationId": "m"}, ""),
        (NS, 2, {"_id": 2, "text": "x" * 300}, ""),
        (NS, 3, None, "too_large"),
        (NS, 4, None, "no_document"),
        (NS, 5, {"_id": 5, "odd": object()}, ""),
    ]
    ns = {"db": "app", "coll": "todos"}
    assert documents(await world.read()) == [
        {"key": 1, "ns": ns, "document": {"_id": 1}},
        {"key": 2, "ns": ns, "reason": "too_large"},
        {"key": 3, "ns": ns, "reason": "too_large"},
        {"key": 4, "ns": ns, "reason": "no_document"},
        {"key": 5, "ns": ns, "reason": "no_document"},
    ]


async def taking(world: World, number: int) -> tuple[AsyncGenerator[Chunk, None], list[Chunk]]:
    """A follower that has taken so many chunks and then stands still."""
    chunks = world.snapshots.read(world.feed, ("a",))
    return chunks, [await anext(chunks) for _ in range(number)]


def bounded(monkeypatch: pytest.MonkeyPatch, *, kept: int, in_all: int = 1 << 40) -> None:
    monkeypatch.setattr(snapshots_module, "KEPT_BYTES", kept)
    monkeypatch.setattr(snapshots_module, "KEPT_IN_ALL", in_all)
    monkeypatch.setattr(snapshots_module, "KEPT_LEAST", min(kept, CHUNK_BYTES))


async def test_it_is_read_no_faster_than_it_is_taken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded(monkeypatch, kept=4 * CHUNK_BYTES)
    world.state.documents = some(100, size=CHUNK_BYTES)
    slow, taken = await taking(world, 1)
    await turns(200)
    assert world.snapshots._budget.used < 7 * CHUNK_BYTES
    assert world.state.given < 20
    async with aclosing(slow):
        taken += [chunk async for chunk in slow]
    assert [each["key"] for each in documents(taken)] == list(range(100)), "and nothing is lost"


async def test_followers_at_their_own_pace_are_all_given_everything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded(monkeypatch, kept=8 * CHUNK_BYTES)
    world.state.documents = some(60, size=CHUNK_BYTES)

    async def follow(pause: int) -> list[Any]:
        keys = []
        async for chunk in world.snapshots.read(world.feed, ("a",)):
            keys += [each["key"] for each in documents([chunk])]
            await turns(pause)
        return keys

    got = await asyncio.gather(*(follow(pause) for pause in (0, 1, 7)))
    assert got == [list(range(60))] * 3
    assert world.counted == 1


async def test_one_who_takes_nothing_does_not_hold_the_others_up_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded(monkeypatch, kept=4 * CHUNK_BYTES)
    monkeypatch.setattr(reading_module, "GRACE", 0.005)
    world.state.documents = some(60, size=CHUNK_BYTES)
    stuck, _ = await taking(world, 1)
    async with asyncio.timeout(5):
        others = await asyncio.gather(world.read(), world.read())
    assert all(len(documents(chunks)) == 60 for chunks in others)
    async with aclosing(stuck):
        with pytest.raises(Unavailable, match="too slowly"):
            await anext(stuck)


async def test_one_alone_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bounded(monkeypatch, kept=4 * CHUNK_BYTES)
    monkeypatch.setattr(reading_module, "GRACE", 0.001)
    world.state.documents = some(40, size=CHUNK_BYTES)
    slow, taken = await taking(world, 1)
    await asyncio.sleep(0.02)
    async with aclosing(slow):
        taken += [chunk async for chunk in slow]
    assert len(documents(taken)) == 40


async def test_nobody_joins_a_reading_whose_start_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded(monkeypatch, kept=4 * CHUNK_BYTES)
    world.state.documents = some(40, size=CHUNK_BYTES)
    first, _ = await taking(world, 20)
    assert len(documents(await world.read())) == 40
    assert world.counted == 2
    await first.aclose()


async def test_what_all_readings_hold_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    bounded(monkeypatch, kept=20 * CHUNK_BYTES, in_all=25 * CHUNK_BYTES)
    world = World()
    world.state.documents = some(15, size=CHUNK_BYTES)
    for number in range(20):
        await world.read(f"channel {number}")
    assert world.snapshots._budget.used <= 25 * CHUNK_BYTES + 15 * 20
    stuck = []
    for number in range(20):
        reading = world.snapshots.read(world.feed, (f"stuck {number}",))
        stuck.append(reading)
        await anext(reading)
        await turns(60)
    assert world.snapshots._budget.used <= (25 + 20 + 20 * 2) * (CHUNK_BYTES + 100)
    for each in stuck:
        await each.aclose()
    for task in world.tasks:
        task.cancel()


async def test_a_finished_reading_lets_go_of_what_its_last_follower_has(
    world: World,
) -> None:
    world.state.documents = some(20, size=CHUNK_BYTES)
    slow, _ = await taking(world, 1)
    await turns(100)
    await world.read(fresh=True)  # the newest now
    held = world.snapshots._budget.used
    for _ in range(10):
        await anext(slow)
    assert world.snapshots._budget.used <= held - 9 * CHUNK_BYTES
    await slow.aclose()
    assert world.snapshots._budget.used <= 21 * CHUNK_BYTES


async def test_it_is_kept_for_a_while_and_no_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots_module, "KEPT_SECONDS", 0.01)
    await world.read()
    assert world.snapshots._budget.used > 0
    await asyncio.sleep(0.02)
    assert world.snapshots._budget.used == 0
    assert not world.snapshots._readings
    await world.read()
    assert world.counted == 2


async def test_it_ends_when_nobody_waits_for_it_any_more(world: World) -> None:
    world.state.gate.clear()
    one, other = world.ask(), world.ask()
    await turns()
    one.cancel()
    await turns()
    assert world.state.ended == 0
    other.cancel()
    await turns()
    assert world.state.ended == 1
    world.state.gate.set()
    assert len(documents(await world.read())) == 3, "the next one is asked for anew"
    assert world.snapshots._budget.used < 200


async def test_at_most_so_many_are_read_at_once(world: World) -> None:
    world = World(at_once=2)
    world.state.gate.clear()
    asked = [world.ask(f"channel {number}") for number in range(5)]
    await turns()
    assert world.counted == 2
    world.state.gate.set()
    await asyncio.gather(*asked)
    assert world.counted == 5


async def test_what_mongodb_refuses_is_unavailable_to_all_and_asked_again_by_the_next(
    world: World,
) -> None:
    world.state.fails = MongoError("away")
    for result in await asyncio.gather(world.ask(), world.ask(), return_exceptions=True):
        assert isinstance(result, Unavailable)
        assert "away" in str(result)
    assert world.counted == 1
    world.state.fails = None
    assert len(documents(await world.read())) == 3


async def test_one_that_fails_in_the_middle_is_never_taken_for_whole(world: World) -> None:
    world.state.documents = some(1200)
    world.state.fails = MongoError("away")
    reading, taken = await taking(world, 2)
    assert all(chunk.more for chunk in taken)
    with pytest.raises(Unavailable, match="away"):
        await anext(reading)


async def test_one_that_is_ended_from_outside_is_never_taken_for_whole(world: World) -> None:
    world.state.gate.clear()
    asked = world.ask()
    await turns()
    world.tasks[0].cancel()
    with pytest.raises(Unavailable, match="ended"):
        await asked


@pytest.mark.parametrize("waiting", ["for MongoDB", "for its turn", "for its reader"])
async def test_no_wait_is_without_end(
    waiting: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots_module, "TIME_LIMIT", 0.02)
    world = World(at_once=1)
    world.state.gate.clear()
    if waiting == "for its reader":
        bounded(monkeypatch, kept=CHUNK_BYTES)
        world.state.documents = some(40, size=CHUNK_BYTES)
        world.state.gate.set()
        slow, _ = await taking(world, 1)
        await asyncio.sleep(0.05)
        async with aclosing(slow):
            with pytest.raises(Unavailable, match="longer than"):
                [chunk async for chunk in slow]
        return
    asked = [world.ask("a")]
    if waiting == "for its turn":
        await turns()
        asked = [*asked, world.ask("b")]
    async with asyncio.timeout(5):
        results = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)


async def test_it_says_which_watchers_have_snapshots(world: World) -> None:
    other = Feed(name="other", tag="00000001", history=world.feed.history)
    assert world.snapshots.offers(world.feed)
    assert not world.snapshots.offers(other)


async def test_an_error_that_nobody_foresaw_ends_its_reading_and_no_other(world: World) -> None:
    world.state.fails = KeyError("nobody foresaw it")
    with pytest.raises(Unavailable, match="the log says why"):
        await world.read()
    assert world.reported == [("snapshot todos", world.state.fails)]
    assert all(task.exception() is None for task in world.tasks if task.done())
    world.state.fails = None
    assert await world.read()
