"""Access: who comes in, and which channels a client may read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from bridge.claims import Claims
from bridge.errors import NotThere, Unauthorized
from bridge.templates import Pattern
from bridge.tokens import Tickets, Tokens, is_ticket

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Access(Protocol):
    """What one client may do."""

    def may_read(self, channel: str) -> bool:
        """Whether the client may read the channel, be there one of that name or not."""


class Anonymous:
    """The access of a client that shows nothing: the configured patterns, by default none."""

    __slots__ = ("patterns",)

    def __init__(self, *, patterns: Sequence[str] = ()) -> None:
        """Reads the patterns; raises ConfigError where one cannot be matched."""
        self.patterns = tuple(map(Pattern, patterns))

    def may_read(self, channel: str) -> bool:
        """Whether one of the patterns matches the channel."""
        return any(pattern.matches(channel) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one client may do, and until when."""

    patterns: tuple[Pattern, ...]
    subject: str = ""
    """Who it is; empty where it showed nothing, or a token without a subject."""
    expires: float | None = None
    """Seconds since 1970; None: for ever."""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def may_read(self, channel: str) -> bool:
        """Whether one of the patterns matches the channel."""
        return any(pattern.matches(channel) for pattern in self.patterns)


class Gate:
    """Lets clients in by what they show. Without ``tokens``, whoever shows one is refused."""

    def __init__(
        self, *, anonymous: Anonymous, tokens: Tokens | None = None, tickets: Tickets | None = None
    ) -> None:
        self._anonymous = anonymous
        self._nobody = Grant(anonymous.patterns)
        self._tokens = tokens
        self._tickets = tickets

    async def admit(
        self, *, bearer: str | None = None, query: str | None = None, cookie: str | None = None
    ) -> Grant:
        """What the client may do, by the first that is present, be it empty.

        Raises Unauthorized where that one is not valid: it is never anonymous then. Raises
        Unavailable where it cannot be verified now.
        """
        if bearer is None and query is not None:
            return self._grant(await self._from_query(query))
        token = cookie if bearer is None else bearer
        if token is None:
            return self._nobody
        return self._grant(await self._verified(token))

    async def ticket(self, *, bearer: str | None) -> str:
        """A ticket for URLs, good for ``tokens.LIFETIME`` seconds.

        Raises Unauthorized without a valid token, NotThere where there are no tickets.
        """
        if bearer is None:
            raise Unauthorized("a ticket is given for a token: send it as Authorization: Bearer")
        claims = await self._verified(bearer)
        if self._tickets is None:
            raise NotThere("there are no tickets here: auth.ticket_secret is not configured")
        return self._tickets.issue(claims)

    async def _from_query(self, token: str) -> Claims:
        if self._tokens and self._tickets and is_ticket(token):
            return self._tickets.verify(token)
        return await self._verified(token)

    async def _verified(self, token: str) -> Claims:
        if self._tokens is None:
            raise Unauthorized("no tokens are accepted here: auth.jwt is not configured")
        return await self._tokens.verify(token)

    def _grant(self, claims: Claims) -> Grant:
        patterns = (*claims.channels, *self._anonymous.patterns)
        return Grant(patterns, claims.subject, claims.expires, claims.raw)


def bearer_of(authorization: str | None) -> str | None:
    """The token in an Authorization header; None where there is no such header.

    Raises Unauthorized for any other scheme, and where nothing follows it.
    """
    if authorization is None:
        return None
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("the Authorization header is not of the form: Bearer TOKEN")
    return token.strip()


def cookie_counts(
    *,
    origin: str | None,
    sec_fetch_site: str | None,
    host: str,
    allowed: Callable[[str], bool],
) -> bool:
    """Whether a page that may act for the user sent this, so that its cookies are meant.

    Browsers send cookies with what any page asks for. An Origin has to be the host's own, or
    one that is ``allowed``; without one, as in a GET to the own origin, Sec-Fetch-Site decides.
    """
    if origin is None:
        return sec_fetch_site in ("same-origin", "none")
    if allowed(origin):
        return True
    return sec_fetch_site in ("same-origin", None) and same_host(origin, host)


def same_host(origin: str, host: str) -> bool:
    """Whether a page's Origin is the host that it asks, in the Host header's words."""
    try:
        of_page = urlsplit(origin)
        of_server = urlsplit(f"{of_page.scheme}://{host}")
        usual = _DEFAULT_PORTS.get(of_page.scheme, 0)
        return bool(of_page.hostname and usual) and (
            (of_page.hostname, of_page.port or usual)
            == (of_server.hostname, of_server.port or usual)
        )
    except ValueError:
        return False
