"""The demo's page as its reader sees it: state, counters, cards and messages."""

import json
from typing import Any

from playwright.async_api import Page, Request, expect

from tests.browser.demo_process import DemoProcess

CARDS = """() => [...document.querySelectorAll(".card")].map((card) => ({
    key: card.dataset.order,
    number: card.querySelector(".number").textContent,
    shop: card.closest(".shop").dataset.shop,
    state: card.closest(".group").dataset.state,
    document: card.dataset.document,
}))"""
ROWS = """() => [...document.querySelectorAll(".row")].map((row) => ({
    id: row.dataset.message,
    channel: row.dataset.channel,
    outcome: row.dataset.outcome,
    replayed: row.dataset.replayed === "true",
}))"""
HISTORY = """async () => {
    const { since } = await (await fetch("demo/start")).json();
    const ids = [];
    for (const shop of ["north", "south", "harbour"]) {
        const answer = await fetch(`channels/orders:${shop}/history?limit=1000&since=${since}`);
        const { messages, complete } = await answer.json();
        if (!complete) throw new Error("more than 1000 messages");
        ids.push(...messages.map(({ id }) => id));
    }
    return ids;
}"""
SHOWN = 300
"""Rows that the page keeps."""


class DemoPage:
    """The page of a demo; ``connections`` are its requests for the stream."""

    def __init__(self, page: Page, demo: DemoProcess) -> None:
        self.page = page
        self.demo = demo
        self.connections: list[Request] = []
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if "/sse?" in request.url:
            self.connections.append(request)

    async def open(self) -> None:
        await self.page.goto(self.demo.url)
        await self.becomes("live")

    async def becomes(self, state: str) -> None:
        """Returns once the page says that its connection is so."""
        await expect(self.page.locator("body")).to_have_attribute("data-state", state)

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def count(self, name: str) -> int:
        return int(await self.page.locator(f"[data-count={name}]").inner_text())

    async def cards(self) -> dict[str, Any]:
        """The documents on the page, by key; each card stands where its document says."""
        found = await self.page.evaluate(CARDS)
        documents = {card["key"]: json.loads(card["document"]) for card in found}
        assert len(documents) == len(found), "an order has two cards"
        for card in found:
            document = documents[card["key"]]
            assert card["number"] == f"#{document['number']}"
            assert card["shop"] == f"orders:{document['shop']}"
            assert card["state"] == document["state"]
        return documents

    async def rows(self) -> list[dict[str, Any]]:
        """The messages on the page, oldest first."""
        rows: list[dict[str, Any]] = await self.page.evaluate(ROWS)
        return rows[::-1]

    async def history(self) -> list[str]:
        """The ids of all messages since the first order, as the bridge has them, oldest first."""
        return sorted(await self.page.evaluate(HISTORY))
