"""One change stream for as long as the service runs: start, restart, backoff, loss.

Watchers with the same scope, pipelines and image options share a stream.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import structlog

from bridge.errors import HistoryLost, MongoError, MongoRefused
from bridge.events import (
    START_OF_INSTANT,
    Batch,
    Change,
    cluster_time,
    seconds_of,
    time_of,
)
from bridge.hub import Hub
from bridge.metrics import Metrics
from bridge.watcher import Watcher

FIRST_DELAY = 0.1
LONGEST_DELAY = 10.0
"""Seconds between attempts to open a stream again; doubled each time, jittered."""

SLOW_DELAY = 60.0
"""Seconds between attempts where MongoDB has refused: somebody must change something first."""

log = structlog.get_logger("bridge.stream")


class Source(Protocol):
    """Where changes come from."""

    def read(self, start: str) -> AsyncGenerator[Batch, None]:
        """Batches of changes from a cluster time on (inclusive), in order, for ever.

        Raises HistoryLost, MongoRefused, MongoError.
        """
        ...

    async def now(self) -> str:
        """The newest cluster time."""
        ...

    async def oldest(self) -> str:
        """The oldest cluster time that a stream can start from, or about now."""
        ...


class Stream:
    """Reads one source and publishes to the watchers that share it."""

    def __init__(
        self,
        *,
        name: str,
        source: Source,
        watchers: Sequence[Watcher],
        hub: Hub,
        metrics: Metrics,
        window: int,
    ) -> None:
        self.name = name
        self.watchers = watchers
        self.state = "starting"
        """starting, live, reconnecting or failed."""
        self.why = ""
        self._source = source
        self._hub = hub
        self._metrics = metrics
        self._window = window
        self._log = log.bind(stream=name)
        self._head = ""
        self._target = ""
        self._lost_at = ""
        self._delay = FIRST_DELAY

    @property
    def passed(self) -> bool:
        """Whether it has read up to the cluster time seen at its start."""
        return bool(self._target) and time_of(self._head) >= self._target

    @property
    def settled(self) -> bool:
        """Whether it is past its start, or cannot run until somebody changes something."""
        return self.state == "failed" or all(w.feed.started for w in self.watchers)

    async def run(self) -> None:
        """Follows the source for ever; every error it knows ends in another attempt."""
        while True:
            try:
                await self._follow()
            except HistoryLost as error:
                self._reconnect(error)
                await self._wait_longer()
                await self._recover(error)
            except MongoRefused as error:
                self._fail(error)
                await self._wait(SLOW_DELAY)
            except MongoError as error:
                self._reconnect(error)
                await self._wait_longer()

    async def _wait_longer(self) -> None:
        await self._wait(self._delay)
        self._delay = min(2 * self._delay, LONGEST_DELAY)

    async def _wait(self, delay: float) -> None:
        self._metrics.restarts.labels(self.name).inc()
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))

    async def _follow(self) -> None:
        if not self._head:
            await self._begin()
        async for batch in self._source.read(time_of(self._head)):
            self._take(batch)

    async def _begin(self) -> None:
        self._target = await self._source.now()
        start = max(0, seconds_of(self._target) - self._window)
        self._set_floor(cluster_time(start, 0) + START_OF_INSTANT)

    def _set_floor(self, head: str) -> None:
        self._head = head
        for watcher in self.watchers:
            self._hub.gap(watcher.feed, head)

    def _take(self, batch: Batch) -> None:
        known, self._head = self._head, max(self._head, batch.head)
        changes = batch.after(known)
        for watcher in self.watchers:
            self._publish(watcher, changes)
        if self._head > known:  # opening a stream proves little
            self._lost_at = ""
            self._delay = FIRST_DELAY
        if self.state != "live" and self.passed:
            self._live()

    def _publish(self, watcher: Watcher, changes: Sequence[Change]) -> None:
        messages = [message for change in changes for message in watcher.messages(change)]
        self._hub.publish(watcher.feed, messages, self._head)
        if changes:
            name = watcher.feed.name
            self._metrics.changes.labels(name).inc(len(changes))
            self._metrics.messages.labels(name).inc(len(messages))

    def _live(self) -> None:
        self._log.info("live" if self.state == "starting" else "live again", state="live")
        self.state, self.why = "live", ""
        for watcher in self.watchers:
            watcher.feed.failed = ""
            if not watcher.feed.started:
                self._hub.start(watcher.feed)

    def _reconnect(self, error: MongoError) -> None:
        young = self.state == "starting" and isinstance(error, HistoryLost)
        if self.why != str(error) and not young:
            self._log.warning("change stream interrupted, trying again", why=str(error))
        self.state = self.state if self.state == "starting" else "reconnecting"
        self.why = str(error)

    def _fail(self, error: MongoRefused) -> None:
        if self.why != str(error):
            self._log.error("change stream refused, trying again slowly", why=str(error))
        self.state, self.why = "failed", str(error)
        for watcher in self.watchers:
            self._hub.fail(watcher.feed, self.why)

    async def _recover(self, error: HistoryLost) -> None:
        """Tries a lost position once more; then starts anew and has everybody told."""
        if self._lost_at != self._head:
            self._lost_at = self._head
            return
        try:
            await self._start_anew(error)
        except MongoError as other:
            self._reconnect(other)

    async def _start_anew(self, error: HistoryLost) -> None:
        if self.state == "starting" and self._head < await self._source.oldest():
            self._set_floor(await self._source.oldest() + START_OF_INSTANT)
            self._log.info("the oplog is younger than history.window", window=self._window)
            return
        self._log.error("history lost: every client is told to resync", why=str(error))
        self._set_floor(await self._source.now() + START_OF_INSTANT)
        for watcher in self.watchers:
            self._metrics.resyncs.labels(watcher.feed.name, "history_lost").inc()
