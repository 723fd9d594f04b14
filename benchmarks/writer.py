"""The writer: documents with a time, a number and padding, acknowledged by the majority."""

import time
from typing import Any

from pymongo import WriteConcern
from pymongo.collection import Collection

from benchmarks.stand import DATABASE, Client

SIZE = 300
"""Bytes of JSON of a document, its ``_id`` aside."""

Documents = Collection[dict[str, Any]]


def documents(client: Client, name: str) -> Documents:
    """The collection, writing with w:majority."""
    majority = WriteConcern("majority")
    return client[DATABASE].get_collection(name, write_concern=majority)


def document(number: int) -> dict[str, Any]:
    """A document stamped with the present time (``t``, Unix time in ns)."""
    # A string: plain JSON would carry the number, which is beyond 53 bits, as one anyway.
    found = {"t": str(time.time_ns()), "n": number}
    return {**found, "pad": "x" * (SIZE - len(f'{{"t":"{found["t"]}","n":{number},"pad":""}}'))}


def write_paced(into: Documents, *, first: int, count: int, rate: float) -> dict[int, int]:
    """Inserts ``count`` documents one by one at ``rate`` per second.

    Gives for each number the time (Unix, ns) at which the majority had acknowledged it.
    A write that is late does not delay the schedule of those after it.
    """
    acknowledged: dict[int, int] = {}
    begin = time.monotonic()
    for index in range(count):
        time.sleep(max(0.0, begin + index / rate - time.monotonic()))
        into.insert_one(document(first + index))
        acknowledged[first + index] = time.time_ns()
    return acknowledged


def write_burst(into: Documents, *, first: int, count: int) -> None:
    """Inserts ``count`` documents as fast as MongoDB takes them."""
    into.insert_many([document(first + index) for index in range(count)], ordered=True)
