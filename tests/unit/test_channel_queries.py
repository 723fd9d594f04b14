"""A channel's name turned back into the query of its documents: it finds these and no others."""

from datetime import datetime
from typing import Any

from bson import Decimal128, Int64, ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.events import Document, Namespace
from bridge.templates import Template

NS = Namespace("app", "todos")
OID = ObjectId("65f0c0ffee00000000000001")
TYPES = {
    str: "string",
    bool: "bool",
    int: "int",
    Int64: "long",
    float: "double",
    Decimal128: "decimal",
    datetime: "date",
    ObjectId: "objectId",
    list: "array",
    dict: "object",
    type(None): "null",
}


def matches(query: Document, document: Document) -> bool:
    """What MongoDB does with a query of this form."""
    for path, condition in query.items():
        if path == "$expr":
            for test in condition["$and"]:
                field, kinds = test["$in"]
                value = expression(document, field["$type"].removeprefix("$").split("."))
                if TYPES.get(type(value), "missing") not in kinds:
                    return False
        elif not any(
            equal(found, wanted)
            for found in reached(document, path.split("."))
            for wanted in condition["$in"]
        ):
            return False
    return True


def reached(value: Any, path: list[str]) -> list[Any]:
    """All that a path of a query reaches: it looks into arrays."""
    if not path:
        return [value, *value] if isinstance(value, list) else [value]
    if isinstance(value, list):
        return [found for each in value if isinstance(each, dict) for found in reached(each, path)]
    return reached(value[path[0]], path[1:]) if isinstance(value, dict) and path[0] in value else []


def expression(value: Any, path: list[str]) -> Any:
    """What a path of an expression is: an array of what it finds in an array."""
    if not path:
        return value
    if isinstance(value, list):
        return [expression(each, path) for each in value if isinstance(each, dict)]
    return expression(value.get(path[0], ...), path[1:]) if isinstance(value, dict) else ...


def equal(one: Any, other: Any) -> bool:
    """Equal to MongoDB: numbers of any type, everything else of its own."""
    numbers = (int, float, Decimal128)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, numbers) and isinstance(other, numbers):
        return bool(number(one) == number(other))
    return type(one) is type(other) and bool(one == other)


def number(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else value


scalars = st.sampled_from(
    [
        "acme",
        "a b",
        "1",
        "true",
        "",
        str(OID),
        "2026-02-28T01:02:03.004Z",
        1,
        Int64(1),
        Int64(1 << 40),
        1.0,
        Decimal128("1"),
        True,
        False,
        None,
        OID,
        datetime(2026, 2, 28, 1, 2, 3, 4000),
    ]
)
values = st.one_of(scalars, st.lists(scalars, max_size=2), st.fixed_dictionaries({"id": scalars}))
things = st.one_of(values, st.lists(st.fixed_dictionaries({"id": values}), max_size=2))
documents = st.fixed_dictionaries({}, optional={"_id": scalars, "value": things, "owner": things})
TEMPLATES = [
    "t:{value}",
    "t:{_id}",
    "t:{owner.id}",
    "t:{value:int}",
    "t:{value:bool}",
    "t:{value:date}",
    "t:{value:objectId}",
    "t:{_id:int}",
    "t:{owner.id}:{value:int}",
    "t:{ns.coll}:{value}",
    "t:all",
]


@settings(max_examples=400, deadline=None)
@given(template=st.sampled_from(TEMPLATES), one=documents, other=documents)
def test_a_query_finds_a_document_if_and_only_if_it_has_that_channel(
    template: str, one: Document, other: Document
) -> None:
    rule = Template(template)
    name = rule.channel(one, NS)
    if name is None:
        return
    query, namespace = rule.query(name)
    assert matches(query, one)
    assert matches(query, other) == (rule.channel(other, NS) == name)
    assert namespace == ({"ns.coll": "todos"} if "ns.coll" in template else {})
    assert rule.matches(name)


def test_parts_of_the_namespace_are_read_back() -> None:
    rule = Template("t:{ns.db}:{ns.coll}:{value}")
    name = rule.channel({"value": "x"}, Namespace("app", "a:b c"))
    assert name is not None
    query, namespace = rule.query(name)
    assert namespace == {"ns.db": "app", "ns.coll": "a:b c"}
    assert query["value"] == {"$in": ["x"]}
