from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.batching import Batching, latest
from bridge.events import Message, Place
from bridge.sse_wire import PLAIN
from tests.acceptance.sse_parser import Event
from tests.fakes import at, events_in, message, resync

TODOS, ORDERS = "1f3a9c02", "77777777"
PLACE = Place({TODOS: at(1), ORDERS: at(7)})
WINDOW = Batching(window=1.0)


def about(where: str, channel: str, document: str) -> Message:
    """A message about a document."""
    body = orjson.dumps({"id": where, "channel": channel, "key": document})
    return Message(where, channel, body, "", document)


def framed(batching: Batching, *run: Message, place: Place = PLACE) -> list[Event]:
    channels = sorted({each.channel for each in run if each.channel})
    parts = batching.framed(PLAIN, run, tag=TODOS, place=place, channels=channels)
    return events_in(b"".join(parts))


def messages_in(events: list[Event]) -> list[list[str]]:
    return [[m["id"] for m in orjson.loads(e.data)["messages"]] for e in events]


def test_without_a_window_each_message_is_an_event_with_its_own_cursor() -> None:
    events = framed(Batching(), message(at(2), "a"), message(at(3), "b"))
    assert [event.id for event in events] == [
        PLACE.moved(TODOS, at(2)).cursor,
        PLACE.moved(TODOS, at(3)).cursor,
    ]


def test_a_window_makes_one_batch_of_each_channel_and_only_the_last_has_a_cursor() -> None:
    run = [message(at(s), channel) for s, channel in ((2, "a"), (3, "b"), (4, "a"), (5, "b"))]
    events = framed(WINDOW, *run)
    assert [orjson.loads(event.data)["channel"] for event in events] == ["a", "b"]
    assert [orjson.loads(event.data)["type"] for event in events] == ["batch"] * 2
    assert messages_in(events) == [[at(2), at(4)], [at(3), at(5)]]
    assert [event.id for event in events] == [None, PLACE.moved(TODOS, at(5)).cursor]
    assert {event.type for event in events} == {"message"}


def test_the_last_cursor_is_that_of_the_newest_message_of_all_channels() -> None:
    run = [message(at(2), "b"), message(at(3), "b"), message(at(4), "a")]
    assert framed(WINDOW, *run)[-1].id == PLACE.moved(TODOS, at(4)).cursor


def test_a_batch_holds_no_more_messages_than_it_may() -> None:
    run = [message(at(s), "a") for s in range(2, 9)]
    events = framed(Batching(window=1.0, max_messages=3), *run)
    assert [len(batch) for batch in messages_in(events)] == [3, 3, 1]
    assert [event.id is None for event in events] == [True, True, False]


def test_a_resync_stands_between_batches_and_each_side_has_a_cursor() -> None:
    run = [message(at(2), "a"), message(at(3), "b"), resync(at(4)), message(at(5), "a")]
    events = framed(WINDOW, *run)
    assert [event.type for event in events] == ["message"] * 2 + ["resync"] * 2 + ["message"]
    assert [event.id and event.id.split("-")[1][:22] for event in events] == [
        None,
        at(3),
        None,
        at(4),
        at(5),
    ]


def test_a_place_that_has_no_part_yet_gets_one() -> None:
    (event,) = framed(WINDOW, message(at(2), "a"), place=Place({ORDERS: at(7)}))
    assert event.id == Place({TODOS: at(2), ORDERS: at(7)}).cursor


def test_of_each_document_the_latest_is_kept_on_each_of_its_channels() -> None:
    run = [
        about(at(2), "a", "1"),
        about(at(3), "a", "2"),
        about(at(4), "b", "1"),
        about(at(5), "a", "1"),
    ]
    assert [each.position for each in latest(run)] == [at(3), at(4), at(5)]


def test_what_is_about_no_document_is_all_kept() -> None:
    run = [message(at(2), "a"), resync(at(3)), message(at(4), "a"), resync(at(5))]
    assert latest(run) == run


def test_all_is_kept_where_nothing_is_conflated() -> None:
    run = [about(at(2), "a", "1"), about(at(3), "a", "1")]
    assert Batching(window=1.0).kept(run) == run
    assert Batching(conflate=True).kept(run) == run[1:]


writes = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("12345"), st.booleans()), max_size=60
)


def applied(run: list[Message]) -> dict[tuple[Any, str], bytes]:
    """The documents of each channel after these messages; one that has gone is not there."""
    held: dict[tuple[Any, str], bytes] = {}
    for each in run:
        if orjson.loads(each.body)["gone"]:
            held.pop((each.channel, each.document), None)
        else:
            held[each.channel, each.document] = each.body
    return held


@given(done=writes, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_however_a_run_is_cut_conflated_it_ends_in_the_same_documents(
    done: list[tuple[str, str, bool]], cuts: list[int]
) -> None:
    run = [
        Message(at(n), channel, orjson.dumps({"id": at(n), "gone": gone}), "", document)
        for n, (channel, document, gone) in enumerate(done, 2)
    ]
    edges = sorted({0, len(run), *(min(cut, len(run)) for cut in cuts)})
    parts = [run[a:b] for a, b in pairwise(edges)]
    conflated = [each for part in parts for each in latest(part)]
    assert applied(conflated) == applied(run)
    assert conflated == sorted(conflated, key=lambda each: each.position)
    for part in parts:
        kept = [(each.channel, each.document) for each in latest(part)]
        assert len(kept) == len(set(kept)), "one of each document"


@given(
    done=writes,
    size=st.integers(1, 7),
    breaks=st.sets(st.integers(2, 62), max_size=3),
)
def test_frames_hold_every_message_in_order_and_a_cursor_never_runs_ahead(
    done: list[tuple[str, str, bool]], size: int, breaks: set[int]
) -> None:
    run = [
        resync(at(n)) if n in breaks else about(at(n), channel, document)
        for n, (channel, document, _) in enumerate(done, 2)
    ]
    events = framed(Batching(window=1.0, max_messages=size), *run)
    told: dict[str, list[str]] = {}
    for number, event in enumerate(events):
        data = orjson.loads(event.data)
        for each in data.get("messages", ()):
            told.setdefault(each["channel"], []).append(each["id"])
        assert len(data.get("messages", ())) <= size
        if event.id:
            reached = event.id.split(".")[0].split("-")[1]
            rest = [orjson.loads(e.data).get("messages", ()) for e in events[number + 1 :]]
            later = [each["id"] for messages in rest for each in messages]
            assert all(position > reached for position in later), "what it covers has been given"
    for channel in {each.channel for each in run if each.channel}:
        assert told[channel] == [each.position for each in run if each.channel == channel]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_page_of_history_has_the_same_batches(size: int) -> None:
    run = [message(at(s), "a") for s in range(2, 7)]
    batching = Batching(window=1.0, max_messages=size)
    events = framed(batching, *run)
    assert [event.data.encode() for event in events] == batching.batches(run)
