"""The demo's page as its visitor sees it: windows, columns of cards, messages, switches."""

from typing import Any, TypeAlias

from playwright.async_api import ConsoleMessage, Locator, Page, Request, expect

from tests.browser.demo_process import DemoProcess

COLUMNS = """(window) => Object.fromEntries(
    [...window.querySelectorAll(".column")].map((column) => [
        column.dataset.column,
        [...column.querySelectorAll(".title")].map((title) => title.textContent),
    ]),
)"""
ROWS = """(window) => [...window.querySelectorAll(".row")].map((row) => ({
    id: row.dataset.message,
    op: row.dataset.op,
    label: row.querySelector(".label").textContent,
    badges: [...row.querySelectorAll(".badge")].map((badge) => badge.textContent),
}))"""

Columns: TypeAlias = dict[str, list[str]]


class DemoWindow:
    """One person's window."""

    def __init__(self, page: Page, name: str) -> None:
        self.node = page.locator(f"[data-window={name}]")
        self._page = page

    async def becomes(self, state: str) -> None:
        """Returns once it says that its connection is so."""
        await expect(self.node).to_have_attribute("data-state", state)

    async def turn_to(self, board: str) -> None:
        await self.node.get_by_role("button", name=board, exact=True).click()
        await self.becomes("live")

    def card(self, title: str) -> Locator:
        return self.node.locator(".card").filter(has=self._page.get_by_text(title, exact=True))

    def card_in(self, column: str, title: str) -> Locator:
        return self.column(column).locator(".title").get_by_text(title, exact=True)

    def column(self, name: str) -> Locator:
        return self.node.locator(f"[data-column={name}]")

    async def add(self, title: str, column: str = "todo") -> None:
        field = self.column(column).locator(".add input")
        await field.fill(title)
        await field.press("Enter")

    async def press(self, title: str, *keys: str) -> None:
        """Keys on a task."""
        button = self.card(title).locator(".title")
        await button.focus()
        for key in keys:
            await self._page.keyboard.press(key)

    async def drag(self, title: str, column: str) -> None:
        """By the mouse, to the upper end of a column."""
        start = await _box(self.card(title))
        end = await _box(self.column(column).locator("h3"))
        mouse = self._page.mouse
        await mouse.move(start["x"] + 20, start["y"] + 12)
        await mouse.down()
        await mouse.move(end["x"] + 40, end["y"] + 10, steps=6)
        await mouse.up()

    async def trouble(self, *, latency: str = "0", refuse: str = "") -> None:
        await self.node.locator("[name=latency]").select_option(latency)
        await self.node.locator("[name=refuse]").select_option(refuse)

    async def cut(self, pulled: bool = True) -> None:
        await self.node.locator("[name=cut]").set_checked(pulled)

    async def says(self, text: str) -> None:
        """Returns once it has said so, and nothing that is older still stands there."""
        await expect(self.node.locator(".toast").last).to_contain_text(text)

    async def count(self, name: str) -> int:
        return int(await self.node.locator(f"[data-count={name}]").inner_text())

    async def columns(self) -> Columns:
        """The titles in each column."""
        found: Columns = await self.node.evaluate(COLUMNS)
        return found

    async def rows(self) -> list[dict[str, Any]]:
        """The changes that are shown, oldest first."""
        rows: list[dict[str, Any]] = await self.node.evaluate(ROWS)
        return rows[::-1]


class DemoPage:
    """Both windows; ``streams`` are requests for event streams, ``complaints`` the console's."""

    def __init__(self, page: Page, demo: DemoProcess) -> None:
        self.page = page
        self.demo = demo
        self.ann = DemoWindow(page, "Ann")
        self.ben = DemoWindow(page, "Ben")
        self.streams: list[Request] = []
        self.complaints: list[str] = []
        page.on("request", self._note)
        page.on("console", self._hear)

    def _note(self, request: Request) -> None:
        if "/sse?" in request.url:
            self.streams.append(request)

    def _hear(self, message: ConsoleMessage) -> None:
        # Refusals that a test has asked for are errors to the browser, too.
        asked_for = "/api/boards/" in message.location["url"]
        if message.type in ("error", "warning") and not asked_for:
            self.complaints.append(message.text)

    async def open(self, query: str = "colleague=off") -> None:
        await self.page.goto(f"{self.demo.url}?{query}")
        for window in (self.ann, self.ben):
            await window.becomes("live")


async def _box(locator: Locator) -> dict[str, float]:
    box = await locator.bounding_box()
    assert box
    return {"x": box["x"], "y": box["y"]}
