"""Who comes in, on running bridges: one row for each way to show a token, good or forged."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
import pytest
from pymongo import MongoClient

from bridge.demo.mongod import Mongod
from bridge.keyset import PAUSE
from bridge.tokens import Tickets, Tokens
from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import configuration
from tests.acceptance.sse_parser import Event, SseParser
from tests.acceptance.tokens import (
    AUDIENCE,
    EC,
    ED,
    ISSUER,
    OTHER_RSA,
    RSA,
    RSA_PEM,
    SECRET,
    Provider,
    ago,
    published,
    signed_with_the_public_key,
    token,
    with_a_key_of_its_own,
    with_other_claims,
    without_signature,
)

ORIGIN = "https://app.example.com"
IN = 200, ""
INVALID = 401, "unauthorized"
FORBIDDEN = 403, "forbidden"
UNKNOWN = 404, "unknown_channel"
SHOWN: set[str] = set()
"""Every token that was shown to a bridge: none may be in a log."""


class Bridges(NamedTuple):
    """One bridge for each way to verify; all else is the same."""

    secret: BridgeProcess
    key: BridgeProcess
    jwks: BridgeProcess


@pytest.fixture(scope="module")
def bridges(mongod: Mongod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridges]:
    directory = tmp_path_factory.mktemp("auth")
    pem = directory / "key.pem"
    pem.write_bytes(RSA_PEM)
    with Provider(published(rsa=RSA, ec=EC, ed=ED)) as provider:
        ways: dict[str, dict[str, Any]] = {
            "secret": {"secret": SECRET},
            "key": {"algorithms": ["RS256"], "public_key_file": str(pem)},
            "jwks": {"algorithms": ["RS256", "ES256", "EdDSA"], "jwks_url": provider.url},
        }
        made = Bridges(**{n: process(mongod, directory, n, **jwt) for n, jwt in ways.items()})
        asyncio.run(started(made))
        try:
            yield made
            for each in made:
                asyncio.run(each.stop())
                assert_no_token_in(each.log)
        finally:
            for each in made:
                each.end()


def process(mongod: Mongod, directory: Path, name: str, **jwt: Any) -> BridgeProcess:
    watchers = {
        name: {"watch": f"auth.{name}", "channel": f"{name}:{{_id:string}}", "snapshot": False}
        for name in ("todos", "public")
    }
    config = configuration(mongod.uri, watchers, server={"cors_origins": [ORIGIN]})
    config["auth"] = {
        "anonymous": ["public:*"],
        "cookie": "session",
        "jwt": {"issuer": ISSUER, "audience": AUDIENCE, "leeway": 1, **jwt},
        "ticket_secret": None if "secret" in jwt else "a secret of the tickets, with 32 bytes",
    }
    with MongoClient[dict[str, Any]](mongod.uri) as client:
        for coll in set(watchers) - set(client["auth"].list_collection_names()):
            client["auth"].create_collection(coll)
    return BridgeProcess(config=config, directory=directory, name=name)


async def started(bridges: Bridges) -> None:
    await asyncio.gather(*(each.start() for each in bridges))


def assert_no_token_in(log: str) -> None:
    assert "listening on" in log
    for shown in SHOWN:
        parts = [part for part in shown.split(".") if len(part) > 16]
        assert not [part for part in [*parts, SECRET] if part in log]
    assert "access_token" not in log
    assert "Traceback" not in log


class Shown(NamedTuple):
    """What a request shows, and of which page it says to come."""

    bearer: str | None = None
    query: str | None = None
    cookie: str | None = None
    origin: str = ""
    site: str = ""
    scheme: str = "Bearer"

    @property
    def headers(self) -> dict[str, str]:
        return {
            **({} if self.bearer is None else {"Authorization": f"{self.scheme} {self.bearer}"}),
            **({} if self.cookie is None else {"Cookie": f"a=b; session={self.cookie}"}),
            **({"Origin": self.origin} if self.origin else {}),
            **({"Sec-Fetch-Site": self.site} if self.site else {}),
        }


def asked(bridge: BridgeProcess, path: str, shown: Shown, method: str = "GET") -> tuple[int, Any]:
    """The status and the JSON of an answer."""
    SHOWN.update(filter(None, (shown.bearer, shown.query, shown.cookie)))
    if shown.query is not None:
        path += ("&" if "?" in path else "?") + f"access_token={quote(shown.query)}"
    connection = HTTPConnection(urlsplit(bridge.url).netloc, timeout=10)
    connection.request(method, path, headers=shown.headers)
    answer = connection.getresponse()
    if answer.status == 401:
        assert answer.getheader("WWW-Authenticate") == "Bearer"
    return answer.status, orjson.loads(answer.read())


def answered(bridge: BridgeProcess, channel: str, shown: Shown) -> tuple[int, str]:
    """Status and problem code when the channel's history is asked for, as from now."""
    since = f"{int(time.time()):08x}{0:08x}"
    path = f"/channels/{quote(channel, safe='')}/history?since={since}"
    status, body = asked(bridge, path, shown)
    return status, body.get("code", "")


