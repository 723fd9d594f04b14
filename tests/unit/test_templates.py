import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from bson import Code, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ConfigError
from bridge.events import Document, Namespace
from bridge.names import LONGEST
from bridge.templates import Pattern, Rule, Template, overlaps

NS = Namespace("app", "todos")
OID = ObjectId("65f0c0ffee65f0c0ffee65f0")
WHEN = datetime(2026, 11, 23, 11, 31, 7, 369_000)


@pytest.mark.parametrize(
    ("template", "document", "channel"),
    [
        ("all", {}, "all"),
        ("todos:{workspace}", {"workspace": "acme"}, "todos:acme"),
        ("todos:{workspace}:open", {"workspace": "acme"}, "todos:acme:open"),
        ("{owner.id}", {"owner": {"id": "u7"}}, "u7"),
        ("{a}:{b}", {"a": "x:y", "b": "100%"}, "x%3Ay:100%25"),
        ("{ns.db}:{ns.coll}:{_id}", {"_id": OID}, "app:todos:65f0c0ffee65f0c0ffee65f0"),
        ("d:{_id}", {"_id": "mine"}, "d:mine"),
        ("d:{_id.tenant}", {"_id": {"tenant": "acme", "n": 1}}, "d:acme"),
        ("x:{x:objectId}", {"x": OID}, "x:65f0c0ffee65f0c0ffee65f0"),
        ("n:{n:int}", {"n": 42}, "n:42"),
        ("n:{n:int}", {"n": Int64(-7)}, "n:-7"),
        ("n:{n:int}", {"n": 0}, "n:0"),
        ("d:{d:date}", {"d": WHEN}, "d:2026-11-23T11%3A31%3A07.369Z"),
        ("d:{d:date}", {"d": datetime(9, 1, 2)}, "d:0009-01-02T00%3A00%3A00.000Z"),
        (
            "d:{d:date}",
            {"d": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
            "d:2025-12-31T23%3A00%3A00.000Z",
        ),
        ("b:{b:bool}", {"b": True}, "b:true"),
        ("b:{b:bool}", {"b": False}, "b:false"),
        ("s:{s:string}", {"s": "Zoë"}, "s:Zoë"),
    ],
)
def test_a_document_has_the_channel_that_its_fields_name(
    template: str, document: Document, channel: str
) -> None:
    rule = Template(template)
    assert rule.channel(document, NS) == channel
    assert rule.matches(channel)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("f", ""),
        ("f", None),
        ("f", 1),
        ("f", ["a"]),
        ("f", {"a": "b"}),
        ("f", OID),
        ("f", Code("x")),
        ("f", "\ud800"),
        ("_id", 5),
        ("_id", {"a": "b"}),
        ("f:objectId", "65f0c0ffee65f0c0ffee65f0"),
        ("f:int", True),
        ("f:int", 1.0),
        ("f:int", "1"),
        ("f:int", 2**63),
        ("f:date", "2026-11-23T11:31:07.369Z"),
        ("f:bool", 1),
        ("f:bool", "true"),
        ("f.g", "not a document"),
        ("f.g", [{"g": "x"}]),
        ("f.g", {"h": "x"}),
    ],
)
def test_a_value_that_is_empty_or_of_another_type_gives_no_channel(field: str, value: Any) -> None:
    name = field.partition(":")[0].partition(".")[0]
    assert Template("c:{" + field + "}").channel({name: value}, NS) is None


@pytest.mark.parametrize("field", ["f", "f.g", "_id", "f:int", "f:date", "f:bool"])
def test_a_missing_field_gives_no_channel(field: str) -> None:
    assert Template("c:{" + field + "}").channel({}, NS) is None


