"""What a watcher makes of mutation ids, transactions and outbox documents."""

from typing import Any

import orjson
import pytest

from bridge.batching import Batching
from bridge.encode import Encoder, Mode
from bridge.events import Change, Message, Namespace
from bridge.feed import Feed
from bridge.history import History
from bridge.mutation import MutationFields
from bridge.routing import Route
from bridge.templates import Pattern, Rule, Template
from bridge.watcher import Watcher
from tests.fakes import NS, at, insert, start_of

TODOS = Template("todos:{workspace}")
OUTBOX = Namespace("app", "outbox")


def watcher(
    rule: Rule = TODOS,
    *,
    refused: list[Any] | None = None,
    mode: Mode = "full",
    max_message: int = 1 << 20,
    conflate: bool = False,
    everything: bool = False,
) -> Watcher:
    history = History(floor=start_of(0), window=120, max_messages=10, max_bytes=10_000)
    batching = Batching(conflate=conflate)
    told = refused if refused is not None else []
    return Watcher(
        feed=Feed(name="todos", tag="1f3a9c02", history=history, batching=batching),
        rule=rule,
        route=Route(rule, expect_before=True),
        encoder=Encoder(mode=mode, json="plain", wide=False, max_message=max_message),
        refuse=lambda *what: told.append(what),
        mutations=MutationFields(["_mutationId"]),
        outbox=lambda ns: everything or ns.coll == "outbox",
    )


def bodies(messages: list[Message]) -> list[Any]:
    return [orjson.loads(message.body) for message in messages]


def posted(seconds: int = 5, *, op: str = "insert", **fields: Any) -> Change:
    """A document of an outbox."""
    document = {"_id": seconds, "channel": "todos:acme", "name": "paid", "data": 1, **fields}
    return insert(seconds)._replace(op=op, ns=OUTBOX, key=seconds, document=document)


@pytest.mark.parametrize("mode", ["full", "delta", "patch"])
def test_a_mutation_id_stands_on_the_message_and_nowhere_in_the_document(mode: Mode) -> None:
    before = {"_id": 1, "workspace": "acme", "title": "x" * 200, "_mutationId": "old"}
    after = {**before, "done": True, "_mutationId": "new"}
    description = {"updatedFields": {"done": True, "_mutationId": "new"}, "removedFields": []}
    change = insert(5)._replace(op="update", before=before, document=after, description=description)
    (body,) = bodies(watcher(mode=mode).messages(change))
    assert body.pop("mutationId") == "new"
    assert b"_mutationId" not in orjson.dumps(body)
    assert body["mode"] == mode


@pytest.mark.parametrize(("mode", "empty"), [("delta", {}), ("patch", [])])
def test_a_write_of_the_mutation_id_alone_is_told(mode: Mode, empty: Any) -> None:
    before = {"_id": 1, "workspace": "acme"}
    description = {"updatedFields": {"_mutationId": "new"}, "removedFields": []}
    after = {**before, "_mutationId": "new"}
    change = insert(5)._replace(op="update", before=before, document=after, description=description)
    (body,) = bodies(watcher(mode=mode).messages(change))
    assert (body["mutationId"], body[mode]) == ("new", empty)


def test_a_document_that_moves_confirms_the_write_on_both_channels() -> None:
    before = {"_id": 1, "workspace": "acme"}
    after = {"_id": 1, "workspace": "evil", "_mutationId": "m"}
    description = {"updatedFields": {"workspace": "evil", "_mutationId": "m"}, "removedFields": []}
    change = insert(5)._replace(op="update", before=before, document=after, description=description)
    leave, enter = bodies(watcher().messages(change))
    assert [leave["mutationId"], enter["mutationId"]] == ["m", "m"]
    assert enter["document"] == {"_id": 1, "workspace": "evil"}


def test_a_mutation_id_can_be_the_field_that_routes() -> None:
    (message,) = watcher(Template("mine:{_mutationId}")).messages(insert(5, _mutationId="m"))
    assert message.channel == "mine:m"


