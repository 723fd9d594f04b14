"""From the configuration and the cluster to watchers: every decision made at the start."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bridge import redaction
from bridge.batching import Batching
from bridge.config import Config
from bridge.encode import Encoder, Mode
from bridge.errors import ConfigError
from bridge.events import START_OF_INSTANT, Namespace
from bridge.extended_json import from_extended_json
from bridge.feed import Feed
from bridge.history import History
from bridge.images import KEPT, LOOKUP, OFF, Images, Need, resolve
from bridge.mongo import Mongo, describe
from bridge.mutation import MutationFields
from bridge.pipelines import Stage, load_stages, mentions, prepare, rewrites
from bridge.routing import Route
from bridge.snapshots import Origin
from bridge.source import MongoSource
from bridge.state import State
from bridge.templates import Pattern, Rule, Template, overlaps
from bridge.watcher import Expected, Watcher, tag_of
from bridge.watcher_config import SnapshotConfig, WatcherConfig


@dataclass(frozen=True, slots=True)
class Plan:
    """A watcher as configured: read, checked, not yet compared with MongoDB."""

    name: str
    config: WatcherConfig
    scope: Namespace
    stages: tuple[Stage, ...]
    rule: Rule

    @property
    def mode(self) -> Mode:
        """The mode of updates: where only the latest message counts, it says all."""
        return "full" if self.config.batch.conflate else self.config.mode

    @property
    def keep(self) -> tuple[str, ...]:
        """The fields of a document that are needed also where it is too large to be read."""
        fields = self.rule.fields if isinstance(self.rule, Template) else ()
        letter = ("channel", "name") if self.config.outbox else ()
        return *fields, *self.config.mutation_id, *letter

    @property
    def need(self) -> Need:
        """What it does with images."""
        by_field = isinstance(self.rule, Template) and not self.rule.immutable
        reads = mentions(self.stages, "fullDocument")
        return Need(
            watcher=self.name,
            watch=self.config.watch,
            full_document=self.config.full_document,
            full_document_before_change=self.config.full_document_before_change,
            patches=self.mode == "patch",
            document=self.mode == "full" or by_field or reads,
            routes_by_field=by_field,
        )


@dataclass(frozen=True, slots=True)
class Assembled:
    """A watcher ready to run, and the image options that it was given."""

    plan: Plan
    images: Images
    watcher: Watcher
    state: State | None
    """Where snapshots are read, if it offers any."""
    max_message: int

    @property
    def origin(self) -> Origin | None:
        """How its state is read and written."""
        config = self.plan.config
        if self.state is None:
            return None
        return Origin(
            state=self.state,
            json=config.json_form,
            wide=not self.plan.scope.coll,
            max_message=self.max_message,
            mutations=MutationFields(config.mutation_id),
        )

    @property
    def warnings(self) -> list[str]:
        """What works, but not exactly; with what would make it exact."""
        return list(_warnings(self.plan, self.images))

    @property
    def stream(self) -> tuple[Namespace, Images, str]:
        """Equal where two watchers can read one stream."""
        return self.plan.scope, self.images, describe(self.plan.stages)


def plans(config: Config) -> list[Plan]:
    """The watchers as configured; raises ConfigError where one cannot be, or two overlap."""
    made = [_plan(config, name, watcher) for name, watcher in config.watchers.items()]
    for index, one in enumerate(made):
        for other in made[:index]:
            if overlaps(one.rule, other.rule):
                raise ConfigError(
                    f"watchers.{one.name}.channel: {one.rule.text!r} can give the same names as "
                    f"watchers.{other.name}.channel {other.rule.text!r}: a channel belongs to "
                    "one watcher, so give one of them another prefix"
                )
    return made


def _plan(config: Config, name: str, watcher: WatcherConfig) -> Plan:
    scope = watcher.scope
    wide = not scope.coll
    stages = load_stages(config.pipelines, watcher.pipelines, watcher=name, wide=wide)
    if watcher.outbox and watcher.batch.conflate:
        raise ConfigError(
            f"watchers.{name}.batch.conflate: true; an outbox has events, of which none replaces "
            "another; expected false"
        )
    if isinstance(watcher.outbox, str) and not wide:
        raise ConfigError(
            f"watchers.{name}.outbox: {watcher.outbox!r}; a name is for a scope that is wider than "
            "a collection; expected true or false, or watch the whole database"
        )
    try:
        named = _names_channels(stages) or watcher.outbox is True
        rule: Rule = (Pattern if named else Template)(watcher.channel)
    except ConfigError as error:
        hint = "; a pattern needs a pipeline that sets _channel" if "*" in watcher.channel else ""
        raise ConfigError(f"watchers.{name}.channel: {error}{hint}") from error
    plan = Plan(name, watcher, scope, stages, rule)
    _check_redaction(plan)
    return plan


def _check_redaction(plan: Plan) -> None:
    """What stands in a channel's name, or is taken out of the document, cannot be hidden in it."""
    routing = plan.rule.fields if isinstance(plan.rule, Template) else ()
    for index, rule in enumerate(plan.config.redact):
        for field in rule.fields:
            shown = next((other for other in routing if f"{other}.".startswith(f"{field}.")), None)
            if shown:
                raise ConfigError(
                    f"watchers.{plan.name}.redact[{index}].fields: {field!r}; the channel's name "
                    f"shows {shown}; expected fields that are not in {plan.rule.text!r}"
                )


