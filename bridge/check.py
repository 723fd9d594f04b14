"""``check``: asks the real MongoDB whether the configuration can run, and says what to fix."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.admission import tokens_of
from bridge.assembly import Plan, assemble, plans, sources
from bridge.auth_config import AuthConfig
from bridge.config import Config
from bridge.errors import BridgeError, ConfigError, MongoError, MongoRefused, Unavailable
from bridge.events import seconds_of
from bridge.mongo import Mongo
from bridge.state import State

OLDEST_SERVER = (6, 0)
"""Pre- and post-images came with it."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")

SCANS_NAMED = 5
"""Collections without an index that are told one by one, for each watcher."""

STREAM_LIMIT = 15.0
"""Seconds that a change stream gets to open."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    mark: str
    """✓ fine, ! works but worth a look, ✗ will not run."""
    what: str
    found: str
    fix: str = ""


async def check(config: Config, console: Console) -> bool:
    """Prints a table of findings, and what to do; whether everything that must be right is."""
    findings = [finding async for finding in _findings(config)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "what", "found"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(_mark(finding), Text(finding.what), Text(finding.found))
    console.print(table)
    for finding in findings:
        if finding.fix:  # in one piece, whatever the width: it may be a command
            line = Text.assemble(_mark(finding), (f" {finding.what}: ", "bold"), finding.fix)
            console.print(line, soft_wrap=True)
    return all(finding.mark != "✗" for finding in findings)


def _mark(finding: Finding) -> Text:
    return Text(finding.mark, style={"✓": "green", "!": "yellow", "✗": "red"}[finding.mark])


async def _findings(config: Config) -> AsyncIterator[Finding]:
    for what, host, port in (
        ("public listener", config.server.host, config.server.port),
        ("admin listener", config.admin.host, config.admin.port),
    ):
        yield _port(what, host, port)
    yield _readable(config)
    yield await _tokens(config.auth)
    planned = plans(config)
    mongo = Mongo(config.mongo.uri.get_secret_value(), driver=config.mongo.driver)
    try:
        async for finding in _deployment(mongo, config):
            yield finding
        for plan in planned:
            async for finding in _watcher(mongo, config, plan):
                yield finding
    except MongoError as error:
        yield Finding("✗", "MongoDB", str(error), "check mongo.uri and that the server runs")
    finally:
        await mongo.close()


def _port(what: str, host: str, port: int) -> Finding:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        problem = error.strerror or str(error)
        return Finding("✗", what, f"{host}:{port}: {problem}", "choose another port or host")
    return Finding("✓", what, f"{host}:{port} is free" if port else f"{host}, any free port")


def _readable(config: Config) -> Finding:
    patterns = config.auth.anonymous
    if not patterns and config.auth.jwt.configured:
        return Finding("✓", "access", "only with a token")
    if not patterns:
        fix = "add channel patterns to auth.anonymous, or configure auth.jwt"
        return Finding("!", "access", "nobody may read any channel", fix)
    return Finding("✓", "access", "without a token: " + ", ".join(patterns))


async def _tokens(auth: AuthConfig) -> Finding:
    what = "tokens"
    try:
        tokens = tokens_of(auth)
        if tokens is None:
            return Finding("✓", what, "none are accepted")
        found = await tokens.load()
    except ConfigError as error:
        return Finding("✗", what, str(error), "look at auth.jwt")
    except Unavailable as error:
        return Finding("✗", what, str(error), "look at auth.jwt.jwks_url and at the network")
    url = urlsplit(auth.jwt.jwks_url or "")
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        fix = "use https: who is between can put keys of their own there"
        return Finding("!", what, f"{found}, fetched without encryption", fix)
    return Finding("✓", what, found)


async def _deployment(mongo: Mongo, config: Config) -> AsyncIterator[Finding]:
    now = await mongo.now()
    version = await mongo.version()
    fine = version >= OLDEST_SERVER
    text = ".".join(map(str, version))
    yield Finding("✓" if fine else "✗", "MongoDB", text, "" if fine else "6.0 or newer is needed")
    yield Finding("✓", "deployment", f"replica set or sharded cluster {await mongo.identity()}")
    yield await _oplog(mongo, now, int(config.history.window))


async def _oplog(mongo: Mongo, now: str, window: int) -> Finding:
    try:
        first = await mongo.first_in_oplog()
    except MongoRefused:
        fix = "grant find on local.oplog.rs"
        return Finding("!", "oplog window", "may not be read; it is found by trying", fix)
    reach = seconds_of(now) - seconds_of(first)
    found = f"{_span(reach)}; history.window is {_span(window)}"
    if reach < window:
        return Finding("!", "oplog window", found, "it grows with time; else enlarge the oplog")
    return Finding("✓", "oplog window", found)


async def _watcher(mongo: Mongo, config: Config, plan: Plan) -> AsyncIterator[Finding]:
    """Resolves the images and opens the very stream that the service would."""
    what = f"watcher {plan.name}"
    try:
        assembled = await assemble(
            plan, mongo=mongo, identity="", config=config, refuse=lambda *_: None
        )
        ((source, _),) = sources([assembled], mongo)
        async with asyncio.timeout(STREAM_LIMIT):
            async with aclosing(source.read(await mongo.now())) as batches:
                await anext(batches)
    except TimeoutError:
        yield Finding("✗", what, f"no stream within {STREAM_LIMIT:.0f} s", "look at the server")
        return
    except BridgeError as error:
        problem, _, fix = str(error).partition(": run: ")
        yield Finding("✗", what, problem, fix)
        return
    images = assembled.images
    found = (
        f"{plan.config.watch} as {plan.config.mode}; full document {images.full_document}, "
        f"before change {images.full_document_before_change}"
    )
    warnings = assembled.warnings
    yield Finding("!" if warnings else "✓", what, found, "; ".join(warnings))
    if assembled.state:
        async for finding in _snapshots(assembled.state, plan.name):
            yield finding


async def _snapshots(state: State, name: str) -> AsyncIterator[Finding]:
    """Whether MongoDB accepts the query of a snapshot, and finds its documents by an index."""
    what = f"snapshots of {name}"
    try:
        scanned = await state.scans()
    except MongoError as error:
        fix = f"look at watchers.{name}.snapshot and at the privilege find"
        yield Finding("✗", what, str(error), fix)
        return
    for ns in scanned[:SCANS_NAMED]:
        keys = ", ".join(f'"{field}": 1' for field in state.fields)
        fix = f'in {ns.db}: db.getCollection("{ns.coll}").createIndex({{{keys}}})'
        yield Finding("!", what, f"each reads all of {ns.db}.{ns.coll}: there is no index", fix)
    if len(scanned) > SCANS_NAMED:
        found = f"each reads all of {len(scanned) - SCANS_NAMED} more collections"
        yield Finding("!", what, found, "narrow watch, or index them too")


def _span(seconds: int) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
