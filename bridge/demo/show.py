"""``demo``: everything in one process, to be looked at in a browser."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import yaml
from pymongo import AsyncMongoClient

from bridge.config import Config, load_config
from bridge.demo.app import page_routes
from bridge.demo.backend import Backend
from bridge.demo.mongod import Mongod
from bridge.demo.sample import DATABASE, OUTBOX, TASKS, lay_out
from bridge.demo.trouble import Trouble
from bridge.events import Document
from bridge.service import Service


async def show(*, port: int, mongod: str | None) -> None:
    """Runs until SIGINT or SIGTERM: mongod, the bridge, and the back end of a board with its page.

    Raises ConfigError where there is no mongod to run, BridgeError where it cannot start.
    """
    server = Mongod(binary=Mongod.find(mongod))
    _end_on_signal(asyncio.current_task())
    click.echo("starting MongoDB …")
    # mongod starts and stops while the loop stands still: no signal can come between.
    with suppress(asyncio.CancelledError), server:
        await _serve(server.uri, port)


def _end_on_signal(task: "asyncio.Task[Any] | None") -> None:
    """Until the service listens to signals itself."""
    if task:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def _serve(uri: str, port: int) -> None:
    async with AsyncMongoClient[Document](uri) as client:
        await lay_out(client)
        troubled = Trouble(client[DATABASE][OUTBOX]).before(Backend(client).routes())
        service = Service(
            _configuration(uri, port),
            routes=[*page_routes(), *troubled],
            announce=lambda url: click.secho(f"\n  Open {url}/  (Ctrl-C ends it)\n", bold=True),
        )
        await service.run()


def _configuration(uri: str, port: int) -> Config:
    settings = {
        "mongo": {"uri": uri},
        "server": {"port": port, "heartbeat": 5, "drain": 1},
        "admin": {"port": 0},
        "auth": {"anonymous": ["board:*", "activity:*"]},
        "watchers": {
            "tasks": {
                "watch": f"{DATABASE}.{TASKS}",
                "channel": "board:{board}",
                "mode": "patch",
            },
            "activity": {
                "watch": f"{DATABASE}.{OUTBOX}",
                "outbox": True,
                "channel": "activity:*",
            },
        },
    }
    with TemporaryDirectory(prefix="bridge-demo-") as directory:
        file = Path(directory) / "config.yaml"
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return load_config(file)
