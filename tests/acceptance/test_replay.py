"""Resuming: every message after the cursor, once, in order; or a plain word that it is lost."""

import asyncio
import random
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import aiohttp
import pytest
from pymongo import InsertOne, UpdateOne

from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import MakeBridge
from tests.acceptance.plain_json import canonical, plain
from tests.acceptance.replica import name_of
from tests.acceptance.sse_client import SseClient, follow
from tests.acceptance.traffic import Database, bare, create_with_images, now
from tests.acceptance.witness import Witness, parts_of

SMALL_MEMORY = {"history": {"window": 1, "max_messages": 20}}
UNKNOWN = {"unknown_cursor"}


def items(database: Database, **more: Any) -> dict[str, Any]:
    return {"watch": f"{database.name}.items", "channel": "items:{room}", "mode": "patch", **more}


def notes(database: Database, **more: Any) -> dict[str, Any]:
    return {"watch": f"{database.name}.notes", "channel": "notes:{room}", "mode": "full", **more}


def both(database: Database) -> dict[str, Any]:
    return {"items": items(database), "notes": notes(database)}


async def write(database: Database, name: str, first: int, count: int) -> None:
    """Inserts in two rooms, each with an update."""
    documents: list[dict[str, Any]] = [
        {"_id": n, "room": "ab"[n % 2], "n": 0} for n in range(first, first + count)
    ]
    inserts: list[Any] = [InsertOne(document) for document in documents]
    updates = [UpdateOne({"_id": d["_id"]}, {"$set": {"n": d["_id"] + 1}}) for d in documents]
    await database[name].bulk_write(inserts + updates)


def count_of(channel: str, count: int) -> Any:
    return lambda witness: len(witness.messages[channel]) >= count


async def reading(process: BridgeProcess, channels: list[str], since: str, count: int) -> Witness:
    """What a client has seen once it has so many messages on each channel."""
    client = SseClient(urls=lambda: [process.url], witness=Witness(channels=channels, since=since))
    async with client:
        for channel in channels:
            await client.until(count_of(channel, count))
    return client.witness


