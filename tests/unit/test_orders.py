"""What happens in the demo's shops, decided without a database."""

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from typing import Any

from bridge.demo.orders import MANY, SHOPS, STATES, Write, next_write

NOW = datetime(2026, 11, 23, 11, 31, 7, tzinfo=UTC)


def write_for(orders: list[dict[str, Any]], seed: int = 0, number: int = 1001) -> Write:
    return next_write(orders, number=number, now=NOW, random=Random(seed))


def shopful(state: str, size: int = MANY) -> list[dict[str, Any]]:
    """So many orders that no new one comes, all in one state."""
    orders: list[dict[str, Any]] = []
    while len(orders) < size:
        orders.append(write_for([], seed=len(orders)).body | {"state": state})
    return orders


def writes_for(state: str) -> list[Write]:
    orders = shopful(state)
    return [write_for(orders, seed) for seed in range(200)]


def test_an_empty_shop_gets_an_order_whose_total_is_the_sum_of_its_items() -> None:
    write = write_for([], number=1042)
    order = write.body
    assert write.op == "insert"
    assert write.key == order["_id"]
    assert (order["number"], order["state"], order["placedAt"]) == (1042, "placed", NOW)
    assert order["total"] == sum(item["quantity"] * item["price"] for item in order["items"])


def test_new_orders_go_to_the_shop_with_the_fewest() -> None:
    orders: list[dict[str, Any]] = []
    for _ in range(6):
        orders.append(write_for(orders).body)  # each depends on those before
    assert Counter(order["shop"] for order in orders) == dict.fromkeys(SHOPS, 2)


def test_full_shops_get_no_new_order() -> None:
    assert all(write.op != "insert" for state in STATES for write in writes_for(state))


def test_only_delivered_orders_are_deleted() -> None:
    assert {write.op for write in writes_for("delivered")} == {"delete"}
    assert all(write.op == "update" for state in STATES[:-1] for write in writes_for(state))


def test_orders_move_through_their_states_one_by_one() -> None:
    for before, after in pairwise(STATES):
        states = {write.body.get("$set", {}).get("state") for write in writes_for(before)}
        assert states == {None, after}


def test_an_order_that_moves_goes_to_another_shop() -> None:
    orders = shopful("ready")
    shops = {order["_id"]: order["shop"] for order in orders}
    moves = [
        (shops[write.key], write.body["$set"]["shop"])
        for write in (write_for(orders, seed) for seed in range(200))
        if "shop" in write.body.get("$set", {})
    ]
    assert moves
    assert all(here != there for here, there in moves)


def test_what_happens_shows_nested_fields_arrays_counters_and_removals() -> None:
    updates = [write.body for write in writes_for("packing") + writes_for("placed")]
    assert {op for update in updates for op in update} == {
        "$set",
        "$unset",
        "$inc",
        "$push",
        "$pull",
    }
    assert any("items.0.picked" in update.get("$set", {}) for update in updates)


def test_the_same_seed_tells_the_same_story() -> None:
    orders = shopful("placed")
    assert write_for(orders, seed=7) == write_for(orders, seed=7)
