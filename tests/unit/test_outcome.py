"""How a piece of work ended."""

import asyncio

import pytest

from bridge.outcome import outcome_of


class Work:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.ended = False

    async def done(self, turns: int = 0) -> None:
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
            if self.error:
                raise self.error
        finally:
            self.ended = True


async def test_it_tells_the_error_or_none() -> None:
    error = KeyError("x")
    assert await outcome_of(Work().done()) is None
    assert await outcome_of(Work(error).done(3)) is error


async def test_after_its_limit_it_has_been_cancelled() -> None:
    work = Work()
    assert isinstance(await outcome_of(work.done(1 << 30), limit=0), TimeoutError)
    assert work.ended


async def test_who_waits_and_is_cancelled_takes_the_work_along() -> None:
    work = Work()
    waiting = asyncio.create_task(outcome_of(work.done(1 << 30)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.ended
