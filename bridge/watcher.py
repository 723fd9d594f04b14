"""One watcher: what its stream's changes become on its channels."""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import orjson
from bson.errors import BSONError

from bridge import events, outbox
from bridge.documents import dumps
from bridge.encode import NO_DOCUMENT, TOO_LARGE, Encoder
from bridge.events import Change, Message, Namespace
from bridge.feed import Feed
from bridge.mutation import MutationFields
from bridge.routing import UNROUTED, Route
from bridge.templates import Rule

NO_MUTATIONS = MutationFields(())

NUMBERING = 1
"""Counts up when the same changes get other positions: then every tag changes."""


_WITH_BEFORE = frozenset({"update", "replace", "delete"})


class Expected(NamedTuple):
    """Which images MongoDB is to keep for every change."""

    document: bool
    before: bool


NOTHING_EXPECTED = Expected(document=False, before=False)


def tag_of(**identity: object) -> str:
    """The tag of a watcher: 8 hex digits over all that its positions depend on."""
    text = orjson.dumps({"numbering": NUMBERING, **identity}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:8]


class Watcher:
    """Turns changes into messages at positions; the same changes always into the same.

    ``refuse`` is told the reason for each change, or name, that goes to no channel, and for an
    outbox document its key. ``outbox`` says whether what is inserted into a collection is a
    message itself.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        rule: Rule,
        route: Route,
        encoder: Encoder,
        refuse: Callable[..., None],
        expects: Expected = NOTHING_EXPECTED,
        mutations: MutationFields = NO_MUTATIONS,
        outbox: Callable[[Namespace], bool] = lambda _ns: False,
    ) -> None:
        self.feed = feed
        self.rule = rule
        self._route = route
        self._encoder = encoder
        self._refuse = refuse
        self._expects = expects
        self._mutations = mutations
        self._outbox = outbox

    def messages(self, change: Change) -> list[Message]:
        """The messages of one change, in order."""
        try:
            return self._messages(change)
        except (TypeError, ValueError, AttributeError, RecursionError, BSONError):
            # One document that nobody foresaw must not stop all others; nor be lost in silence.
            self._refuse("change cannot be made into messages")
            where = events.position(change.time, change.ordinal, 0)
            return [Message(where, None, b"", UNROUTED)]

    def _messages(self, change: Change) -> list[Message]:
        if change.key is not None and self._outbox(change.ns):
            return self._letter(change) if change.op == "insert" else []
        routed = self._route.route(change)
        if routed.refused:
            self._refuse(routed.refused)
        if routed.resync:
            where = events.position(change.time, change.ordinal, 0)
            return [Message(where, None, b"", routed.resync)]
        self._miss(change)
        stripped, mutation = self._mutations.take(change)
        document = self._identity(change)
        unseen = self.feed.redaction.unseen(stripped) if self.feed.redaction else ()
        tails: dict[str, bytes] = {}
        messages = []
        for index, (channel, op) in enumerate(routed.deliveries):
            tail = tails.get(op)
            if tail is None:
                tail = tails[op] = self._tail(stripped, op, mutation)
            where = events.position(change.time, change.ordinal, index)
            body = self._lead("change", where, channel) + tail
            hidden = unseen if op == change.op else ()
            messages.append(Message(where, channel, body, "", document, hidden))
        return messages

    def _identity(self, change: Change) -> str:
        """Tells the document from all others, where only its latest message counts."""
        if not self.feed.batching.conflate:
            return ""
        key = dumps(change.key, "relaxed").decode()
        return f"{change.ns.db}.{change.ns.coll}/{key}"

    def _miss(self, change: Change) -> None:
        """Reports an image that MongoDB was to keep for the change, and has no longer."""
        if change.op == "update" and change.document is None and self._expects.document:
            self._refuse("post-image missing: sent as ref")
        elif change.op in _WITH_BEFORE and change.before is None and self._expects.before:
            self._refuse("pre-image missing")

    def _lead(self, kind: str, where: str, channel: str) -> bytes:
        identity = f'{{"type":"{kind}","id":"{self.feed.tag}-{where}","channel":'
        return b"%b%b," % (identity.encode(), _quoted(channel))

    def _tail(self, change: Change, op: str, mutation: str) -> bytes:
        try:
            return self._encoder.tail(change, op, mutation)
        except (TypeError, ValueError, RecursionError):
            # One document that cannot be written must not stop all others.
            self._refuse("document cannot be written as JSON: sent as ref")
            return self._encoder.tail(change._replace(withheld=NO_DOCUMENT), op, mutation)

    def _letter(self, change: Change) -> list[Message]:
        """What an outbox document asks to be sent; nothing, and a word in the log, if it cannot."""
        letter = outbox.read(change.document)
        where = events.position(change.time, change.ordinal, 0)
        if not letter.fault and not self.rule.matches(letter.channel):
            letter = outbox.Letter(fault=f"outbox: channel is not one of {self.rule.text}")
        if letter.fault:
            self._refuse(letter.fault, change.key)
            return []
        try:
            tail = b"" if change.withheld else self._encoder.letter(letter.fields, change)
        except (TypeError, ValueError, RecursionError):
            self._refuse("outbox: the document cannot be written as JSON", change.key)
            return []
        if not tail:
            return [Message(where, letter.channel, b"", TOO_LARGE)]
        lead = self._lead("event", where, letter.channel)
        return [Message(where, letter.channel, lead + tail)]


@lru_cache(maxsize=65536)
def _quoted(channel: str) -> bytes:
    return orjson.dumps(channel)
