"""The keys that an identity provider publishes at a URL, kept and renewed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog
from aiohttp import ClientError, ClientSession

from bridge.errors import Unavailable

LARGEST = 262144
"""Bytes of a key set that are read."""

PATIENCE = 5.0
"""Seconds that a fetch may take."""

REFRESH = 600.0
"""Seconds after which the keys are fetched again, beside the requests."""

PAUSE = 10.0
"""Seconds between two fetches, however many keys are asked for that there are not."""

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
_OK = 200

Keys = TypeVar("Keys")
Found = TypeVar("Found")

log = structlog.get_logger("bridge.keyset")


class KeySet(Generic[Keys]):
    """What one URL publishes, as ``read`` understands it. An outage keeps what there was.

    ``fetch`` and ``read`` raise Unavailable where there are no keys to be had.
    """

    def __init__(
        self,
        *,
        url: str,
        fetch: Callable[[str], Awaitable[bytes]],
        read: Callable[[bytes], Keys],
        clock: Callable[[], float] = time.monotonic,
        limit: float = PATIENCE,
    ) -> None:
        """``limit`` is how many seconds a fetch may take."""
        self.url = url
        self._fetch = fetch
        self._read = read
        self._clock = clock
        self._limit = limit
        self._keys: Keys | None = None
        self._failure = ""
        self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, search: Callable[[Keys], Found | None]) -> Found | None:
        """What ``search`` finds, if need be in keys fetched just now; None if they have it not.

        Raises Unavailable where that cannot be known: the keys could not be fetched.
        """
        found = self._search(search)
        age = self._clock() - self._tried
        if found is None and (self._fetching or age >= PAUSE):
            # Not a fetch of the client's own: it goes on for the others if the client leaves.
            await asyncio.shield(self._begin())
            found = self._search(search)
        elif age >= REFRESH:
            self._begin()
        if found is None and self._failure:
            raise Unavailable("the keys that tokens are checked with cannot be fetched now")
        return found

    async def load(self) -> Keys:
        """The keys, fetched now; raises Unavailable, which says why they cannot be."""
        await asyncio.shield(self._begin())
        if self._failure or self._keys is None:
            raise Unavailable(f"{self.url}: {self._failure}")
        return self._keys

    async def close(self) -> None:
        """Ends a fetch under way."""
        if self._fetching:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def _search(self, search: Callable[[Keys], Found | None]) -> Found | None:
        return None if self._keys is None else search(self._keys)

    def _begin(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried = self._clock()
            self._fetching = asyncio.create_task(self._renew(), name=f"keys of {self.url}")
            self._fetching.add_done_callback(self._ended)
        return self._fetching

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(self._limit):
                body = await self._fetch(self.url)
            self._keys = self._read(body)
        except TimeoutError:
            self._failed(f"no answer within {self._limit:g} s")
        except Unavailable as error:
            self._failed(str(error))
        else:
            if self._failure:
                log.info("the keys for tokens can be fetched again", url=self.url)
            self._failure = ""

    def _failed(self, why: str) -> None:
        if not self._failure:
            log.warning("the keys for tokens cannot be fetched", url=self.url, why=why)
        self._failure = why


async def fetch_keys(url: str) -> bytes:
    """What the URL answers; raises Unavailable: no answer, a redirect, an error, too much."""
    body = bytearray()
    try:
        async with (
            ClientSession(auto_decompress=False, headers=_HEADERS) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != _OK:
                raise Unavailable(f"it answers {response.status}")
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > LARGEST:
                    raise Unavailable(f"it answers more than {LARGEST} bytes")
    except (ClientError, OSError, ValueError) as error:
        raise Unavailable(f"it cannot be reached: {error}") from error
    return bytes(body)
