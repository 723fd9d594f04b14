"""One reading of the state of channels: its chunks, and who follows it at what pace."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from bridge.errors import Unavailable
from bridge.events import Chunk

GRACE = 5.0
"""Seconds that a reading waits for one who is behind while another has everything."""


@dataclass(slots=True)
class Budget:
    """The bytes that all readings hold together."""

    used: int = 0


@dataclass(slots=True, eq=False)
class Reading:
    """A reading under way or finished; its chunks are kept for those who are to have them."""

    due: float
    """Loop time at which it begins, at the earliest."""
    budget: Budget
    begun: bool = False
    reads: bool = False
    """Asks MongoDB now, and does not wait: for its turn or for those who follow."""
    finished: bool = False
    current: bool = True
    """Is the newest of its channels, and not too old."""
    error: BaseException | None = None
    size: int = 0
    """Bytes held."""
    task: asyncio.Task[None] | None = None
    _chunks: list[Chunk] = field(default_factory=list)
    _dropped: int = 0
    _followers: dict[object, int] = field(default_factory=dict)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def position(self) -> str:
        """Where the state stands, once that is known."""
        return self._chunks[0].position if self._chunks else ""

    @property
    def whole(self) -> bool:
        """Whether one who comes now can have all of it."""
        return self.current and not self._dropped and not self.error

    @property
    def followed(self) -> bool:
        """Whether somebody is still to have some of it."""
        return bool(self._followers)

    async def follow(self) -> AsyncGenerator[Chunk, None]:
        """All chunks; raises Unavailable where not all can be had."""
        me = object()
        self._followers[me] = 0
        try:
            while (taken := self._followers.get(me)) is not None:
                if taken - self._dropped < len(self._chunks):
                    self._followers[me] += 1
                    chunk = self._chunks[taken - self._dropped]
                    self._wake()
                    yield chunk
                elif self.error:
                    raise Unavailable(f"no snapshot now: {self.error}") from self.error
                elif self.finished:
                    return
                else:
                    await self._moved.wait()
            raise Unavailable("no snapshot now: it was taken too slowly")
        finally:
            self._followers.pop(me, None)
            self._wake()

    def add(self, chunk: Chunk) -> None:
        """One more chunk for all."""
        self._chunks.append(chunk)
        self._hold(len(chunk.documents))
        self._wake()

    def end(self, error: BaseException | None) -> None:
        """Nothing more comes: everything is there, or there is an error."""
        if not self.finished:
            self.finished, self.error = True, error
            self._wake()

    def forget_given(self) -> None:
        """Lets go of what every follower has, or of all: nobody can have the start any more."""
        last = self._dropped + len(self._chunks)
        least = min(self._followers.values(), default=last)
        given = self._chunks[: least - self._dropped]
        del self._chunks[: len(given)]
        self._dropped = least
        self._hold(-sum(len(chunk.documents) for chunk in given))

    async def until_taken(self) -> None:
        """Waits until a follower has moved; who holds the others up for long is left behind."""
        try:
            async with asyncio.timeout(GRACE):
                await self._moved.wait()
        except TimeoutError:
            self._leave_behind()

    def _leave_behind(self) -> None:
        last = self._dropped + len(self._chunks)
        if last in self._followers.values():
            least = min(self._followers.values())
            behind = [who for who, taken in self._followers.items() if taken == least < last]
            for who in behind:
                del self._followers[who]
            self._wake()

    def _hold(self, size: int) -> None:
        self.size += size
        self.budget.used += size

    def _wake(self) -> None:
        """Lets everybody look again."""
        self._moved.set()
        self._moved = asyncio.Event()
