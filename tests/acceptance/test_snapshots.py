"""Requests for the state: what is answered, what is refused, and clients that do not read."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import bson
from bson.raw_bson import RawBSONDocument

from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import MakeBridge
from tests.acceptance.replica import Replica
from tests.acceptance.state_client import StateClient
from tests.acceptance.test_replay import problem
from tests.acceptance.traffic import Database, bare, create_with_images, now

PATH = "/channels/docs%3Aa/snapshot"


def docs(database: Database, **more: Any) -> dict[str, Any]:
    return {"watch": f"{database.name}.docs", "channel": "docs:{room}", **more}


async def state(process: BridgeProcess, path: str = PATH) -> Any:
    async with aiohttp.ClientSession() as session, session.get(process.url + path) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        body = await answer.json()
    assert body.keys() == {"channel", "cursor", "documents"}
    return body


async def test_the_state_is_not_older_than_the_request(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "docs")
    process = await bridge({"docs": docs(database)}).start()
    assert (await state(process))["documents"] == []
    for number in range(10):
        await database["docs"].insert_one({"_id": number, "room": "a", "_mutationId": "m"})
        found = await state(process)
        assert found["documents"][-1] == {
            "key": number,
            "document": {"_id": number, "room": "a"},
        }
        assert len(found["documents"]) == number + 1
        assert found["cursor"][9:25] <= await now(database)


async def test_the_state_of_a_wide_watcher_says_where_each_document_lives(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "a", "b")
    for name in ("a", "b"):
        await database[name].insert_one({"_id": 1, "room": "x", "in": name})
    await database["outbox"].insert_one({"_id": 1, "room": "x"})
    watcher = {"watch": database.name, "channel": "all:{room}", "outbox": "outbox"}
    process = await bridge({"all": watcher}).start()
    found = await state(process, "/channels/all%3Ax/snapshot")
    assert found["documents"] == [
        {
            "key": 1,
            "ns": {"db": database.name, "coll": name},
            "document": {"_id": 1, "room": "x", "in": name},
        }
        for name in ("a", "b")
    ]


async def test_documents_that_cannot_be_given_harm_neither_the_others_nor_the_bridge(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "docs")
    damaged = bson.encode({"_id": 1, "room": "a", "text": "abc"}).replace(b"abc", b"a\xffc")
    await database["docs"].insert_one(RawBSONDocument(damaged))
    await database["docs"].insert_one({"_id": 2, "room": "a", "text": "x" * 2000})
    await database["docs"].insert_one({"_id": 3, "room": "a", "text": "x" * 16_000_000})
    await database["docs"].insert_one({"_id": 4, "room": "a"})
    small = {"max_message": 1000}
    process = await bridge({"docs": docs(database)}, server=small).start()
    assert (await state(process))["documents"] == [
        {"key": 1, "reason": "no_document"},
        {"key": 2, "reason": "too_large"},
        {"key": 3, "reason": "too_large"},
        {"key": 4, "document": {"_id": 4, "room": "a"}},
    ]
    assert (await process.health())[0] == 200


async def test_what_has_no_state_is_refused_before_the_stream_starts(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "docs", "more")
    watchers = {
        "docs": docs(database),
        "more": {"watch": f"{database.name}.more", "channel": "more:{room}", "snapshot": False},
        "events": {"watch": f"{database.name}.out", "channel": "events:*", "outbox": True},
    }
    process = await bridge(watchers).start()
    wrong = {
        "/channels/more%3Aa/snapshot": (404, "no_snapshot"),
        "/channels/events%3Aa/snapshot": (404, "no_snapshot"),
        "/channels/nowhere/snapshot": (404, "unknown_channel"),
        "/sse?channel=docs:a&channel=more:a&snapshot=1": (404, "no_snapshot"),
        "/sse?channel=docs:a&snapshot=yes": (400, "bad_request"),
    }
    assert {path: await problem(process.url + path) for path in wrong} == wrong


async def test_a_lost_cursor_gets_the_state_and_a_good_one_what_it_missed(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "docs")
    process = await bridge({"docs": docs(database)}).start()
    await database["docs"].insert_one({"_id": 1, "room": "a"})
    tag = (await state(process))["cursor"][:8]
    since = await now(database)
    reply = await database.command({"insert": "docs", "documents": [{"_id": 2, "room": "a"}]})
    assert since < bare(reply["operationTime"])
    kinds, held = [], []
    for cursor in ("00000000-" + since + "ffffff", f"{tag}-{since}ffffff"):
        client = StateClient(urls=lambda: [process.url], channels=["docs:a"])
        client.cursor = cursor
        client.replicas["docs:a"] = Replica(whole=False)
        async with client:
            await client.until(lambda each: "live" in each.kinds)
        kinds.append([kind for kind in client.kinds if kind != "heartbeat"])
        held.append(len(client.replicas["docs:a"].documents))
    assert held == [2, 1], "both documents, and the one that was missed"
    lost, good = kinds
    assert lost[:2] == ["ready", "snapshot"]
    assert "resync" not in lost
    assert good == ["ready", "message", "live"]


async def test_one_who_does_not_read_the_state_is_cut(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "docs")
    await database["docs"].insert_many(
        [{"_id": number, "room": "a", "text": "x" * 900_000} for number in range(40)]
    )
    process = await bridge({"docs": docs(database)}, server={"patience": 0.5}).start()
    address = urlsplit(process.url)
    assert address.hostname
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: bridge\r\n\r\n".encode())
    await asyncio.sleep(2)
    read = b""
    try:
        async with asyncio.timeout(10):
            while piece := await reader.read(1 << 20):
                read = (read + piece)[-100:]
    except ConnectionResetError:
        pass
    assert not read.endswith(b"]}\r\n0\r\n\r\n"), "it was cut before the end"
    writer.close()
    assert len((await state(process))["documents"]) == 40
    assert "Traceback" not in process.log
