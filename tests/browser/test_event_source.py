"""Plain EventSource, from a page of another origin, through every way a bridge can end."""

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Page
from yarl import URL

from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.plain_json import canonical, plain
from tests.acceptance.replica import Replica
from tests.acceptance.traffic import Collection, Database, now
from tests.acceptance.workload import ROOMS, Workload
from tests.browser.conftest import COLLECTION
from tests.browser.listener import Event, Listener
from tests.browser.origin import Origin

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHANNELS = dict(
    zip(ROOMS, ("todos:one", "todos:zwei%20ü", "todos:a%3Ab%2A", "todos:x/~.y%25"), strict=True)
)
WRITES = 600
BULK = 6
GOODBYE = ("shutdown", True)
TEXT = "Milk, bread, and everything else that makes a document longer than its patch."


@pytest_asyncio.fixture(loop_scope="session")
async def todos(database: Database) -> Collection:
    """Empty, whatever tests before have written."""
    await database[COLLECTION].delete_many({})
    return database[COLLECTION]


@pytest_asyncio.fixture(loop_scope="session")
async def listener(page: Page, origin: Origin) -> Listener:
    await page.goto(origin.url)
    return Listener(page)


async def write_at_random(todos: Collection, *, seed: int) -> None:
    """For about three seconds."""
    writes = Workload(seed=seed).writes()
    for _ in range(WRITES // BULK):
        await todos.bulk_write(list(islice(writes, BULK)))
        await asyncio.sleep(0.03)


async def write_the_last(todos: Collection) -> None:
    await todos.insert_one({"_id": "the last", "room": "one"})


async def documents_by_channel(todos: Collection) -> dict[str, dict[str, str]]:
    """Channel -> key -> document, as the database has them."""
    found: dict[str, dict[str, str]] = {channel: {} for channel in CHANNELS.values()}
    async for document in todos.find({"room": {"$in": ROOMS}}):
        if isinstance(document["room"], str):
            key = canonical(["", plain(document["_id"])])
            found[CHANNELS[document["room"]]][key] = canonical(plain(document))
    return found


def rebuilt(messages: list[Event]) -> dict[str, dict[str, str]]:
    """Channel -> key -> document, as the messages make them; refuses what does not fit."""
    replicas = {channel: Replica() for channel in CHANNELS.values()}
    for message in messages:
        replicas[message.data["channel"]].apply(dict(message.data))
    return {
        channel: {key: canonical(document) for key, document in replica.documents.items()}
        for channel, replica in replicas.items()
    }


async def history(bridge: BridgeProcess, since: str) -> list[str]:
    """The ids of everything on the channels since then, in order."""
    ids: list[str] = []
    async with aiohttp.ClientSession() as session:
        for channel in CHANNELS.values():
            page: Mapping[str, Any] = {"cursor": since, "complete": False}
            while not page["complete"]:
                path = f"channels/{quote(channel, safe='')}/history"
                query = f"limit=1000&since={page['cursor']}"
                url = URL(f"{bridge.url}/{path}?{query}", encoded=True)
                async with session.get(url) as answer:
                    assert answer.status == 200, await answer.text()
                    page = await answer.json()
                ids += [message["id"] for message in page["messages"]]
    return sorted(ids)


async def assert_everything_came_once(
    listener: Listener, bridge: BridgeProcess, todos: Collection, since: str
) -> None:
    messages = await listener.events("message")
    ids = [message.data["id"] for message in messages]
    assert ids == [message.id for message in messages], "lastEventId is the message's id"
    assert ids == sorted(set(ids))
    assert ids == await history(bridge, since)
    assert rebuilt(messages) == await documents_by_channel(todos)
    assert await listener.events("resync") == []


async def test_messages_come_to_onmessage_and_everything_else_has_a_name(
    listener: Listener, bridge: BridgeProcess, todos: Collection, database: Database
) -> None:
    await listener.open(bridge.url, ["todos:one"], since=await now(database))
    await listener.until("live")
    await todos.insert_one({"_id": 1, "room": "one", "text": TEXT, "done": False})
    await todos.update_one({"_id": 1}, {"$set": {"done": True}})
    await listener.until("message", '"update"')
    await listener.until("heartbeat")

    events = await listener.events()
    assert [event.name for event in events][:4] == ["ready", "live", "message", "message"]
    assert {event.name for event in events[4:]} == {"heartbeat"}
    ready, live, inserted, updated, heartbeat = (event.data for event in events[:5])
    assert ready["channels"] == ["todos:one"]
    assert inserted["document"] == {"_id": 1, "room": "one", "text": TEXT, "done": False}
    assert updated["patch"] == [{"op": "replace", "path": "/done", "value": True}]
    assert [event.id for event in events[:2]] == ["", live["cursor"]]
    assert events[4].id == heartbeat["cursor"] >= updated["id"] > inserted["id"]
    for event in events:
        assert event.data["type"] == ("change" if event.name == "message" else event.name)


async def test_a_page_of_an_origin_that_is_not_configured_reads_nothing(
    page: Page, bridge: BridgeProcess, todos: Collection, database: Database
) -> None:
    since = await now(database)
    await write_the_last(todos)
    async with Origin() as stranger:
        await page.goto(stranger.url)
        listener = await Listener(page).open(bridge.url, ["todos:one"], since=since)
        await page.wait_for_function("source.readyState === EventSource.CLOSED")
        assert await listener.events() == []


async def test_a_killed_bridge_costs_nothing(
    listener: Listener, bridge: BridgeProcess, todos: Collection, database: Database
) -> None:
    since = await now(database)
    await listener.open(bridge.url, CHANNELS.values(), since=since)
    writing = asyncio.create_task(write_at_random(todos, seed=1))
    await listener.until("message", '"update"')
    bridge.kill()
    await asyncio.sleep(1)
    await bridge.start()
    await writing
    await write_the_last(todos)
    await listener.until("message", '"the last"')

    assert len(await listener.events("ready")) == len(await listener.events("live")) == 2
    given = {event.id for event in await listener.events()}
    last_event_id = (await listener.requests[-1].all_headers())["last-event-id"]
    assert last_event_id in given
    await assert_everything_came_once(listener, bridge, todos, since)


async def test_a_bridge_that_is_replaced_says_goodbye_and_costs_nothing(
    listener: Listener, bridge: BridgeProcess, todos: Collection, database: Database
) -> None:
    since = await now(database)
    await listener.open(bridge.url, CHANNELS.values(), since=since)
    writing = asyncio.create_task(write_at_random(todos, seed=2))
    for times in (1, 2):
        await listener.until("live", times=times)
        assert await bridge.stop() == 0
        byes = await listener.events("bye")
        assert [(bye.data["code"], bye.data["reconnect"]) for bye in byes] == times * [GOODBYE]
        await bridge.start()
    await writing
    await write_the_last(todos)
    await listener.until("message", '"the last"')

    assert not await listener.has_given_up()
    await assert_everything_came_once(listener, bridge, todos, since)


async def test_a_cursor_of_another_history_is_told_to_the_page(
    listener: Listener, bridge: BridgeProcess
) -> None:
    await listener.open(bridge.url, ["todos:one"], since="00000000-6b0427d500000009000010")
    await listener.until("live")
    names = [event.name for event in await listener.events()]
    assert names[:3] == ["ready", "resync", "live"]
    [resync] = await listener.events("resync")
    assert (resync.data["channel"], resync.data["reason"]) == ("todos:one", "unknown_cursor")
    assert resync.id == resync.data["cursor"]
