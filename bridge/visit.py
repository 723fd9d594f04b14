"""One TCP connection, and what it may cost before a request of it is served.

aiohttp parses requests and writes answers. It bounds neither how many connections wait, nor how
long a header takes, nor how much is sent ahead while a request is served: that is done here.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from bridge.answers import PROBLEM, problem
from bridge.errors import (
    HeaderTooLarge,
    Malformed,
    NotThere,
    RequestError,
    Unforeseen,
    UriTooLong,
)

LONGEST_REQUEST_LINE = 64 * 1024
"""Bytes: room for 128 long channel names."""

LONGEST_FIELD = 16 * 1024
"""Bytes of one header field: room for the longest token."""

MOST_FIELDS = 100

LARGEST_REQUEST = 128 * 1024
"""Bytes that a client may send from one request being served to the next: what is left of the
body, and the next header. Nobody here reads a body, and nobody pipelines that much."""

HANDSHAKE = 10.0
"""Seconds for the header of a request: from its first byte, the first one from the connection."""

IDLE = 75.0
"""Seconds between two requests: more than the minute that proxies keep connections for."""

LINGER = 2.0
"""Seconds in which the rest of a body is thrown away, so that the answer is not lost."""

MOST_WAITING = 1024
"""Connections of which no request is being served, at the least; one more, and the one that has
waited longest is cut. All clients that may be connected can come back at once: a public listener
has room for as many."""

MOST_WAITING_BYTES = 16 * 1024 * 1024
"""Bytes of unfinished requests in all; more, and the connection that holds most is cut."""

_NOTHING_THERE = 404, 405

_OPTIONS: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,
    "keepalive_timeout": 2 * IDLE,  # ours is sooner
    "lingering_time": LINGER,
    "max_field_size": LONGEST_FIELD,
    "max_headers": MOST_FIELDS,
    "max_line_size": LONGEST_REQUEST_LINE,
}


class Lobby:
    """The TCP connections of one listener of which no request is being served.

    ``patience``: seconds until a peer counts as dead. ``count`` is told why a connection was cut.
    ``most`` may wait.
    """

    def __init__(
        self,
        *,
        patience: float,
        count: Callable[[str], None],
        handshake: float = HANDSHAKE,
        idle: float = IDLE,
        most: int = MOST_WAITING,
    ) -> None:
        self.patience = patience
        self.handshake = handshake
        self.idle = idle
        self.count = count
        self._most = most
        self._waiting: dict[Visit, None] = {}
        self._held = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, visit: object) -> bool:
        return visit in self._waiting

    def enter(self, visit: "Visit") -> None:
        """One more waits."""
        if visit not in self._waiting:
            self._waiting[visit] = None
            self.hold(visit.received)
        if len(self._waiting) > self._most:
            next(iter(self._waiting)).cut("crowded")

    def leave(self, visit: "Visit") -> None:
        """It is served, or gone."""
        if visit in self._waiting:
            del self._waiting[visit]
            self._held -= visit.received

    def hold(self, size: int) -> None:
        """So many bytes more of requests that are not complete."""
        self._held += size
        if self._held > MOST_WAITING_BYTES:
            max(self._waiting, key=lambda visit: visit.received).cut("crowded")


class Visit(web.RequestHandler):
    """One TCP connection: aiohttp's handler of its requests, with an end to its patience."""

    __slots__ = ("_broken", "_deadline", "_limited", "_lobby", "_served", "received")

    def __init__(self, server: web.Server, lobby: Lobby) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **_OPTIONS)
        self._lobby = lobby
        self._deadline: asyncio.TimerHandle | None = None
        self.received = 0
        """Bytes since the last request began to be served."""
        self._served = False
        self._limited = True
        self._broken = False
        """What came is not HTTP: the rest is thrown away while that is answered."""

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits for the first request."""
        super().connection_made(transport)
        _notice_death(transport, self._lobby.patience)
        self._wait(self._lobby.handshake)

    def data_received(self, data: bytes) -> None:
        """Passes on what is not too much."""
        if self._broken or self._gone:
            return
        if self._limited and data:
            waiting = self in self._lobby
            if waiting and self._served and not self.received:
                self._arm(self._lobby.handshake)  # it was idle
            self.received += len(data)
            if waiting:
                self._lobby.hold(len(data))
            if self.received > LARGEST_REQUEST:
                self._refuse_more(data)
                return
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Waits no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    # What aiohttp tells.

    def begin(self, *, broken: bool) -> None:
        """A request begins to be served, or answered because it is none."""
        self._stop_waiting()
        self._served = True
        self._broken = broken
        self.received = 0

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends what is left of the answer, to a client that takes it; then waits again."""
        if isinstance(resp, web.HTTPClientError) and resp.content_type != PROBLEM:  # aiohttp's own
            resp = problem(_refusal(resp.status))
        try:
            async with asyncio.timeout(self._lobby.patience):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self.cut("stuck")
            return resp, True
        finally:
            self._limited = bool(resp.keep_alive)  # else the rest is only thrown away
            self._wait(self._lobby.handshake if self.received else self._lobby.idle)

    def set_parser(self, *args: Any, **kwargs: Any) -> None:
        """From here on it is a WebSocket, which has limits of its own."""
        self._limited = False
        super().set_parser(*args, **kwargs)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A problem; an unforeseen exception is logged, a client's mistake is only counted."""
        if isinstance(exc, HttpProcessingError):
            self._lobby.count("malformed")
            response = problem(_mistake(exc))
        elif isinstance(exc, ConnectionError) and self._gone:
            raise exc  # nobody is left to be answered, which is no news
        else:
            super().handle_error(request, status, exc, message)
            response = problem(Unforeseen("an error that nobody foresaw; it has been logged"))
        response.force_close()
        return response

    # Limits.

    def cut(self, why: str) -> None:
        """Closes the connection at once; what is unsent is lost."""
        self._lobby.count(why)
        self._stop_waiting()
        if self.transport is not None:
            self.transport.abort()

    @property
    def _gone(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    def _wait(self, seconds: float) -> None:
        if self.transport is not None:
            self._arm(seconds)
            self._lobby.enter(self)

    def _stop_waiting(self) -> None:
        self._lobby.leave(self)
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _arm(self, seconds: float) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.cut, "late")

    def _refuse_more(self, data: bytes) -> None:
        if self._served or self.transport is None:
            self.cut("too_large")
            return
        self._limited = False
        self._lobby.count("too_large")
        begins = len(data) == self.received
        endless = begins and b"\n" not in data[:LONGEST_REQUEST_LINE]
        error = _uri_too_long() if endless else HeaderTooLarge(f"at most {LARGEST_REQUEST} bytes")
        self.transport.write(_as_bytes(error))
        self.force_close()


