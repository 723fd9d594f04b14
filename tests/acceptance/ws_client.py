"""A client over WebSocket with a cursor of its own for each channel, as the contract has it."""

import asyncio

import aiohttp
import orjson

from tests.acceptance.replica import Json, Replica
from tests.acceptance.sse_client import CutError, SseClient
from tests.acceptance.witness import POSITION_DIGITS, Resync, parts_of

KINDS = frozenset({"ready", "live", "heartbeat", "change", "resync", "unsubscribed", "bye"})


class SocketWitness:
    """What one WebSocket client saw over all its connections, checked as it comes."""

    def __init__(
        self,
        *,
        channels: list[str],
        since: str,
        resyncs: frozenset[str] | set[str] = frozenset(),
        whole: bool = True,
    ) -> None:
        self.channels = channels
        self.cursors = dict.fromkeys(channels, since)
        self.replicas = {channel: Replica(whole=whole) for channel in channels}
        self.messages: dict[str, list[dict[str, Json]]] = {channel: [] for channel in channels}
        self.resyncs: list[Resync] = []
        self.connections = 0
        self.heartbeats = 0
        self.following: set[str] = set()
        """Channels of which ``ready`` has come and ``unsubscribed`` has not."""
        self._asked: dict[int, list[str]] = {}
        self._allowed = frozenset(resyncs)
        self._floor = (since + "ffffff")[:POSITION_DIGITS]

    @property
    def cursor(self) -> str:
        return str(self.cursors)

    @property
    def live(self) -> bool:
        """Whether every channel is followed and has been given what was missed."""
        return self.following == set(self.channels) and not self._asked

    def connected(self) -> None:
        self.connections += 1
        self.following, self._asked = set(), {}

    def asks(self, ref: int, channels: list[str]) -> list[dict[str, str]]:
        """What to subscribe, each from where it stands."""
        self._asked[ref] = channels
        return [{"channel": name, "since": self.cursors[name]} for name in channels]

    def take(self, data: dict[str, Json]) -> None:
        """Checks one frame."""
        kind = data["type"]
        assert kind in {"ready", "live", "heartbeat", "change", "resync", "unsubscribed", "bye"}, (
            data
        )
        getattr(self, f"_{kind}")(data)

    def _ready(self, data: dict[str, Json]) -> None:
        assert data["channels"] == self._asked[data["ref"]], data
        self.following |= set(data["channels"])

    def _live(self, data: dict[str, Json]) -> None:
        del self._asked[data["ref"]]
        self._move(data["cursor"])

    def _heartbeat(self, data: dict[str, Json]) -> None:
        self.heartbeats += 1
        self._move(data["cursor"])

    def _unsubscribed(self, data: dict[str, Json]) -> None:
        """Noted when it was asked: nothing of these channels may follow."""

    def _bye(self, data: dict[str, Json]) -> None:
        assert data["reconnect"], data

    def _resync(self, data: dict[str, Json]) -> None:
        assert data["reason"] in self._allowed, data
        self.resyncs.append(Resync(data["channel"], data["reason"], data["cursor"]))
        self.replicas[data["channel"]] = Replica(whole=False)
        self.cursors[data["channel"]] = data["cursor"]

    def _change(self, data: dict[str, Json]) -> None:
        channel = data["channel"]
        assert channel in self.following, f"not followed: {data}"
        tag, _, where = data["id"].partition("-")
        assert where > self._part(channel, tag), f"not above {self.cursors[channel]}: {data}"
        self.cursors[channel] = data["id"]
        self.messages[channel].append(data)
        self.replicas[channel].apply(data)

    def _part(self, channel: str, tag: str) -> str:
        cursor = self.cursors[channel]
        return parts_of(cursor)[tag] if "-" in cursor else self._floor

    def _move(self, cursor: str) -> None:
        """A cursor counts for every channel that is followed; one that is held back moves none."""
        parts = parts_of(cursor)
        for channel in self.following:
            own = self.cursors[channel]
            known = parts_of(own) if "-" in own else parts
            moved = {tag: max(parts[tag], known[tag]) for tag in known if tag in parts}
            if moved and ("-" in own or min(moved.values()) > self._floor):
                self.cursors[channel] = ".".join(f"{t}-{w}" for t, w in sorted(moved.items()))


class WsClient(SseClient):
    """Asks for its channels in several requests, and gives some up and takes them again."""

    witness: SocketWitness  # type: ignore[assignment]

    async def _connection(self, session: aiohttp.ClientSession) -> None:
        self._turn += 1
        urls = self._urls()
        async with session.ws_connect(
            f"{urls[self._turn % len(urls)]}/ws",
            max_msg_size=0,
            timeout=aiohttp.ClientWSTimeout(ws_close=0.1),
        ) as ws:
            self.witness.connected()
            self._ref = 0
            names = self._random.sample(self.witness.channels, len(self.witness.channels))
            cut = self._random.randint(0, len(names))
            for part in (names[:cut], names[cut:]):
                await self._subscribe(ws, part)
            try:
                await self._listen(ws)
            except CutError:
                if ws._response.connection and ws._response.connection.transport:
                    ws._response.connection.transport.abort()
                raise

    async def _subscribe(self, ws: aiohttp.ClientWebSocketResponse, names: list[str]) -> None:
        if names:
            self._ref += 1
            wanted = self.witness.asks(self._ref, names)
            await self._send(ws, type="subscribe", ref=self._ref, channels=wanted)

    async def _send(self, ws: aiohttp.ClientWebSocketResponse, **frame: Json) -> None:
        await ws.send_str(orjson.dumps(frame).decode())

    async def _listen(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        left = self._random.randint(*self._drops) if self._drops else None
        async for message in ws:
            assert message.type is aiohttp.WSMsgType.TEXT, message
            data = orjson.loads(message.data)
            self.witness.take(data)
            self._moved.set()
            if left is not None and (left := left - 1) < 0:
                raise CutError
            if data["type"] == "change" and self._random.random() < 0.01:
                await self._give_up_and_take_again(ws, data["channel"])

    async def _give_up_and_take_again(
        self, ws: aiohttp.ClientWebSocketResponse, channel: str
    ) -> None:
        """What is still on its way of the channel is left; the cursor says from where on."""
        self._ref += 1
        await self._send(ws, type="unsubscribe", ref=self._ref, channels=[channel])
        ref = self._ref
        async with asyncio.timeout(20):
            async for message in ws:
                data = orjson.loads(message.data)
                if data["type"] == "unsubscribed" and data["ref"] == ref:
                    break
                self.witness.take(data)
        self.witness.following.discard(channel)
        await self._subscribe(ws, [channel])