async def test_thirty_clients_resume_below_memory_at_once_while_writes_go_on(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items", "notes")
    process = await bridge(both(database), **SMALL_MEMORY).start()
    channels = ["items:a", "items:b", "notes:a"]
    since = await now(database)
    await write(database, "items", 0, 1000)
    await write(database, "notes", 0, 1000)
    first = await reading(process, channels, since, 1000)
    await asyncio.sleep(1.5)
    pick = random.Random(5)
    starts = [since] * 5 + [cursor_inside(first, channels, pick) for _ in range(25)]
    clients = [
        SseClient(
            urls=lambda: [process.url], witness=Witness(channels=channels, since=start, whole=False)
        )
        for start in starts
    ]
    async with AsyncExitStack() as stack:
        for client in clients:
            await stack.enter_async_context(client)
        await write(database, "items", 1000, 200)
        await write(database, "notes", 1000, 200)
        for client in clients:
            await client.until(lambda w: all(has_last(w, c) for c in channels))
    everything = await reading(process, channels, since, 1200)
    for start, client in zip(starts, clients, strict=True):
        for channel in channels:
            due = [m for m in everything.messages[channel] if is_after(start, m["id"])]
            assert client.witness.messages[channel] == due


def cursor_inside(witness: Witness, channels: list[str], pick: random.Random) -> str:
    """A cursor with one part per watcher, each somewhere in what was seen."""
    by_tag = {pick.choice(witness.ids(name))[:8]: name for name in channels}
    return ".".join(pick.choice(witness.ids(name)) for name in by_tag.values())


def is_after(cursor: str, identity: str) -> bool:
    tag, _, where = identity.partition("-")
    return where > (parts_of(cursor)[tag] if "-" in cursor else cursor + "ffffff")


def has_last(witness: Witness, channel: str) -> bool:
    last = 1198 if channel.endswith("a") else 1199
    seen = witness.messages[channel]
    return bool(seen) and (seen[-1]["key"], seen[-1]["op"]) == (last, "update")


NO_CURSORS = [
    "x",
    "12345",
    "0123456789ABCDEF",
    "01234567-",
    "01234567-0123456789abcdef",
    "0123456-0123456789abcdef000010",
    "01234567-0123456789abcdef000010.",
    "01234567-0123456789abcdef000010.01234567-0123456789abcdef000010",
    "f" * 16,
    "7fffffff00000001000010",
]


async def test_what_is_no_cursor_or_lies_in_the_future_is_refused(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    url = (await bridge({"items": items(database)}).start()).url
    refused = dict.fromkeys(NO_CURSORS, (400, "bad_cursor"))
    for path in ("/sse?channel=items:a&since=", "/channels/items:a/history?since="):
        assert {cursor: await problem(url + path + cursor) for cursor in refused} == refused
    for cursor, answer in refused.items():
        headers = {"Last-Event-ID": cursor}
        assert await problem(f"{url}/sse?channel=items:a", headers=headers) == answer


async def problem(url: str, **more: Any) -> tuple[int, str]:
    """Status and code of an answer that must be a problem."""
    async with aiohttp.ClientSession() as session, session.get(url, **more) as answer:
        assert answer.content_type == "application/problem+json", await answer.text()
        body = await answer.json()
        assert body.keys() >= {"type", "title", "status", "detail", "code"}
        assert body["status"] == answer.status
        return answer.status, body["code"]


@pytest.mark.parametrize(
    "cursor",
    ["01234567-6553f10000000001000010", "{tag}-7fffffff00000001000010"],
    ids=["foreign tag", "own tag, in the future"],
)
async def test_a_cursor_of_nobody_here_is_told_so_and_goes_on(
    cursor: str, database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    process = await bridge({"items": items(database)}).start()
    since = cursor.format(tag=await tag_of(process, "items:a"))
    async with follow(process.url, "items:a", "items:b", since=since, resyncs=UNKNOWN) as client:
        client.witness.place = {}
        await client.live()
        assert [(r.channel, r.reason) for r in client.witness.resyncs] == [
            ("items:a", "unknown_cursor"),
            ("items:b", "unknown_cursor"),
        ]
        await write(database, "items", 0, 2)
        await client.until(count_of("items:a", 2))
    lost = await problem(f"{process.url}/channels/items:a/history?since={since}")
    assert lost == (410, "history_lost")


async def tag_of(process: BridgeProcess, channel: str) -> str:
    async with follow(process.url, channel) as client:
        await client.live()
    return next(iter(client.witness.place))


async def test_only_the_watcher_whose_part_is_missing_is_lost(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items", "notes")
    process = await bridge(both(database)).start()
    tag = await tag_of(process, "items:a")
    since = f"{tag}-{await now(database)}ffffff.01234567-6553f10000000001000010"
    await write(database, "items", 0, 20)
    await write(database, "notes", 0, 20)
    channels = ["items:a", "notes:a"]
    async with follow(process.url, *channels, since=since, resyncs=UNKNOWN) as client:
        await client.live()
        await write(database, "notes", 20, 2)
        await client.until(lambda w: keys(w, "notes:a")[-2:] == [20, 20])
        await client.until(count_of("items:a", 20))
    (resync,) = client.witness.resyncs
    assert (resync.channel, resync.reason) == ("notes:a", "unknown_cursor")
    assert all(is_after(resync.cursor, identity) for identity in client.witness.ids("notes:a"))
    again = keys(client.witness, "items:a")
    assert again == [*range(0, 20, 2), *range(0, 20, 2)]


async def test_a_change_of_one_watcher_leaves_the_other_exact(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items", "notes")
    process = await bridge(both(database)).start()
    channels = ["items:a", "notes:a"]
    async with follow(process.url, *channels) as before:
        await before.live()
        await write(database, "items", 0, 10)
        await write(database, "notes", 0, 10)
        await before.until(count_of("items:a", 10))
        await before.until(count_of("notes:a", 10))
    await process.stop()
    await write(database, "items", 10, 10)
    await write(database, "notes", 10, 10)
    stage = {"$match": {"operationType": {"$in": ["insert", "update"]}}}
    changed = bridge({"items": items(database), "notes": notes(database, pipelines=[stage])})
    await changed.start()
    since = before.witness.cursor
    async with follow(changed.url, *channels, since=since, resyncs=UNKNOWN) as after:
        await after.until(count_of("items:a", 10))
        await after.live()
    assert [resync.channel for resync in after.witness.resyncs] == ["notes:a"]
    assert after.witness.messages["notes:a"] == []
    ids = before.witness.ids("items:a") + after.witness.ids("items:a")
    everything = await reading(changed, ["items:a"], "6553f10000000001", 20)
    assert ids == everything.ids("items:a")


async def snapshot(database: Database) -> tuple[str, list[dict[str, Any]]]:
    """The documents of room a, and the position at which they were that."""
    reply = await database.command(
        {"find": "items", "filter": {"room": "a"}, "batchSize": 10_000},
        readConcern={"level": "snapshot"},
    )
    return bare(reply["cursor"]["atClusterTime"]), reply["cursor"]["firstBatch"]


async def test_a_snapshot_and_the_messages_after_it_make_the_database(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    process = await bridge({"items": items(database)}).start()
    channel, clients = "items:a", []
    writers = [asyncio.create_task(write_slowly(database, 1000 * number)) for number in range(1, 5)]
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await asyncio.sleep(0.3)
            since, documents = await snapshot(database)
            witness = Witness(channels=[channel], since=since)
            for document in plain(documents):
                name = name_of({"key": document["_id"]})
                witness.replicas[channel].documents[name] = document
            clients.append(SseClient(urls=lambda: [process.url], witness=witness))
            await stack.enter_async_context(clients[-1])
        await asyncio.gather(*writers)
        await database["items"].insert_one({"_id": "end", "room": "a"})
        for client in clients:
            await client.until(lambda w: any(m["key"] == "end" for m in w.messages[channel]))
    stored = {
        name_of({"key": document["_id"]}): canonical(plain(document))
        async for document in database["items"].find({"room": "a"})
    }
    for client in clients:
        held = client.witness.replicas[channel].documents
        assert {name: canonical(document) for name, document in held.items()} == stored


async def write_slowly(database: Database, first: int) -> None:
    for place in range(100):
        await write(database, "items", first + 6 * place, 6)
        await database["items"].delete_one({"_id": first + 6 * place})


async def test_the_time_of_an_own_write_stands_exactly_after_it(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    process = await bridge({"items": items(database)}).start()
    noise = asyncio.create_task(write_slowly(database, 1000))
    for number in range(3):
        async with database.client.start_session() as session:
            own = {"_id": f"own {number}", "room": "a"}
            await database["items"].insert_one(own, session=session)
            assert session.operation_time is not None
            since = bare(session.operation_time)
        await database["items"].insert_one({"_id": f"next {number}", "room": "a"})
        async with follow(process.url, "items:a", since=since) as client:
            await client.until(partial(has_key, f"next {number}"))
        assert f"own {number}" not in keys(client.witness, "items:a")
    await noise


def has_key(key: str, witness: Witness) -> bool:
    return key in keys(witness, "items:a")


def keys(witness: Witness, channel: str) -> list[Any]:
    return [message["key"] for message in witness.messages[channel]]
