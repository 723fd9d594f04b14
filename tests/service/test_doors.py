"""Who comes in over real sockets: tokens, cookies, tickets, and how many at once."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from bridge.auth import Anonymous, Gate
from bridge.tokens import Tickets, Tokens
from tests.fakes import start_of
from tests.rig import NOW, Rig, opened

SECRET = "a secret that is long enough for HS256"
TOKENS = Tokens(secret=SECRET, leeway=0)
TODOS = TOKENS.mint(channels=["todos:*"], ttl=60, subject="ada")
LATE = TOKENS.mint(channels=["todos:*"], ttl=-60)
FOREIGN = Tokens(secret="another secret that is long enough for it").mint(channels=["**"], ttl=60)
SINCE = f"since={start_of(NOW)}"


def gate() -> Gate:
    return Gate(
        anonymous=Anonymous(patterns=["orders:*"]), tokens=TOKENS, tickets=Tickets(secret=SECRET)
    )


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    allowed = ["https://app.example.com"]
    async with Rig(gate=gate(), cors_origins=allowed).running() as running:
        await running.until_started()
        yield running


async def asked(rig: Rig, path: str, **headers: str) -> tuple[int, str]:
    """The status of an answer, and its problem code."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as session, session.get(rig.url + path, headers=named) as r:
        if r.content_type != "application/problem+json":
            return r.status, ""
        problem: dict[str, Any] = await r.json(content_type=None)
        if r.status == 401:
            assert r.headers["WWW-Authenticate"] == "Bearer"
        assert all(token not in str(problem) for token in (TODOS, LATE, FOREIGN))
        return r.status, problem["code"]


@pytest.mark.parametrize(
    ("query", "headers", "answer"),
    [
        ("", {}, (403, "forbidden")),
        ("", {"Authorization": f"Bearer {TODOS}"}, (200, "")),
        ("", {"Authorization": f"bearer {TODOS}"}, (200, "")),
        ("", {"Authorization": f"Bearer {LATE}"}, (401, "unauthorized")),
        ("", {"Authorization": f"Bearer {FOREIGN}"}, (401, "unauthorized")),
        ("", {"Authorization": "Bearer nonsense"}, (401, "unauthorized")),
        ("", {"Authorization": "Bearer"}, (401, "unauthorized")),
        ("", {"Authorization": "Basic YTpi"}, (401, "unauthorized")),
        (f"&access_token={TODOS}", {}, (200, "")),
        (f"&access_token={LATE}", {}, (401, "unauthorized")),
        ("&access_token=", {}, (401, "unauthorized")),
        (f"&access_token={TODOS}", {"Authorization": f"Bearer {LATE}"}, (401, "unauthorized")),
        (f"&access_token={LATE}", {"Authorization": f"Bearer {TODOS}"}, (200, "")),
        ("", {"Cookie": f"token={TODOS}", "Sec-Fetch-Site": "same-origin"}, (200, "")),
        ("", {"Cookie": f"token={TODOS}", "Sec-Fetch-Site": "cross-site"}, (403, "forbidden")),
        ("", {"Cookie": f"token={TODOS}"}, (403, "forbidden")),
        ("", {"Cookie": f"token={TODOS}", "Origin": "https://app.example.com"}, (200, "")),
        ("", {"Cookie": f"token={TODOS}", "Origin": "https://evil.org"}, (403, "forbidden")),
        (
            "",
            {"Cookie": f"token={LATE}", "Sec-Fetch-Site": "same-origin"},
            (401, "unauthorized"),
        ),
        (
            "",
            {"Cookie": f"token={LATE}", "Authorization": f"Bearer {TODOS}"},
            (200, ""),
        ),
    ],
)
async def test_the_first_token_that_is_shown_counts_and_a_wrong_one_is_never_anonymous(
    rig: Rig, query: str, headers: dict[str, str], answer: tuple[int, str]
) -> None:
    assert await asked(rig, f"/channels/todos:acme/history?{SINCE}{query}", **headers) == answer


