"""A yardstick: a small Node service with one shared change stream, as one writes it by hand."""

import shutil
import time
from pathlib import Path

from benchmarks.fed_server import FedServer
from benchmarks.process import Process
from benchmarks.stand import DATABASE, Stand

NAME = "Node service"
SERVICE = Path(__file__).with_name("node_service")
OPENING = 1.0
"""Seconds until its change stream is open: the driver opens it in the background."""


def node_missing() -> str | None:
    """What has to be installed before it can be measured; None where it is there."""
    if shutil.which("node") and (SERVICE / "node_modules" / "mongodb").is_dir():
        return None
    return "needs node, and `npm install` in benchmarks/node_service"


def start_node(stand: Stand, *, collection: str) -> FedServer:
    """The service, watching the collection with both images."""
    command = ["node", str(SERVICE / "service.js"), stand.uri, DATABASE, collection]
    log = stand.file(f"{collection}-node.log")
    process = Process(command, core=stand.server_core, log=log)
    server = FedServer(stand, name=NAME, collection=collection, process=process, path="/")
    time.sleep(OPENING)
    return server
