"""Tokens from the command line: made, and checked before the service starts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.tokens import Tokens
from tests.acceptance.bridge_process import command
from tests.acceptance.conftest import configuration

NOWHERE = "mongodb://127.0.0.1:1/?replicaSet=rs0&serverSelectionTimeoutMS=500"
SECRET = "an example of a secret that has 32 bytes"
PUBLISHED = {"algorithms": ["RS256"], "jwks_url": "http://127.0.0.1:1/keys"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def write(file: Path, **jwt: Any) -> None:
    todos = {"watch": "app.todos", "channel": "todos:{room}"}
    auth = {"auth": {"jwt": jwt}} if jwt else {}
    file.write_text(yaml.safe_dump(configuration(NOWHERE, {"todos": todos}, **auth)))


async def test_a_token_is_made_with_the_secret(file: Path) -> None:
    write(file, secret=SECRET, issuer="me")
    channels = ["--channels", "todos:*", "--channels", "a"]

    done = command("token", *channels, "--ttl", "60", "--sub", "ann", "-c", str(file))

    assert (done.returncode, done.stderr) == (0, "")
    claims = await Tokens(secret=SECRET, issuer="me").verify(done.stdout.strip())
    assert claims.subject == "ann"
    assert [pattern.text for pattern in claims.channels] == ["todos:*", "a"]


@pytest.mark.parametrize(
    ("jwt", "more", "why"),
    [
        ({}, (), "openssl rand -base64 48"),
        (PUBLISHED, (), "only who holds the private key"),
        ({"secret": SECRET}, ("--channels", ""), "channel pattern"),
        ({"secret": SECRET}, ("--ttl", "0"), "--ttl"),
    ],
)
def test_where_none_can_be_made_it_says_why(
    jwt: dict[str, Any], more: tuple[str, ...], why: str, file: Path
) -> None:
    write(file, **jwt)

    done = command("token", "--channels", "a", *more, "-c", str(file))

    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("jwt", "found"),
    [
        ({}, "none are accepted"),
        ({"secret": SECRET}, "HS256 by a secret"),
        (PUBLISHED, "http://127.0.0.1:1/keys: it cannot be reached"),
        ({"algorithms": ["RS256"], "public_key_file": "key.pem"}, "cannot be read"),
    ],
)
def test_the_check_tells_what_tokens_are_verified_with(
    jwt: dict[str, Any], found: str, file: Path
) -> None:
    write(file, **jwt)

    done = command("check", "-c", str(file), COLUMNS="1000")

    assert found in " ".join(done.stdout.split())
    assert SECRET not in done.stdout + done.stderr
