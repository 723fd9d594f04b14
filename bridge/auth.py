"""Access: which channels a client may read."""

from collections.abc import Sequence
from typing import Protocol

from bridge.templates import Pattern


class Access(Protocol):
    """What one client may do."""

    def may_read(self, channel: str) -> bool:
        """Whether the client may read the channel, be there one of that name or not."""


class Anonymous:
    """The access of a client that shows nothing: the configured patterns, by default none."""

    __slots__ = ("_patterns",)

    def __init__(self, *, patterns: Sequence[str] = ()) -> None:
        """Reads the patterns; raises ConfigError where one cannot be matched."""
        self._patterns = tuple(map(Pattern, patterns))

    def may_read(self, channel: str) -> bool:
        """Whether one of the patterns matches the channel."""
        return any(pattern.matches(channel) for pattern in self._patterns)
