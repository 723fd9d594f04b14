"""What a view shows is what the watcher would send if the hidden fields had never been there."""

from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Any

import jsonpatch
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.delta import Delta, same
from bridge.encode import Encoder, Mode
from bridge.events import Change, Message, Namespace
from bridge.redaction import MOST_RULES, Redaction, Rule, View
from tests.fakes import at, message, resync
from tests.random_updates import NASTY_KEYS, PLAIN_KEYS, Update, a_document, applied, updated

PEOPLE = Redaction(
    [
        Rule.of("role:admin", ["salary", "address.street"]),
        Rule.of("role:boss", ["salary", "notes"]),
    ]
)
NS = Namespace("app", "people")


def change(
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    description: dict[str, Any] | None = None,
    op: str = "update",
) -> Change:
    return Change("0" * 16, 1, op, NS, "k", after, before, description)


def seen_of(field_names: Sequence[str], made: Change, mode: Mode) -> dict[str, Any] | None:
    """The message of a change as seen without the fields, or None where it is not sent."""
    redaction = Redaction([Rule("role", "admin", tuple(field_names))])
    view = redaction.view({})
    assert view
    encoder = Encoder(mode=mode, json="plain", wide=False, max_message=1 << 20, moves=False)
    body = b'{"type":"change",' + encoder.tail(made, made.op)
    run = view.messages([Message(at(1), "a", body, "", "", redaction.unseen(made))])
    return orjson.loads(run[0].body) if run else None


def led(before: Any, sent: dict[str, Any]) -> Any:
    """What a client makes of a message."""
    if sent["mode"] == "full":
        return sent["document"]
    if sent["mode"] == "patch":
        return jsonpatch.apply_patch(before, sent["patch"])
    parts = {
        "set": tuple((tuple(path), value) for path, value in sent["delta"].get("set", ())),
        "unset": tuple(map(tuple, sent["delta"].get("unset", ()))),
        "truncate": tuple((tuple(path), n) for path, n in sent["delta"].get("truncate", ())),
    }
    return applied(Delta(**parts), before)


def hidden_fields(
    random: Random, keys: tuple[str, ...], *documents: dict[str, Any]
) -> Sequence[str]:
    """Some fields, most of them such as the documents have."""
    found = [path for document in documents for path in _fields(document)]
    made = [".".join(random.sample(keys, random.randint(1, 2))) for _ in range(2)]
    names = (*random.sample(found, min(3, len(found))), *made)
    sound = [name for name in names if all(p and not p.isdecimal() for p in name.split("."))]
    return random.sample(sound, random.randint(1, len(sound))) if sound else ["x"]


def _fields(place: Any, path: tuple[str, ...] = ()) -> list[str]:
    if isinstance(place, list):
        return [field for each in place for field in _fields(each, path)]
    if not isinstance(place, dict):
        return []
    own = [".".join((*path, key)) for key in place]
    return own + [f for key, value in place.items() for f in _fields(value, (*path, key))]


@settings(max_examples=400, derandomize=True, database=None, deadline=None)
@given(
    st.randoms(use_true_random=True),
    st.sampled_from(["full", "patch", "delta"]),
    st.sampled_from([PLAIN_KEYS, NASTY_KEYS]),
    st.booleans(),
)
def test_a_client_with_a_view_has_exactly_the_visible_part_after_any_update(
    random: Random, mode: Mode, keys: tuple[str, ...], described: bool
) -> None:
    before = a_document(random, keys)
    update: Update = updated(before, random, keys)
    after = update.after if described else a_document(random, keys)
    hidden = hidden_fields(random, keys, before, after)
    view = View(hidden)
    untouched = deepcopy((before, after))
    had, has = view.prune(before), view.prune(after)

    sent = seen_of(hidden, change(before, after, update.description if described else None), mode)

    assert (before, after) == untouched
    assert same(led(had, sent), has) if sent else same(had, has)
    # Nothing is sent of a change of hidden fields alone.
    assert sent is None or not same(had, has) or same(before, after)


def test_a_field_is_hidden_wherever_it_is_found_on_the_way() -> None:
    view = View(["items.price", "owner", "a.b.c"])
    document = {
        "items": [{"price": 1, "name": "x"}, [{"price": 2}], 3],
        "owner": {"name": "y"},
        "a": {"b": {"c": 1, "d": 2}},
        "a.b": {"c": 1},
        "price": 4,
    }
    assert view.prune(document) == {
        "items": [{"name": "x"}, [{}], 3],
        "a": {"b": {"d": 2}},
        "a.b": {},
        "price": 4,
    }


def test_a_change_of_hidden_fields_alone_is_not_sent_also_without_images() -> None:
    view = ["salary", "address.street"]
    hidden = {"updatedFields": {"salary": 2}, "removedFields": ["address.street"]}
    both = {"updatedFields": {"salary": 2, "name": "x"}, "removedFields": []}
    for mode in ("full", "delta"):
        assert seen_of(view, change(None, {"name": "x", "salary": 2}, hidden), mode) is None
        sent = seen_of(view, change(None, {"name": "x", "salary": 2}, both), mode)
        assert sent is not None
        assert b"salary" not in orjson.dumps(sent)


def test_a_change_that_changes_nothing_is_sent_as_ever() -> None:
    empty: dict[str, Any] = {"updatedFields": {}, "removedFields": []}
    same_document = {"name": "x", "salary": 1}
    assert seen_of(["salary"], change(same_document, same_document, empty), "patch")


