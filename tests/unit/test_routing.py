from typing import Any

import pytest
from bson import ObjectId

from bridge.events import Change, Document, Namespace
from bridge.routing import Route, Routed
from bridge.templates import Pattern, Template

KEY = ObjectId("65f0c0ffee65f0c0ffee65f0")
HEX = str(KEY)
ACME = {"_id": KEY, "workspace": "acme"}
EVIL = {"_id": KEY, "workspace": "evil"}
NOWHERE = {"_id": KEY, "workspace": None}

NO_CHANNEL = Routed((), refused="no channel")
NO_BEFORE = Routed((), "unrouted", "pre-image missing")
NO_DOCUMENT = Routed((), "unrouted", "no post-image")


def change(op: str, *, coll: str = "todos", **fields: Any) -> Change:
    return Change(time="0" * 16, ordinal=1, op=op, ns=Namespace("app", coll), key=KEY, **fields)


def update(
    *updated: str, removed: tuple[str, ...] = (), truncated: tuple[str, ...] = ()
) -> Document:
    return {
        "updatedFields": dict.fromkeys(updated, 1),
        "removedFields": list(removed),
        "truncatedArrays": [{"field": path, "newSize": 1} for path in truncated],
    }


def by_field(**fields: Any) -> Routed:
    return Route(Template("todos:{workspace}"), expect_before=True).route(change(**fields))


def to(*deliveries: tuple[str, str]) -> Routed:
    return Routed(deliveries)


def test_an_insert_goes_to_the_channel_of_its_document() -> None:
    assert by_field(op="insert", document=ACME) == to(("todos:acme", "insert"))


def test_documents_that_are_withheld_still_decide_the_channel() -> None:
    routed = by_field(op="update", before=ACME, document=EVIL, withheld="too_large")
    assert routed == to(("todos:acme", "leave"), ("todos:evil", "enter"))


def test_an_insert_without_a_channel_is_refused() -> None:
    assert by_field(op="insert", document=NOWHERE) == NO_CHANNEL


def test_an_insert_whose_document_is_not_known_is_unrouted() -> None:
    assert by_field(op="insert") == NO_DOCUMENT


@pytest.mark.parametrize("op", ["update", "replace"])
@pytest.mark.parametrize(
    ("before", "document", "routed"),
    [
        (ACME, ACME, lambda op: to(("todos:acme", op))),
        (ACME, EVIL, lambda _: to(("todos:acme", "leave"), ("todos:evil", "enter"))),
        (EVIL, ACME, lambda _: to(("todos:evil", "leave"), ("todos:acme", "enter"))),
        (ACME, NOWHERE, lambda _: to(("todos:acme", "leave"))),
        (NOWHERE, ACME, lambda _: to(("todos:acme", "enter"))),
        (NOWHERE, NOWHERE, lambda _: NO_CHANNEL),
    ],
)
def test_a_document_leaves_its_old_channel_first_and_enters_the_new_one(
    op: str, before: Document, document: Document, routed: Any
) -> None:
    given = by_field(op=op, before=before, document=document, description=update("workspace"))
    assert given == routed(op)


UNTOUCHED = [
    update("done"),
    update("work"),
    update("workspaces", "owner.workspace"),
    update(removed=("done",)),
    update(truncated=("tags",)),
    {},
]
TOUCHED = [
    update("workspace"),
    update("done", "workspace.name"),
    update(removed=("workspace",)),
    update(truncated=("workspace.tags",)),
    None,
]


@pytest.mark.parametrize("description", UNTOUCHED)
def test_an_update_elsewhere_goes_by_whichever_image_is_there(description: Document) -> None:
    here = to(("todos:acme", "update"))
    assert by_field(op="update", document=ACME, description=description) == here
    assert by_field(op="update", before=ACME, description=description) == here
    assert by_field(op="update", description=description) == NO_DOCUMENT


@pytest.mark.parametrize("description", TOUCHED)
def test_an_update_of_a_routing_field_needs_both_images(description: Document | None) -> None:
    assert by_field(op="update", document=ACME, description=description) == NO_BEFORE
    assert by_field(op="update", before=ACME, description=description) == NO_DOCUMENT
    assert by_field(op="update", description=description) == NO_BEFORE


@pytest.mark.parametrize("path", ["owner", "owner.team", "owner.team.id", "owner.team.id.x"])
def test_a_path_above_or_below_a_routing_field_touches_it(path: str) -> None:
    route = Route(Template("{owner.team.id}"), expect_before=True)
    document = {"owner": {"team": {"id": "t"}}}
    aside = change("update", document=document, description=update("owner.name"))
    assert route.route(aside) == to(("t", "update"))
    assert route.route(change("update", document=document, description=update(path))) == NO_BEFORE


def test_a_replace_needs_both_images() -> None:
    assert by_field(op="replace", document=ACME) == NO_BEFORE
    assert by_field(op="replace", before=ACME) == NO_DOCUMENT


