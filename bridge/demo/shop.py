"""The writer of the demo: a few shops whose orders move on, a few writes a second."""

import asyncio
import itertools
from datetime import UTC, datetime
from random import Random
from typing import Any, Self

import structlog
from bson import ObjectId
from pymongo import AsyncMongoClient, ReturnDocument
from pymongo.errors import PyMongoError

from bridge.demo.orders import Write, next_write
from bridge.events import Document, cluster_time

DATABASE = "shop"
COLLECTION = "orders"
FIRST_NUMBER = 1001
FIRST_ORDERS = 7
"""Written at once, so that nobody looks at an empty page."""
RETRY = 1.0
"""Seconds until a write that failed is followed by the next one."""


class Shop:
    """Writes orders into ``shop.orders``, ``pace`` seconds apart on average.

    ``seed`` makes what happens repeatable.
    """

    def __init__(self, *, uri: str, pace: float = 0.4, seed: int | None = None) -> None:
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(uri, tz_aware=True)
        self._collection = self._client[DATABASE][COLLECTION]
        self._pace = pace
        self._random = Random(seed)
        self._numbers = itertools.count(FIRST_NUMBER)
        self._number = next(self._numbers)
        self._orders: dict[ObjectId, Document] = {}
        self._log = structlog.get_logger()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def open(self) -> str:
        """Makes the collection anew, with pre- and post-images and no order in it.

        Returns the cluster time (16 hex digits) after which the first order is written: from
        there a reading of the oplog gives all orders.
        """
        await self._collection.drop()
        await self._client[DATABASE].create_collection(
            COLLECTION, changeStreamPreAndPostImages={"enabled": True}
        )
        reply: dict[str, Any] = await self._client.admin.command("ping")
        return cluster_time(reply["operationTime"].time, reply["operationTime"].inc)

    async def run(self) -> None:
        """Writes until cancelled; says once when MongoDB stops taking writes."""
        failing = False
        while True:
            try:
                await self.step()
                failing = False
            except PyMongoError as error:
                if not failing:
                    self._log.warning("orders cannot be written", error=str(error))
                failing = True
                await asyncio.sleep(RETRY)
            if len(self._orders) >= FIRST_ORDERS:
                await asyncio.sleep(self._pace * self._random.uniform(0.5, 1.5))

    async def step(self) -> Write:
        """Does the next thing that happens in the shops; raises PyMongoError."""
        # MongoDB keeps milliseconds.
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        write = next_write(
            list(self._orders.values()), number=self._number, now=now, random=self._random
        )
        await self._do(write)
        return write

    async def _do(self, write: Write) -> None:
        if write.op == "insert":
            await self._collection.insert_one(write.body)
            self._orders[write.key] = write.body
            self._number = next(self._numbers)
            return
        if write.op == "delete":
            await self._collection.delete_one({"_id": write.key})
            del self._orders[write.key]
            return
        after = await self._collection.find_one_and_update(
            {"_id": write.key}, write.body, return_document=ReturnDocument.AFTER
        )
        if after is None:  # somebody else deleted it
            del self._orders[write.key]
        else:
            self._orders[write.key] = after
