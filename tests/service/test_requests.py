"""Refusals, CORS and the endpoints that answer with JSON, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from bridge.errors import HistoryLost, MongoRefused
from tests.fakes import at, insert, start_of
from tests.rig import NOW, ORDERS, TODOS, Rig, eventually, opened

SINCE = f"since={TODOS}-{start_of(1)}"
ORIGIN = "https://app.example.com"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig().running() as running:
        await running.until_started()
        yield running


async def get(
    url: str, *, method: str = "GET", **headers: str
) -> tuple[int, Mapping[str, str], Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers) as response,
    ):
        is_json = "json" in response.headers.get("Content-Type", "")
        body = await (response.json(content_type=None) if is_json else response.text())
        return response.status, response.headers, body


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("channel=secret:a&channel=nobody:a&since=x", 403, "forbidden"),
        ("channel=nobody:a&channel=secret:a&since=x", 403, "forbidden"),
        ("channel=todos:acme&channel=nobody:a&since=x", 404, "unknown_channel"),
        ("channel=todos:a%2Cb&since=x", 404, "unknown_channel"),
        ("channel=todos:&since=x", 403, "forbidden"),
        ("channel=todos:acme&since=x", 400, "bad_cursor"),
        ("channel=todos:acme&since=", 400, "bad_cursor"),
        (f"channel=todos:acme&since={'f' * 16}", 400, "bad_cursor"),
        ("", 400, "bad_request"),
        ("channel=todos:acme&snapshot=1", 404, "no_snapshot"),
        ("&".join(f"channel=todos:{n}" for n in range(129)), 400, "bad_request"),
    ],
)
async def test_a_wrong_request_is_refused_before_the_stream_starts(
    rig: Rig, query: str, status: int, code: str
) -> None:
    got, headers, problem = await get(f"{rig.url}/sse?{query}")
    assert (got, headers["Content-Type"]) == (status, "application/problem+json")
    named = {"channel"} if code in ("forbidden", "unknown_channel", "no_snapshot") else set()
    assert set(problem) == {"type", "title", "status", "detail", "code"} | named
    assert (problem["status"], problem["code"]) == (status, code)
    assert all(repr(problem[name]) in problem["detail"] for name in named)
    assert not rig.connections.open


async def test_a_refusal_names_the_channel(rig: Rig) -> None:
    _, _, problem = await get(f"{rig.url}/sse?channel=todos:acme&channel=nobody:a")
    assert "'nobody:a'" in problem["detail"]


async def test_unknown_paths_and_methods_are_problems_too(rig: Rig) -> None:
    for method, path in (("GET", "/nothing"), ("POST", "/sse"), ("HEAD", "/sse")):
        status, headers, _ = await get(f"{rig.url}{path}", method=method)
        assert (status, headers["Content-Type"]) == (404, "application/problem+json")


async def history(rig: Rig, query: str, channel: str = "todos:acme") -> tuple[int, Any]:
    status, _, body = await get(f"{rig.url}/channels/{channel}/history?{query}")
    return status, body


async def test_history_is_read_page_by_page(rig: Rig) -> None:
    rig.todos.emit(*(insert(second) for second in range(1001, 1006)))
    keys: list[str] = []
    cursor, complete = f"{TODOS}-{start_of(NOW)}", False
    while not complete:
        status, page = await history(rig, f"since={cursor}&limit=2")
        assert status == 200
        assert len(page["messages"]) <= 2
        keys += [message["key"] for message in page["messages"]]
        cursor, complete = page["cursor"], page["complete"]
    assert keys == [f"{second}.1" for second in range(1001, 1006)]


async def test_a_page_is_not_cached_and_its_cursor_opens_a_stream(rig: Rig) -> None:
    rig.todos.emit(insert(1001))
    _, headers, page = await get(
        f"{rig.url}/channels/todos%3Aacme/history?since={TODOS}-{start_of(NOW)}"
    )
    assert headers["Cache-Control"] == "no-store"
    rig.todos.emit(insert(1002))
    async with opened(rig, f"channel=todos:acme&since={page['cursor']}") as client:
        await client.until("live")
    assert client.keys == ["1002.1"]


async def test_it_waits_for_the_first_message(rig: Rig) -> None:
    asking = asyncio.create_task(history(rig, f"since={TODOS}-{start_of(NOW)}&wait=60"))
    await eventually(lambda: bool(rig.hub._audiences))
    assert not asking.done()
    rig.todos.emit(insert(1001))
    status, page = await asyncio.wait_for(asking, 5)
    assert (status, [m["key"] for m in page["messages"]]) == (200, ["1001.1"])
    assert (page["cursor"], page["complete"]) == (f"{TODOS}-{at(1001, 1, 15)}", True)


async def test_it_waits_no_longer_than_asked(rig: Rig) -> None:
    status, page = await history(rig, f"since={TODOS}-{start_of(NOW)}&wait=0.05")
    assert (status, page["messages"], page["complete"]) == (200, [], True)


@pytest.mark.parametrize("since", [f"{TODOS}-{at(1030)}", at(1030)])
async def test_the_cursor_is_never_below_since(rig: Rig, since: str) -> None:
    status, page = await history(rig, f"since={since}")
    assert (status, page["messages"]) == (200, [])
    assert page["cursor"] == f"{TODOS}-{at(1030)}"


async def test_below_memory_a_page_comes_from_the_oplog(rig: Rig) -> None:
    rig.todos.changes = [insert(second) for second in range(100, 110)]
    status, page = await history(rig, f"since={TODOS}-{at(104)}&limit=3")
    assert (status, page["complete"]) == (200, False)
    assert [message["key"] for message in page["messages"]] == ["105.1", "106.1", "107.1"]


@pytest.mark.parametrize("since", [f"{TODOS}-{at(104)}", f"{ORDERS}-{start_of(NOW)}"])
async def test_what_a_stream_would_resync_is_gone(rig: Rig, since: str) -> None:
    rig.todos.failures.append(HistoryLost("286"))
    status, problem = await history(rig, f"since={since}")
    assert (status, problem["status"], problem["code"]) == (410, 410, "history_lost")


@pytest.mark.parametrize(
    ("query", "channel", "status", "code"),
    [
        ("since=x&limit=0", "secret:a", 403, "forbidden"),
        ("since=x&limit=0", "nobody:a", 404, "unknown_channel"),
        ("", "todos:acme", 400, "bad_request"),
        ("since=x", "todos:acme", 400, "bad_cursor"),
        (f"since={'f' * 22}", "todos:acme", 400, "bad_cursor"),
        (f"{SINCE}&limit=0", "todos:acme", 400, "bad_request"),
        (f"{SINCE}&limit=1001", "todos:acme", 400, "bad_request"),
        (f"{SINCE}&limit=1.5", "todos:acme", 400, "bad_request"),
        (f"{SINCE}&limit=-1", "todos:acme", 400, "bad_request"),
        (f"{SINCE}&wait=61", "todos:acme", 400, "bad_request"),
        (f"{SINCE}&wait=nan", "todos:acme", 400, "bad_request"),
        (f"{SINCE}&wait=1e1", "todos:acme", 400, "bad_request"),
    ],
)
async def test_a_wrong_question_is_refused(
    rig: Rig, query: str, channel: str, status: int, code: str
) -> None:
    got, problem = await history(rig, query, channel)
    assert (got, problem["code"]) == (status, code)


async def test_a_watcher_that_failed_is_unavailable() -> None:
    bridge = Rig()
    bridge.todos.failures.append(MongoRefused("not authorised"))
    async with bridge.running() as rig:
        await eventually(lambda: bool(rig.feeds[0].failed))
        status, problem = await history(rig, SINCE)
        assert (status, problem["code"]) == (503, "unavailable")
        assert "watcher todos: not authorised" in problem["detail"]


@pytest.mark.parametrize(
    ("allowed", "origin", "expected"),
    [
        ((), ORIGIN, None),
        ((ORIGIN,), ORIGIN, ORIGIN),
        ((ORIGIN,), "https://app.example.com.evil.org", None),
        ((ORIGIN,), "http://app.example.com", None),
        (("https://*.example.com",), ORIGIN, ORIGIN),
        (("https://*.example.com",), "https://example.com", None),
        (("https://*.example.com",), "https://evil.org/.example.com", None),
        (("https://*.example.com",), "https://appXexample.com", None),
        (("*",), ORIGIN, "*"),
    ],
)
async def test_pages_of_the_configured_origins_may_read(
    allowed: tuple[str, ...], origin: str, expected: str | None
) -> None:
    async with Rig(cors_origins=allowed).running() as rig:
        await rig.until_started()
        for path in ("/sse?channel=secret:a", f"/channels/todos:acme/history?{SINCE}"):
            _, headers, _ = await get(rig.url + path, Origin=origin)
            assert headers.get("Access-Control-Allow-Origin") == expected
            assert (headers.get("Vary") == "Origin") == (bool(allowed) and allowed != ("*",))
        async with opened(rig, "channel=todos:acme", Origin=origin) as client:
            assert client.response.headers.get("Access-Control-Allow-Origin") == expected
        status, headers, _ = await get(
            f"{rig.url}/sse",
            method="OPTIONS",
            Origin=origin,
            **{"Access-Control-Request-Method": "GET"},
        )
        assert (status, headers.get("Access-Control-Allow-Origin")) == (204, expected)
        assert "Last-Event-ID" in headers["Access-Control-Allow-Headers"]
        assert "GET" in headers["Access-Control-Allow-Methods"]


async def test_readiness_comes_when_every_watcher_is_past_its_start() -> None:
    bridge = Rig()
    bridge.todos.gate.clear()
    bridge.orders.failures.append(MongoRefused("not authorised"))
    async with bridge.running() as rig:
        await eventually(lambda: bool(rig.feeds[1].failed))
        status, _, body = await get(rig.admin_url + "/health/ready")
        assert (status, body["status"]) == (503, "starting")
        assert body["watchers"]["todos"]["state"] == "starting"
        rig.todos.gate.set()
        await eventually(lambda: rig.feeds[0].started)
        status, _, body = await get(rig.admin_url + "/health/ready")
        assert (status, body["status"]) == (200, "ready")
        assert body["watchers"] == {
            "todos": {"state": "live", "why": ""},
            "orders": {"state": "failed", "why": "not authorised"},
        }


async def test_it_is_alive_and_counts(rig: Rig) -> None:
    rig.todos.emit(insert(1001))
    await eventually(lambda: len(rig.feeds[0].history) == 1)
    assert (await get(rig.admin_url + "/health/live"))[::2] == (200, {"status": "live"})
    status, headers, text = await get(rig.admin_url + "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert 'bridge_messages_total{watcher="todos"} 1.0' in text
