"""Whatever is written and whatever breaks, clients end equal to the database."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pymongo import AsyncMongoClient

from bridge.demo.mongod import Mongod
from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import MakeBridge
from tests.acceptance.oracle import Due, changes_since, due_by_pipeline, due_by_template
from tests.acceptance.plain_json import canonical, plain
from tests.acceptance.replica import name_of
from tests.acceptance.sse_client import SseClient
from tests.acceptance.traffic import Database, Traffic, create_with_images, now, through_faults
from tests.acceptance.witness import Witness
from tests.acceptance.workload import ROOMS
from tests.acceptance.ws_client import SocketWitness, WsClient

MODES = ["full", "delta", "patch"]
CLIENTS = 30
WRITES = 5_400
IMAGES = {"full_document": "whenAvailable", "full_document_before_change": "whenAvailable"}
FEED = [{"$set": {"_channel": ["feed:all", {"$concat": ["feed:", "$ns.coll"]}]}}]


def watchers(database: str) -> dict[str, Any]:
    """One per mode on a collection each, and one of the whole database beside them."""
    by_mode = {
        mode: {"watch": f"{database}.{mode}", "channel": f"{mode}:{{room}}", "mode": mode}
        for mode in MODES
    }
    feed = {"watch": database, "pipelines": FEED, "channel": "feed:*", "mode": "patch", **IMAGES}
    return {**by_mode, "feed": feed}


def channel_of(mode: str, room: str) -> str:
    return f"{mode}:" + "".join(quote(c, safe="") if c in "%:*, " else c for c in room)


ROOM_CHANNELS = [channel_of(mode, room) for mode in MODES for room in ROOMS]
FEED_CHANNELS = ["feed:all", *(f"feed:{mode}" for mode in MODES)]


def channel_sets(seed: int) -> Iterator[list[str]]:
    """What each client listens to: everything, one channel, or a mix over watchers."""
    pick = random.Random(seed)
    yield ROOM_CHANNELS + FEED_CHANNELS
    yield ROOM_CHANNELS
    yield FEED_CHANNELS
    for number in range(CLIENTS - 3):
        mixed = ROOM_CHANNELS if number % 4 else ROOM_CHANNELS + FEED_CHANNELS
        yield pick.sample(mixed, 1 + number % 4)


class Crowd:
    """Thirty clients from one position on, cutting their connections at random."""

    def __init__(self, bridges: list[BridgeProcess], since: str, seed: int) -> None:
        self.clients = [
            _client(bridges, number, channels, since, seed)
            for number, channels in enumerate(channel_sets(seed))
        ]

    async def all_have_the_end(self) -> None:
        async with asyncio.TaskGroup() as group:
            for client in self.clients:
                group.create_task(client.until(has_the_end, limit=60))


def _client(
    bridges: list[BridgeProcess], number: int, channels: list[str], since: str, seed: int
) -> SseClient:
    """One of two is an event stream, the other a WebSocket."""
    kind, witness = (SseClient, Witness) if number % 2 else (WsClient, SocketWitness)
    return kind(
        urls=lambda: [process.url for process in bridges],
        witness=witness(channels=channels, since=since),  # type: ignore[arg-type]
        drops=None if number % 10 > 7 else (1, 150 if number % 3 else 1500),
        seed=seed + number,
    )


def has_the_end(witness: Witness) -> bool:
    return all(
        sum(str(message["key"]) == f"end:{name}" for message in witness.messages[name][-40:])
        == (len(MODES) if name == "feed:all" else 1)
        for name in witness.channels
    )


async def write_the_end(database: Database) -> None:
    """A last document on every channel; on that of all collections one of each."""
    for mode in MODES:
        for room in ROOMS:
            end = {"_id": f"end:{channel_of(mode, room)}", "room": room}
            await through_faults(lambda m=mode, e=end: database[m].insert_one(e))
        for feed in ("feed:all", f"feed:{mode}"):
            end = {"_id": f"end:{feed}", "mode": mode}
            await through_faults(lambda m=mode, e=end: _replaced(database, m, e))


async def _replaced(database: Database, mode: str, document: dict[str, Any]) -> None:
    await database[mode].replace_one({"_id": document["_id"]}, document, upsert=True)


ENDS = len(MODES) * (len(ROOMS) + 2)


async def stored(database: Database) -> dict[str, dict[str, str]]:
    """Channel -> name of a document -> its JSON, from the database itself."""
    found: dict[str, dict[str, str]] = {name: {} for name in ROOM_CHANNELS + FEED_CHANNELS}
    for mode in MODES:
        async for document in database[mode].find():
            text, key = canonical(plain(document)), plain(document["_id"])
            if document.get("room") in ROOMS:
                found[channel_of(mode, document["room"])][name_of({"key": key})] = text
            name = name_of({"key": key, "ns": {"coll": mode}})
            found["feed:all"][name] = found[f"feed:{mode}"][name] = text
    return found


async def due(database: Database, since: str) -> dict[str, list[Due]]:
    """Channel -> every message that it is due."""
    changes = await changes_since(database, since, last=ENDS)
    assert len(changes) >= 5_000
    messages = due_by_pipeline(changes, lambda c: ["feed:all", f"feed:{c['ns']['coll']}"])
    for mode in MODES:
        own = [change for change in changes if change["ns"]["coll"] == mode]
        messages |= due_by_template(own, partial(routed, mode))
    return messages


def routed(mode: str, document: Any) -> str | None:
    room = (document or {}).get("room")
    return channel_of(mode, room) if isinstance(room, str) and room else None


async def converge(
    database: Database,
    bridges: list[BridgeProcess],
    *,
    seed: int,
    seconds: float = 3.0,
    trouble: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Writes with trouble in between, and compares every client with the database."""
    since = await now(database)
    crowd = Crowd(bridges, since, seed)
    traffic = Traffic(database=database, names=MODES, count=WRITES, seconds=seconds, seed=seed)
    async with AsyncExitStack() as connections:
        for client in crowd.clients:
            await connections.enter_async_context(client)
        async with asyncio.TaskGroup() as group:
            group.create_task(traffic.run())
            if trouble is not None:
                group.create_task(_run(trouble))
        await write_the_end(database)
        await crowd.all_have_the_end()
    compare(crowd, await stored(database), await due(database, since))


