"""Tokens, good and bad: one of every way to forge or spoil one; keys in files; tickets."""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ConfigError, RequestError, Unauthorized
from bridge.tokens import LONGEST, Tickets, Tokens, is_ticket

SECRET = "an example of a secret that is as long as every algorithm asks for"
NOW = 1_800_000_000
GOOD = {"sub": "ann", "channels": ["todos:*", "inbox:ann"], "exp": NOW + 60}

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


def now() -> float:
    return float(NOW)


def public_pem(key: PrivateKeyTypes) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return pem.decode()


def private_pem(key: PrivateKeyTypes) -> str:
    form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, bare).decode()


def signed(
    *, key: Any = SECRET, algorithm: str = "HS256", headers: Any = None, **claims: Any
) -> str:
    """A good token, except for what is said."""
    body = {name: value for name, value in {**GOOD, **claims}.items() if value is not ...}
    return jwt.encode(body, key, algorithm=algorithm, headers=headers)


def part(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def by_hand(header: object, body: object = GOOD, *, sign: bool = True) -> str:
    """A token that no library would make, with a good signature if it is to have one."""
    text = f"{part(header)}.{part(body)}"
    algorithm = jwt.get_algorithm_by_name("HS256")
    signature = algorithm.sign(text.encode(), SECRET.encode()) if sign else b""
    return f"{text}.{part(signature)}"


def tokens(**options: Any) -> Tokens:
    return Tokens(**{"secret": SECRET, "clock": now, **options})


async def test_a_good_token_says_who_may_read_what_and_until_when() -> None:
    claims = await tokens().verify(signed(role="admin"))

    assert (claims.subject, claims.expires) == ("ann", NOW + 60)
    assert [pattern.text for pattern in claims.channels] == ["todos:*", "inbox:ann"]
    assert claims.raw == {**GOOD, "role": "admin"}


async def test_a_token_without_subject_and_channels_is_good_for_nothing_but_valid() -> None:
    claims = await tokens().verify(signed(sub=..., channels=...))

    assert (claims.subject, claims.channels) == ("", ())


async def test_claims_cannot_be_changed() -> None:
    claims = await tokens().verify(signed())

    with pytest.raises(TypeError):
        claims.raw["sub"] = "bob"  # type: ignore[index]


ACCEPTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "expired within the leeway": ({}, {"exp": NOW - 9}),
    "valid from within the leeway": ({}, {"nbf": NOW + 9}),
    "a fraction of a second": ({}, {"exp": NOW + 0.5}),
    "the audience": ({"audience": "app"}, {"aud": "app"}),
    "one of several audiences": ({"audience": "app"}, {"aud": ["web", "app"]}),
    "the issuer": ({"issuer": "me"}, {"iss": "me"}),
    "any issuer": ({}, {"iss": "anybody"}),
    "issued in the future": ({}, {"iat": NOW + 1000}),
    "another type": ({}, {"headers": {"typ": "at+jwt"}}),
    "no type": ({}, {"headers": {"typ": None}}),
    "a key name that is of no use": ({}, {"headers": {"kid": "1"}}),
    "no channels": ({}, {"channels": []}),
}


