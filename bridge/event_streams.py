"""``GET /sse``: event streams, from the request to the last byte."""

import asyncio
import secrets

from aiohttp import HttpVersion11, hdrs, web

from bridge import frames
from bridge.answers import Answers
from bridge.auth import Grant
from bridge.connection import Connection
from bridge.connections import delay
from bridge.errors import RequestError, TooManyConnections, Unavailable
from bridge.events import Cursor
from bridge.outlet import Outlet
from bridge.serving import Serving
from bridge.sse_wire import CHUNKED, PLAIN, SseWire, retry
from bridge.subscription import Subscription

_HEADERS = {
    hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
    hdrs.CACHE_CONTROL: "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


class EventStreams:
    """Opens event streams."""

    def __init__(self, *, serving: Serving, answers: Answers) -> None:
        self._serving = serving
        self._answers = answers

    async def open(self, request: web.Request) -> web.StreamResponse:
        """The handler: refuses before the stream starts, or serves it to its end."""
        wire = CHUNKED if request.version >= HttpVersion11 else PLAIN
        response = web.StreamResponse(headers=_HEADERS | self._answers.cors(request))
        if wire is CHUNKED:
            response.enable_chunked_encoding()
        try:
            visitor = await self._serving.door.admit(request)
            connection, ready = self._connection(request, visitor.grant, wire)
            self._serving.door.enter(visitor.name)
        except (Unavailable, TooManyConnections) as passing:
            await response.prepare(request)
            await response.write(frames.bye(PLAIN, passing.code, reconnect=True, delay=delay()))
            return response
        except RequestError as error:
            return self._answers.problem(request, error)
        client = visitor.name
        expiry = self._serving.connections.expiry(connection, visitor.grant)
        ageing = self._serving.connections.ageing(connection)
        del visitor  # an idle stream keeps only what it needs
        self._serving.connections.enter(connection)
        try:
            await response.prepare(request)
            connection.open(ready)
            del ready
            try:
                await connection.serve()
            except Unavailable as passing:
                self._serving.connections.end(connection, passing.code)
            await self._close(response, connection)
        finally:
            self._serving.connections.leave(connection)
            self._serving.door.leave(client)
            for end in (*expiry, *ageing):
                end.cancel()
        return response

    async def _close(self, response: web.StreamResponse, connection: Connection) -> None:
        connection.close()
        try:
            async with asyncio.timeout(self._serving.connections.limits.patience):
                await response.write_eof()
        except TimeoutError:
            connection.abort()  # it does not even take the goodbye

    def _connection(
        self, request: web.Request, grant: Grant, wire: SseWire
    ) -> tuple[Connection, bytes]:
        """What serves the request, and its first bytes; raises what refuses it."""
        channels, connections = self._serving.channels, self._serving.connections
        limits = connections.limits
        names = list(dict.fromkeys(request.query.getall("channel", [])))
        state = request.query.get("snapshot", "0")
        feeds = channels.feeds(names, grant, state=state == "1")
        if state not in ("0", "1"):
            raise RequestError(f"snapshot={state[:32]}: expected 1, or 0 for none")
        if not feeds:
            raise RequestError("name at least one channel: /sse?channel=NAME")
        interest = channels.interest(feeds, grant, wire)
        cursor, transport = _cursor(request), request.transport
        if transport is None or connections.draining or interest.absent:
            raise Unavailable("no watcher of these channels can run now, or the bridge is stopping")
        outlet = Outlet(transport, max_write=limits.write_buffer)
        subscription = self._serving.subscription(
            Subscription, outlet=outlet, interest=interest, cursor=cursor, state=state == "1"
        )
        session = secrets.token_urlsafe(12)
        ready = frames.ready(wire, session=session, heartbeat=limits.heartbeat, channels=names)
        connection = Connection(
            session=session, outlet=outlet, wire=wire, subscription=subscription
        )
        return connection, retry(delay()) + ready


def _cursor(request: web.Request) -> Cursor | None:
    text = request.headers.get("Last-Event-ID") or request.query.get("since")
    return Cursor.parse(text) if text is not None else None
