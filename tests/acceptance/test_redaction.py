"""Clients whose tokens do not lift a rule end equal to the database without the hidden fields."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
import pytest

from bridge.tokens import Tokens
from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import MakeBridge
from tests.acceptance.plain_json import canonical, plain
from tests.acceptance.replica import Json, Replica, name_of
from tests.acceptance.sse_client import SseClient
from tests.acceptance.state_client import StateClient
from tests.acceptance.traffic import Database, Traffic, create_with_images, now, through_faults
from tests.acceptance.witness import Witness
from tests.acceptance.workload import ROOMS
from tests.acceptance.ws_client import SocketWitness, WsClient
from tests.socket_client import SocketClient, connected

MODES = ["full", "delta", "patch"]
SECRET = "an example of a secret that has 32 bytes"
REDACT = [
    {"unless": "role:admin", "fields": ["free", "deep.by", "items.v", "counts"]},
    {"unless": "role:auditor", "fields": ["free"]},
]
CHANNELS = [
    f"{mode}:{''.join(quote(c, safe='') if c in '%:*, ' else c for c in room)}"
    for mode in MODES
    for room in ROOMS
]


def token(**claims: Any) -> str:
    """A token with claims of its own."""
    import jwt

    return jwt.encode({"exp": 2**33, "channels": ["**"], **claims}, SECRET, algorithm="HS256")


ADMIN = token(role=["admin", "auditor"], sub="admin")


class AttentiveReplica(Replica):
    """Notes the messages that show that something happened, and not what."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: set[str] = set()

    def apply(self, message: dict[str, Json]) -> None:
        name = name_of(message)
        before = canonical(self.documents[name]) if name in self.documents else ""
        super().apply(message)
        changed = message["op"] in ("update", "replace")
        if changed and canonical(self.documents[name]) == before:
            self.silent.add(message["id"])


class AdminClient(SseClient):
    """Shows a token that lifts every rule."""

    def _headers(self) -> dict[str, str]:
        return {**super()._headers(), "Authorization": f"Bearer {ADMIN}"}


@pytest.fixture
async def process(database: Database, bridge: MakeBridge) -> BridgeProcess:
    await create_with_images(database, *MODES)
    watchers = {
        mode: {
            "watch": f"{database.name}.{mode}",
            "channel": f"{mode}:{{room}}",
            "mode": mode,
            "redact": REDACT,
        }
        for mode in MODES
    }
    auth = {"anonymous": ["**"], "jwt": {"secret": SECRET}}
    return await bridge(watchers, auth=auth).start()


def without(document: Json) -> Json:
    """The document as a stranger sees it."""
    seen = {key: value for key, value in document.items() if key not in ("free", "counts")}
    if isinstance(seen.get("deep"), dict):
        seen["deep"] = {key: value for key, value in seen["deep"].items() if key != "by"}
    if isinstance(seen.get("items"), list):
        seen["items"] = [
            {k: v for k, v in item.items() if k != "v"} if isinstance(item, dict) else item
            for item in seen["items"]
        ]
    return seen


async def stored(database: Database, *, whole: bool) -> dict[str, dict[str, str]]:
    """Channel -> name of a document -> its JSON."""
    found: dict[str, dict[str, str]] = {channel: {} for channel in CHANNELS}
    for mode in MODES:
        async for document in database[mode].find():
            if document.get("room") not in ROOMS:
                continue
            shown = plain(document) if whole else without(plain(document))
            channel = CHANNELS[MODES.index(mode) * len(ROOMS) + ROOMS.index(document["room"])]
            found[channel][name_of({"key": plain(document["_id"])})] = canonical(shown)
    return found


async def write_the_end(database: Database) -> None:
    for channel in CHANNELS:
        mode, index = channel.partition(":")[0], CHANNELS.index(channel) % len(ROOMS)
        end = {"_id": f"end:{channel}", "room": ROOMS[index]}
        await through_faults(lambda m=mode, e=end: database[m].insert_one(e))


def has_the_end(replicas: Mapping[str, Replica]) -> bool:
    return all(
        name_of({"key": f"end:{channel}"}) in replicas[channel].documents
        for channel in CHANNELS
        if channel in replicas
    ) and len(replicas) == len(CHANNELS)


def held(replicas: Mapping[str, Replica]) -> dict[str, dict[str, str]]:
    return {
        channel: {name: canonical(document) for name, document in replica.documents.items()}
        for channel, replica in replicas.items()
    }


class Pages:
    """A client that asks for history, page by page."""

    def __init__(self, url: str, since: str) -> None:
        self.replicas = {channel: AttentiveReplica() for channel in CHANNELS}
        self._url = url
        self._since = since

    async def run(self) -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(self._follow(session, channel) for channel in CHANNELS))

    async def _follow(self, session: aiohttp.ClientSession, channel: str) -> None:
        cursor, replica = self._since, self.replicas[channel]
        url = f"{self._url}/channels/{quote(channel, safe='')}/history"
        while name_of({"key": f"end:{channel}"}) not in replica.documents:
            query = {"since": cursor, "wait": "5", "limit": "200"}
            async with session.get(url, params=query) as answer:
                page = orjson.loads(await answer.read())
            for message in page["messages"]:
                replica.apply(message)
            cursor = page["cursor"]


