"""One event stream: a cursor over history with a socket at its end.

While it is level, the hub writes to it. Whenever it is not (at its start, after its socket
was full, after a watcher came back) its own task catches up: from the oplog, then from
memory, then it joins the hub again. Never both: each connection has one writer at a time.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Any, Protocol

from bridge import frames
from bridge.audience import Interest
from bridge.errors import HistoryLost, MongoError, Unavailable
from bridge.events import Chunk, Message, Place
from bridge.feed import Feed
from bridge.history import pieces
from bridge.hub import Hub
from bridge.outlet import Outlet
from bridge.reader import Backfills

ROUNDS = 3
"""Readings of the oplog that may end short of memory before history counts as lost."""

STILL_HERE = b": not ready yet\n\n"
"""A comment, where there is no cursor yet that a heartbeat could show."""

NOWHERE = Place({})

NONE_LOST: Mapping[Feed, str] = {}
"""Shared by all that have lost nothing; never changed, only replaced."""

COME_BACK = (1000, 4000)
"""Milliseconds, jittered, after which a client is asked to come back."""

RETRY = 1.0
"""Seconds until the oplog is asked again after MongoDB could not be reached."""


class Snapshots(Protocol):
    """The state of channels."""

    def read(self, feed: Feed, channels: tuple[str, ...]) -> AsyncGenerator[Chunk, None]:
        """Chunks of the channels' state, all at one position; raises Unavailable."""
        ...


