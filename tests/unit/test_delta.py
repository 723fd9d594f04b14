"""What an update did, read from its description and from the images."""

import json
from pathlib import Path as File
from typing import Any

import pytest
from bson import Code, DBRef, Int64

from bridge.delta import Delta, described, difference, same
from bridge.documents import dumps

VECTORS = json.loads((File(__file__).parent.parent / "vectors" / "updates.json").read_text())
NAN = float("nan")


def updated(**fields: Any) -> dict[str, Any]:
    return {"updatedFields": fields, "removedFields": [], "truncatedArrays": []}


def names(mapping: dict[str, Any]) -> dict[str, Any]:
    return {"updatedFields": mapping}


def wire(delta: Delta | None) -> Any:
    if delta is None:
        return None
    parts = {"set": delta.set, "unset": delta.unset, "truncate": delta.truncate}
    return json.loads(dumps(parts, "plain"))


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: str(vector["name"]))
def test_with_both_images_a_description_reads_as_the_vector_says(vector: dict[str, Any]) -> None:
    delta = described(vector["updateDescription"], vector["before"], vector["after"])

    assert same(wire(delta), vector["delta"])


def test_without_the_pre_image_names_are_read_in_the_document() -> None:
    after = {"l": ["x", "z"], "o": {"1": "z"}, "s.t": 2}

    delta = described(names({"l.1": "z", "o.1": "z", "s.t": 2}), None, after)

    assert delta == Delta(((("l", "1"), "z"), (("o", "1"), "z"), (("s.t",), 2)))


def test_without_the_pre_image_a_truncation_is_checked_in_the_document() -> None:
    description = {"truncatedArrays": [{"field": "a.l", "newSize": 1}]}

    assert described(description, None, {"a": {"l": [1]}}) == Delta(truncate=((("a", "l"), 1),))
    assert described(description, None, {"a": {"l": [1, 2]}}) is None
    assert described(description, None, {"a": {"l": {"0": 1}}}) is None


def test_a_looked_up_document_of_a_later_state_does_not_prove_the_description() -> None:
    assert described(updated(a=1), None, {"a": 2}) is None
    assert described(updated(a=1), None, {}) is None


def test_without_the_pre_image_a_removed_field_may_be_a_hidden_one() -> None:
    assert described({"removedFields": ["secret"]}, None, {"a": 1}) is None


def test_with_the_pre_image_alone_what_it_shows_can_be_told() -> None:
    before = {"a": 1, "l": [1], "o": {"x": 1}}
    description = {
        "updatedFields": {"a": 2, "l.1": 2},
        "removedFields": ["o.x"],
        "truncatedArrays": [],
    }

    delta = described(description, before, None)

    assert delta == Delta(((("a",), 2), (("l", "1"), 2)), (("o", "x"),))


def test_with_the_pre_image_alone_a_new_field_may_be_a_hidden_one() -> None:
    assert described(updated(secret=1), {"a": 1}, None) is None


def test_without_images_names_are_split_at_their_dots() -> None:
    description = {
        "updatedFields": {"a.0.b": 1},
        "removedFields": ["c.d"],
        "truncatedArrays": [{"field": "e.f", "newSize": 2}],
    }

    delta = described(description, None, None)

    assert delta == Delta(((("a", "0", "b"), 1),), (("c", "d"),), ((("e", "f"), 2),))


@pytest.mark.parametrize("name", ["", "a.", ".a", "a..b", "$a", "a.$b"])
def test_without_images_a_name_that_splitting_cannot_read_is_not_told(name: str) -> None:
    assert described(names({name: 1}), None, None) is None
    assert described({"removedFields": [name]}, None, None) is None
    assert described({"truncatedArrays": [{"field": name, "newSize": 1}]}, None, None) is None


def test_a_field_that_is_still_there_was_not_removed() -> None:
    assert described({"removedFields": ["a"]}, {"a": 1}, {"a": 1}) is None


def test_a_place_whose_container_is_new_is_left_to_the_images() -> None:
    assert described(names({"a.b": 1}), {}, {"a": {"b": 1}}) is None
    assert described(names({"a.0": 1}), {"a": {}}, {"a": [1]}) is None


def test_padding_that_is_not_null_is_left_to_the_images() -> None:
    assert described(names({"l.2": 3}), {"l": [1]}, {"l": [1, 2, 3]}) is None
    assert described(names({"l.2": 3}), {"l": [1]}, {"l": [1, None, 3]}) is not None


def test_a_name_that_is_no_index_means_nothing_in_an_array() -> None:
    for name in ("l.01", "l.x", "l.-", "l.٣", "l." + "9" * 5000, "l.0.x"):
        assert described(names({name: 1}), {"l": [1]}, {"l": [1]}) is None


def test_a_value_that_equals_nothing_is_left_to_the_images() -> None:
    assert described(updated(a=NAN), {"a": 1}, {"a": float("nan")}) is None


def test_an_update_of_nothing_is_an_empty_delta() -> None:
    assert described({}, {"a": 1}, {"a": 1}) == Delta()
    assert described({"updatedFields": None, "removedFields": None}, None, None) == Delta()


def test_the_difference_of_images_goes_into_objects_and_sets_arrays_whole() -> None:
    before = {"a": {"b": 1, "c": 1, "d": {"x": 1}}, "l": [1, {"x": 1}], "same": [1, {"y": 2}]}
    after = {"a": {"b": 2, "d": {"x": 1}}, "l": [1, {"x": 2}], "same": [1, {"y": 2}], "new": {}}

    delta = difference(before, after)

    assert delta == Delta(((("a", "b"), 2), (("l",), [1, {"x": 2}]), (("new",), {})), (("a", "c"),))


def test_the_order_of_keys_makes_no_difference() -> None:
    assert difference({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}) == Delta()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0, False),
        (1.0, True),
        (None, 0),
        ("1", 1),
        (1, Int64(1)),
        ([1], [True]),
        ([[1]], [[1.0]]),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1, "b": 1}),
        ([1], [1, 1]),
        ([], {}),
        (b"a", "a"),
        (DBRef("c", 1), DBRef("c", 1.0)),
        (Code("f", {"a": 1}), Code("f", {"a": True})),
        (Code("f"), "f"),
        (NAN, float("nan")),
    ],
)
def test_values_of_different_type_or_value_differ(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)
    assert difference({"a": one}, {"a": other}) != Delta()


def test_values_of_the_same_type_and_value_are_the_same() -> None:
    for value in (1, 1.0, True, None, "x", b"x", [1, {"a": [None]}], DBRef("c", 1), Code("f", {})):
        assert same({"a": value}, {"a": value})
