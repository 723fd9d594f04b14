"""The instruments of these tests, so that what they say can be relied on."""

import pytest

from tests.acceptance.plain_json import canonical
from tests.acceptance.replica import Replica, apply_delta
from tests.acceptance.sse_parser import Event, SseParser
from tests.acceptance.witness import Witness

STREAM = (
    "\ufeff: a comment\r\nretry: 1500\r\n\r\nid: 1\r\nevent: live\rdata: {\ndata:  \u20ac}\n\n"
    "data\nid\n\nevent: lost without data\n\ndata: x\nid:a\0b\n\n"
).encode()
EVENTS = [Event("live", "{\n \u20ac}", "1"), Event("message", "", ""), Event("message", "x", None)]
T = "6553f100000000"
TAG = "0123abcd"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_however_the_bytes_are_cut(size: int) -> None:
    parser = SseParser()
    chunks = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert [event for chunk in chunks for event in parser.feed(chunk)] == EVENTS
    assert (parser.comments, parser.retry) == (1, 1500)


def test_a_delta_truncates_unsets_and_sets() -> None:
    document = {"a": [1, 2, 3, 4], "b": {"0": "x", "y.z": 1}, "c": [1, 2]}
    apply_delta(
        document,
        {
            "truncate": [[["a"], 2]],
            "unset": [[["b", "y.z"]][0], ["c", "0"]],
            "set": [[["a", "4"], 5], [["b", "0"], None], [["d"], {}]],
        },
    )
    assert document == {"a": [1, 2, None, None, 5], "b": {"0": None}, "c": [None, 2], "d": {}}


def test_json_is_equal_where_javascript_sees_no_difference_and_only_there() -> None:
    assert canonical({"a": 1.0, "b": [1e300]}) == canonical({"b": [1e300], "a": 1})
    assert canonical({"a": True}) != canonical({"a": 1})
    assert canonical([0.5]) != canonical([0])


def change(index: int, op: str, key: int, **more: object) -> dict[str, object]:
    identity = f"{TAG}-{T}{index:02x}000010"
    return {"type": "change", "id": identity, "channel": "a", "op": op, "key": key, **more}


@pytest.mark.parametrize(
    "message",
    [
        change(1, "delete", 2),
        change(1, "insert", 1, mode="full", document={}),
        change(1, "enter", 2, mode="patch", patch=[]),
        change(1, "update", 2, mode="full", document={}),
        change(1, "update", 1, mode="ref", reason="no_document"),
        change(1, "update", 1, mode="patch", patch=[{"op": "remove", "path": "/none"}]),
        change(1, "update", 1, mode="delta", delta={"unset": [["none"]]}),
        change(1, "leave", 1, document={}),
    ],
)
def test_a_message_that_does_not_fit_is_an_error(message: dict[str, object]) -> None:
    replica = Replica()
    replica.apply(change(0, "insert", 1, mode="full", document={"_id": 1}))
    with pytest.raises(AssertionError):
        replica.apply(message)


def witness_at(index: int) -> Witness:
    witness = Witness(channels=["a"], since=f"{TAG}-{T}{index:02x}000010", whole=False)
    witness.connected()
    witness.take(Event("ready", '{"type":"ready","session":"s","channels":["a"]}', None))
    return witness


def sent(index: int, at: int | None = None) -> Event:
    place = index if at is None else at
    body = canonical(change(index, "delete", index))
    return Event("message", body, f"{TAG}-{T}{place:02x}000010")


def test_a_witness_accepts_messages_in_order() -> None:
    witness = witness_at(1)
    for event in (sent(2), sent(4), Event("live", live(5), f"{TAG}-{T}05000010")):
        witness.take(event)
    assert len(witness.ids("a")) == 2


def live(index: int) -> str:
    return f'{{"type":"live","cursor":"{TAG}-{T}{index:02x}000010"}}'


@pytest.mark.parametrize(
    "events",
    [
        [sent(1)],
        [sent(3), sent(3)],
        [sent(3), sent(2)],
        [sent(3, at=2)],
        [sent(3), Event("live", live(2), f"{TAG}-{T}02000010")],
        [Event("live", live(3), f"{TAG}-{T}02000010")],
        [Event("live", live(3), None)],
        [Event("ready", '{"type":"ready","session":"s","channels":["a"]}', None)],
        [Event("live", live(3), f"{TAG}-{T}03000010")] * 2,
        [Event("resync", '{"channel":"a","reason":"dropped","cursor":"","type":"resync"}', None)],
        [Event("surprise", "{}", None)],
        [Event("bye", '{"type":"bye","reconnect":true}', None), sent(3)],
    ],
)
def test_a_witness_refuses_what_breaks_the_contract(events: list[Event]) -> None:
    witness = witness_at(1)
    with pytest.raises(AssertionError):
        list(map(witness.take, events))


def test_an_open_group_may_come_again_after_a_cut_and_counts_once() -> None:
    witness = witness_at(1)
    witness.take(Event("message", canonical(change(2, "delete", 2)), None))
    witness.connected()
    witness.take(Event("ready", '{"type":"ready","session":"t","channels":["a"]}', None))
    witness.take(sent(2))
    assert len(witness.ids("a")) == 1
