"""How events become bytes on a connection: one protocol, whatever carries them."""

from collections.abc import Sequence
from typing import Protocol

from bridge.events import Message


class Wire(Protocol):
    """One way of putting events on a connection. Stateless, so that all connections share it."""

    shows_places: bool
    """Whether each event can show the connection's place, and not only what is in its data."""

    def event(self, name: str, body: bytes, cursor: str = "") -> bytes:
        """One event; the cursor is shown where the wire can. No name: the default type."""
        ...

    def messages(self, run: Sequence[Message], before: str, after: str) -> list[bytes]:
        """Each message (no resyncs) as an event, with what stands around its position in cursors.

        The same as ``event`` for each; this is where the time of fan-out goes.
        """
        ...

    def goodbye(self, body: bytes, delay: int) -> bytes:
        """The last event; the client is asked to come back after ``delay`` milliseconds."""
        ...

    def pulse(self) -> bytes:
        """A sign of life that says nothing."""
        ...

    def whole(self, data: bytes) -> bytes:
        """Any number of events, as they are written in one go."""
        ...