@pytest.mark.parametrize(("options", "claims"), ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_a_token_is_good(options: dict[str, Any], claims: dict[str, Any]) -> None:
    assert (await tokens(**options).verify(signed(**claims))).subject == "ann"


HS256 = {"alg": "HS256", "typ": "JWT"}
NO_JWT = "the token is not a JWT"
NO_TIME = "is not a number of seconds"
NOT_PATTERNS = "claim channels is not a list of channel patterns"

REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "empty": ("", NO_JWT, {}),
    "no token": ("hello", NO_JWT, {}),
    "two parts": ("a.b", NO_JWT, {}),
    "letters beyond ASCII": ("ä.ö.ü", NO_JWT, {}),
    "half a letter": ("\ud800.a.b", NO_JWT, {}),
    "a header that is no JSON": (f"{part(b'{')}.{part({})}.", NO_JWT, {}),
    "a header that is a list": (by_hand(["HS256"]), NO_JWT, {}),
    "a header that is deep": (f"{part(b'[' * 4000)}.{part({})}.", NO_JWT, {}),
    "a key name that is a number": (by_hand({**HS256, "kid": 1}), NO_JWT, {}),
    "too long": (signed(sub="x" * LONGEST), "has more than 8192 characters", {}),
    "alg none": (signed(key=None, algorithm="none"), "algorithm is not HS256", {}),
    "alg None": (by_hand({"alg": "None"}, sign=False), "algorithm is not HS256", {}),
    "alg missing": (by_hand({"typ": "JWT"}), "algorithm is not HS256", {}),
    "alg null": (by_hand({"alg": None}), "algorithm is not HS256", {}),
    "alg a list": (by_hand({"alg": ["HS256"]}), "algorithm is not HS256", {}),
    "alg in lower case": (by_hand({"alg": "hs256"}), "algorithm is not HS256", {}),
    "another algorithm": (signed(algorithm="HS512"), "algorithm is not HS256", {}),
    "a public algorithm": (signed(key=RSA, algorithm="RS256"), "algorithm is not HS256", {}),
    "another secret": (signed(key=SECRET[::-1]), "signature", {}),
    "no signature": (by_hand(HS256, sign=False), "signature", {}),
    "another body": (f"{part(HS256)}.{part({**GOOD, 'sub': 'bob'})}.{signed()[-43:]}", "sig", {}),
    "an unknown extension": (by_hand({**HS256, "crit": ["x"], "x": 1}), NO_JWT, {}),
    "a body elsewhere": (by_hand({**HS256, "b64": False}), NO_JWT, {}),
    "a body that is a list": (by_hand(HS256, [GOOD]), "cannot be read", {}),
    "a body that is no JSON": (by_hand(HS256, b"{"), "cannot be read", {}),
    "a body that is deep": (by_hand(HS256, b"[" * 4000), "cannot be read", {}),
    "no exp": (signed(exp=...), "the token has no claim exp", {}),
    "exp null": (signed(exp=None), f"claim exp {NO_TIME}", {}),
    "exp text": (signed(exp=str(NOW + 60)), f"claim exp {NO_TIME}", {}),
    "exp true": (signed(exp=True), f"claim exp {NO_TIME}", {}),
    "exp infinite": (signed(exp=float("inf")), f"claim exp {NO_TIME}", {}),
    "exp not a number": (signed(exp=float("nan")), f"claim exp {NO_TIME}", {}),
    "exp huge": (signed(exp=10**400), f"claim exp {NO_TIME}", {}),
    "exp negative": (signed(exp=-1), f"claim exp {NO_TIME}", {}),
    "expired": (signed(exp=NOW - 10), "the token has expired", {}),
    "expired without leeway": (signed(exp=NOW), "the token has expired", {"leeway": 0}),
    "not yet valid": (signed(nbf=NOW + 11), "not valid yet", {}),
    "nbf text": (signed(nbf="now"), f"claim nbf {NO_TIME}", {}),
    "sub a number": (signed(sub=7), "claim sub is not text", {}),
    "sub null": (signed(sub=None), "claim sub is not text", {}),
    "channels text": (signed(channels="todos:*"), NOT_PATTERNS, {}),
    "channels null": (signed(channels=None), NOT_PATTERNS, {}),
    "channels with a number": (signed(channels=["a", 1]), NOT_PATTERNS, {}),
    "an empty pattern": (signed(channels=["a", ""]), "pattern no channel can fit", {}),
    "a pattern with a line break": (signed(channels=["a\n"]), "pattern no channel can fit", {}),
    "half a letter in a pattern": (signed(channels=["\ud800"]), "pattern no channel can fit", {}),
    "another issuer": (signed(iss="you"), r"iss", {"issuer": "me"}),
    "no issuer": (signed(), "missing", {"issuer": "me"}),
    "issuer a list": (by_hand(HS256, {**GOOD, "iss": ["me"]}), "iss", {"issuer": "me"}),
    "another audience": (signed(aud="web"), r"aud", {"audience": "app"}),
    "no audience": (signed(), "missing", {"audience": "app"}),
    "for some audience": (signed(aud="web"), r"aud", {}),
    "a ticket by type": (signed(headers={"typ": "Ticket+JWT"}), "this is a ticket", {}),
    "a ticket by media type": (
        signed(headers={"typ": "application/ticket+jwt"}),
        "this is a ticket",
        {},
    ),
}


