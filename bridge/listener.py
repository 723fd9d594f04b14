"""A listener: a socket, and the application that answers on it."""

import asyncio
import errno
import resource
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from aiohttp import StreamReader, hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import ERROR

from bridge.answers import problem
from bridge.errors import BridgeError, ContentTooLarge, Malformed, RequestError
from bridge.headers import DATA
from bridge.visit import MOST_WAITING, Lobby, Visit

LARGEST_BODY = 64 * 1024
"""Bytes; no request needs any."""

BACKLOG = 4096
"""Connections that may wait to be accepted: all clients reconnect at once after a restart."""

ACCEPTED_AT_ONCE = 32
"""Of these in one turn of the loop: clients that are served wait for no longer than these take,
and their requests are read before the lobby is full."""

OTHER_FILES = 256
"""Files that are open beside the clients' connections: MongoDB's, the log, the libraries."""


def _watched(server: web.Server) -> None:
    """Has the server tell a connection when a request begins, and refuses what it need not see.

    The functions are no coroutines: their frames would stay with every stream.
    """
    make, handle = server.request_factory, server.request_handler

    def begin(
        message: RawRequestMessage, payload: StreamReader, visit: web.RequestHandler, *rest: Any
    ) -> web.BaseRequest:
        cast("Visit", visit).begin(broken=message is ERROR)
        return make(message, payload, visit, *rest)

    def serve(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        refusal = _refusal(request)
        return _refuse(refusal) if refusal else handle(request)

    server.request_factory, server.request_handler = begin, serve


def _refusal(request: web.BaseRequest) -> RequestError | None:
    if (request.content_length or 0) > LARGEST_BODY:
        return ContentTooLarge(f"at most {LARGEST_BODY} bytes, and none is needed")
    if request.headers.get(hdrs.EXPECT, "100-continue").lower() != "100-continue":
        return Malformed("the header Expect is known here as 100-continue only")
    return None


async def _refuse(error: RequestError) -> web.StreamResponse:
    response = problem(error)
    response.force_close()
    return response


async def _mark(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(DATA)


def allow_files(connections: int) -> int:
    """Asks the system for as many open files as the connections need.

    Returns how many are lacking: 0 where all can be had.
    """
    needed = connections + 2 * MOST_WAITING + OTHER_FILES
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if allowed == unlimited or allowed >= needed:
        return 0
    granted = needed if most == unlimited else min(needed, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, granted), most))
    return needed - max(allowed, granted)


@asynccontextmanager
async def listening(
    app: web.Application, *, host: str, port: int, lobby: Lobby
) -> AsyncGenerator[str, None]:
    """Serves the application for as long as the context lasts; gives its URL.

    Raises BridgeError where that address cannot be listened on.
    """
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    app.on_response_prepare.append(_mark)
    await runner.setup()
    server = cast("web.Server", runner.server)
    _watched(server)
    try:
        listener = await _listen(lambda: Visit(server, lobby), host, port)
        try:
            name = f"[{host}]" if ":" in host else host
            yield f"http://{name}:{listener.sockets[0].getsockname()[1]}"
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def _listen(visit: Callable[[], Visit], host: str, port: int) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        listener = await loop.create_server(visit, host, port, backlog=ACCEPTED_AT_ONCE)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "the port is in use; choose another one" if taken else error.strerror
        raise BridgeError(f"cannot listen on {host}:{port}: {why}") from error
    for each in listener.sockets:
        with each.dup() as same:  # asyncio takes one number for both
            same.listen(BACKLOG)
    return listener
