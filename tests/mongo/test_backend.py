"""The demo's back end against a real mongod: what it writes, and what it refuses."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from bson import ObjectId, Timestamp
from pymongo import AsyncMongoClient

from bridge.demo.backend import MOST_EVENTS, MOST_TASKS, Backend
from bridge.demo.mongod import Mongod
from bridge.demo.sample import BOARDS, DATABASE, OUTBOX, TASKS, lay_out
from bridge.demo.trouble import Trouble

Document = dict[str, Any]
Http = TestClient[web.Request, web.Application]

TASK = {"title": "Sweep the path", "column": "todo", "rank": 0.5}


@pytest.fixture
async def mongo(mongod: Mongod) -> AsyncIterator[AsyncMongoClient[Document]]:
    async with AsyncMongoClient[Document](mongod.uri) as client:
        await lay_out(client)
        yield client
        await client.drop_database(DATABASE)


class Page:
    """What a page does: one request for each wish."""

    def __init__(self, http: Http, name: str = "Ann") -> None:
        self._http = http
        self.name = name
        self._writes = 0

    async def write(
        self,
        method: str,
        key: ObjectId | str,
        body: Document | None = None,
        *,
        board: str = "garden",
        seen: int | None = None,
        **headers: str,
    ) -> ClientResponse:
        self._writes += 1
        headers = {"Demo-Name": self.name, "Mutation-Id": f"{self.name}-{self._writes}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if seen is not None:
            headers["If-Match"] = f'"{seen}"'
        path = f"/api/boards/{board}/tasks/{key}"
        return await self._http.request(method, path, json=body, headers=headers)

    async def add(self, **fields: Any) -> ObjectId:
        key = ObjectId()
        answer = await self.write("PUT", key, TASK | fields)
        assert answer.status == 200
        return key

    async def activity(self) -> Document:
        answer = await self._http.get("/api/boards/garden/activity")
        found: Document = await answer.json()
        return found


@pytest.fixture
async def http(mongo: AsyncMongoClient[Document]) -> AsyncIterator[Http]:
    application = web.Application()
    outbox = mongo[DATABASE][OUTBOX]
    application.add_routes(Trouble(outbox).before(Backend(mongo).routes()))
    async with TestClient(TestServer(application)) as client:
        yield client


@pytest.fixture
def ann(http: Http) -> Page:
    return Page(http)


@pytest.fixture
def ben(http: Http) -> Page:
    return Page(http, "Ben")


async def all_of(mongo: AsyncMongoClient[Document]) -> list[list[Document]]:
    database = mongo[DATABASE]
    return [await database[name].find().sort("_id").to_list() for name in (TASKS, OUTBOX)]


async def test_a_write_and_its_event_are_one_transaction_at_the_position_of_the_answer(
    mongo: AsyncMongoClient[Document], ann: Page
) -> None:
    key = await ann.add()
    async with await mongo[DATABASE].watch(full_document="required") as changes:
        answer = await ann.write("PATCH", key, {"column": "done", "rank": 2}, seen=1)
        task, event = [await changes.next(), await changes.next()]
    assert task["txnNumber"] == event["txnNumber"]
    assert task["lsid"] == event["lsid"]
    position = (await answer.json())["position"]
    assert task["clusterTime"] == Timestamp(int(position[:8], 16), int(position[8:], 16))

    assert task["fullDocument"] == {
        **TASK,
        "_id": key,
        "board": "garden",
        "column": "done",
        "rank": 2,
        "by": "Ann",
        "version": 2,
        "_mutationId": "Ann-2",
    }
    assert event["fullDocument"] | {"_id": 0} == {
        "_id": 0,
        "channel": "activity:garden",
        "name": "task.moved",
        "data": {"by": "Ann", "title": TASK["title"], "column": "done", "rank": 2},
    }


async def test_all_that_happens_is_told_newest_first(ann: Page, ben: Page) -> None:
    key = await ann.add()
    await ben.write("PATCH", key, {"title": "Rake the path"}, seen=1)
    await ann.write("DELETE", key, seen=2)
    events = (await ann.activity())["events"]
    assert [(event["name"], event["data"]["by"]) for event in events] == [
        ("task.deleted", "Ann"),
        ("task.renamed", "Ben"),
        ("task.added", "Ann"),
    ]


async def test_who_comes_second_is_told_who_was_first_and_changes_nothing(
    mongo: AsyncMongoClient[Document], ann: Page, ben: Page
) -> None:
    key = await ann.add()
    assert (await ben.write("PATCH", key, {"column": "doing"}, seen=1)).status == 200
    before = await all_of(mongo)
    for late in (
        await ann.write("PATCH", key, {"column": "done"}, seen=1),
        await ann.write("DELETE", key, seen=1),
    ):
        assert late.status == 412
        assert late.content_type == "application/problem+json"
        assert (await late.json())["detail"] == "Ben was first"
    assert await all_of(mongo) == before


async def test_a_task_that_is_gone_cannot_be_changed(ann: Page, ben: Page) -> None:
    key = await ann.add()
    await ben.write("DELETE", key, seen=1)
    late = await ann.write("PATCH", key, {"column": "done"}, seen=1)
    assert late.status == 404
    assert "deleted" in (await late.json())["detail"]


async def test_the_same_task_is_added_once(mongo: AsyncMongoClient[Document], ann: Page) -> None:
    key = await ann.add()
    before = await all_of(mongo)
    assert (await ann.write("PUT", key, TASK)).status == 409
    assert await all_of(mongo) == before


async def test_boards_and_their_activity_are_bounded(
    mongo: AsyncMongoClient[Document], ann: Page
) -> None:
    key = await ann.add()
    for version in range(1, MOST_EVENTS + 5):
        await ann.write("PATCH", key, {"rank": version}, seen=version)
    assert len((await ann.activity())["events"]) == MOST_EVENTS
    assert await mongo[DATABASE][OUTBOX].count_documents({}) == MOST_EVENTS

    for _ in range(len(BOARDS["garden"]) + 1, MOST_TASKS):
        await ann.add()
    full = await ann.write("PUT", ObjectId(), TASK)
    assert full.status == 409
    assert "full" in (await full.json())["detail"]


@pytest.mark.parametrize(("refuse", "status"), [("answer", 422), ("event", 202)])
async def test_a_refused_write_changes_nothing(
    mongo: AsyncMongoClient[Document], ann: Page, refuse: str, status: int
) -> None:
    key = await ann.add()
    before = await all_of(mongo)
    async with await mongo[DATABASE].watch() as changes:
        answer = await ann.write("PATCH", key, {"rank": 7}, seen=1, Demo_Refuse=refuse)
        assert answer.status == status
        assert await all_of(mongo) == before
        if refuse == "event":
            event = (await changes.next())["fullDocument"]
            assert (event["mutationId"], event["rejected"]) == ("Ann-2", True)
            assert event["channel"] == "activity:garden"


async def test_a_write_can_be_held_back_but_not_for_long(ann: Page) -> None:
    started = time.monotonic()
    await ann.write("PUT", ObjectId(), TASK, Demo_Latency="200")
    assert 0.2 <= time.monotonic() - started < 2
    assert (await ann.write("PUT", ObjectId(), TASK, Demo_Latency="soon")).status == 400


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"board": "kitchen"}, 404, "launch, garden, trip"),
        ({"key": "7"}, 400, "24 hex digits"),
        ({"seen": None}, 428, "If-Match"),
        ({"Demo_Name": ""}, 400, "Demo-Name"),
        ({"Mutation_Id": "m" * 257}, 400, "Mutation-Id"),
        ({"body": {}}, 400, "title, column, rank"),
        ({"body": {"by": "Ben"}}, 400, "title, column, rank"),
        ({"body": {"column": "later"}}, 400, "todo, doing, done"),
        ({"body": {"column": ["todo"]}}, 400, "todo, doing, done"),
        ({"body": {"rank": True}}, 400, "finite number"),
        ({"body": {"title": " "}}, 400, "1 to 60 characters"),
        ({"body": None}, 415, "application/json"),
        ({"method": "PUT", "body": {"title": "Half of it"}}, 400, "column"),
    ],
)
async def test_a_request_that_cannot_be_understood_names_what_is_wrong(
    ann: Page, change: Document, status: int, told: str
) -> None:
    asked: Document = {"method": "PATCH", "key": ObjectId(), "body": {"column": "done"}, "seen": 1}
    answer = await ann.write(**(asked | change))
    assert answer.status == status
    assert told in (await answer.json())["detail"]
