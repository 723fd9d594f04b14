"""Who may open a WebSocket, what a token on it lets be read, and until when."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bridge.auth import Anonymous, Gate
from bridge.errors import Unavailable
from bridge.tokens import Tickets, Tokens
from tests.fakes import insert
from tests.rig import Rig, eventually
from tests.socket_client import SocketClient, connected

SECRET = "a secret that is long enough for HS256"
TOKENS = Tokens(secret=SECRET, leeway=0)
TICKETS = Tickets(secret=SECRET)
APP, EVIL = "https://app.example.com", "https://evil.org"


def token(*channels: str, ttl: float = 60, subject: str = "ada") -> str:
    return TOKENS.mint(channels=channels, ttl=ttl, subject=subject)


TODOS = token("todos:*")
LATE = token("todos:*", ttl=-60)


def gate() -> Gate:
    return Gate(anonymous=Anonymous(patterns=["orders:*"]), tokens=TOKENS, tickets=TICKETS)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig(gate=gate(), cors_origins=[APP], each=3).running() as running:
        await running.until_started()
        yield running


async def codes(client: SocketClient) -> list[tuple[Any, str]]:
    """The errors so far: what they answer, and their code."""
    await client.in_sync()
    return [(frame.get("ref"), frame["code"]) for frame in client.of("error")]


@pytest.mark.parametrize(
    ("query", "headers", "readable"),
    [
        ("", {}, {"orders"}),
        ("", {"Authorization": f"Bearer {TODOS}"}, {"todos", "orders"}),
        (f"?access_token={TODOS}", {}, {"todos", "orders"}),
        ("", {"Cookie": f"token={TODOS}", "Origin": APP}, {"todos", "orders"}),
        ("", {"Cookie": f"token={TODOS}"}, {"orders"}),
        (
            "",
            {"Cookie": f"token={TODOS}", "Origin": APP, "Sec-Fetch-Site": "cross-site"},
            {"todos", "orders"},
        ),
        ("", {"Cookie": f"token={TODOS}", "Sec-Fetch-Site": "same-origin"}, {"orders"}),
        ("", {"Cookie": f"token={LATE}"}, {"orders"}),
    ],
)
async def test_what_is_shown_at_the_handshake_decides_what_can_be_read(
    rig: Rig, query: str, headers: dict[str, str], readable: set[str]
) -> None:
    async with connected(rig.url, query, **headers) as client:
        for name in ("todos", "orders"):
            await client.subscribe(f"{name}:a", ref=name)
        refused = {ref for ref, code in await codes(client) if code == "forbidden"}
    assert {"todos", "orders"} - refused == readable


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {"Authorization": f"Bearer {LATE}"}, 401),
        ("", {"Authorization": "Bearer nonsense"}, 401),
        ("?access_token=", {}, 401),
        ("", {"Cookie": f"token={LATE}", "Origin": APP}, 401),
        ("", {"Origin": EVIL}, 403),
        ("", {"Origin": "null"}, 403),
        ("", {"Origin": EVIL, "Authorization": f"Bearer {TODOS}"}, 403),
        ("", {"Origin": EVIL, "Authorization": f"Bearer {LATE}"}, 401),
        ("", {"Cookie": f"token={TODOS}", "Origin": EVIL}, 403),
    ],
)
async def test_a_handshake_that_is_wrong_is_refused_before_it_is_a_websocket(
    rig: Rig, query: str, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with connected(rig.url, query, **headers):
            pass
    assert refused.value.status == status


async def test_pages_of_the_own_host_and_of_allowed_origins_may_connect(rig: Rig) -> None:
    for origin in (rig.url, APP):
        async with connected(rig.url, Origin=origin) as client:
            await client.subscribe("orders:a")
            await client.until("live")


async def test_a_ticket_opens_a_websocket_and_is_no_token_on_it(rig: Rig) -> None:
    ticket = TICKETS.issue(await TOKENS.verify(TODOS))
    async with connected(rig.url, f"?access_token={ticket}") as client:
        await client.subscribe("todos:a")
        await client.until("live")
        await client.send("auth", token=ticket, ref=2)
        assert await client.closed() == 4501
    assert client.of("error") == [
        {
            "type": "error",
            "ref": 2,
            "code": "unauthorized",
            "detail": "this is a ticket: it opens streams as access_token, nothing else",
        }
    ]


async def test_more_connections_than_a_client_may_have_are_refused(rig: Rig) -> None:
    headers = {"Authorization": f"Bearer {TODOS}"}
    async with (
        connected(rig.url, **headers),
        connected(rig.url, **headers),
        connected(rig.url, **headers),
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with connected(rig.url, **headers):
                pass
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) > 0  # type: ignore[index]
        async with connected(rig.url) as other:
            await other.send("auth", token=TODOS, ref=1)
            assert await codes(other) == [(1, "too_many_connections")]
            await other.subscribe("todos:a", ref=2)
            assert (2, "forbidden") in await codes(other), "the token does not count"
    await eventually(lambda: not rig.connections.open)
    async with connected(rig.url, **headers):
        pass


async def test_a_first_frame_may_carry_the_token(rig: Rig) -> None:
    async with connected(rig.url) as client:
        await client.send("auth", token=TODOS, ref=1)
        await client.subscribe("todos:a", ref=2)
        await client.until("live")
    assert client.kinds == ["authenticated", "ready", "live"]
    assert client.frames[0] == {"type": "authenticated", "ref": 1}


@pytest.mark.parametrize("wrong", [LATE, "nonsense", "ö", "a.b.c"])
async def test_a_token_that_is_not_valid_closes_for_good(rig: Rig, wrong: str) -> None:
    async with connected(rig.url, Authorization=f"Bearer {TODOS}") as client:
        await client.send("auth", token=wrong, ref=1)
        assert await client.closed() == 4501
    assert [frame["code"] for frame in client.of("error")] == ["unauthorized"]


async def test_a_new_token_takes_away_what_it_does_not_cover_and_nothing_else(rig: Rig) -> None:
    both = token("todos:*")
    async with connected(rig.url, Authorization=f"Bearer {both}") as client:
        await client.subscribe("todos:a", "todos:b", "orders:a")
        await client.until("live")
        await client.send("auth", token=token("todos:b"))
        await client.until("error")
        rig.todos.emit(insert(1001, "a"), insert(1001, "b", ordinal=2))
        rig.orders.emit(insert(1002, "a"))
        await client.until("change", 2)
        await client.in_sync()
        await client.subscribe("todos:a", ref=3)
        assert (3, "forbidden") in await codes(client)
    (error, _) = client.of("error")
    assert (error["code"], error["channels"]) == ("forbidden", ["todos:a"])
    assert client.keys == [("todos:b", "1001.2"), ("orders:a", "1002.1")]
    assert client.of("resync") == []


async def test_a_token_ends_the_connection_when_it_expires(rig: Rig) -> None:
    async with connected(rig.url, f"?access_token={token('todos:*', ttl=1)}") as client:
        await client.subscribe("todos:a")
        began = asyncio.get_running_loop().time()
        assert await client.closed() == 4001
        assert asyncio.get_running_loop().time() - began < 1.5
    assert client.frames[-1]["code"] == "token_expired"
    assert client.frames[-1]["reconnect"] is True


async def test_a_new_token_in_time_keeps_the_connection_and_misses_nothing(rig: Rig) -> None:
    async with connected(rig.url, f"?access_token={token('todos:*', ttl=1)}") as client:
        await client.subscribe("todos:a")
        await client.until("live")
        await client.send("auth", token=TODOS)
        for second in range(1001, 1011):
            rig.todos.emit(insert(second, "a"))
            await asyncio.sleep(0.15)
        await client.until("change", 10)
        await client.in_sync()
        assert client.kinds == ["ready", "live", *["change"] * 10, "pong"]


async def test_keys_that_cannot_be_fetched_keep_the_token_of_before() -> None:
    async def fetch(url: str) -> bytes:
        raise Unavailable("it does not answer")

    outage = Tokens(algorithms=["RS256"], jwks_url="https://example.com/keys", fetch=fetch)
    doors = Gate(anonymous=Anonymous(patterns=["orders:*"]), tokens=outage)
    some = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AA"
    async with Rig(gate=doors).running() as rig, connected(rig.url) as client:
        await rig.until_started()
        await client.subscribe("orders:a", ref=1)
        await client.send("auth", token=some, ref=2)
        assert await codes(client) == [(2, "unavailable")]
        rig.orders.emit(insert(1001, "a"))
        await client.until("change")
        assert not client.ws.closed
    await outage.close()


async def test_a_token_never_stands_in_an_answer(rig: Rig) -> None:
    async with connected(rig.url, f"?access_token={TODOS}") as client:
        await client.send("auth", token=LATE)
        await client.closed()
        assert all(secret not in str(client.frames) for secret in (TODOS, LATE))
