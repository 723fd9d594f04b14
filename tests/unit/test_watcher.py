from typing import Any

import orjson
import pytest

from bridge.encode import Encoder
from bridge.events import Change, Message, Namespace
from bridge.feed import Feed
from bridge.history import History
from bridge.routing import Route
from bridge.templates import Pattern, Rule, Template
from bridge.watcher import Watcher, tag_of
from tests.fakes import at, insert, start_of

IDENTITY: dict[str, Any] = {
    "cluster": "65f0",
    "watcher": "todos",
    "watch": "app.todos",
    "stages": "[]",
    "channel": "todos:{workspace}",
}


def watcher(rule: Rule, refused: list[str] | None = None) -> Watcher:
    history = History(floor=start_of(0), window=120, max_messages=10, max_bytes=10_000)
    return Watcher(
        feed=Feed(name="todos", tag="1f3a9c02", history=history),
        rule=rule,
        route=Route(rule, expect_before=True),
        encoder=Encoder(mode="full", json="plain", wide=False, max_message=1 << 20),
        refuse=(refused if refused is not None else []).append,
    )


TODOS = Template("todos:{workspace}")


def test_a_message_says_what_it_is_and_where_it_stands() -> None:
    (message,) = watcher(TODOS).messages(insert(5, "acme", ordinal=3))
    assert (message.position, message.channel, message.resync) == (at(5, 3), "todos:acme", "")
    body = orjson.loads(message.body)
    assert list(body)[:5] == ["type", "id", "channel", "op", "key"]
    assert body["type"] == "change"
    assert body["id"] == f"1f3a9c02-{at(5, 3)}"
    assert body["channel"] == "todos:acme"


def test_a_document_that_moves_leaves_first_and_enters_next() -> None:
    moved = insert(5, "evil")._replace(op="update", before={"_id": 1, "workspace": "acme"})
    leave, enter = watcher(TODOS).messages(moved)
    assert (leave.position, leave.channel) == (at(5, 1, 0), "todos:acme")
    assert (enter.position, enter.channel) == (at(5, 1, 1), "todos:evil")
    assert [orjson.loads(each.body)["op"] for each in (leave, enter)] == ["leave", "enter"]


def test_channels_of_one_change_get_the_same_but_for_name_and_id() -> None:
    change = insert(5)._replace(channels=["b:2", "b:1"])
    one, two = watcher(Pattern("b:*")).messages(change)
    first, second = orjson.loads(one.body), orjson.loads(two.body)
    assert (first.pop("channel"), second.pop("channel")) == ("b:1", "b:2")
    assert (first.pop("id"), second.pop("id")) == (f"1f3a9c02-{at(5)}", f"1f3a9c02-{at(5, 1, 1)}")
    assert first == second


def test_names_are_quoted_for_json() -> None:
    change = insert(5)._replace(channels='b:"\\\u2028ü')
    (message,) = watcher(Pattern("b:*")).messages(change)
    assert orjson.loads(message.body)["channel"] == 'b:"\\\u2028ü'


def test_a_drop_is_a_resync_with_a_position_of_its_own() -> None:
    drop = Change(insert(5).time, 2, "drop", Namespace("app", "todos"))
    (message,) = watcher(TODOS).messages(drop)
    assert message == Message(at(5, 2), None, b"", "dropped")


def test_what_goes_nowhere_is_told_with_its_reason() -> None:
    refused: list[str] = []
    assert watcher(TODOS, refused).messages(insert(5, "")) == []
    assert refused == ["no channel"]


def test_the_same_change_makes_the_same_messages() -> None:
    assert watcher(TODOS).messages(insert(5)) == watcher(TODOS).messages(insert(5))


def test_a_tag_is_eight_hex_digits_and_stays() -> None:
    assert tag_of(**IDENTITY) == tag_of(**dict(reversed(IDENTITY.items())))
    assert len(tag_of(**IDENTITY)) == 8
    assert set(tag_of(**IDENTITY)) <= set("0123456789abcdef")


@pytest.mark.parametrize("part", list(IDENTITY))
def test_another_identity_is_another_tag(part: str) -> None:
    assert tag_of(**{**IDENTITY, part: "other"}) != tag_of(**IDENTITY)
