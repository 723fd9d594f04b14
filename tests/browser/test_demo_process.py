"""The demo's command: what it says, and that nothing of it stays."""

import asyncio
import signal
import socket
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.browser.demo_page import DemoPage
from tests.browser.demo_process import START_LIMIT, DemoProcess, launch

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_cleanly_while_a_page_looks_on(page: Page, number: signal.Signals) -> None:
    demo = await DemoProcess.start()
    try:
        boards = DemoPage(page, demo)
        await boards.open()
        assert await demo.stop(number) == (0, "")
        assert not Path(f"/proc/{demo.mongod}").exists()
        assert not demo.directory.exists()
        await boards.ann.becomes("connecting")
    finally:
        await demo.end()


async def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await launch(port)
        async with asyncio.timeout(START_LIMIT):
            _, complaints = await process.communicate()
    assert process.returncode == 1
    assert complaints.decode().splitlines() == [
        f"livesync-bridge: cannot listen on 127.0.0.1:{port}: "
        "the port is in use; choose another one"
    ]
