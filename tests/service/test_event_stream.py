"""``GET /sse`` over real sockets: headers, order of events, resuming, going away."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from bridge.errors import HistoryLost, MongoRefused
from tests.acceptance.sse_parser import SseParser
from tests.fakes import at, insert, start_of
from tests.rig import NOW, ORDERS, TODOS, Rig, eventually, opened


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig().running() as running:
        await running.until_started()
        yield running


async def test_a_stream_has_the_headers_that_keep_it_a_stream(rig: Rig) -> None:
    async with opened(rig, "channel=todos:acme") as client:
        headers = client.response.headers
        assert client.response.status == 200
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert headers["Cache-Control"] == "no-store, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["Transfer-Encoding"] == "chunked"


async def test_a_new_client_is_ready_then_live_then_hears_what_happens(rig: Rig) -> None:
    async with opened(rig, "channel=todos:acme&channel=orders:a&channel=todos:acme") as client:
        await client.until("live")
        rig.todos.emit(insert(1001, "acme"), insert(1002, "other"))
        rig.orders.emit(insert(1003, "a"))
        ready, live, first, second = await client.until("message", 2)
    data = client.data(ready)
    assert data.pop("session")
    assert data == {"type": "ready", "heartbeat": 15, "channels": ["todos:acme", "orders:a"]}
    assert client.parser.retry is not None
    assert live.id == f"{TODOS}-{start_of(NOW)}.{ORDERS}-{start_of(NOW)}"
    assert client.data(live) == {"type": "live", "cursor": live.id}
    assert first.id == f"{TODOS}-{at(1001)}.{ORDERS}-{start_of(NOW)}"
    assert client.data(first)["id"] == f"{TODOS}-{at(1001)}"
    assert second.id == f"{TODOS}-{at(1002, 1, 15)}.{ORDERS}-{at(1003)}"


async def test_the_first_bytes_leave_at_once_even_while_a_watcher_starts() -> None:
    bridge = Rig()
    bridge.todos.gate.clear()
    async with bridge.running() as rig, opened(rig, "channel=todos:acme") as client:
        await client.until("ready")
        assert client.kinds == ["ready"]
        rig.todos.gate.set()
        rig.todos.emit(insert(1001))
        await client.until("live")
        assert client.kinds[:2] == ["ready", "live"], "without a cursor: from the start on"


async def test_a_client_that_comes_back_gets_exactly_what_it_missed(rig: Rig) -> None:
    rig.todos.emit(*(insert(second) for second in range(1001, 1006)))
    async with opened(rig, f"channel=todos:acme&since={TODOS}-{at(1002)}") as client:
        await client.until("live")
    assert client.kinds == ["ready", "message", "message", "message", "live"]
    assert client.keys == ["1003.1", "1004.1", "1005.1"]


async def test_the_header_wins_over_the_query(rig: Rig) -> None:
    rig.todos.emit(insert(1001), insert(1002))
    old, new = f"{TODOS}-{start_of(1001)}", f"{TODOS}-{at(1001)}"
    async with opened(rig, f"channel=todos:acme&since={old}", Last_Event_ID=new) as client:
        await client.until("live")
    assert client.keys == ["1002.1"]


@pytest.mark.parametrize("since", [at(1001), "000003e900000001"])
async def test_a_bare_position_stands_for_every_watcher(rig: Rig, since: str) -> None:
    rig.todos.emit(insert(1001), insert(1002))
    rig.orders.emit(insert(1001), insert(1003))
    query = f"channel=todos:acme&channel=orders:acme&since={since}"
    async with opened(rig, query) as client:
        await client.until("live")
    assert client.keys == ["1002.1", "1003.1"]


async def test_a_cursor_without_a_watchers_part_is_told_and_the_others_go_on(rig: Rig) -> None:
    rig.todos.emit(insert(1001))
    query = f"channel=todos:acme&channel=orders:acme&since={TODOS}-{start_of(NOW)}.00000000-{at(1)}"
    async with opened(rig, query) as client:
        await client.until("live")
    assert client.kinds == ["ready", "resync", "message", "live"]
    told = client.data(client.events[1])
    assert (told["channel"], told["reason"]) == ("orders:acme", "unknown_cursor")


async def test_a_tagged_cursor_from_the_future_is_unknown(rig: Rig) -> None:
    async with opened(rig, f"channel=todos:acme&since={TODOS}-{'f' * 22}") as client:
        await client.until("live")
    assert client.data(client.events[1])["reason"] == "unknown_cursor"


async def test_below_memory_the_oplog_is_read(rig: Rig) -> None:
    old = [insert(second) for second in range(100, 110)]
    rig.todos.changes = old + rig.todos.changes
    rig.todos.batch_size = 3
    rig.todos.emit(insert(1001))
    async with opened(rig, f"channel=todos:acme&since={TODOS}-{at(104)}") as client:
        await client.until("live")
    assert client.keys == ["105.1", "106.1", "107.1", "108.1", "109.1", "1001.1"]
    await eventually(lambda: rig.todos.open == 1)


async def test_below_the_oplog_history_is_lost(rig: Rig) -> None:
    rig.todos.first = f"{500:08x}" + "0" * 8
    async with opened(rig, f"channel=todos:acme&since={TODOS}-{at(104)}") as client:
        await client.until("live")
    assert client.kinds == ["ready", "resync", "live"]
    assert client.data(client.events[1])["reason"] == "history_lost"


async def test_a_gap_in_the_stream_is_told_to_those_who_are_connected(rig: Rig) -> None:
    async with opened(rig, "channel=todos:acme") as client:
        await client.until("live")
        rig.todos.failures.append(HistoryLost("286"))
        rig.todos.fail(HistoryLost("286"))
        rig.todos.tick(1004)
        await client.until("resync")
        rig.todos.emit(insert(1005))
        await client.until("message")
    assert client.kinds == ["ready", "live", "resync", "message"]


async def test_an_http_1_0_client_gets_a_stream_without_chunks(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(b"GET /sse?channel=todos:acme HTTP/1.0\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert b"200 OK" in head.splitlines()[0]
    assert b"transfer-encoding" not in head.lower()
    await eventually(lambda: bool(rig.hub._audiences))
    rig.todos.emit(insert(1001))
    body = await asyncio.wait_for(reader.readuntil(b"1001.1"), 5)
    body += await asyncio.wait_for(reader.readuntil(b"\n\n"), 5)
    assert [event.type for event in SseParser().feed(body)] == ["ready", "live", "message"]
    assert body.startswith(b"retry: ")
    writer.close()


async def test_a_quiet_channel_has_heartbeats_and_its_cursor_moves() -> None:
    async with Rig(heartbeat=0.1).running() as rig, opened(rig, "channel=todos:acme") as client:
        await client.until("heartbeat")
        rig.todos.tick(2000)
        await eventually(lambda: rig.feeds[0].flushed == start_of(2000))
        count = client.kinds.count("heartbeat")
        await client.until("heartbeat", count + 2)
    beat = client.events[-1]
    assert beat.id == f"{TODOS}-{start_of(2000)}"
    assert client.data(beat) == {"type": "heartbeat", "cursor": beat.id}


async def test_a_client_that_never_reads_is_cut_and_costs_the_others_nothing() -> None:
    bridge = Rig(patience=0.3, write_buffer=200_000)
    async with bridge.running() as rig, opened(rig, "channel=todos:acme") as client:
        await client.until("live")
        with socket.create_connection(("127.0.0.1", rig.port)) as deaf:
            deaf.send(b"GET /sse?channel=todos:acme HTTP/1.1\r\nHost: x\r\n\r\n")
            await eventually(lambda: len(rig.connections.open) == 2)
            for number in range(1, 401):
                rig.todos.emit(insert(1001, ordinal=number, text="x" * 25_000))
                await asyncio.sleep(0)
            await client.until("message", 400)
            await eventually(lambda: len(rig.connections.open) == 1)
    assert client.keys == [f"1001.{number}" for number in range(1, 401)]


async def test_a_client_that_leaves_is_forgotten(rig: Rig) -> None:
    async with opened(rig, "channel=todos:acme") as client:
        await client.until("live")
        assert len(rig.connections.open) == 1
    await eventually(lambda: not rig.connections.open)
    assert not rig.hub._audiences


async def test_when_the_bridge_stops_it_says_goodbye_and_turns_others_away(rig: Rig) -> None:
    async with opened(rig, "channel=todos:acme") as client:
        await client.until("live")
        await rig.server.drain(0.1)
        await client.end()
    bye = client.data(client.events[-1])
    assert 1000 <= bye.pop("delay") <= 4000
    assert bye == {"type": "bye", "code": "shutdown", "reconnect": True}
    async with opened(rig, "channel=todos:acme") as late:
        await late.end()
        assert late.response.status == 200
    assert late.kinds == ["bye"]
    bye = late.data(late.events[0])
    assert (bye["code"], bye["reconnect"]) == ("unavailable", True)
    assert late.parser.retry == bye["delay"]


async def test_a_failed_watcher_does_not_hurt_the_others() -> None:
    bridge = Rig()
    bridge.orders.failures.append(MongoRefused("not authorised"))
    async with bridge.running() as rig:
        await eventually(lambda: rig.feeds[0].started and bool(rig.feeds[1].failed))
        async with opened(rig, "channel=orders:acme") as client:
            await client.end()
        assert client.kinds == ["bye"]
        async with opened(rig, "channel=orders:acme&channel=todos:acme") as client:
            await client.until("live")
            rig.todos.emit(insert(1001))
            await client.until("message")
        assert client.kinds == ["ready", "live", "message"]
        assert client.events[-1].id == f"{TODOS}-{at(1001)}"


async def test_a_hundred_and_twenty_eight_long_channels_fit_in_a_request(rig: Rig) -> None:
    names = [f"todos:{number:03}{'x' * 450}" for number in range(128)]
    query = "&".join(f"channel={name}" for name in names)
    assert 59_000 < len(query) < 65_000
    async with opened(rig, query) as client:
        await client.until("live")
        assert client.data(client.events[0])["channels"] == names
