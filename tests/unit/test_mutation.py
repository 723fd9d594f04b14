from typing import Any

import pytest

from bridge.delta import described
from bridge.events import Change, Document, Namespace
from bridge.mutation import LONGEST, MutationFields

FIELDS = MutationFields(["_mutationId", "_meta.mutationId"])
ID = "4f9c"


def change(op: str, **fields: Any) -> Change:
    return Change("0" * 16, 1, op, Namespace("app", "todos"), 1, **fields)


def update(updated: Document, *removed: str, **fields: Any) -> Change:
    description = {"updatedFields": updated, "removedFields": [*removed], "truncatedArrays": []}
    return change("update", description=description, **fields)


def taken(given: Change) -> str:
    return FIELDS.take(given)[1]


@pytest.mark.parametrize("held", [{"_mutationId": ID}, {"_meta": {"mutationId": ID, "by": "u"}}])
@pytest.mark.parametrize(
    ("op", "image"), [("insert", "document"), ("replace", "document"), ("delete", "before")]
)
def test_it_is_taken_out_of_the_document_of_the_write(op: str, image: str, held: Document) -> None:
    images: dict[str, Any] = {image: {"_id": 1, **held}}
    stripped, identity = FIELDS.take(change(op, **images))
    assert identity == ID
    left = getattr(stripped, image)
    assert left == ({"_id": 1, "_meta": {"by": "u"}} if "_meta" in held else {"_id": 1})


@pytest.mark.parametrize(
    "updated",
    [
        {"_mutationId": ID},
        {"_meta.mutationId": ID},
        {"_meta": {"mutationId": ID}},
        {"_meta.mutationId": ID, "_mutationId": None},
    ],
)
def test_an_update_carries_the_id_that_it_set(updated: Document) -> None:
    assert taken(update({**updated, "n": 1})) == ID


def test_an_update_that_set_none_carries_none_although_the_document_has_one() -> None:
    document = {"_id": 1, "_mutationId": "of an earlier write", "n": 2}
    stripped, identity = FIELDS.take(update({"n": 2}, document=document, before=document))
    assert identity == ""
    assert stripped.document == stripped.before == {"_id": 1, "n": 2}
    assert stripped.description == {
        "updatedFields": {"n": 2},
        "removedFields": [],
        "truncatedArrays": [],
    }


def test_the_first_field_that_holds_one_counts() -> None:
    both = {"_meta": {"mutationId": "second"}, "_mutationId": "first"}
    assert taken(change("insert", document=both)) == "first"
    assert taken(change("insert", document={**both, "_mutationId": 7})) == "second"


@pytest.mark.parametrize("value", ["", "x" * (LONGEST + 1), 7, None, {"a": 1}, ["x"], True])
def test_what_is_no_id_is_taken_out_but_not_told(value: Any) -> None:
    stripped, identity = FIELDS.take(change("insert", document={"_id": 1, "_mutationId": value}))
    assert (stripped.document, identity) == ({"_id": 1}, "")


def test_the_longest_id_is_told() -> None:
    assert taken(change("insert", document={"_mutationId": "x" * LONGEST})) == "x" * LONGEST


@pytest.mark.parametrize(
    ("updated", "removed", "left", "still_removed"),
    [
        ({"_mutationId": ID}, (), {}, []),
        ({"_meta.mutationId": ID, "_meta.by": "u"}, (), {"_meta.by": "u"}, []),
        ({"_meta": {"mutationId": ID, "by": "u"}}, (), {"_meta": {"by": "u"}}, []),
        ({"n": 1}, ("_mutationId", "_meta.mutationId", "x"), {"n": 1}, ["x"]),
        ({}, ("_meta",), {}, ["_meta"]),
        ({"_mutationId.part": 1, "_meta.mutationId.part": 1}, (), {}, []),
        ({"_mutationIdentity": 1, "_metadata.x": 1}, (), None, None),
    ],
)
def test_deltas_never_tell_of_it(
    updated: Document, removed: tuple[str, ...], left: Any, still_removed: Any
) -> None:
    stripped, _ = FIELDS.take(update(updated, *removed))
    description = stripped.description or {}
    assert description["updatedFields"] == (updated if left is None else left)
    assert description["removedFields"] == ([] if still_removed is None else still_removed)


def test_arrays_inside_of_it_are_not_told_either() -> None:
    given = update({"_mutationId.0": 1})
    arrays = [{"field": "_mutationId", "newSize": 1}, {"field": "tags", "newSize": 2}]
    stripped, _ = FIELDS.take(
        given._replace(description={**(given.description or {}), "truncatedArrays": arrays})
    )
    assert (stripped.description or {})["truncatedArrays"] == arrays[1:]


def test_what_is_left_of_the_description_fits_what_is_left_of_the_images() -> None:
    before = {"_id": 1, "_meta": {"mutationId": "old", "by": "u"}, "n": 1}
    after = {"_id": 1, "_meta": {"mutationId": ID, "by": "u"}, "n": 2}
    stripped, _ = FIELDS.take(
        update({"_meta.mutationId": ID, "n": 2}, before=before, document=after)
    )
    delta = described(stripped.description or {}, stripped.before, stripped.document)
    assert delta is not None
    assert (delta.set, delta.unset, delta.truncate) == (((("n",), 2),), (), ())


def test_a_change_without_one_is_handed_on_as_it_is() -> None:
    given = update({"n": 2}, document={"_id": 1, "n": 2})
    assert FIELDS.take(given)[0] is given
    document = {"_id": 1, "_meta": {"by": "u"}}
    assert FIELDS.without(document) is document
    assert FIELDS.without(None) is None


def test_images_are_not_changed_in_place() -> None:
    document = {"_id": 1, "_meta": {"mutationId": ID, "by": "u"}}
    FIELDS.take(change("insert", document=document))
    assert document == {"_id": 1, "_meta": {"mutationId": ID, "by": "u"}}


def test_a_parent_that_is_an_array_or_a_value_is_left_alone() -> None:
    for parent in ([{"mutationId": ID}], "text", 7):
        stripped, identity = FIELDS.take(change("insert", document={"_id": 1, "_meta": parent}))
        assert (stripped.document, identity) == ({"_id": 1, "_meta": parent}, "")


def test_without_fields_nothing_is_taken() -> None:
    given = change("insert", document={"_id": 1, "_mutationId": ID})
    assert MutationFields([]).take(given) == (given, "")