def test_a_name_longer_than_a_name_may_be_is_no_channel() -> None:
    rule = Template("c:{f}")
    longest = "x" * (LONGEST - 2)
    assert rule.channel({"f": longest}, NS) == "c:" + longest
    assert rule.channel({"f": longest + "x"}, NS) is None
    assert rule.channel({"f": "é " * LONGEST}, NS) is None
    assert not rule.matches("c:" + longest + "x")


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("c:{f}", "c:"),
        ("c:{f}", "d:x"),
        ("c:{f}", "c:x:y"),
        ("c:{f}", "xc:x"),
        ("c:{f}", "c:a b"),
        ("c:{f}", "c:a*"),
        ("c:{f}", "c:a,b"),
        ("c:{f}", "c:a\n"),
        ("c:{f}", "c:%"),
        ("c:{f}", "c:%zz"),
        ("c:{f}", "c:%3a"),
        ("c:{f}", "c:%41"),
        ("c:{f}", "c:%C3%AB"),
        ("c:{f}", "c:%FF"),
        ("c:{f}", "c:%ED%A0%80"),
        ("c:{f}", "c:\ud800"),
        ("c:{f:objectId}", "c:65F0C0FFEE65f0c0ffee65f0"),
        ("c:{f:objectId}", "c:65f0"),
        ("c:{f:int}", "c:007"),
        ("c:{f:int}", "c:-0"),
        ("c:{f:int}", "c:+1"),
        ("c:{f:int}", "c:1_000"),
        ("c:{f:int}", "c:٣"),
        ("c:{f:int}", f"c:{2**63}"),
        ("c:{f:date}", "c:2026-11-23T11%3A31%3A07Z"),
        ("c:{f:date}", "c:2026-11-23"),
        ("c:{f:date}", "c:2026-02-30T00%3A00%3A00.000Z"),
        ("c:{f:date}", "c:0001-01-01T00%3A00%3A00.000+01%3A00"),
        ("c:{f:bool}", "c:True"),
        ("c:{f:bool}", "c:1"),
        ("all", "al"),
        ("a.b", "axb"),
    ],
)
def test_a_name_that_is_not_in_the_canonical_encoding_does_not_match(
    template: str, name: str
) -> None:
    assert not Template(template).matches(name)


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("", "1 to 1024 characters"),
        ("x" * 1025, "1 to 1024 characters"),
        ("todos:{workspace", "'{' has no partner"),
        ("todos:workspace}", "'}' has no partner"),
        ("todos:{a{b}", "'{' has no partner"),
        ("todos:{}", "names no field"),
        ("todos:{:int}", "names no field"),
        ("todos:{ a}", "names no field"),
        ("todos:{a..b}", "names no field"),
        ("todos:{.a}", "names no field"),
        ("todos:{n:integer}", "unknown type 'integer'; did you mean int?"),
        ("todos:{n:objectid}", "did you mean objectId?"),
        ("todos:{n:xyz}", "did you mean string, objectId, int, date, bool?"),
        ("todos:{n:}", "unknown type ''"),
        ("todos:{ns.collection}", "of ns there are {ns.db} and {ns.coll}"),
        ("todos:{ns.coll:int}", "of ns there are"),
        ("{a}{b}", "a literal with a ':' has to stand before {b}"),
        ("{a}-{b}", "a literal with a ':' has to stand before {b}"),
        ("{a}:{a}", "{a} and {a} are the same field or inside it"),
        ("{a}:{a.b}", "{a.b} and {a} are the same field or inside it"),
        ("my todos:{a}", "write 'my%20todos'"),
        ("a,b:{a}", "write 'a%2Cb'"),
        ("orders:*", "wildcards are for pipelines that set _channel"),
        ("100%:{a}", "write '100%25'"),
        ("a%3a:{a}", "write 'a%3A'"),
        ("%FF:{a}", "write '%25FF'"),
    ],
)
def test_a_faulty_template_is_refused_with_its_text_and_the_fault(
    template: str, fault: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        Template(template)
    assert fault in str(raised.value)
    assert repr(template[:64]) in str(raised.value)


def test_a_template_tells_its_document_paths_without_the_namespace() -> None:
    assert Template("{ns.coll}:{owner.id}:{n:int}").fields == ("owner.id", "n")


@pytest.mark.parametrize(
    ("template", "immutable"),
    [
        ("all", True),
        ("{_id}", True),
        ("{ns.coll}:{_id.tenant}", True),
        ("{ns.db}:{ns.coll}", True),
        ("{_id}:{owner}", False),
        ("{_identity}", False),
    ],
)
def test_only_id_and_namespace_never_change(template: str, immutable: bool) -> None:
    assert Template(template).immutable is immutable


VALUES = {
    "string": st.text(),
    "objectId": st.binary(min_size=12, max_size=12).map(ObjectId),
    "int": st.integers(),
    "date": st.datetimes(timezones=st.just(UTC)),
    "bool": st.booleans(),
}
KIND_VALUES = st.sampled_from(sorted(VALUES)).flatmap(
    lambda kind: st.tuples(st.just(kind), VALUES[kind])
)


@given(KIND_VALUES, KIND_VALUES)
def test_every_name_a_template_gives_matches_it_and_stays_in_its_fields(
    one: tuple[str, Any], two: tuple[str, Any]
) -> None:
    template = Template(f"c:{{a:{one[0]}}}:x:{{b:{two[0]}}}")
    name = template.channel({"a": one[1], "b": two[1]}, NS)
    if name is not None:
        assert template.matches(name)
        assert template.names.has(name)
        assert name.count(":") == 3
        assert Pattern("c:*:x:*").matches(name)


@given(st.text(), st.text())
def test_no_value_reaches_into_another_channel(one: str, two: str) -> None:
    template = Template("c:{a}")
    names = [template.channel({"a": value}, NS) for value in (one, two)]
    assert names[0] is None or (names[0] == names[1]) == (one == two)


@given(st.text(st.sampled_from("c:ab%3A2 *"), max_size=8))
def test_a_template_matches_exactly_the_names_in_its_set(name: str) -> None:
    assert Template("c:{a}").matches(name) == Template("c:{a}").names.has(name)


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("orders:*", "orders:1", True),
        ("orders:*", "orders:a b", True),
        ("orders:*", "orders:", False),
        ("orders:*", "orders:1:2", False),
        ("orders:*", "orders:1\n", False),
        ("orders:**", "orders:1:2", True),
        ("orders:**", "orders:", True),
        ("orders:**", "order:1", False),
        ("**", "anything: at all", True),
        ("**", "", False),
        ("**", "a\u2028b", True),
        ("**", "x" * 1024, True),
        ("**", "x" * 1025, False),
        ("*:open", "a:open", True),
        ("*:open", "a:b:open", False),
        ("**:open", "a:b:open", True),
        ("a*b*c", "axbxc", True),
        ("a*b*c", "abxc", False),
        ("a***", "ab", True),
        ("a***", "a", False),
        ("**:x:**", "a:x:b:c", True),
        ("**:x:**", "a:y:b:c", False),
        ("a.b", "a.b", True),
        ("a.b", "axb", False),
        ("A", "a", False),
        ("{x}", "{x}", True),
    ],
)
def test_a_pattern_matches_names_with_its_wildcards(pattern: str, name: str, fits: bool) -> None:
    assert Pattern(pattern).matches(name) is fits


