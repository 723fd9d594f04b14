"""Snapshots: the state of channels as JSON, read once for all that ask at about the same time.

A reading serves everybody who asked for the same channels before it began. A stream that asks
later can have it too while its position is still in memory and not much has happened since: the
messages after the position bring it up to date. Readings of the same channels are spaced, so
that a storm of requests costs MongoDB a few of them a second.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from bridge.documents import Flavor, dumps
from bridge.encode import NO_DOCUMENT, TOO_LARGE
from bridge.errors import MongoError, Unavailable
from bridge.events import Chunk, Document, Namespace
from bridge.feed import Feed
from bridge.mutation import MutationFields
from bridge.outcome import outcome_of
from bridge.reading import Budget, Reading

CHUNK_BYTES = 256 * 1024
CHUNK_DOCUMENTS = 500
"""What one chunk holds at the most, but at least one document."""

KEPT_BYTES = 32 * 1024 * 1024
"""Bytes of one reading that are kept for those who are behind, or come later."""

KEPT_IN_ALL = 128 * 1024 * 1024
"""Bytes of all readings; above, none is kept for later, and each goes at its readers' pace."""

KEPT_LEAST = 1024 * 1024
"""Bytes that a reading may hold in any case."""

KEPT_SECONDS = 30.0
"""How long a reading is kept for those who come later."""

SPACING = 0.25
"""Seconds between the beginnings of two readings of the same channels."""

MESSAGES_SINCE = 100
"""Messages that may have followed a reading that a stream is still given."""

TIME_LIMIT = 240.0
"""Seconds for one reading, its turn waited for: MongoDB keeps the past for five minutes."""

Entry: TypeAlias = tuple[Namespace, Any, Document | None, str]
"""Namespace, key and document; or no document, and why."""

_Key: TypeAlias = tuple[Feed, tuple[str, ...]]


class Portion(Protocol):
    """Some documents of a channel."""

    channel: str
    position: str
    documents: list[Entry]
    more: bool


class State(Protocol):
    """Where a watcher's documents come from."""

    def read(self, channels: Sequence[str]) -> AsyncGenerator[Any, None]:
        """Portions of the documents of each channel in turn; raises MongoError."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """How one watcher's state is read and written."""

    state: State
    json: Flavor
    wide: bool
    max_message: int
    mutations: MutationFields

    def entry(self, found: Entry) -> bytes:
        """One document of a snapshot as JSON; its key and the reason where that cannot be."""
        ns, key, document, reason = found
        fields: dict[str, Any] = {"key": key}
        if self.wide:
            fields["ns"] = {"db": ns.db, "coll": ns.coll}
        if document is not None:
            try:
                whole = dumps({**fields, "document": self.mutations.without(document)}, self.json)
            except (TypeError, ValueError, RecursionError):
                reason = NO_DOCUMENT
            else:
                if len(whole) <= self.max_message:
                    return whole
                reason = TOO_LARGE
        return dumps({**fields, "reason": reason}, self.json)


