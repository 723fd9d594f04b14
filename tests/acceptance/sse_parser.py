"""The event stream format, as the HTML standard defines it."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event; ``id`` is the one it carries itself, None where it has none."""

    type: str
    data: str
    id: str | None


@dataclass(slots=True)
class _Block:
    type: str = ""
    data: list[str] = field(default_factory=list)
    id: str | None = None


class SseParser:
    """Turns bytes into events, however they are cut; counts comments, keeps ``retry``."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = ""
        self._after_cr = False
        self._first = True
        self._block = _Block()
        self.comments = 0
        self.retry: int | None = None

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that a chunk completes; all of them must be taken before the next chunk."""
        text = self._decoder.decode(chunk)
        if not text:
            return
        if self._first:
            self._first = False
            text = text.removeprefix("\ufeff")
        if self._after_cr:
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r")
        *lines, self._rest = _LINE_END.split(self._rest + text)
        for line in lines:
            event = self._line(line)
            if event is not None:
                yield event

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        if line.startswith(":"):
            self.comments += 1
            return None
        name, _, value = line.partition(":")
        self._field(name, value.removeprefix(" "))
        return None

    def _field(self, name: str, value: str) -> None:
        if name == "data":
            self._block.data.append(value)
        elif name == "event":
            self._block.type = value
        elif name == "id" and "\0" not in value:
            self._block.id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)

    def _dispatch(self) -> Event | None:
        block, self._block = self._block, _Block()
        if not block.data:
            return None
        return Event(block.type or "message", "\n".join(block.data), block.id)
