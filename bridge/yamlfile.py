"""A YAML file, read strictly: what YAML would let pass in silence is an error here."""

from pathlib import Path
from typing import Any

import yaml

from bridge.errors import ConfigError


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises ConfigError, in one line that begins with the path, where the file is missing,
    unreadable, empty, not YAML (with line and column), no mapping at its top, or has a key
    that is not text or stands twice.
    """
    try:
        # From an open file, PyYAML's errors do not quote the text, which may hold a secret.
        with path.open("rb") as file:
            data = yaml.load(file, _StrictLoader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{path}: {_place(error)}: {_reason(error)}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if data is None:
        raise ConfigError(f"{path}: the file is empty")
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path}: its top level is a {type(data).__name__}, expected a mapping of keys"
        )
    return data


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "not YAML"


def _reason(error: yaml.MarkedYAMLError) -> str:
    return " ".join((error.problem or error.context or "not YAML").split())


class _StrictLoader(yaml.SafeLoader):
    """Refuses keys that stand twice and keys that are not text (``on``, ``no``, ``1``)."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Checked while composing: later, merge keys (<<) have been mixed into the mapping.
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                raise _refused(key, f"the key {_shown(key)} is not text: put it in quotes")
            if key.value in seen:
                raise _refused(key, f'the key "{key.value}" stands twice in one mapping')
            seen.add(key.value)
        return node


def _shown(key: yaml.Node) -> str:
    return str(key.value) if isinstance(key, yaml.ScalarNode) else "[a mapping or a list]"


def _refused(key: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