async def _run(trouble: Callable[[], Awaitable[None]]) -> None:
    await trouble()


def compare(
    crowd: Crowd, documents: dict[str, dict[str, str]], messages: dict[str, list[Due]]
) -> None:
    for client in crowd.clients:
        witness = client.witness
        for name in witness.channels:
            seen = [Due(m["id"][9:], m["op"]) for m in witness.messages[name]]
            assert seen == messages[name], first_difference(name, seen, messages[name])
            held = {k: canonical(d) for k, d in witness.replicas[name].documents.items()}
            assert held == documents[name], name
    assert sum(client.witness.connections for client in crowd.clients) > 2 * CLIENTS


def first_difference(name: str, seen: list[Due], wanted: list[Due]) -> str:
    for number, (one, other) in enumerate(zip(seen, wanted, strict=False)):
        if one != other:
            return f"{name}, message {number} of {len(wanted)}: {one} instead of {other}"
    return f"{name}: {len(seen)} messages instead of {len(wanted)}"


async def test_clients_that_drop_and_resume_end_equal_to_the_database(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, *MODES)
    process = await bridge(watchers(database.name)).start()
    await converge(database, [process], seed=1)


async def test_clients_end_equal_through_crashes_of_the_bridge(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, *MODES)
    process = await bridge(watchers(database.name)).start()

    async def crash_often() -> None:
        for pause in (0.8, 0.3, 1.2):
            await asyncio.sleep(pause)
            process.kill()
            await process.start(ready=False)

    await converge(database, [process], seed=2, trouble=crash_often)


async def test_clients_that_use_two_replicas_in_turn_end_equal(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, *MODES)
    replicas = [await bridge(watchers(database.name)).start() for _ in range(2)]
    await converge(database, replicas, seed=3)


@pytest.fixture
async def own_database(tmp_path: Path) -> Any:
    with Mongod(directory=tmp_path / "mongod") as own:
        async with AsyncMongoClient[dict[str, Any]](own.uri, tz_aware=True) as client:
            yield own, client["app"]


async def test_clients_end_equal_through_a_crash_of_mongod(
    own_database: tuple[Mongod, Database], bridge: MakeBridge
) -> None:
    own, database = own_database
    await create_with_images(database, *MODES)
    process = await bridge(watchers("app"), uri=own.uri).start()

    async def crash() -> None:
        await asyncio.sleep(1)
        await asyncio.to_thread(own.kill)
        await asyncio.to_thread(own.start)

    await converge(database, [process], seed=4, trouble=crash)