async def test_clients_end_equal_to_what_they_may_see(
    database: Database, process: BridgeProcess
) -> None:
    since = await now(database)
    witnesses: list[Any] = [
        Witness(channels=CHANNELS, since=since),
        SocketWitness(channels=CHANNELS, since=since),
        Witness(channels=CHANNELS, since=since),
    ]
    for witness in witnesses:
        witness.replicas = {channel: AttentiveReplica() for channel in CHANNELS}
    clients = [
        kind(urls=lambda: [process.url], witness=witness, drops=(1, 300), seed=7)
        for kind, witness in zip((SseClient, WsClient, AdminClient), witnesses, strict=True)
    ]
    late = StateClient(urls=lambda: [process.url], channels=CHANNELS, drops=(1, 500), seed=8)
    admin = StateClient(
        urls=lambda: [process.url], channels=CHANNELS, drops=(1, 500), seed=9, token=ADMIN
    )
    pages = Pages(process.url, since)
    traffic = Traffic(database=database, names=MODES, count=1_500, seconds=2, seed=5)
    async with asyncio.TaskGroup() as group:
        group.create_task(pages.run())
        async with clients[0], clients[1], clients[2], admin:
            written = group.create_task(traffic.run())
            await asyncio.sleep(0.5)
            async with late:
                await written
                await write_the_end(database)
                for client in clients:
                    await client.until(lambda witness: has_the_end(witness.replicas), limit=40)
                for other in (late, admin):
                    await other.until(lambda client: has_the_end(client.replicas), limit=40)
    seen, whole = await stored(database, whole=False), await stored(database, whole=True)
    assert seen != whole
    all_of_it = witnesses.pop()
    assert held(admin.replicas) == held(all_of_it.replicas) == whole
    for replicas in (*(w.replicas for w in witnesses), late.replicas, pages.replicas):
        assert held(replicas) == seen
    # A change of hidden fields alone is not told; one that JSON does not show is told to all.
    assert silent(witnesses[0]) == silent(witnesses[1]) == silent(pages) <= silent(all_of_it)


def silent(client: Any) -> set[str]:
    """The messages of which nothing was seen."""
    return set().union(*(replica.silent for replica in client.replicas.values()))


async def people(database: Database) -> None:
    await database["patch"].insert_one(
        {"_id": 1, "room": "one", "free": "secret", "n": 1, "pad": "x" * 99}
    )


async def state(client: SocketClient, ref: int) -> Json:
    await client.subscribe("patch:one", ref=ref, snapshot=True)
    await client.until("live", ref)
    return client.of("snapshot")[-1]["documents"][0]["document"]


async def test_a_new_token_on_a_websocket_that_shows_more_or_less_is_a_resync(
    database: Database, process: BridgeProcess
) -> None:
    await people(database)
    async with connected(process.url) as client:
        assert "free" not in await state(client, 1)
        await client.send("auth", token=token(), ref=1)
        await client.in_sync()
        assert client.of("resync") == [], "the same view is no change"
        await client.send("auth", token=ADMIN, ref=2)
        await client.until("resync")
        (resync,) = client.of("resync")
        assert (resync["channel"], resync["reason"]) == ("patch:one", "access_changed")
        await database["patch"].update_one({"_id": 1}, {"$set": {"free": "other"}})
        await client.until("change")
        assert client.of("change")[-1]["patch"] == [
            {"op": "replace", "path": "/free", "value": "other"}
        ]
        await client.send("unsubscribe", channels=["patch:one"])
        assert "free" in await state(client, 2)
        await client.send("auth", token=token())
        await client.until("resync", 2)
        before = len(client.of("change"))
        await database["patch"].update_one({"_id": 1}, {"$set": {"free": "hidden", "n": 2}})
        await database["patch"].update_one({"_id": 1}, {"$set": {"free": "again"}})
        await database["patch"].update_one({"_id": 1}, {"$set": {"n": 3}})
        await client.until("change", before + 2)
    assert "hidden" not in str(client.frames)
    assert [frame["patch"] for frame in client.of("change")[-2:]] == [
        [{"op": "replace", "path": "/n", "value": 2}],
        [{"op": "replace", "path": "/n", "value": 3}],
    ]


async def test_the_snapshot_of_a_request_is_hidden_too(
    database: Database, process: BridgeProcess
) -> None:
    await people(database)
    url = f"{process.url}/channels/patch%3Aone/snapshot"
    tokens = Tokens(secret=SECRET)
    guest = tokens.mint(channels=["**"], ttl=60)
    async with aiohttp.ClientSession() as session:
        for shown, key in (("secret", ADMIN), (None, guest), (None, "")):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            async with session.get(url, headers=headers) as answer:
                (entry,) = orjson.loads(await answer.read())["documents"]
                assert entry["document"].get("free") == shown