def _mistake(error: HttpProcessingError) -> RequestError:
    """What a client did that is not HTTP, without repeating what it sent."""
    if isinstance(error, LineTooLong):
        if error.args[1] == LONGEST_REQUEST_LINE:
            return _uri_too_long()
        return HeaderTooLarge(f"a header field is longer than {LONGEST_FIELD} bytes")
    if "Too many headers" in error.message:
        return HeaderTooLarge(f"there are more than {MOST_FIELDS} header fields")
    return Malformed("this is not an HTTP/1.1 request")


def _refusal(status: int) -> RequestError:
    """What aiohttp refuses before a handler of ours is asked."""
    if status in _NOTHING_THERE:
        return NotThere("there is nothing at this path, or not for this method")
    return Malformed("this request asks for something that HTTP servers may refuse, as we do")


def _uri_too_long() -> UriTooLong:
    return UriTooLong(f"the request line is longer than {LONGEST_REQUEST_LINE} bytes")


def _as_bytes(error: RequestError) -> bytes:
    """A problem for a client whose request never came to its end."""
    response = problem(error)
    body = cast("bytes", response.body)
    fields = {**response.headers, "Content-Length": len(body), "Connection": "close"}
    lines = [f"HTTP/1.1 {error.status} {error.title}", *(f"{n}: {v}" for n, v in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _notice_death(transport: asyncio.BaseTransport, patience: float) -> None:
    """A peer that is gone is noticed after about ``patience`` seconds, with and without traffic."""
    seconds = max(1, round(patience))
    wanted = {
        "TCP_KEEPIDLE": seconds,
        "TCP_KEEPINTVL": max(1, seconds // 3),
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 1000 * seconds,
    }
    for name, value in wanted.items():
        if hasattr(socket, name):  # Linux has them all
            option = getattr(socket, name)
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, option, value)
