import math

import numpy as np
import pytest
from objects import EIGHT, FOUR, label_objects
from scipy import ndimage

from acsnet_jax.evaluation.damage import KINDS, STRENGTHS, damage
from acsnet_jax.types import InputError

FIELD_MM = 120.0
SPACINGS = ((1.0, 1.0), (1.5, 1.5), (2.0, 1.25))
SEEDS = range(6)


def ring(spacing, *, outer=28.0, inner=18.0, centre=(57.0, 62.0)):
    shape = [round(FIELD_MM / step) for step in spacing]
    rows, columns = (
        np.arange(length) * step - middle
        for length, step, middle in zip(shape, spacing, centre, strict=True)
    )
    radius = np.hypot(rows[:, None], columns[None, :])
    return (radius <= outer) & (radius > inner)


def filled(mask):
    return np.asarray(ndimage.binary_fill_holes(mask), bool)


def depth_mm(mask, spacing):
    """Distance to the nearest pixel outside the mask."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=spacing))


def objects(mask):
    return label_objects(mask, EIGHT)[1]


def holes(mask):
    return label_objects(filled(mask) & ~mask, FOUR)[1]


def area_mm2(mask, spacing):
    return mask.sum() * spacing[0] * spacing[1]


def cases():
    return pytest.mark.parametrize("spacing", SPACINGS, ids=str)


def every(kind, spacing, mask=None):
    """(strength, damaged) of a ring, for all strengths and some seeds."""
    mask = ring(spacing) if mask is None else mask
    for strength in STRENGTHS:
        for seed in SEEDS:
            yield strength, damage(np.random.default_rng(seed), mask, spacing, kind, strength)


@cases()
def test_holes_are_as_many_as_the_strength(spacing):
    mask = ring(spacing)
    for strength, damaged in every("holes", spacing):
        assert holes(damaged) == 1 + strength
        assert objects(damaged) == 1
        assert not (damaged & ~mask).any()
        assert area_mm2(mask & ~damaged, spacing) <= 1.2 * strength * math.pi * 3.5**2


@cases()
def test_islands_are_as_many_as_the_strength(spacing):
    mask = ring(spacing)
    for strength, damaged in every("islands", spacing):
        assert objects(damaged) == 1 + strength
        assert holes(damaged) == 1
        np.testing.assert_array_equal(damaged & filled(mask), mask)
        radius, half = 1.5 + 0.7 * strength, math.hypot(*spacing) / 2
        added = area_mm2(damaged & ~mask, spacing) / (strength * math.pi)
        assert (radius - half) ** 2 <= added <= (radius + half) ** 2  # a pixel counts by its centre


@cases()
def test_cuts_part_the_wall(spacing):
    mask = ring(spacing)
    for strength, damaged in every("cuts", spacing):
        count = (strength + 1) // 2
        assert objects(damaged) == count
        assert holes(damaged) == 0
        width = 1.0 + 0.5 * strength + max(spacing)  # to the nearest pixel
        assert area_mm2(mask & ~damaged, spacing) <= count * 10.0 * width * 1.2


@cases()
def test_dents_bite_the_outline_and_leave_the_ring_closed(spacing):
    mask = ring(spacing)
    rim = filled(mask)
    for strength, damaged in every("dents", spacing):
        assert holes(damaged) == 1
        assert not (damaged & ~mask).any()
        bitten = rim & ~filled(damaged)
        deepest = depth_mm(np.pad(rim, 1), spacing)[1:-1, 1:-1][bitten].max()
        assert deepest == pytest.approx(2.0 + strength, abs=2 * max(spacing))


@cases()
def test_blobs_are_attached_outside(spacing):
    mask = ring(spacing)
    for strength, damaged in every("blobs", spacing):
        assert objects(damaged) == 1
        np.testing.assert_array_equal(damaged & filled(mask), mask)
        highest = depth_mm(~mask, spacing)[damaged].max()
        assert highest == pytest.approx(2.0 + strength, abs=1.5 * max(spacing))


@cases()
def test_arcs_open_the_ring_by_their_angle(spacing):
    mask = ring(spacing)
    whole = area_mm2(mask, spacing)
    for strength, damaged in every("arcs", spacing):
        assert holes(damaged) == 0
        assert objects(damaged) == 1
        missing = area_mm2(mask & ~damaged, spacing) / whole
        assert missing == pytest.approx(25 * strength / 360, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_the_same_in_mm_at_any_spacing_and_grows_with_strength(kind):
    changed = {
        spacing: np.array(
            [
                np.mean(
                    [
                        area_mm2(mask ^ ring(spacing), spacing)
                        for strength, mask in every(kind, spacing)
                        if strength == one
                    ]
                )
                for one in STRENGTHS
            ]
        )
        for spacing in ((0.75, 0.75), (1.5, 1.5))
    }
    fine, coarse = changed.values()
    assert (np.diff(fine) > 0).all()
    assert (np.diff(coarse) >= 0).all()  # a cut of 1.5 mm and one of 2 mm are both one pixel
    np.testing.assert_allclose(coarse[2:], fine[2:], rtol=0.3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_alone_decides(kind):
    mask, spacing = ring((1.5, 1.5)), (1.5, 1.5)
    before = mask.copy()
    one, two, other = (
        damage(np.random.default_rng(seed), mask, spacing, kind, 3) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("kind", KINDS)
def test_no_mask_is_emptied(kind):
    rng = np.random.default_rng(0)
    pixel = np.zeros((9, 9), bool)
    pixel[0, 4] = True
    arc = ring((1.5, 1.5), outer=12.0, inner=9.0)
    arc[: arc.shape[0] // 2] = False
    for mask in (pixel, np.ones((9, 9), bool), arc, rng.random((40, 50)) < 0.5):
        for strength in STRENGTHS:
            assert damage(rng, mask, (1.5, 1.5), kind, strength).any()
    empty = np.zeros((9, 9), bool)
    assert not damage(rng, empty, (1.5, 1.5), kind, 5).any()


def test_a_full_picture_gets_holes_that_do_not_reach_its_border():
    damaged = damage(np.random.default_rng(0), np.ones((30, 30), bool), (1.5, 1.5), "holes", 5)
    assert holes(damaged) == 5


@pytest.mark.parametrize("strength", [0, 6])
def test_strengths_run_from_1_to_5(strength):
    with pytest.raises(InputError, match=f"strengths 1 to 5, not {strength}"):
        damage(np.random.default_rng(0), np.ones((9, 9), bool), (1.0, 1.0), "holes", strength)
