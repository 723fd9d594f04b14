"""Published keys: fetched when needed, renewed, kept through an outage, asked for with measure."""

import asyncio
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from bridge.errors import Unauthorized, Unavailable
from bridge.keyset import PAUSE, REFRESH, KeySet, fetch_keys
from bridge.tokens import MOST_KEYS, Tokens

URL = "https://login.example/keys"
NOW = 1_800_000_000
FIRST = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SECOND = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
CURVED = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, kid: str | None = None, **more: Any) -> dict[str, Any]:
    kinds: tuple[tuple[type, Any], ...] = (
        (rsa.RSAPrivateKey, RSAAlgorithm),
        (ec.EllipticCurvePrivateKey, ECAlgorithm),
        (ed25519.Ed25519PrivateKey, OKPAlgorithm),
    )
    to_jwk = next(form.to_jwk for kind, form in kinds if isinstance(key, kind))
    named = {} if kid is None else {"kid": kid}
    return {**to_jwk(key.public_key(), as_dict=True), **named, **more}


def signed(key: Any, kid: str | None = None, algorithm: str = "RS256") -> str:
    headers = None if kid is None else {"kid": kid}
    return jwt.encode({"sub": "ann", "exp": NOW + 60}, key, algorithm=algorithm, headers=headers)


class Provider:
    """An identity provider whose keys, failures and clock the test sets."""

    def __init__(self) -> None:
        self.keys: list[Any] = [jwk(FIRST, "1")]
        self.body: bytes | None = None
        self.failure: str | None = None
        self.fetched = 0
        self.time = 1000.0
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self, url: str) -> bytes:
        assert url == URL
        self.fetched += 1
        await self.open.wait()
        if self.failure:
            raise Unavailable(self.failure)
        return json.dumps({"keys": self.keys}).encode() if self.body is None else self.body


@pytest.fixture
def provider() -> Provider:
    return Provider()


def tokens_of(provider: Provider, *algorithms: str) -> Tokens:
    return Tokens(
        algorithms=algorithms or ["RS256"],
        jwks_url=URL,
        fetch=provider.fetch,
        clock=lambda: NOW,
        monotonic=lambda: provider.time,
    )


@pytest.fixture
def tokens(provider: Provider) -> Tokens:
    return tokens_of(provider)


