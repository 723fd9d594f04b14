"""A client's socket: bytes go in, and how they drain can be seen."""

import asyncio
from collections.abc import Callable

LOW_WATER = 16 * 1024
"""Unsent bytes at which a socket counts as drained."""

POLL = 0.01
"""Seconds between two looks at a socket that has to drain."""


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
        # Looked at now and then: the transport tells only its protocol when it has drained.
        while self._transport.get_write_buffer_size() > LOW_WATER and not given_up():  # noqa: ASYNC110
            await asyncio.sleep(POLL)
        return not given_up()

    def abort(self) -> None:
        """Cuts the TCP connection without a word."""
        self._transport.abort()
