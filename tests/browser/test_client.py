"""The browser client in the browser that it is for, on the real bridge and the real database."""

import asyncio
import time
from collections.abc import AsyncIterator

import jwt
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright
from yarl import URL

from bridge import __version__
from bridge.demo.mongod import Mongod
from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import configuration
from tests.acceptance.traffic import Collection, Database, create_with_images
from tests.browser.client_page import ClientPage, stored
from tests.browser.conftest import COLLECTION, FLAGS, chromium_binary
from tests.browser.origin import Origin
from tests.browser.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "an example of a secret that has 32 bytes"
CUTS = 20
WRITES = 60
PAUSE = 150
"""Milliseconds that a page lets pass between two writes, at most."""


@pytest_asyncio.fixture(loop_scope="session")
async def todos(database: Database) -> Collection:
    """Empty, whatever tests before have written."""
    await database[COLLECTION].delete_many({})
    return database[COLLECTION]


@pytest_asyncio.fixture(loop_scope="session")
async def wire(bridge: BridgeProcess) -> AsyncIterator[Wire]:
    port = URL(bridge.url).port
    assert port is not None
    async with Wire(port) as carried:
        yield carried


@pytest_asyncio.fixture(loop_scope="session")
async def client(page: Page, todos: Collection) -> ClientPage:
    return ClientPage(page, todos)


@pytest_asyncio.fixture(loop_scope="session")
async def other(chromium: Browser, todos: Collection) -> AsyncIterator[ClientPage]:
    """A second page, with a profile of its own."""
    context = await chromium.new_context()
    yield ClientPage(await context.new_page(), todos)
    await context.close()


async def test_a_page_of_another_origin_imports_what_the_bridge_serves(
    client: ClientPage, bridge: BridgeProcess, todos: Collection, origin: Origin
) -> None:
    await todos.insert_one({"_id": "there", "room": "one"})
    await client.open(origin.url, bridge.url, url=bridge.url)
    await client.until("model.state === 'ready'")
    assert await client.documents() == await stored(todos)
    served = f"import('{bridge.url}/client/index.js').then(({{ version }}) => version)"
    assert await client.page.evaluate(served) == __version__
    await todos.update_one({"_id": "there"}, {"$set": {"done": True}})
    await client.until("model.data[0].done === true")


@pytest.mark.parametrize("transport", ["fetch", "websocket", "eventsource"])
async def test_two_pages_converge_under_random_writes_while_their_wires_are_cut(
    *,
    transport: str,
    client: ClientPage,
    other: ClientPage,
    bridge: BridgeProcess,
    todos: Collection,
    origin: Origin,
    wire: Wire,
) -> None:
    cuts = CUTS if transport == "fetch" else CUTS // 4
    pages = (client, other)
    for each in pages:
        await each.open(origin.url, bridge.url, url=wire.url, transport=transport)
        await each.until("model.state === 'ready'")
    playing = [
        asyncio.create_task(each.play(WRITES, name, PAUSE))
        for each, name in zip(pages, "ab", strict=True)
    ]
    for n in range(cuts):
        await asyncio.sleep(0.15)
        before = [await each.page.evaluate("lives") for each in pages]
        wire.cut()
        for each, lives in zip(pages, before, strict=True):
            await each.until(f"model.isStale || lives > {lives}")
            await todos.insert_one({"room": "one", "n": n})
            await each.page.evaluate("dispatchEvent(new Event('online'))")  # does not wait
            await each.until(f"!model.isStale && lives > {lives}")
    await asyncio.gather(*playing)
    await todos.insert_one({"_id": "the last", "room": "one"})
    for each in pages:
        await each.until("model.data.some(({ _id }) => _id === 'the last')")
        await each.until("model.pending.length === 0")
        assert await each.documents() == await stored(todos)
        assert await each.documents("confirmed") == await each.documents()
        assert await each.page.evaluate("resyncs") == []
        assert await each.page.evaluate("lives") >= cuts + 1
        outcomes = set((await each.page.evaluate("outcomes")).values())
        assert outcomes <= {"confirmed", "conflict"}
    assert wire.cuts == cuts


