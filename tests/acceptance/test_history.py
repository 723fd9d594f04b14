"""The history endpoint: the same messages as the stream, page by page."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import MakeBridge
from tests.acceptance.test_replay import items, problem, reading, write
from tests.acceptance.traffic import Database, create_with_images, now

MEMORIES = [{"window": 60}, {"window": 1, "max_messages": 10}]


async def page(process: BridgeProcess, **asked: Any) -> dict[str, Any]:
    """One page of history of ``items:a``."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{process.url}/channels/items%3Aa/history", params=asked) as answer,
    ):
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "application/json"
        body: dict[str, Any] = await answer.json()
        assert body.keys() == {"messages", "cursor", "complete"}
        return body


@pytest.mark.parametrize("memory", MEMORIES, ids=["in memory", "in the oplog"])
async def test_pages_make_the_same_sequence_as_the_stream(
    memory: dict[str, Any], database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    process = await bridge({"items": items(database)}, history=memory).start()
    since = await now(database)
    await write(database, "items", 0, 40)
    streamed = await reading(process, ["items:a"], since, 40)
    for limit in (1, 7, 1000):
        assert await paged(process, since, limit) == streamed.messages["items:a"]


async def paged(process: BridgeProcess, since: str, limit: int) -> list[dict[str, Any]]:
    """All messages after a cursor, asked for page by page."""
    messages: list[dict[str, Any]] = []
    while True:
        body = await page(process, since=since, limit=limit)
        assert len(body["messages"]) <= limit
        assert body["messages"] or body["complete"]
        assert body["cursor"][9:] >= since.rpartition("-")[2]
        messages += body["messages"]
        if body["complete"]:
            return messages
        since = body["cursor"]


async def test_a_long_poll_ends_with_the_first_message_or_with_its_time(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    process = await bridge({"items": items(database)}).start()
    since = await now(database)
    began = time.monotonic()
    nothing = await page(process, since=since, wait=1)
    assert 0.9 < time.monotonic() - began < 3
    assert (nothing["messages"], nothing["complete"]) == ([], True)
    poll = asyncio.create_task(page(process, since=nothing["cursor"], wait=20))
    await asyncio.sleep(0.2)
    await database["items"].insert_one({"_id": 1, "room": "b"})
    await asyncio.sleep(0.2)
    assert not poll.done()
    await database["items"].insert_one({"_id": 2, "room": "a"})
    async with asyncio.timeout(3):
        assert [message["key"] for message in (await poll)["messages"]] == [2]


WRONG = {
    "/channels/items:a/history": (400, "bad_request"),
    "/channels/items:a/history?since=6553f10000000001&limit=0": (400, "bad_request"),
    "/channels/items:a/history?since=6553f10000000001&limit=1001": (400, "bad_request"),
    "/channels/items:a/history?since=6553f10000000001&wait=61": (400, "bad_request"),
    "/channels/items:a/history?since=6553f10000000001&wait=x": (400, "bad_request"),
    "/channels/nowhere/history?since=6553f10000000001": (404, "unknown_channel"),
    "/channels/items%3Aa%20b/history?since=6553f10000000001": (404, "unknown_channel"),
    "/channels/secret:a/history?since=x": (403, "forbidden"),
    "/sse": (400, "bad_request"),
    "/sse?channel=items:a&channel=nowhere": (404, "unknown_channel"),
    "/sse?channel=nowhere&channel=secret:a&since=x": (403, "forbidden"),
    "/sse?channel=items:a&channel=nowhere&since=x": (404, "unknown_channel"),
}


async def test_a_wrong_request_is_a_problem_with_its_code(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    readable = {"anonymous": ["items:*", "nowhere"]}
    process = await bridge({"items": items(database)}, auth=readable).start()
    assert {query: await problem(process.url + query) for query in WRONG} == WRONG
