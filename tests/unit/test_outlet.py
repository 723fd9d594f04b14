"""A socket and how it drains."""

import asyncio

import pytest

from bridge import outlet
from bridge.outlet import LOW_WATER, YOUNG, Outlet
from tests.fakes import FakeTransport

FULL = b"x" * (LOW_WATER + 1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "POLL", 0)


class Socket:
    """A stuck client's socket, full, and somebody who waits until it has drained."""

    def __init__(self) -> None:
        self.transport = FakeTransport()
        self.transport.stuck = True
        self.given_up = False
        out = Outlet(self.transport, max_write=LOW_WATER)
        out.write(FULL)
        self.waits = asyncio.create_task(out.drained(lambda: self.given_up))


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_it_has_drained_when_little_is_unsent() -> None:
    one, other = Socket(), Socket()
    await turns()
    one.transport.read(1)
    await turns()
    assert one.waits.done()
    assert one.waits.result() is True
    assert not other.waits.done()
    other.transport.read()
    await turns()
    assert other.waits.result() is True


async def test_a_wait_that_is_given_up_says_so() -> None:
    one = Socket()
    await turns()
    one.given_up = True
    await turns()
    assert one.waits.result() is False


async def test_who_has_waited_for_long_is_looked_at_now_and_then() -> None:
    old = Socket()
    await turns(2 * YOUNG)
    young = Socket()
    await turns(2)
    old.transport.read()
    young.transport.read()
    await turns(3)
    assert young.waits.done()
    await turns(20)
    assert old.waits.done()


async def test_a_wait_that_is_cancelled_leaves_nothing_behind() -> None:
    one = Socket()
    await turns()
    one.waits.cancel()
    await turns()
    drains = outlet._DRAINS[asyncio.get_running_loop()]
    assert not drains._waiting
    assert not drains._ticking
