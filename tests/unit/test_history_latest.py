"""The latest message of each document: what conflating channels are given from memory."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.events import Message
from bridge.history import History
from tests.fakes import at, resync, start_of

ALL = 1 << 40


def about(second: int, channel: str, document: str, size: int = 0) -> Message:
    return Message(at(second), channel, b"x" * size, "", document)


def filled(*messages: Message, **bounds: Any) -> History:
    limits = {"window": 1 << 30, "max_messages": ALL, "max_bytes": ALL, **bounds}
    kept = History(floor=start_of(0), **limits)
    for each in messages:
        kept.append([each], each.position)
    return kept


def latest(kept: History, *channels: str, after: str = start_of(0), until: str = "") -> list[str]:
    found, _ = kept.since(after, channels, until=until or kept.head, limit=ALL, latest=True)
    return [each.position for each in found]


def test_of_each_document_only_the_newest_is_given() -> None:
    kept = filled(*(about(second, "a", f"d{second % 3}") for second in range(1, 10)))
    assert latest(kept, "a") == [at(7), at(8), at(9)]
    assert latest(kept, "a", after=at(8)) == [at(9)]


def test_a_document_counts_on_each_channel_by_itself() -> None:
    kept = filled(about(1, "a", "d"), about(2, "b", "d"), about(3, "a", "d"))
    assert latest(kept, "a", "b") == [at(2), at(3)]


def test_resyncs_and_what_is_about_no_document_are_all_given() -> None:
    kept = filled(about(1, "a", ""), resync(at(2)), about(3, "a", ""), resync(at(4)))
    assert latest(kept, "a") == [at(1), at(2), at(3), at(4)]


def test_one_that_is_newer_than_the_end_stands_for_the_older_ones() -> None:
    kept = filled(about(1, "a", "d"), about(2, "a", "e"), about(3, "a", "d"))
    assert latest(kept, "a", until=at(2)) == [at(2)]
    assert latest(kept, "a", after=at(2)) == [at(3)]


def test_read_in_pieces_each_piece_moves_on() -> None:
    kept = filled(*(about(second, "a", f"d{second % 5}", 100) for second in range(1, 21)))
    place, pieces = start_of(0), []
    while True:
        run, place = kept.since(place, ("a",), until=kept.head, limit=250, latest=True)
        if not run:
            break
        pieces.append([each.position for each in run])
    assert pieces == [[at(16), at(17)], [at(18), at(19)], [at(20)]]
    assert place == at(20)


def test_what_has_left_memory_is_not_given() -> None:
    kept = filled(*(about(second, "a", f"d{second}") for second in range(1, 10)), max_messages=3)
    assert latest(kept, "a") == [at(7), at(8), at(9)]


runs = st.lists(
    st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["", "1", "2", "3"])), max_size=40
)


@settings(max_examples=150, deadline=None)
@given(
    run=runs,
    place=st.integers(0, 42),
    until=st.integers(0, 42),
    limit=st.integers(1, 1000),
    channels=st.sampled_from([("a",), ("b",), ("a", "b")]),
)
def test_it_answers_like_a_plain_list(
    run: list[tuple[str | None, str]],
    place: int,
    until: int,
    limit: int,
    channels: tuple[str, ...],
) -> None:
    messages = [
        about(second, channel, document, 100) if channel else resync(at(second))
        for second, (channel, document) in enumerate(run, 1)
    ]
    kept = filled(*messages)
    due = [m for m in messages if m.position > at(place) and m.channel in (None, *channels)]
    newest = {(m.channel, m.document): m for m in due}
    wanted = [
        m
        for m in due
        if m.position <= at(until) and (not m.document or newest[m.channel, m.document] is m)
    ]
    got: list[Message] = []
    where = at(place)
    while True:
        piece, where = kept.since(where, channels, until=at(until), limit=limit, latest=True)
        got += piece
        if not piece:
            break
    assert got == wanted
    assert where == max(at(place), at(until))
