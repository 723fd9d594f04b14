"""Readings of the oplog for clients whose cursor is older than memory.

One reading serves all that wait for the same stretch of one watcher. A few run at once, the
shortest stretch first; each ends when it has reached memory, when nobody waits any more, or
after its time. Live traffic never waits for them.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bridge.errors import BridgeError, HistoryLost, MongoError
from bridge.events import START_OF_INSTANT, Message, seconds_of, time_of
from bridge.feed import Feed
from bridge.outcome import outcome_of
from bridge.reader import Reader

TIME_LIMIT = 60.0
"""Seconds after which a reading ends, so that the oldest cursors do not starve the others."""

GRACE = 1.0
"""Seconds that a batch waits for full sockets while others of the reading could go on."""

SLACK = 10
"""Seconds of oplog that a reading may reach further back to take others along."""

OpenMessages = Callable[[Feed, str], AsyncGenerator[tuple[list[Message], str], None]]
"""Opens a watcher's messages from a cluster time on, in batches, each with its head."""


@dataclass(slots=True, eq=False)
class _Wait:
    feed: Feed
    reader: Reader
    done: asyncio.Future[None]

    @property
    def place(self) -> str:
        return self.reader.place_in(self.feed)

    @property
    def stretch(self) -> int:
        """Seconds of oplog between the place and memory."""
        return max(0, seconds_of(self.feed.history.floor) - seconds_of(self.place))


@dataclass(slots=True, eq=False)
class _Reading:
    feed: Feed
    start: str
    at: str
    """Everything up to here has been given, or is being given, to those who wait."""
    waits: list[_Wait] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def suits(self, wait: _Wait) -> bool:
        """Whether one more may join: not where it is past, ending, or much longer than needed."""
        if not self.waits or self.feed is not wait.feed or self.at > wait.place:
            return False
        rest = seconds_of(self.feed.history.floor) - seconds_of(self.at)
        return rest <= _company(wait.stretch)


def _company(stretch: int) -> int:
    """The longest reading, in seconds of oplog, that serves a stretch without holding it up."""
    return 2 * stretch + SLACK