def test_a_replacement_by_what_looks_the_same_is_not_sent() -> None:
    view = ["salary"]
    before, after = {"name": "x", "salary": 1}, {"name": "x", "salary": 2}
    assert seen_of(view, change(before, after, op="replace"), "patch") is None
    assert seen_of(view, change(before, {"name": "y"}, op="replace"), "patch") is not None


def test_what_json_does_not_tell_apart_is_no_change_to_be_seen() -> None:
    before = {"n": float("nan"), "salary": 1}
    assert seen_of(["salary"], change(before, {**before, "salary": 2}), "full") is None


def test_a_value_that_moves_out_of_a_hidden_field_is_told_whole() -> None:
    before = {"_id": 1, "salary": [1, 2, 3], "pad": "x" * 99}
    after = {"_id": 1, "public": [1, 2, 3], "pad": "x" * 99}
    sent = seen_of(["salary"], change(before, after), "patch")
    assert sent is not None
    assert sent["patch"] == [{"op": "add", "path": "/public", "value": [1, 2, 3]}]


def test_refs_and_deletes_have_nothing_to_hide_and_resyncs_are_told() -> None:
    view = View(["salary"])
    ref = Message(at(1), "a", b'{"type":"change","op":"update","mode":"ref","key":1}')
    gone = Message(at(2), "a", b'{"type":"change","op":"delete","key":1}')
    assert view.messages([ref, gone, resync(at(3))]) == [ref, gone, resync(at(3))]


def test_an_outbox_message_is_hidden_in_its_data_and_headers() -> None:
    view = View(["data.card.number", "headers.trace", "name"])
    body = {
        "type": "event",
        "name": "paid",
        "data": {"card": {"number": 1, "kind": "v"}},
        "headers": {"trace": 1, "x": 2},
    }
    (sent,) = view.messages([Message(at(1), "a", orjson.dumps(body))])
    assert orjson.loads(sent.body) == {
        "type": "event",
        "name": "paid",
        "data": {"card": {"kind": "v"}},
        "headers": {"x": 2},
    }


def test_the_entries_of_a_snapshot_are_hidden_each() -> None:
    view = View(["salary"])
    entries = b'{"key":1,"document":{"salary":1,"a":2}},{"key":2,"reason":"too_large"}'
    assert orjson.loads(b"[%b]" % view.documents(entries)) == [
        {"key": 1, "document": {"a": 2}},
        {"key": 2, "reason": "too_large"},
    ]
    assert view.documents(b"") == b""


@pytest.mark.parametrize(
    ("claims", "hidden"),
    [
        ({}, {"salary", "address.street", "notes"}),
        ({"role": "guest"}, {"salary", "address.street", "notes"}),
        ({"role": "admin"}, {"salary", "notes"}),
        ({"role": ["staff", "boss"]}, {"salary", "address.street"}),
        ({"role": ["admin", "boss"]}, set()),
        ({"roles": "admin"}, {"salary", "address.street", "notes"}),
        ({"role": {"admin": True}}, {"salary", "address.street", "notes"}),
    ],
)
def test_claims_lift_the_rules_that_name_them(claims: dict[str, Any], hidden: set[str]) -> None:
    view = PEOPLE.view(claims)
    document = {"salary": 1, "notes": 2, "address": {"street": 3, "town": 4}}
    kept = view.prune(document) if view else document
    address: Any = kept["address"]
    left = {*kept, *(f"address.{name}" for name in address)}
    assert {"salary", "notes", "address.street"} - left == hidden
    assert PEOPLE.view(claims) is view  # so that clients of equal claims share bytes


@pytest.mark.parametrize(
    ("held", "unless", "lifted"),
    [
        (True, "staff:true", True),
        (3, "level:3", True),
        (3.5, "level:3.5", True),
        ("3", "level:3", True),
        (None, "staff:null", False),
        ([True], "staff:true", True),
        ([["admin"]], "role:admin", False),
    ],
)
def test_claims_that_are_no_text_are_compared_as_json(held: Any, unless: str, lifted: bool) -> None:
    assert Rule.of(unless, ["a"]).lifted({unless.split(":", maxsplit=1)[0]: held}) is lifted


def test_a_claim_may_be_called_by_a_url() -> None:
    rule = Rule.of("https://example.com/role:admin", ["a"])
    assert rule.lifted({"https://example.com/role": "admin"})


def test_a_message_is_hidden_once_for_all_who_have_the_view() -> None:
    view = View(["salary"])
    body = b'{"type":"change","op":"insert","mode":"full","document":{"salary":1}}'
    one, two = (view.messages([Message(at(1), "a", body)])[0].body for _ in range(2))
    assert one is two
    assert body == b'{"type":"change","op":"insert","mode":"full","document":{"salary":1}}'


def test_what_a_view_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.redaction.KEPT_BYTES", 10_000)
    view = View(["salary"])
    for number in range(100):
        made = message(at(number), "a", size=1000)
        view.messages([made._replace(body=b'{"type":"change",' + made.body[1:])])
    assert view._size <= 10_000
    assert len(view._kept) < 10


def test_rules_make_few_views() -> None:
    rules = [Rule.of(f"role:{name}", [name]) for name in "abcd"]
    assert len(rules) == MOST_RULES
    assert len(Redaction(rules)._views) == 15
    assert len(Redaction([Rule.of("a:1", ["x"]), Rule.of("b:1", ["x"])])._views) == 1
    assert not Redaction()
