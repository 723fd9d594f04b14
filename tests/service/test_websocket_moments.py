"""WebSockets at bad moments: two things at once, of which one must be told first, or not at all."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from bridge.auth import Anonymous, Gate
from bridge.errors import Unavailable
from bridge.events import Message
from bridge.redaction import Redaction, Rule
from bridge.tokens import Tokens
from bridge.websocket import WebSocket
from tests.fakes import at, insert, start_of
from tests.raw_socket import CLOSE, HANDSHAKE, PING, TEXT, Raw, frame
from tests.rig import NOW, TODOS, Rig, eventually
from tests.socket_client import SocketClient, connected

TOKENS = Tokens(secret="a secret that is long enough for HS256", leeway=0)
OLD = f"{TODOS}-{start_of(NOW - 500)}"


def token(subject: str) -> str:
    return TOKENS.mint(channels=["**"], ttl=60, subject=subject)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    gate = Gate(anonymous=Anonymous(patterns=["**"]), tokens=TOKENS)
    async with Rig(gate=gate).running() as running:
        await running.until_started()
        running.feeds[0].redaction = Redaction([Rule("sub", "boss", ("salary",))])
        yield running


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[SocketClient]:
    async with connected(rig.url) as made:
        yield made


def socket_of(rig: Rig) -> WebSocket:
    (found,) = rig.connections.open.values()
    assert isinstance(found, WebSocket)
    return found


def flush(rig: Rig, second: int, channel: str) -> None:
    """A message that is given out in this very turn of the loop."""
    body = orjson.dumps({"type": "change", "channel": channel, "key": second})
    rig.hub.publish(rig.feeds[0], [Message(at(second), channel, body)], at(second))
    rig.hub.flush()


async def test_goodbyes_go_on_where_a_socket_leaves_meanwhile() -> None:
    rig = Rig()
    async with rig.running(), connected(rig.url) as one, connected(rig.url) as other:
        await eventually(lambda: len(rig.connections) == 2)
        draining = asyncio.ensure_future(rig.connections.drain(0.6))
        await asyncio.sleep(0.05)  # one is told, and the other's turn has not come
        await asyncio.gather(one.ws.close(), other.ws.close())
        await draining
        assert not rig.connections.open


async def test_no_heartbeat_says_more_than_a_channel_that_was_just_asked_for(
    rig: Rig, client: SocketClient
) -> None:
    """The hub gives the heartbeats of a socket of one subscription, and knows no other."""
    rig.todos.emit(*(insert(NOW, "b", ordinal=n) for n in range(1, 10)))
    await eventually(lambda: len(rig.feeds[0].history) == 9)
    await client.subscribe("todos:a", ref=1)
    await client.until("live")
    rig.todos.gate.clear()
    await client.subscribe({"channel": "todos:b", "since": OLD}, ref=2)
    await client.until("ready", 2)
    rig.hub.beat(asyncio.get_running_loop().time() + 100)
    await client.in_sync()
    assert all(beat["cursor"] <= OLD for beat in client.of("heartbeat"))


async def test_live_is_told_where_what_still_replays_is_given_up(
    rig: Rig, client: SocketClient
) -> None:
    """Also where the rest of the request has been joined to another one, and after that."""
    await client.subscribe("todos:a", ref=1)
    await client.until("live")
    rig.todos.gate.clear()
    await client.subscribe("todos:b", {"channel": "todos:c", "since": OLD}, ref=2)
    await client.until("ready", 2)
    await client.in_sync()
    await client.send("unsubscribe", ref=3, channels=["todos:c"])
    await client.in_sync()
    assert [frame["ref"] for frame in client.of("live")] == [1, 2]
    # In this order: until it is told, the client follows the channel, and takes cursors for it.
    assert client.kinds[-3:] == ["unsubscribed", "live", "pong"]


async def test_a_request_of_which_nothing_is_left_does_not_become_live(
    rig: Rig, client: SocketClient
) -> None:
    rig.todos.gate.clear()
    await client.subscribe({"channel": "todos:c", "since": OLD}, ref=1)
    await client.send("unsubscribe", ref=2, channels=["todos:c"])
    rig.todos.gate.set()
    await client.subscribe("todos:c", ref=3)
    await client.until("live")
    await client.in_sync()
    assert [frame["ref"] for frame in client.of("live")] == [3]


async def test_a_flush_in_the_same_turn_does_not_follow_unsubscribed(
    rig: Rig, client: SocketClient
) -> None:
    await client.subscribe("todos:a", "todos:b")
    await client.until("live")
    socket = socket_of(rig)
    for second, channel in ((NOW + 1, "todos:a"), (NOW + 2, "todos:b")):
        socket.narrow([channel])
        socket.tell("unsubscribed")
        flush(rig, second, channel)
    await client.in_sync()
    assert client.kinds[-3:] == ["unsubscribed", "unsubscribed", "pong"]


async def test_a_loss_found_too_late_does_not_follow_unsubscribed(
    rig: Rig, client: SocketClient
) -> None:
    await client.subscribe({"channel": "todos:a", "since": OLD})
    await client.until("ready")
    (part,) = socket_of(rig).parts
    part.stop()
    part._lose(rig.feeds[0], "history_lost")  # as its reading of the oplog ends
    await client.in_sync()
    assert "resync" not in client.kinds


async def test_nothing_follows_a_close_frame(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(HANDSHAKE.encode())
    await reader.readuntil(b"\r\n\r\n")
    raw = Raw(reader, writer)
    raw.send(frame(TEXT, b'{"type":"subscribe","channels":["todos:a"]}'))
    while b'"live"' not in (await raw.receive())[1]:
        pass
    raw.send(frame(TEXT, b"nonsense"))
    await raw.until(CLOSE)
    flush(rig, NOW + 1, "todos:a")
    with pytest.raises(asyncio.IncompleteReadError):  # it hangs up without another word
        await raw.receive()
    writer.close()


async def test_what_is_asked_after_goodbye_is_not_done(rig: Rig) -> None:
    async with connected(rig.url) as client:
        await client.in_sync()
        socket = socket_of(rig)
        await client.subscribe("todos:a")
        await client.subscribe("todos:b")
        socket.silence()
        await client.closed()
    assert client.kinds == ["pong"]


async def test_another_token_is_told_before_anything_that_it_shows(
    rig: Rig, client: SocketClient
) -> None:
    """Also while the oplog is read: what was seen until then need not fit what follows."""
    rig.todos.changes += [insert(second, "a", salary=second) for second in range(600, 700)]
    rig.todos.batch_size = 10
    rig.todos.gate.clear()
    await client.subscribe({"channel": "todos:a", "since": OLD})
    await client.until("ready")
    await client.send("auth", ref=2, token=token("boss"))
    await client.until("authenticated")
    rig.todos.gate.set()
    await client.until("live")
    after = client.kinds[client.kinds.index("authenticated") :]
    assert after == ["authenticated", "resync", "live"]
    assert client.of("resync")[0]["reason"] == "access_changed"


async def test_another_token_takes_nobody_back(rig: Rig, client: SocketClient) -> None:
    """A place that is ahead of the watcher stays ahead."""
    ahead = f"{TODOS}-{start_of(NOW + 50)}"
    await client.subscribe({"channel": "todos:a", "since": ahead})
    await client.until("live")
    await client.send("auth", token=token("boss"))
    await client.until("resync")
    rig.todos.emit(insert(NOW + 1, "a"), insert(NOW + 60, "a"))
    await client.until("change")
    assert client.of("resync")[0]["cursor"] == ahead
    assert client.keys == [("todos:a", f"{NOW + 60}.1")]


async def test_who_has_come_to_follow_the_same_shares_an_audience(rig: Rig) -> None:
    """Whatever came and went before: each message is framed once for all of them."""
    rig.feeds[1].redaction = Redaction([Rule("sub", "boss", ("salary",))])
    async with connected(rig.url) as one, connected(rig.url) as other, connected(rig.url) as third:
        await one.subscribe("todos:a")
        await other.subscribe("todos:a", "orders:a")
        await third.subscribe("orders:a")
        for client in (one, other, third):
            await client.until("live")
        await other.send("unsubscribe", channels=["orders:a"])
        await third.subscribe("todos:a")
        await third.until("live", 2)
        await third.send("unsubscribe", channels=["orders:a"])
        for client in (other, third):
            await client.in_sync()
        assert len(rig.hub._audiences) == 1
        await one.subscribe("orders:a")
        await one.until("live", 2)
        await other.subscribe("orders:a")
        await other.until("live", 2)
        await third.send("unsubscribe", channels=["todos:a"])
        await third.subscribe("orders:a")
        await third.until("live", 3)
        await third.subscribe("todos:a")
        await third.until("live", 4)
        for client in (one, other, third):
            await client.in_sync()
        assert len(rig.hub._audiences) == 1


async def test_who_follows_nothing_is_kept_alive() -> None:
    async with Rig(heartbeat=0.2).running() as quick:
        reader, writer = await asyncio.open_connection("127.0.0.1", quick.port)
        writer.write(HANDSHAKE.encode())
        await reader.readuntil(b"\r\n\r\n")
        assert await Raw(reader, writer).receive() == (PING, b"")
        writer.close()


async def test_a_token_that_is_verified_after_goodbye_is_not_answered() -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def fetch(url: str) -> bytes:
        asked.set()
        await answer.wait()
        raise Unavailable("it does not answer")

    slow = Tokens(algorithms=["RS256"], jwks_url="https://example.com/keys", fetch=fetch)
    gate = Gate(anonymous=Anonymous(patterns=["**"]), tokens=slow)
    async with Rig(gate=gate).running() as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(HANDSHAKE.encode())
        await reader.readuntil(b"\r\n\r\n")
        raw = Raw(reader, writer)
        token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AA"
        raw.send(frame(TEXT, orjson.dumps({"type": "auth", "token": token})))
        await asked.wait()
        socket_of(rig).end("shutdown", reconnect=True, delay=1000)
        await raw.until(CLOSE)
        answer.set()
        with pytest.raises(asyncio.IncompleteReadError):  # it hangs up without another word
            await raw.receive()
        writer.close()
    await slow.close()
