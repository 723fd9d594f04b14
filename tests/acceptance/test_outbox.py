"""Outboxes: messages that the application writes itself, in the transaction of its data."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import MakeBridge
from tests.acceptance.oracle import changes_since
from tests.acceptance.rooms import metric
from tests.acceptance.traffic import Database, create_with_images, now


def is_end(message: dict[str, Any]) -> bool:
    return "end:" in (message.get("key"), message.get("data"))


async def messages_of(process: BridgeProcess, channel: str, since: str) -> list[dict[str, Any]]:
    """All messages of a channel after a cursor, up to the end mark."""
    path = channel.replace(":", "%3A")
    found: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            asked = {"since": since, "limit": "1000", "wait": "1"}
            async with session.get(
                f"{process.url}/channels/{path}/history", params=asked
            ) as answer:
                assert answer.status == 200, await answer.text()
                page = await answer.json()
            found += page["messages"]
            if found and is_end(found[-1]):
                return found
            since = page["cursor"]


async def test_outbox_messages_stand_in_commit_order_with_the_data(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "docs")
    await database.create_collection("outbox")
    watcher = {"watch": database.name, "channel": "room:{room}", "outbox": "outbox"}
    process = await bridge({"all": watcher}).start()
    since = await now(database)
    docs, outbox = database["docs"], database["outbox"]

    async def order(number: int) -> None:
        async def write(session: Any) -> None:
            await docs.insert_one({"_id": number, "room": "a"}, session=session)
            letter = {"_id": f"o{number}", "channel": "room:a", "name": "made", "data": number}
            await outbox.insert_one(letter, session=session)
            await docs.update_one({"_id": number}, {"$set": {"n": 1}}, session=session)
            if number % 2:
                await outbox.delete_one({"_id": f"o{number}"}, session=session)

        async with database.client.start_session() as session:
            await session.with_transaction(write)

    async def plainly() -> None:
        for number in range(60):
            await docs.insert_one({"_id": f"p{number}", "room": "a"})
            letter = {"_id": f"q{number}", "channel": "room:a", "name": "plain", "data": number}
            await outbox.insert_one(letter)

    await asyncio.gather(plainly(), *(order(number) for number in range(60)))
    await docs.insert_one({"_id": "end:", "room": "a"})
    seen = await messages_of(process, "room:a", since)
    changes = await changes_since(database, since, last=1)
    assert [(m["type"], m.get("data", m.get("key"))) for m in seen] == [
        ("event", c["fullDocument"]["data"])
        if c["ns"]["coll"] == "outbox"
        else ("change", c["documentKey"]["_id"])
        for c in changes
        if c["operationType"] != "delete"
    ]
    assert_transactions_are_together(seen, 60)


def assert_transactions_are_together(seen: list[dict[str, Any]], number: int) -> None:
    together: dict[str, list[dict[str, Any]]] = {}
    for message in seen:
        if "txn" in message:
            together.setdefault(message["txn"]["id"], []).append(message)
    assert len(together) == number
    for group in together.values():
        assert [m["type"] for m in group] == ["change", "event", "change"]
        assert [m["txn"]["index"] for m in group] == [0, 1, 2]
        assert len({m["id"][9:25] for m in group}) == 1, "one instant"
        at = seen.index(group[0])
        assert seen[at : at + 3] == group, "nothing in between"


async def test_an_outbox_of_its_own_sends_what_is_inserted_and_skips_what_is_faulty(
    database: Database, bridge: MakeBridge
) -> None:
    outbox = database["outbox"]
    await outbox.create_index("at", expireAfterSeconds=0)
    watcher = {"watch": f"{database.name}.outbox", "channel": "events:*", "outbox": True}
    process = await bridge({"events": watcher}).start()
    since = await now(database)
    await outbox.insert_one({"channel": "events:a", "name": "plain", "data": {"n": 1}})
    faulty: dict[str, dict[str, Any]] = {
        "faulty-channel": {"channel": "elsewhere:a", "name": "x"},
        "faulty-name": {"channel": "events:a", "name": 7},
        "faulty-everything": {"some": "document"},
    }
    for key, document in faulty.items():
        await outbox.insert_one({"_id": key, **document})
    async with database.client.start_session() as session, await session.start_transaction():
        letter = {"channel": "events:a", "name": "passing", "mutationId": "m", "headers": {"h": 1}}
        made = await outbox.insert_one(letter, session=session)
        await outbox.delete_one({"_id": made.inserted_id}, session=session)
    gone = {"channel": "events:a", "name": "ttl", "rejected": True, "at": datetime.now(UTC)}
    await outbox.insert_one({"_id": "ttl", **gone})
    async with asyncio.timeout(15):
        while await outbox.find_one({"_id": "ttl"}):
            await asyncio.sleep(0.1)
    await outbox.insert_one({"channel": "events:a", "name": "last", "data": "end:"})
    seen = await messages_of(process, "events:a", since)
    assert [m["name"] for m in seen] == ["plain", "passing", "ttl", "last"]
    assert {m["type"] for m in seen} == {"event"}
    assert seen[0]["data"] == {"n": 1}
    assert (seen[1]["mutationId"], seen[1]["headers"], seen[1]["data"]) == ("m", {"h": 1}, None)
    assert "txn" in seen[1]
    assert [m.get("rejected") for m in seen] == [None, None, True, None]
    assert await metric(process, "bridge_refused_changes_total") == len(faulty)
    assert all(process.log.count(key) == 1 for key in faulty), process.log
