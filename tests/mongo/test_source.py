"""The source against the real mongod: numbering, endings, and events that cannot be read."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient

from bridge.demo.mongod import Mongod
from bridge.events import Change, Namespace, after_change
from bridge.mongo import Mongo
from bridge.pipelines import prepare
from bridge.source import MongoSource

Database = Any


@pytest.fixture(params=["pymongo", "motor"])
async def mongo(request: pytest.FixtureRequest, mongod: Mongod) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongod.uri, driver=request.param)
    yield mongo
    await mongo.close()


@pytest.fixture
async def database(mongod: Mongod, database_name: str) -> AsyncIterator[Database]:
    client: AsyncMongoClient[Any] = AsyncMongoClient(mongod.uri, w="majority")
    database = client[database_name]
    await database.create_collection("docs", changeStreamPreAndPostImages={"enabled": True})
    yield database
    await client.drop_database(database_name)
    await client.close()


def source_of(mongo: Mongo, database: str, coll: str = "docs", **options: Any) -> MongoSource:
    images = {"full_document": "whenAvailable", "full_document_before_change": "whenAvailable"}
    stages = options.pop("stages", prepare([], []))
    scope = Namespace(database, coll)
    return MongoSource(mongo, scope=scope, stages=stages, **images | options)


async def read(source: MongoSource, start: str, until: Any) -> list[Change]:
    """Changes from a cluster time on, up to the first one for which ``until`` holds."""
    changes: list[Change] = []
    async with aclosing(source.read(start)) as batches:
        async for batch in batches:
            for change in batch.changes:
                changes.append(change)
                if until(change):
                    return changes
    raise AssertionError("the stream ended")


def is_end(change: Change) -> bool:
    return bool(change.key == "end")


async def test_numbers_the_changes_of_a_transaction_alike_on_every_reading(
    mongo: Mongo, database: Database
) -> None:
    start = await mongo.now()
    async with database.client.start_session() as session, await session.start_transaction():
        for number in range(300):
            await database.docs.insert_one({"_id": number}, session=session)
    await database.docs.insert_one({"_id": "end"})
    source = source_of(mongo, database.name)
    first = await read(source, start, is_end)
    middle = first[150]
    again = await read(source, middle.time, is_end)
    assert [c.ordinal for c in first[:300]] == list(range(1, 301))
    assert len({c.time for c in first[:300]}) == 1
    assert [(c.time, c.ordinal, c.key) for c in again] == [
        (c.time, c.ordinal, c.key) for c in first
    ]


async def test_goes_on_after_the_collection_was_dropped_and_made_again(
    mongo: Mongo, database: Database
) -> None:
    start = await mongo.now()
    await database.docs.insert_one({"_id": 1})
    await database.docs.drop()
    await database.docs.insert_one({"_id": 2})
    await database.docs.rename("other")
    await database.docs.insert_one({"_id": "end"})
    changes = await read(source_of(mongo, database.name), start, is_end)
    ops = [c.op for c in changes]
    assert ops == ["insert", "drop", "invalidate", "insert", "rename", "invalidate", "insert"]


async def test_a_drop_that_a_pipeline_hides_is_told_all_the_same(
    mongo: Mongo, database: Database
) -> None:
    hide = {"$redact": {"$cond": [{"$in": ["$operationType", ["insert"]]}, "$$KEEP", "$$PRUNE"]}}
    start = await mongo.now()
    await database.docs.insert_one({"_id": 1})
    await database.docs.drop()
    await database.docs.insert_one({"_id": "end"})
    source = source_of(mongo, database.name, stages=prepare([hide], []))
    changes = await read(source, start, is_end)
    assert [c.op for c in changes] == ["insert", "drop", "insert"]
    positions = [after_change(c.time, c.ordinal) for c in changes]
    assert positions == sorted(positions)


async def test_steps_over_an_event_too_large_to_be_read(mongo: Mongo, database: Database) -> None:
    start = await mongo.now()
    await database.docs.insert_one({"_id": "big", "a": "x" * 8_400_000})
    await database.docs.insert_one({"_id": "before"})
    await database.docs.update_one({"_id": "big"}, {"$set": {"b": 1}})  # more than 16 MB of images
    await database.docs.insert_one({"_id": "after"})
    await database.docs.insert_one({"_id": "end"})
    unguarded = source_of(mongo, database.name, stages=[])
    changes = await read(unguarded, start, is_end)
    assert [c.key for c in changes] == ["big", "before", "big", "after", "end"]
    assert [c.withheld for c in changes] == ["", "", "too_large", "", ""]
    guarded = source_of(mongo, database.name)
    assert [(c.time, c.ordinal, c.withheld) for c in changes] == [
        (c.time, c.ordinal, c.withheld) for c in await read(guarded, start, is_end)
    ]


async def test_a_document_with_damaged_text_is_withheld_and_passed(
    mongo: Mongo, database: Database
) -> None:
    start = await mongo.now()
    damaged = bson.encode({"_id": 1, "text": "abc"}).replace(b"abc", b"a\xffc")
    await database.docs.insert_one(RawBSONDocument(damaged))
    await database.docs.insert_one({"_id": "end"})
    changes = await read(source_of(mongo, database.name), start, is_end)
    assert [(c.key, c.withheld) for c in changes] == [(1, "no_document"), ("end", "")]


async def test_documents_that_bson_cannot_read_or_takes_for_others_are_passed(
    mongo: Mongo, database: Database
) -> None:
    start = await mongo.now()
    short = bson.encode({"_id": 1, "uuid": bson.Binary(b"abc", 4)})
    await database.docs.insert_one(RawBSONDocument(short))
    reference = bson.encode({"_id": 2, "$ref": "c", "$id": 1})
    await database.command({"insert": "docs", "documents": [RawBSONDocument(reference)]})
    await database.docs.insert_one({"_id": "end"})
    changes = await read(source_of(mongo, database.name), start, is_end)
    assert [(c.key, c.withheld) for c in changes] == [(1, "no_document"), (2, ""), ("end", "")]
    assert changes[1].document == {"_id": 2, "$ref": "c", "$id": 1}


async def test_the_oldest_time_can_be_started_from(mongo: Mongo, database: Database) -> None:
    await database.docs.insert_one({"_id": "end"})
    source = source_of(mongo, database.name)
    changes = await read(source, await source.oldest(), is_end)
    assert changes[-1].key == "end"
