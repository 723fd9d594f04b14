from typing import Any

import pytest

from bridge.errors import ConfigError
from bridge.images import Images, Need, resolve

ON, WITHOUT, NOTHING = {"app.todos": True}, {"app.todos": False}, dict[str, bool]()
MIXED = {"app.todos": True, "app.users": False}


def need(**fields: Any) -> Need:
    return Need(
        **{
            "watcher": "todos",
            "watch": "app.todos",
            "full_document": "auto",
            "full_document_before_change": "auto",
            "patches": False,
            "document": False,
            "routes_by_field": False,
            **fields,
        }
    )


def test_images_are_used_where_they_are() -> None:
    assert resolve(need(), ON) == Images("whenAvailable", "whenAvailable")


@pytest.mark.parametrize("imaged", [WITHOUT, NOTHING, MIXED])
def test_without_images_the_document_is_looked_up_where_it_is_needed(
    imaged: dict[str, bool],
) -> None:
    assert resolve(need(document=True), imaged) == Images("updateLookup", "off")
    assert resolve(need(), imaged) == Images("off", "off")


@pytest.mark.parametrize("full", ["off", "updateLookup", "whenAvailable", "required"])
@pytest.mark.parametrize("before", ["off", "whenAvailable", "required"])
def test_what_is_written_is_taken(full: str, before: str) -> None:
    asked = need(full_document=full, full_document_before_change=before)
    assert resolve(asked, ON) == Images(full, before)


@pytest.mark.parametrize("imaged", [WITHOUT, MIXED])
def test_patches_without_images_name_the_command_that_helps(imaged: dict[str, bool]) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve(need(patches=True), imaged)
    lacking = [name for name, there in imaged.items() if not there]
    assert str(refused.value) == (
        "watchers.todos: mode patch needs pre- and post-images: "
        f"run: livesync-bridge images enable {' '.join(lacking)}"
    )


def test_a_collection_that_does_not_exist_can_be_created_with_images() -> None:
    command = r"app\.todos does not exist yet: run: livesync-bridge images enable app\.todos$"
    with pytest.raises(ConfigError, match=command):
        resolve(need(patches=True), NOTHING)


@pytest.mark.parametrize("watch", ["app", "*"])
def test_where_there_is_no_collection_yet_any_can_be_created(watch: str) -> None:
    with pytest.raises(ConfigError, match="no collections yet: livesync-bridge images enable db"):
        resolve(need(patches=True, watch=watch), NOTHING)


@pytest.mark.parametrize(
    "asked",
    [
        {"full_document": "off"},
        {"full_document": "updateLookup"},
        {"full_document_before_change": "off"},
    ],
)
def test_patches_refuse_options_that_bring_no_images(asked: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"set full_document and .* to auto"):
        resolve(need(patches=True, **asked), ON)


@pytest.mark.parametrize("option", ["full_document", "full_document_before_change"])
def test_required_refuses_to_start_without_images(option: str) -> None:
    with pytest.raises(ConfigError, match="required needs pre- and post-images"):
        resolve(need(**{option: "required"}), WITHOUT)


def test_channels_of_fields_need_pre_images_unless_their_loss_is_accepted() -> None:
    with pytest.raises(ConfigError, match="deletes could not be routed"):
        resolve(need(routes_by_field=True, document=True), WITHOUT)
    accepted = need(routes_by_field=True, document=True, full_document_before_change="off")
    assert resolve(accepted, WITHOUT) == Images("updateLookup", "off")
