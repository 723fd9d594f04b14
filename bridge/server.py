"""The HTTP surface: event streams, history, health. Handlers only; what they mean lies below."""

import asyncio
import random
import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import orjson
from aiohttp import HttpVersion11, hdrs, web

from bridge import frames
from bridge.answers import Answers
from bridge.audience import Interest
from bridge.backfill import Backfills
from bridge.channels import Channels
from bridge.connection import Connection
from bridge.errors import (
    HistoryGone,
    RequestError,
    Unavailable,
)
from bridge.events import Cursor
from bridge.feed import Feed
from bridge.hub import Hub
from bridge.paging import Page
from bridge.snapshots import Snapshots

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
        channels: Channels,
        backfills: Backfills,
        snapshots: Snapshots,
        limits: Limits,
        cors_origins: Sequence[str],
    ) -> None:
        self._hub = hub
        self._channels = channels
        self._backfills = backfills
        self._snapshots = snapshots
        self._limits = limits
        self._answers = Answers(origins=cors_origins)
        self._draining = False
        self._pages: set[Page] = set()
        self.connections: dict[str, Connection] = {}
        """By session."""

    def application(self, more: Iterable[web.RouteDef] = ()) -> web.Application:
        """The public listener's application; ``more`` routes are the demo's."""
        app = web.Application()
        answers = self._answers
        history, snapshot = "/channels/{channel}/history", "/channels/{channel}/snapshot"
        app.add_routes(
            [
                web.get("/sse", self._sse, allow_head=False),
                web.get(history, answers.answered(self._history), allow_head=False),
                web.get(snapshot, answers.answered(self._snapshot), allow_head=False),
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
        names = list(dict.fromkeys(request.query.getall("channel", [])))
        state = request.query.get("snapshot", "0")
        feeds = self._channels.feeds(names, state=state == "1")
        if state not in ("0", "1"):
            raise RequestError(f"snapshot={state[:32]}: expected 1, or 0 for none")
        interest = self._interest(feeds, chunked=request.version >= HttpVersion11)
        place, lost = self._channels.place(_cursor(request), set(feeds.values()))
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
            snapshots=self._snapshots if state == "1" else None,
            period=self._limits.heartbeat * random.uniform(0.8, 1.0),
            max_write=self._limits.write_buffer,
        )
        ready = frames.ready(
            session=connection.session, heartbeat=self._limits.heartbeat, channels=names
        )
        return connection, frames.retry(delay) + ready

    def _interest(self, feeds: dict[str, Feed], *, chunked: bool) -> Interest:
        if not feeds:
            raise RequestError("name at least one channel: /sse?channel=NAME")
        most = self._limits.max_channels
        if len(feeds) > most:
            raise RequestError(f"{len(feeds)} channels on one connection; at most {most}")
        by_feed: dict[Feed, list[str]] = {}
        for channel, feed in feeds.items():
            by_feed.setdefault(feed, []).append(channel)
        own = tuple((feed, tuple(sorted(names))) for feed, names in by_feed.items())
        return Interest(own, chunked)

    async def _history(self, request: web.Request) -> web.StreamResponse:
        channel = request.match_info["channel"]
        feed = self._channels.feeds([channel])[channel]
        limit = int(_number(request, "limit", 100, WHOLE, least=1, most=LARGEST_LIMIT))
        wait = _number(request, "wait", 0, DECIMAL, least=0, most=LONGEST_WAIT)
        if "since" not in request.query:
            raise RequestError("since is required: a cursor, or the 16 digits of a cluster time")
        cursor = Cursor.parse(request.query["since"])
        place, lost = self._channels.place(cursor, [feed])
        if lost:
            raise _gone(lost[feed])
        page = Page(feed=feed, channel=channel, place=place.parts[feed.tag], limit=limit)
        self._pages.add(page)
        try:
            await page.fill(self._hub, self._backfills, 0 if self._draining else wait)
        finally:
            self._pages.discard(page)
        head = {"cursor": f"{feed.tag}-{page.place}", "complete": page.complete}
        body = b'{"messages":[%b],%b' % (
            b",".join(page.bodies),
            orjson.dumps(head)[1:],
        )
        return web.Response(
            body=body,
            content_type="application/json",
            headers={hdrs.CACHE_CONTROL: "no-store"} | self._answers.cors(request),
        )

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        channel = request.match_info["channel"]
        feed = self._channels.feeds([channel], state=True)[channel]
        headers = {hdrs.CONTENT_TYPE: "application/json", hdrs.CACHE_CONTROL: "no-store"}
        response = web.StreamResponse(headers=headers | self._answers.cors(request))
        try:
            async with aclosing(self._snapshots.read(feed, (channel,), fresh=True)) as chunks:
                async for chunk in chunks:
                    if not response.prepared:
                        await response.prepare(request)
                        cursor = f"{feed.tag}-{chunk.position}"
                        start = orjson.dumps({"channel": channel, "cursor": cursor})
                        await self._written(
                            response, start[:-1] + b',"documents":[' + chunk.documents
                        )
                    elif chunk.documents:
                        await self._written(response, b"," + chunk.documents)
        except (Unavailable, TimeoutError):
            if not response.prepared:
                raise
            if request.transport:  # an answer cut short must not look like a whole one
                request.transport.abort()
            return response
        await response.write(b"]}")
        return response

    async def _written(self, response: web.StreamResponse, data: bytes) -> None:
        """Writes a chunk; raises TimeoutError where the client is too slow to take it."""
        async with asyncio.timeout(self._limits.patience):
            await response.write(data)

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
        for page in self._pages:
            page.release()
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
