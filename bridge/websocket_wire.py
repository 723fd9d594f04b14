"""WebSocket: each event as one text frame that is not masked (RFC 6455, section 5)."""

from collections.abc import Sequence

from bridge.events import Message

_TEXT = 0x81
"""FIN, opcode 1."""

_PING = b"\x89\x00"
_SHORT, _MEDIUM = 126, 1 << 16


def text_frame(body: bytes) -> bytes:
    """The body as one frame; its length in as few bytes as it needs."""
    size = len(body)
    if size < _SHORT:
        return b"%c%c%b" % (_TEXT, size, body)
    if size < _MEDIUM:
        return b"%c~%b%b" % (_TEXT, size.to_bytes(2, "big"), body)
    return b"%c\x7f%b%b" % (_TEXT, size.to_bytes(8, "big"), body)


class WebSocketWire:
    """Text frames: they have no room for a cursor beside the data."""

    shows_places = False

    def event(self, name: str, body: bytes, cursor: str = "") -> bytes:
        """The body; its ``type`` is the name."""
        return text_frame(body)

    def messages(self, run: Sequence[Message], before: str, after: str) -> list[bytes]:
        """Each message, whose own id is its channel's cursor."""
        return [text_frame(message.body) for message in run]

    def goodbye(self, body: bytes, delay: int) -> bytes:
        """The event ``bye``; the close frame follows it."""
        return text_frame(body)

    def pulse(self) -> bytes:
        """A ping."""
        return _PING

    def whole(self, data: bytes) -> bytes:
        """As it is: frames need nothing around them."""
        return data


WEBSOCKET = WebSocketWire()
