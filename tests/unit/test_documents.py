"""BSON values as JSON, in both flavors."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import orjson
import pytest
from bson import DatetimeMS, Int64, json_util
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.json_util import CANONICAL_JSON_OPTIONS, RELAXED_JSON_OPTIONS

from bridge.delta import same
from bridge.documents import Flavor, dumps, to_json

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "bson.json").read_text())
FLAVORS: tuple[Flavor, ...] = ("plain", "relaxed")
OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=False,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
CANONICAL = CANONICAL_JSON_OPTIONS.with_options(
    tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_MS
)


def decoded(canonical: Any) -> Any:
    """The value as the bridge gets it from MongoDB."""
    value = json_util.loads(json.dumps({"value": canonical}), json_options=CANONICAL)
    return bson.decode(bson.encode(value), OPTIONS)["value"]


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: str(vector["name"]))
def test_each_bson_type_has_its_json(vector: dict[str, Any]) -> None:
    value = decoded(vector["bson"])

    for flavor in FLAVORS:
        assert same(to_json(value, flavor), vector[flavor])
        assert same(orjson.loads(dumps(value, flavor)), vector[flavor])


def test_relaxed_json_is_what_mongodb_writes() -> None:
    document = {vector["name"]: decoded(vector["bson"]) for vector in VECTORS["vectors"]}
    options = RELAXED_JSON_OPTIONS.with_options(uuid_representation=UuidRepresentation.STANDARD)

    written = json.loads(json_util.dumps(document, json_options=options))

    assert same(json.loads(dumps(document, "relaxed")), written)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_all_types_in_one_document_come_out_as_they_do_alone(flavor: Flavor) -> None:
    document = {vector["name"]: decoded(vector["bson"]) for vector in VECTORS["vectors"]}

    expected = {vector["name"]: vector[flavor] for vector in VECTORS["vectors"]}
    assert same(orjson.loads(dumps(document, flavor)), expected)


def test_a_document_without_large_integers_takes_the_short_way_to_the_same_json() -> None:
    document = {
        vector["name"]: decoded(vector["bson"])
        for vector in VECTORS["vectors"]
        if "2^53" not in vector["name"] and "int64" not in vector["name"]
    }
    del document["code with scope"]

    assert dumps(document, "plain") == orjson.dumps(to_json(document, "plain"))


@pytest.mark.parametrize("milliseconds", [-62_135_596_800_000, -1, 0, 1_001, 253_402_300_799_999])
def test_dates_read_the_same_whether_python_can_hold_them_or_not(milliseconds: int) -> None:
    held = DatetimeMS(milliseconds).as_datetime(OPTIONS)
    assert isinstance(held, datetime)

    assert to_json(DatetimeMS(milliseconds), "plain") == to_json(held, "plain")
    moment = datetime.fromisoformat(to_json(held, "plain"))
    assert moment - datetime(1970, 1, 1, tzinfo=UTC) == timedelta(milliseconds=milliseconds)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_json_encoded_before_is_embedded_as_it_is(flavor: Flavor) -> None:
    message = {"key": 1, "document": orjson.Fragment(b'{"a":1}')}

    assert dumps(message, flavor) == b'{"key":1,"document":{"a":1}}'
    assert dumps({**message, "key": Int64(2**60)}, "plain").endswith(b'"document":{"a":1}}')


@pytest.mark.parametrize("flavor", FLAVORS)
def test_tuples_are_arrays(flavor: Flavor) -> None:
    assert dumps((("a", "0"), 1.5), flavor) == b'[["a","0"],1.5]'


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_lone_surrogate_becomes_the_replacement_character(flavor: Flavor) -> None:
    assert dumps({"k\ud800": "é\udfff"}, flavor) == '{"k\ufffd":"é\ufffd"}'.encode()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_value_of_no_bson_type_is_named(flavor: Flavor) -> None:
    with pytest.raises(TypeError, match="complex is no BSON type"):
        dumps({"a": 1j}, flavor)
