"""Pages of history of channels that collect or conflate."""

import asyncio
from typing import Any

import orjson
import pytest

from bridge.audience import Interest
from bridge.batching import Batching
from bridge.events import Message
from bridge.feed import Feed
from bridge.history import History
from bridge.hub import Hub
from bridge.paging import Page
from bridge.reader import Reader
from bridge.sse_wire import PLAIN
from tests.fakes import at, start_of


def feed(**batching: Any) -> Feed:
    history = History(floor=start_of(1), window=1 << 30, max_messages=1000, max_bytes=1 << 20)
    made = Feed(name="todos", tag="1f3a9c02", history=history, batching=Batching(**batching))
    made.started = True
    return made


def about(second: int, document: str, channel: str = "a") -> Message:
    body = orjson.dumps({"id": at(second), "channel": channel})
    return Message(at(second), channel, body, "", document)


class NoBackfills:
    async def fetch(self, feed: Feed, reader: Reader) -> None:
        raise AssertionError("everything is in memory")

    def release(self, reader: Reader) -> None:
        raise AssertionError("nobody waits")


def publish(hub: Hub, to: Feed, *run: Message) -> None:
    hub.publish(to, run, run[-1].position)


async def filled(hub: Hub, of: Feed, after: str, *, limit: int = 100, wait: float = 0) -> Page:
    page = Page(interest=Interest(((of, ("a",)),), PLAIN), place=after, limit=limit)
    await page.fill(hub, NoBackfills(), wait)
    return page


def ids(page: Page) -> list[list[str]]:
    """The ids in each batch of a page."""
    return [[m["id"] for m in orjson.loads(body)["messages"]] for body in page.bodies]


@pytest.fixture
async def hub() -> Hub:
    return Hub(flush_interval=0, max_write=1 << 20)


async def test_a_window_gives_batches_and_the_limit_counts_messages(hub: Hub) -> None:
    todos = feed(window=3600.0, max_messages=3)
    publish(hub, todos, *(about(second, f"d{second}") for second in range(2, 12)))
    hub.flush(windows=True)
    page = await filled(hub, todos, start_of(1), limit=7)
    assert [len(batch) for batch in ids(page)] == [3, 3, 1]
    assert orjson.loads(page.bodies[0])["type"] == "batch"
    assert (page.place, page.complete) == (at(8), False)
    rest = await filled(hub, todos, page.place, limit=7)
    assert ids(rest) == [[at(9), at(10), at(11)]]
    assert rest.complete


async def test_what_waits_in_a_window_is_not_there_yet(hub: Hub) -> None:
    todos = feed(window=3600.0)
    publish(hub, todos, about(2, "d"))
    page = await filled(hub, todos, start_of(1))
    assert (page.bodies, page.place, page.complete) == ([], start_of(1), True)


async def test_a_long_poll_ends_with_the_window(hub: Hub) -> None:
    todos = feed(window=3600.0)
    polling = asyncio.create_task(filled(hub, todos, start_of(1), wait=60))
    await asyncio.sleep(0)
    publish(hub, todos, about(2, "d"), about(3, "e"))
    await asyncio.sleep(0)
    assert not polling.done()
    hub.flush(windows=True)
    assert ids(await polling) == [[at(2), at(3)]]


async def test_conflation_gives_the_latest_page_by_page(hub: Hub) -> None:
    todos = feed(conflate=True)
    publish(hub, todos, *(about(second, f"d{second % 4}") for second in range(2, 42)))
    hub.flush()
    place, complete, read = start_of(1), False, []
    while not complete:
        page = await filled(hub, todos, place, limit=3)
        read += [each.position for each in page.messages]
        place, complete = page.place, page.complete
    assert read == [at(38), at(39), at(40), at(41)]
    assert place == at(41)


async def test_pages_of_a_conflating_window_lead_to_the_same_documents(hub: Hub) -> None:
    todos = feed(conflate=True, window=3600.0)
    held: dict[str, str] = {}
    place = start_of(1)
    for second in range(2, 60):
        publish(hub, todos, about(second, f"d{second % 5}"))
        if second % 7 == 0:
            hub.flush(windows=True)
        page = await filled(hub, todos, place, limit=2)
        held |= {each.document: each.position for each in page.messages}
        place = page.place
    hub.flush(windows=True)
    complete = False
    while not complete:
        page = await filled(hub, todos, place, limit=2)
        held |= {each.document: each.position for each in page.messages}
        place, complete = page.place, page.complete
    assert held == {f"d{second % 5}": at(second) for second in range(55, 60)}