def ticket(*, age: float = 0, secret: str = SECRET) -> str:
    """A ticket as the bridge with the secret makes them."""
    claims = asyncio.run(Tokens(secret=SECRET, issuer=ISSUER, audience=AUDIENCE).verify(token()))
    return Tickets(secret=secret, clock=lambda: time.time() - age).issue(claims)


def bearer(**claims: Any) -> Shown:
    return Shown(bearer=token(**claims))


def by(key: Any, alg: str, kid: str | None = None) -> Shown:
    return bearer(key=key, alg=alg, header={"kid": kid} if kid else None)


def cookie(*, site: str = "", origin: str = "", good: bool = True) -> Shown:
    return Shown(cookie=token() if good else BAD, site=site, origin=origin)


class Row(NamedTuple):
    what: str
    show: Callable[[], Shown]
    """Made when it is shown: good tokens are good for a while."""
    answer: tuple[int, str]
    channel: str = "todos:acme"
    to: str = "secret"


BAD = "e30.e30.e30"
SAME, CROSS = "same-origin", "cross-site"
TICKET = {"typ": "ticket+jwt"}
NEWS = "public:news"
"""A channel that everybody may read."""

MATRIX = [
    Row("nothing, for a public channel", Shown, IN, NEWS),
    Row("nothing, for another", Shown, FORBIDDEN),
    # Signatures.
    Row("HS256", bearer, IN),
    Row("RS256 by key file", lambda: by(RSA, "RS256"), IN, to="key"),
    Row("RS256 by JWKS", lambda: by(RSA, "RS256", "rsa"), IN, to="jwks"),
    Row("ES256 by JWKS", lambda: by(EC, "ES256", "ec"), IN, to="jwks"),
    Row("EdDSA by JWKS", lambda: by(ED, "EdDSA", "ed"), IN, to="jwks"),
    Row("another secret", lambda: by(SECRET[::-1], "HS256"), INVALID),
    Row("another RSA key", lambda: by(OTHER_RSA, "RS256"), INVALID, to="key"),
    Row("another RSA key, a known kid", lambda: by(OTHER_RSA, "RS256", "rsa"), INVALID, to="jwks"),
    Row("a key of its own", lambda: Shown(with_a_key_of_its_own()), INVALID, to="key"),
    Row("alg none", lambda: Shown(without_signature()), INVALID),
    Row("alg none to a public key", lambda: Shown(without_signature()), INVALID, to="key"),
    Row("HS256 by the public key", lambda: Shown(signed_with_the_public_key()), INVALID, to="key"),
    Row("HS384, not configured", lambda: by(SECRET, "HS384"), INVALID),
    Row("PS256 by the key for RS256", lambda: by(RSA, "PS256"), INVALID, to="key"),
    Row("RS256 under the EC key's kid", lambda: by(RSA, "RS256", "ec"), INVALID, to="jwks"),
    Row("HS256 to published keys", bearer, INVALID, to="jwks"),
    Row("a kid that is not published", lambda: by(RSA, "RS256", "old"), INVALID, to="jwks"),
    Row("the claims of another token", lambda: Shown(with_other_claims()), INVALID),
    Row("half a token", lambda: Shown(token()[:-10]), INVALID),
    Row("an extension", lambda: bearer(header={"crit": ["b64"], "b64": True}), INVALID),
    Row("no token at all", lambda: Shown("nonsense"), INVALID),
    # Claims.
    Row("expired", lambda: bearer(exp=ago(5)), INVALID),
    Row("no exp", lambda: bearer(exp=None), INVALID),
    Row("exp as text", lambda: bearer(exp="9999999999"), INVALID),
    Row("nbf past", lambda: bearer(nbf=ago(60)), IN),
    Row("nbf to come", lambda: bearer(nbf=ago(-60)), INVALID),
    Row("nbf true", lambda: bearer(nbf=True), INVALID),
    Row("another issuer", lambda: bearer(iss="https://evil.org"), INVALID),
    Row("no issuer", lambda: bearer(iss=None), INVALID),
    Row("another audience", lambda: bearer(aud="shop"), INVALID),
    Row("no audience", lambda: bearer(aud=None), INVALID),
    Row("several audiences", lambda: bearer(aud=["shop", AUDIENCE]), IN),
    Row("channels as text", lambda: bearer(channels="todos:*"), INVALID),
    Row("channels with a number", lambda: bearer(channels=["todos:*", 1]), INVALID),
    Row("a pattern that fits nothing", lambda: bearer(channels=["todos:\n"]), INVALID),
    Row("no channels", lambda: bearer(channels=None), FORBIDDEN),
    Row("no channels, for a public one", lambda: bearer(channels=None), IN, NEWS),
    # Patterns.
    Row("the name itself", lambda: bearer(channels=["todos:acme"]), IN),
    Row("another name", lambda: bearer(channels=["todos:acm"]), FORBIDDEN),
    Row("part of a name and *", lambda: bearer(channels=["todos:a*"]), IN),
    Row("a name in other letters", lambda: bearer(channels=["TODOS:*"]), FORBIDDEN),
    Row("** for all", lambda: bearer(channels=["**"]), IN),
    Row("* for no colon", lambda: bearer(channels=["*"]), FORBIDDEN),
    Row("* for an encoded colon", bearer, IN, "todos:a%3Ab"),
    Row("* for a colon in a value", bearer, FORBIDDEN, "todos:a:b"),
    Row("an encoded * is no wildcard", lambda: bearer(channels=["todos:%2A"]), FORBIDDEN),
    Row("an encoded * is a name", lambda: bearer(channels=["todos:%2A"]), IN, "todos:%2A"),
    Row("a name in another encoding", bearer, UNKNOWN, "todos:%61cme"),
    Row("a channel that nobody has", lambda: bearer(channels=["**"]), UNKNOWN, "x:y"),
    # Where it is shown: the first that is present counts, and is never anonymous.
    Row("in the URL", lambda: Shown(query=token()), IN),
    Row("an empty bearer", lambda: Shown(bearer=""), INVALID, NEWS),
    Row("an empty one in the URL", lambda: Shown(query=""), INVALID, NEWS),
    Row("another scheme", lambda: Shown(token(), scheme="Basic"), INVALID, NEWS),
    Row("a bad one for a public channel", lambda: Shown(BAD), INVALID, NEWS),
    Row("a good bearer, bad in the URL", lambda: Shown(token(), BAD), IN),
    Row("a bad bearer, good in the URL", lambda: Shown(BAD, token()), INVALID),
    Row("a bad bearer, a good cookie", lambda: cookie(site=SAME)._replace(bearer=BAD), INVALID),
    Row("bad in the URL, a good cookie", lambda: cookie(site=SAME)._replace(query=BAD), INVALID),
    Row("good in the URL, a bad cookie", lambda: Shown(None, token(), BAD, site=SAME), IN),
    # Cookies: only where a page that may act for the user asks; else as if there were none.
    Row("a cookie, same origin", lambda: cookie(site=SAME), IN),
    Row("a cookie, typed address", lambda: cookie(site="none"), IN),
    Row("a cookie, other site", lambda: cookie(site=CROSS), FORBIDDEN),
    Row("a cookie, same site only", lambda: cookie(site="same-site"), FORBIDDEN),
    Row("a cookie, no word of whence", cookie, FORBIDDEN),
    Row("a cookie, allowed origin", lambda: cookie(site=CROSS, origin=ORIGIN), IN),
    Row("a cookie, another origin", lambda: cookie(origin="https://evil.org"), FORBIDDEN),
    Row("a cookie, origin null", lambda: cookie(origin="null"), FORBIDDEN),
    Row("a bad cookie, same origin", lambda: cookie(good=False, site=SAME), INVALID, NEWS),
    Row("a bad cookie, other site", lambda: cookie(good=False, site=CROSS), IN, NEWS),
    # Tickets: from the URL only, for a minute.
    Row("a ticket", lambda: Shown(query=ticket()), IN),
    Row("a ticket for another channel", lambda: Shown(query=ticket()), FORBIDDEN, "other:a"),
    Row("a ticket as bearer", lambda: Shown(bearer=ticket()), INVALID),
    Row("a ticket as cookie", lambda: Shown(cookie=ticket(), site=SAME), INVALID),
    Row("an old ticket", lambda: Shown(query=ticket(age=61)), INVALID),
    Row("a ticket by another secret", lambda: Shown(query=ticket(secret=SECRET * 2)), INVALID),
    Row("a token that calls itself a ticket", lambda: bearer(header=TICKET), INVALID),
    Row("the same in the URL", lambda: Shown(query=token(header=TICKET)), INVALID),
]


