"""JSON Patches from deltas and from images."""

import json
from pathlib import Path as File
from typing import Any

import jsonpatch
import pytest
from bson.objectid import ObjectId

from bridge.delta import Delta, described, same
from bridge.documents import dumps
from bridge.patch import LARGEST_COMPARED, LONGEST_RUN, from_delta, from_images, pointer

VECTORS = json.loads((File(__file__).parent.parent / "vectors" / "updates.json").read_text())
EACH = pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: str(vector["name"]))
TOLD = [vector for vector in VECTORS["vectors"] if vector["delta"] is not None]


@pytest.mark.parametrize("vector", TOLD, ids=lambda vector: str(vector["name"]))
def test_a_delta_makes_the_patch_that_the_vector_says(vector: dict[str, Any]) -> None:
    delta = described(vector["updateDescription"], vector["before"], vector["after"])
    assert delta is not None

    patch = from_delta(delta, vector["before"])

    assert patch is not None
    assert same(patch, vector["patch"])
    assert same(jsonpatch.apply_patch(vector["before"], patch), vector["after"])


@EACH
def test_images_make_a_patch_that_leads_from_one_to_the_other(vector: dict[str, Any]) -> None:
    patch = from_images(vector["before"], vector["after"], "plain")

    assert same(jsonpatch.apply_patch(vector["before"], patch), vector["after"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": [1, True]}, {"a": [True, 1]}),
        ({"a": [1, 2, 3, 4]}, {"a": [4, 1, 2, 3]}),
        ({"a": [{"x": 1}, {"x": 2}]}, {"b": [{"x": 2}, {"x": 1}]}),
        ({"1": "x", "l": [{"1": 2}]}, {"0": "x", "l": [{"0": 2}]}),
        ({"a": {"0": {"1": 1}}}, {"a": [[0, 1]]}),
        ({"": {"": 1}, "b": 2}, {"": {"": 2}, "c": 2}),
        ({"-": [1], "l": []}, {"l": [1], "-": []}),
        ({"~": 1, "/": 2, "~1": 3}, {"~": 2, "/": 3, "~0": 1}),
        ({"a": {"b": {"c": 1}}}, {"a": {"c": 1}}),
        ({"a": [[]]}, {"a": [[], [[]]]}),
        ({"a": 1}, {}),
        ({}, {}),
    ],
)
def test_a_patch_between_images_is_exact(before: Any, after: Any) -> None:
    patch = from_images(before, after, "plain")

    assert same(jsonpatch.apply_patch(before, patch), after)


def test_images_are_compared_as_the_json_that_clients_have() -> None:
    key = ObjectId("65f0c0ffee65f0c0ffee65f0")
    before, after = {"a": key, "n": float("nan")}, {"a": None, "n": float("nan"), "b": key}

    plain = from_images(before, after, "plain")
    relaxed = from_images(before, after, "relaxed")

    assert jsonpatch.apply_patch({"a": str(key), "n": None}, plain) == {
        "a": None,
        "n": None,
        "b": str(key),
    }
    nan = {"$numberDouble": "NaN"}
    assert jsonpatch.apply_patch({"a": {"$oid": str(key)}, "n": nan}, relaxed) == {
        "a": None,
        "n": nan,
        "b": {"$oid": str(key)},
    }


def test_a_diff_that_does_not_lead_to_the_image_is_replaced_by_the_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for wrong in ([], [{"op": "remove", "path": "/missing"}], [{"op": "add", "path": "/a/9"}]):
        diff = jsonpatch.JsonPatch(wrong, pointer_cls=jsonpatch.JsonPointer)
        monkeypatch.setattr(jsonpatch, "make_patch", lambda _, __, diff=diff: diff)

        patch = from_images({"a": [1]}, {"a": [True]}, "plain")

        assert same(patch, [{"op": "replace", "path": "", "value": {"a": [True]}}])


def test_in_large_images_an_array_that_changed_is_replaced_whole() -> None:
    before = {"l": ["x" * LARGEST_COMPARED, 1], "a": 1, "b": {"c": 1}}
    after = {"l": ["x" * LARGEST_COMPARED, 2], "b": {"c": 2}}

    patch = from_images(before, after, "plain")

    assert [(op["op"], op["path"]) for op in patch] == [
        ("remove", "/a"),
        ("replace", "/l"),
        ("replace", "/b/c"),
    ]
    assert same(jsonpatch.apply_patch(before, patch), after)


def test_values_stay_bson_until_they_are_written() -> None:
    key = ObjectId("65f0c0ffee65f0c0ffee65f0")
    patch = from_delta(Delta(((("a",), key),)), {"a": 1})

    assert patch == [{"op": "replace", "path": "/a", "value": key}]
    assert dumps(patch, "relaxed") == (
        b'[{"op":"replace","path":"/a","value":{"$oid":"65f0c0ffee65f0c0ffee65f0"}}]'
    )


@pytest.mark.parametrize(
    "delta",
    [
        Delta(((("a", "b"), 1),)),
        Delta(((("missing", "b"), 1),)),
        Delta(((("l", "x"), 1),)),
        Delta(((("l", "01"), 1),)),
        Delta(((("l", "2", "x"), 1),)),
        Delta(unset=(("missing",),)),
        Delta(unset=(("l", "2"),)),
        Delta(unset=(("a", "b"),)),
        Delta(truncate=((("a",), 0),)),
        Delta(truncate=((("l",), 3),)),
        Delta(truncate=((("missing",), 0),)),
    ],
)
def test_a_delta_that_the_pre_image_does_not_bear_makes_no_patch(delta: Delta) -> None:
    assert from_delta(delta, {"a": 1, "l": [1, 2]}) is None


def test_an_array_that_was_truncated_grows_from_its_new_end() -> None:
    delta = Delta(set=((("l", "2"), 9), (("l", "1"), 8)), truncate=((("l",), 1),))

    patch = from_delta(delta, {"l": [1, 2, 3]})

    assert patch is not None
    assert jsonpatch.apply_patch({"l": [1, 2, 3]}, patch) == {"l": [1, 8, 9]}


def test_an_element_that_is_unset_becomes_null() -> None:
    patch = from_delta(Delta(unset=(("l", "0"),)), {"l": [1, 2]})

    assert patch == [{"op": "replace", "path": "/l/0", "value": None}]


def test_a_patch_does_not_move_the_end_of_an_array_without_limit() -> None:
    far = str(LONGEST_RUN + 1)
    assert from_delta(Delta(((("l", far), 1),)), {"l": []}) is None
    assert from_delta(Delta(truncate=((("l",), 0),)), {"l": [0] * (LONGEST_RUN + 1)}) is None

    patch = from_delta(Delta(((("l", str(LONGEST_RUN)), 1),)), {"l": []})
    assert patch is not None
    assert len(patch) == LONGEST_RUN + 1


def test_pointers_are_escaped() -> None:
    assert pointer(("a", "b")) == "/a/b"
    assert pointer(("a~b", "c/d", "~1", "", "0")) == "/a~0b/c~1d/~01//0"
