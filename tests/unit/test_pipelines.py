"""Pipelines: loaded, checked, and made ready to be sent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from bridge.errors import PipelineError
from bridge.pipelines import Stage, check_stages, load_stages, mentions, prepare

EXAMPLES = Path(__file__).parents[2] / "pipelines"
HEX = "65f0c0ffee65f0c0ffee65f0"

Write = Callable[[str, str], None]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "pipelines"
    made.mkdir()
    return made


@pytest.fixture
def write(directory: Path) -> Write:
    def write(name: str, text: str) -> None:
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")

    return write


def refusal(directory: Path, entry: str | Stage) -> str:
    with pytest.raises(PipelineError) as caught:
        load_stages(directory, [{"$match": {}}, entry], watcher="todos")
    return str(caught.value).replace(f"{directory.parent}/", "")


def problem(stage: Stage, *, wide: bool = False) -> str:
    with pytest.raises(PipelineError) as caught:
        check_stages([{"$match": {}}, stage], where="here", wide=wide)
    return str(caught.value).removeprefix("here: stage 1")


def test_names_and_inline_stages_follow_each_other_in_order(directory: Path, write: Write) -> None:
    write("two", "description: d\nstages: [{$match: {a: 1}}, {$unset: fullDocument.x}]")

    stages = load_stages(directory, ["two", {"$match": {"b": 2}}], watcher="w")

    assert stages == ({"$match": {"a": 1}}, {"$unset": "fullDocument.x"}, {"$match": {"b": 2}})


def test_extended_json_is_read_in_files_and_inline(directory: Path, write: Write) -> None:
    write("mine", f'description: d\nstages: [{{$match: {{o: {{$oid: "{HEX}"}}}}}}]')

    stages = load_stages(directory, ["mine", {"$match": {"o": {"$oid": HEX}}}], watcher="w")

    assert stages == ({"$match": {"o": ObjectId(HEX)}},) * 2


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: str(file.stem))
def test_the_pipelines_that_come_with_the_bridge_load(file: Path) -> None:
    assert load_stages(EXAMPLES, [file.stem], watcher="w", wide=True)


def test_an_unknown_name_is_answered_with_the_nearest_one(directory: Path, write: Write) -> None:
    write("hide-internal", "")
    write("other", "")

    assert refusal(directory, "hide-internals") == (
        'watchers.todos.pipelines[1]: unknown pipeline "hide-internals", '
        'did you mean "hide-internal"? In pipelines there are: hide-internal, other'
    )


def test_a_name_cannot_leave_the_directory(directory: Path) -> None:
    (directory.parent / "secret.yaml").write_text("description: d\nstages: [{$match: {}}]")

    assert refusal(directory, "../secret") == (
        'watchers.todos.pipelines[1]: unknown pipeline "../secret"; in pipelines there are: none'
    )


def test_a_missing_directory_is_named(directory: Path) -> None:
    directory.rmdir()

    assert refusal(directory, "a") == (
        'watchers.todos.pipelines[1]: unknown pipeline "a"; the directory pipelines does not exist'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "pipelines/p.yaml: the file is empty"),
        ("a: [", "pipelines/p.yaml: line 1, column 5: expected the node content, but found"),
        ("stages: []", "pipelines/p.yaml: its keys are stages; expected description (text) and"),
        ("description: d\nstages: []", "pipelines/p.yaml: stages is empty or no list; expected"),
        ("description: d\nstages: [a]", "pipelines/p.yaml: stage 0: 'a' is no stage; expected"),
        (
            "description: d\nstages: [{$match: {}}, {$group: {_id: 1}}]",
            "pipelines/p.yaml: stage 1 $group: not allowed in a change stream",
        ),
        (
            "description: d\nstages: [{$match: {a: {$oid: 1}}}]",
            "pipelines/p.yaml: stage 0: $oid: 1 is wrong; expected Extended JSON v2",
        ),
        (
            "description: d\nstages: [&a {$match: {x: *a}}]",
            "pipelines/p.yaml: stage 0: nested without end; does an alias hold itself?",
        ),
    ],
)
def test_a_file_that_is_no_pipeline_is_named(
    directory: Path, write: Write, text: str, message: str
) -> None:
    write("p", text)

    assert refusal(directory, "p").startswith(message)


def test_an_inline_stage_is_named_by_its_entry(directory: Path) -> None:
    assert refusal(directory, {"$sett": {"a": 1}}) == (
        "watchers.todos.pipelines[1]: stage 0 $sett: not allowed in a change stream, did you mean "
        '"$set"? Allowed: $addFields, $match, $project, $redact, $replaceRoot, $replaceWith, '
        "$set, $unset"
    )


def test_a_value_that_bson_does_not_have_is_refused() -> None:
    assert problem({"$match": {"n": 2**64}}).startswith(" $match: not BSON: ")


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({}, ": has 0 keys (); expected one, such as $match"),
        ({"$match": {}, "$set": {}}, ": has 2 keys ($match, $set); expected one, such as $match"),
        ({"$match": "x"}, " $match: is not a mapping"),
        ({"$set": []}, " $set: is not a mapping"),
        ({"$unset": {"a": 1}}, " $unset: is neither a field nor a list of fields"),
        ({"$project": {}}, " $project: is not a mapping of fields"),
        ({"$replaceRoot": {}}, " $replaceRoot: is not a mapping with the one key newRoot"),
    ],
)
def test_a_stage_has_one_operator_and_a_body_of_its_kind(stage: Stage, message: str) -> None:
    assert problem(stage) == message


@pytest.mark.parametrize("field", ["_id", "operationType", "documentKey", "clusterTime"])
def test_what_the_bridge_reads_is_neither_dropped_nor_overwritten(field: str) -> None:
    overwrites = f": overwrites {field}, which the bridge needs"
    drops = f": drops {field}, which the bridge needs"

    assert problem({"$set": {"a": 1, field: 1}}) == f" $set{overwrites}"
    assert problem({"$addFields": {f"{field}.x": 1}}) == f" $addFields{overwrites}"
    assert problem({"$unset": field}) == f" $unset{drops}"
    assert problem({"$unset": ["a", f"{field}.x"]}) == f" $unset{drops}"
    assert f"drops or changes {field}" in problem({"$project": {field: 0, "a": 0}})
    assert f"drops or changes {field}" in problem({"$project": {f"{field}.x": 0}})
    assert f"drops or changes {field}" in problem({"$project": {field: {"x": 0}}})


KEPT = {"operationType": 1, "documentKey": True, "clusterTime": 1}


@pytest.mark.parametrize(
    ("projection", "field"),
    [
        ({"fullDocument": 1}, "operationType"),
        ({"_id": 1}, "operationType"),
        ({"_id": 0} | KEPT, "_id"),
        ({"_id._data": 1} | KEPT, "_id"),
        (KEPT | {"documentKey": {"_id": 1}}, "documentKey"),
        (KEPT | {"clusterTime": "$wallTime"}, "clusterTime"),
        (KEPT | {"operationType": {"$literal": "insert"}}, "operationType"),
    ],
)
def test_a_projection_to_some_fields_must_name_what_the_bridge_reads(
    projection: Stage, field: str
) -> None:
    assert problem({"$project": projection}) == (
        f" $project: drops or changes {field}, which the bridge needs; write {field}: 1"
    )


def test_the_namespace_is_needed_where_there_is_more_than_one_collection() -> None:
    check_stages([{"$unset": "ns"}, {"$project": KEPT}], where="here")

    assert problem({"$unset": "ns"}, wide=True) == " $unset: drops ns, which the bridge needs"
    assert "write ns: 1" in problem({"$project": KEPT}, wide=True)


@pytest.mark.parametrize(
    "root",
    [
        "$fullDocument",
        {"_id": "$_id"},
        {"$mergeObjects": ["$fullDocument", "$ns"]},
        {"$mergeObjects": ["$$ROOT", "$fullDocument"]},
        {"$mergeObjects": ["$$ROOT", {"$cond": [True, {"a": 1}, {}]}]},
        {"$mergeObjects": ["$$ROOT", {"a": 1, "documentKey": 1}]},
    ],
)
def test_a_new_root_is_the_old_one_with_more(root: Any) -> None:
    assert problem({"$replaceWith": root}).startswith(" $replaceWith: ")
    assert problem({"$replaceRoot": {"newRoot": root}}).startswith(" $replaceRoot: ")


@pytest.mark.parametrize(
    "stage",
    [
        {"$match": {"operationType": "insert", "_id": {"$exists": True}}},
        {"$project": KEPT | {"fullDocument.a": 1, "x": {"$add": [1, 2]}}},
        {"$project": {"fullDocument.secret": 0, "ns": 0}},
        {"$project": {"_id": 1, "fullDocument": {"secret": 0}}},
        {"$redact": "$$KEEP"},
        {"$replaceWith": {"$mergeObjects": ["$fullDocument", "$$ROOT", {"a": 1}]}},
        {"$replaceRoot": {"newRoot": {"$mergeObjects": "$$ROOT"}}},
        {"$set": {"_channel": "a", "fullDocument._id": 1, "documentKeys": 1}},
        {"$unset": ["fullDocument._id", "wallTime"]},
    ],
)
def test_everything_else_that_a_change_stream_allows_passes(stage: Stage) -> None:
    check_stages([stage], where="here", wide=False)


@pytest.mark.parametrize(
    "stage",
    [
        {"$match": {"fullDocument.a": 1}},
        {"$match": {"$and": [{"$nor": [{"fullDocument": None}]}]}},
        {"$match": {"$expr": {"$eq": ["$fullDocument.a", 1]}}},
        {"$set": {"_channel": {"$concat": ["a:", "$fullDocument.a"]}}},
        {"$set": {"_channel": "$$ROOT.fullDocument.a"}},
        {"$redact": {"$cond": ["$fullDocument", "$$KEEP", "$$PRUNE"]}},
    ],
)
def test_a_stage_that_reads_a_field_mentions_it(stage: Stage) -> None:
    assert mentions([{"$unset": "x"}, stage], "fullDocument")


@pytest.mark.parametrize(
    "stage",
    [
        {"$match": {"fullDocumentBeforeChange.a": 1}},
        {"$match": {"ns.coll": "fullDocument"}},
        {"$unset": "fullDocument.a"},
        {"$set": {"fullDocument.a": 1, "b": "$fullDocumentBeforeChange"}},
    ],
)
def test_a_stage_that_reads_another_or_only_writes_does_not_mention_it(stage: Stage) -> None:
    assert not mentions([stage], "fullDocument")


def test_every_match_is_widened_to_what_ends_a_stream() -> None:
    match, other, _ = prepare([{"$match": {"a": 1}}, {"$set": {"b": 1}}], [])

    endings = {"operationType": {"$in": ["drop", "rename", "dropDatabase", "invalidate"]}}
    assert match == {"$match": {"$or": [{"a": 1}, endings]}}
    assert other == {"$set": {"b": 1}}


def test_the_guard_stands_last_and_keeps_the_routing_fields() -> None:
    (guard,) = prepare([], ["owner.id", "team", "owner", "_id.x"])

    _, reduced, whole = guard["$set"]["fullDocument"]["$cond"]
    _, fields, otherwise = reduced["$cond"]
    assert fields == {
        "_id": "$fullDocument._id",
        "owner": "$fullDocument.owner",
        "team": "$fullDocument.team",
    }
    assert whole == otherwise == "$fullDocument"


def test_what_is_prepared_leaves_the_stages_as_they_were() -> None:
    stages = ({"$match": {"a": 1}},)

    prepare(stages, [])

    assert stages == ({"$match": {"a": 1}},)
