"""What breaks, breaks for those concerned only, is said, and passes."""

import asyncio
import json
import os
import resource
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from bson import Timestamp
from pymongo import AsyncMongoClient

from bridge.demo.mongod import Mongod
from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import MakeBridge
from tests.acceptance.sse_client import follow
from tests.acceptance.test_replay import count_of, items, keys, reading, write
from tests.acceptance.traffic import Database, bare, create_with_images, now

DROPPED = {"dropped"}
PLAIN = {"channel": "things", "mode": "full"}
MEGABYTE = 2**20


async def drop(database: Database) -> None:
    await database.drop_collection("things")


async def drop_everything(database: Database) -> None:
    await database.client.drop_database(database.name)


async def rename(database: Database) -> None:
    await database["things"].rename("elsewhere")


async def overwrite_by_rename(database: Database) -> None:
    await database["others"].insert_one({"_id": "other"})
    await database["others"].rename("things", dropTarget=True)


async def overwrite_by_out(database: Database) -> None:
    await database["others"].insert_one({"_id": "other"})
    await (await database["others"].aggregate([{"$out": "things"}])).to_list()


LOSSES = [drop, drop_everything, rename, overwrite_by_rename, overwrite_by_out]


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("scope", ["{}.things", "{}"])
async def test_a_lost_collection_is_told_and_followed_again_when_it_is_back(
    lose: Callable[[Database], Awaitable[None]], scope: str, database: Database, bridge: MakeBridge
) -> None:
    await database["things"].insert_one({"_id": 0})
    watcher = {"watch": scope.format(database.name), **PLAIN}
    process = await bridge({"things": watcher}).start()
    since = await now(database)
    async with follow(process.url, "things", since=since, resyncs=DROPPED) as client:
        await client.live()
        await database["things"].insert_one({"_id": 1})
        await client.until(count_of("things", 1))
        await lose(database)
        await client.until(lambda witness: witness.resyncs)
        await asyncio.sleep(0.3)
        await database["things"].insert_one({"_id": 2})
        await client.until(lambda witness: 2 in keys(witness, "things"))
    async with follow(process.url, "things", since=since, resyncs=DROPPED) as away:
        await away.until(lambda witness: 2 in keys(witness, "things"))
    assert away.witness.messages == client.witness.messages
    assert {resync.reason for resync in away.witness.resyncs} == DROPPED


async def test_a_match_that_rejects_the_drop_does_not_hide_it(
    database: Database, bridge: MakeBridge
) -> None:
    await database["things"].insert_one({"_id": 0})
    only = {"$match": {"operationType": {"$in": ["insert"]}}}
    watcher = {"watch": f"{database.name}.things", "pipelines": [only], **PLAIN}
    process = await bridge({"things": watcher}).start()
    async with follow(process.url, "things", resyncs=DROPPED) as client:
        await client.live()
        await drop(database)
        await client.until(lambda witness: witness.resyncs)
        await database["things"].insert_one({"_id": 2})
        await client.until(count_of("things", 1))


