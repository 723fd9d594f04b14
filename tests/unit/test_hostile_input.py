"""Whatever comes from outside is read, or refused by an exception of ours."""

import ipaddress
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.auth import Anonymous, Gate, bearer_of, cookie_counts
from bridge.clients import address_of, networks
from bridge.config import load_config
from bridge.errors import BadCursor, BridgeError, ConfigError, PipelineError, Unauthorized
from bridge.events import Cursor, Namespace
from bridge.names import escaped, proper, unescaped
from bridge.pipelines import load_stages, prepare
from bridge.templates import Pattern, Template, overlaps
from bridge.tokens import Tickets, Tokens

Texts: TypeAlias = "st.SearchStrategy[str]"

ODD = st.characters(codec=None) | st.sampled_from("\x00\r\n\t \ufeff\u2028\u0660\ud800\uff05é")
ANY = st.text(ODD, max_size=60)
SECRET = "an example of a secret that is as long as every algorithm asks for"
TRUSTED = networks(["10.0.0.0/8", "::1"])


def near(*valid: str) -> Texts:
    """Texts that are valid but for a little: cut, doubled, with something odd in between."""
    return st.builds(
        lambda text, at, put, drop: text[: at % (len(text) + 1)] + put + text[at + drop :],
        st.sampled_from(valid),
        st.integers(0, 400),
        st.text(ODD, max_size=2) | st.sampled_from(valid),
        st.integers(0, 3),
    )


PART = "1f3a9c02-6b0427d500000009000010"
CURSORS = near(PART, f"{PART}.77777777-6b0427d500000009000010", "6b0427d500000009", "f" * 22)


@given(CURSORS | ANY)
def test_a_cursor_is_read_or_refused_and_reads_as_it_was_written(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except BadCursor:
        return
    assert re.fullmatch(r"[0-9a-f.-]+", text)
    assert all(re.fullmatch("[0-9a-f]{22}", position) for position in cursor.positions())


NODES = near("192.0.2.1", "10.0.0.1:80", "[2001:db8::1]:443", 'for="[::1]"', "unknown", "_hidden")
HOPS = st.lists(NODES | near("for=10.0.0.1;by=10.0.0.2, For=192.0.2.1", ",,;=,"), max_size=4)


@given(NODES, HOPS, HOPS)
def test_an_address_is_the_peers_or_one_that_can_be_counted(
    peer: str, forwarded: list[str], x_forwarded_for: list[str]
) -> None:
    found = address_of(peer, forwarded=forwarded, x_forwarded_for=x_forwarded_for, trusted=TRUSTED)
    if found != peer:
        ipaddress.ip_address(found)
    assert (
        address_of(
            "192.0.2.9", forwarded=forwarded, x_forwarded_for=x_forwarded_for, trusted=TRUSTED
        )
        == "192.0.2.9"
    )


TEMPLATES = near("todos:{workspace}", "a:{x:int}:{y.z}", "{ns.coll}:{_id}", "n:{d:date}:{b:bool}")
PATTERNS = near("todos:*", "**", "a:*b*:**:c", "%2A:*")
NAMES = near("todos:acme", "a:1:b%3Ac", "n:2026-11-23T11:31:07.369Z:true", "x:%ff%2a%2A%", ":::")


@given(TEMPLATES | ANY, NAMES | ANY)
def test_a_template_knows_its_names_and_a_name_its_query(text: str, name: str) -> None:
    try:
        template = Template(text)
    except ConfigError:
        return
    if template.matches(name):
        assert proper(name)
        query, _ = template.query(name)
        json.dumps(query, default=str)
    template.channel({"workspace": name, "x": 1, "_id": name}, Namespace("app", "todos"))


@given(PATTERNS | ANY, PATTERNS | ANY, NAMES | ANY)
def test_patterns_match_proper_names_only_and_two_that_share_one_overlap(
    text: str, other: str, name: str
) -> None:
    try:
        one, two = Pattern(text), Pattern(other)
    except ConfigError:
        return
    if one.matches(name):
        assert proper(name)
        assert overlaps(one, two) or not two.matches(name)


@given(ANY)
def test_a_value_in_a_name_stays_within_its_field(value: str) -> None:
    text = escaped(value)
    assert not set(text) & set(":*, \t\r\n")
    if text:
        assert unescaped(text) == value


@given(NAMES | ANY)
def test_an_escape_stands_for_a_value_or_for_none(text: str) -> None:
    try:
        value = unescaped(text)
    except ValueError:
        return
    value.encode("utf-8", "surrogatepass")


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
CLAIM_NAMES = st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "channels", "claims"])
CLAIMS = st.dictionaries(CLAIM_NAMES, JSON | st.just(2**40) | st.just(["todos:*"]), max_size=8)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "typ": JSON | st.sampled_from(["JWT", "ticket+jwt", "application/ticket+jwt"]),
        "kid": JSON,
        "crit": JSON,
        "b64": JSON,
        "jwk": JSON,
        "jku": st.just("http://127.0.0.1:1/"),
    },
)
TOKENS = Tokens(secret=SECRET, issuer="me", audience="you")
GATE = Gate(
    anonymous=Anonymous(patterns=["public:*"]), tokens=TOKENS, tickets=Tickets(secret=SECRET)
)


