"""A page of one channel's history, for clients that ask instead of listening."""

import asyncio
from collections.abc import Mapping

from bridge.audience import Interest
from bridge.errors import HistoryGone, HistoryLost, MongoError, Unavailable
from bridge.events import Message, Place
from bridge.feed import Feed
from bridge.hub import Hub
from bridge.reader import Backfills

START_LIMIT = 30.0
"""Seconds that a request waits for a watcher to pass its start."""

ROUNDS = 3
"""Readings of the oplog that may end short of memory before history counts as lost."""

POLL = 0.02
PAGE_BYTES = 8 * 1024 * 1024
"""Bytes of messages from which on a page is full."""

_WHOLE = 1 << 62


class Page:
    """At most ``limit`` messages of one channel, as one client sees them, oldest first."""

    def __init__(self, *, interest: Interest, place: str, limit: int) -> None:
        self.messages: list[Message] = []
        self.place = place
        """The position up to which the page is complete."""
        ((self._feed, (self._channel,)),) = interest.feeds
        self._interest = interest
        self._limit = limit
        self._size = 0
        self._resync = ""
        # What the hub asks of a listener; the page wants no heartbeats.
        self.period = float("inf")
        self.beaten = 0.0
        self._news: asyncio.Future[None] | None = None
        self._stopped = False

    @property
    def complete(self) -> bool:
        """Whether there is nothing more after the page right now."""
        until = self._feed.flushed
        more, _ = self._feed.history.since(self.place, (self._channel,), until=until, limit=1)
        return not more and self.place >= self._feed.history.floor

    @property
    def bodies(self) -> list[bytes]:
        """The JSON of what the page holds: messages, or batches where the watcher has a window."""
        if self._feed.batching.window:
            return self._feed.batching.batches(self.messages)
        return [message.body for message in self.messages]

    @property
    def full(self) -> bool:
        """Whether no more messages fit."""
        return len(self.messages) >= self._limit or self._size >= PAGE_BYTES

    @property
    def satisfied(self) -> bool:
        """Whether more reading would bring nothing."""
        return self.full or bool(self._resync)

    async def fill(self, hub: Hub, backfills: Backfills, wait: float) -> None:
        """Reads the page; waits up to ``wait`` seconds for a first message.

        Raises HistoryGone where the messages cannot all be given, Unavailable where the
        watcher cannot serve now.
        """
        await self._started()
        await self._read(backfills)
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait
        while not (self.messages or self._resync or self._stopped) and loop.time() < ends:
            await self._listen(hub, ends)
            await self._read(backfills)
        if self._resync and not self.messages:
            raise HistoryGone(f"{self._resync}: fetch the state again")

    def place_in(self, feed: Feed) -> str:
        """The position after which messages are wanted."""
        return self.place

    async def take(
        self, feed: Feed, messages: Mapping[str | None, list[Message]], head: str
    ) -> None:
        """Adds what fits of these messages, up to a resync."""
        due = [
            message
            for channel in (None, self._channel)
            for message in messages.get(channel, ())
            if message.position > self.place
        ]
        due.sort(key=lambda message: message.position)
        self._add(due, head)

    def _add(self, run: list[Message], head: str) -> None:
        for message in self._interest.due(self._feed, run):
            if self.satisfied:
                return
            if message.resync:
                self._resync = message.resync
                return
            self.messages.append(message)
            self._size += len(message.body)
            self.place = message.position
        if not self.satisfied:
            self.place = max(self.place, head)

    async def _started(self) -> None:
        try:
            async with asyncio.timeout(START_LIMIT):
                while not self._feed.started:
                    if self._feed.failed:
                        raise Unavailable(f"watcher {self._feed.name}: {self._feed.failed}")
                    await asyncio.sleep(POLL)
        except TimeoutError as error:
            raise Unavailable(f"watcher {self._feed.name} is still starting") from error

    async def _read(self, backfills: Backfills) -> None:
        rounds = 0
        while self.place < self._feed.history.floor and not self.satisfied:
            if rounds == ROUNDS:
                raise HistoryGone("the oplog could not be read up to memory in time")
            rounds += 1
            await self._fetch(backfills)
        if not self.satisfied and self.place < self._feed.flushed:
            until = self._feed.flushed
            run, reached = self._feed.history.since(
                self.place,
                (self._channel,),
                until=until,
                limit=_WHOLE,
                latest=self._feed.batching.conflate and not self._interest.views,
            )
            self._add(run, reached)

    async def _fetch(self, backfills: Backfills) -> None:
        try:
            await backfills.fetch(self._feed, self)
        except HistoryLost as error:
            raise HistoryGone(f"MongoDB's oplog no longer reaches back: {error}") from error
        except MongoError as error:
            raise Unavailable(f"MongoDB cannot be asked now: {error}") from error

    async def _listen(self, hub: Hub, until: float) -> None:
        self._news = asyncio.get_running_loop().create_future()
        hub.join(self, self._interest, Place({self._feed.tag: self.place}))
        try:
            async with asyncio.timeout_at(until):
                await self._news
        except TimeoutError:
            pass
        finally:
            hub.leave(self)

    def stop(self) -> None:
        """Ends the wait for a first message."""
        self._stopped = True
        self._release()

    def _release(self) -> None:
        if self._news and not self._news.done():
            self._news.set_result(None)

    def send(self, data: bytes) -> bool:
        """The hub has something for the channel."""
        self._release()
        return True

    def fall_behind(self, place: Place) -> None:
        """Whatever it was: it is in history, or lost."""
        self._release()
