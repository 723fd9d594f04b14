"""Where in the oplog one reading of a change stream stands."""

from collections.abc import Mapping
from typing import Any

from bson import Timestamp

from bridge.documents import iso_date
from bridge.errors import HistoryLost
from bridge.events import (
    START_OF_INSTANT,
    Change,
    Document,
    Namespace,
    after_change,
    seconds_of,
    time_of,
)
from bridge.pipelines import ENDINGS

CAREFULLY = 1000
"""Batches of one event that are read after one that was too large."""


class Point:
    """Where in the oplog a reading stands, and how it opens its next cursor."""

    def __init__(self, start: str, most: int) -> None:
        self.most = most
        """Changes that are asked for at once."""
        self.head = start + START_OF_INSTANT
        self.careful = 0
        """For so many batches reads one event at a time: one too large to be read is near."""
        self.blind = False
        """Asks for no images: the next event is too large to be read with them."""
        self.told = False
        """The last change read says why a stream ends."""
        self._start = start
        self._token: Any = None
        self._time = ""
        self._ordinal = 0

    def options(self) -> Document:
        """How the change stream is to start."""
        if self._token is not None:
            return {"resumeAfter": self._token}
        self._time, self._ordinal = "", 0
        return {"startAtOperationTime": timestamp(self._start)}

    def number(self, token: Mapping[str, Any], op: str) -> tuple[str, int]:
        """The next change's cluster time, from its token, and its ordinal there."""
        time = _time_of_token(token)
        self._ordinal = self._ordinal + 1 if time == self._time else 1
        self._time = time
        self.told = op in ENDINGS
        return time, self._ordinal

    def reach(self, token: Mapping[str, Any]) -> None:
        """Everything numbered so far and all before the token's time has been given."""
        given = after_change(self._time, self._ordinal) if self._time else ""
        self.head = max(self.head, given, _time_of_token(token) + START_OF_INSTANT)
        self._start, self._token = time_of(self.head), None
        self.careful = max(0, self.careful - 1)

    def step_over(self, token: Any, change: Change) -> None:
        """Goes on right behind a change that was too large to be read."""
        self.head = after_change(change.time, change.ordinal)
        self._time, self._ordinal = change.time, change.ordinal
        self._start, self._token = change.time, token
        self.careful, self.blind = 0, False

    def be_careful(self) -> None:
        """An event too large to be read has been met: look closer, then step over it.

        Raises HistoryLost where it is too large even without images: nothing leads past it.
        """
        if self.blind:
            raise HistoryLost("an event is above 16 MB even without images; it cannot be read")
        self.careful, self.blind = CAREFULLY, self.careful > 0
        self._token = None

    def silent_drop(self, scope: Namespace) -> Change:
        """Stands for the drop that ended the stream but was hidden by the pipeline."""
        time = time_of(self.head)
        ordinal = self._ordinal + 1 if time == self._time else 1
        self.head = after_change(time, ordinal)
        return Change(time, ordinal, "drop", scope, wall=instant(time))

    def pass_end(self) -> None:
        """The stream ended (invalidated): the next one starts right after its last instant."""
        self._start = _next(time_of(self.head))
        self.head = max(self.head, self._start + START_OF_INSTANT)
        self._token = None


def timestamp(time: str) -> Timestamp:
    """A cluster time as MongoDB writes it."""
    return Timestamp(seconds_of(time), int(time[8:16], 16))


def instant(time: str) -> str:
    """The second of a cluster time, for a change whose wall clock time is not known."""
    return iso_date(timestamp(time).as_datetime().replace(tzinfo=None))


def _next(time: str) -> str:
    return f"{int(time, 16) + 1:016x}"


def _time_of_token(token: Mapping[str, Any]) -> str:
    """The cluster time inside a resume token (characters 2 to 18 of its hex string)."""
    return str(token["_data"])[2:18].lower()