def signed(claims: dict[str, Any], header: dict[str, Any]) -> str:
    try:
        return jwt.encode(claims, SECRET, headers=header)
    except (jwt.PyJWTError, TypeError, ValueError):
        return "e30.e30."


GENUINE = signed({"exp": 2**40, "iss": "me", "aud": "you", "channels": ["todos:*"]}, {})
FORGED = near(GENUINE, "eyJhbGciOiJub25lIn0.e30.", "a.b.c", "...", "=.=.=") | ANY


@given(st.builds(signed, CLAIMS, HEADERS) | FORGED)
async def test_a_token_is_read_or_unauthorized(token: str) -> None:
    for shown in ({"query": token}, {"bearer": token}, {"cookie": token}):
        with suppress(Unauthorized):
            grant = await GATE.admit(**shown)
            assert isinstance(grant.expires, float)


@given(near("Bearer a.b.c", "bearer", "Basic YTpi") | ANY)
def test_an_authorization_is_read_or_unauthorized(header: str) -> None:
    with suppress(Unauthorized):
        assert bearer_of(header)


ORIGINS = near("https://a.example.com:443", "null", "http://[::1]:99999", "//", "https://a@b:c")


@given(st.none() | ORIGINS | ANY, st.none() | ANY, ORIGINS | near("a.example.com") | ANY)
def test_a_cookie_counts_or_not(origin: str | None, site: str | None, host: str) -> None:
    counts = cookie_counts(
        origin=origin, sec_fetch_site=site, host=host, allowed=lambda _origin: False
    )
    if origin is not None and site is not None and site != "same-origin":
        assert not counts


YAML = near(
    "description: d\nstages:\n  - $match: {operationType: insert}\n",
    "description: d\nstages:\n  - $set: {_channel: [a, {$concat: ['b:', '$ns.coll']}]}\n",
    "description: d\nstages: &a\n  - $match: {x: *a}\n",
    "description: d\nstages: [{$project: {fullDocument.x: {$oid: zz}}}]\n",
    "!!python/object/apply:os.system [id]",
    "watchers: {a: {watch: 'a.b', channel: 'a:{b}'}}\nserver: {port: 0x50}\n",
    "a: &b [*b, 1e400, .nan, 0o7, 2026-01-01, ? x]",
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipelines")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(YAML | ANY)
def test_a_pipeline_is_read_or_refused(directory: Path, text: str) -> None:
    (directory / "odd.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    with suppress(PipelineError):
        prepare(load_stages(directory, ["odd"], watcher="todos"), ["_id"])


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(YAML | ANY)
def test_a_configuration_is_read_or_refused(directory: Path, text: str) -> None:
    file = directory / "config.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    with suppress(BridgeError):
        load_config(file)
