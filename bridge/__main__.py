"""The command line: ``livesync-bridge``, also ``python -m bridge``."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import click
from rich.console import Console

from bridge import __version__, logs
from bridge.admission import tokens_of
from bridge.check import check
from bridge.config import Config, load_config
from bridge.errors import BridgeError, ConfigError, MongoError
from bridge.events import Namespace
from bridge.mongo import Mongo
from bridge.service import Service
from bridge.tail import tail

FAILED, BAD_USAGE, NO_MONGO = 1, 2, 3

REGISTERED = ("aud", "channels", "exp", "iat", "iss", "nbf", "sub")
"""Claims that have an option or a key of their own."""

_config = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    default=Path("config.yaml"),
    show_default=True,
    help="The configuration file.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="livesync-bridge")
def cli() -> None:
    """MongoDB change streams as channels of messages for browsers, with exact replay."""


@cli.command()
@_config
def run(config: Path) -> None:
    """Runs the service until SIGTERM."""
    logs.configure()
    settings = load_config(config)

    async def serve() -> None:
        await Service(settings).run()

    asyncio.run(serve())


@cli.command("check")
@_config
def check_command(config: Path) -> None:
    """Asks the real MongoDB whether the configuration can run."""
    if not asyncio.run(check(load_config(config), Console())):
        sys.exit(FAILED)


@cli.group()
def images() -> None:
    """Pre- and post-images of collections."""


@images.command()
@_config
@click.argument("collections", nargs=-1, required=True, metavar="DB.COLL...")
def enable(config: Path, collections: tuple[str, ...]) -> None:
    """Turns images on; creates the collection where there is none."""
    settings = load_config(config)
    for collection in collections:
        if not all(collection.partition(".")):
            raise ConfigError(f"{collection}: expected a collection as db.coll")

    async def turn_on() -> None:
        async with _mongo(settings) as mongo:
            for collection in collections:
                database, _, name = collection.partition(".")
                await mongo.enable_images(Namespace(database, name))
                click.echo(f"{collection}: pre- and post-images are on")

    asyncio.run(turn_on())


@images.command()
@_config
def status(config: Path) -> None:
    """Shows which of the watched collections have images."""
    settings = load_config(config)

    async def show() -> None:
        async with _mongo(settings) as mongo:
            for watcher in settings.watchers.values():
                imaged = await mongo.imaged(watcher.scope)
                for name, enabled in imaged.items() or [
                    (f"{watcher.watch} (does not exist)", False)
                ]:
                    click.echo(f"{'on ' if enabled else 'off'}  {name}")

    asyncio.run(show())


@cli.command()
@_config
@click.option("--channels", multiple=True, required=True, help="A channel pattern; repeatable.")
@click.option("--ttl", type=click.IntRange(min=1), default=3600, show_default=True, help="Seconds.")
@click.option("--sub", default="", help="The subject: who the token is for.")
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="NAME:VALUE",
    callback=lambda _context, _option, texts: dict(map(_claim, texts)),
    help="Another claim, as in redact's unless; repeatable.",
)
def token(
    config: Path, channels: tuple[str, ...], ttl: int, sub: str, claims: dict[str, str]
) -> None:
    """Makes a token with the configured secret and prints it."""
    tokens = tokens_of(load_config(config).auth)
    if tokens is None:
        raise ConfigError("auth.jwt.secret: not set; make one with: openssl rand -base64 48")
    click.echo(tokens.mint(channels=channels, ttl=ttl, subject=sub, more=claims))


def _claim(text: str) -> tuple[str, str]:
    name, _, value = text.rpartition(":")
    if not name or not value or name in REGISTERED:
        raise click.BadParameter(f"{text}: expected NAME:VALUE, such as role:admin")
    return name, value


@cli.command("tail")
@click.argument("channels", nargs=-1, required=True, metavar="CHANNEL...")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The bridge.")
@click.option("--since", help="A cursor, or 16 hex digits of a cluster time.")
@click.option("--snapshot", is_flag=True, help="Begin with the documents that there are.")
@click.option("--token", help="A token that may read the channels.")
def tail_command(
    channels: tuple[str, ...], url: str, since: str | None, snapshot: bool, token: str | None
) -> None:
    """Follows channels in the terminal; reconnects without loss."""
    following = tail(
        channels,
        url=url,
        since=since,
        snapshot=snapshot,
        token=token,
        console=Console(soft_wrap=True),
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(following)


@cli.command("demo")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
def demo_command(port: int) -> None:
    """Runs an embedded mongod, a sample application and the bridge."""
    # Imported here since only the demo has parts outside of the service's dependencies.
    from bridge.demo.show import show  # noqa: PLC0415

    logs.configure(least=logging.WARNING)  # it has a page to look at
    asyncio.run(show(port=port, mongod=os.environ.get("BRIDGE_MONGOD")))


@asynccontextmanager
async def _mongo(settings: Config) -> AsyncIterator[Mongo]:
    mongo = Mongo(settings.mongo.uri.get_secret_value(), driver=settings.mongo.driver)
    try:
        yield mongo
    finally:
        await mongo.close()


def main() -> None:
    """Runs a command; exits with 0, 1 (failed), 2 (bad usage) or 3 (no MongoDB)."""
    try:
        cli()
    except BaseExceptionGroup as group:
        _exit(_first(group))
    except BridgeError as error:
        _exit(error)


def _first(group: BaseExceptionGroup[BaseException]) -> BridgeError:
    ours, _ = group.split(BridgeError)
    if ours is None:
        raise group
    first = ours.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _exit(error: BridgeError) -> None:
    where = "MongoDB, at mongo.uri: " if isinstance(error, MongoError) else ""
    click.echo(f"livesync-bridge: {where}{error}", err=True)
    code = (
        BAD_USAGE
        if isinstance(error, ConfigError)
        else NO_MONGO
        if isinstance(error, MongoError)
        else FAILED
    )
    sys.exit(code)


if __name__ == "__main__":
    main()
