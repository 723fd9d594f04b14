"""``GET /ws``: WebSockets, from the handshake to the close frame."""

import asyncio
import secrets
from collections.abc import Iterable
from functools import partial

from aiohttp import WSCloseCode, WSMsgType, web

from bridge import client_frames
from bridge.answers import Answers
from bridge.client_frames import LONGEST, Auth, ClientFrame, Ping, Ref, Subscribe, Unsubscribe
from bridge.door import Visitor
from bridge.errors import BadCursor, BadFrame, Forbidden, RequestError, Unauthorized, Unavailable
from bridge.events import Cursor
from bridge.feed import Feed
from bridge.outlet import Outlet
from bridge.serving import Serving
from bridge.websocket import Part, Request, WebSocket
from bridge.websocket_wire import WEBSOCKET

CLOSING = 2.0
"""Seconds that a client has to answer a close frame."""

STATES_AT_ONCE = 32
STATE_PAUSE = 0.25
"""A client may ask for the state of this many channels' sets at once, then for one in so many
seconds: each can be a reading of MongoDB. Until then none of its frames is read."""

BAD_FRAME, UNAUTHORIZED = 4500, 4501
CODES = {"shutdown": 4000, "token_expired": 4001, "max_age": 4002}
"""Close codes by the code of the goodbye: 4000 to 4499 may come back, 4500 to 4999 need not."""


class _Response(web.WebSocketResponse):
    """aiohttp's, which reads frames; too large a frame is told in the contract's own code."""

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        """Closes it; 1009 becomes 4500."""
        if code == WSCloseCode.MESSAGE_TOO_BIG:
            code, message = BAD_FRAME, f"a frame of more than {LONGEST} bytes".encode()
        return await super().close(code=code, message=message, drain=drain)


class WebSockets:
    """Opens WebSockets."""

    def __init__(self, *, serving: Serving, answers: Answers) -> None:
        self._serving = serving
        self._answers = answers

    async def open(self, request: web.Request) -> web.StreamResponse:
        """The handler; raises what refuses the handshake."""
        door, connections = self._serving.door, self._serving.connections
        visitor = await door.admit(request, socket=True)
        if not self._answers.welcomes(request):
            raise Forbidden("pages of this origin may not connect: see server.cors_origins")
        response = _Response(max_msg_size=LONGEST, compress=False, timeout=CLOSING)
        if not response.can_prepare(request):
            raise RequestError("/ws opens a WebSocket: expected a handshake of RFC 6455")
        if connections.draining or request.transport is None:
            raise Unavailable("the bridge is stopping")
        door.enter(visitor.name)
        conversation = _Conversation(self._serving, request, response, visitor)
        try:
            await response.prepare(request)
            outlet = Outlet(request.transport, max_write=connections.limits.write_buffer)
            await conversation.run(outlet)
        finally:
            door.leave(conversation.client)
        return response


