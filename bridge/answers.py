"""What every answer of the public listener has in common: problem details and CORS."""

import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson
from aiohttp import hdrs, web

from bridge.auth import same_host
from bridge.errors import NotThere, RequestError, TooManyConnections, Unauthorized
from bridge.headers import DATA

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Cache-Control, Last-Event-ID",
    "Access-Control-Max-Age": "7200",
}

PROBLEM = "application/problem+json"
"""RFC 9457."""

RETRY_SECONDS = (2, 8)
"""Between these, jittered, who has too many connections is asked to come back."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Answers:
    """Lets pages of the configured origins read the answers; turns errors into problems.

    ``origins`` are exact, or ``https://*.example.com``, or ``*``; ``credentials``: their pages
    may send cookies.
    """

    def __init__(self, *, origins: Sequence[str], credentials: bool = False) -> None:
        self._any = "*" in origins
        self._credentials = {"Access-Control-Allow-Credentials": "true"} if credentials else {}
        self._patterns = [_pattern(origin) for origin in origins if origin != "*"]

    def allows(self, origin: str) -> bool:
        """Whether it is one of the configured origins, each by itself."""
        return any(pattern.fullmatch(origin) for pattern in self._patterns)

    def welcomes(self, request: web.Request) -> bool:
        """Whether the page that asks may open a WebSocket: no CORS asks the browser here.

        Who sends no Origin is no page.
        """
        origin = request.headers.get(hdrs.ORIGIN)
        host = request.headers.get(hdrs.HOST, "")
        return origin is None or self._any or self.allows(origin) or same_host(origin, host)

    def cors(self, request: web.Request) -> dict[str, str]:
        """The headers that let the page that asked read the answer."""
        if self._any:
            return {"Access-Control-Allow-Origin": "*"}
        if not self._patterns:
            return {}
        origin = request.headers.get(hdrs.ORIGIN, "")
        if not self.allows(origin):
            return {"Vary": "Origin"}
        return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, **self._credentials}

    def answered(self, handler: _Handler) -> _Handler:
        """The handler, with its errors as problem details.

        Not a middleware: those cost every open stream a kilobyte.
        """

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except RequestError as error:
                return self.problem(request, error)

        return answer

    def problem(self, request: web.Request, error: RequestError) -> web.Response:
        """An error as problem details, which the page that asked may read."""
        return problem(error, self.cors(request))

    async def other(self, request: web.Request) -> web.StreamResponse:
        """Answers what no other handler does: preflights, and everything unknown."""
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=204, headers=_PREFLIGHT | self.cors(request))
        return self.problem(
            request, NotThere(f"{request.method} {request.path}: see /sse?channel=NAME")
        )


def problem(error: RequestError, headers: Mapping[str, str] = MappingProxyType({})) -> web.Response:
    """An error as problem details (RFC 9457), with more ``headers``."""
    own = {**headers, **DATA, hdrs.CACHE_CONTROL: "no-store"}
    if isinstance(error, Unauthorized):
        own[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if isinstance(error, TooManyConnections):
        own[hdrs.RETRY_AFTER] = str(random.randint(*RETRY_SECONDS))
        own["Access-Control-Expose-Headers"] = hdrs.RETRY_AFTER
    body: dict[str, Any] = {
        "type": f"urn:livesync-bridge:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": str(error),
        "code": error.code,
    }
    if error.channel is not None:
        body["channel"] = error.channel
    return web.Response(
        status=error.status,
        body=orjson.dumps(body),
        content_type=PROBLEM,
        headers=own,
    )


def _pattern(origin: str) -> "re.Pattern[str]":
    # "*" stands for a host's labels; the configuration has checked that nothing else is odd.
    return re.compile(re.escape(origin).replace(r"\*", r"[a-z0-9.-]+"), re.IGNORECASE)
