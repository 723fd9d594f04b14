"""A client's socket: bytes go in, and how they drain can be seen."""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary

LOW_WATER = 16 * 1024
"""Unsent bytes at which a socket counts as drained."""

POLL = 0.01
"""Seconds between two looks at the sockets that have to drain."""

YOUNG = 50
"""Looks after which a socket that has not drained is looked at every tenth time only."""


class _Drains:
    """The sockets of one loop that have to drain, looked at together.

    The transport tells only its protocol when it has drained, and nobody when a wait is given
    up. A timer for each would cost a third of a core for a thousand of them.
    """

    __slots__ = ("_looks", "_ticking", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], tuple[Callable[[], bool], int]] = {}
        self._looks = 0
        self._ticking = False

    async def wait(self, loop: asyncio.AbstractEventLoop, over: Callable[[], bool]) -> None:
        """Returns once it is found to be ``over``."""
        waiter = loop.create_future()
        self._waiting[waiter] = over, self._looks
        if not self._ticking:
            self._ticking = True
            loop.call_later(POLL, self._look, loop)
        try:
            await waiter
        finally:
            del self._waiting[waiter]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looks += 1
        at_all = self._looks % 10 == 0
        for waiter, (over, since) in self._waiting.items():
            if (at_all or self._looks - since < YOUNG) and not waiter.done() and over():
                waiter.set_result(None)
        self._ticking = bool(self._waiting)
        if self._ticking:
            loop.call_later(POLL, self._look, loop)


_DRAINS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Drains] = WeakKeyDictionary()


class Outlet:
    """What is written to one socket. ``max_write`` bytes may be unsent when more is sent."""

    __slots__ = ("_max_write", "_moved_at", "_sent", "_taken", "_transport")

    def __init__(self, transport: asyncio.WriteTransport, *, max_write: int) -> None:
        self._transport = transport
        self._max_write = max_write
        self._sent = 0
        self._taken = 0
        self._moved_at = asyncio.get_running_loop().time()

    @property
    def full(self) -> bool:
        """Whether too much is unsent for more to be sent."""
        return self._transport.get_write_buffer_size() > self._max_write

    def send(self, data: bytes) -> bool:
        """Writes at once; False where too much is still unsent."""
        if self._transport.get_write_buffer_size() > self._max_write:
            return False
        self._transport.write(data)
        self._sent += len(data)
        return True

    def write(self, data: bytes) -> None:
        """Writes, whatever is still unsent."""
        self._transport.write(data)
        self._sent += len(data)

    def stuck_since(self, now: float) -> float:
        """Since when (loop time) the client takes nothing of what is unsent; ``now``: it does."""
        unsent = self._transport.get_write_buffer_size()
        if not unsent or self._sent - unsent > self._taken:
            self._taken = self._sent - unsent
            self._moved_at = now
        return self._moved_at

    async def drained(self, given_up: Callable[[], bool]) -> bool:
        """Waits until little is unsent; False where that was given up meanwhile."""
        unsent = self._transport.get_write_buffer_size
        if unsent() > LOW_WATER and not given_up():
            loop = asyncio.get_running_loop()
            drains = _DRAINS.setdefault(loop, _Drains())
            await drains.wait(loop, lambda: unsent() <= LOW_WATER or given_up())
        return not given_up()

    def abort(self) -> None:
        """Cuts the TCP connection without a word."""
        self._transport.abort()
