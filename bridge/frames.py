"""The bytes on the wire: server-sent events and HTTP chunks.

Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html;
chunked transfer coding: RFC 9112, section 7.1.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import orjson

from bridge.events import Message, Place


def event(name: str, data: dict[str, Any], cursor: str = "") -> bytes:
    """A named event; its ``data`` gets the name as ``type``."""
    body = orjson.dumps({"type": name, **data})
    identity = b"id: %b\n" % cursor.encode() if cursor else b""
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), identity, body)


def retry(milliseconds: int) -> bytes:
    """Tells EventSource how long to wait before it reconnects."""
    return b"retry: %d\n\n" % milliseconds


def ready(*, session: str, heartbeat: float, channels: Sequence[str]) -> bytes:
    """The first event of a stream."""
    return event("ready", {"session": session, "heartbeat": heartbeat, "channels": channels})


def live(cursor: str) -> bytes:
    """Replay is done."""
    return event("live", {"cursor": cursor}, cursor)


def heartbeat(cursor: str) -> bytes:
    """Nothing was missed up to the cursor."""
    return event("heartbeat", {"cursor": cursor}, cursor)


def bye(code: str, *, reconnect: bool, delay: int) -> bytes:
    """The last event of a stream, with the delay (ms) also as EventSource's own ``retry``."""
    return retry(delay) + event("bye", {"code": code, "reconnect": reconnect, "delay": delay})


def resyncs(channels: Sequence[str], reason: str, cursor: str) -> bytes:
    """One resync for each channel of a watcher; only the last moves the client's cursor."""
    last = len(channels) - 1
    return b"".join(
        event(
            "resync",
            {"channel": channel, "reason": reason, "cursor": cursor},
            cursor if index == last else "",
        )
        for index, channel in enumerate(channels)
    )


def snapshot(channel: str, documents: bytes, *, more: bool, cursor: str) -> bytes:
    """A chunk of a channel's state; only the last chunk of a watcher moves the cursor."""
    identity = b"id: %b\n" % cursor.encode() if cursor else b""
    body = b'{"type":"snapshot","channel":%b,"documents":[%b],"more":%b}' % (
        orjson.dumps(channel),
        documents,
        orjson.dumps(more),
    )
    return b"event: snapshot\n%bdata: %b\n\n" % (identity, body)


def messages(
    run: Sequence[Message], *, tag: str, place: Place, channels: Sequence[str]
) -> list[bytes]:
    """The frames of one watcher's messages on a connection, in order, each with its cursor.

    ``place`` gives the other watchers' parts of the cursors; ``channels`` are those of this
    watcher on the connection, for a resync that all of them see.
    """
    before, after = place.around(tag)
    lead = b"id: " + before.encode()
    rest = after.encode() + b"\ndata: "
    framed = []
    for message, following in zip_longest(run, run[1:]):
        if not message.resync:
            head = b"%b%b%b" % (lead, message.position.encode(), rest)
            framed.append(head + message.body + b"\n\n")
        elif not _repeats(message, following):
            told = [message.channel] if message.channel else channels
            framed.append(resyncs(told, message.resync, before + message.position + after))
    return framed


def _repeats(message: Message, following: Message | None) -> bool:
    """Whether a resync is followed by the same one: then only the last has to be told."""
    return (
        following is not None
        and following.resync == message.resync
        and following.channel == message.channel
    )


def batch_body(channel: str, bodies: Sequence[bytes]) -> bytes:
    """Messages of one channel as the JSON of one ``batch``."""
    return b'{"type":"batch","channel":%b,"messages":[%b]}' % (
        orjson.dumps(channel),
        b",".join(bodies),
    )


def batch(body: bytes, cursor: str) -> bytes:
    """A batch as an event of the default type."""
    identity = b"id: %b\n" % cursor.encode() if cursor else b""
    return b"%bdata: %b\n\n" % (identity, body)


def chunk(body: bytes) -> bytes:
    """The body as one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(body), body)
