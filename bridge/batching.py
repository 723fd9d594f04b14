"""Batching: how a watcher's messages are collected before they are framed.

A window collects what happens on a channel into ``batch`` events; conflation keeps only the
latest message of each document. Neither changes a position.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bridge import frames
from bridge.events import Message, Place
from bridge.wire import Wire


@dataclass(frozen=True, slots=True)
class Batching:
    """One watcher's choice.

    ``window`` is in seconds; 0 sends each message by itself. ``max_messages`` bounds a batch.
    """

    window: float = 0.0
    max_messages: int = 100
    conflate: bool = False

    def kept(self, run: list[Message]) -> list[Message]:
        """What of a run is sent: all of it, or the latest message of each document."""
        return latest(run) if self.conflate else run

    def framed(
        self,
        wire: Wire,
        run: Sequence[Message],
        *,
        tag: str,
        place: Place,
        channels: Sequence[str],
    ) -> list[bytes]:
        """The frames of a run of messages, as ``frames.messages``; batches have one cursor.

        Frames of a window without a cursor of their own may come again after a cut.
        """
        if not self.window:
            return frames.messages(wire, run, tag=tag, place=place, channels=channels)
        before, after = place.around(tag)
        framed: list[bytes] = []
        for part in _between_resyncs(run):
            if part[0].resync:
                framed += frames.messages(wire, part, tag=tag, place=place, channels=channels)
                continue
            bodies = self.batches(part)
            cursors = [""] * (len(bodies) - 1) + [before + part[-1].position + after]
            framed += [wire.event("", b, c) for b, c in zip(bodies, cursors, strict=True)]
        return framed

    def batches(self, run: Sequence[Message]) -> list[bytes]:
        """The bodies of the ``batch`` events of a run without resyncs, channel by channel."""
        by_channel: dict[str | None, list[bytes]] = {}
        for message in run:
            by_channel.setdefault(message.channel, []).append(message.body)
        size = self.max_messages
        return [
            frames.batch_body(channel or "", bodies[start : start + size])
            for channel, bodies in by_channel.items()
            for start in range(0, len(bodies), size)
        ]


def latest(run: list[Message]) -> list[Message]:
    """The last message of each document on each channel, in order; others all."""
    seen: set[tuple[str | None, str]] = set()
    kept = []
    for message in reversed(run):
        if message.document:
            if (message.channel, message.document) in seen:
                continue
            seen.add((message.channel, message.document))
        kept.append(message)
    kept.reverse()
    return kept


def _between_resyncs(run: Sequence[Message]) -> list[list[Message]]:
    """The run in parts: each resync by itself, and what lies between them."""
    parts: list[list[Message]] = []
    for message in run:
        if parts and not message.resync and not parts[-1][0].resync:
            parts[-1].append(message)
        else:
            parts.append([message])
    return parts
