"""BSON values as JSON: ``plain`` for people and browsers, ``relaxed`` as MongoDB writes it.

Values are as ``bson`` decodes them with ``tz_aware=False``, the standard UUID representation
and ``DATETIME_AUTO``. The rules stand in ``docs/protocol.md``, "JSON of BSON".
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Literal, TypeAlias
from uuid import UUID

import orjson
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    Regex,
    Timestamp,
)
from bson.binary import UuidRepresentation
from bson.json_util import RELAXED_JSON_OPTIONS, default
from bson.objectid import ObjectId
from bson.son import SON

Flavor: TypeAlias = Literal["plain", "relaxed"]

LARGEST_INTEGER = 2**53
"""Up to here, and down to its negative, plain JSON carries integers as numbers."""

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
_EPOCH = datetime(1970, 1, 1)
_FOUR_CENTURIES = 146_097 * 86_400_000  # milliseconds
_LAST_FOUR_DIGIT_YEAR = 9999
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_FLAGS = ((re.I, "i"), (re.L, "l"), (re.M, "m"), (re.S, "s"), (re.U, "u"), (re.X, "x"))
_RELAXED_OPTIONS = RELAXED_JSON_OPTIONS.with_options(
    uuid_representation=UuidRepresentation.STANDARD
)


def dumps(value: Any, flavor: Flavor) -> bytes:
    """JSON of a BSON value, of tuples and lists of them, and of ``orjson.Fragment`` inside.

    Raises TypeError where a value is of no BSON type.
    """
    if flavor == "plain":
        try:
            return orjson.dumps(value, _plain, _OPTIONS | orjson.OPT_STRICT_INTEGER)
        except TypeError:
            pass  # an integer beyond 53 bits or a lone surrogate: rare, and told apart below
    return orjson.dumps(to_json(value, flavor))


def to_json(value: Any, flavor: Flavor) -> Any:
    """The same JSON as Python values: dict, list, str, int, float, bool and None.

    Raises TypeError where a value is of no BSON type.
    """
    return _converted(value, _PLAIN if flavor == "plain" else _RELAXED)


_Converters: TypeAlias = Mapping[type, Callable[[Any], Any]]


def _converted(value: Any, converters: _Converters) -> Any:
    kind = type(value)
    convert = converters.get(kind)
    if convert is not None:
        converted = convert(value)
        return _converted(converted, converters) if kind in _NESTING else converted
    if kind is dict or kind is SON:
        return {_text(key): _converted(member, converters) for key, member in value.items()}
    if kind is list or kind is tuple:
        return [_converted(element, converters) for element in value]
    raise TypeError(f"{kind.__name__} is no BSON type: pass values as bson decodes them")


def _plain(value: Any) -> Any:
    """What orjson asks for each value that it cannot write itself."""
    return _PLAIN[type(value)](value)


def iso_date(value: datetime) -> str:
    """A naive UTC datetime as ISO 8601 with milliseconds and Z."""
    text = value.isoformat()  # with six digits or none: faster than asking for milliseconds
    return text[:-3] + "Z" if value.microsecond else text + ".000Z"


def _far_date(value: DatetimeMS) -> str:
    # The calendar repeats every four centuries; datetime itself ends at the years 1 and 9999.
    cycles, rest = divmod(int(value), _FOUR_CENTURIES)
    date = _EPOCH + timedelta(milliseconds=rest)
    year = date.year + 400 * cycles
    written = f"{year:04d}" if 0 <= year <= _LAST_FOUR_DIGIT_YEAR else f"{year:+07d}"
    return written + iso_date(date)[4:]


def _integer(value: int) -> int | str:
    return int(value) if -LARGEST_INTEGER <= value <= LARGEST_INTEGER else str(int(value))


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


def _regex(value: "Regex[str]") -> str:
    flags = "".join(letter for flag, letter in _FLAGS if value.flags & flag)
    return f"/{value.pattern}/{flags}"


def _code(value: Code) -> Any:
    return str(value) if value.scope is None else {"$code": str(value), "$scope": value.scope}


def _text(value: str) -> str:
    return value if value.isascii() else _LONE_SURROGATE.sub("\ufffd", value)


def _itself(value: Any) -> Any:
    return value


def _relaxed_date(value: datetime) -> Any:
    if value < _EPOCH:
        return _relaxed(value)
    return {
        "$date": value.isoformat(timespec="milliseconds" if value.microsecond else "seconds") + "Z"
    }


def _relaxed(value: Any) -> Any:
    return default(value, _RELAXED_OPTIONS)


_NESTING = frozenset({DBRef, Code})
"""What their converters return may hold BSON values again."""

_SAME: _Converters = {bool: _itself, type(None): _itself, orjson.Fragment: _itself, str: _text}

_PLAIN: _Converters = {
    **_SAME,
    int: _integer,
    Int64: _integer,
    float: lambda value: value if isfinite(value) else None,
    ObjectId: lambda value: value.binary.hex(),
    datetime: iso_date,
    DatetimeMS: _far_date,
    Decimal128: str,
    UUID: str,
    bytes: _base64,
    Binary: _base64,
    Timestamp: lambda value: {"t": value.time, "i": value.inc},
    Regex: _regex,
    DBRef: lambda value: dict(value.as_doc()),
    Code: _code,
    MinKey: lambda _: {"$minKey": 1},
    MaxKey: lambda _: {"$maxKey": 1},
}

_RELAXED: _Converters = {
    **dict.fromkeys(_PLAIN, _relaxed),
    **_SAME,
    int: _itself,
    float: lambda value: value if isfinite(value) else _relaxed(value),
    ObjectId: lambda value: {"$oid": value.binary.hex()},
    datetime: _relaxed_date,
    DBRef: _PLAIN[DBRef],
}
