"""Tokens: JWTs that somebody else signed, and the tickets that the bridge signs for URLs."""

import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from bridge.algorithms import ALGORITHMS, Algorithm
from bridge.claims import Claims, read_claims, read_time
from bridge.errors import ConfigError, RequestError, Unauthorized, Unavailable
from bridge.keyset import KeySet, fetch_keys
from bridge.publickey import check_key, is_weak, read_public_key
from bridge.templates import Pattern

LONGEST = 8192
"""Characters of a token; a ticket, which holds the same claims written anew, may have more."""

LONGEST_TICKET = 3 * LONGEST

LIFETIME = 60
"""Seconds in which a ticket opens streams."""

MOST_KEYS = 100
"""Keys of one set that are looked at; the rest is ignored."""

_TICKET = "ticket+jwt"
_TICKET_LABEL = b"livesync-bridge ticket 1"

# The times are checked here, against our clock.
_OPTIONS: Any = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "jti", "sub")}

_REFUSALS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.InvalidSignatureError, "its signature is not by the key that is configured"),
    (jwt.InvalidAlgorithmError, "its algorithm is not one that is configured"),
    (jwt.InvalidIssuerError, "its issuer (iss) is not auth.jwt.issuer"),
    (jwt.InvalidAudienceError, "its audience (aud) is not auth.jwt.audience"),
    (jwt.MissingRequiredClaimError, "a claim that the configuration asks for is missing"),
)


@dataclass(frozen=True, slots=True)
class _Key:
    """A published key, bound to the one algorithm that it is used with."""

    kid: str | None
    algorithm: str
    key: jwt.PyJWK