class _Conversation:
    """What one client asks, and what is done about it."""

    def __init__(
        self, serving: Serving, request: web.Request, response: _Response, visitor: Visitor
    ) -> None:
        self._serving = serving
        self._request = request
        self._response = response
        self._visitor = visitor
        self._tasks: set[asyncio.Task[None]] = set()
        self._paid = 0.0
        """Loop time up to which the states that were asked for count."""

    @property
    def client(self) -> str:
        """The name that the connection is counted under."""
        return self._visitor.name

    async def run(self, outlet: Outlet) -> None:
        """Answers until one of the two closes."""
        connections = self._serving.connections
        self._outlet = outlet
        self._group = asyncio.TaskGroup()
        self._socket = WebSocket(
            session=secrets.token_urlsafe(12),
            outlet=outlet,
            period=connections.limits.period,
            close=self._close,
        )
        self._expiry = connections.expiry(self._socket, self._visitor.grant)
        ends = connections.ageing(self._socket)
        async with self._group:
            connections.enter(self._socket)
            try:
                await self._read()
            finally:
                connections.leave(self._socket)
                for end in (*ends, *self._expiry):
                    end.cancel()
                for task in self._tasks:
                    task.cancel()

    def _close(self, code: str) -> None:
        self._group.create_task(self._closed(CODES.get(code, 4000), code))

    async def _closed(self, code: int, why: str) -> None:
        await self._response.close(code=code, message=why.encode())

    async def _read(self) -> None:
        async for message in self._response:
            await asyncio.sleep(0)  # others first: one client may have sent a thousand frames
            await self._socket.drained()  # who does not read is not read
            if self._socket.ended:
                return
            if message.type is WSMsgType.TEXT:
                await self._hear(message.data)
            elif message.type is WSMsgType.BINARY:
                await self._refuse(BadFrame("frames are text"), BAD_FRAME)
            else:
                return  # broken, and told so

    async def _hear(self, text: str) -> None:
        try:
            ref, frame = client_frames.read(text)
        except BadFrame as error:
            await self._refuse(error, BAD_FRAME)
            return
        try:
            if isinstance(frame, RequestError):
                raise frame
            await self._do(frame)
        except Unauthorized as error:
            await self._refuse(error, UNAUTHORIZED, ref)
        except RequestError as error:
            self._tell(error, ref)

    async def _refuse(self, error: RequestError, code: int, ref: Ref = None) -> None:
        self._tell(error, ref)
        self._socket.silence()  # no frame may follow the close frame
        await self._closed(code, error.code)

    def _tell(self, error: RequestError, ref: Ref, channels: Iterable[str] = ()) -> None:
        about: dict[str, object] = {"channels": list(channels)} if channels else {}
        if error.channel is not None:
            about["channel"] = error.channel
        self._socket.tell("error", ref, code=error.code, detail=str(error), **about)

    async def _do(self, frame: ClientFrame) -> None:
        match frame:
            case Subscribe():
                self._subscribe(frame)
                await self._pause(frame)
            case Unsubscribe():
                self._socket.narrow({*frame.channels})
                self._socket.tell("unsubscribed", frame.ref)
                self._socket.settle()
            case Auth():
                await self._authenticate(frame)
            case Ping():
                self._socket.tell("pong", frame.ref)

    # Subscribing.

    def _subscribe(self, frame: Subscribe) -> None:
        """Checks all of it first: nothing is half accepted."""
        channels = self._serving.channels
        since = {wanted.channel: wanted.since for wanted in frame.channels}
        feeds = channels.feeds(since, self._visitor.grant, state=frame.snapshot)
        if len(since) < len(frame.channels):
            raise RequestError("channels: one channel stands there twice")
        if twice := self._socket.channels & since.keys():
            raise RequestError(f"channel {min(twice)!r} is subscribed: unsubscribe it first")
        if len(self._socket.channels) + len(since) > channels.most:
            raise RequestError(f"at most {channels.most} channels on one connection")
        if all(feed.absent for feed in feeds.values()):
            raise Unavailable("no watcher of these channels can run now")
        request = Request(frame.ref, since)
        parts = [
            self._part(request, cursor, {name: feeds[name] for name in names}, state=frame.snapshot)
            for cursor, names in _by_cursor(since).items()
        ]
        self._socket.tell(
            "ready",
            frame.ref,
            session=self._socket.session,
            heartbeat=self._serving.connections.limits.heartbeat,
            channels=list(since),
        )
        self._socket.follow(request, parts)
        for part in parts:
            task = self._group.create_task(self._serve(part), name="subscription")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _part(
        self, request: Request, cursor: str | None, feeds: dict[str, Feed], *, state: bool
    ) -> Part:
        serving = self._serving
        try:
            return serving.subscription(
                partial(Part, socket=self._socket, request=request),
                outlet=self._outlet,
                interest=serving.channels.interest(feeds, self._visitor.grant, WEBSOCKET),
                cursor=Cursor.parse(cursor) if cursor is not None else None,
                state=state,
            )
        except BadCursor as error:
            channel = next(iter(feeds))
            raise BadCursor(f"since of channel {channel!r}: {error}", channel=channel) from error

    async def _serve(self, part: Part) -> None:
        try:
            await part.run()
        except Unavailable as error:
            if not part.stopped:  # else nobody waits for its state any more
                self._drop(part, error)

    def _drop(self, part: Part, error: RequestError) -> None:
        self._tell(error, part.request.ref, self._socket.drop(part))
        self._socket.settle()

    async def _pause(self, frame: Subscribe) -> None:
        """Lets who asks for state after state wait."""
        if frame.snapshot:
            now = asyncio.get_running_loop().time()
            self._paid = max(now, self._paid) + STATE_PAUSE
            await asyncio.sleep(self._paid - now - STATES_AT_ONCE * STATE_PAUSE)

    # Another token.

    async def _authenticate(self, frame: Auth) -> None:
        door = self._serving.door
        visitor = await door.readmit(self._request, frame.token)
        if visitor.name != self._visitor.name:
            door.enter(visitor.name)
            door.leave(self._visitor.name)
        self._visitor = visitor
        self._expire()
        if frame.ref is not None:
            self._socket.tell("authenticated", frame.ref)
        self._forbid()
        self._look_again()

    def _expire(self) -> None:
        """Has the connection end with its token."""
        for end in self._expiry:
            end.cancel()
        self._expiry = self._serving.connections.expiry(self._socket, self._visitor.grant)

    def _forbid(self) -> None:
        """Takes away what the token does not cover."""
        grant = self._visitor.grant
        gone = sorted(name for name in self._socket.channels if not grant.may_read(name))
        if gone:
            self._socket.narrow(gone)
            self._tell(Forbidden("the token does not cover these channels any more"), None, gone)
            self._socket.settle()

    def _look_again(self) -> None:
        """Shows what the token lets be seen, no more and no less."""
        claims = self._visitor.grant.claims
        # All before any is dropped: that joins parts, of which none may have an old view.
        blind = [part for part in self._socket.parts if not part.see(claims)]
        for part in blind:
            self._drop(part, Unavailable("what may be seen has changed meanwhile: subscribe again"))


def _by_cursor(since: dict[str, str | None]) -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = {}
    for channel, cursor in since.items():
        found.setdefault(cursor, []).append(channel)
    return found
