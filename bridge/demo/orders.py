"""The orders of the demo: what a document looks like and what happens to it next."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, Literal, TypeAlias

from bson import ObjectId

from bridge.events import Document

SHOPS = ("north", "south", "harbour")
STATES = ("placed", "packing", "ready", "on the way", "delivered")

FEW = 7
"""Below so many orders new ones come first."""
MANY = 12
"""From so many orders on no new ones come."""

_CUSTOMERS = (
    ("Ada", "Lindenhof"),
    ("Bruno", "Old Mill"),
    ("Chiara", "Seaside"),
    ("Devi", "Station Road"),
    ("Emil", "Lindenhof"),
    ("Farah", "Upper Town"),
    ("Goran", "Old Mill"),
    ("Hanne", "Quay 4"),
    ("Ines", "Upper Town"),
    ("Jonas", "Seaside"),
    ("Kaya", "Quay 4"),
    ("Lucía", "Station Road"),
)
_GOODS = (
    ("bread", "Sourdough loaf", 480),
    ("coffee", "Espresso beans", 1290),
    ("tea", "Jasmine tea", 760),
    ("honey", "Forest honey", 890),
    ("oil", "Olive oil", 1450),
    ("cheese", "Alpine cheese", 1120),
    ("pasta", "Orecchiette", 340),
    ("jam", "Plum jam", 520),
    ("salt", "Sea salt", 410),
)
_PACKERS = ("Mira", "Tom", "Yusuf")
_COURIERS = (("Nele", "cargo bike"), ("Sam", "van"), ("Pia", "scooter"))
_NOTES = ("Ring twice", "Leave at the door", "It is a gift", "Call on arrival", "No paper bag")

Update: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Write:
    """One write to the collection; ``body`` is the new document or the update."""

    op: Literal["insert", "update", "delete"]
    key: ObjectId
    body: Document


def next_write(orders: Sequence[Document], *, number: int, now: datetime, random: Random) -> Write:
    """What happens next in the shops; ``number`` is for the order, should it be a new one."""
    shop = quietest(orders)
    if len(orders) < FEW:
        return _place(shop, number, now, random)
    steps = [(step, [order for order in orders if step.fits(order)]) for step in _STEPS]
    possible = [(step, fitting) for step, fitting in steps if fitting]
    if len(orders) < MANY:
        possible.append((_NEW, []))
    [(step, fitting)] = random.choices(possible, [step.weight for step, _ in possible])
    if step is _NEW:
        return _place(shop, number, now, random)
    order = random.choice(fitting)
    if step is _GONE:
        return Write("delete", order["_id"], {})
    return Write("update", order["_id"], step.act(order, random))


def quietest(orders: Sequence[Document]) -> str:
    """The shop with the fewest orders: new ones go there."""
    busy = Counter(order["shop"] for order in orders)
    return min(SHOPS, key=lambda shop: busy[shop])


def _place(shop: str, number: int, now: datetime, random: Random) -> Write:
    name, street = random.choice(_CUSTOMERS)
    items = [_item(good, random) for good in random.sample(_GOODS, random.randint(1, 3))]
    key = ObjectId()
    document = {
        "_id": key,
        "number": number,
        "shop": shop,
        "state": STATES[0],
        "customer": {"name": name, "address": {"street": street, "door": random.randint(1, 48)}},
        "items": items,
        "total": sum(item["quantity"] * item["price"] for item in items),
        "placedAt": now,
    }
    return Write("insert", key, document)


def _item(good: tuple[str, str, int], random: Random) -> Document:
    sku, name, price = good
    return {
        "sku": sku,
        "name": name,
        "quantity": random.randint(1, 3),
        "price": price,
        "picked": False,
    }


def _advance(order: Document, random: Random) -> Update:
    state = STATES[STATES.index(order["state"]) + 1]
    if state == "packing":
        return {"$set": {"state": state, "packer": random.choice(_PACKERS)}}
    if state == "ready":
        return {"$set": {"state": state, "items.$[].picked": True}, "$unset": {"packer": ""}}
    if state == "on the way":
        name, vehicle = random.choice(_COURIERS)
        return {"$set": {"state": state, "courier": {"name": name, "vehicle": vehicle}}}
    return {
        "$set": {"state": state, "courier.rating": random.randint(3, 5)},
        "$unset": {"note": ""},
    }


def _pick(order: Document, random: Random) -> Update:
    index = random.choice(_unpicked(order))
    return {"$set": {f"items.{index}.picked": True}}


def _unpicked(order: Document) -> list[int]:
    return [index for index, item in enumerate(order["items"]) if not item["picked"]]


def _add(order: Document, random: Random) -> Update:
    item = _item(random.choice(_missing(order)), random)
    return {"$push": {"items": item}, "$inc": {"total": item["quantity"] * item["price"]}}


def _missing(order: Document) -> list[tuple[str, str, int]]:
    ordered = {item["sku"] for item in order["items"]}
    return [good for good in _GOODS if good[0] not in ordered]


def _recount(order: Document, random: Random) -> Update:
    index = random.randrange(len(order["items"]))
    item = order["items"][index]
    more = -1 if item["quantity"] > 2 else 1  # noqa: PLR2004 # three of a kind are plenty
    return {"$inc": {f"items.{index}.quantity": more, "total": more * item["price"]}}


def _take_out(order: Document, random: Random) -> Update:
    item = random.choice(order["items"])
    less = -item["quantity"] * item["price"]
    return {"$pull": {"items": {"sku": item["sku"]}}, "$inc": {"total": less}}


def _write_note(order: Document, random: Random) -> Update:
    return {"$set": {"note": random.choice([note for note in _NOTES if note != order.get("note")])}}


def _hand_over(order: Document, random: Random) -> Update:
    shop = random.choice([shop for shop in SHOPS if shop != order["shop"]])
    return {"$set": {"shop": shop}, "$unset": {"packer": ""}}


def _nothing(order: Document, random: Random) -> Update:
    return {}


@dataclass(frozen=True, slots=True)
class _Step:
    """A kind of thing that can happen to an order, how often, and to which."""

    weight: int
    states: tuple[str, ...]
    act: Callable[[Document, Random], Update]
    least: int = 1
    most: int = 4
    unpicked: bool = False

    def fits(self, order: Document) -> bool:
        return (
            order["state"] in self.states
            and self.least <= len(order["items"]) <= self.most
            and (not self.unpicked or bool(_unpicked(order)))
        )


_OPEN = STATES[:2]
_NEW = _Step(12, (), _nothing)
_GONE = _Step(12, STATES[4:], _nothing)
_STEPS = (
    _Step(26, STATES[:4], _advance),
    _Step(24, ("packing",), _pick, unpicked=True),
    _Step(7, _OPEN, _add, most=3),
    _Step(8, _OPEN, _recount),
    _Step(4, _OPEN, _take_out, least=2),
    _Step(7, STATES[:4], _write_note),
    _Step(8, STATES[:3], _hand_over),
    _GONE,
)