class Connection:
    """One client's stream of events, from ``ready`` to ``bye``."""

    __slots__ = (
        "__weakref__",
        "_absent",
        "_backfills",
        "_farewell",
        "_hub",
        "_interest",
        "_level",
        "_live",
        "_lost",
        "_max_write",
        "_outlet",
        "_place",
        "_rounds",
        "_snapshots",
        "_waiter",
        "beaten",
        "period",
        "send",
        "session",
    )

    def __init__(
        self,
        *,
        session: str,
        transport: asyncio.WriteTransport,
        hub: Hub,
        backfills: Backfills,
        interest: Interest,
        place: Place,
        lost: Mapping[Feed, str],
        period: float,
        max_write: int,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.session = session
        self.period = period
        self.beaten = asyncio.get_running_loop().time()
        self._outlet = Outlet(transport, max_write=max_write, now=self.beaten)
        self.send = self._outlet.send  # the hub's way in: straight to the socket
        self._hub = hub
        self._backfills = backfills
        self._interest = interest
        self._place = place
        self._lost = lost or NONE_LOST
        self._snapshots = snapshots
        self._max_write = max_write
        self._farewell = b""
        self._live = False
        self._absent: tuple[Feed, ...] = ()
        self._level = False
        self._rounds = 0
        self._waiter: asyncio.Future[None] | None = None

    # What the hub asks of a listener.

    def fall_behind(self, place: Place) -> None:
        """Leaves the hub's hands and catches up from this place."""
        self._level = False
        self._place = place
        self._wake()

    # What the service asks.

    def end(self, code: str, *, reconnect: bool, delay: int) -> None:
        """Says goodbye (the delay in ms) and lets :meth:`run` return."""
        self._farewell = self._farewell or frames.bye(code, reconnect=reconnect, delay=delay)
        self._backfills.release(self)
        self._wake()

    def abort(self) -> None:
        """Cuts the TCP connection without a word."""
        self._outlet.abort()

    def check(self, now: float, patience: float) -> None:
        """Cuts a client that takes nothing; keeps one that is catching up from timing out."""
        if now - self._outlet.stuck_since(now) > patience:
            self.abort()
        elif not self._level and self.beaten + self.period <= now and not self._outlet.full:
            self.beaten = now
            cursor = self._place.cursor
            self._write(self._interest.framed(frames.heartbeat(cursor) if cursor else STILL_HERE))

    async def run(self, opening: bytes) -> None:
        """Serves the client until goodbye; cancelled when the client has left."""
        self._write(self._interest.framed(opening))
        del opening
        try:
            while not self._farewell:
                await self._catch_up()
                if self._level and not self._farewell:
                    # Not a call: a coroutine more would cost every idle client 400 bytes.
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
            self._write(self._interest.framed(self._farewell))
        finally:
            self._hub.leave(self)

    # Catching up.

    async def _catch_up(self) -> None:
        while not self._farewell and not self._level:
            if not await self._drained():
                return
            if self._snapshots and (stateless := self._stateless()):
                await self._until_farewell(self._give_state(self._snapshots, *stateless))
                continue
            self._resync()
            if behind := self._below_memory():
                await self._fetch(behind)
            elif self._replay():
                await asyncio.sleep(0)  # others first; and here a client that has left is noticed
            elif not await self._starting():
                self._join()
                return

    def _replay(self) -> bool:
        data, self._place = self._hub.replay(self._interest, self._place)
        if data:
            self._write(data)
        return bool(data)

    async def _starting(self) -> bool:
        """Whether some watcher has yet to pass its start; if so, waits until one has."""
        if all(feed.started or feed.failed for feed, _ in self._interest.feeds):
            return False
        self._waiter = asyncio.get_running_loop().create_future()
        self._hub.starting.add(self._waiter)
        try:
            await self._waiter
        finally:
            self._hub.starting.discard(self._waiter)
        return True

    def _join(self) -> None:
        if not self._live:
            self._live = True
            self._write(self._interest.framed(frames.live(self._place.cursor)))
            self.beaten = asyncio.get_running_loop().time()
            self._absent = tuple(feed for feed, _ in self._interest.feeds if not feed.started)
            if self._snapshots:
                self._snapshots = None  # from now on a loss, also of a state due, is a resync
                owed = (feed for feed in self._absent if self._place.at(feed.tag) is None)
                self._lost = {**dict.fromkeys(owed, "history_lost"), **self._lost}
        self._level = True
        self._rounds = 0
        self._interest = self._hub.join(self, self._interest, self._place)
        self._place = NOWHERE  # the hub knows it from now on

    def _resync(self) -> None:
        """Gives a place to every started watcher that has none, saying so where one was lost."""
        for feed, channels in self._interest.feeds:
            if not feed.started:
                continue
            reason = self._lost.get(feed, "")
            if reason or self._place.at(feed.tag) is None:
                self._place = Place({**self._place.parts, feed.tag: feed.flushed})
            if reason:
                self._lost = {other: why for other, why in self._lost.items() if other is not feed}
                resyncs = frames.resyncs(channels, reason, self._place.cursor)
                self._write(self._interest.framed(resyncs))

    def _below_memory(self) -> Feed | None:
        """The first watcher whose history no longer reaches down to the place, if any.

        A client that was connected all the while was too slow; only one that came back is
        served from the oplog, or one whose watcher starts only now.
        """
        for feed, _ in self._interest.feeds:
            part = self._place.at(feed.tag)
            if not feed.started or part is None or part >= feed.history.floor:
                continue
            if not self._live or feed in self._absent:
                return feed
            self._lose(feed, "history_lost" if part < feed.joined_up else "slow_consumer")
        return None

    def _lose(self, feed: Feed, reason: str) -> None:
        self._lost = {**self._lost, feed: reason}
        if self._snapshots is None:
            self._resync()

    def _stateless(self) -> tuple[Feed, tuple[str, ...]] | None:
        """The first watcher whose state is to be given, if any: no place in it, or a lost one."""
        for feed, channels in self._interest.feeds:
            if feed.started and (feed in self._lost or self._place.at(feed.tag) is None):
                return feed, channels
        return None

    async def _give_state(
        self, snapshots: Snapshots, feed: Feed, channels: tuple[str, ...]
    ) -> None:
        place = self._place
        try:
            async with aclosing(snapshots.read(feed, channels)) as chunks:
                async for chunk in chunks:
                    if not await self._drained():
                        return
                    last = not chunk.more and chunk.channel == channels[-1]
                    if last:
                        place = Place({**self._place.parts, feed.tag: chunk.position})
                    self._show(chunk, place.cursor if last else "")
        except Unavailable:
            self.end("unavailable", reconnect=True, delay=random.randint(*COME_BACK))
            return
        self._place = place
        self._lost = {other: why for other, why in self._lost.items() if other is not feed}

    async def _until_farewell(self, giving: Coroutine[Any, Any, None]) -> None:
        """Does it, unless it is time to go first: a state can be long in coming."""
        task = asyncio.ensure_future(giving)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({task, self._waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiter = None
            if not task.done():
                task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def _show(self, chunk: Chunk, cursor: str) -> None:
        frame = frames.snapshot(chunk.channel, chunk.documents, more=chunk.more, cursor=cursor)
        self._write(self._interest.framed(frame))

    async def _fetch(self, feed: Feed) -> None:
        if self._rounds >= ROUNDS * len(self._interest.feeds):
            self._lose(feed, "history_lost")
            return
        try:
            await self._backfills.fetch(feed, self)
            self._rounds += 1
        except HistoryLost:
            self._lose(feed, "history_lost")
        except MongoError:
            await asyncio.sleep(RETRY)

    @property
    def satisfied(self) -> bool:
        """Only once it has to say goodbye: until then it wants everything up to memory."""
        return bool(self._farewell)

    def place_in(self, feed: Feed) -> str:
        """Where the connection stands in one watcher's sequence; it must stand somewhere."""
        return self._place.parts[feed.tag]

    async def take(
        self, feed: Feed, messages: Mapping[str | None, list[Message]], head: str
    ) -> None:
        """Writes what is due of these messages (by channel) and moves the place to ``head``.

        Takes as long as the socket does; may be cancelled between two writes.
        """
        channels = next(own for other, own in self._interest.feeds if other is feed)
        due = [
            message
            for channel in (None, *channels)
            for message in messages.get(channel, ())
            if self._place.due(feed.tag, message.position)
        ]
        due.sort(key=lambda message: message.position)
        kept = feed.batching.kept(due)
        for piece in pieces(kept, len(channels), self._max_write):
            if not await self._drained():
                return
            framed = feed.batching.framed(piece, tag=feed.tag, place=self._place, channels=channels)
            self._write(self._interest.framed(b"".join(framed)))
            self._place = self._place.moved(feed.tag, piece[-1].position)
        self._place = self._place.moved(feed.tag, head)

    def _write(self, data: bytes) -> None:
        self._outlet.write(data)

    async def _drained(self) -> bool:
        return await self._outlet.drained(lambda: bool(self._farewell))

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
