"""The kinds of value that a field of a channel template routes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from bridge.names import Letters, Piece, Word, escaped, letters, unescaped, value_piece, word

_INT64 = 1 << 63
_DATE = "%Y-%m-%dT%H:%M:%S.%fZ"
_DIGIT = letters("0123456789")
_DIGITS = Letters(_DIGIT.these, many=True)
_HEX = letters("0123456789abcdef")
_object_id = re.compile("[0-9a-f]{24}").fullmatch


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of BSON value, written in a name in exactly one way."""

    write: Callable[[Any], str]
    """The value as text; empty for a value of another type, or one that is no value."""
    read: Callable[[str], Any]
    """The value of a text; raises ValueError. Lenient: ``canonical`` is the judge."""
    piece: Piece
    """The texts that ``write`` can give."""
    types: tuple[str, ...]
    """MongoDB's names of the BSON types that it routes."""

    def values(self, text: str) -> list[Any]:
        """Every value that ``write`` gives this text for."""
        both = self.types == ID_TYPES and _object_id(text) is not None
        return [self.read(text), ObjectId(text)] if both else [self.read(text)]

    def canonical(self, text: str) -> bool:
        """Whether ``write`` gives exactly this text for some value."""
        try:
            return self.write(self.read(text)) == text
        except ValueError:
            return False


def _write_string(value: Any) -> str:
    # exactly str: JavaScript code is a subclass
    return escaped(value) if type(value) is str else ""


def _write_object_id(value: Any) -> str:
    return str(value) if isinstance(value, ObjectId) else ""


def _write_id(value: Any) -> str:
    return _write_string(value) or _write_object_id(value)


def _write_int(value: Any) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return ""
    return f"{value:d}" if -_INT64 <= value < _INT64 else ""


def _write_date(value: Any) -> str:
    if not isinstance(value, datetime):
        return ""
    utc = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return escaped(utc.isoformat(timespec="milliseconds") + "Z")


def _write_bool(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else ""


def _read_object_id(text: str) -> ObjectId:
    if _object_id(text) is None:
        raise ValueError("not an objectId")
    return ObjectId(text)


def _read_date(text: str) -> datetime:
    return datetime.strptime(unescaped(text), _DATE)


def _read_bool(text: str) -> bool:
    return text == "true"


def _int_words() -> tuple[Word, ...]:
    first = letters("123456789")
    return word("0"), (first, _DIGITS), (letters("-"), first, _DIGITS)


def _date_word() -> Word:
    form = escaped("0000-00-00T00:00:00.000Z").replace("%3A", "%:A")
    return tuple({"0": _DIGIT, ":": letters("3")}.get(each, letters(each)) for each in form)


_VALUE = value_piece()

ID_TYPES = ("objectId", "string")

ID = Kind(_write_id, unescaped, _VALUE, ID_TYPES)
"""What ``{_id}`` routes: an objectId or a string."""

KINDS = {
    "string": Kind(_write_string, unescaped, _VALUE, ("string",)),
    "objectId": Kind(_write_object_id, _read_object_id, Piece(((_HEX,) * 24,)), ("objectId",)),
    "int": Kind(_write_int, int, Piece(_int_words()), ("int", "long")),
    "date": Kind(_write_date, _read_date, Piece((_date_word(),)), ("date",)),
    "bool": Kind(_write_bool, _read_bool, Piece((word("true"), word("false"))), ("bool",)),
}
"""By the name that a template declares them with."""
