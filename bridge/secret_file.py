"""Secrets of the configuration: written in place, or in a file of their own (``x_file``)."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from bridge.errors import ConfigError
from bridge.section import Section

AnySection = TypeVar("AnySection", bound=Section)


def without_overridden(
    data: Mapping[str, Any], key: str, overrides: Collection[str]
) -> dict[str, Any]:
    """The data without both forms of a secret, where the environment sets one of them."""
    if not {key, f"{key}_file"}.isdisjoint(overrides):
        return _without(data, key.split("."))
    return dict(data)


def _without(data: Mapping[str, Any], path: list[str]) -> dict[str, Any]:
    name, *rest = path
    if not rest:
        return {key: value for key, value in data.items() if key not in (name, f"{name}_file")}
    inner = data.get(name)
    return {**data, name: _without(inner, rest)} if isinstance(inner, dict) else dict(data)


def with_secret(
    section: AnySection,
    key: str,
    *,
    directory: Path,
    what: str,
    read: Callable[[SecretStr], SecretStr] = lambda secret: secret,
) -> AnySection:
    """The section with the secret from its file, if it names one.

    Raises ConfigError where both forms are set, or the file does not hold ``what``.
    """
    name = key.rpartition(".")[2]
    path: Path | None = getattr(section, f"{name}_file")
    if path is None:
        return section
    if name in section.model_fields_set and getattr(section, name) is not None:
        raise ConfigError(f"{key}_file: {key} is set too; expected only one of them")
    file = directory / path
    try:
        secret = read(SecretStr(file.read_text(encoding="utf-8").strip()))
    except OSError as error:
        raise ConfigError(f"{key}_file: {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{key}_file: {file} does not hold {what}") from error
    return section.model_copy(update={name: secret, f"{name}_file": file})
