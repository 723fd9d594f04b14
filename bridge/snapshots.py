"""Snapshots: the state of channels as JSON, read once for all that ask at about the same time.

A reading serves everybody who asked for the same channels before it began. A stream that asks
later can have it too while its position is still in memory and not much has happened since: the
messages after the position bring it up to date. Readings of the same channels are spaced, so
that a storm of requests costs MongoDB a few of them a second.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from bridge.documents import Flavor, dumps
from bridge.encode import TOO_LARGE
from bridge.errors import MongoError, Unavailable
from bridge.events import Chunk, Document, Namespace
from bridge.feed import Feed
from bridge.mutation import MutationFields

CHUNK_BYTES = 256 * 1024
CHUNK_DOCUMENTS = 500
"""What one chunk holds at the most, but at least one document."""

KEPT_BYTES = 32 * 1024 * 1024
"""Bytes of one reading that are kept for those who are behind, or come later."""

KEPT_IN_ALL = 128 * 1024 * 1024
"""Bytes of all finished readings that are kept for those who come later."""

KEPT_SECONDS = 30.0
"""How long a reading is kept for those who come later."""

SPACING = 0.25
"""Seconds between the beginnings of two readings of the same channels."""

MESSAGES_SINCE = 100
"""Messages that may have followed a reading that a stream is still given."""

TIME_LIMIT = 240.0
"""Seconds for one reading: MongoDB keeps the past for five minutes."""


class Portion(Protocol):
    """Some documents of a channel, with namespace, key and document of each."""

    channel: str
    position: str
    documents: list[tuple[Namespace, Any, Document]]
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

    def entry(self, ns: Namespace, key: Any, document: Document) -> bytes:
        """One document of a snapshot as JSON."""
        fields: dict[str, Any] = {"key": key}
        if self.wide:
            fields["ns"] = {"db": ns.db, "coll": ns.coll}
        whole = dumps({**fields, "document": self.mutations.without(document)}, self.json)
        if len(whole) <= self.max_message:
            return whole
        return dumps({**fields, "reason": TOO_LARGE}, self.json)


@dataclass(slots=True, eq=False)
class _Reading:
    """A reading under way or finished, and who follows it."""

    due: float
    """Loop time at which it begins, at the earliest."""
    begun: bool = False
    chunks: list[Chunk] = field(default_factory=list)
    dropped: int = 0
    size: int = 0
    followers: dict[object, int] = field(default_factory=dict)
    finished: bool = False
    error: BaseException | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def position(self) -> str:
        """Where the state stands, once that is known."""
        return self.chunks[0].position if self.chunks else ""

    def wake(self) -> None:
        """Lets everybody look again."""
        self.moved.set()
        self.moved = asyncio.Event()

    def add(self, chunk: Chunk) -> None:
        """One more chunk for all."""
        self.chunks.append(chunk)
        self.size += len(chunk.documents)
        self.wake()

    def forget_given(self) -> None:
        """Lets go of what every follower has; nobody can join from the start any more."""
        least = min(self.followers.values(), default=self.dropped)
        while self.dropped < least:
            self.size -= len(self.chunks.pop(0).documents)
            self.dropped += 1


class Snapshots:
    """At most ``at_once`` readings of the state; the others queue."""

    def __init__(
        self,
        *,
        at_once: int,
        origins: dict[Feed, Origin],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        count: Callable[[], None],
    ) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._origins = origins
        self._spawn = spawn
        self._count = count
        self._readings: dict[tuple[Feed, tuple[str, ...]], _Reading] = {}

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
        follower = object()
        reading.followers[follower] = 0
        try:
            async for chunk in _follow(reading, follower):
                yield chunk
        finally:
            del reading.followers[follower]
            reading.wake()
            self._let_go(reading)

    def _joinable(self, feed: Feed, channels: tuple[str, ...], *, fresh: bool) -> _Reading | None:
        reading = self._readings.get((feed, channels))
        if reading is None or reading.dropped or reading.error:
            return None
        if fresh or not reading.position:
            return None if fresh and reading.begun else reading
        history = feed.history
        if reading.position < history.floor:
            return None
        run, _ = history.since(reading.position, channels, until=history.head, limit=1 << 62)
        stale = len(run) > MESSAGES_SINCE or any(message.resync for message in run)
        return None if stale else reading

    def _begin(self, feed: Feed, channels: tuple[str, ...]) -> _Reading:
        loop = asyncio.get_running_loop()
        key = feed, channels
        before = self._readings.pop(key, None)  # taken out so that the newest comes last
        reading = _Reading(max(loop.time(), before.due + SPACING) if before else loop.time())
        self._readings[key] = reading
        reading.task = self._spawn(self._run(reading, feed, channels), f"snapshot {feed.name}")
        loop.call_later(KEPT_SECONDS, self._expire, key, reading)
        return reading

    def _expire(self, key: tuple[Feed, tuple[str, ...]], reading: _Reading) -> None:
        if self._readings.get(key) is reading:
            del self._readings[key]

    def _let_go(self, reading: _Reading) -> None:
        if not reading.followers and not reading.finished and reading.task:
            reading.error = Unavailable("the snapshot was cancelled: nobody waited for it")
            reading.task.cancel()

    async def _run(self, reading: _Reading, feed: Feed, channels: tuple[str, ...]) -> None:
        try:
            await asyncio.sleep(reading.due - asyncio.get_running_loop().time())
            async with self._slots, asyncio.timeout(TIME_LIMIT):
                reading.begun = True
                self._count()
                await self._fill(reading, self._origins[feed], channels)
        except TimeoutError:
            reading.error = Unavailable(f"the snapshot took longer than {TIME_LIMIT:.0f} s")
        except MongoError as error:
            reading.error = error
        finally:
            reading.finished = True
            reading.wake()
            self._trim()

    def _trim(self) -> None:
        """Forgets the oldest readings that nobody follows while too much is kept."""
        size = sum(reading.size for reading in self._readings.values())
        for key, reading in list(self._readings.items()):
            if size <= KEPT_IN_ALL:
                return
            if reading.finished and not reading.followers:
                size -= reading.size
                del self._readings[key]

    async def _fill(self, reading: _Reading, origin: Origin, channels: tuple[str, ...]) -> None:
        packed: list[bytes] = []
        size = 0
        async with aclosing(origin.state.read(channels)) as portions:
            async for portion in portions:
                for ns, key, document in portion.documents:
                    entry = origin.entry(ns, key, document)
                    size += len(entry) + 1
                    if packed and (size > CHUNK_BYTES or len(packed) == CHUNK_DOCUMENTS):
                        await self._give(reading, portion, packed, more=True)
                        packed, size = [], len(entry) + 1
                    packed.append(entry)
                if not portion.more:
                    await self._give(reading, portion, packed, more=False)
                    packed, size = [], 0

    async def _give(
        self, reading: _Reading, portion: Portion, packed: list[bytes], *, more: bool
    ) -> None:
        reading.add(Chunk(portion.channel, portion.position, b",".join(packed), more))
        while reading.size > KEPT_BYTES:
            reading.forget_given()
            if reading.size > KEPT_BYTES:
                await reading.moved.wait()


async def _follow(reading: _Reading, follower: object) -> AsyncGenerator[Chunk, None]:
    while True:
        index = reading.followers[follower] - reading.dropped
        if index < len(reading.chunks):
            chunk = reading.chunks[index]
            reading.followers[follower] += 1
            reading.wake()
            yield chunk
        elif reading.error:
            raise Unavailable(f"no snapshot now: {reading.error}") from reading.error
        elif reading.finished:
            return
        else:
            await reading.moved.wait()
