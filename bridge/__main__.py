"""The command line: ``livesync-bridge``, also ``python -m bridge``."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from bridge import __version__, logs
from bridge.config import load_config
from bridge.errors import BridgeError, ConfigError, MongoError
from bridge.service import Service

FAILED, BAD_USAGE, NO_MONGO = 1, 2, 3

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
    """Runs the service."""
    logs.configure()
    settings = load_config(config)
    _run(lambda: Service(settings).run())


def _run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def start() -> None:
        await main()

    asyncio.run(start())


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
    click.echo(f"livesync-bridge: {error}", err=True)
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
