"""The demo's page: alive, equal to the database, and nothing lost through any break."""

import asyncio

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.demo_page import SHOWN, DemoPage
from tests.browser.demo_process import DemoProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

MISSED = 4
"""Changes to wait for while the page is not connected."""


@pytest_asyncio.fixture(loop_scope="session")
async def shops(page: Page, demo: DemoProcess) -> DemoPage:
    shown = DemoPage(page, demo)
    await shown.open()
    return shown


async def assert_nothing_is_missing(shops: DemoPage) -> None:
    """Cards are the database, and messages are the history: each once and in order."""
    async with shops.demo.standing_still():
        history = await shops.history()
        newest = shops.page.locator(f".row[data-message='{history[-1]}']")
        await expect(newest).to_have_count(1)
        assert await shops.cards() == await shops.demo.orders()
        assert [row["id"] for row in await shops.rows()] == history[-SHOWN:]
    assert await shops.count("duplicates") == 0
    assert await shops.count("gaps") == 0


async def test_the_page_comes_alive(shops: DemoPage) -> None:
    assert len(await shops.cards()) > 0
    known = await shops.count("messages")
    await shops.demo.changes(1)
    await expect(shops.page.locator("[data-count=messages]")).not_to_have_text(str(known))
    assert await shops.count("replayed") == 0
    await expect(shops.page.locator(".patch li").first).to_be_visible()


async def test_its_cards_are_the_database(shops: DemoPage) -> None:
    await assert_nothing_is_missing(shops)


async def test_what_happens_while_it_is_disconnected_is_replayed(shops: DemoPage) -> None:
    await shops.press("Disconnect")
    await shops.becomes("offline")
    frozen = await shops.cards()
    await shops.demo.changes(MISSED)
    assert await shops.cards() == frozen

    await shops.press("Reconnect")
    await shops.becomes("live")
    await expect(shops.page.locator(".notice[data-notice=good]").first).to_contain_text("replayed")
    replayed = [row for row in await shops.rows() if row["replayed"]]
    assert len(replayed) == await shops.count("replayed") >= MISSED
    await assert_nothing_is_missing(shops)


async def test_it_comes_back_by_itself_after_the_socket_was_dropped(shops: DemoPage) -> None:
    cursor = await shops.page.locator("[data-cursor]").inner_text()
    await shops.press("Drop the socket")
    await shops.becomes("connecting")
    await shops.demo.changes(1)
    await shops.becomes("live")

    first, second = shops.connections
    assert first.url == second.url, "EventSource itself came back"
    last_event_id = (await second.all_headers())["last-event-id"]
    assert last_event_id >= cursor
    assert await shops.count("replayed") >= 1
    await assert_nothing_is_missing(shops)


async def test_it_takes_many_breaks(shops: DemoPage) -> None:
    for _ in range(5):
        await shops.press("Disconnect")
        await asyncio.sleep(0.2)
        await shops.press("Reconnect")
        await shops.becomes("live")
    await assert_nothing_is_missing(shops)


async def test_it_fits_on_laptop_and_phone(shops: DemoPage) -> None:
    for width, height in ((1280, 800), (390, 844), (844, 390)):
        await shops.page.set_viewport_size({"width": width, "height": height})
        size = await shops.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        assert size == [width, height]
        for name in ("Drop the socket", "Disconnect"):
            button = shops.page.get_by_role("button", name=name, exact=True)
            await expect(button).to_be_in_viewport(ratio=1)
        await expect(shops.page.locator(".card").first).to_be_in_viewport()
