"""``GET /sse``: event streams, from the request to the last byte."""

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import HttpVersion11, hdrs, web

from bridge import frames
from bridge.answers import Answers
from bridge.audience import Interest
from bridge.auth import Grant
from bridge.backfill import Backfills
from bridge.channels import Channels
from bridge.connection import Connection
from bridge.door import Door
from bridge.errors import RequestError, TooManyConnections, Unavailable
from bridge.events import Cursor
from bridge.feed import Feed
from bridge.hub import Hub
from bridge.snapshots import Snapshots

RETRY_MILLISECONDS = (1000, 4000)
"""Between these, jittered, a browser waits before it reconnects."""

POLL = 0.02

_HEADERS = {
    hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
    hdrs.CACHE_CONTROL: "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}

_NONE: Sequence[asyncio.TimerHandle] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a stream is allowed. Times in seconds, sizes in bytes."""

    heartbeat: float
    patience: float
    write_buffer: int
    max_channels: int
    max_age: float = 0.0
    """0: connections may stay for ever."""


class EventStreams:
    """All open event streams."""

    def __init__(
        self,
        *,
        hub: Hub,
        channels: Channels,
        backfills: Backfills,
        snapshots: Snapshots,
        limits: Limits,
        answers: Answers,
        door: Door,
    ) -> None:
        self._hub = hub
        self._channels = channels
        self._backfills = backfills
        self._snapshots = snapshots
        self.limits = limits
        self._answers = answers
        self._door = door
        self.draining = False
        self.connections: dict[str, Connection] = {}
        """By session."""

    async def open(self, request: web.Request) -> web.StreamResponse:
        """The handler: refuses before the stream starts, or serves it to its end."""
        response = web.StreamResponse(headers=_HEADERS | self._answers.cors(request))
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        try:
            visitor = await self._door.admit(request)
            connection, ready = self._connection(request, visitor.grant)
            self._door.enter(visitor.name)
        except (Unavailable, TooManyConnections) as passing:
            await response.prepare(request)
            await response.write(_bye(passing.code))
            return response
        except RequestError as error:
            return self._answers.problem(request, error)
        ends = self._ends(connection, visitor.grant)
        client = visitor.name
        del visitor  # an idle stream keeps only what it needs
        self.connections[connection.session] = connection
        try:
            await response.prepare(request)
            if self.draining:  # since the request was looked at
                self._dismiss(connection)
            await connection.run(ready)
            async with asyncio.timeout(self.limits.patience):
                await response.write_eof()
        except TimeoutError:
            connection.abort()  # it does not even take the goodbye
        finally:
            del self.connections[connection.session]
            self._door.leave(client)
            for end in ends:
                end.cancel()
        return response

    def _ends(self, connection: Connection, grant: Grant) -> Sequence[asyncio.TimerHandle]:
        """What ends the connection at a time known from the start: its token, its age."""
        loop = asyncio.get_running_loop()
        if grant.expires is None and not self.limits.max_age:
            return _NONE
        ends = []
        if grant.expires is not None:
            left = max(0.0, grant.expires - time.time())
            ends.append(loop.call_later(left, self._end, connection, "token_expired"))
        if self.limits.max_age:
            age = self.limits.max_age * random.uniform(0.8, 1.0)
            ends.append(loop.call_later(age, self._end, connection, "max_age"))
        return ends

    def _connection(self, request: web.Request, grant: Grant) -> tuple[Connection, bytes]:
        """What serves the request, and its first bytes; raises what refuses it."""
        names = list(dict.fromkeys(request.query.getall("channel", [])))
        state = request.query.get("snapshot", "0")
        feeds = self._channels.feeds(names, grant, state=state == "1")
        if state not in ("0", "1"):
            raise RequestError(f"snapshot={state[:32]}: expected 1, or 0 for none")
        interest = self._interest(feeds, chunked=request.version >= HttpVersion11)
        place, lost = self._channels.place(_cursor(request), set(feeds.values()))
        transport = request.transport
        if transport is None or self.draining or all(f.absent for f, _ in interest.feeds):
            raise Unavailable("no watcher of these channels can run now, or the bridge is stopping")
        connection = Connection(
            session=secrets.token_urlsafe(12),
            transport=transport,
            hub=self._hub,
            backfills=self._backfills,
            interest=interest,
            place=place,
            lost=lost,
            snapshots=self._snapshots if state == "1" else None,
            period=self.limits.heartbeat * random.uniform(0.8, 1.0),
            max_write=self.limits.write_buffer,
        )
        ready = frames.ready(
            session=connection.session, heartbeat=self.limits.heartbeat, channels=names
        )
        return connection, frames.retry(_delay()) + ready

    def _interest(self, feeds: dict[str, Feed], *, chunked: bool) -> Interest:
        if not feeds:
            raise RequestError("name at least one channel: /sse?channel=NAME")
        most = self.limits.max_channels
        if len(feeds) > most:
            raise RequestError(f"{len(feeds)} channels on one connection; at most {most}")
        by_feed: dict[Feed, list[str]] = {}
        for channel, feed in feeds.items():
            by_feed.setdefault(feed, []).append(channel)
        own = tuple((feed, tuple(sorted(names))) for feed, names in by_feed.items())
        return Interest(own, chunked)

    async def keep_alive(self) -> None:
        """Heartbeats, and an end for those who take nothing; runs for ever."""
        loop = asyncio.get_running_loop()
        pause = min(1.0, self.limits.heartbeat / 10, self.limits.patience / 10)
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            self._hub.beat(now)
            for connection in list(self.connections.values()):
                connection.check(now, self.limits.patience)

    def drop(self, session: str) -> bool:
        """Cuts a session's connection without a goodbye; False where there is none."""
        connection = self.connections.get(session)
        if connection:
            connection.abort()
        return connection is not None

    async def drain(self, seconds: float) -> None:
        """Says goodbye to everybody, spread over this time; new requests are turned away."""
        self.draining = True
        try:
            await self._dismiss_all(seconds)
        finally:
            for connection in list(self.connections.values()):
                connection.abort()

    async def _dismiss_all(self, seconds: float) -> None:
        waiting = list(self.connections.values())
        random.shuffle(waiting)
        for connection in waiting:
            self._dismiss(connection)
            await asyncio.sleep(0.8 * seconds / len(waiting))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max(0.2 * seconds, 0.1)
        while self.connections and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(POLL)

    def _dismiss(self, connection: Connection) -> None:
        self._end(connection, "shutdown")

    def _end(self, connection: Connection, code: str) -> None:
        connection.end(code, reconnect=True, delay=_delay())


def _delay() -> int:
    return random.randint(*RETRY_MILLISECONDS)


def _bye(code: str) -> bytes:
    return frames.bye(code, reconnect=True, delay=_delay())


def _cursor(request: web.Request) -> Cursor | None:
    text = request.headers.get("Last-Event-ID") or request.query.get("since")
    return Cursor.parse(text) if text is not None else None
