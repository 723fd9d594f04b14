"""A workload at work: several writers at once on several collections, through any fault."""

import asyncio
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias

from bson import Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, ConnectionFailure, PyMongoError

from tests.acceptance.workload import Workload, Write

Database: TypeAlias = AsyncDatabase[dict[str, Any]]
Collection: TypeAlias = AsyncCollection[dict[str, Any]]
DUPLICATE_KEY = 11000
RETRY = 0.1
TRANSACTION_WRITES = 300


async def create_with_images(database: Database, *names: str) -> None:
    """Collections that keep pre- and post-images."""
    for name in names:
        await database.create_collection(name, changeStreamPreAndPostImages={"enabled": True})


async def now(database: Database) -> str:
    """The bare position of this moment: after everything acknowledged before."""
    reply = await database.command("ping")
    return bare(reply["operationTime"])


def bare(time: Timestamp) -> str:
    return f"{time.time:08x}{time.inc:08x}"


def timestamp(position: str) -> Timestamp:
    return Timestamp(int(position[:8], 16), int(position[8:16], 16))


class Traffic:
    """Writes at least ``count`` times, in bulks and transactions, spread over ``seconds``."""

    def __init__(
        self, *, database: Database, names: list[str], count: int, seconds: float, seed: int
    ) -> None:
        self._database = database
        self._names = names
        self._count = count
        self._seconds = seconds
        self._seed = seed
        self.written = 0

    async def run(self) -> None:
        """Returns once everything is written."""
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(self._names * 2):
                group.create_task(self._writer(number, name))
            group.create_task(self._transactions())

    async def _writer(self, number: int, name: str) -> None:
        pick = random.Random(self._seed * 31 + number)
        writes = Workload(seed=self._seed * 100 + number).writes()
        share = self._count // (2 * len(self._names))
        bulk_size = 9
        pause = self._seconds * bulk_size / (2 * share)
        for _ in range(0, share, bulk_size // 2):
            await self._bulk(self._database[name], writes, pick.randint(1, bulk_size))
            await asyncio.sleep(pick.uniform(0, 2 * pause))

    async def _bulk(self, collection: Collection, writes: Iterator[Write], size: int) -> None:
        bulk = list(islice(writes, size))
        self.written += len(bulk)
        await through_faults(lambda: _ordered(collection, bulk))

    async def _transactions(self) -> None:
        """Six of them, the larger half of 300 writes over all collections."""
        for number in range(6):
            await asyncio.sleep(self._seconds / 8)
            size = TRANSACTION_WRITES if number % 2 else 1 + number
            await through_faults(lambda n=number, s=size: self._transaction(n, s))
            self.written += size

    async def _transaction(self, number: int, size: int) -> None:
        async def write(session: AsyncClientSession) -> None:
            for place, name in enumerate(self._names):
                seed = self._seed * 100 + 50 + number * 5 + place
                share = max(1, size // len(self._names))
                bulk = list(islice(Workload(seed=seed).writes(), share))
                await self._database[name].bulk_write(bulk, session=session)

        async with self._database.client.start_session() as session:
            await session.with_transaction(write)


async def _ordered(collection: Collection, bulk: list[Write]) -> None:
    try:
        await collection.bulk_write(bulk)
    except BulkWriteError as error:
        # A bulk that is tried again after a crash meets what it had inserted before.
        if any(one["code"] != DUPLICATE_KEY for one in error.details["writeErrors"]):
            raise


async def through_faults(write: Any) -> None:
    """Tries again for as long as there is no MongoDB to answer."""
    while True:
        try:
            await write()
        except ConnectionFailure:
            await asyncio.sleep(RETRY)
        except PyMongoError as error:
            if _is_duplicate(error):
                return
            if not error.has_error_label("RetryableWriteError"):
                raise
            await asyncio.sleep(RETRY)
        else:
            return


def _is_duplicate(error: PyMongoError) -> bool:
    if isinstance(error, BulkWriteError):
        return all(one["code"] == DUPLICATE_KEY for one in error.details["writeErrors"])
    return False
