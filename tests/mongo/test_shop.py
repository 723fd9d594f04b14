"""The demo's writer against a real mongod: its own memory and the database stay equal."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
from bson import ObjectId, Timestamp
from pymongo import AsyncMongoClient

from bridge.demo.mongod import Mongod
from bridge.demo.shop import COLLECTION, DATABASE, Shop
from bridge.events import Document


@pytest.fixture
async def client(mongod: Mongod) -> AsyncIterator[AsyncMongoClient[Document]]:
    async with AsyncMongoClient[Document](mongod.uri, tz_aware=True) as client:
        yield client
        await client.drop_database(DATABASE)


async def test_all_orders_follow_from_the_changes_after_its_start(
    mongod: Mongod, client: AsyncMongoClient[Document]
) -> None:
    collection = client[DATABASE][COLLECTION]
    async with Shop(uri=mongod.uri, seed=1) as shop:
        since = await shop.open()
        ops = Counter([(await shop.step()).op for _ in range(150)])

    start = Timestamp(int(since[:8], 16), int(since[8:], 16) + 1)
    seen: Counter[str] = Counter()
    orders: dict[ObjectId, Document] = {}
    async with await collection.watch(
        start_at_operation_time=start,
        full_document="required",
        full_document_before_change="whenAvailable",
    ) as changes:
        while sum(seen.values()) < 150:
            change = await changes.next()
            seen[change["operationType"]] += 1
            key = change["documentKey"]["_id"]
            assert change.get("fullDocumentBeforeChange") == orders.pop(key, None)
            if change["operationType"] != "delete":
                orders[key] = change["fullDocument"]

    assert seen == ops
    assert min(ops["insert"], ops["update"], ops["delete"]) > 0
    assert orders == {order["_id"]: order async for order in collection.find()}


async def test_opening_it_again_starts_from_an_empty_collection(
    mongod: Mongod, client: AsyncMongoClient[Document]
) -> None:
    async with Shop(uri=mongod.uri, seed=1) as shop:
        first = await shop.open()
        await shop.step()
        second = await shop.open()
    assert second > first
    assert await client[DATABASE][COLLECTION].count_documents({}) == 0
