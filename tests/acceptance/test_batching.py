"""Batches and conflation: whatever is collected or left out, clients end up the same."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from tests.acceptance.conftest import MakeBridge
from tests.acceptance.rooms import has_the_end, stored, write_the_end
from tests.acceptance.state_client import StateClient
from tests.acceptance.test_convergence import channel_of
from tests.acceptance.traffic import Database, Traffic, create_with_images, now
from tests.acceptance.workload import ROOMS

WRITES = 4_500
MODES: dict[str, Any] = {
    "patch": {"mode": "patch"},
    "delta": {"mode": "delta", "batch": {"window": 0.1, "max_messages": 7}},
    "full": {"batch": {"window": 0.05, "max_messages": 20, "conflate": True}},
}


async def test_clients_that_start_with_the_state_end_equal_however_messages_are_collected(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, *MODES)
    watchers = {
        name: {"watch": f"{database.name}.{name}", "channel": f"{name}:{{room}}", **more}
        for name, more in MODES.items()
    }
    memory = {"window": 60, "max_messages": 400}
    replicas = [await bridge(watchers, history=memory).start() for _ in range(2)]
    traffic = Traffic(database=database, names=[*MODES], count=WRITES, seconds=3.0, seed=7)
    channels = [channel_of(name, room) for name in MODES for room in ROOMS]
    clients: list[StateClient] = []
    async with AsyncExitStack() as open_clients:
        writing = asyncio.create_task(traffic.run())
        for number in range(16):
            await asyncio.sleep(0.12)
            client = StateClient(
                urls=lambda: [process.url for process in replicas],
                channels=channels if number % 4 == 0 else channels[number % 12 :: 5],
                drops=None if number % 8 == 7 else (1, 120),
                conflated=lambda channel: channel.startswith("full:"),
                seed=number,
            )
            clients.append(await open_clients.enter_async_context(client))
        await writing
        for name in MODES:
            await write_the_end(database, name)
        for client in clients:
            await client.until(has_the_end, limit=30)
    documents: dict[str, dict[str, str]] = {}
    for name in MODES:
        documents |= await stored(database, name)
    for client in clients:
        assert client.resyncs == []
        for channel in client.channels:
            assert client.held(channel) == documents[channel], channel
    assert sum(client.connections for client in clients) > 60
    assert sum(client.snapshots for client in clients) >= sum(len(c.channels) for c in clients)


async def test_history_gives_batches_and_misses_nothing(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "docs")
    watcher = {"watch": f"{database.name}.docs", "channel": "docs:{room}"}
    batch = {"window": 0.2, "max_messages": 50}
    process = await bridge({"docs": {**watcher, "batch": batch}}).start()
    since = await now(database)
    cursor = since
    seen: list[Any] = []
    sizes: list[int] = []
    writing = asyncio.create_task(
        database["docs"].insert_many([{"_id": n, "room": "a"} for n in range(700)])
    )
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while len(seen) < 700:
            asked = {"since": cursor, "limit": "120", "wait": "5"}
            url = f"{process.url}/channels/docs%3Aa/history"
            async with session.get(url, params=asked) as answer:
                page = await answer.json()
            assert all(each["type"] == "batch" for each in page["messages"])
            sizes += [len(each["messages"]) for each in page["messages"]]
            seen += [m["key"] for each in page["messages"] for m in each["messages"]]
            cursor = page["cursor"]
    await writing
    assert seen == list(range(700))
    assert max(sizes) == 50
