"""The yardstick for throughput: PyMongo's own change stream and nothing behind it."""

import asyncio
import sys
import time
from typing import Any

from pymongo import AsyncMongoClient


async def read(uri: str, database: str, collection: str, count: int) -> int:
    """Reads ``count`` changes with both images; gives the time of the last (Unix, ns)."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    stream = await client[database][collection].watch(
        full_document="whenAvailable", full_document_before_change="whenAvailable"
    )
    print("open", flush=True)
    seen = 0
    async for _ in stream:
        seen += 1
        if seen == count:
            break
    end = time.time_ns()
    await stream.close()
    await client.close()
    return end


if __name__ == "__main__":
    _, uri, database, collection, count = sys.argv
    print("read", asyncio.run(read(uri, database, collection, int(count))), flush=True)
    # Stays until it is ended, so that its CPU time can still be read.
    time.sleep(600)
