"""A page that follows channels as any page would: plain EventSource, and nothing else."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from playwright.async_api import Page, Request

OPEN = """(url) => {
    window.got = [];
    window.source = new EventSource(url);
    const take = ({ type, lastEventId, data }) => got.push({ name: type, id: lastEventId, data });
    source.onmessage = take;
    for (const name of ["ready", "live", "resync", "heartbeat", "bye"]) {
        source.addEventListener(name, take);
    }
}"""
HAS = """([name, text, times]) => {
    const found = got.filter((event) => event.name === name && event.data.includes(text));
    return found.length >= times;
}"""
RESTART_LIMIT = 20_000
"""Milliseconds: EventSource waits longer and longer while nothing answers."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event as the page's handler got it: its name, ``lastEventId``, and parsed data."""

    name: str
    id: str
    data: Mapping[str, Any]


class Listener:
    """One EventSource in one page; ``requests`` are the connections that it made."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.requests: list[Request] = []
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if "/sse?" in request.url:
            self.requests.append(request)

    async def open(self, bridge: str, channels: Iterable[str], *, since: str) -> Self:
        query = [("channel", channel) for channel in channels]
        await self._page.evaluate(OPEN, f"{bridge}/sse?{urlencode([*query, ('since', since)])}")
        return self

    async def until(self, name: str, text: str = "", *, times: int = 1) -> None:
        """Returns once so many events of that name, with that text in their data, have come."""
        await self._page.wait_for_function(HAS, arg=[name, text, times], timeout=RESTART_LIMIT)

    async def events(self, *names: str) -> list[Event]:
        """What came until now, or those of these names, in order."""
        got = await self._page.evaluate("got")
        events = [Event(one["name"], one["id"], json.loads(one["data"])) for one in got]
        return [event for event in events if not names or event.name in names]

    async def has_given_up(self) -> bool:
        return bool(await self._page.evaluate("source.readyState === EventSource.CLOSED"))
