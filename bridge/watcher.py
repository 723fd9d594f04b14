"""One watcher: what its stream's changes become on its channels."""

import hashlib
from collections.abc import Callable
from functools import lru_cache

import orjson

from bridge import events
from bridge.encode import NO_DOCUMENT, Encoder
from bridge.events import Change, Message
from bridge.feed import Feed
from bridge.routing import Route
from bridge.templates import Rule

NUMBERING = 1
"""Counts up when the same changes get other positions: then every tag changes."""


def tag_of(**identity: object) -> str:
    """The tag of a watcher: 8 hex digits over all that its positions depend on."""
    text = orjson.dumps({"numbering": NUMBERING, **identity}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:8]


class Watcher:
    """Turns changes into messages at positions; the same changes always into the same.

    ``refuse`` is told the reason for each change, or name, that goes to no channel.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        rule: Rule,
        route: Route,
        encoder: Encoder,
        refuse: Callable[[str], None],
    ) -> None:
        self.feed = feed
        self.rule = rule
        self._route = route
        self._encoder = encoder
        self._refuse = refuse
        self._lead = b'{"type":"change","id":"%b-' % feed.tag.encode()

    def messages(self, change: Change) -> list[Message]:
        """The messages of one change, in order."""
        routed = self._route.route(change)
        if routed.refused:
            self._refuse(routed.refused)
        if routed.resync:
            where = events.position(change.time, change.ordinal, 0)
            return [Message(where, None, b"", routed.resync)]
        tails: dict[str, bytes] = {}
        messages = []
        for index, (channel, op) in enumerate(routed.deliveries):
            tail = tails.get(op)
            if tail is None:
                tail = tails[op] = self._tail(change, op)
            where = events.position(change.time, change.ordinal, index)
            lead = b'%b%b","channel":%b,' % (self._lead, where.encode(), _quoted(channel))
            messages.append(Message(where, channel, lead + tail))
        return messages

    def _tail(self, change: Change, op: str) -> bytes:
        try:
            return self._encoder.tail(change, op)
        except (TypeError, ValueError, RecursionError):
            # One document that cannot be written must not stop all others.
            self._refuse("document cannot be written as JSON: sent as ref")
            return self._encoder.tail(change._replace(withheld=NO_DOCUMENT), op)


@lru_cache(maxsize=65536)
def _quoted(channel: str) -> bytes:
    return orjson.dumps(channel)
