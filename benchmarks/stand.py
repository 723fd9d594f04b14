"""The stand: what every measurement shares."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pymongo import MongoClient

Client: TypeAlias = MongoClient[dict[str, Any]]

DATABASE = "bench"


@dataclass(frozen=True, slots=True)
class Stand:
    """A mongod, a scratch directory, and one core for the server under measurement.

    Everything else (mongod, load client, writer) runs on the other core.
    """

    uri: str
    mongod: int
    """The pid of mongod."""
    directory: Path
    server_core: int
    load: Path
    """The load client, built."""
    client: Client

    def file(self, name: str) -> Path:
        """A path in the scratch directory."""
        return self.directory / name

    def collection(self, name: str, *, images: bool) -> None:
        """Makes a collection, empty, with or without pre- and post-images."""
        database = self.client[DATABASE]
        database.drop_collection(name)
        database.create_collection(name, changeStreamPreAndPostImages={"enabled": images})
