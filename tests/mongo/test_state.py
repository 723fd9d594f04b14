"""The state of channels against the real mongod: exact, of one instant, and nothing but its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient

from bridge.demo.mongod import Mongod
from bridge.errors import MongoError
from bridge.events import END_OF_INSTANT, Namespace
from bridge.mongo import Mongo
from bridge.state import Portion, State
from bridge.templates import Template

Database = Any
SIMPLE = Template("t:{value}")


@pytest.fixture
async def mongo(mongod: Mongod) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongod.uri)
    yield mongo
    await mongo.close()


@pytest.fixture
async def database(mongod: Mongod, database_name: str) -> AsyncIterator[Database]:
    client: AsyncMongoClient[Any] = AsyncMongoClient(mongod.uri, w="majority")
    yield client[database_name]
    await client.drop_database(database_name)
    await client.close()


def state(mongo: Mongo, watch: str, rule: Template | None = SIMPLE, **options: Any) -> State:
    db, _, coll = watch.partition(".")
    chosen = {"stages": [], "filter": {}, "projection": None, "limit": None, **options}
    return State(mongo, scope=Namespace("" if db == "*" else db, coll), rule=rule, **chosen)


@dataclass
class Found:
    """What a reading gave, put together."""

    position: str
    keys: dict[str, list[Any]]
    documents: dict[Any, Any]
    portions: list[Portion]


async def read(of: State, *channels: str) -> Found:
    keys: dict[str, list[Any]] = {channel: [] for channel in channels}
    documents: dict[Any, Any] = {}
    portions: list[Portion] = []
    async with aclosing(of.read(channels)) as reading:
        async for portion in reading:
            portions.append(portion)
            keys[portion.channel] += [key for _, key, _, _ in portion.documents]
            documents |= {str(key): document for _, key, document, _ in portion.documents}
    (position,) = {portion.position for portion in portions}
    ends = [portion.channel for portion in portions if not portion.more]
    assert ends == list(channels), "each channel ends once, in turn"
    return Found(position, keys, documents, portions)


async def keys(of: State, channel: str) -> list[Any]:
    return sorted((await read(of, channel)).keys[channel], key=str)


OID = ObjectId("65f0c0ffee00000000000001")
VALUES: dict[str, Any] = {
    "string": "acme",
    "array": ["acme"],
    "inner": [{"value": "acme"}],
    "upper": "ACME",
    "one": 1,
    "long": Int64(1),
    "float": 1.0,
    "decimal": Decimal128("1"),
    "text": "1",
    "ones": [1],
    "true": True,
    "date": datetime(2026, 2, 28, 1, 2, 3, 4000),
    "dates": [datetime(2026, 2, 28, 1, 2, 3, 4000)],
    "id": OID,
    "hex": str(OID),
    "null": None,
    "empty": "",
}


@pytest.mark.parametrize(
    ("template", "channel", "held"),
    [
        ("t:{value}", "t:acme", ["string"]),
        ("t:{value}", "t:1", ["text"]),
        ("t:{value}", f"t:{OID}", ["hex"]),
        ("t:{value:int}", "t:1", ["long", "one"]),
        ("t:{value:bool}", "t:true", ["true"]),
        ("t:{value:date}", "t:2026-02-28T01%3A02%3A03.004Z", ["date"]),
        ("t:{value:objectId}", f"t:{OID}", ["id"]),
        ("t:{value}", "t:nobody", []),
    ],
)
async def test_a_typed_field_finds_its_own_type_and_nothing_else(
    template: str, channel: str, held: list[str], mongo: Mongo, database: Database
) -> None:
    rule = Template(template)
    await database.docs.insert_many([{"_id": k, "value": v} for k, v in VALUES.items()])
    assert await keys(state(mongo, f"{database.name}.docs", rule), channel) == held
    assert held == sorted(
        key
        for key, value in VALUES.items()
        if rule.channel({"_id": key, "value": value}, Namespace("", "")) == channel
    )


async def test_an_id_is_found_as_text_and_as_object_id(mongo: Mongo, database: Database) -> None:
    await database.docs.insert_many([{"_id": OID}, {"_id": str(OID)}, {"_id": "other"}])
    one = state(mongo, f"{database.name}.docs", Template("d:{_id}"))
    assert {type(key) for key in await keys(one, f"d:{OID}")} == {ObjectId, str}
    assert await keys(one, "d:other") == ["other"]


async def test_dotted_fields_do_not_look_into_arrays(mongo: Mongo, database: Database) -> None:
    await database.docs.insert_many(
        [
            {"_id": "in", "owner": {"id": "u"}},
            {"_id": "array above", "owner": [{"id": "u"}]},
            {"_id": "array", "owner": {"id": ["u"]}},
            {"_id": "deeper", "owner": {"id": {"id": "u"}}},
            {"_id": "flat", "owner.id": "u"},
        ]
    )
    one = state(mongo, f"{database.name}.docs", Template("d:{owner.id}"))
    assert await keys(one, "d:u") == ["in"]


async def test_the_collations_of_a_collection_do_not_blur_its_channels(
    mongo: Mongo, database: Database
) -> None:
    await database.create_collection("docs", collation={"locale": "en", "strength": 2})
    await database.docs.insert_many([{"_id": 1, "value": "acme"}, {"_id": 2, "value": "ACME"}])
    assert await keys(state(mongo, f"{database.name}.docs"), "t:acme") == [1]


async def test_a_wide_scope_finds_the_collection_that_the_channel_names(
    mongo: Mongo, database: Database
) -> None:
    for coll in ("a", "b", "c:d"):
        await database[coll].insert_one({"_id": coll, "value": "x"})
    one = state(mongo, database.name, Template("t:{ns.coll}:{value}"))
    assert await keys(one, "t:a:x") == ["a"]
    assert await keys(one, "t:c%3Ad:x") == ["c:d"]
    assert await keys(one, "t:none:x") == []
    every = await read(state(mongo, database.name), "t:x")
    found = {(ns.db, ns.coll, key) for p in every.portions for ns, key, _, _ in p.documents}
    assert found == {(database.name, coll, coll) for coll in ("a", "b", "c:d")}


@pytest.mark.parametrize("template", ["t:{ns.db}:{ns.coll}", "t:{ns.coll}"])
@pytest.mark.parametrize("watch", ["*", "db", "db.docs"])
async def test_no_name_reaches_out_of_the_scope(
    watch: str, template: str, mongo: Mongo, mongod: Mongod, database: Database
) -> None:
    other = f"{database.name}_other"
    await database.docs.insert_one({"_id": "mine"})
    await database.command({"create": "view", "viewOn": "docs", "pipeline": []})
    await database.client[other].secret.insert_one({"_id": "secret"})
    await database.beside.insert_one({"_id": "beside"})
    try:
        one = state(mongo, watch.replace("db", database.name), Template(template))
        names = [
            (database.name, "docs", ["mine"]),
            (database.name, "view", []),
            (database.name, "beside", [] if watch == "db.docs" else ["beside"]),
            (database.name, "system.views", []),
            ("admin", "system.version", []),
            ("local", "oplog.rs", []),
            ("config", "transactions", []),
            ("no.name", "docs", []),
        ]
        for db, coll, held in names:
            if template == "t:{ns.coll}" and db != database.name:
                continue
            channel = f"t:{db}:{coll}" if "ns.db" in template else f"t:{coll}"
            assert await keys(one, channel) == held, channel
        if "ns.db" in template:
            outside = ["secret"] if watch == "*" else []
            assert await keys(one, f"t:{other}:secret") == outside
    finally:
        await database.client.drop_database(other)


async def test_the_outbox_of_a_wide_scope_is_no_part_of_the_state(
    mongo: Mongo, database: Database
) -> None:
    await database.docs.insert_one({"_id": 1, "value": "x"})
    await database.outbox.insert_one({"_id": 2, "value": "x"})
    assert await keys(state(mongo, database.name, outbox="outbox"), "t:x") == [1]


async def test_several_channels_are_read_at_one_time(mongo: Mongo, database: Database) -> None:
    """Each write moves one unit between channels: at every instant there are a hundred."""
    await database.docs.insert_many(
        [{"_id": n, "value": str(n % 4), "pad": "x" * 500} for n in range(2_000)]
    )
    stop = asyncio.Event()

    async def move() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await database.docs.update_one(
                {"_id": number % 2_000}, {"$set": {"value": str(number % 5 % 4)}}
            )

    moving = [asyncio.create_task(move()) for _ in range(3)]
    one = state(mongo, f"{database.name}.docs")
    for _ in range(5):
        found = await read(one, "t:0", "t:1", "t:2", "t:3")
        every = [key for held in found.keys.values() for key in held]
        assert sorted(every) == list(range(2_000))
    stop.set()
    await asyncio.gather(*moving)


async def test_channels_of_a_collection_that_is_not_there_are_read_at_one_time_too(
    mongo: Mongo, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written after the position that is told must not be in the state."""
    await database.there.insert_one({"_id": 1, "n": 0})
    one = state(mongo, database.name, Template("t:{ns.coll}"))
    async with aclosing(one.read(("t:none", "t:there"))) as reading:
        first = await anext(reading)
        await database.there.update_one({"_id": 1}, {"$set": {"n": 1}})
        rest = [portion async for portion in reading]
    assert {portion.position for portion in rest} == {first.position}
    assert rest[0].documents[0][2] == {"_id": 1, "n": 0}


