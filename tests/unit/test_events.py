import pytest

from bridge.errors import BadCursor
from bridge.events import (
    Cursor,
    Place,
    after_change,
    cluster_time,
    position,
    seconds_of,
    time_of,
)
from tests.fakes import at, batch, insert, start_of

TODOS, ORDERS = "1f3a9c02", "77777777"
P = "6b0427d50000000900001"  # a position but for the message's digit


def test_a_position_is_the_time_the_ordinal_and_the_message() -> None:
    time = cluster_time(0x6B0427D5, 9)
    assert time == "6b0427d500000009"
    assert position(time, 1, 0) == P + "0"
    assert position(time, 0xFFFFF, 15) == time + "ffffff"
    assert (seconds_of(P + "0"), time_of(P + "0")) == (0x6B0427D5, time)


def test_what_follows_a_change_stands_between_its_messages_and_the_next_change() -> None:
    time = cluster_time(1, 1)
    assert position(time, 7, 14) < after_change(time, 7) < position(time, 8, 0)


def test_a_cursor_has_a_part_for_each_watcher() -> None:
    cursor = Cursor.parse(f"{TODOS}-{P}0.{ORDERS}-{P}1")
    assert (cursor.at(TODOS), cursor.at(ORDERS), cursor.at("00000000")) == (P + "0", P + "1", None)
    assert list(cursor.positions()) == [P + "0", P + "1"]


def test_a_bare_position_stands_for_every_watcher() -> None:
    cursor = Cursor.parse(P + "0")
    assert cursor.at(TODOS) == cursor.at(ORDERS) == P + "0"
    assert list(cursor.positions()) == [P + "0"]


def test_a_bare_cluster_time_stands_for_the_end_of_its_instant() -> None:
    assert Cursor.parse("6b0427d500000009").at(TODOS) == "6b0427d500000009ffffff"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "0",
        "now",
        P,
        P + "00",
        P.upper() + "0",
        P + "g",
        P + "0\n",
        f" {P}0",
        "6b0427d50000000",
        "6b0427d5000000090",
        f"{TODOS}-{P}",
        f"{TODOS}-6b0427d500000009",
        f"{TODOS[1:]}-{P}0",
        f"{TODOS}0-{P}0",
        f"{TODOS.upper()}-{P}0",
        f"{TODOS}{P}0",
        f"{TODOS}-{P}0.",
        f".{TODOS}-{P}0",
        f"{TODOS}-{P}0..{ORDERS}-{P}0",
        f"{TODOS}-{P}0,{ORDERS}-{P}0",
        f"{TODOS}-{P}0.{P}0",
        f"{TODOS}-{P}0\x00",
        "\uff11" * 16,
        "٣" * 22,
    ],
)
def test_anything_else_is_no_cursor(text: str) -> None:
    with pytest.raises(BadCursor, match="is not a cursor part"):
        Cursor.parse(text)


def test_a_tag_may_not_stand_twice() -> None:
    with pytest.raises(BadCursor, match=f"tag {TODOS} stands twice"):
        Cursor.parse(f"{TODOS}-{P}0.{TODOS}-{P}0")


def test_a_long_text_that_is_no_cursor_is_not_repeated_whole() -> None:
    with pytest.raises(BadCursor) as refused:
        Cursor.parse("x" * 10_000)
    assert len(str(refused.value)) < 200


def test_a_place_and_its_cursor_say_the_same() -> None:
    place = Place({TODOS: at(2), ORDERS: at(1)})
    cursor = Cursor.parse(place.cursor)
    assert dict(cursor.parts) == dict(place.parts)
    assert place == Place({ORDERS: at(1), TODOS: at(2)})
    assert hash(place) == hash(Place({ORDERS: at(1), TODOS: at(2)}))


def test_watchers_move_unevenly() -> None:
    place = Place({TODOS: at(5), ORDERS: at(1)})
    moved = place.moved(ORDERS, at(9))
    assert moved.parts == {TODOS: at(5), ORDERS: at(9)}
    assert place.parts == {TODOS: at(5), ORDERS: at(1)}


def test_a_place_never_goes_back() -> None:
    place = Place({TODOS: at(5)})
    assert place.moved(TODOS, at(4)) is place
    assert place.moved(TODOS, at(5)) is place


def test_on_a_lagging_replica_nothing_is_due_until_the_place_is_passed() -> None:
    place = Place({TODOS: at(5)})
    lagging = place.moved(TODOS, start_of(3))
    assert not lagging.due(TODOS, at(4))
    assert not lagging.due(TODOS, at(5))
    assert lagging.due(TODOS, at(6))


def test_a_snapshot_ahead_of_the_watcher_covers_all_of_its_instant() -> None:
    part = Cursor.parse(cluster_time(5, 1)).at(TODOS)
    assert part is not None
    place = Place({TODOS: part})
    assert not place.due(TODOS, at(5, ordinal=300, index=14))
    assert place.due(TODOS, position(cluster_time(5, 2), 1, 0))


def test_a_heartbeat_at_an_instant_leaves_everything_that_happened_at_it_due() -> None:
    assert Place({TODOS: start_of(5)}).due(TODOS, at(5))


def test_a_torn_group_goes_on_inside_its_cluster_time() -> None:
    place = Place({TODOS: at(5, ordinal=2)})
    group = [at(5, ordinal) for ordinal in (1, 2, 3, 4)]
    assert [where for where in group if place.due(TODOS, where)] == group[2:]


def test_a_cut_between_leave_and_enter_still_owes_the_enter() -> None:
    leave, enter = at(5, 1, 0), at(5, 1, 1)
    place = Place({TODOS: leave})
    assert (place.due(TODOS, leave), place.due(TODOS, enter)) == (False, True)


def test_a_watcher_without_a_part_owes_everything() -> None:
    place = Place({})
    assert place.cursor == ""
    assert place.at(TODOS) is None
    assert place.due(TODOS, start_of(0))
    assert place.moved(TODOS, at(1)).parts == {TODOS: at(1)}


@pytest.mark.parametrize("tag", ["00000000", "50000000", "ffffffff"])
@pytest.mark.parametrize("others", [{}, {TODOS: at(1)}, {TODOS: at(1), ORDERS: at(2)}])
def test_cursors_are_made_around_one_watchers_position(tag: str, others: dict[str, str]) -> None:
    before, after = Place(others).around(tag)
    assert before + at(9) + after == Place({**others, tag: at(9)}).cursor
    before, after = Place({**others, tag: at(3)}).around(tag)
    assert before + at(9) + after == Place({**others, tag: at(9)}).cursor


def test_a_batch_knows_what_lies_after_a_position() -> None:
    changes = [insert(1), insert(1, ordinal=2), insert(2)]
    read = batch(*changes)
    assert read.after(start_of(1)) == changes
    assert read.after(after_change(changes[0].time, 1)) == changes[1:]
    assert read.after(at(1, 1, 0)) == changes
    assert read.after(read.head) == []
    assert batch(head=start_of(1)).after(start_of(0)) == []
