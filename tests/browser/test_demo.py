"""The demo's board: two windows, one database, and every kind of trouble between them."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.demo_page import Columns, DemoPage, DemoWindow
from tests.browser.demo_process import DemoProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def boards(page: Page, demo: DemoProcess) -> AsyncIterator[DemoPage]:
    await demo.lay_out()
    shown = DemoPage(page, demo)
    await shown.open()
    yield shown
    assert shown.complaints == []


async def assert_all_show(boards: DemoPage, columns: Columns) -> None:
    """Both windows and the database, once everything has come."""
    for window in (boards.ann, boards.ben):
        await shows(window, columns)
        await expect(window.node.locator("[data-count=pending]")).to_have_text("0")
    assert await boards.demo.columns("launch") == columns


async def shows(window: DemoWindow, columns: Columns) -> None:
    for name, titles in columns.items():
        await expect(window.column(name).locator(".title")).to_have_text(titles)


async def test_each_window_follows_the_other(boards: DemoPage) -> None:
    before = await boards.demo.columns("launch")
    await assert_all_show(boards, before)

    await boards.ann.drag("Record the demo", "done")
    await expect(boards.ben.card_in("done", "Record the demo")).to_be_visible()
    await boards.ben.add("Book the hall", "doing")
    await expect(boards.ann.card_in("doing", "Book the hall")).to_be_visible()
    await assert_all_show(
        boards,
        {
            "todo": [title for title in before["todo"] if title != "Record the demo"],
            "doing": [*before["doing"], "Book the hall"],
            "done": ["Record the demo", *before["done"]],
        },
    )
    await expect(boards.ann.node.locator(".event").first).to_have_text("Ben added Book the hall")


async def test_a_window_beside_them_is_one_more_client(boards: DemoPage) -> None:
    async with boards.page.expect_popup() as opened:
        await boards.page.get_by_role("link", name="Open another window").click()
    dana = DemoWindow(await opened.value, "Dana")
    await dana.becomes("live")
    await dana.press("Pick a date", "ArrowLeft")
    await expect(boards.ann.card_in("doing", "Pick a date")).to_be_visible()


async def test_a_move_shows_at_once_and_is_pending_until_the_database_has_it(
    boards: DemoPage,
) -> None:
    await boards.ann.trouble(latency="700")
    await boards.ann.press("Record the demo", "ArrowRight")
    card = boards.ann.card("Record the demo")
    await expect(boards.ann.card_in("doing", "Record the demo")).to_be_visible(timeout=300)
    await expect(card).to_have_attribute("data-pending", "")
    assert await boards.ann.count("pending") == 1
    await expect(boards.ben.card_in("todo", "Record the demo")).to_be_visible()

    await expect(card).not_to_have_attribute("data-pending", "")
    await expect(boards.ben.card_in("doing", "Record the demo")).to_be_visible()
    [mine], [seen] = await boards.ann.rows(), await boards.ben.rows()
    assert (mine["badges"], seen["badges"]) == (["mine"], [])
    assert mine["id"] == seen["id"]


async def test_moves_in_a_row_are_saved_in_that_order(boards: DemoPage) -> None:
    await boards.ann.trouble(latency="700")
    await boards.ann.press("Record the demo", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp")
    await expect(boards.ann.node.locator("[data-count=pending]")).to_have_text("0")
    await shows(boards.ben, await boards.ann.columns())
    assert len(await boards.ben.rows()) == 4
    assert await boards.ann.node.locator(".toast").count() == 0


@pytest.mark.parametrize("kind", ["answer", "event"])
@pytest.mark.parametrize("keys", [["ArrowRight"], ["Delete"], ["F2", "x", "Enter"]], ids=str)
async def test_what_is_refused_is_rolled_back_and_said(
    boards: DemoPage, kind: str, keys: list[str]
) -> None:
    before = await boards.demo.columns("launch")
    await boards.ann.trouble(latency="700", refuse=kind)
    await boards.ann.press("Record the demo", *keys)
    await expect(boards.ann.card_in("todo", "Record the demo")).to_have_count(0, timeout=300)

    await boards.ann.says("was not saved. Refused, as you asked for")
    await assert_all_show(boards, before)
    assert await boards.ben.rows() == []


async def test_what_was_built_on_a_refused_write_goes_with_it(boards: DemoPage) -> None:
    before = await boards.demo.columns("launch")
    await boards.ann.trouble(latency="700", refuse="answer")
    await boards.ann.press("Record the demo", "ArrowRight", "ArrowRight", "ArrowUp")
    await expect(boards.ann.card_in("done", "Record the demo")).to_be_visible()
    await boards.ann.trouble()  # for those that wait for the first one

    await boards.ann.says("was not saved. Refused, as you asked for")
    await assert_all_show(boards, before)
    assert await boards.ann.node.locator(".toast").count() == 1


async def test_who_is_first_wins_and_the_other_is_told(boards: DemoPage) -> None:
    await boards.ann.trouble(latency="3000")
    await boards.ann.press("Record the demo", "ArrowRight")
    await expect(boards.ann.card_in("doing", "Record the demo")).to_be_visible()
    await boards.ben.press("Record the demo", "ArrowRight", "ArrowRight")

    await boards.ann.says("“Record the demo” was not saved. Ben was first")
    await expect(boards.ann.card_in("done", "Record the demo")).to_be_visible()
    await assert_all_show(boards, await boards.ben.columns())


async def test_what_happens_while_the_connection_is_cut_is_replayed_exactly(
    boards: DemoPage,
) -> None:
    await boards.ben.press("Pick a date", "ArrowLeft")
    await expect(boards.ann.card_in("doing", "Pick a date")).to_be_visible()
    known = len(await boards.ann.rows())
    await boards.ann.cut()
    await boards.ann.becomes("cut")
    frozen = await boards.ann.columns()
    await boards.ben.press("Record the demo", "ArrowRight", "ArrowRight", "ArrowUp")
    await boards.ben.press("Name the thing", "Delete")
    await boards.ben.add("Book the hall")
    await expect(boards.ben.node.locator("[data-count=pending]")).to_have_text("0")
    assert await boards.ann.columns() == frozen

    await boards.ann.cut(False)
    await boards.ann.becomes("live")
    await assert_all_show(boards, await boards.ben.columns())
    rows, others = await boards.ann.rows(), await boards.ben.rows()
    assert [row["id"] for row in rows] == [row["id"] for row in others]
    assert Counter(row["op"] for row in rows[known:]) == {"update": 3, "delete": 1, "insert": 1}
    assert all(row["badges"] == ["replayed"] for row in rows[known:])
    assert await boards.ann.count("replayed") == 10, "five changes, and the event of each"
    await expect(boards.ann.node.locator(".notice").first).to_have_text("5 missed changes replayed")


async def test_a_write_without_a_connection_is_rolled_back(boards: DemoPage) -> None:
    await boards.ann.cut()
    await boards.ann.press("Record the demo", "ArrowRight")
    await boards.ann.says("was not saved")
    await expect(boards.ann.card_in("todo", "Record the demo")).to_be_visible()


async def test_another_board_is_another_channel(boards: DemoPage) -> None:
    await boards.ann.turn_to("Garden")
    await shows(boards.ann, await boards.demo.columns("garden"))
    assert "channel=board%3Agarden" in boards.streams[-1].url
    assert "launch" not in boards.streams[-1].url

    await boards.ben.press("Record the demo", "ArrowRight")
    await boards.ann.add("Sweep the path")
    await expect(boards.ann.node.locator("[data-count=pending]")).to_have_text("0")
    assert "Sweep the path" not in (await boards.ben.columns())["todo"]

    await boards.ann.turn_to("Launch")
    await assert_all_show(boards, await boards.ben.columns())


async def test_the_keyboard_does_everything_and_keeps_its_place(boards: DemoPage) -> None:
    focused = boards.page.locator(":focus")
    await boards.ann.press("Record the demo", "ArrowDown")
    await expect(boards.ben.column("todo").locator(".title").nth(1)).to_have_text("Record the demo")
    await expect(focused).to_have_text("Record the demo")

    await boards.page.keyboard.press("F2")
    await boards.page.keyboard.type("Film the demo")
    await boards.page.keyboard.press("Enter")
    await expect(boards.ben.card_in("todo", "Film the demo")).to_be_visible()
    await expect(focused).to_have_text("Film the demo")

    await boards.page.keyboard.press("Delete")
    await expect(boards.ben.card("Film the demo")).to_have_count(0)


async def test_a_colleague_moves_something_within_five_seconds(boards: DemoPage) -> None:
    await boards.open("colleague=on")
    for window in (boards.ann, boards.ben):
        event = window.node.locator(".event").get_by_text("Cleo")
        await expect(event.first).to_be_visible(timeout=5000)
        await expect(window.node.locator(".patch li").first).to_be_visible()
    await boards.page.get_by_role("switch", name="Colleague").set_checked(False)


@pytest.mark.parametrize(
    ("width", "height"), [(1280, 800), (844, 390), (720, 600), (390, 844), (320, 568)]
)
async def test_it_fits_on_laptop_and_phone(boards: DemoPage, width: int, height: int) -> None:
    await boards.page.set_viewport_size({"width": width, "height": height})
    await boards.page.reload()
    await boards.ann.becomes("live")
    assert await boards.page.evaluate("document.documentElement.scrollWidth") == width
    await expect(boards.ann.node.locator(".card").first).to_be_in_viewport()
    if height > 600:
        await expect(boards.ben.node.locator(".card").first).to_be_in_viewport()
