"""Extended JSON wrappers in configuration files -> BSON values."""

import base64
import datetime
import decimal
import uuid
from collections.abc import Callable
from typing import Any

from bson import Binary, Decimal128, Int64, ObjectId, Timestamp
from bson.errors import InvalidId


def from_extended_json(value: Any) -> Any:
    """A value with every wrapper, at any depth, replaced by the BSON value it stands for.

    A date without a time, which BSON does not have, becomes midnight UTC. Raises ValueError
    where a wrapper holds something else than it should.
    """
    if isinstance(value, list):
        return [from_extended_json(item) for item in value]
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return datetime.datetime.combine(value, datetime.time(), datetime.UTC)
    if not isinstance(value, dict):
        return value
    inner = {key: from_extended_json(item) for key, item in value.items()}
    if len(inner) == 1 and (name := next(iter(inner))) in _WRAPPERS:
        return _unwrapped(name, inner[name])
    return inner


def _unwrapped(name: str, content: Any) -> Any:
    try:
        return _WRAPPERS[name](content)
    except (InvalidId, ValueError, TypeError, KeyError, decimal.DecimalException) as error:
        raise ValueError(f"{name}: {content!r} is wrong; expected Extended JSON v2") from error


def _date(content: Any) -> datetime.datetime:
    if isinstance(content, datetime.datetime):
        return content
    if isinstance(content, int):
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        return epoch + datetime.timedelta(milliseconds=content)
    return datetime.datetime.fromisoformat(content)


def _whole(bits: int) -> Callable[[Any], int]:
    def read(content: Any) -> int:
        number = int(str(content))
        if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
            raise ValueError(f"{number} has more than {bits} bits")
        return number if bits == 32 else Int64(number)  # noqa: PLR2004

    return read


def _binary(content: Any) -> Binary:
    return Binary(base64.b64decode(content["base64"], validate=True), int(content["subType"], 16))


def _uuid(content: Any) -> Binary:
    return Binary.from_uuid(uuid.UUID(str(content)))


_WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "$oid": ObjectId,
    "$date": _date,
    "$numberLong": _whole(64),
    "$numberInt": _whole(32),
    "$numberDouble": lambda content: float(str(content)),
    "$numberDecimal": lambda content: Decimal128(str(content)),
    "$uuid": _uuid,
    "$binary": _binary,
    "$timestamp": lambda content: Timestamp(content["t"], content["i"]),
}