class Backfills:
    """At most ``at_once`` readings; everybody else queues."""

    def __init__(
        self,
        *,
        at_once: int,
        open_messages: OpenMessages,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        count: Callable[[], None],
        report: Callable[[str, BaseException], None],
    ) -> None:
        """``report`` is told of an error that nobody foresaw, and in which reading."""
        self._at_once = at_once
        self._report = report
        self._open_messages = open_messages
        self._spawn = spawn
        self._count = count
        self._queue: list[_Wait] = []
        self._readings: set[_Reading] = set()

    async def fetch(self, feed: Feed, reader: Reader) -> None:
        """Has the reader take what lies between its place and memory.

        Returns when it is there, or when the reading ended before: ask again. Raises
        HistoryLost where the oplog no longer reaches back to the place, MongoError where
        MongoDB cannot be asked at the moment.
        """
        wait = _Wait(feed, reader, asyncio.get_running_loop().create_future())
        reading = next((r for r in self._readings if r.suits(wait)), None)
        if reading:
            reading.waits.append(wait)
        else:
            self._queue.append(wait)
            self._start_readings()
        try:
            await wait.done
        finally:
            self._forget(wait)

    def release(self, reader: Reader) -> None:
        """Lets the reader's ``fetch`` return at once, wherever it stands."""
        readings = [wait for reading in self._readings for wait in reading.waits]
        for wait in (*self._queue, *readings):
            if wait.reader is reader and not wait.done.done():
                wait.done.set_result(None)

    def _forget(self, wait: _Wait) -> None:
        if wait in self._queue:
            self._queue.remove(wait)
        for reading in self._readings:
            if wait in reading.waits:
                reading.waits.remove(wait)
                if not reading.waits and reading.task:
                    reading.task.cancel()

    def _start_readings(self) -> None:
        while self._queue and len(self._readings) < self._at_once:
            first = min(self._queue, key=lambda wait: wait.stretch)
            together = [
                wait
                for wait in self._queue
                if wait.feed is first.feed and wait.stretch <= _company(first.stretch)
            ]
            self._queue = [wait for wait in self._queue if wait not in together]
            start = time_of(min(wait.place for wait in together))
            reading = _Reading(first.feed, start, start + START_OF_INSTANT, together)
            self._readings.add(reading)
            self._count()
            reading.task = self._spawn(self._run(reading), f"backfill {first.feed.name}")
            reading.task.add_done_callback(partial(self._end, reading))

    def _end(self, reading: _Reading, _task: asyncio.Task[None]) -> None:
        """Frees the slot; not the task's own work, since it may be cancelled before it begins."""
        self._readings.discard(reading)
        self._start_readings()

    async def _run(self, reading: _Reading) -> None:
        try:
            error = await outcome_of(self._read(reading), limit=TIME_LIMIT)
            if isinstance(error, HistoryLost):
                self._lose(reading, error)
            elif isinstance(error, MongoError):
                _settle(reading, error)
            elif error and not isinstance(error, TimeoutError):
                # Trying again would meet it again: who asked for this stretch cannot have it.
                self._report(f"backfill {reading.feed.name}", error)
                self._lose(reading, HistoryLost("it could not be read; the log says why"))
        finally:
            _settle(reading, None)

    async def _read(self, reading: _Reading) -> None:
        async with aclosing(self._open_messages(reading.feed, reading.start)) as batches:
            async for messages, head in batches:
                reading.at = max(reading.at, head)  # who joins meanwhile has missed this batch
                await self._give(reading, messages, head)
                if reading.at >= reading.feed.history.floor or not reading.waits:
                    return

    async def _give(self, reading: _Reading, messages: list[Message], head: str) -> None:
        """Lets every reader take its part; who takes too long leaves and asks again."""
        by_channel: dict[str | None, list[Message]] = defaultdict(list)
        for message in messages:
            by_channel[message.channel].append(message)
        takes: dict[asyncio.Task[None], _Wait] = {
            asyncio.ensure_future(wait.reader.take(reading.feed, by_channel, head)): wait
            for wait in reading.waits
        }
        try:
            await _all_but_the_slow(takes)
        finally:
            for task, wait in takes.items():
                if not task.done():
                    task.cancel()
                    _finish(reading, wait)
                elif not task.cancelled() and (error := task.exception()):
                    _finish(reading, wait, error)  # its own fault: the others go on
                elif wait.reader.satisfied:
                    _finish(reading, wait)

    def _lose(self, reading: _Reading, error: HistoryLost) -> None:
        """Tells those who asked for the lost start; the others queue again by themselves."""
        lost = [wait for wait in reading.waits if time_of(wait.place) <= reading.start]
        self._queue += [wait for wait in reading.waits if wait not in lost]
        reading.waits = lost
        _settle(reading, error)


async def _all_but_the_slow(takes: "dict[asyncio.Task[None], _Wait]") -> None:
    if not takes:
        return
    done, _ = await asyncio.wait(takes, timeout=GRACE)
    if not done:  # all are slow: then the reading goes at their pace
        await asyncio.wait(takes, return_when=asyncio.FIRST_COMPLETED)


def _finish(reading: _Reading, wait: _Wait, error: BaseException | None = None) -> None:
    if wait in reading.waits:
        reading.waits.remove(wait)
    if wait.done.done():
        return
    if error:
        wait.done.set_exception(error)
    else:
        wait.done.set_result(None)


def _settle(reading: _Reading, error: BridgeError | None) -> None:
    for wait in reading.waits:
        if wait.done.done():
            continue
        if error:
            wait.done.set_exception(error)
        else:
            wait.done.set_result(None)
    reading.waits = []