def test_what_is_inserted_into_an_outbox_is_itself_the_message() -> None:
    (message,) = watcher().messages(posted(mutationId="m", headers={"h": 1}))
    assert message.position == at(5)
    assert message.channel == "todos:acme"
    assert bodies([message]) == [
        {
            "type": "event",
            "id": f"1f3a9c02-{at(5)}",
            "channel": "todos:acme",
            "name": "paid",
            "data": 1,
            "mutationId": "m",
            "headers": {"h": 1},
        }
    ]


def test_data_changes_beside_an_outbox_are_changes_as_ever() -> None:
    made = watcher()
    run = [
        *made.messages(insert(5, ordinal=1)),
        *made.messages(posted()._replace(ordinal=2)),
        *made.messages(insert(5, ordinal=3)),
    ]
    assert [body["type"] for body in bodies(run)] == ["change", "event", "change"]
    assert [each.position for each in run] == [at(5, 1), at(5, 2), at(5, 3)]


def test_where_all_of_the_scope_is_outbox_every_collection_counts() -> None:
    (message,) = watcher(Pattern("todos:*"), everything=True).messages(posted()._replace(ns=NS))
    assert bodies([message])[0]["type"] == "event"


@pytest.mark.parametrize("op", ["update", "replace", "delete"])
def test_what_becomes_of_an_outbox_document_later_is_nobodys_concern(op: str) -> None:
    refused: list[Any] = []
    assert watcher(refused=refused).messages(posted(op=op, channel=7)) == []
    assert refused == []


def test_a_dropped_outbox_is_a_resync_all_the_same() -> None:
    (message,) = watcher().messages(Change(insert(5).time, 2, "drop", OUTBOX))
    assert message.resync == "dropped"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": ""}, "outbox: name"),
        ({"channel": None}, "outbox: channel"),
        ({"channel": "elsewhere:acme"}, "outbox: channel is not one of todos:"),
        ({"channel": "todos:not canonical"}, "outbox: channel is not one"),
        ({"data": object()}, "outbox: the document cannot be written"),
    ],
)
def test_a_faulty_letter_is_skipped_and_told_with_its_key(fields: Any, why: str) -> None:
    refused: list[Any] = []
    made = watcher(refused=refused)
    assert made.messages(posted(**fields)) == []
    ((reason, key),) = refused
    assert reason.startswith(why)
    assert key == 5
    assert len(made.messages(posted(6))) == 1, "the next one is sent"


def test_a_letter_that_is_too_large_is_a_resync_of_its_channel_alone() -> None:
    for change, limit in (
        (posted(data="x" * 500), 500),
        (posted()._replace(withheld="too_large"), 9999),
    ):
        (message,) = watcher(max_message=limit).messages(change)
        assert (message.channel, message.resync, message.body) == ("todos:acme", "too_large", b"")


def test_a_transaction_is_named_on_changes_and_events() -> None:
    made = watcher()
    run = [
        *made.messages(insert(5, ordinal=1)._replace(txn="ab12")),
        *made.messages(posted()._replace(ordinal=2, txn="ab12")),
    ]
    assert [body["txn"] for body in bodies(run)] == [
        {"id": "ab12", "index": 0},
        {"id": "ab12", "index": 1},
    ]


def test_only_where_messages_are_conflated_do_they_name_their_document() -> None:
    (plain,) = watcher().messages(insert(5))
    one, same, other, elsewhere = (
        watcher(conflate=True).messages(change)[0].document
        for change in (
            insert(5),
            insert(6)._replace(key=insert(5).key),
            insert(7),
            insert(5)._replace(ns=Namespace("app", "more")),
        )
    )
    assert plain.document == ""
    assert one == same
    assert len({one, other, elsewhere}) == 3


def test_a_change_that_nobody_foresaw_is_a_resync_and_not_an_end() -> None:
    refused: list[Any] = []
    odd: Any = "no document at all"
    change = insert(5)._replace(document=odd)
    (message,) = watcher(refused=refused).messages(change)
    assert (message.channel, message.resync) == (None, "unrouted")
    assert refused == [("change cannot be made into messages",)]
