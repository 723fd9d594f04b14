"""The way in: who asks, what it may do, and whether there is room for one more."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import hdrs, web

from bridge.auth import Gate, Grant, bearer_of, cookie_counts
from bridge.clients import Clients, Network, address_of
from bridge.errors import TooManyConnections


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks: what it may do, and the name that its connections are counted under."""

    grant: Grant
    name: str


class Door:
    """Lets requests in. ``cookie`` names a cookie that may carry the token.

    ``allows`` says which origins' pages may act for the user; ``trusted`` are the proxies
    whose word on addresses counts.
    """

    def __init__(
        self,
        *,
        gate: Gate,
        clients: Clients,
        cookie: str | None,
        allows: Callable[[str], bool],
        trusted: Sequence[Network],
    ) -> None:
        self._gate = gate
        self._clients = clients
        self._cookie = cookie
        self._allows = allows
        self._trusted = trusted

    async def admit(self, request: web.Request, *, socket: bool = False) -> Visitor:
        """Who asks, be it for a WebSocket (``socket``).

        Raises Unauthorized, or Unavailable where a token cannot be verified now.
        """
        grant = await self._gate.admit(
            bearer=bearer_of(request.headers.get(hdrs.AUTHORIZATION)),
            query=request.query.get("access_token"),
            cookie=self._cookie_of(request, socket=socket),
        )
        return self._visitor(request, grant)

    async def readmit(self, request: web.Request, token: str) -> Visitor:
        """Who asks by a token that came later; raises as ``admit``."""
        return self._visitor(request, await self._gate.admit(bearer=token))

    def _visitor(self, request: web.Request, grant: Grant) -> Visitor:
        return Visitor(grant, f"sub {grant.subject}" if grant.subject else self._address(request))

    async def ticket(self, request: web.Request) -> str:
        """A ticket for the token in the request; raises Unauthorized, NotThere."""
        return await self._gate.ticket(bearer=bearer_of(request.headers.get(hdrs.AUTHORIZATION)))

    def enter(self, client: str) -> None:
        """One connection more; raises TooManyConnections."""
        if not self._clients.come(client):
            raise TooManyConnections("there are too many connections of yours, or in all")

    def leave(self, client: str) -> None:
        """One connection less."""
        self._clients.go(client)

    @contextmanager
    def room(self, visitor: Visitor) -> Iterator[None]:
        """A connection for as long as the context lasts; raises TooManyConnections."""
        self.enter(visitor.name)
        try:
            yield
        finally:
            self.leave(visitor.name)

    def _cookie_of(self, request: web.Request, *, socket: bool) -> str | None:
        if self._cookie is None or self._cookie not in request.cookies:
            return None
        origin = request.headers.get(hdrs.ORIGIN)
        if socket and origin is None:  # every browser says it there
            return None
        meant = cookie_counts(
            origin=origin,
            sec_fetch_site=None if socket else request.headers.get("Sec-Fetch-Site"),
            host=request.headers.get(hdrs.HOST, ""),
            allowed=self._allows,
        )
        return request.cookies[self._cookie] if meant else None

    def _address(self, request: web.Request) -> str:
        return address_of(
            request.remote or "",
            forwarded=request.headers.getall(hdrs.FORWARDED, []),
            x_forwarded_for=request.headers.getall(hdrs.X_FORWARDED_FOR, []),
            trusted=self._trusted,
        )