async def test_a_change_is_in_the_state_if_and_only_if_it_is_not_above_the_position(
    mongo: Mongo, database: Database
) -> None:
    await database.docs.insert_one({"_id": 0, "value": "x", "n": 0})
    reply = await database.command(
        {"update": "docs", "updates": [{"q": {"_id": 0}, "u": {"$inc": {"n": 1}}}]}
    )
    time = reply["operationTime"]
    found = await read(state(mongo, f"{database.name}.docs"), "t:x")
    assert found.position >= f"{time.time:08x}{time.inc:08x}" + END_OF_INSTANT
    assert found.documents["0"]["n"] == 1


HIDE = [
    {"$match": {"fullDocument.hidden": {"$ne": True}}},
    {"$unset": "fullDocument.secret"},
    {"$set": {"fullDocument.where": {"$concat": ["$ns.db", ".", "$ns.coll"]}}},
]


async def test_what_the_pipeline_filters_or_hides_is_not_in_the_state(
    mongo: Mongo, database: Database
) -> None:
    await database.docs.insert_many(
        [{"_id": 1, "value": "x", "secret": 1}, {"_id": 2, "value": "x", "hidden": True}]
    )
    found = await read(state(mongo, f"{database.name}.docs", stages=HIDE), "t:x")
    assert found.documents == {"1": {"_id": 1, "value": "x", "where": f"{database.name}.docs"}}


