"""The HTTP surface: event streams, history, health. Handlers only; what they mean lies below."""

import asyncio
import re
from collections.abc import Iterable
from contextlib import aclosing

import orjson
from aiohttp import hdrs, web

from bridge.answers import Answers
from bridge.client_modules import read_modules
from bridge.errors import HistoryGone, NotThere, RequestError, Unavailable
from bridge.event_streams import EventStreams
from bridge.events import Cursor
from bridge.feed import Feed
from bridge.paging import Page
from bridge.redaction import View
from bridge.serving import Serving
from bridge.sse_wire import PLAIN
from bridge.tokens import LIFETIME
from bridge.websockets import WebSockets

LARGEST_LIMIT = 1000
LONGEST_WAIT = 60.0
WHOLE = r"\d{1,9}"
DECIMAL = r"\d{1,9}(\.\d{1,9})?"


class Server:
    """The public listener's handlers."""

    def __init__(self, *, serving: Serving, answers: Answers) -> None:
        self._serving = serving
        self._answers = answers
        self._streams = EventStreams(serving=serving, answers=answers)
        self._sockets = WebSockets(serving=serving, answers=answers)
        self._pages: set[Page] = set()
        self._modules = read_modules()

    def application(self, more: Iterable[web.RouteDef] = ()) -> web.Application:
        """The public listener's application; ``more`` routes are the demo's."""
        app = web.Application()
        answers = self._answers
        history, snapshot = "/channels/{channel}/history", "/channels/{channel}/snapshot"
        app.add_routes(
            [
                web.get("/sse", self._streams.open, allow_head=False),
                web.get("/ws", answers.answered(self._sockets.open), allow_head=False),
                web.get(history, answers.answered(self._history), allow_head=False),
                web.get(snapshot, answers.answered(self._snapshot), allow_head=False),
                web.post("/tickets", answers.answered(self._ticket)),
                web.get("/client/{name}", answers.answered(self._module)),
                *more,
                web.route("*", "/{path:.*}", answers.other),
            ]
        )
        return app

    # Handlers.

    async def _history(self, request: web.Request) -> web.StreamResponse:
        channel = request.match_info["channel"]
        visitor = await self._serving.door.admit(request)
        feed = self._serving.channels.feeds([channel], visitor.grant)[channel]
        limit = int(_number(request, "limit", 100, WHOLE, least=1, most=LARGEST_LIMIT))
        wait = _number(request, "wait", 0, DECIMAL, least=0, most=LONGEST_WAIT)
        if "since" not in request.query:
            raise RequestError("since is required: a cursor, or the 16 digits of a cluster time")
        cursor = Cursor.parse(request.query["since"])
        place, lost = self._serving.channels.place(cursor, [feed])
        if lost:
            raise _gone(lost[feed])
        interest = self._serving.channels.interest({channel: feed}, visitor.grant, PLAIN)
        page = Page(interest=interest, place=place.parts[feed.tag], limit=limit)
        self._pages.add(page)
        with self._serving.door.room(visitor):
            try:
                await page.fill(
                    self._serving.hub,
                    self._serving.backfills,
                    0 if self._serving.connections.draining else wait,
                )
            finally:
                self._pages.discard(page)
            return await self._sent(request, self._paged(request, feed, page))

    def _paged(self, request: web.Request, feed: Feed, page: Page) -> web.Response:
        head = {"cursor": f"{feed.tag}-{page.place}", "complete": page.complete}
        body = b'{"messages":[%b],%b' % (b",".join(page.bodies), orjson.dumps(head)[1:])
        return web.Response(
            body=body,
            content_type="application/json",
            headers={hdrs.CACHE_CONTROL: "no-store"} | self._answers.cors(request),
        )

    async def _sent(self, request: web.Request, response: web.Response) -> web.Response:
        """Sends an answer to its end; cuts a client that takes too long to take it."""
        try:
            async with asyncio.timeout(self._serving.connections.limits.patience):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport:
                request.transport.abort()
        return response

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        channel = request.match_info["channel"]
        visitor = await self._serving.door.admit(request)
        feed = self._serving.channels.feeds([channel], visitor.grant, state=True)[channel]
        view = feed.redaction.view(visitor.grant.claims)
        with self._serving.door.room(visitor):
            return await self._give_state(request, channel, feed, view)

    async def _give_state(
        self, request: web.Request, channel: str, feed: Feed, view: View | None
    ) -> web.StreamResponse:
        headers = {hdrs.CONTENT_TYPE: "application/json", hdrs.CACHE_CONTROL: "no-store"}
        response = web.StreamResponse(headers=headers | self._answers.cors(request))
        try:
            async with aclosing(
                self._serving.snapshots.read(feed, (channel,), fresh=True)
            ) as chunks:
                async for chunk in chunks:
                    documents = view.documents(chunk.documents) if view else chunk.documents
                    if not response.prepared:
                        await response.prepare(request)
                        cursor = f"{feed.tag}-{chunk.position}"
                        start = orjson.dumps({"channel": channel, "cursor": cursor})
                        await self._written(response, start[:-1] + b',"documents":[' + documents)
                    elif documents:
                        await self._written(response, b"," + documents)
            await self._written(response, b"]}")
        except (Unavailable, TimeoutError):
            if not response.prepared:
                raise
            if request.transport:  # an answer cut short must not look like a whole one
                request.transport.abort()
        return response

    async def _written(self, response: web.StreamResponse, data: bytes) -> None:
        """Writes a chunk; raises TimeoutError where the client is too slow to take it."""
        async with asyncio.timeout(self._serving.connections.limits.patience):
            await response.write(data)

    async def _ticket(self, request: web.Request) -> web.StreamResponse:
        body = {"ticket": await self._serving.door.ticket(request), "expiresIn": int(LIFETIME)}
        headers = {hdrs.CACHE_CONTROL: "no-store"} | self._answers.cors(request)
        return web.Response(
            body=orjson.dumps(body), content_type="application/json", headers=headers
        )

    async def _module(self, request: web.Request) -> web.StreamResponse:
        module = self._modules.get(request.match_info["name"])
        if module is None:
            raise NotThere(f"{request.path}: see /client/index.js")
        return module.answer(request)

    # Over time.

    async def drain(self, seconds: float) -> None:
        """Says goodbye to everybody, spread over this time; new streams are turned away."""
        draining = asyncio.ensure_future(self._serving.connections.drain(seconds))
        await asyncio.sleep(0)  # from here on nobody waits any more
        for page in self._pages:
            page.stop()
        await draining


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
