"""Requests made up at random, to the real handlers: each gets an answer of the contract."""

import asyncio
import logging
import socket
from collections.abc import Callable
from urllib.parse import quote

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.auth import Anonymous, Gate
from bridge.tokens import Tickets, Tokens
from tests.fakes import insert, start_of
from tests.rig import NOW, ORDERS, PATIENT, TODOS, Rig, eventually

EXAMPLES = 400
STATUSES = {200, 400, 401, 403, 404, 410, 413, 414, 429, 431, 503}
SECRET = "a secret that is long enough for HS256"
TOKENS = Tokens(secret=SECRET)
GOOD = TOKENS.mint(channels=["todos:*"], ttl=600)

RAW = st.binary(max_size=30).map(lambda raw: bytes(b for b in raw if b > 0x20 and b not in b"#"))
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30).map(
    lambda text: text.replace("#", "").encode()
)
ESCAPED = st.binary(max_size=30).map(lambda raw: quote(raw).encode())
BROKEN = st.sampled_from([b"%", b"%zz", b"%u0041", b"%00", b"%ff%fe", b"+", b"=", b"[]", b"%0d%0a"])
CURSOR = f"{TODOS}-{start_of(NOW)}"
KNOWN: dict[str, list[str]] = {
    "channel": ["todos:acme", "orders:a", "todos:", "nobody:x", "todos:a%2Cb", "**", "todos:*"],
    "since": [CURSOR, start_of(NOW), start_of(1), f"{ORDERS}-{'f' * 22}", "0" * 16, f"{CURSOR}."],
    "snapshot": ["0", "1", "true"],
    "limit": ["1", "1000", "0", "-1", "1e3", "\u0661"],
    "wait": ["0", "0.01", "61", "nan", "-0", "1e-9"],
    "access_token": [GOOD, GOOD[:-2], "eyJhbGciOiJub25lIn0.e30.", "..."],
}


def parameter(name: str) -> st.SearchStrategy[bytes]:
    odd = BROKEN if name == "wait" else VISIBLE | ESCAPED | BROKEN  # else it might really wait
    known = st.sampled_from(KNOWN[name]).map(lambda text: quote(text, safe="").encode())
    values = st.one_of(known, known, st.builds(bytes.__add__, known, odd), odd)
    return values.map(lambda value: name.encode() + b"=" + value)


PLAIN = [f"access_token={GOOD}", "channel=orders:a", "channel=todos:acme", f"since={CURSOR}"]
QUERY = st.builds(
    lambda plain, odd: b"&".join([*(each.encode() for each in plain), *odd]),
    st.lists(st.sampled_from(PLAIN), unique=True),
    st.lists(st.one_of(*map(parameter, KNOWN), VISIBLE), max_size=3),
)
CHANNEL = st.sampled_from([b"orders:a", b"todos%3Aacme"]) | parameter("channel").map(
    lambda each: each.partition(b"=")[2]
)
PATH = st.one_of(
    st.sampled_from(
        [b"/sse", b"/ws", b"/tickets", b"/channels/orders:a/history", b"/channels//history"]
    ),
    st.builds(lambda name: b"/channels/%b/history" % name, CHANNEL),
    st.builds(lambda name: b"/channels/%b/snapshot" % name, CHANNEL),
    VISIBLE.map(lambda text: b"/" + text),
    RAW.map(lambda raw: b"/channels/" + raw),
)
FIELD_NAMES = [
    "Last-Event-ID",
    "Authorization",
    "Cookie",
    "Origin",
    "Sec-Fetch-Site",
    "Forwarded",
    "X-Forwarded-For",
    "Host",
    "Expect",
    "Upgrade",
    "Connection",
    "Content-Type",
    "Accept",
]
VALUES = [CURSOR, f"Bearer {GOOD}", f"token={GOOD}", "websocket", "same-origin", "for=1.2.3.4", ""]
FIELDS = st.dictionaries(
    st.sampled_from(FIELD_NAMES),
    VISIBLE | RAW | st.sampled_from([value.encode() for value in VALUES]),
    max_size=3,
)
METHOD = st.sampled_from([*[b"GET"] * 12, b"HEAD", b"POST", b"OPTIONS", b"PUT", b"BREW"])


def ask(port: int, head: bytes) -> tuple[int, bytes]:
    """The status of the answer and what came with it, at least its header."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENT) as sock:
        sock.sendall(head)
        received = b""
        while b"\r\n\r\n" not in received:
            data = sock.recv(65536)
            assert data, f"no answer to {head!r}: {received!r}"
            received += data
        while b"application/problem+json" in received and (data := sock.recv(65536)):
            received += data
    return int(received.split(maxsplit=2)[1]), received


def hostile(port: int) -> Callable[[], None]:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(METHOD, PATH, QUERY, FIELDS)
    def fuzz(method: bytes, path: bytes, query: bytes, fields: dict[str, bytes]) -> None:
        lines = [b"%b %b?%b HTTP/1.1" % (method, path, query), b"Connection: close"]
        fields = {"Host": b"127.0.0.1", **fields}
        lines += [b"%b: %b" % (name.encode(), value) for name, value in fields.items()]
        status, received = ask(port, b"\r\n".join([*lines, b"", b""]))
        assert status in STATUSES or (method, status) == (b"OPTIONS", 204), received
        head, _, body = received.partition(b"\r\n\r\n")
        assert b"Traceback" not in received
        if status >= 400 and method != b"HEAD":
            assert b"application/problem+json" in head, received
            assert orjson.loads(body)["status"] == status

    return fuzz


async def test_no_request_gets_anything_but_an_answer_of_the_contract(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate(
        anonymous=Anonymous(patterns=["orders:*", "nobody:*"]),
        tokens=TOKENS,
        tickets=Tickets(secret=SECRET),
    )
    async with Rig(gate=gate, patience=2).running() as rig:
        await rig.until_started()
        rig.todos.emit(insert(1001))
        await eventually(lambda: len(rig.feeds[0].history) == 1)
        await asyncio.to_thread(hostile(rig.port))
        await eventually(lambda: not rig.connections.open)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
