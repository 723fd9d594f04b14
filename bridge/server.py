"""The HTTP surface: event streams, history, health. Handlers only; what they mean lies below."""

import asyncio
import random
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
from aiohttp import HttpVersion11, hdrs, web

from bridge import frames
from bridge.answers import Answers
from bridge.audience import Interest
from bridge.auth import Access
from bridge.backfill import Backfills
from bridge.connection import Connection
from bridge.errors import BadCursor, Forbidden, HistoryGone, RequestError, UnknownChannel
from bridge.events import Cursor, Place, seconds_of
from bridge.feed import Feed
from bridge.hub import Hub
from bridge.paging import Page
from bridge.watcher import Watcher

SKEW = 60
"""Seconds that a cursor may lie ahead of the cluster."""

LARGEST_LIMIT = 1000
LONGEST_WAIT = 60.0
RETRY_MILLISECONDS = (1000, 4000)
"""Between these, jittered, a browser waits before it reconnects."""

POLL = 0.02

WHOLE = r"\d{1,9}"
DECIMAL = r"\d{1,9}(\.\d{1,9})?"

_STREAM_HEADERS = {
    hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
    hdrs.CACHE_CONTROL: "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What the public listener allows. Times in seconds, sizes in bytes."""

    heartbeat: float
    patience: float
    write_buffer: int
    max_channels: int


class Server:
    """The public listener's handlers, and the connections that they have open."""

    def __init__(
        self,
        *,
        hub: Hub,
        watchers: Sequence[Watcher],
        backfills: Backfills,
        access: Access,
        limits: Limits,
        cors_origins: Sequence[str],
    ) -> None:
        self._hub = hub
        self._watchers = watchers
        self._backfills = backfills
        self._access = access
        self._limits = limits
        self._answers = Answers(origins=cors_origins)
        self._draining = False
        self.connections: dict[str, Connection] = {}
        """By session."""

    def application(self, more: Iterable[web.RouteDef] = ()) -> web.Application:
        """The public listener's application; ``more`` routes are the demo's."""
        app = web.Application()
        answers = self._answers
        history = "/channels/{channel}/history"
        app.add_routes(
            [
                web.get("/sse", self._sse, allow_head=False),
                web.get(history, answers.answered(self._history), allow_head=False),
                *more,
                web.route("*", "/{path:.*}", answers.other),
            ]
        )
        return app

    # Handlers.

    async def _sse(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=_STREAM_HEADERS | self._answers.cors(request))
        try:
            connection, opening = self._connection(request)
        except RequestError as error:
            return self._answers.problem(request, error)
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        await response.prepare(request)
        if connection is None:
            await response.write(opening)
            return response
        self.connections[connection.session] = connection
        if self._draining:  # since the request was looked at
            self._dismiss(connection)
        try:
            await connection.run(opening)
        finally:
            del self.connections[connection.session]
        return response

    def _connection(self, request: web.Request) -> tuple[Connection | None, bytes]:
        """What serves the request, if anything can now, and the first bytes of the answer."""
        channels = list(dict.fromkeys(request.query.getall("channel", [])))
        interest = self._interest(channels, request)
        place, lost = self._intake(_cursor(request), interest)
        delay = random.randint(*RETRY_MILLISECONDS)
        transport = request.transport
        if transport is None or self._draining or all(f.absent for f, _ in interest.feeds):
            return None, frames.bye("unavailable", reconnect=True, delay=delay)
        connection = Connection(
            session=secrets.token_urlsafe(12),
            transport=transport,
            hub=self._hub,
            backfills=self._backfills,
            interest=interest,
            place=place,
            lost=lost,
            period=self._limits.heartbeat * random.uniform(0.8, 1.0),
            max_write=self._limits.write_buffer,
        )
        ready = frames.ready(
            session=connection.session, heartbeat=self._limits.heartbeat, channels=channels
        )
        return connection, frames.retry(delay) + ready

    async def _history(self, request: web.Request) -> web.StreamResponse:
        channel = request.match_info["channel"]
        feed = self._feeds([channel])[channel]
        limit = int(_number(request, "limit", 100, WHOLE, least=1, most=LARGEST_LIMIT))
        wait = _number(request, "wait", 0, DECIMAL, least=0, most=LONGEST_WAIT)
        if "since" not in request.query:
            raise BadCursor("since is required: a cursor, or the 16 hex digits of a cluster time")
        cursor = Cursor.parse(request.query["since"])
        interest = Interest(((feed, (channel,)),), chunked=False)
        place, lost = self._intake(cursor, interest)
        if lost:
            raise _gone(lost[feed])
        page = Page(feed=feed, channel=channel, place=place.parts[feed.tag], limit=limit)
        await page.fill(self._hub, self._backfills, 0 if self._draining else wait)
        head = {"cursor": f"{feed.tag}-{page.place}", "complete": page.complete}
        body = b'{"messages":[%b],%b' % (
            b",".join(message.body for message in page.messages),
            orjson.dumps(head)[1:],
        )
        return web.Response(
            body=body,
            content_type="application/json",
            headers={hdrs.CACHE_CONTROL: "no-store"} | self._answers.cors(request),
        )

    # What a request asks for.

    def _interest(self, channels: list[str], request: web.Request) -> Interest:
        feeds = self._feeds(channels)
        if not channels:
            raise RequestError("name at least one channel: /sse?channel=NAME")
        if len(channels) > self._limits.max_channels:
            raise RequestError(
                f"{len(channels)} channels on one connection; at most {self._limits.max_channels}"
            )
        if "snapshot" in request.query:
            raise RequestError("snapshot is not offered: fetch the state and pass its position")
        by_feed: dict[Feed, list[str]] = {}
        for channel in channels:
            by_feed.setdefault(feeds[channel], []).append(channel)
        return Interest(
            tuple((feed, tuple(sorted(own))) for feed, own in by_feed.items()),
            chunked=request.version >= HttpVersion11,
        )

    def _feeds(self, channels: Iterable[str]) -> dict[str, Feed]:
        """The feed of each channel; refuses what may not be read before what does not exist."""
        for channel in channels:
            if not self._access.may_read(channel):
                raise Forbidden(f"channel {channel!r} may not be read")
        feeds = {}
        for channel in channels:
            watcher = next((w for w in self._watchers if w.rule.matches(channel)), None)
            if watcher is None:
                raise UnknownChannel(f"no watcher can produce a channel {channel!r}")
            feeds[channel] = watcher.feed
        return feeds

    def _intake(self, cursor: Cursor | None, interest: Interest) -> tuple[Place, dict[Feed, str]]:
        """The place that a cursor stands for, and the watchers for which it stands for none."""
        parts: dict[str, str] = {}
        lost: dict[Feed, str] = {}
        if cursor is None:
            return Place(parts), lost
        newest = max(int(time.time()), *(seconds_of(w.feed.history.head) for w in self._watchers))
        for feed, _ in interest.feeds:
            part = cursor.at(feed.tag)
            if part and seconds_of(part) <= newest + SKEW:
                parts[feed.tag] = part
            elif cursor.bare:
                raise BadCursor(
                    f"position {cursor.bare} lies {seconds_of(cursor.bare) - newest} s ahead of "
                    "the cluster: positions are made of cluster times"
                )
            else:
                lost[feed] = "unknown_cursor"
        return Place(parts), lost

    # Over time.

    async def keep_alive(self) -> None:
        """Heartbeats, and an end for those who take nothing; runs for ever."""
        loop = asyncio.get_running_loop()
        pause = min(1.0, self._limits.heartbeat / 10, self._limits.patience / 10)
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            self._hub.beat(now)
            for connection in list(self.connections.values()):
                connection.check(now, self._limits.patience)

    def drop(self, session: str) -> bool:
        """Cuts a session's connection without a goodbye; False where there is none."""
        connection = self.connections.get(session)
        if connection:
            connection.abort()
        return connection is not None

    async def drain(self, seconds: float) -> None:
        """Says goodbye to everybody, spread over this time; new requests are turned away."""
        self._draining = True
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
        connection.end("shutdown", reconnect=True, delay=random.randint(*RETRY_MILLISECONDS))


def _cursor(request: web.Request) -> Cursor | None:
    text = request.headers.get("Last-Event-ID") or request.query.get("since")
    return Cursor.parse(text) if text is not None else None


def _gone(reason: str) -> RequestError:
    return HistoryGone(f"{reason}: the cursor belongs to no history here; fetch the state again")


def _number(
    request: web.Request, name: str, default: float, form: str, *, least: float, most: float
) -> float:
    text = request.query.get(name)
    if text is None:
        return default
    if not re.fullmatch(form, text) or not least <= float(text) <= most:
        raise RequestError(f"{name}={text[:32]}: expected a number from {least:g} to {most:g}")
    return float(text)
