from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.events import Message, seconds_of
from bridge.history import MESSAGE_COST, SPARE, History
from tests.fakes import at, message, resync, start_of

ALL = 1 << 40


def history(**bounds: Any) -> History:
    return History(
        **{
            "floor": start_of(0),
            "window": 1 << 30,
            "max_messages": ALL,
            "max_bytes": ALL,
            **bounds,
        }
    )


def filled(*messages: Message, **bounds: Any) -> History:
    made = history(**bounds)
    for each in messages:
        made.append([each], each.position)
    return made


def seen(kept: History, *channels: str, after: str = start_of(0)) -> list[str]:
    found, _ = kept.since(after, channels, until=kept.head, limit=ALL)
    return [each.position for each in found]


def test_messages_of_several_channels_come_in_the_order_of_their_positions() -> None:
    kept = filled(message(at(1), "a"), message(at(2), "b"), message(at(3), "c"))
    assert seen(kept, "a", "c") == [at(1), at(3)]
    assert seen(kept, "c", "b", "a") == [at(1), at(2), at(3)]
    assert seen(kept, "none") == []


def test_what_every_channel_sees_stands_among_the_messages_of_each() -> None:
    kept = filled(message(at(1), "a"), resync(at(2)), message(at(3), "b"))
    assert seen(kept, "a") == [at(1), at(2)]
    assert seen(kept, "none") == [at(2)]


def test_only_what_lies_after_the_place_and_up_to_the_end_is_given() -> None:
    kept = filled(*(message(at(second), "a") for second in range(1, 6)))
    found, reached = kept.since(at(2), ("a",), until=at(4), limit=ALL)
    assert ([m.position for m in found], reached) == ([at(3), at(4)], at(4))


def test_a_place_ahead_of_the_history_is_kept() -> None:
    kept = filled(message(at(1), "a"))
    assert kept.since(at(9), ("a",), until=kept.head, limit=ALL) == ([], at(9))


def test_a_limit_ends_at_a_message_and_says_which() -> None:
    kept = filled(*(message(at(second), "a", size=100) for second in range(1, 6)))
    found, reached = kept.since(at(1), ("a",), until=kept.head, limit=250)
    assert ([m.position for m in found], reached) == ([at(2), at(3)], at(3))


def test_a_message_above_the_limit_comes_alone() -> None:
    kept = filled(message(at(1), "a", size=100), message(at(2), "a", size=100))
    found, reached = kept.since(start_of(0), ("a",), until=kept.head, limit=1)
    assert ([m.position for m in found], reached) == ([at(1)], at(1))


def test_many_resyncs_do_not_come_all_at_once() -> None:
    kept = filled(*(resync(at(second)) for second in range(1, 1001)))
    found, reached = kept.since(start_of(0), tuple("abcdefgh"), until=kept.head, limit=10_000)
    assert 0 < len(found) < 20
    assert reached == found[-1].position


def test_the_oldest_leave_when_there_are_too_many() -> None:
    kept = filled(*(message(at(second), "a") for second in range(1, 6)), max_messages=3)
    assert (len(kept), kept.floor, kept.head) == (3, at(2), at(5))
    assert seen(kept, "a") == [at(3), at(4), at(5)]


def test_the_oldest_leave_when_they_take_too_many_bytes() -> None:
    room = 3 * (100 + MESSAGE_COST)
    kept = filled(*(message(at(s), "a", size=100) for s in range(1, 6)), max_bytes=room)
    assert (len(kept), kept.bytes, kept.floor) == (3, room, at(2))


def test_the_oldest_leave_when_time_goes_on_without_messages() -> None:
    kept = filled(message(at(1), "a"), message(at(5), "a"), window=10)
    kept.append([], start_of(12))
    assert (kept.floor, seen(kept, "a")) == (at(1), [at(5)])
    kept.append([], start_of(100))
    assert (len(kept), kept.bytes, kept.channels, kept.floor) == (0, 0, 0, at(5))


def test_the_floor_stays_where_nothing_has_been_evicted() -> None:
    kept = filled(message(at(1), "a"))
    kept.append([], start_of(1_000_000))
    assert (kept.floor, kept.head) == (start_of(0), start_of(1_000_000))


