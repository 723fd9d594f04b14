"""Server-sent events, in HTTP chunks where HTTP has them.

https://html.spec.whatwg.org/multipage/server-sent-events.html; chunked transfer coding:
RFC 9112, section 7.1.
"""

from collections.abc import Sequence

from bridge.events import Message


def retry(milliseconds: int) -> bytes:
    """Tells EventSource how long to wait before it reconnects."""
    return b"retry: %d\n\n" % milliseconds


def chunk(body: bytes) -> bytes:
    """The body as one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(body), body)


class SseWire:
    """Server-sent events; ``chunked`` since HTTP/1.1."""

    shows_places = True

    def __init__(self, *, chunked: bool) -> None:
        self._chunked = chunked

    def event(self, name: str, body: bytes, cursor: str = "") -> bytes:
        """An event of this type (none: the default) with its cursor as ``id``."""
        kind = b"event: %b\n" % name.encode() if name else b""
        identity = b"id: %b\n" % cursor.encode() if cursor else b""
        return b"%b%bdata: %b\n\n" % (kind, identity, body)

    def messages(self, run: Sequence[Message], before: str, after: str) -> list[bytes]:
        """Each message as an event of the default type with the full cursor as its ``id``."""
        lead = b"id: " + before.encode()
        rest = after.encode() + b"\ndata: "
        return [
            b"%b%b%b%b\n\n" % (lead, message.position.encode(), rest, message.body)
            for message in run
        ]

    def goodbye(self, body: bytes, delay: int) -> bytes:
        """The event ``bye``, and the delay also as EventSource's own ``retry``."""
        return retry(delay) + self.event("bye", body)

    def pulse(self) -> bytes:
        """A comment."""
        return b": not ready yet\n\n"

    def whole(self, data: bytes) -> bytes:
        """One chunk."""
        return chunk(data) if self._chunked else data


CHUNKED, PLAIN = SseWire(chunked=True), SseWire(chunked=False)