@pytest.mark.parametrize(("token", "why", "options"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_bad_token_is_refused_with_the_reason_and_without_the_token(
    token: str, why: str, options: dict[str, Any]
) -> None:
    with pytest.raises(Unauthorized) as caught:
        await tokens(**options).verify(token)

    assert why in str(caught.value)
    assert [text for text in token.split(".") if len(text) > 3 and text in str(caught.value)] == []


KEYS = {
    "RS256": RSA,
    "RS512": RSA,
    "PS256": RSA,
    "ES256": P256,
    "ES384": P384,
    "ES512": P521,
    "EdDSA": ED25519,
}


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def file(pem: str) -> Path:
        path = tmp_path / "key.pem"
        path.write_text(pem)
        return path

    return file


@pytest.mark.parametrize(("algorithm", "key"), KEYS.items(), ids=KEYS.keys())
async def test_a_public_key_verifies_what_its_private_half_signed(
    algorithm: str, key: PrivateKeyTypes, file: Callable[[str], Path]
) -> None:
    by_key = Tokens(algorithms=[algorithm], public_key_file=file(public_pem(key)), clock=now)

    assert (await by_key.verify(signed(key=key, algorithm=algorithm))).subject == "ann"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_secret_verifies_what_was_signed_with_it(algorithm: str) -> None:
    claims = await tokens(algorithms=[algorithm]).verify(signed(algorithm=algorithm))

    assert claims.subject == "ann"


async def test_a_public_key_is_never_taken_for_a_secret(file: Callable[[str], Path]) -> None:
    pem = public_pem(RSA)
    by_key = Tokens(algorithms=["RS256"], public_key_file=file(pem), clock=now)
    text = f"{part(HS256)}.{part(GOOD)}"
    signature = jwt.get_algorithm_by_name("HS256").sign(text.encode(), pem.encode())

    with pytest.raises(Unauthorized, match="algorithm is not RS256"):
        await by_key.verify(f"{text}.{part(signature)}")


async def test_another_private_key_is_refused(file: Callable[[str], Path]) -> None:
    by_key = Tokens(algorithms=["ES256"], public_key_file=file(public_pem(P256)), clock=now)
    other = ec.generate_private_key(ec.SECP256R1())

    with pytest.raises(Unauthorized, match="signature"):
        await by_key.verify(signed(key=other, algorithm="ES256"))


SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)

UNFIT: dict[str, tuple[list[str], str, str]] = {
    "shared algorithm": (["HS256"], public_pem(RSA), "HS256 cannot be verified by"),
    "both": (["RS256", "HS256"], public_pem(RSA), "HS256 cannot be verified by"),
    "another kind of key": (["ES256"], public_pem(RSA), "is not for ES256"),
    "another curve": (["ES256", "ES384"], public_pem(P384), "is not for ES256"),
    "not for EdDSA": (["EdDSA"], public_pem(P256), "is not for EdDSA"),
    "not for RSA": (["RS256"], public_pem(ED25519), "is not for RS256"),
    "private key": (["RS256"], private_pem(RSA), "openssl pkey -pubout"),
    "short key": (["RS256"], public_pem(SMALL), "less than 2048 bits"),
    "no key": (["RS256"], "hello", "does not hold a public key as PEM"),
    "unknown algorithm": (["RS1"], public_pem(RSA), "RS1 cannot be used"),
    "none": (["none"], public_pem(RSA), "none cannot be used"),
}


@pytest.mark.parametrize(("algorithms", "pem", "why"), UNFIT.values(), ids=UNFIT.keys())
def test_a_key_that_does_not_go_with_the_algorithms_is_refused(
    algorithms: list[str], pem: str, why: str, file: Callable[[str], Path]
) -> None:
    with pytest.raises(ConfigError, match=why):
        Tokens(algorithms=algorithms, public_key_file=file(pem))


def test_a_key_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"key\.pem cannot be read: No such file"):
        Tokens(algorithms=["RS256"], public_key_file=tmp_path / "key.pem")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "no key to verify tokens with"),
        ({"secret": SECRET, "jwks_url": "https://a.example"}, "expected only one of them"),
        ({"secret": "short"}, "openssl rand -base64 48"),
        ({"secret": ""}, "openssl rand -base64 48"),
        ({"secret": SECRET, "algorithms": ["RS256"]}, "RS256 cannot be verified"),
        ({"jwks_url": "https://a.example"}, "HS256 cannot be verified"),
        ({"secret": public_pem(RSA)}, "it is a key"),
    ],
)
def test_keys_that_make_no_sense_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        Tokens(**options)
    assert not options.get("secret") or options["secret"] not in str(caught.value)