@pytest.mark.parametrize(
    ("projection", "fields"),
    [
        ({"notes": 0}, {"_id", "value", "n"}),
        ({"n": 1}, {"_id", "n"}),
        ({"n": 1, "_id": 0}, {"_id", "n"}),
    ],
)
async def test_filter_projection_and_limit_choose_a_part(
    projection: Mapping[str, Any], fields: set[str], mongo: Mongo, database: Database
) -> None:
    await database.docs.insert_many(
        [{"_id": n, "value": "x", "n": n, "notes": "long"} for n in range(50)]
    )
    options: Any = {"filter": {"n": {"$gte": 10}}, "projection": projection, "limit": 7}
    found = await read(state(mongo, f"{database.name}.docs", **options), "t:x")
    assert len(found.documents) == 7
    assert all(document.keys() == fields for document in found.documents.values())
    assert all(document["n"] >= 10 for document in found.documents.values())


async def test_a_collection_that_is_not_there_has_an_empty_state_with_a_position(
    mongo: Mongo, database: Database
) -> None:
    before = await mongo.now()
    found = await read(state(mongo, f"{database.name}.nothing"), "t:x", "t:y")
    assert found.keys == {"t:x": [], "t:y": []}
    assert before + END_OF_INSTANT <= found.position <= await mongo.now() + END_OF_INSTANT


async def test_a_capped_collection_is_read_no_older_than_its_position(
    mongo: Mongo, database: Database
) -> None:
    await database.create_collection("docs", capped=True, size=1 << 20)
    await database.docs.insert_one({"_id": 1, "value": "x"})
    before = await mongo.now()
    found = await read(state(mongo, f"{database.name}.docs"), "t:x")
    assert found.keys == {"t:x": [1]}
    assert found.position >= before


async def test_a_capped_collection_does_not_blur_those_beside_it(
    mongo: Mongo, database: Database
) -> None:
    await database.create_collection("a", capped=True, size=1 << 20)
    await database.a.insert_one({"_id": "capped", "value": "x"})
    await database.b.insert_one({"_id": "b", "value": "x", "n": 0})
    async with aclosing(state(mongo, database.name).read(("t:x",))) as reading:
        first = await anext(reading)
        await database.b.update_one({"_id": "b"}, {"$set": {"n": 1}})
        second = await anext(reading)
    assert [key for _, key, _, _ in first.documents] == ["capped"]
    assert second.documents[0][2] == {"_id": "b", "value": "x", "n": 0}
    assert first.position == second.position


