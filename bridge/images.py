"""Pre- and post-images: what a watcher asks MongoDB for, decided from what there is.

https://www.mongodb.com/docs/manual/changeStreams/#change-streams-with-document-pre--and-post-images
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.errors import ConfigError

LOOKUP = "updateLookup"
AVAILABLE = "whenAvailable"
OFF = "off"
KEPT = frozenset({AVAILABLE, "required"})
"""Options that take what MongoDB has kept of the change itself."""


@dataclass(frozen=True, slots=True)
class Images:
    """Image options as resolved: never ``auto``."""

    full_document: str
    full_document_before_change: str


@dataclass(frozen=True, slots=True)
class Need:
    """What a watcher does with images, and what its configuration asks for."""

    watcher: str
    watch: str
    """What it watches, as configured."""
    full_document: str
    full_document_before_change: str
    patches: bool
    """Its mode is patch: both images are needed."""
    document: bool
    """The mode, the channel or a stage needs the document."""
    routes_by_field: bool
    """The channel depends on more than the ``_id``: deletes need the pre-image."""


def resolve(need: Need, imaged: Mapping[str, bool]) -> Images:
    """The options to ask for, given the scope's collections and whether each has images.

    Raises ConfigError, naming the command that helps, where the watcher could not do what it
    is configured for.
    """
    there = bool(imaged) and all(imaged.values())
    full, before = need.full_document, need.full_document_before_change
    if full == "auto":
        full = AVAILABLE if there else LOOKUP if need.document else OFF
    if before == "auto":
        before = AVAILABLE if there else OFF
    reason = _missing(need, full, before, there=there)
    if reason:
        raise ConfigError(f"watchers.{need.watcher}: {reason}: {_remedy(need.watch, imaged)}")
    return Images(full, before)


def _missing(need: Need, full: str, before: str, *, there: bool) -> str:
    if need.patches and (full in (OFF, LOOKUP) or before == OFF or not there):
        return "mode patch needs pre- and post-images"
    if "required" in (full, before) and not there:
        return "required needs pre- and post-images"
    accepted = need.full_document_before_change == OFF
    if need.routes_by_field and not accepted and not there:
        return (
            "deletes could not be routed to a channel of document fields without pre-images "
            "(full_document_before_change: off accepts that: clients are told to resync)"
        )
    return ""


def _remedy(watch: str, imaged: Mapping[str, bool]) -> str:
    without = [name for name, enabled in imaged.items() if not enabled]
    if not imaged and "." in watch:
        return f"{watch} does not exist yet: run: livesync-bridge images enable {watch}"
    if not imaged:
        return "there are no collections yet: livesync-bridge images enable db.coll creates one"
    if not without:
        return "set full_document and full_document_before_change to auto"
    return f"run: livesync-bridge images enable {' '.join(without)}"