@given(st.text() | st.from_regex(r"\A[A-Za-z0-9_=-]*\.[A-Za-z0-9_=-]*\.[A-Za-z0-9_=-]*\Z"))
async def test_no_text_does_anything_but_be_refused(text: str) -> None:
    with pytest.raises(Unauthorized):
        await tokens().verify(text)
    with pytest.raises(Unauthorized):
        Tickets(secret=SECRET, clock=now).verify(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
names = ["exp", "nbf", "iat", "sub", "channels", "iss", "aud", "jti"]


@settings(max_examples=40)
@given(
    header=st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64"]), json_values),
    body=st.dictionaries(st.sampled_from(names), json_values),
)
async def test_no_claim_does_anything_but_be_refused(
    header: dict[str, Any], body: dict[str, Any]
) -> None:
    body["exp"] = NOW - 100
    for token in (by_hand({**HS256, **header}, body), by_hand({**header, **HS256}, body)):
        with pytest.raises(Unauthorized):
            await tokens(issuer="me", audience="app").verify(token)


async def test_a_token_that_was_minted_is_good() -> None:
    options = {"issuer": "me", "audience": "app", "algorithms": ["HS512", "HS256"]}
    more = {"role": "admin", "sub": "eve"}
    made = tokens(**options).mint(channels=["todos:*", "a"], ttl=100, subject="bob", more=more)

    claims = await tokens(**options).verify(made)

    assert (claims.subject, claims.expires) == ("bob", NOW + 100)
    assert [pattern.text for pattern in claims.channels] == ["todos:*", "a"]
    assert claims.raw["role"] == "admin"


def test_a_pattern_that_nothing_fits_is_not_minted() -> None:
    with pytest.raises(ConfigError, match="channel pattern"):
        tokens().mint(channels=[""], ttl=100)


def test_without_a_secret_nothing_is_minted(file: Callable[[str], Path]) -> None:
    by_key = Tokens(algorithms=["RS256"], public_key_file=file(public_pem(RSA)))

    with pytest.raises(ConfigError, match="only who holds the private key"):
        by_key.mint(channels=["a"], ttl=100)


async def test_what_tokens_are_verified_with_can_be_told(file: Callable[[str], Path]) -> None:
    by_key = Tokens(algorithms=["RS256", "PS256"], public_key_file=file(public_pem(RSA)))

    assert await tokens().load() == "HS256 by a secret"
    assert await by_key.load() == "RS256, PS256 by a public key"


async def ticket(at: float = NOW, secret: str = SECRET, **claims: Any) -> str:
    bought_by = await tokens().verify(signed(**claims))
    return Tickets(secret=secret, clock=lambda: at).issue(bought_by)


def verified(text: str, at: float = NOW) -> Mapping[str, Any]:
    return Tickets(secret=SECRET, clock=lambda: at).verify(text).raw


async def test_a_ticket_says_what_the_token_said_that_bought_it() -> None:
    claims = Tickets(secret=SECRET, clock=now).verify(await ticket(role="admin", exp=NOW + 3600))

    assert (claims.subject, claims.expires) == ("ann", NOW + 3600)
    assert [pattern.text for pattern in claims.channels] == ["todos:*", "inbox:ann"]
    assert claims.raw["role"] == "admin"


async def test_a_ticket_is_good_for_a_minute() -> None:
    made = await ticket(exp=NOW + 3600)

    assert verified(made, at=NOW + 59)
    with pytest.raises(Unauthorized, match="the ticket has expired"):
        verified(made, at=NOW + 60)


async def test_a_ticket_is_good_no_longer_than_the_token_that_bought_it() -> None:
    made = await ticket(exp=NOW + 5)

    assert verified(made, at=NOW + 14)
    with pytest.raises(Unauthorized, match="the token has expired"):
        verified(made, at=NOW + 15)


async def test_a_ticket_by_another_secret_is_refused() -> None:
    with pytest.raises(Unauthorized, match="signature"):
        verified(await ticket(secret=SECRET[::-1]))


async def test_a_token_of_the_same_secret_is_no_ticket() -> None:
    with pytest.raises(Unauthorized, match="is not a ticket"):
        verified(signed())
    body = {"exp": NOW + 60, "claims": GOOD}
    for forged in (
        jwt.encode(body, SECRET, algorithm="HS256", headers={"typ": "ticket+jwt"}),
        jwt.encode(body, "", algorithm="none", headers={"typ": "ticket+jwt"}),
    ):
        with pytest.raises(Unauthorized, match="refused"):
            verified(forged)


async def test_a_ticket_is_no_token_even_where_its_key_is_the_secret() -> None:
    made = await ticket()

    assert is_ticket(made)
    assert not is_ticket(signed())
    with pytest.raises(Unauthorized, match="this is a ticket"):
        await tokens().verify(made)


async def test_the_longest_token_buys_a_ticket() -> None:
    text = "ä" * 2900
    bought_by = signed(sub=text, channels=[])
    long = f"{part(HS256)}.{part(json.dumps({**GOOD, 'sub': text}, ensure_ascii=False).encode())}"
    signature = jwt.get_algorithm_by_name("HS256").sign(long.encode(), SECRET.encode())
    claims = await tokens().verify(f"{long}.{part(signature)}")

    assert len(bought_by) > LONGEST
    assert verified(Tickets(secret=SECRET, clock=now).issue(claims))["sub"] == text


async def test_claims_that_grow_too_long_buy_none() -> None:
    body = json.dumps(GOOD)[:-1].encode() + b',"n":[' + b",".join([b"9e15"] * 1100) + b"]}"
    claims = await tokens().verify(by_hand(HS256, body))

    with pytest.raises(RequestError, match="too long for a ticket"):
        Tickets(secret=SECRET, clock=now).issue(claims)