def test_a_delete_goes_by_the_pre_image() -> None:
    assert by_field(op="delete", before=ACME) == to(("todos:acme", "delete"))
    assert by_field(op="delete", before=NOWHERE) == NO_CHANNEL
    assert by_field(op="delete") == NO_BEFORE


def test_a_loss_that_the_configuration_accepts_is_told_from_a_surprise() -> None:
    route = Route(Template("todos:{workspace}"), expect_before=False)
    assert route.route(change("delete")) == Routed((), "unrouted", "pre-images are off")


@pytest.mark.parametrize("op", ["insert", "update", "replace", "delete"])
@pytest.mark.parametrize(
    ("template", "channel"),
    [("todo:{_id}", f"todo:{HEX}"), ("{ns.db}:{ns.coll}", "app:todos"), ("all", "all")],
)
def test_an_immutable_template_routes_by_the_key_alone(
    template: str, channel: str, op: str
) -> None:
    route = Route(Template(template), expect_before=False)
    assert route.route(change(op)) == to((channel, op))


@pytest.mark.parametrize("rule", [Template("t:{w}"), Template("t:{_id}"), Pattern("t:*")])
@pytest.mark.parametrize(
    ("op", "coll", "routed"),
    [
        ("drop", "todos", Routed((), "dropped")),
        ("rename", "todos", Routed((), "dropped")),
        ("dropDatabase", "", Routed((), "dropped")),
        ("invalidate", "", Routed()),
        ("createIndexes", "todos", Routed((), refused="operation createIndexes")),
        ("drop", "tmp.agg_out.1f3a", Routed((), refused="temporary namespace")),
        ("insert", "tmp.agg_out.1f3a", Routed((), refused="temporary namespace")),
        ("insert", "tmpAbC12.renameCollection", Routed((), refused="temporary namespace")),
        ("update", "system.views", Routed((), refused="temporary namespace")),
        ("rename", "tmp.agg_out.1f3a", Routed((), "dropped")),
        ("rename", "tmpAbC12.renameCollection", Routed((), "dropped")),
    ],
)
def test_what_is_not_a_change_of_a_document_of_the_user(
    rule: Template | Pattern, op: str, coll: str, routed: Routed
) -> None:
    images = {"document": ACME, "channels": "t:x"}
    assert Route(rule, expect_before=True).route(change(op, coll=coll, **images)) == routed


@pytest.mark.parametrize("coll", ["tmp", "tmpfiles", "tmp.agg_outer", "systems", "my.tmp.agg_out."])
def test_a_collection_that_only_looks_temporary_is_routed(coll: str) -> None:
    assert by_field(op="insert", coll=coll, document=ACME) == to(("todos:acme", "insert"))


def by_pipeline(channels: Any, op: str = "update") -> Routed:
    given = change(op, before=ACME, document=EVIL, channels=channels)
    return Route(Pattern("orders:*"), expect_before=True).route(given)


@pytest.mark.parametrize("op", ["insert", "update", "replace", "delete"])
def test_a_pipeline_set_channel_keeps_the_operation(op: str) -> None:
    assert by_pipeline("orders:1", op) == to(("orders:1", op))


def test_pipeline_set_channels_are_told_once_each_and_in_order() -> None:
    routed = by_pipeline(["orders:b", "orders:a", "orders:b", "orders:Z"])
    assert routed == to(("orders:Z", "update"), ("orders:a", "update"), ("orders:b", "update"))


OUTSIDE = "name outside the pattern"
NO_STRING = "channel is not a string"


@pytest.mark.parametrize(
    ("channels", "good", "refused"),
    [
        (None, [], "no channel"),
        ("", [], "no channel"),
        ([], [], "no channel"),
        ("todos:1", [], OUTSIDE),
        ("orders:1:2", [], OUTSIDE),
        ("orders:" + "x" * 1024, [], OUTSIDE),
        (["orders:1", "todos:1"], ["orders:1"], OUTSIDE),
        (["orders:1", ""], ["orders:1"], OUTSIDE),
        (["orders:1", None], ["orders:1"], NO_STRING),
        ([None], [], NO_STRING),
        (7, [], NO_STRING),
        ({"a": "orders:1"}, [], NO_STRING),
    ],
)
def test_a_name_that_may_not_be_used_is_refused_and_the_good_ones_stay(
    channels: Any, good: list[str], refused: str
) -> None:
    assert by_pipeline(channels) == Routed(tuple((name, "update") for name in good), "", refused)


def test_a_change_may_have_fifteen_channels_and_with_more_it_is_unrouted() -> None:
    names = [f"orders:{n:02}" for n in range(16)]
    assert len(by_pipeline(names[:15] * 2).deliveries) == 15
    assert len(by_pipeline([*names[:15], "todos:1"]).deliveries) == 15
    assert by_pipeline(names) == Routed((), "unrouted", "more than 15 channels")
