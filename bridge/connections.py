"""All open connections: their heartbeats, their ends, and those who take nothing."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.auth import Grant
from bridge.hub import Hub

RETRY_MILLISECONDS = (1000, 4000)
"""Between these, jittered, a client waits before it reconnects."""

POLL = 0.02

NO_ENDS: Sequence[asyncio.TimerHandle] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection is allowed. Times in seconds, sizes in bytes."""

    heartbeat: float
    patience: float
    write_buffer: int
    max_age: float = 0.0
    """0: connections may stay for ever."""

    @property
    def period(self) -> float:
        """Seconds between the heartbeats of one connection: not all at the same moment."""
        return self.heartbeat * random.uniform(0.8, 1.0)


class Open(Protocol):
    """An open connection."""

    session: str

    def end(self, code: str, *, reconnect: bool, delay: int) -> None:
        """Says goodbye, with the delay in milliseconds, and ends it."""

    def abort(self) -> None:
        """Cuts it without a word."""

    def check(self, now: float, patience: float) -> None:
        """Gives a heartbeat if one is due; cuts a client that takes nothing."""


class Connections:
    """Event streams and WebSockets, by session."""

    def __init__(self, *, hub: Hub, limits: Limits) -> None:
        self._hub = hub
        self.limits = limits
        self.draining = False
        """Whether the bridge is stopping: who comes now is turned away."""
        self.open: dict[str, Open] = {}

    def __len__(self) -> int:
        return len(self.open)

    def enter(self, connection: Open) -> None:
        """One more; it is told to go if all are to go.

        With ``leave``, and no context manager: that would cost each idle one 500 bytes.
        """
        self.open[connection.session] = connection
        if self.draining:  # since the request was looked at
            self.end(connection, "shutdown")

    def leave(self, connection: Open) -> None:
        """One less."""
        self.open.pop(connection.session, None)

    def expiry(self, connection: Open, grant: Grant) -> Sequence[asyncio.TimerHandle]:
        """What ends it when its token expires."""
        if grant.expires is None:
            return NO_ENDS
        left = max(0.0, grant.expires - time.time())
        loop = asyncio.get_running_loop()
        return [loop.call_later(left, self.end, connection, "token_expired")]

    def ageing(self, connection: Open) -> Sequence[asyncio.TimerHandle]:
        """What ends it when it is as old as a connection may be."""
        if not self.limits.max_age:
            return NO_ENDS
        age = self.limits.max_age * random.uniform(0.8, 1.0)
        return [asyncio.get_running_loop().call_later(age, self.end, connection, "max_age")]

    def end(self, connection: Open, code: str) -> None:
        """Says goodbye to one that may come back."""
        connection.end(code, reconnect=True, delay=delay())

    async def keep_alive(self) -> None:
        """Heartbeats, and an end for those who take nothing; runs for ever."""
        loop = asyncio.get_running_loop()
        pause = min(1.0, self.limits.heartbeat / 10, self.limits.patience / 10)
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            self._hub.beat(now)
            for connection in list(self.open.values()):
                connection.check(now, self.limits.patience)

    async def drain(self, seconds: float) -> None:
        """Says goodbye to everybody, spread over this time; new requests are turned away."""
        self.draining = True
        try:
            await self._dismiss_all(seconds)
        finally:
            for connection in list(self.open.values()):
                connection.abort()

    async def _dismiss_all(self, seconds: float) -> None:
        waiting = list(self.open.values())
        random.shuffle(waiting)
        for connection in waiting:
            if connection.session in self.open:  # and has not left meanwhile
                self.end(connection, "shutdown")
            await asyncio.sleep(0.8 * seconds / len(waiting))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max(0.2 * seconds, 0.1)
        while self.open and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(POLL)


def delay() -> int:
    """Milliseconds after which one client is asked to come back."""
    return random.randint(*RETRY_MILLISECONDS)
