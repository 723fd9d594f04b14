from typing import Any

import orjson
import pytest

from bridge.encode import Encoder, Mode
from bridge.events import Change, Document, Namespace

BEFORE = {"_id": 1, "title": "write the tests", "done": False, "tags": ["a", "b"]}
AFTER = {**BEFORE, "done": True}
DONE = {"updatedFields": {"done": True}, "removedFields": [], "truncatedArrays": []}
WALL = "2026-11-23T11:31:07.369Z"


def change(op: str = "update", **fields: Any) -> Change:
    if op == "update" and not fields:
        fields = {"before": BEFORE, "document": AFTER, "description": DONE}
    return Change("0" * 16, 1, op, Namespace("app", "todos"), 1, wall=WALL, **fields)


def encoded(given: Change, mode: Mode = "full", *, op: str = "", **options: Any) -> Any:
    defaults: dict[str, Any] = {"json": "plain", "wide": False, "max_message": 1 << 20}
    encoder = Encoder(mode=mode, **{**defaults, **options})
    tail = encoder.tail(given, op or given.op)
    return orjson.loads(b"{" + tail)


def test_a_full_message_carries_the_document() -> None:
    assert encoded(change()) == {
        "op": "update",
        "key": 1,
        "mode": "full",
        "document": AFTER,
        "time": WALL,
    }


def test_a_delta_tells_what_was_set() -> None:
    got = encoded(change(), "delta")
    assert (got["mode"], got["delta"]) == ("delta", {"set": [[["done"], True]]})


def test_a_patch_is_json_patch() -> None:
    got = encoded(change(), "patch")
    assert got["mode"] == "patch"
    assert got["patch"] == [{"op": "replace", "path": "/done", "value": True}]


@pytest.mark.parametrize("mode", ["full", "delta", "patch"])
@pytest.mark.parametrize("op", ["insert", "replace", "enter"])
def test_a_document_that_is_new_to_its_channel_comes_whole(op: str, mode: Mode) -> None:
    got = encoded(change(), mode, op=op)
    assert (got["op"], got["mode"], got["document"]) == (op, "full", AFTER)


@pytest.mark.parametrize("mode", ["full", "delta", "patch"])
@pytest.mark.parametrize("op", ["delete", "leave"])
def test_what_has_gone_is_told_by_its_key_alone(op: str, mode: Mode) -> None:
    assert encoded(change(), mode, op=op) == {"op": op, "key": 1, "time": WALL}


@pytest.mark.parametrize("mode", ["delta", "patch"])
def test_the_document_comes_whole_where_that_is_smaller(mode: Mode) -> None:
    before = {"_id": 1, **{f"field {n}": "x" * 20 for n in range(20)}}
    gone = {"updatedFields": {}, "removedFields": [*before][1:], "truncatedArrays": []}
    got = encoded(change("update", before=before, document={"_id": 1}, description=gone), mode)
    assert (got["mode"], got["document"]) == ("full", {"_id": 1})


@pytest.mark.parametrize("image", ["before", "document"])
def test_a_patch_needs_both_images(image: str) -> None:
    missing: dict[str, Any] = {image: None}
    got = encoded(change()._replace(**missing), "patch")
    if image == "before":
        assert (got["mode"], got["document"]) == ("full", AFTER)
    else:
        assert (got["mode"], got["reason"]) == ("ref", "no_document")


def test_a_delta_needs_no_images() -> None:
    got = encoded(change("update", description=DONE), "delta")
    assert (got["mode"], got["delta"]) == ("delta", {"set": [[["done"], True]]})


def test_a_delta_without_description_is_the_difference_of_the_images() -> None:
    got = encoded(change("update", before=BEFORE, document=AFTER), "delta")
    assert (got["mode"], got["delta"]) == ("delta", {"set": [[["done"], True]]})


@pytest.mark.parametrize("mode", ["delta", "patch"])
def test_rewritten_documents_are_compared_not_described(mode: Mode) -> None:
    hidden = {"updatedFields": {"done": True, "secret": 1}, "removedFields": []}
    got = encoded(change()._replace(description=hidden), mode, rewritten=True)
    assert "secret" not in orjson.dumps(got).decode()
    assert got["mode"] == mode


@pytest.mark.parametrize("mode", ["full", "delta", "patch"])
def test_nothing_to_send_is_a_reference(mode: Mode) -> None:
    got = encoded(change("update", description=None), mode)
    assert got == {"op": "update", "key": 1, "mode": "ref", "reason": "no_document", "time": WALL}


