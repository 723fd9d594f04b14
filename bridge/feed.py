"""One watcher as its listeners know it: its history, and up to where it has been given out."""

from bridge.batching import Batching
from bridge.events import Message
from bridge.history import History
from bridge.redaction import NO_REDACTION, Redaction

PLAIN = Batching()


class Feed:
    """A watcher's history, what waits for the next flush, and whether it can be served."""

    def __init__(
        self,
        *,
        name: str,
        tag: str,
        history: History,
        batching: Batching = PLAIN,
        redaction: Redaction = NO_REDACTION,
    ) -> None:
        self.name = name
        self.tag = tag
        self.history = history
        self.batching = batching
        self.redaction = redaction
        self.flushed = history.head
        """Up to here every listener that is level has been given everything."""
        self.pending: list[Message] = []
        self.started = False
        """Has passed the cluster time read at its start."""
        self.joined_up = history.floor
        """The stream has had no gap since this position."""
        self.failed = ""
        """Why it cannot run, while it cannot."""

    @property
    def absent(self) -> bool:
        """Has nothing to give: it failed before it ever started."""
        return bool(self.failed) and not self.started