@pytest.mark.parametrize("row", MATRIX, ids=[row.what for row in MATRIX])
def test_who_comes_in(bridges: Bridges, row: Row) -> None:
    assert answered(getattr(bridges, row.to), row.channel, row.show()) == row.answer


@pytest.mark.parametrize("to", Bridges._fields)
def test_a_ticket_is_bought_with_a_bearer_and_with_nothing_else(bridges: Bridges, to: str) -> None:
    signer: dict[str, Any] = {"secret": {}, "key": {"key": RSA, "alg": "RS256"}}
    good = token(**signer.get(to, {"key": ED, "alg": "EdDSA", "header": {"kid": "ed"}}))
    bridge = getattr(bridges, to)
    status, bought = asked(bridge, "/tickets", Shown(bearer=good), "POST")
    assert (status, bought["expiresIn"]) == (200, 60)
    assert answered(bridge, "todos:acme", Shown(query=bought["ticket"])) == IN
    for wrong in (
        Shown(),
        Shown(query=good),
        Shown(cookie=good, site=SAME),
        Shown(bearer=bought["ticket"]),
        Shown(bearer=BAD),
    ):
        assert asked(bridge, "/tickets", wrong, "POST")[0] == 401


# What takes time.


async def events(bridge: BridgeProcess, shown: str) -> list[Event]:
    """All events of a stream, until it ends."""
    SHOWN.add(shown)
    parser = SseParser()
    found: list[Event] = []
    url = f"{bridge.url}/sse?channel=todos:acme"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
        session.get(url, params={"access_token": shown}) as answer,
    ):
        assert answer.status == 200
        async for data in answer.content.iter_any():
            found += parser.feed(data)
    return found