async def settled() -> None:
    """Lets what runs beside the test come to its end."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_keys_are_fetched_once_for_many_tokens(provider: Provider, tokens: Tokens) -> None:
    for _ in range(5):
        assert (await tokens.verify(signed(FIRST, "1"))).subject == "ann"

    assert provider.fetched == 1


async def test_many_that_come_at_once_share_one_fetch(provider: Provider, tokens: Tokens) -> None:
    provider.open.clear()
    waiting = [asyncio.ensure_future(tokens.verify(signed(FIRST, "1"))) for _ in range(5)]
    await settled()
    provider.open.set()

    assert [claims.subject for claims in await asyncio.gather(*waiting)] == ["ann"] * 5
    assert provider.fetched == 1


async def test_a_client_that_leaves_does_not_end_the_fetch_of_the_others(
    provider: Provider, tokens: Tokens
) -> None:
    provider.open.clear()
    first, second = (asyncio.ensure_future(tokens.verify(signed(FIRST, "1"))) for _ in range(2))
    await settled()
    first.cancel()
    await settled()
    provider.open.set()

    assert (await second).subject == "ann"
    assert (first.cancelled(), provider.fetched) == (True, 1)


async def test_an_unknown_key_is_looked_for_at_most_once_in_a_pause(
    provider: Provider, tokens: Tokens
) -> None:
    await tokens.verify(signed(FIRST, "1"))
    provider.time += PAUSE
    for _ in range(5):
        with pytest.raises(Unauthorized, match="not published"):
            await tokens.verify(signed(SECOND, "2"))
    assert provider.fetched == 2

    provider.time += PAUSE - 0.1
    with pytest.raises(Unauthorized):
        await tokens.verify(signed(SECOND, "2"))
    assert provider.fetched == 2


async def test_a_key_that_was_added_is_found_and_one_that_was_removed_is_not(
    provider: Provider, tokens: Tokens
) -> None:
    await tokens.verify(signed(FIRST, "1"))
    provider.keys = [jwk(SECOND, "2")]
    provider.time += PAUSE

    assert (await tokens.verify(signed(SECOND, "2"))).subject == "ann"
    with pytest.raises(Unauthorized):
        await tokens.verify(signed(FIRST, "1"))


async def test_old_keys_are_renewed_beside_the_request(provider: Provider, tokens: Tokens) -> None:
    await tokens.verify(signed(FIRST, "1"))
    provider.keys = [jwk(SECOND, "2")]
    provider.time += REFRESH
    provider.open.clear()

    assert (await tokens.verify(signed(FIRST, "1"))).subject == "ann"
    provider.open.set()
    await settled()

    assert provider.fetched == 2
    with pytest.raises(Unauthorized):
        await tokens.verify(signed(FIRST, "1"))


async def test_an_outage_keeps_the_keys_that_there_were(provider: Provider, tokens: Tokens) -> None:
    await tokens.verify(signed(FIRST, "1"))
    provider.failure = "it is down"
    for _ in range(3):
        provider.time += REFRESH
        assert (await tokens.verify(signed(FIRST, "1"))).subject == "ann"
        await settled()

    assert provider.fetched == 4


async def test_in_an_outage_nobody_is_refused_for_a_key_that_cannot_be_looked_up(
    provider: Provider, tokens: Tokens
) -> None:
    provider.failure = "it is down"
    with pytest.raises(Unavailable, match="cannot be fetched now") as caught:
        await tokens.verify(signed(FIRST, "1"))
    assert URL not in str(caught.value)

    provider.failure = None
    with pytest.raises(Unavailable):
        await tokens.verify(signed(FIRST, "1"))
    provider.time += PAUSE
    assert (await tokens.verify(signed(FIRST, "1"))).subject == "ann"
    assert provider.fetched == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": null}',
        b'{"keys": 7}',
        b'{"keys": {}}',
        b'{"keys": [1, null, "a", {}, {"kty": "RSA"}, {"kty": ["RSA"], "n": 1}]}',
        b'{"keys": ' + b"[" * 5000,
        b"\xff\xfe",
    ],
)
async def test_an_answer_that_is_no_key_set_is_an_outage(
    provider: Provider, tokens: Tokens, body: bytes
) -> None:
    await tokens.verify(signed(FIRST, "1"))
    provider.body = body
    provider.time += REFRESH
    await tokens.verify(signed(FIRST, "1"))
    await settled()

    assert (await tokens.verify(signed(FIRST, "1"))).subject == "ann"
    with pytest.raises(Unavailable, match=URL):
        await tokens.load()


async def test_a_bad_key_does_not_take_the_others_along(provider: Provider, tokens: Tokens) -> None:
    provider.keys = [7, {"kty": "RSA", "n": "!", "e": 1, "kid": "0"}, jwk(FIRST, "1")]

    assert (await tokens.verify(signed(FIRST, "1"))).subject == "ann"


async def test_one_key_without_a_name_is_enough(provider: Provider, tokens: Tokens) -> None:
    provider.keys = [jwk(FIRST), jwk(CURVED)]

    assert (await tokens.verify(signed(FIRST))).subject == "ann"


async def test_a_token_that_names_none_of_several_keys_is_refused(
    provider: Provider, tokens: Tokens
) -> None:
    provider.keys = [jwk(FIRST, "1"), jwk(SECOND, "2")]

    with pytest.raises(Unauthorized, match="names none of several keys"):
        await tokens.verify(signed(FIRST))


async def test_a_token_by_another_key_than_it_names_is_refused(
    provider: Provider, tokens: Tokens
) -> None:
    provider.keys = [jwk(FIRST, "1"), jwk(SECOND, "2")]

    with pytest.raises(Unauthorized, match="signature"):
        await tokens.verify(signed(SECOND, "1"))


UNUSABLE = {
    "for encryption": jwk(FIRST, "1", use="enc"),
    "for another algorithm": jwk(FIRST, "1", alg="RS512"),
    "short": jwk(SMALL, "1"),
    "private": {**jwk(FIRST, "1"), "d": "AQAB"},
    "of another kind": jwk(CURVED, "1"),
    "named by a number": jwk(FIRST, "1") | {"kid": 1},
    "shared": {"kty": "oct", "k": "AAAA", "kid": "1", "alg": "RS256"},
}


@pytest.mark.parametrize("key", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_a_key_that_must_not_be_used_is_not(
    provider: Provider, tokens: Tokens, key: dict[str, Any]
) -> None:
    provider.keys = [key, jwk(SECOND, "2")]

    with pytest.raises(Unauthorized, match="not published"):
        await tokens.verify(signed(FIRST, "1"))


async def test_a_published_secret_is_no_secret(provider: Provider) -> None:
    provider.keys = [{"kty": "oct", "k": "A" * 64, "kid": "1", "alg": "HS256"}, jwk(FIRST, "2")]
    forged = jwt.encode(
        {"exp": NOW + 60}, b"\0" * 48, algorithm="HS256", headers={"kid": "1", "jwk": {}}
    )

    with pytest.raises(Unauthorized, match="algorithm is not RS256"):
        await tokens_of(provider).verify(forged)


async def test_keys_of_several_kinds_stand_side_by_side(provider: Provider) -> None:
    provider.keys = [jwk(FIRST, "1"), jwk(CURVED, "1"), jwk(EDWARDS, "3", alg="EdDSA")]
    tokens = tokens_of(provider, "RS256", "PS256", "ES256", "EdDSA")

    for token in (
        signed(FIRST, "1"),
        signed(FIRST, "1", "PS256"),
        signed(CURVED, "1", "ES256"),
        signed(EDWARDS, "3", "EdDSA"),
    ):
        assert (await tokens.verify(token)).subject == "ann"
    assert await tokens.load() == "RS256, PS256, ES256, EdDSA by 2 published keys"


async def test_only_so_many_keys_are_looked_at(provider: Provider, tokens: Tokens) -> None:
    provider.keys = [jwk(FIRST, "1")] * MOST_KEYS + [jwk(SECOND, "2")]

    assert (await tokens.verify(signed(FIRST, "1"))).subject == "ann"
    with pytest.raises(Unauthorized):
        await tokens.verify(signed(SECOND, "2"))


async def test_a_fetch_that_never_ends_is_given_up(provider: Provider) -> None:
    provider.open.clear()
    keys = KeySet(url=URL, fetch=provider.fetch, read=bytes.decode, limit=0.001)

    with pytest.raises(Unavailable, match="no answer within"):
        await keys.load()


async def test_closing_ends_the_fetch(provider: Provider, tokens: Tokens) -> None:
    provider.open.clear()
    waiting = asyncio.ensure_future(tokens.verify(signed(FIRST, "1")))
    await settled()
    before = asyncio.all_tasks()

    await tokens.close()
    await asyncio.wait({waiting})

    assert len(before - asyncio.all_tasks()) == 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/keys", "http://[::", "http://127.0.0.1:99999"])
async def test_an_address_that_does_not_answer_is_an_outage(url: str) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await fetch_keys(url)
