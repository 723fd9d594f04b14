"""How a piece of work ended, also where nobody foresaw it."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def outcome_of(
    work: Coroutine[Any, Any, None], *, limit: float | None = None
) -> BaseException | None:
    """Does the work and returns the error that ended it, None where there was none.

    After ``limit`` seconds it is cancelled, and the error is a TimeoutError. Who is cancelled
    while waiting here takes the work along, and goes on once it has ended.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=limit)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    return error if done else TimeoutError()