@pytest.mark.parametrize("mode", ["full", "delta", "patch"])
@pytest.mark.parametrize("reason", ["too_large", "no_document"])
def test_documents_that_are_withheld_are_not_sent(mode: Mode, reason: str) -> None:
    got = encoded(change()._replace(withheld=reason), mode)
    assert (got["mode"], got["reason"]) == ("ref", reason)
    assert "write the tests" not in str(got)


def test_a_message_above_the_limit_becomes_a_reference() -> None:
    big = change("insert", document={"_id": 1, "text": "x" * 1000}, name="n", headers={"h": 1})
    got = encoded(big, max_message=500)
    assert got == {
        "op": "insert",
        "key": 1,
        "mode": "ref",
        "reason": "too_large",
        "time": WALL,
        "name": "n",
    }
    assert encoded(big, max_message=5000)["mode"] == "full"


def test_a_small_patch_of_a_document_above_the_limit_is_sent() -> None:
    before = {**BEFORE, "text": "x" * 1000}
    given = change()._replace(before=before, document={**before, "done": True})
    assert encoded(given, "patch", max_message=500)["mode"] == "patch"


def test_a_delete_sheds_headers_that_are_too_large() -> None:
    got = encoded(change("delete", headers={"h": "x" * 1000}), max_message=500)
    assert got == {"op": "delete", "key": 1, "time": WALL}


def test_a_wide_scope_says_where() -> None:
    got = encoded(change(), wide=True)
    assert got["ns"] == {"db": "app", "coll": "todos"}


def test_names_and_headers_come_from_the_pipeline() -> None:
    got = encoded(change()._replace(name="todo.done", headers={"user": "u1"}))
    assert (got["name"], got["headers"]) == ("todo.done", {"user": "u1"})


@pytest.mark.parametrize(("name", "headers"), [("", []), (7, "x"), ("n" * 257, None)])
def test_names_and_headers_of_other_kinds_are_left_out(name: Any, headers: Any) -> None:
    got = encoded(change()._replace(name=name, headers=headers))
    assert "name" not in got
    assert "headers" not in got


def test_a_mutation_id_and_a_transaction_are_told() -> None:
    given = change()._replace(txn="ab12", ordinal=3)
    encoder = Encoder(mode="full", json="plain", wide=False, max_message=1 << 20)
    got = orjson.loads(b"{" + encoder.tail(given, "update", "4f9c"))
    assert (got["mutationId"], got["txn"]) == ("4f9c", {"id": "ab12", "index": 2})
    assert "txn" not in encoded(change())
    assert "mutationId" not in encoded(change())


@pytest.mark.parametrize("op", ["delete", "leave"])
def test_what_has_gone_tells_of_the_write_too(op: str) -> None:
    encoder = Encoder(mode="patch", json="plain", wide=False, max_message=1 << 20)
    got = orjson.loads(b"{" + encoder.tail(change(), op, "4f9c"))
    assert got == {"op": op, "key": 1, "time": WALL, "mutationId": "4f9c"}


def test_a_reference_in_place_of_what_is_too_large_still_confirms_the_write() -> None:
    big = change("insert", document={"_id": 1, "text": "x" * 1000}, txn="ab12")
    encoder = Encoder(mode="full", json="plain", wide=False, max_message=500)
    got = orjson.loads(b"{" + encoder.tail(big, "insert", "4f9c"))
    assert (got["reason"], got["mutationId"], got["txn"]["id"]) == ("too_large", "4f9c", "ab12")


@pytest.mark.parametrize(("mode", "empty"), [("delta", {}), ("patch", [])])
def test_a_change_of_nothing_that_is_seen_is_still_told(mode: Mode, empty: Any) -> None:
    nothing: Document = {"updatedFields": {}, "removedFields": [], "truncatedArrays": []}
    given = change("update", before=BEFORE, document=BEFORE, description=nothing)
    assert encoded(given, mode)[mode] == empty


def letter(given: Change, *fields: tuple[str, Any], max_message: int = 1 << 20) -> bytes:
    encoder = Encoder(mode="full", json="plain", wide=True, max_message=max_message)
    return encoder.letter(fields, given)


def test_a_letter_is_what_it_asks_to_be_and_its_transaction() -> None:
    given = change("insert", document={"_id": 1}, txn="ab12")
    assert orjson.loads(b"{" + letter(given, ("name", "paid"), ("data", {"n": 1}))) == {
        "name": "paid",
        "data": {"n": 1},
        "txn": {"id": "ab12", "index": 0},
    }


def test_a_letter_above_the_limit_is_none() -> None:
    given = change("insert", document={"_id": 1})
    assert letter(given, ("name", "paid"), ("data", "x" * 500), max_message=500) == b""
    assert letter(given, ("name", "paid"), ("data", "x" * 400), max_message=500)