async def test_a_write_shows_at_once_and_is_rolled_back_where_it_is_refused(
    client: ClientPage, bridge: BridgeProcess, todos: Collection, origin: Origin
) -> None:
    await todos.insert_one({"_id": 1, "room": "one", "done": False})
    await client.open(origin.url, bridge.url, url=bridge.url)
    await client.until("model.state === 'ready'")
    seen = "window.seen = []; model.subscribe(({ data }) => seen.push(data[0].done)); 0"
    await client.page.evaluate(seen)
    client.refuse = True
    refused = await client.mutate({"key": 1}, "update", {"done": True})
    await client.until(f"outcomes['{refused}'] === 'rejected'")
    assert await client.page.evaluate("seen") == [True, False]
    assert await client.page.evaluate("model.data") == [{"_id": 1, "room": "one", "done": False}]
    client.refuse = False
    kept = await client.mutate({"key": 1}, "update", {"done": True})
    await client.until(f"outcomes['{kept}'] === 'confirmed'")
    assert not (await client.page.evaluate("seen"))[2:].count(False), "it never flickers"
    assert await client.documents("confirmed") == await stored(todos)


async def test_a_dropped_collection_is_a_resync_with_the_old_state_visible_meanwhile(
    client: ClientPage, bridge: BridgeProcess, database: Database, todos: Collection, origin: Origin
) -> None:
    await todos.insert_many([{"_id": n, "room": "one"} for n in range(3)])
    await client.open(origin.url, bridge.url, url=bridge.url)
    await client.until("model.state === 'ready' && model.data.length === 3")
    await database.drop_collection(COLLECTION)
    await create_with_images(database, COLLECTION)
    await client.until("resyncs.includes('dropped')")
    await client.until("model.state === 'ready' && !model.isStale")
    await todos.insert_one({"_id": "new", "room": "one"})
    await client.until("model.data.length === 1 && model.data[0]._id === 'new'")
    told = await client.page.evaluate("told")
    during = [each["count"] for each in told if each["state"] == "syncing" and each["count"]]
    assert 3 in during


async def test_tokens_are_renewed_when_they_expire(
    *,
    page: Page,
    mongod: Mongod,
    database: Database,
    todos: Collection,
    origin: Origin,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    watcher = {"watch": f"{database.name}.{COLLECTION}", "channel": "todos:{room}", "mode": "patch"}
    config = configuration(
        mongod.uri,
        {"todos": watcher},
        server={"cors_origins": [origin.url]},
        auth={"jwt": {"secret": SECRET}},
    )
    process = BridgeProcess(config=config, directory=tmp_path_factory.mktemp("tokens"))
    await process.start()
    asked = []

    def fresh_token() -> str:
        asked.append(time.time())
        claims = {"sub": "ann", "channels": ["todos:one"], "exp": int(time.time()) + 2}
        return jwt.encode(claims, SECRET, algorithm="HS256")

    try:
        client = ClientPage(page, todos)
        await page.expose_function("freshToken", fresh_token)
        await client.open(origin.url, process.url, url=process.url)
        await client.until("model.state === 'ready'")
        await client.until("lives >= 3", 30_000)
        await todos.insert_one({"_id": "after", "room": "one"})
        await client.until("model.data.some(({ _id }) => _id === 'after')")
        assert len(asked) >= 3
        assert await page.evaluate("bridge.status.error === undefined && resyncs.length === 0")
        denied = (
            "void bridge.subscribe('todos:two', { error: (e) => { window.denied = e.status; } })"
        )
        await page.evaluate(denied)
        await client.until("window.denied === 403")
        await client.until("!model.isStale", 30_000)
    finally:
        process.end()


async def test_a_page_that_comes_back_from_the_back_forward_cache_goes_on(
    bridge: BridgeProcess, todos: Collection, origin: Origin
) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_binary(),
            args=FLAGS,
            ignore_default_args=["--disable-back-forward-cache"],
        )
        page = await browser.new_page()
        client = ClientPage(page, todos)
        await client.open(origin.url, bridge.url, url=bridge.url)
        await client.until("model.state === 'ready'")
        await page.evaluate(
            "addEventListener('pageshow', ({ persisted }) => { window.persisted = persisted; }); 0"
        )
        await page.goto(f"{origin.url}/?elsewhere")
        await todos.insert_one({"_id": "meanwhile", "room": "one"})
        await page.go_back(wait_until="commit")
        assert await page.evaluate("window.persisted") is True
        await client.until("model.data.some(({ _id }) => _id === 'meanwhile') && !model.isStale")
        assert await page.evaluate("resyncs") == []
        await browser.close()