def test_the_head_never_goes_back() -> None:
    kept = filled(message(at(5), "a"))
    kept.append([], start_of(3))
    assert kept.head == at(5)


def test_a_channel_costs_nothing_once_its_messages_are_gone() -> None:
    kept = filled(*(message(at(s), f"channel {s}") for s in range(1, 101)), max_messages=10)
    assert kept.channels == 10


def test_long_after_the_lists_were_cut_everything_is_still_found() -> None:
    last = 4 * SPARE
    kept = filled(*(message(at(s), f"{s % 3}") for s in range(1, last + 1)), max_messages=10)
    assert seen(kept, "0", "1", "2") == [at(s) for s in range(last - 9, last + 1)]
    assert len(kept._messages) <= SPARE + 11, "memory is given back"


def test_a_reset_forgets_everything() -> None:
    kept = filled(message(at(1), "a"), message(at(2), "b"), max_messages=1)
    kept.reset(start_of(9))
    assert (len(kept), kept.bytes, kept.channels) == (0, 0, 0)
    assert kept.floor == kept.head == start_of(9)
    kept.append([message(at(10), "a")], at(10))
    assert seen(kept, "a", "b") == [at(10)]


class Naive:
    """The same promises, kept by a list."""

    def __init__(self, window: int, max_messages: int, max_bytes: int) -> None:
        self.bounds = window, max_messages, max_bytes
        self.floor = self.head = start_of(0)
        self.messages: list[Message] = []

    @property
    def bytes(self) -> int:
        return sum(len(each.body) + MESSAGE_COST for each in self.messages)

    def append(self, messages: list[Message], head: str) -> None:
        window, max_messages, max_bytes = self.bounds
        self.messages += messages
        self.head = max(self.head, head)
        while self.messages and (
            len(self.messages) > max_messages
            or self.bytes > max_bytes
            or seconds_of(self.messages[0].position) < seconds_of(self.head) - window
        ):
            self.floor = self.messages.pop(0).position

    def since(self, place: str, channels: tuple[str, ...], until: str) -> list[Message]:
        return [
            each
            for each in self.messages
            if place < each.position <= until and each.channel in (None, *channels)
        ]


appends = st.tuples(
    st.integers(0, 4),  # seconds later
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", "d", None]), st.integers(0, 300)), max_size=6
    ),
)
asks = st.tuples(
    st.integers(0, 120),
    st.integers(0, 120),
    st.lists(st.sampled_from("abcde"), unique=True, max_size=3).map(tuple),
    st.integers(1, 1500),
)


@settings(max_examples=120, deadline=None)
@given(
    bounds=st.tuples(st.integers(1, 40), st.integers(1, 30), st.integers(500, 9000)),
    steps=st.lists(st.one_of(appends, asks), max_size=40),
)
def test_it_answers_like_a_plain_list(bounds: tuple[int, int, int], steps: list[Any]) -> None:
    window, max_messages, max_bytes = bounds
    kept = history(window=window, max_messages=max_messages, max_bytes=max_bytes)
    naive = Naive(*bounds)
    now = 0
    for step in steps:
        if len(step) == 2:
            now += step[0] + 1
            run = [
                message(at(now, i), channel, size=size) if channel else resync(at(now, i))
                for i, (channel, size) in enumerate(step[1], 1)
            ]
            kept.append(run, at(now, len(run) + 1))
            naive.append(run, at(now, len(run) + 1))
        else:
            ask(kept, naive, step)
        assert (kept.floor, kept.head, len(kept), kept.bytes) == (
            naive.floor,
            naive.head,
            len(naive.messages),
            naive.bytes,
        )
        assert kept.channels == len({each.channel for each in naive.messages})


def ask(kept: History, naive: Naive, question: tuple[int, int, tuple[str, ...], int]) -> None:
    """Reads in pieces: together they are the whole, and each is within its limit."""
    place, until, channels, limit = question
    whole = naive.since(at(place), channels, at(until))
    got: list[Message] = []
    where = at(place)
    while len(got) < len(whole):
        piece, where = kept.since(where, channels, until=at(until), limit=limit)
        assert piece
        assert len(piece) == 1 or sum(len(each.body) for each in piece) <= limit
        got += piece
    assert got == whole
    assert kept.since(where, channels, until=at(until), limit=limit)[0] == []