async def test_a_token_also_reads_what_everybody_may(rig: Rig) -> None:
    bearer = {"Authorization": f"Bearer {TODOS}"}
    assert await asked(rig, f"/channels/orders:a/history?{SINCE}", **bearer) == (200, "")
    late = {"Authorization": f"Bearer {LATE}"}
    assert (await asked(rig, f"/channels/orders:a/history?{SINCE}", **late))[0] == 401


async def test_a_wrong_token_is_401_before_anything_else_is_looked_at(rig: Rig) -> None:
    late = {"Authorization": f"Bearer {LATE}"}
    assert await asked(rig, "/sse?channel=todos:acme&since=x", **late) == (401, "unauthorized")
    assert await asked(rig, "/sse?channel=nothing&since=x", **late) == (401, "unauthorized")
    assert (await asked(rig, "/sse?channel=todos:acme&since=x"))[0] == 403


async def test_a_value_in_a_channel_name_cannot_reach_beyond_the_pattern(rig: Rig) -> None:
    bearer = {"Authorization": f"Bearer {TODOS}"}
    path = f"/channels/{quote('todos:a:b', safe='')}/history?{SINCE}"
    assert await asked(rig, path, **bearer) == (403, "forbidden")


async def test_a_stream_ends_when_its_token_does(rig: Rig) -> None:
    token = TOKENS.mint(channels=["todos:*"], ttl=1)
    async with opened(rig, f"channel=todos:acme&access_token={token}") as client:
        events = await client.end()
    assert client.data(events[-1])["code"] == "token_expired"
    assert client.data(events[-1])["reconnect"] is True


async def test_a_ticket_opens_a_stream_and_lives_as_long_as_the_token_that_bought_it(
    rig: Rig,
) -> None:
    token = TOKENS.mint(channels=["todos:*"], ttl=2)
    bearer = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{rig.url}/tickets", headers=bearer) as answer:
            assert answer.status == 200
            bought = await answer.json()
        async with session.post(f"{rig.url}/tickets") as answer:
            assert answer.status == 401
    assert bought["expiresIn"] == 60
    ticket = bought["ticket"]
    as_bearer = {"Authorization": f"Bearer {ticket}"}
    assert (await asked(rig, f"/channels/todos:acme/history?{SINCE}", **as_bearer))[0] == 401
    async with opened(rig, f"channel=todos:acme&access_token={ticket}") as client:
        events = await client.end()
    assert client.data(events[-1])["code"] == "token_expired"


async def test_a_stream_does_not_outlive_its_age() -> None:
    async with Rig(max_age=0.2).running() as rig, opened(rig, "channel=todos:acme") as client:
        events = await client.end()
    assert client.data(events[-1])["code"] == "max_age"


async def test_too_many_connections_are_told_when_to_come_back() -> None:
    async with Rig(most=3, each=2).running() as rig:
        await rig.until_started()
        async with (
            opened(rig, "channel=todos:a") as one,
            opened(rig, "channel=todos:a", X_Forwarded_For="192.0.2.1") as other,
            opened(rig, "channel=todos:a", X_Forwarded_For="192.0.2.1") as second,
        ):
            for client in (one, other, second):
                await client.until("live")
            async with opened(rig, "channel=todos:a", X_Forwarded_For="192.0.2.1") as refused:
                events = await refused.end()
            assert refused.response.status == 200
            assert refused.data(events[-1])["code"] == "too_many_connections"
            assert refused.data(events[-1])["reconnect"] is True
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{rig.url}/channels/todos:a/history?{SINCE}") as answer,
            ):
                assert answer.status == 429
                assert int(answer.headers["Retry-After"]) > 0
        async with opened(rig, "channel=todos:a", X_Forwarded_For="192.0.2.1") as again:
            await again.until("live")


async def test_without_keys_a_token_is_refused_and_says_so() -> None:
    async with Rig().running() as rig:
        bearer = {"Authorization": f"Bearer {TODOS}"}
        assert await asked(rig, "/sse?channel=todos:acme", **bearer) == (401, "unauthorized")
