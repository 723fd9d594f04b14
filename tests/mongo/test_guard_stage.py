"""The stages as they are really sent, on a real change stream."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure

from bridge.demo.mongod import Mongod
from bridge.pipelines import GUARD_LIMIT, TOO_LARGE, Stage, load_stages, prepare

EXAMPLES = Path(__file__).parents[2] / "pipelines"
MEGABYTE = 1_000_000
IMAGES = {"full_document": "whenAvailable", "full_document_before_change": "whenAvailable"}

Document = dict[str, Any]
Writes = Callable[[AsyncCollection[Document]], Awaitable[Any]]


@dataclass(frozen=True)
class Stream:
    """A collection with images, and what a change stream over it shows of some writes."""

    collection: AsyncCollection[Document]

    async def shows(
        self, stages: Sequence[Stage], writes: Writes, *, count: int, **options: Any
    ) -> list[Document]:
        async with await self.collection.watch(stages, **(options or IMAGES)) as stream:
            await writes(self.collection)
            return [await stream.next() for _ in range(count)]


@pytest.fixture
async def stream(mongod: Mongod, database_name: str) -> AsyncIterator[Stream]:
    async with AsyncMongoClient[Document](mongod.uri) as client:
        database = client[database_name]
        images = {"enabled": True}
        yield Stream(await database.create_collection("c", changeStreamPreAndPostImages=images))
        await client.drop_database(database_name)


def example(name: str) -> tuple[Stage, ...]:
    return load_stages(EXAMPLES, [name], watcher="w")


async def grow_past_the_limit(collection: AsyncCollection[Document]) -> None:
    """An 8 MB document gets a 10 MB field: with both images far more than 16 MB."""
    document = {"_id": 1, "team": "red", "owner": {"id": "ann", "age": 4}, "tags": [{"a": 1}]}
    await collection.insert_one(document | {"text": "x" * (8 * MEGABYTE)})
    await collection.update_one({"_id": 1}, {"$set": {"text": "y" * (10 * MEGABYTE)}})


async def test_without_the_guard_mongodb_cannot_send_such_a_change(stream: Stream) -> None:
    with pytest.raises(OperationFailure) as caught:
        await stream.shows([], grow_past_the_limit, count=2)

    assert caught.value.code == 10334


async def test_a_change_too_large_arrives_with_only_its_key_and_routing_fields(
    stream: Stream,
) -> None:
    keep = ["team", "owner.id", "absent", "lost.id", "tags.a", "_id"]

    inserted, updated = await stream.shows(prepare([], keep), grow_past_the_limit, count=2)

    assert len(inserted["fullDocument"]["text"]) == 8 * MEGABYTE
    assert TOO_LARGE not in inserted
    reduced = {"_id": 1, "team": "red", "owner": {"id": "ann"}}
    assert updated["fullDocument"] == updated["fullDocumentBeforeChange"] == reduced
    assert "updateDescription" not in updated
    assert updated[TOO_LARGE] is True
    assert updated["documentKey"] == {"_id": 1}


async def test_what_the_pipeline_set_survives_the_guard(stream: Stream) -> None:
    stages = prepare([{"$set": {"_channel": ["a", "b"], "_headers": {"n": 1}}}], [])

    _, updated = await stream.shows(stages, grow_past_the_limit, count=2)

    assert updated["fullDocument"] == {"_id": 1}
    assert (updated["_channel"], updated["_headers"]) == (["a", "b"], {"n": 1})


async def test_changes_of_usual_size_pass_the_guard_as_they_are(stream: Stream) -> None:
    async def writes(collection: AsyncCollection[Document]) -> None:
        await collection.insert_one({"_id": 1, "a": None, "b": {}})
        await collection.update_one({"_id": 1}, {"$set": {"a": 1}})
        await collection.replace_one({"_id": 1}, {"a": 2})
        await collection.delete_one({"_id": 1})
        await collection.drop()

    plain = await stream.shows([], writes, count=6)
    images = {"enabled": True}
    await stream.collection.database.create_collection("c", changeStreamPreAndPostImages=images)
    guarded = await stream.shows(prepare([], ["a"]), writes, count=6)

    moving = ("_id", "clusterTime", "wallTime")
    assert [{k: v for k, v in change.items() if k not in moving} for change in guarded] == [
        {k: v for k, v in change.items() if k not in moving} for change in plain
    ]


async def test_a_looked_up_document_that_is_gone_stays_null(stream: Stream) -> None:
    async def writes(collection: AsyncCollection[Document]) -> None:
        await collection.insert_one({"_id": 1})
        await collection.update_one({"_id": 1}, {"$set": {"a": 1}})
        await collection.delete_one({"_id": 1})

    _, updated, deleted = await stream.shows(
        prepare([], ["a"]), writes, count=3, full_document="updateLookup"
    )

    assert updated["fullDocument"] is None
    assert "fullDocument" not in deleted


@pytest.mark.parametrize(("size", "large"), [(GUARD_LIMIT - 1, None), (GUARD_LIMIT + 1, True)])
async def test_the_guard_counts_bytes_of_bson(
    stream: Stream, size: int, large: bool | None
) -> None:
    # {_id: 1, t: "…"} takes 22 bytes beside the text.
    async def writes(collection: AsyncCollection[Document]) -> None:
        await collection.insert_one({"_id": 1, "t": "x" * (size - 22)})

    (change,) = await stream.shows(prepare([], []), writes, count=1)

    assert change.get(TOO_LARGE) is large


async def test_a_match_that_rejects_them_still_shows_drop_and_invalidate(stream: Stream) -> None:
    async def writes(collection: AsyncCollection[Document]) -> None:
        await collection.insert_one({"_id": 1})
        await collection.update_one({"_id": 1}, {"$set": {"a": 1}})
        await collection.drop()

    stages = prepare([{"$match": {"operationType": "update"}}], [])

    changes = await stream.shows(stages, writes, count=3)

    assert [change["operationType"] for change in changes] == ["update", "drop", "invalidate"]


async def test_hide_internal_shows_the_field_nowhere(stream: Stream) -> None:
    async def writes(collection: AsyncCollection[Document]) -> None:
        await collection.insert_one({"_id": 1, "_internal": {"n": 1, "l": [1, 2]}, "l": [1, 2]})
        await collection.update_one({"_id": 1}, {"$set": {"_internal.n": 2}})
        await collection.update_one({"_id": 1}, {"$set": {"_internal.n": 3, "a": 1, "o": {}}})
        await collection.update_one({"_id": 1}, {"$set": {"o.x.y": 1, "_internalized": 1}})
        await collection.update_one({"_id": 1}, {"$unset": {"_internal": 1, "a": 1}})
        await collection.delete_one({"_id": 1})

    changes = await stream.shows(prepare(example("hide-internal"), []), writes, count=5)

    assert [change["operationType"] for change in changes] == [
        *("insert", "update", "update", "update", "delete")
    ]
    images = [c.get(i, {}) for c in changes for i in ("fullDocument", "fullDocumentBeforeChange")]
    assert not any("_internal" in image for image in images)
    descriptions = [change.get("updateDescription") for change in changes]
    assert descriptions == [
        None,
        {"updatedFields": {"a": 1, "o": {}}, "removedFields": [], "truncatedArrays": []},
        {
            "updatedFields": {"_internalized": 1, "o.x": {"y": 1}},
            "removedFields": [],
            "truncatedArrays": [],
        },
        {"updatedFields": {}, "removedFields": ["a"], "truncatedArrays": []},
        None,
    ]
    assert "fullDocument" not in changes[-1]


async def test_only_published_shows_nothing_of_a_document_that_is_not(stream: Stream) -> None:
    async def writes(collection: AsyncCollection[Document]) -> None:
        await collection.insert_one({"_id": 1, "t": "draft"})
        await collection.update_one({"_id": 1}, {"$set": {"t": "done", "published": True}})
        await collection.update_one({"_id": 1}, {"$set": {"t": "better"}})
        await collection.update_one({"_id": 1}, {"$set": {"t": "secret", "published": False}})
        await collection.update_one({"_id": 1}, {"$set": {"published": True}})
        await collection.delete_one({"_id": 1})

    published, bettered, withdrawn, again, deleted = await stream.shows(
        prepare(example("only-published"), []), writes, count=5
    )

    assert published["fullDocumentBeforeChange"] == withdrawn["fullDocument"] == {"_id": 1}
    assert published["fullDocument"] == {"_id": 1, "t": "done", "published": True}
    assert bettered["updateDescription"]["updatedFields"] == {"t": "better"}
    assert "updateDescription" not in withdrawn
    assert again["fullDocumentBeforeChange"] == {"_id": 1}
    assert "fullDocument" not in deleted
    assert deleted["fullDocumentBeforeChange"]["t"] == "secret"


async def test_fan_out_members_names_a_channel_for_each_member(stream: Stream) -> None:
    async def writes(collection: AsyncCollection[Document]) -> None:
        await collection.insert_one({"_id": 1, "members": ["ann", "a:b", 7, "*", "bob"]})
        await collection.update_one({"_id": 1}, {"$set": {"members": ["cid"]}})
        await collection.update_one({"_id": 1}, {"$unset": {"members": 1}})
        await collection.update_one({"_id": 1}, {"$set": {"members": ["dot"]}})
        await collection.delete_one({"_id": 1})

    stages = prepare(example("fan-out-members"), ["members"])

    changes = await stream.shows(stages, writes, count=5)

    assert [change["_channel"] for change in changes] == [
        *(["c:ann", "c:bob"], ["c:cid"], [], ["c:dot"], ["c:dot"])
    ]
