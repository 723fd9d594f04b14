"""``GET /ws`` over real sockets: subscriptions, cursors, errors, going away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from bridge.errors import MongoRefused
from bridge.events import Change, cluster_time
from tests.fakes import NS, at, insert, start_of
from tests.rig import NOW, ORDERS, TODOS, Rig, eventually, opened
from tests.socket_client import SocketClient, connected


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig().running() as running:
        await running.until_started()
        yield running


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[SocketClient]:
    async with connected(rig.url) as made:
        yield made


async def test_a_subscription_is_ready_then_live_then_hears_what_happens(
    rig: Rig, client: SocketClient
) -> None:
    await client.subscribe("todos:acme", "orders:a", ref="r1")
    await client.until("live")
    rig.todos.emit(insert(1001, "acme"), insert(1002, "other"))
    rig.orders.emit(insert(1003, "a"))
    ready, live, first, second = await client.until("change", 2)
    assert ready.pop("session")
    assert ready == {
        "type": "ready",
        "ref": "r1",
        "heartbeat": 15,
        "channels": ["todos:acme", "orders:a"],
    }
    cursor = f"{TODOS}-{start_of(NOW)}.{ORDERS}-{start_of(NOW)}"
    assert live == {"type": "live", "ref": "r1", "cursor": cursor}
    assert first["id"] == f"{TODOS}-{at(1001)}"
    assert second["id"] == f"{ORDERS}-{at(1003)}"


async def test_messages_are_the_same_json_as_on_an_event_stream(
    rig: Rig, client: SocketClient
) -> None:
    await client.subscribe("todos:acme")
    await client.until("live")
    async with opened(rig, "channel=todos:acme") as stream:
        await stream.until("live")
        rig.todos.emit(
            insert(1001, "acme", text="ü" * 70_000), insert(1002, "acme", text="x" * 200)
        )
        rig.todos.emit(insert(1003, "acme"))
        await client.until("change", 3)
        await stream.until("message", 3)
    events = [event for event in stream.events if event.type == "message"]
    assert [stream.data(event) for event in events] == client.of("change")


async def test_each_channel_goes_on_from_its_own_cursor(rig: Rig, client: SocketClient) -> None:
    for second in range(1001, 1011):
        rig.todos.emit(insert(second, "a"), insert(second, "b", ordinal=2))
    await eventually(lambda: rig.feeds[0].history.head >= at(1010))
    await client.subscribe(
        {"channel": "todos:a", "since": f"{TODOS}-{at(1003)}"},
        {"channel": "todos:b", "since": f"{TODOS}-{at(1008, 2, 1)}"},
        {"channel": "todos:c", "since": "000003e900000001"},
        "todos:d",
    )
    await client.until("live")
    rig.todos.emit(insert(1011, "a"), insert(1011, "d", ordinal=2))
    await client.until("change", 7 + 2 + 2)
    a = [key for channel, key in client.keys if channel == "todos:a"]
    assert a == [f"{second}.1" for second in range(1004, 1012)]
    assert [key for channel, key in client.keys if channel == "todos:b"] == ["1009.2", "1010.2"]
    assert [key for channel, key in client.keys if channel == "todos:d"] == ["1011.2"]
    assert client.kinds.count("live") == 1


async def test_subscriptions_that_have_caught_up_share_one_heartbeat() -> None:
    async with Rig(heartbeat=0.4).running() as rig, connected(rig.url) as client:
        await rig.until_started()
        await client.subscribe("todos:a", ref=1)
        await client.subscribe("todos:b", "orders:a", ref=2)
        await client.subscribe({"channel": "orders:b", "since": f"{ORDERS}-{at(999)}"}, ref=3)
        await client.until("live", 3)
        rig.todos.emit(insert(1001, "a"))
        rig.orders.tick(1007)
        await client.until("heartbeat", 2)
        await asyncio.sleep(0.5)
        await client.in_sync()
    beats = [frame["cursor"] for frame in client.of("heartbeat")]
    assert 3 <= len(beats) <= 4, "one for the connection, not one for each subscription"
    assert beats[-1] == f"{TODOS}-{at(1001, 1, 15)}.{ORDERS}-{start_of(1007)}"


async def test_a_channel_that_replays_holds_the_cursor_of_its_watcher_back() -> None:
    """The oplog is not readable for a while, so the second channel stands where it came from."""
    old = f"{TODOS}-{at(500)}"
    async with Rig(heartbeat=0.2).running() as rig, connected(rig.url) as client:
        await rig.until_started()
        await client.subscribe("todos:a", "orders:a", ref=1)
        await client.until("live")
        rig.todos.gate.clear()
        await client.subscribe({"channel": "todos:b", "since": old}, ref=2)
        await client.until("heartbeat")
        rig.orders.emit(insert(1002, "a"))
        await client.until("heartbeat", 3)
        held = client.of("heartbeat")[-1]["cursor"]
        rig.todos.gate.set()
        await client.until("live", 2)
        await client.until("heartbeat", 5)
    assert held == f"{old}.{ORDERS}-{at(1002, 1, 15)}"
    assert client.of("heartbeat")[-1]["cursor"].startswith(f"{TODOS}-{start_of(NOW)}")
    assert [frame["ref"] for frame in client.of("live")] == [1, 2]


async def test_nothing_of_a_channel_follows_unsubscribed(rig: Rig, client: SocketClient) -> None:
    await client.subscribe("todos:a", "todos:b", "orders:a")
    await client.until("live")
    rig.todos.emit(insert(1001, "a"))
    await client.send("unsubscribe", ref=2, channels=["todos:a", "orders:a", "todos:never"])
    await client.until("unsubscribed")
    rig.todos.emit(insert(1002, "a"), insert(1002, "b", ordinal=2))
    rig.orders.emit(insert(1003, "a"))
    await client.subscribe("orders:b", ref=3)
    await client.until("live", 2)
    await client.in_sync()
    after = client.frames[client.kinds.index("unsubscribed") :]
    assert after[0] == {"type": "unsubscribed", "ref": 2}
    assert [frame["key"] for frame in after if frame["type"] == "change"] == ["1002.2"]
    await client.send("unsubscribe", channels=["todos:b", "orders:b"])
    await client.subscribe("todos:a", ref=4)
    await client.until("live", 3)
    assert client.of("ready")[-1]["channels"] == ["todos:a"]


async def test_channels_can_be_given_up_while_they_catch_up(rig: Rig, client: SocketClient) -> None:
    rig.todos.changes += [insert(second, w) for second in range(300, 600) for w in ("a", "b")]
    rig.todos.batch_size = 10
    rig.todos.gate.clear()
    since = f"{TODOS}-{at(299)}"
    await client.subscribe(
        {"channel": "todos:a", "since": since}, {"channel": "todos:b", "since": since}, ref=1
    )
    await client.until("ready")
    rig.todos.gate.set()
    await client.until("change")
    await client.send("unsubscribe", ref=2, channels=["todos:a"])
    await client.until("unsubscribed")
    await client.until("live")
    after = client.frames[client.kinds.index("unsubscribed") :]
    assert {frame["channel"] for frame in after if frame["type"] == "change"} <= {"todos:b"}
    assert len([key for channel, key in client.keys if channel == "todos:b"]) == 300
    assert client.of("live")[-1]["ref"] == 1


async def test_lost_history_is_told_on_the_channel_and_messages_go_on(
    rig: Rig, client: SocketClient
) -> None:
    rig.todos.first = "000003b600000000"
    await client.subscribe(
        {"channel": "todos:a", "since": f"{TODOS}-{at(500)}"},
        {"channel": "todos:b", "since": f"00000000-{at(999)}"},
    )
    await client.until("live")
    rig.todos.emit(insert(1001, "a"))
    await client.until("change")
    reasons = {frame["channel"]: frame["reason"] for frame in client.of("resync")}
    assert reasons == {"todos:a": "history_lost", "todos:b": "unknown_cursor"}
    assert client.of("resync")[0]["cursor"] == f"{TODOS}-{start_of(NOW)}"


async def test_a_drop_is_told_on_every_channel_of_the_watcher(
    rig: Rig, client: SocketClient
) -> None:
    await client.subscribe("todos:a", "todos:b", "orders:a")
    await client.until("live")
    rig.todos.emit(Change(cluster_time(1001, 1), 1, "drop", NS))
    await client.until("resync", 2)
    assert {frame["channel"]: frame["reason"] for frame in client.of("resync")} == {
        "todos:a": "dropped",
        "todos:b": "dropped",
    }


@pytest.mark.parametrize(
    ("frame", "code", "detail"),
    [
        ({"type": "subscribe", "channels": ["secret:a"]}, "forbidden", "'secret:a'"),
        ({"type": "subscribe", "channels": ["nobody:a"]}, "unknown_channel", "'nobody:a'"),
        ({"type": "subscribe", "channels": ["todos:a", "secret:a"]}, "forbidden", "'secret:a'"),
        ({"type": "subscribe", "channels": []}, "bad_request", "channels"),
        ({"type": "subscribe", "channels": "todos:a"}, "bad_request", "channels"),
        ({"type": "subscribe", "channels": [1]}, "bad_request", "channels.0"),
        ({"type": "subscribe", "channels": ["todos:a"] * 2}, "bad_request", "twice"),
        ({"type": "subscribe", "channels": ["todos:a"], "since": 1}, "bad_request", "since"),
        (
            {"type": "subscribe", "channels": [{"channel": "todos:a", "since": "x"}]},
            "bad_cursor",
            "'todos:a'",
        ),
        (
            {"type": "subscribe", "channels": [{"channel": "todos:a", "since": "7" * 16}]},
            "bad_cursor",
            "ahead of the cluster",
        ),
        (
            {"type": "subscribe", "channels": ["todos:a"], "snapshot": True},
            "no_snapshot",
            "todos:a",
        ),
        (
            {"type": "subscribe", "channels": [f"todos:{n}" for n in range(200)]},
            "bad_request",
            "at most 128",
        ),
        ({"type": "subscribe"}, "bad_request", "channels"),
        ({"type": "unsubscribe", "channels": [None]}, "bad_request", "channels.0"),
        ({"type": "shout"}, "bad_request", "type"),
        ({}, "bad_request", "type"),
    ],
)
async def test_a_request_that_is_wrong_is_told_so_and_the_connection_stays_open(
    rig: Rig, client: SocketClient, frame: dict[str, Any], code: str, detail: str
) -> None:
    await client.ws.send_json({**frame, "ref": 7})
    (error,) = await client.until("error")
    assert (error["ref"], error["code"]) == (7, code)
    assert detail in error["detail"]
    await client.subscribe("todos:fine")
    await client.until("live")
    assert client.kinds == ["error", "ready", "live"]


async def test_a_channel_is_followed_once(rig: Rig, client: SocketClient) -> None:
    await client.subscribe("todos:a")
    await client.subscribe("todos:b", "todos:a", ref=2)
    await client.until("live")
    await client.until("error")
    assert (
        client.of("error")[0]["detail"] == "channel 'todos:a' is subscribed: unsubscribe it first"
    )
    assert len(client.of("ready")) == 1, "nothing is half accepted"


async def test_a_connection_has_at_most_so_many_channels(rig: Rig, client: SocketClient) -> None:
    await client.subscribe(*(f"todos:{n}" for n in range(100)))
    await client.subscribe(*(f"orders:{n}" for n in range(29)), ref=2)
    await client.subscribe(*(f"orders:{n}" for n in range(28)), ref=3)
    await client.until("live", 2)
    assert [frame["ref"] for frame in client.of("error")] == [2]
    assert [frame["ref"] for frame in client.of("ready")] == [1, 3]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[1]",
        "null",
        '"subscribe"',
        "{",
        '{"type":"ping"}{}',
        '{"a":NaN}',
        '"\\ud800"',
    ],
)
async def test_who_speaks_no_json_objects_is_closed(client: SocketClient, text: str) -> None:
    await client.ws.send_str(text)
    assert await client.closed() == 4500
    assert client.of("error")[0]["code"] == "bad_request"


async def test_binary_frames_are_closed(client: SocketClient) -> None:
    await client.ws.send_bytes(b'{"type":"ping"}')
    assert await client.closed() == 4500


async def test_frames_of_more_than_64_kib_are_closed(rig: Rig, client: SocketClient) -> None:
    await client.ws.send_str('{"type":"ping","ref":"%s"}' % ("x" * 70_000))
    assert await client.closed() == 4500
    async with connected(rig.url) as huge:
        with suppress(ConnectionError):  # it is not even read to its end
            await huge.ws.send_str("x" * 10_000_000)
        await eventually(lambda: not rig.connections.open)


async def test_a_ping_is_answered_also_without_a_ref(client: SocketClient) -> None:
    await client.send("ping", ref=3)
    await client.send("ping")
    assert await client.until("pong", 2) == [{"type": "pong", "ref": 3}, {"type": "pong"}]


async def test_a_request_that_opens_no_websocket_is_refused_as_a_problem(rig: Rig) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{rig.url}/ws") as answer:
        assert (answer.status, answer.content_type) == (400, "application/problem+json")
        assert "RFC 6455" in await answer.text()


async def test_no_watcher_that_can_run_is_unavailable_and_the_other_serves() -> None:
    bridge = Rig()
    bridge.todos.failures.append(MongoRefused("not authorised"))
    async with bridge.running() as rig, connected(rig.url) as client:
        await eventually(lambda: rig.feeds[0].failed and rig.feeds[1].started)
        await client.subscribe("todos:a", ref=1)
        await client.until("error")
        assert client.of("error")[0]["code"] == "unavailable"
        await client.subscribe("todos:a", "orders:a", ref=2)
        await client.until("live")
        assert client.of("live")[0]["cursor"] == f"{ORDERS}-{start_of(NOW)}"


async def test_goodbye_is_told_and_the_connection_closed_with_a_code_to_come_back() -> None:
    async with Rig().running() as rig:
        await rig.until_started()
        async with connected(rig.url) as client, connected(rig.url) as idle:
            await client.subscribe("todos:a")
            await client.until("live")
            codes = asyncio.gather(client.closed(), idle.closed())
            await rig.server.drain(0)
            assert list(await codes) == [4000, 4000]
            bye = client.frames[-1]
            assert (bye["type"], bye["code"], bye["reconnect"]) == ("bye", "shutdown", True)
            assert 1000 <= bye["delay"] <= 4000
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with connected(rig.url):
                    pass
            assert refused.value.status == 503


async def test_a_connection_that_has_its_age_is_closed_with_a_code_to_come_back() -> None:
    async with Rig(max_age=0.3).running() as rig, connected(rig.url) as client:
        assert await client.closed() == 4002
        assert client.frames[-1]["code"] == "max_age"


async def test_a_client_that_leaves_is_forgotten(rig: Rig) -> None:
    for leave in ("close", "cut"):
        async with connected(rig.url) as client:
            await client.subscribe("todos:a", {"channel": "todos:b", "since": f"{TODOS}-{at(1)}"})
            await client.until("ready")
            assert len(rig.connections.open) == 1
            if leave == "cut":
                transport = client.ws.get_extra_info("socket")
                client.ws._response.connection.transport.abort()  # type: ignore[union-attr]
                assert transport is not None
        await eventually(lambda: not rig.connections.open)


async def test_a_slow_client_is_passed_over_catches_up_and_misses_nothing() -> None:
    async with Rig(write_buffer=64 * 1024).running() as rig, connected(rig.url) as client:
        await rig.until_started()
        await client.subscribe("todos:a")
        await client.until("live")
        for second in range(1001, 1101):
            rig.todos.emit(insert(second, "a", text="x" * 40_000))
            await asyncio.sleep(0)
        await client.until("change", 100)
        assert [key for _, key in client.keys] == [f"{second}.1" for second in range(1001, 1101)]


async def test_a_client_that_takes_nothing_is_cut() -> None:
    async with Rig(patience=0.5, write_buffer=64 * 1024).running() as rig:
        await rig.until_started()
        async with connected(rig.url) as client:
            await client.subscribe("todos:a")
            await client.until("live")
            for second in range(1001, 1031):
                rig.todos.emit(insert(second, "a", text="x" * 1_000_000))
                await asyncio.sleep(0.01)
            await eventually(lambda: not rig.connections.open)