class Snapshots:
    """At most ``at_once`` readings ask MongoDB at a time; the others queue."""

    def __init__(
        self,
        *,
        at_once: int,
        origins: dict[Feed, Origin],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        count: Callable[[], None],
        report: Callable[[str, BaseException], None],
    ) -> None:
        """``report`` is told of an error that nobody foresaw, and in which reading."""
        self._report = report
        self._slots = asyncio.Semaphore(at_once)
        self._origins = origins
        self._spawn = spawn
        self._count = count
        self._readings: dict[_Key, Reading] = {}
        self._budget = Budget()

    def offers(self, feed: Feed) -> bool:
        """Whether the watcher's channels have snapshots."""
        return feed in self._origins

    async def read(
        self, feed: Feed, channels: tuple[str, ...], *, fresh: bool = False
    ) -> AsyncGenerator[Chunk, None]:
        """The chunks of the channels' state, all at one position, as fast as they are taken.

        ``fresh``: not older than this request, for who does not follow the messages.
        Raises Unavailable where MongoDB cannot be asked now, or the reading took too long.
        """
        reading = self._joinable(feed, channels, fresh=fresh) or self._begin(feed, channels)
        try:
            async with aclosing(reading.follow()) as chunks:
                async for chunk in chunks:
                    yield chunk
                    if not reading.whole:
                        reading.forget_given()
        finally:
            if not reading.followed and not reading.finished and reading.task:
                reading.end(Unavailable("it was cancelled: nobody waited for it"))
                reading.task.cancel()
            _forget_useless(reading)

    def _joinable(self, feed: Feed, channels: tuple[str, ...], *, fresh: bool) -> Reading | None:
        reading = self._readings.get((feed, channels))
        if reading is None or not reading.whole:
            return None
        if fresh or not reading.position:
            return None if fresh and reading.begun else reading
        history = feed.history
        if reading.position < history.floor:
            return None
        run, _ = history.since(reading.position, channels, until=history.head, limit=1 << 62)
        stale = len(run) > MESSAGES_SINCE or any(message.resync for message in run)
        return None if stale else reading

    def _begin(self, feed: Feed, channels: tuple[str, ...]) -> Reading:
        loop = asyncio.get_running_loop()
        key = feed, channels
        due = loop.time()
        before = self._readings.pop(key, None)  # taken out so that the newest comes last
        if before:
            due = max(due, before.due + SPACING if before.begun else before.due)
            before.current = False
            _forget_useless(before)
        reading = self._readings[key] = Reading(due, self._budget)
        reading.task = self._spawn(self._run(reading, feed, channels), f"snapshot {feed.name}")
        loop.call_later(KEPT_SECONDS, self._expire, key, reading)
        return reading

    def _expire(self, key: _Key, reading: Reading) -> None:
        if self._readings.get(key) is reading:
            del self._readings[key]
        reading.current = False
        _forget_useless(reading)

    async def _run(self, reading: Reading, feed: Feed, channels: tuple[str, ...]) -> None:
        error: BaseException | None = Unavailable("it was ended")
        try:
            await asyncio.sleep(reading.due - asyncio.get_running_loop().time())
            ended = await outcome_of(self._ask(reading, feed, channels), limit=TIME_LIMIT)
            error = self._told(ended, f"snapshot {feed.name}")
        finally:
            self._end_turn(reading)
            reading.end(error)
            _forget_useless(reading)
            self._room()

    async def _ask(self, reading: Reading, feed: Feed, channels: tuple[str, ...]) -> None:
        await self._take_turn(reading)
        reading.begun = True
        self._count()
        await self._fill(reading, self._origins[feed], channels)

    def _told(self, error: BaseException | None, what: str) -> BaseException | None:
        """The error as those who follow the reading are told it."""
        if error is None or isinstance(error, MongoError):
            return error
        if isinstance(error, TimeoutError):
            return Unavailable(f"it took longer than {TIME_LIMIT:.0f} s")
        self._report(what, error)
        return Unavailable("it could not be read; the log says why")

    async def _take_turn(self, reading: Reading) -> None:
        await self._slots.acquire()
        reading.reads = True

    def _end_turn(self, reading: Reading) -> None:
        if reading.reads:
            reading.reads = False
            self._slots.release()

    async def _fill(self, reading: Reading, origin: Origin, channels: tuple[str, ...]) -> None:
        packed: list[bytes] = []
        size = 0
        async with aclosing(origin.state.read(channels)) as portions:
            async for portion in portions:
                for found in portion.documents:
                    entry = origin.entry(found)
                    size += len(entry) + 1
                    if packed and (size > CHUNK_BYTES or len(packed) == CHUNK_DOCUMENTS):
                        await self._give(reading, portion, packed, more=True)
                        packed, size = [], len(entry) + 1
                    packed.append(entry)
                if not portion.more:
                    await self._give(reading, portion, packed, more=False)
                    packed, size = [], 0

    async def _give(
        self, reading: Reading, portion: Portion, packed: list[bytes], *, more: bool
    ) -> None:
        reading.add(Chunk(portion.channel, portion.position, b",".join(packed), more))
        await asyncio.sleep(0)  # live traffic first
        while reading.size > self._room():
            reading.forget_given()
            if reading.size > self._room():
                self._end_turn(reading)  # those who take their time hold up no other reading
                await reading.until_taken()
                await self._take_turn(reading)

    def _room(self) -> int:
        """How many bytes one reading may hold, once the oldest without use have been let go."""
        for reading in self._readings.values():
            if self._budget.used <= KEPT_IN_ALL:
                return KEPT_BYTES
            if reading.finished and not reading.followed:
                reading.forget_given()
        return KEPT_BYTES if self._budget.used <= KEPT_IN_ALL else KEPT_LEAST


def _forget_useless(reading: Reading) -> None:
    """Lets go of what nobody has to be given any more, now or later."""
    if reading.finished and not reading.followed and not reading.whole:
        reading.forget_given()
