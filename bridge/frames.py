"""The events of a connection: what each says, in the bytes of the connection's wire.

Their data is the same JSON on every wire: ``docs/protocol.md``, "Server-sent events" and
"WebSocket". ``ref`` is what a WebSocket client called its request by, and stands in the answers.
"""

from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import Any, TypeAlias

import orjson

from bridge.events import Message, Place
from bridge.wire import Wire

Ref: TypeAlias = int | str | None


def event(wire: Wire, name: str, data: dict[str, Any], cursor: str = "") -> bytes:
    """A named event; its data gets the name as ``type``."""
    return wire.event(name, orjson.dumps({"type": name, **data}), cursor)


def ready(
    wire: Wire, *, session: str, heartbeat: float, channels: Sequence[str], ref: Ref = None
) -> bytes:
    """The request is accepted: the first event of a stream, or of a subscription."""
    data = {"session": session, "heartbeat": heartbeat, "channels": channels}
    return event(wire, "ready", {**_named(ref), **data})


def live(wire: Wire, cursor: str, ref: Ref = None) -> bytes:
    """Replay is done."""
    return event(wire, "live", {**_named(ref), "cursor": cursor}, cursor)


def heartbeat(wire: Wire, cursor: str) -> bytes:
    """Nothing was missed up to the cursor; without one, a mere sign of life."""
    return event(wire, "heartbeat", {"cursor": cursor}, cursor) if cursor else wire.pulse()


def bye(wire: Wire, code: str, *, reconnect: bool, delay: int) -> bytes:
    """The last event of a connection, with the delay in milliseconds."""
    data = {"type": "bye", "code": code, "reconnect": reconnect, "delay": delay}
    return wire.goodbye(orjson.dumps(data), delay)


def resyncs(wire: Wire, channels: Sequence[str], reason: str, cursor: str) -> bytes:
    """One resync for each channel of a watcher; only the last moves the client's cursor."""
    last = len(channels) - 1
    return b"".join(
        event(
            wire,
            "resync",
            {"channel": channel, "reason": reason, "cursor": cursor},
            cursor if index == last else "",
        )
        for index, channel in enumerate(channels)
    )


def snapshot(
    wire: Wire, channel: str, documents: bytes, *, more: bool, cursor: str, ref: Ref = None
) -> bytes:
    """A chunk of a channel's state; only the last chunk of a watcher moves the cursor."""
    head = orjson.dumps({"type": "snapshot", **_named(ref), "channel": channel})
    body = b'%b,"documents":[%b],"more":%b}' % (head[:-1], documents, orjson.dumps(more))
    return wire.event("snapshot", body, cursor)


def messages(
    wire: Wire, run: Sequence[Message], *, tag: str, place: Place, channels: Sequence[str]
) -> list[bytes]:
    """The events of one watcher's messages on a connection, in order, each with its cursor.

    ``place`` gives the other watchers' parts of the cursors; ``channels`` are those of this
    watcher on the connection, for a resync that all of them see.
    """
    before, after = place.around(tag)
    framed: list[bytes] = []
    for resync, group in groupby(run, key=lambda message: message.resync):
        part = list(group)
        if not resync:
            framed += wire.messages(part, before, after)
            continue
        for message, following in zip_longest(part, part[1:]):
            # The same resync in a row is told once: the last.
            if following is None or following.channel != message.channel:
                told = [message.channel] if message.channel else channels
                framed.append(resyncs(wire, told, resync, before + message.position + after))
    return framed


def batch_body(channel: str, bodies: Sequence[bytes]) -> bytes:
    """Messages of one channel as the JSON of one ``batch``."""
    return b'{"type":"batch","channel":%b,"messages":[%b]}' % (
        orjson.dumps(channel),
        b",".join(bodies),
    )


def _named(ref: Ref) -> dict[str, Any]:
    return {} if ref is None else {"ref": ref}