@pytest.mark.parametrize("as_ticket", [False, True])
async def test_a_stream_ends_when_its_token_does(bridges: Bridges, as_ticket: bool) -> None:
    exp = int(time.time()) + 3
    shown = token(exp=exp)
    if as_ticket:
        _, bought = await asyncio.to_thread(
            asked, bridges.secret, "/tickets", Shown(bearer=shown), "POST"
        )
        shown = bought["ticket"]
    found = await events(bridges.secret, shown)
    assert exp - 0.1 <= time.time() < exp + 1
    last = orjson.loads(found[-1].data)
    assert (last["type"], last["code"], last["reconnect"]) == ("bye", "token_expired", True)


@pytest.fixture
async def renewed(mongod: Mongod, tmp_path: Path) -> AsyncIterator[tuple[Provider, BridgeProcess]]:
    with Provider(published(old=RSA)) as provider:
        jwt = {"algorithms": ["RS256"], "jwks_url": provider.url}
        bridge = await process(mongod, tmp_path, "renewed", **jwt).start()
        yield provider, bridge
        bridge.end()
        assert_no_token_in(bridge.log)


async def test_keys_are_renewed_and_an_outage_is_tolerated(
    renewed: tuple[Provider, BridgeProcess],
) -> None:
    provider, bridge = renewed
    old, new = by(RSA, "RS256", "old"), by(OTHER_RSA, "RS256", "new")

    async def asks(shown: Shown) -> tuple[int, str]:
        return await asyncio.to_thread(answered, bridge, "todos:acme", shown)

    assert await asks(old) == IN
    assert provider.asked == 1

    provider.body = b""  # out of order
    assert await asks(old) == IN
    assert await asks(new) == INVALID  # so soon after the last time nobody is asked
    await asyncio.sleep(PAUSE)
    assert await asks(new) == (503, "unavailable")
    assert await asks(old) == IN
    bye = orjson.loads((await events(bridge, new.bearer or ""))[-1].data)
    assert (bye["code"], bye["reconnect"]) == ("unavailable", True)
    assert provider.asked == 2

    provider.body = published(new=OTHER_RSA)
    await asyncio.sleep(PAUSE)
    assert await asks(new) == IN
    assert await asks(old) == INVALID
    assert provider.asked == 3
