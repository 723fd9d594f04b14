"""Some channels of one connection: a cursor over history with a socket at its end.

While it is level, the hub writes to it. Whenever it is not (at its start, after its socket
was full, after a watcher came back) its own task catches up: from the oplog, then from
memory, then it joins the hub again. Never both: there is one writer at a time.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress

from bridge import frames
from bridge.audience import Interest
from bridge.errors import HistoryLost, MongoError
from bridge.events import Chunk, Message, Place
from bridge.feed import Feed
from bridge.history import pieces
from bridge.hub import Hub
from bridge.outlet import Outlet
from bridge.reader import Backfills, Snapshots
from bridge.standing import NOWHERE, Standing

ROUNDS = 3
"""Readings of the oplog that may end short of memory before history counts as lost."""

RETRY = 1.0
"""Seconds until the oplog is asked again after MongoDB could not be reached."""


class Subscription:
    """Serves the channels of an interest from a place on, until it is stopped."""

    __slots__ = (
        "__weakref__",
        "_backfills",
        "_hub",
        "_max_write",
        "_outlet",
        "_rounds",
        "_snapshots",
        "_standing",
        "_waiter",
        "beaten",
        "interest",
        "level",
        "period",
        "send",
        "stopped",
    )

    def __init__(
        self,
        *,
        outlet: Outlet,
        hub: Hub,
        backfills: Backfills,
        interest: Interest,
        place: Place,
        lost: Mapping[Feed, str],
        period: float,
        max_write: int,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.interest = interest
        """What it follows."""
        self.period = period
        self.beaten = asyncio.get_running_loop().time()
        self.level = False
        """Whether it is in the hub's hands."""
        self.stopped = False
        self.send = outlet.send  # the hub's way in: straight to the socket
        self._outlet = outlet
        self._hub = hub
        self._backfills = backfills
        self._standing = Standing(place, lost)
        self._snapshots = snapshots
        self._max_write = max_write
        self._rounds = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def place(self) -> Place:
        """Up to where it has been given everything; a watcher without a part is not there yet."""
        return self._hub.standing(self) if self.level else self._standing.place

    # What the hub asks of a listener.

    def fall_behind(self, place: Place) -> None:
        """Leaves the hub's hands and catches up from this place."""
        self.level = False
        self._standing.place = place
        self._wake()

    # What the connection asks.

    async def run(self) -> None:
        """Serves until it is stopped.

        Raises Unavailable where the state that was asked for cannot be read now.
        """
        try:
            while not self.stopped:
                await self._catch_up()
                if self.level and not self.stopped:
                    # Not a call: a coroutine more would cost every idle client 400 bytes.
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        finally:
            self._hub.leave(self)

    def stop(self) -> None:
        """Lets :meth:`run` return; nothing is written any more."""
        self.stopped = True
        self._backfills.release(self)
        self._wake()

    def beat(self, now: float) -> None:
        """A heartbeat where one is due and the hub gives none: while it catches up."""
        if not self.level and self.beaten + self.period <= now and not self._outlet.full:
            self.beaten = now
            self._write(frames.heartbeat(self.interest.wire, self._cursor()))

    # What a kind of connection may do in its own way.

    def _cursor(self) -> str:
        """What the client gives back to go on from here."""
        return self._standing.place.cursor

    def _show_live(self) -> None:
        """Says that replay is done."""
        self._write(frames.live(self.interest.wire, self._cursor()))

    def _ref(self) -> frames.Ref:
        """What the client called its request by."""
        return None

    # Catching up.

    async def _catch_up(self) -> None:
        while not self.stopped and not self.level:
            if not await self._drained():
                return
            if self._snapshots and (owed := self._owed()):
                await self._state(self._snapshots, *owed)
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
        standing = self._standing
        data, standing.place, more = self._hub.replay(self.interest, standing.place)
        if data:
            self._outlet.write(data)
        return more

    async def _starting(self) -> bool:
        """Whether some watcher has yet to pass its start; if so, waits until one has."""
        if all(feed.started or feed.failed for feed, _ in self.interest.feeds):
            return False
        self._waiter = asyncio.get_running_loop().create_future()
        self._hub.starting.add(self._waiter)
        try:
            await self._waiter
        finally:
            self._hub.starting.discard(self._waiter)
        return True

    def _join(self) -> None:
        standing = self._standing
        if not standing.live:
            feeds = (feed for feed, _ in self.interest.feeds)
            standing.begin(feeds, stateful=self._snapshots is not None)
            self._snapshots = None  # from now on a loss, also of a state due, is a resync
            self._show_live()
            self.beaten = asyncio.get_running_loop().time()
        elif standing.absent:
            standing.absent = tuple(feed for feed in standing.absent if not feed.started)
        self._rounds = 0
        self.interest = self._hub.join(self, self.interest, standing.place)
        self.level = True
        standing.place = NOWHERE  # the hub knows it from now on

    def _resync(self) -> None:
        """Gives a place to every started watcher that has none, saying so where one was lost."""
        standing, wire = self._standing, self.interest.wire
        for feed, channels in self.interest.feeds:
            if standing.owes(feed):
                reason = standing.lost.get(feed, "")
                ahead = standing.place.at(feed.tag) or ""
                standing.move(feed, max(feed.flushed, ahead))  # it never goes back
                if reason:
                    self._write(frames.resyncs(wire, channels, reason, standing.place.cursor))

    def _below_memory(self) -> Feed | None:
        """The first watcher whose oplog is to be read, if any; where it may not be, a loss."""
        for feed, _ in self.interest.feeds:
            if self._standing.below(feed):
                if self._standing.came_back(feed):
                    return feed
                self._lose(feed, self._standing.fault(feed))
        return None

    def _lose(self, feed: Feed, reason: str) -> None:
        self._standing.lose(feed, reason)
        if self._snapshots is None and not self.stopped:
            self._resync()

    def _owed(self) -> tuple[Feed, tuple[str, ...]] | None:
        """The first watcher whose state is to be given, if any."""
        return next((each for each in self.interest.feeds if self._standing.owes(each[0])), None)

    async def _state(self, snapshots: Snapshots, feed: Feed, channels: tuple[str, ...]) -> None:
        """Gives the state of a watcher's channels, unless it is stopped first."""
        giving = asyncio.ensure_future(self._give_state(snapshots, feed, channels))
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({giving, self._waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiter = None
            if not giving.done():
                giving.cancel()
        with suppress(asyncio.CancelledError):
            await giving

    async def _give_state(
        self, snapshots: Snapshots, feed: Feed, channels: tuple[str, ...]
    ) -> None:
        place = self._standing.place
        async with aclosing(snapshots.read(feed, channels)) as chunks:
            async for chunk in chunks:
                if not await self._drained():
                    return
                last = not chunk.more and chunk.channel == channels[-1]
                if last:
                    place = Place({**place.parts, feed.tag: chunk.position})
                self._show(feed, chunk, place.cursor if last else "")
        self._standing.move(feed, place.parts[feed.tag])

    def _show(self, feed: Feed, chunk: Chunk, cursor: str) -> None:
        interest, view = self.interest, self.interest.view(feed)
        if chunk.channel in interest.channels(feed):  # and has not been given up meanwhile
            documents = view.documents(chunk.documents) if view else chunk.documents
            frame = frames.snapshot(
                interest.wire,
                chunk.channel,
                documents,
                more=chunk.more,
                cursor=cursor,
                ref=self._ref(),
            )
            self._write(frame)

    async def _fetch(self, feed: Feed) -> None:
        if self._rounds >= ROUNDS * len(self.interest.feeds):
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
        """Only once it is stopped, or a loss is due: until then it wants all up to memory."""
        return self.stopped or any(self._standing.owes(feed) for feed, _ in self.interest.feeds)

    def place_in(self, feed: Feed) -> str:
        """Where it stands in one watcher's sequence; it must stand somewhere."""
        return self._standing.place.parts[feed.tag]

    async def take(
        self, feed: Feed, messages: Mapping[str | None, list[Message]], head: str
    ) -> None:
        """Writes what is due of these messages (by channel) and moves the place to ``head``.

        Takes as long as the socket does; may be cancelled between two writes.
        """
        interest, standing = self.interest, self._standing
        if standing.owes(feed):
            return
        channels = interest.channels(feed)
        due = [
            message
            for channel in (None, *channels)
            for message in messages.get(channel, ())
            if standing.place.due(feed.tag, message.position)
        ]
        due.sort(key=lambda message: message.position)
        for piece in pieces(interest.due(feed, due), len(channels), self._max_write):
            if not await self._drained() or standing.owes(feed):
                return
            run = piece
            if self.interest is not interest:  # channels were given up
                still = {None, *self.interest.channels(feed)}
                run = self.interest.due(feed, [each for each in piece if each.channel in still])
            if data := self.interest.framed(feed, run, standing.place):
                self._outlet.write(data)
            standing.place = standing.place.moved(feed.tag, piece[-1].position)
        standing.place = standing.place.moved(feed.tag, head)

    def _write(self, events: bytes) -> None:
        self._outlet.write(self.interest.wire.whole(events))

    async def _drained(self) -> bool:
        return await self._outlet.drained(lambda: self.stopped)

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
