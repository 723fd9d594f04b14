"""BSON as plain JSON, by the words of the contract: the reference for what clients hold."""

import base64
import math
from datetime import datetime
from typing import Any

import orjson
from bson import Binary, Decimal128, ObjectId, Regex, Timestamp

LARGEST_NUMBER = 2**53


def plain(value: Any) -> Any:
    """A decoded BSON value as the JSON value that a client must hold for it."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value) if abs(value) <= LARGEST_NUMBER else str(int(value))
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case _:
            return _special(value)


def _special(value: Any) -> Any:
    match value:
        case ObjectId() | Decimal128():
            return str(value)
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"
        case Binary() if value.subtype == 4:
            return str(value.as_uuid())
        case bytes():
            return base64.b64encode(value).decode()
        case Timestamp():
            return {"t": value.time, "i": value.inc}
        case Regex():
            raise TypeError("regular expressions are not part of the workload")
    raise TypeError(f"{type(value).__name__} is not part of the workload")


def canonical(value: Any) -> str:
    """JSON text in which values that are equal in JavaScript are equal, and no others."""
    return orjson.dumps(_integral(value), option=orjson.OPT_SORT_KEYS).decode()


def _integral(value: Any) -> Any:
    match value:
        case dict():
            return {name: _integral(inner) for name, inner in value.items()}
        case list():
            return [_integral(inner) for inner in value]
        case float() if value.is_integer() and abs(value) < LARGEST_NUMBER:
            return int(value)
    return value
