"""For any document and any update, delta and patch lead from the pre-image to the post-image."""

from copy import deepcopy
from random import Random
from typing import Any

import jsonpatch
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.delta import Delta, described, difference, same
from bridge.patch import from_delta, from_images
from tests.random_updates import NASTY_KEYS, PLAIN_KEYS, a_document, applied, updated

quick = settings(max_examples=100, derandomize=True, database=None, deadline=None)
# One seed per example: drawing every value from Hypothesis takes a hundred times longer.
seeds = given(st.randoms(use_true_random=True))


def leads(delta: Delta, before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether the delta, and the patch made of it, lead from one image to the other."""
    patch = from_delta(delta, before)
    return same(applied(delta, before), after) and same(
        jsonpatch.apply_patch(before, patch or []), after
    )


@quick
@seeds
def test_an_update_of_plain_keys_is_always_told_and_exact(random: Random) -> None:
    before = a_document(random, PLAIN_KEYS)
    update = updated(before, random, PLAIN_KEYS)

    delta = described(update.description, before, update.after)

    assert delta is not None
    assert leads(delta, before, update.after)


@quick
@seeds
def test_an_update_of_any_keys_is_exact_where_it_is_told(random: Random) -> None:
    before = a_document(random, NASTY_KEYS)
    update = updated(before, random, NASTY_KEYS)

    delta = described(update.description, before, update.after)

    assert delta is None or leads(delta, before, update.after)


@quick
@seeds
def test_a_field_that_a_pipeline_hid_is_never_told(random: Random) -> None:
    before = a_document(random, PLAIN_KEYS)
    update = updated(before, random, PLAIN_KEYS)
    hidden = sorted(before)[0]
    told = {
        name.split(".")[0]
        for name in (*update.description["updatedFields"], *update.description["removedFields"])
    }
    for image in (seen := deepcopy(before), update.after):
        image.pop(hidden, None)

    for shown in (seen, None):
        delta = described(update.description, shown, update.after)
        assert hidden not in told or delta is None
    assert hidden not in told or described(update.description, seen, None) is None


@quick
@seeds
def test_the_difference_of_any_two_images_is_exact(random: Random) -> None:
    before = a_document(random, NASTY_KEYS)
    after = a_document(random, NASTY_KEYS)

    assert leads(difference(before, after), before, after)


@quick
@seeds
def test_the_patch_between_any_two_images_is_exact(random: Random) -> None:
    before = a_document(random, NASTY_KEYS)
    other = a_document(random, NASTY_KEYS)
    for after in (other, updated(before, random, NASTY_KEYS).after):
        patch = from_images(before, after, "plain")

        assert same(jsonpatch.apply_patch(before, patch), after)
