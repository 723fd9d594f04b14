"""When to flush: at once when idle, seldom under load."""

import asyncio
from collections.abc import Callable


class Pace:
    """Calls ``flush`` when it is due, with pauses that grow with the time that flushes take.

    At least ``interval`` seconds lie between two flushes, and half as long as the last one took.
    """

    def __init__(self, *, interval: float, flush: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval = interval
        self._flush = flush
        self._timer: asyncio.Handle | None = None
        self._at = 0.0
        self._not_before = 0.0

    def flush_at(self, due: float) -> None:
        """Has it called at this loop time, or as soon after it as the pause allows."""
        when = max(self._not_before, due)
        if self._timer and self._at <= when:
            return
        self.cancel()
        self._at = when
        if when > self._loop.time():
            self._timer = self._loop.call_at(when, self._call)
        else:
            self._timer = self._loop.call_soon(self._call)

    def flushed(self, began: float, ended: float) -> None:
        """A flush has been done: the next one is not due before a pause."""
        self._not_before = ended + max(self._interval, (ended - began) / 2)

    def cancel(self) -> None:
        """Calls off what was to be called."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _call(self) -> None:
        self._timer = None
        self._flush()