class Tokens:
    """Verifies JWTs by one secret, one public key or a published set of keys."""

    def __init__(
        self,
        *,
        algorithms: Sequence[str] = ("HS256",),
        secret: str | None = None,
        public_key_file: Path | None = None,
        jwks_url: str | None = None,
        issuer: str | None = None,
        audience: str | None = None,
        leeway: float = 10.0,
        fetch: Callable[[str], Awaitable[bytes]] = fetch_keys,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Exactly one of secret, public_key_file and jwks_url; ``leeway`` is in seconds.

        Raises ConfigError where the key cannot be read, or does not go with the algorithms.
        """
        check_key(algorithms, secret=secret, public_key_file=public_key_file, jwks_url=jwks_url)
        if secret is not None:
            _check_signs(secret, algorithms[0])
        self._algorithms = tuple(algorithms)
        self._secret = secret
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway
        self._clock = clock
        self._key = read_public_key(public_key_file, algorithms) if public_key_file else secret
        self._keys: KeySet[tuple[_Key, ...]] | None = None
        if jwks_url is not None:
            self._keys = KeySet(url=jwks_url, fetch=fetch, read=self._published, clock=monotonic)

    async def verify(self, token: str) -> Claims:
        """What the token says.

        Raises Unauthorized, which says what is wrong with it; Unavailable where the published
        keys are needed and cannot be fetched.
        """
        header = _header(token, LONGEST)
        if _is_ticket(header):
            raise Unauthorized("this is a ticket: it opens streams as access_token, nothing else")
        algorithm = header.get("alg")
        if algorithm not in self._algorithms:
            raise Unauthorized(f"the token's algorithm is not {' or '.join(self._algorithms)}")
        key = await self._find(header.get("kid"), algorithm) if self._keys else self._key
        raw = _decoded(token, key, [algorithm], issuer=self._issuer, audience=self._audience)
        return read_claims(raw, now=self._clock(), leeway=self._leeway)

    def mint(
        self,
        *,
        channels: Sequence[str],
        ttl: float,
        subject: str = "",
        more: Mapping[str, str] | None = None,
    ) -> str:
        """A JWT that ``verify`` accepts for ``ttl`` seconds; ``more``: claims of the application.

        Raises ConfigError without a secret, and for a pattern that cannot be read.
        """
        if self._secret is None:
            raise ConfigError(
                "auth.jwt.secret: not set; with a public key tokens can be verified, not made: "
                "only who holds the private key makes them"
            )
        now = int(self._clock())
        claims = {
            **(more or {}),
            "sub": subject,
            "channels": [Pattern(text).text for text in channels],
            "iat": now,
            "exp": now + int(ttl),
            "iss": self._issuer,
            "aud": self._audience,
        }
        given = {name: value for name, value in claims.items() if value not in ("", None)}
        return jwt.encode(given, self._secret, algorithm=self._algorithms[0])

    async def load(self) -> str:
        """What tokens are verified with, in words; fetches published keys.

        Raises Unavailable, which says why they cannot be fetched.
        """
        by = ", ".join(self._algorithms)
        if self._keys is None:
            return f"{by} by {'a secret' if self._secret else 'a public key'}"
        kids = {key.kid for key in await self._keys.load()}
        return f"{by} by {len(kids)} published key{'s' if len(kids) > 1 else ''}"

    async def close(self) -> None:
        """Ends a fetch of keys that is under way."""
        if self._keys:
            await self._keys.close()

    async def _find(self, kid: str | None, algorithm: str) -> jwt.PyJWK:
        def search(keys: tuple[_Key, ...]) -> jwt.PyJWK | None:
            fit = [key for key in keys if key.algorithm == algorithm]
            named = [key for key in fit if key.kid == kid] if kid is not None else fit
            # Without a name there must be no choice.
            return named[0].key if len(named) == 1 or (named and kid is not None) else None

        found = await self._keys.find(search) if self._keys else None
        if found is None:
            unnamed = "it names none of several keys (kid)"
            raise Unauthorized(
                f"the token is refused: {unnamed if kid is None else 'its key is not published'}"
            )
        return found

    def _published(self, body: bytes) -> tuple[_Key, ...]:
        try:
            keys = json.loads(body)["keys"]
            found = [key for jwk in islice(keys, MOST_KEYS) for key in self._bound(jwk)]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Unavailable("it does not answer a JSON Web Key Set") from error
        if not found:
            raise Unavailable(f"it has no key for {' or '.join(self._algorithms)}")
        return tuple(found)

    def _bound(self, jwk: Any) -> list[_Key]:
        """The key once for each allowed algorithm that it can be used with."""
        if not isinstance(jwk, dict) or jwk.get("use") not in ("sig", None):
            return []
        if "d" in jwk:  # a private key that everybody can read proves nothing
            return []
        fit = [name for name in self._algorithms if _fits(jwk, ALGORITHMS[name])]
        kid = jwk.get("kid")
        if kid is not None and not isinstance(kid, str):
            return []
        try:
            keys = [_Key(kid, name, jwt.PyJWK(jwk, name)) for name in fit]
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
            return []  # one bad key must not take the others along
        return [key for key in keys if not is_weak(key.key.key)]


class Tickets:
    """Tokens of our own, which may stand in a URL: they open streams, for a minute.

    Every replica that has the secret takes the tickets of the others.
    """

    def __init__(
        self, *, secret: str, leeway: float = 10.0, clock: Callable[[], float] = time.time
    ) -> None:
        """``leeway`` is that of the tokens which buy tickets, in seconds."""
        self._key = hmac.digest(secret.encode(), _TICKET_LABEL, "sha256")
        self._leeway = leeway
        self._clock = clock

    def issue(self, claims: Claims) -> str:
        """A ticket for who has shown these claims; raises RequestError where they are too long."""
        body = {"exp": int(self._clock()) + LIFETIME, "claims": dict(claims.raw)}
        ticket = jwt.encode(body, self._key, algorithm="HS256", headers={"typ": _TICKET})
        if len(ticket) > LONGEST_TICKET:
            raise RequestError("the token's claims are too long for a ticket")
        return ticket

    def verify(self, ticket: str) -> Claims:
        """The claims that bought the ticket; raises Unauthorized, which says what is wrong."""
        if not _is_ticket(_header(ticket, LONGEST_TICKET)):
            raise Unauthorized("the token is not a ticket")
        body = _decoded(ticket, self._key, ["HS256"])
        now = self._clock()
        if read_time(body, "exp") <= now:
            raise Unauthorized(f"the ticket has expired: it is good for {LIFETIME} s")
        return read_claims(body["claims"], now=now, leeway=self._leeway)


def is_ticket(token: str) -> bool:
    """Whether the text says of itself that it is a ticket; raises Unauthorized if it is no JWT."""
    return _is_ticket(_header(token, LONGEST_TICKET))


def _check_signs(secret: str, algorithm: str) -> None:
    try:
        jwt.encode({}, secret, algorithm=algorithm)
    except jwt.InvalidKeyError as error:
        raise ConfigError(
            "auth.jwt.secret: it is a key (PEM, SSH, JWK), not a secret; "
            "a public key goes into auth.jwt.public_key_file"
        ) from error


def _is_ticket(header: Mapping[str, Any]) -> bool:
    return str(header.get("typ")).lower().removeprefix("application/") == _TICKET


def _header(token: str, longest: int) -> dict[str, Any]:
    """What the token says of itself, checked by nobody yet."""
    if len(token) > longest:
        raise Unauthorized(f"the token has more than {longest} characters")
    try:
        header = jwt.get_unverified_header(token.encode("ascii"))
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise Unauthorized("the token is not a JWT that can be read here") from error
    # These ask for extensions, and not every version of the library minds them.
    if "crit" in header or "b64" in header:
        raise Unauthorized("the token is not a JWT that can be read here")
    return header


def _decoded(
    token: str,
    key: Any,
    algorithms: Sequence[str],
    *,
    issuer: str | None = None,
    audience: str | None = None,
) -> dict[str, Any]:
    try:
        return jwt.decode(
            token, key, list(algorithms), options=_OPTIONS, issuer=issuer, audience=audience
        )
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        what = next((text for kind, text in _REFUSALS if isinstance(error, kind)), "")
        raise Unauthorized(f"the token is refused: {what or 'it cannot be read'}") from error


def _fits(jwk: Mapping[str, Any], algorithm: Algorithm) -> bool:
    return (
        jwk.get("kty") == algorithm.kind
        and not algorithm.shared
        and (not algorithm.curves or jwk.get("crv") in algorithm.curves)
        and jwk.get("alg", algorithm.name) == algorithm.name
    )
