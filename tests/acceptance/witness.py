"""What one client saw over all its connections, checked against the contract as it comes."""

from dataclasses import dataclass
from typing import Any

import orjson

from tests.acceptance.replica import Json, Replica
from tests.acceptance.sse_parser import Event

POSITION_DIGITS = 22
CARRIES_ID = {"message": None, "ready": False, "bye": False, "live": True, "heartbeat": True}


def parts_of(cursor: str) -> dict[str, str]:
    """A cursor as the bridge gives it: tag to position."""
    parts = dict(part.split("-") for part in cursor.split(".")) if cursor else {}
    assert all(len(tag) == 8 and len(where) == POSITION_DIGITS for tag, where in parts.items())
    return parts


@dataclass(frozen=True, slots=True)
class Resync:
    """A resync as it was told."""

    channel: str
    reason: str
    cursor: str


class Witness:
    """Fails with AssertionError at the first event that the contract does not allow.

    ``resyncs`` are the reasons that are no failure here. ``whole`` says that the client starts
    before the first write, so every document reaches it whole.
    """

    def __init__(
        self,
        *,
        channels: list[str],
        since: str | None = None,
        whole: bool = True,
        resyncs: frozenset[str] | set[str] = frozenset(),
    ) -> None:
        self.channels = channels
        self.floor = (since + "ffffff")[:POSITION_DIGITS] if since and "-" not in since else ""
        self.place = parts_of(since) if since and "-" in since else {}
        self.cursor = since
        self.replicas = {channel: Replica(whole=whole) for channel in channels}
        self.messages: dict[str, list[dict[str, Json]]] = {channel: [] for channel in channels}
        self.resyncs: list[Resync] = []
        self.goodbyes: list[dict[str, Json]] = []
        self.heartbeats = 0
        self.connections = 0
        self.live = False
        self._ready = False
        self._bye = False
        self._allowed = frozenset(resyncs)
        # Messages whose group had not ended when the connection was cut: they may come again.
        self._open: set[str] = set()
        self._again: set[str] = set()

    def connected(self) -> None:
        """A new connection begins, from ``cursor``."""
        self.connections += 1
        self._ready = self.live = self._bye = False
        self._again |= self._open
        self._open = set()

    def ids(self, channel: str) -> list[str]:
        """The ids of the messages of a channel, in the order they came."""
        return [message["id"] for message in self.messages[channel]]

    def positions(self, channel: str) -> list[str]:
        return [identity.partition("-")[2] for identity in self.ids(channel)]

    def take(self, event: Event) -> dict[str, Json]:
        """Checks one event and returns its data."""
        assert "\n" not in event.data, event
        data: dict[str, Json] = orjson.loads(event.data)
        assert not self._bye, f"after bye: {event}"
        assert (event.type == "ready") != self._ready, f"ready comes first and once: {event}"
        assert event.type in {*CARRIES_ID, "resync"}, f"unknown event {event}"
        if (carries := CARRIES_ID.get(event.type)) is not None:
            assert carries == (event.id is not None), f"id out of place: {event}"
        getattr(self, f"_{event.type}_event")(data, event)
        return data

    def _ready_event(self, data: dict[str, Json], _: Event) -> None:
        assert data["type"] == "ready"
        assert data["channels"] == self.channels, data
        assert data["session"]
        self._ready = True

    def _bye_event(self, data: dict[str, Json], _: Event) -> None:
        assert data["type"] == "bye"
        assert isinstance(data["reconnect"], bool)
        self._bye = True
        self.goodbyes.append(data)

    def _live_event(self, data: dict[str, Json], event: Event) -> None:
        assert data == {"type": "live", "cursor": event.id}, data
        assert not self.live, "live twice on one connection"
        self._move(event)
        self.live = True

    def _heartbeat_event(self, data: dict[str, Json], event: Event) -> None:
        assert data == {"type": "heartbeat", "cursor": event.id}, data
        self._move(event)
        self.heartbeats += 1

    def _resync_event(self, data: dict[str, Json], event: Event) -> None:
        assert data["type"] == "resync"
        resync = Resync(data["channel"], data["reason"], data["cursor"])
        assert resync.channel in self.channels, data
        assert resync.reason in self._allowed, f"{data} after {self.cursor}"
        self.resyncs.append(resync)
        self.replicas[resync.channel] = Replica(whole=False)
        self._move(event)

    def _message_event(self, data: dict[str, Json], event: Event) -> None:
        group = data["messages"] if data["type"] == "batch" else [data]
        fresh = [message for message in group if self._is_fresh(message)]
        self._open |= {message["id"] for message in group}
        self._move(event)
        for message in fresh:
            if event.id is not None:
                tag, _, where = message["id"].partition("-")
                assert self.place[tag] >= where, f"its id is above the cursor: {event}"
            self._keep(message)

    def _is_fresh(self, message: dict[str, Json]) -> bool:
        tag, _, where = message["id"].partition("-")
        if message["id"] in self._again:
            self._again.remove(message["id"])
            return False
        assert where > self.place.get(tag, self.floor), f"not above {self.cursor}: {message}"
        seen = self.messages[message["channel"]]
        assert not seen or seen[-1]["id"] < message["id"] or seen[-1]["id"][:8] != tag, (
            f"out of order after {seen[-1]['id']}: {message}"
        )
        return True

    def _keep(self, message: dict[str, Json]) -> None:
        assert message["type"] == "change", message
        self.messages[message["channel"]].append(message)
        self.replicas[message["channel"]].apply(message)

    def _move(self, event: Event) -> None:
        """Goes to the place that an event's id tells, which is never behind the last one."""
        if event.id is None:
            return
        place = parts_of(event.id)
        gone = self.place.keys() - place.keys()
        assert not gone or self._allowed, f"{event.id} has lost {gone}"
        for tag, where in place.items():
            before = self.place.get(tag, self.floor)
            assert where >= before, f"{event.id} goes back from {self.cursor}"
        self.place, self.cursor = place, event.id
        self._open = set()


class LooseWitness(Witness):
    """One that keeps messages without rebuilding documents: for refs and strange payloads."""

    def _keep(self, message: dict[str, Any]) -> None:
        self.messages[message["channel"]].append(message)