def _names_channels(stages: Sequence[Stage]) -> bool:
    sets = ("$set", "$addFields", "$project")
    return any("_channel" in stage.get(operator, {}) for stage in stages for operator in sets)


async def assemble(
    plan: Plan,
    *,
    mongo: Mongo,
    identity: str,
    config: Config,
    refuse: Callable[[str, str, Any], None],
) -> Assembled:
    """A plan made real; raises ConfigError where the collection lacks what it needs."""
    imaged = await mongo.imaged(plan.scope)
    # Of an outbox only inserts count: it needs no images.
    data = {name: on for name, on in imaged.items() if name.split(".", 1)[1] != plan.config.outbox}
    images = resolve(plan.need, data)
    watcher = Watcher(
        feed=_feed(plan, _tag(plan, images, identity), config),
        rule=plan.rule,
        route=Route(plan.rule, expect_before=images.full_document_before_change != OFF),
        encoder=Encoder(
            mode=plan.mode,
            json=plan.config.json_form,
            wide=not plan.scope.coll,
            max_message=config.server.max_message,
            rewritten=rewrites(plan.stages, "fullDocument"),
            seen_whole=not plan.config.redact,
        ),
        refuse=lambda reason, key=None: refuse(plan.name, reason, key),
        expects=Expected(
            document=images.full_document in KEPT,
            before=images.full_document_before_change in KEPT,
        ),
        mutations=MutationFields(plan.config.mutation_id),
        outbox=_outbox(plan),
    )
    return Assembled(plan, images, watcher, _state(plan, mongo), config.server.max_message)


def _feed(plan: Plan, tag: str, config: Config) -> Feed:
    history = History(
        floor="0" * 16 + START_OF_INSTANT,
        window=int(config.history.window),
        max_messages=config.history.max_messages,
        max_bytes=config.history.max_bytes,
    )
    batching = Batching(**plan.config.batch.model_dump())
    rules = [redaction.Rule.of(each.unless, each.fields) for each in plan.config.redact]
    return Feed(
        name=plan.name,
        tag=tag,
        history=history,
        batching=batching,
        redaction=redaction.Redaction(rules, json=plan.config.json_form),
    )


def _state(plan: Plan, mongo: Mongo) -> State | None:
    """Snapshots need a query: from the channel template, or from the operator."""
    snapshot, template = plan.config.snapshot, isinstance(plan.rule, Template)
    if snapshot is False or plan.config.outbox is True or not (template or snapshot is not True):
        return None
    chosen = SnapshotConfig() if snapshot is True else snapshot
    return State(
        mongo,
        scope=plan.scope,
        rule=plan.rule if isinstance(plan.rule, Template) else None,
        stages=plan.stages,
        filter=from_extended_json(chosen.filter),
        projection=chosen.projection,
        limit=chosen.limit,
        outbox=str(plan.config.outbox or ""),
    )


def _outbox(plan: Plan) -> Callable[[Namespace], bool]:
    outbox = plan.config.outbox
    return lambda ns: outbox is True or ns.coll == outbox


def sources(
    assembled: Iterable[Assembled], mongo: Mongo
) -> list[tuple[MongoSource, list[Watcher]]]:
    """The change streams to open, each with the watchers that share it."""
    shared: dict[object, list[Assembled]] = {}
    for each in assembled:
        shared.setdefault(each.stream, []).append(each)
    return [(_source(group, mongo), [each.watcher for each in group]) for group in shared.values()]


def _source(group: list[Assembled], mongo: Mongo) -> MongoSource:
    plan, images = group[0].plan, group[0].images
    keep = {field for each in group for field in each.plan.keep}
    return MongoSource(
        mongo,
        scope=plan.scope,
        stages=prepare(plan.stages, sorted(keep)),
        full_document=images.full_document,
        full_document_before_change=images.full_document_before_change,
    )


def _tag(plan: Plan, images: Images, identity: str) -> str:
    return tag_of(
        cluster=identity,
        watcher=plan.name,
        watch=plan.config.watch,
        stages=describe(plan.stages),
        channel=plan.rule.text,
        full_document=images.full_document,
        full_document_before_change=images.full_document_before_change,
        json=plan.config.json_form,
        outbox=plan.config.outbox,
        # Who sees less than before, or more, has to take the state again.
        **_redacted(plan),
    )


def _redacted(plan: Plan) -> dict[str, object]:
    rules = [each.model_dump() for each in plan.config.redact]
    return {"redact": rules} if rules else {}


def _warnings(plan: Plan, images: Images) -> Iterator[str]:
    looked_up = images.full_document == LOOKUP
    if looked_up and mentions(plan.stages, "fullDocument"):
        yield (
            "a pipeline reads fullDocument, which is looked up later: what it lets through can "
            "differ between two readings; enable images to make it exact"
        )
    elif looked_up and plan.need.routes_by_field:
        yield (
            "the channel depends on a document that is looked up later: two readings can differ; "
            "enable images to make it exact"
        )
    if plan.need.routes_by_field and images.full_document_before_change == OFF:
        yield "without pre-images every delete is a resync of all channels"
