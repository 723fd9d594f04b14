"""The roles and the TLS of docs/security.md, against a MongoDB that checks both."""

import datetime as dt
import ipaddress
import json
import re
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pymongo import AsyncMongoClient, MongoClient

from bridge.demo.mongod import Mongod
from tests.acceptance.bridge_process import BridgeProcess, command
from tests.acceptance.conftest import MakeBridge
from tests.acceptance.plain_json import canonical, plain
from tests.acceptance.replica import name_of
from tests.acceptance.state_client import StateClient
from tests.acceptance.traffic import Database, create_with_images

DOCS = Path(__file__).parents[2] / "docs" / "security.md"
ROLES = [json.loads(text) for text in re.findall(r"```json\n(.+?)```", DOCS.read_text(), re.DOTALL)]
COLLECTION, DATABASE, ALL, IMAGES = (role["role"] for role in ROLES)
WATCH = {COLLECTION: "app.todos", DATABASE: "app", ALL: "*"}
PASSWORD = secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A MongoDB that asks who you are, and speaks TLS."""

    port: int
    authority: Path

    def uri(self, user: str, *, options: str = "") -> str:
        options = options or f"tls=true&tlsCAFile={self.authority}"
        return (
            f"mongodb://{user}:{PASSWORD}@127.0.0.1:{self.port}/"
            f"?replicaSet=rs0&authSource=admin&{options}"
        )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """First without a guard, to make its users; then with one, from the same directory."""
    directory = tmp_path_factory.mktemp("guarded")
    data, key, certificate = directory / "data", directory / "key", directory / "server.pem"
    write_certificate(certificate)
    key.write_text(secrets.token_hex(32))
    key.chmod(0o600)
    with Mongod(directory=data) as open_mongod:
        with MongoClient[dict[str, Any]](open_mongod.uri) as client:
            add_users(client)
        port = open_mongod.port
    files = ["--tlsCertificateKeyFile", str(certificate), "--tlsCAFile", str(certificate)]
    tls = ["--tlsMode", "preferTLS", "--tlsAllowConnectionsWithoutCertificates", *files]
    with Mongod(directory=data, port=port, arguments=["--auth", "--keyFile", str(key), *tls]):
        yield Guarded(port, certificate)


def add_users(client: MongoClient[dict[str, Any]]) -> None:
    client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
    for role in ROLES:
        given = {name: value for name, value in role.items() if name != "role"}
        client.admin.command("createRole", role["role"], **given)
        client.admin.command("createUser", role["role"], pwd=PASSWORD, roles=[role["role"]])


def write_certificate(file: Path) -> None:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mongod")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, form, serialization.NoEncryption())
    file.write_bytes(certificate.public_bytes(pem) + private)


@pytest.fixture
async def app(guarded: Guarded) -> AsyncIterator[Database]:
    async with AsyncMongoClient[dict[str, Any]](guarded.uri("root"), tz_aware=True) as client:
        await client.drop_database("app")
        yield client["app"]


def watcher(role: str) -> dict[str, Any]:
    return {"watch": WATCH[role], "channel": "todos:{room}", "mode": "patch"}


async def write(database: Database, start: int) -> None:
    for number in range(start, start + 30):
        await database["todos"].insert_one({"_id": number, "room": "ab"[number % 2], "text": "x"})
        await database["todos"].update_one({"_id": number}, {"$set": {"done": True, "text": "y"}})
        if number % 3 == 0:
            await database["todos"].delete_one({"_id": number})
        elif number % 5 == 0:
            await database["todos"].update_one({"_id": number}, {"$set": {"room": "a"}})


async def stored(database: Database, role: str) -> dict[str, str]:
    wide = {} if role == COLLECTION else {"ns": {"db": "app", "coll": "todos"}}
    return {
        name_of({"key": plain(document["_id"]), **wide}): canonical(plain(document))
        async for document in database["todos"].find({"room": "a"})
    }


@pytest.mark.parametrize("role", WATCH)
async def test_the_bridge_converges_as_the_user_of_the_docs(
    guarded: Guarded, app: Database, bridge: MakeBridge, role: str
) -> None:
    await create_with_images(app, "todos")
    await write(app, 0)
    process = bridge({"todos": watcher(role)}, uri=guarded.uri(role))
    checked = command("check", "-c", str(process.config_file))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "✗" not in checked.stdout
    assert "grant" not in checked.stdout
    await process.start()
    async with StateClient(
        urls=lambda: [process.url], channels=["todos:a", "todos:b"], drops=(5, 25)
    ) as client:
        await client.until(lambda c: c.snapshots)
        await write(app, 100)
        await app["todos"].insert_one({"_id": "end", "room": "a"})
        wanted = await stored(app, role)
        await client.until(lambda c: c.held("todos:a") == wanted)
    assert client.connections > 1
    assert not client.resyncs
    process.kill()
    await process.start()  # reads again what it had
    assert "authorized" not in process.log


async def test_a_user_without_the_role_is_told_what_is_missing(
    guarded: Guarded, app: Database, bridge: MakeBridge
) -> None:
    await create_with_images(app, "todos")
    process = bridge({"todos": watcher(COLLECTION)}, uri=guarded.uri(IMAGES))
    checked = command("check", "-c", str(process.config_file))
    assert checked.returncode == 1
    assert "not authorized" in checked.stdout.replace("\n", " ")


async def test_images_are_enabled_by_a_role_of_their_own(
    guarded: Guarded, app: Database, bridge: MakeBridge
) -> None:
    as_reader = bridge({"todos": watcher(COLLECTION)}, uri=guarded.uri(COLLECTION))
    as_owner = bridge({"todos": watcher(COLLECTION)}, uri=guarded.uri(IMAGES))
    for exists in (False, True):
        if exists:
            await app["todos"].drop()
            await app.create_collection("todos")
        assert enable(as_reader).returncode == 3
        assert enable(as_owner).returncode == 0
        options = await app["todos"].options()
        assert options["changeStreamPreAndPostImages"] == {"enabled": True}


def enable(process: BridgeProcess) -> subprocess.CompletedProcess[str]:
    return command("images", "enable", "app.todos", "-c", str(process.config_file))


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    guarded: Guarded, bridge: MakeBridge
) -> None:
    uri = guarded.uri(COLLECTION, options="tls=true&serverSelectionTimeoutMS=2000")
    process = bridge({"todos": watcher(COLLECTION)}, uri=uri)
    started = command("run", "-c", str(process.config_file))
    assert started.returncode == 3
    assert "certificate" in started.stderr
    assert PASSWORD not in started.stderr + started.stdout