async def test_a_collection_that_was_made_a_moment_ago_can_be_read(
    mongo: Mongo, database: Database
) -> None:
    for number in range(10):
        await database.create_collection(f"made{number}")
        await database[f"made{number}"].create_index("value")
        await database[f"made{number}"].insert_one({"_id": 1, "value": "x"})
        one = state(mongo, f"{database.name}.made{number}")
        assert await keys(one, "t:x") == [1]


async def test_the_operator_says_what_channels_of_a_pipeline_hold(
    mongo: Mongo, database: Database
) -> None:
    await database.orders.insert_many(
        [
            {"_id": 1, "members": ["ann", "bob"], "open": True},
            {"_id": 2, "members": ["bob"], "open": True},
            {"_id": 3, "members": ["ann"], "open": False},
        ]
    )
    names = {"$map": {"input": "$fullDocument.members", "in": {"$concat": ["orders:", "$$this"]}}}
    stages = [{"$set": {"_channel": names}}]
    options: Any = {"stages": stages, "filter": {"open": True}}
    one = state(mongo, f"{database.name}.orders", None, **options)
    assert await keys(one, "orders:ann") == [1]
    assert await keys(one, "orders:bob") == [1, 2]
    assert (await read(one, "orders:ann")).documents["1"].keys() == {"_id", "members", "open"}


async def test_a_document_that_cannot_be_read_is_told_by_its_key(
    mongo: Mongo, database: Database
) -> None:
    damaged = bson.encode({"_id": 1, "value": "x", "text": "abc"}).replace(b"abc", b"a\xffc")
    await database.docs.insert_one(RawBSONDocument(damaged))
    await database.docs.insert_one({"_id": 2, "value": "x"})
    found = await read(state(mongo, f"{database.name}.docs"), "t:x")
    assert found.documents == {"1": None, "2": {"_id": 2, "value": "x"}}


async def test_documents_of_sixteen_megabytes_do_not_end_a_reading(
    mongo: Mongo, database: Database
) -> None:
    await database.docs.insert_one({"_id": "k" * 100_000, "value": "x", "p": "x" * 16_500_000})
    await database.docs.insert_one({"_id": 2, "value": "x"})
    for stages in ([], HIDE):
        found = await read(state(mongo, f"{database.name}.docs", stages=stages), "t:x")
        assert [len(str(key)) for key in found.keys["t:x"]] == [100_000, 1]


async def test_a_filter_that_mongodb_refuses_is_an_error_of_ours(
    mongo: Mongo, database: Database
) -> None:
    await database.docs.insert_one({"_id": 1, "value": "x"})
    one = state(mongo, f"{database.name}.docs", filter={"n": {"$nonsense": 1}})
    with pytest.raises(MongoError, match="nonsense"):
        await read(one, "t:x")


async def test_a_reading_that_is_left_leaves_no_cursor_behind(
    mongo: Mongo, database: Database
) -> None:
    await database.docs.insert_many([{"_id": n, "value": "x"} for n in range(2_000)])
    async with aclosing(state(mongo, f"{database.name}.docs").read(("t:x",))) as reading:
        await anext(reading)
    idle = [
        each
        async for each in await database.client.admin.aggregate(
            [{"$currentOp": {"idleCursors": True, "allUsers": True}}]
        )
        if each.get("ns") == f"{database.name}.docs" and each["type"] == "idleCursor"
    ]
    assert idle == []


async def test_it_says_which_collections_want_an_index(mongo: Mongo, database: Database) -> None:
    await database.docs.insert_many([{"_id": n, "value": "x"} for n in range(10)])
    one = state(mongo, f"{database.name}.docs")
    assert await one.scans() == [Namespace(database.name, "docs")]
    await database.docs.create_index("value")
    assert await one.scans() == []
    assert await state(mongo, f"{database.name}.docs", Template("d:{_id}")).scans() == []
    assert await state(mongo, f"{database.name}.docs", Template("all")).scans() == []
    await database.other.insert_one({"_id": 1})
    assert await state(mongo, database.name).scans() == [Namespace(database.name, "other")]