@pytest.mark.parametrize("text", ["", "a\nb", "x" * 1025])
def test_a_pattern_that_no_name_can_match_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="channel pattern"):
        Pattern(text)


def test_a_pattern_with_many_wildcards_answers_a_bad_name_soon() -> None:
    pattern = Pattern("**a" * 12 + "b")
    start = time.process_time()
    assert not pattern.matches("a" * 300)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (Template("todos:{w}"), Template("todos:{x}"), True),
        (Template("todos:{w}"), Template("tasks:{w}"), False),
        (Template("todos:{w}"), Template("todos:{w}:{x}"), False),
        (Template("todos:{w}"), Template("todos:mine"), True),
        (Template("todos:{w}"), Template("{ns.coll}:mine"), True),
        (Template("a:{w}x"), Template("a:{w}y"), False),
        (Template("a:x{w}"), Template("a:{w}y"), True),
        (Template("a:{n:int}"), Template("a:{b:bool}"), False),
        (Template("a:{n:int}"), Template("a:007"), False),
        (Template("a:{n:int}"), Template("a:-7"), True),
        (Template("a:{n:int}"), Template("a:{x:objectId}"), True),
        (Template("a:{d:date}"), Template("a:{x:objectId}"), False),
        (Template("a:{d:date}"), Template("a:{s}"), True),
        (Template("a:{b:bool}"), Template("a:salt"), False),
        (Template("a:{b:bool}"), Template("a:{s}"), True),
        (Template("a:{_id}"), Template("a:{x:objectId}"), True),
        (Template("{a}"), Template("{b}"), True),
        (Template("all"), Template("all"), True),
        (Pattern("a:*"), Template("a:{s}"), True),
        (Pattern("a:*:b"), Template("a:{s}"), False),
        (Pattern("a:**"), Template("a:{s}:{t}"), True),
        (Pattern("a: *"), Template("a:{s}"), False),
        (Pattern("a:%*"), Template("a:{s}"), True),
        (Pattern("a:%41"), Template("a:{s}"), False),
        (Pattern("*"), Template("a:{s}"), False),
        (Pattern("**"), Template("a:{s}"), True),
        (Pattern("a:*"), Pattern("*:b"), True),
        (Pattern("a:*"), Pattern("b:*"), False),
        (Pattern("**a"), Pattern("b**"), True),
    ],
)
def test_rules_overlap_where_one_name_fits_both(one: Rule, other: Rule, meet: bool) -> None:
    assert overlaps(one, other) is meet
    assert overlaps(other, one) is meet


NAMES = ["".join(letters) for n in range(1, 6) for letters in product("a1-:", repeat=n)]
"""Long enough for a name that any two of the rules below have in common."""


def template_of(segments: list[str]) -> Template:
    return Template(":".join(s.replace("?", f"f{n}") for n, s in enumerate(segments)))


SEGMENTS = ["a", "1", "-1", "11", "1-", "{?}", "a{?}", "{?}1", "{?:int}", "{?:bool}"]
TEMPLATES = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=2).map(template_of)
LITTLE = st.lists(st.sampled_from(["a", "1", "-", ":", "*", "**"]), min_size=1, max_size=2)
PATTERNS = (LITTLE.map("".join) | st.sampled_from(["a:*", "*:*", "**:a", "a*1", "*:1"])).map(
    Pattern
)
RULES: st.SearchStrategy[Rule] = TEMPLATES | PATTERNS


@given(RULES, RULES)
def test_overlap_is_symmetric_and_finds_what_trying_every_short_name_finds(
    one: Rule, other: Rule
) -> None:
    meet = overlaps(one, other)
    assert overlaps(other, one) == meet
    if "bool" in one.text + other.text:  # true and false are longer than the names
        return
    assert meet == any(one.matches(name) and other.matches(name) for name in NAMES)


@given(RULES)
def test_every_rule_overlaps_itself(rule: Rule) -> None:
    assert overlaps(rule, rule)