async def test_a_delete_that_cannot_be_routed_is_told_to_all_channels_of_its_watcher(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items", "notes")
    blind = items(database, mode="full", full_document_before_change="off")
    notes = {"watch": f"{database.name}.notes", "channel": "notes:{room}"}
    process = await bridge({"items": blind, "notes": notes}).start()
    channels = ["items:a", "items:b", "notes:a"]
    since = await now(database)
    async with follow(process.url, *channels, since=since, resyncs={"unrouted"}) as client:
        await client.live()
        await database["items"].insert_one({"_id": 1, "room": "a"})
        await database["items"].delete_one({"_id": 1})
        await database["items"].insert_one({"_id": 2, "room": "a"})
        await client.until(count_of("items:a", 2))
        await client.until(lambda witness: len(witness.resyncs) == 2)
        assert {resync.channel for resync in client.witness.resyncs} == {"items:a", "items:b"}
    async with follow(process.url, *channels, since=since, resyncs={"unrouted"}) as away:
        await away.until(count_of("items:a", 2))
    assert away.witness.resyncs == client.witness.resyncs


async def test_a_watcher_that_mongodb_refuses_leaves_the_others_alone(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    refused = {
        "watch": f"{database.name}.broken",
        "pipelines": [{"$match": {"$expr": {"$noSuchOperator": 1}}}],
        "channel": "broken",
    }
    process = await bridge({"items": items(database), "broken": refused}).start(ready=False)
    await process.wait_until_ready()
    status, body = await process.health()
    assert status == 200
    assert "broken" in body
    async with follow(process.url, "items:a") as client:
        await client.live()
        await write(database, "items", 0, 4)
        await client.until(count_of("items:a", 4))


async def test_connections_to_mongodb_that_break_lose_nothing(
    mongod: Mongod, database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    uri = f"{mongod.uri}&appName={database.name}"
    process = await bridge({"items": items(database)}, uri=uri).start()
    since = await now(database)
    failing = {"failCommands": ["getMore", "aggregate"], "appName": database.name}
    ways: list[dict[str, Any]] = [
        {"closeConnection": True},
        {"errorCode": 189},
        {"errorCode": 43},
        {"errorCode": 8},
    ]
    for number, way in enumerate(ways):
        await fail_point(database, {"times": 4}, {**failing, **way})
        await write(database, "items", 50 * number, 50)
    count = 50 * len(ways)
    witness = await reading(process, ["items:a", "items:b"], since, count)
    assert [len(kept) for kept in witness.messages.values()] == [count, count]


async def fail_point(database: Database, mode: Any, data: dict[str, Any]) -> None:
    await database.client.admin.command(
        {"configureFailPoint": "failCommand", "mode": mode, "data": data}
    )


async def test_a_termination_says_goodbye_and_ends_well(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    process = await bridge({"items": items(database)}, server={"drain": 1}).start()
    clients = [follow(process.url, "items:a") for _ in range(10)]
    async with AsyncExitStack() as stack:
        for client in clients:
            await stack.enter_async_context(client)
            await client.live()
        process.terminate()
        for client in clients:
            await client.until(lambda witness: witness.goodbyes)
        assert await process.wait(5) == 0
    for client in clients:
        (bye,) = client.witness.goodbyes
        assert (bye["code"], bye["reconnect"]) == ("shutdown", True)
        assert bye["delay"] >= 0
    assert "Traceback" not in process.log


async def test_a_second_termination_ends_it_at_once(database: Database, bridge: MakeBridge) -> None:
    await create_with_images(database, "items")
    process = await bridge({"items": items(database)}, server={"drain": 60}).start()
    async with follow(process.url, "items:a") as client:
        await client.live()
        process.terminate()
        await asyncio.sleep(0.3)
        assert process.running
        process.terminate()
        await process.wait(3)


async def test_a_document_above_the_limit_is_named_only(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    limited = {"server": {"max_message": 1000}}
    process = await bridge({"items": items(database)}, **limited).start()
    async with follow(process.url, "items:a", "items:b") as client:
        await client.live()
        await database["items"].insert_one({"_id": 1, "room": "a", "text": "x" * 2000})
        await database["items"].insert_one({"_id": 2, "room": "b"})
        await client.until(count_of("items:a", 1))
        await client.until(count_of("items:b", 1))
    (message,) = client.witness.messages["items:a"]
    assert (message["mode"], message["reason"], message["key"]) == ("ref", "too_large", 1)
    assert "document" not in message


async def test_an_event_above_16_megabytes_is_named_on_its_own_channel_only(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    process = await bridge({"items": items(database)}).start()
    since = await now(database)
    async with follow(process.url, "items:a", "items:b", since=since) as client:
        await database["items"].insert_one({"_id": 1, "room": "a", "text": "x" * 9 * MEGABYTE})
        await database["items"].insert_one({"_id": 2, "room": "b"})
        await database["items"].update_one({"_id": 1}, {"$set": {"text": "y" * 9 * MEGABYTE}})
        await database["items"].update_one({"_id": 2}, {"$set": {"n": 1}})
        await database["items"].delete_one({"_id": 1})
        await database["items"].insert_one({"_id": 3, "room": "a"})
        await client.until(count_of("items:a", 4), limit=30)
        await client.until(count_of("items:b", 2))
    seen = [(m["op"], m.get("mode"), m.get("reason")) for m in client.witness.messages["items:a"]]
    assert seen == [
        ("insert", "ref", "too_large"),
        ("update", "ref", "too_large"),
        ("delete", None, None),
        ("insert", "full", None),
    ]
    assert keys(client.witness, "items:b") == [2, 2]


async def test_a_cursor_from_before_the_oplog_is_lost_and_said_so(
    tmp_path: Path, bridge: MakeBridge
) -> None:
    small = Mongod(directory=tmp_path / "small", oplog_size=20, arguments=["--syncdelay", "1"])
    with small as own:
        async with AsyncMongoClient[dict[str, Any]](own.uri) as client:
            database = client["app"]
            await create_with_images(database, "items")
            memory = {"window": 1, "max_messages": 10}
            process = await bridge({"items": items(database)}, uri=own.uri, history=memory).start()
            since = await now(database)
            await overrun(database, since)
            await expect_loss(process, database, since)


async def overrun(database: Database, since: str) -> None:
    """Writes until the oplog no longer holds the position."""
    async with asyncio.timeout(40):
        while await oldest(database) <= since:
            filler = [{"room": "b", "text": os.urandom(50_000).hex()} for _ in range(20)]
            await database["items"].insert_many(filler)


async def oldest(database: Database) -> str:
    first = await database.client["local"]["oplog.rs"].find_one(sort=[("$natural", 1)])
    assert first is not None
    assert isinstance(first["ts"], Timestamp)
    return bare(first["ts"])


async def expect_loss(process: BridgeProcess, database: Database, since: str) -> None:
    lost = {"history_lost"}
    async with follow(process.url, "items:a", since=since, resyncs=lost) as client:
        await client.live()
        await database["items"].insert_one({"_id": "after", "room": "a"})
        await client.until(count_of("items:a", 1))
    assert [(r.channel, r.reason) for r in client.witness.resyncs] == [("items:a", "history_lost")]
    assert json.loads((await process.health())[1])


async def test_all_clients_may_come_back_at_once(database: Database, bridge: MakeBridge) -> None:
    """More at one moment than wait on any quiet day: each is connected before one has asked."""
    process = await bridge({"things": {"watch": f"{database.name}.things", **PLAIN}}).start()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    address = urlsplit(process.url)
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(2000):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            stack.callback(writer.close)
            opened.append((reader, writer))
        for _, writer in opened:
            writer.write(b"GET /sse?channel=things HTTP/1.1\r\nHost: bridge\r\n\r\n")
        async with asyncio.timeout(20):
            for reader, _ in opened:
                await reader.readuntil(b"event: live\n")
