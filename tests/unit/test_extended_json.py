"""Extended JSON in stages, as BSON values."""

import datetime
import uuid
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Timestamp

from bridge.extended_json import from_extended_json

NOON = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
HEX = "65f0c0ffee65f0c0ffee65f0"
UUID = "c8edabc3-f738-4ca3-b68d-ab92a91478a3"

WRAPPERS: list[tuple[dict[str, Any], object]] = [
    ({"$oid": HEX}, ObjectId(HEX)),
    ({"$date": "2026-11-23T12:00:00Z"}, NOON),
    ({"$date": {"$numberLong": "1795435200000"}}, NOON),
    ({"$date": NOON}, NOON),
    ({"$numberLong": "9007199254740993"}, Int64(9007199254740993)),
    ({"$numberInt": "7"}, 7),
    ({"$numberDouble": "-Infinity"}, float("-inf")),
    ({"$numberDecimal": "0.10"}, Decimal128("0.10")),
    ({"$uuid": UUID}, Binary.from_uuid(uuid.UUID(UUID))),
    ({"$binary": {"base64": "AQI=", "subType": "80"}}, Binary(b"\x01\x02", 0x80)),
    ({"$timestamp": {"t": 5, "i": 2}}, Timestamp(5, 2)),
]


@pytest.mark.parametrize(("wrapper", "value"), WRAPPERS)
def test_a_wrapper_at_any_depth_becomes_its_value(wrapper: dict[str, Any], value: object) -> None:
    converted = from_extended_json({"$match": {"$or": [{"a": wrapper}]}})

    assert converted == {"$match": {"$or": [{"a": value}]}}
    assert type(converted["$match"]["$or"][0]["a"]) is type(value)


def test_dates_of_yaml_stay_and_a_day_becomes_its_midnight() -> None:
    day = datetime.date(2026, 11, 23)

    assert from_extended_json([NOON, day]) == [NOON, NOON.replace(hour=0)]


def test_operators_are_no_wrappers() -> None:
    stage = {"$match": {"name": {"$regex": "^a", "$options": "i"}, "n": {"$type": "int"}}}

    assert from_extended_json(stage) == stage


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [
        ({"$oid": "xyz"}, "$oid: 'xyz' is wrong; expected Extended JSON v2"),
        ({"$date": "soon"}, "$date: 'soon' is wrong; expected Extended JSON v2"),
        ({"$numberInt": "2147483648"}, "$numberInt: '2147483648' is wrong; "),
        ({"$numberLong": "1.5"}, "$numberLong: '1.5' is wrong; "),
        ({"$numberDecimal": "ten"}, "$numberDecimal: 'ten' is wrong; "),
        ({"$uuid": 5}, "$uuid: 5 is wrong; "),
        ({"$binary": {"base64": "AQI="}}, "$binary: {'base64': 'AQI='} is wrong; "),
        ({"$timestamp": {"t": -1, "i": 0}}, "$timestamp: {'t': -1, 'i': 0} is wrong; "),
    ],
)
def test_a_wrapper_with_something_else_in_it_is_named(
    wrapper: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match="expected Extended JSON v2") as caught:
        from_extended_json(wrapper)

    assert str(caught.value).startswith(message)
