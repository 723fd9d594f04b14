"""What browser tests ask for: a real Chromium, pages that must not fail, and what they look at."""

import os
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, Page, async_playwright
from pymongo import AsyncMongoClient

from bridge.demo.mongod import Mongod
from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import configuration
from tests.acceptance.traffic import Database, create_with_images
from tests.browser.demo_process import DemoProcess
from tests.browser.origin import Origin

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
COLLECTION = "todos"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_binary(), args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A page with a profile of its own; an error that its scripts do not catch fails the test."""
    errors: list[Error] = []
    context = await chromium.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 # it marks what it is given
    yield page
    await context.close()
    assert errors == []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def origin() -> AsyncIterator[Origin]:
    """A site of somebody else's."""
    async with Origin() as site:
        yield site


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo() -> AsyncIterator[DemoProcess]:
    running = await DemoProcess.start()
    yield running
    await running.end()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database(mongod: Mongod) -> AsyncIterator[Database]:
    async with AsyncMongoClient[dict[str, Any]](mongod.uri, tz_aware=True) as client:
        yield client["browser"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bridge(
    mongod: Mongod, database: Database, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BridgeProcess]:
    """A bridge that listens where it did after every start, and that the other site may read."""
    await create_with_images(database, COLLECTION)
    watcher = {"watch": f"{database.name}.{COLLECTION}", "channel": "todos:{room}", "mode": "patch"}
    server = {"port": free_port(), "cors_origins": [origin.url]}
    config = configuration(mongod.uri, {"todos": watcher}, server=server)
    process = BridgeProcess(config=config, directory=tmp_path_factory.mktemp("bridge"))
    yield await process.start()
    process.end()


def chromium_binary() -> str:
    return os.environ.get("CHROMIUM") or "/usr/bin/chromium"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
