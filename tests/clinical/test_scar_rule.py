import dataclasses
import math

import numpy as np
import pytest

from acsnet_jax.clinical import (
    Burden,
    ScarRule,
    burden,
    clean_enhancement,
    mark_scar,
    told_no_reflow,
)
from acsnet_jax.types import InputError

UNIT, POSITIONS = (1.0, 1.0), np.arange(3) * 10.0
PLAIN = ScarRule(erosions=0, min_scar_mm2=0.0)


@pytest.fixture
def stack():
    """A column of 5 x 5 pixels through two slices, another of 2 x 2 in the third, far away."""
    probability = np.zeros((3, 30, 30), np.float32)
    probability[:2, 3:8, 3:8] = 0.8
    probability[2, 20:22, 20:22] = 0.6
    return probability, np.ones(probability.shape, bool)


def mark(stack, rule):
    probability, myocardium = stack
    return mark_scar(probability, myocardium, UNIT, POSITIONS, rule)


def test_a_pixel_of_the_myocardium_is_marked_from_the_threshold_on(stack):
    probability, myocardium = stack
    myocardium[0] = False
    for threshold, pixels in ((0.5, 29), (0.6, 29), (0.7, 25), (0.9, 0)):
        rule = dataclasses.replace(PLAIN, scar_threshold=threshold)
        assert mark((probability, myocardium), rule).sum() == pixels


def test_a_square_erodes_corners_that_a_cross_keeps(stack):
    mask = stack[0] > 0.7
    mask[0, 3, 3] = False
    cleaned = [
        clean_enhancement(mask, UNIT, element=element, min_area_mm2=0.0)[0]
        for element in ("cross", "square")
    ]
    assert cleaned[0].sum() == 9 and cleaned[1].sum() == 8
    assert cleaned[0][4, 4] and not cleaned[1][4, 4]


def test_burden_is_in_millilitres_and_joins_slices(stack):
    probability, _ = stack
    found = burden(probability > 0, probability, UNIT, POSITIONS)
    assert found.volume_ml == pytest.approx((25 + 25 + 4) * 10 / 1000)
    assert found.largest_ml == pytest.approx(50 * 10 / 1000)
    assert found.probability == pytest.approx((50 * 0.8 + 4 * 0.6) / 54)
    assert burden(probability > 1, probability, UNIT, POSITIONS) == Burden(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("limit", "below", "above"),
    [
        ("min_scar_ml", 0.53, 0.55),
        ("min_largest_scar_ml", 0.49, 0.51),
        ("min_scar_probability", 0.78, 0.79),
    ],
)
def test_a_patient_below_a_limit_has_no_scar_at_all(stack, limit, below, above):
    whole = mark(stack, PLAIN)
    kept = mark(stack, dataclasses.replace(PLAIN, **{limit: below}))
    np.testing.assert_array_equal(kept, whole)
    assert not mark(stack, dataclasses.replace(PLAIN, **{limit: above})).any()


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"scar_threshold": 1.2}, "scar_threshold is 1.2: give 0 to 1"),
        ({"scar_threshold": math.nan}, "scar_threshold is nan: give 0 to 1"),
        ({"erosions": -1}, "erosions is -1: give at least 0"),
        ({"max_scar_components": 0}, "max_scar_components is 0: give at least 1"),
    ],
)
def test_numbers_that_no_rule_can_have_are_refused(change, wanted):
    with pytest.raises(InputError, match=wanted):
        dataclasses.replace(PLAIN, **change)


def test_a_piece_that_is_sure_nowhere_is_dropped_and_one_that_goes_on_is_kept(stack):
    """A piece of 0.6 alone in its slice, and one of 0.6 that touches 0.8 in the slice before."""
    probability, _ = stack
    probability[2, 9:11, 9:11] = 0.6  # a corner beside that of the column of the slice before
    probability[1, 8, 8] = 0.6
    whole = mark(stack, PLAIN)
    assert whole[2].sum() == 8
    kept = mark(stack, dataclasses.replace(PLAIN, min_peak_probability=0.8))
    np.testing.assert_array_equal(kept[:2], whole[:2])
    assert kept[2, 9:11, 9:11].all() and kept[2].sum() == 4
    assert not mark(stack, dataclasses.replace(PLAIN, min_peak_probability=0.81)).any()
    for nothing_asked in (0.0, 0.3, 0.5):
        rule = dataclasses.replace(PLAIN, min_peak_probability=nothing_asked)
        np.testing.assert_array_equal(mark(stack, rule), whole)


def test_no_reflow_beside_a_piece_that_was_dropped_belongs_to_no_scar(stack):
    probability, myocardium = stack
    dark = np.zeros_like(myocardium)
    dark[0, 3:8, 8] = dark[2, 20:22, 22] = True
    rule = dataclasses.replace(PLAIN, min_peak_probability=0.7)
    told = [
        told_no_reflow(dark, mark(stack, one), probability, myocardium, one)
        for one in (PLAIN, rule)
    ]
    np.testing.assert_array_equal(told[0], dark)
    assert told[1].sum() == 5 and not told[1][2].any()


def test_a_single_slice_has_no_volume_to_judge_but_can_be_marked(stack):
    probability, myocardium = (x[:1] for x in stack)
    assert mark_scar(probability, myocardium, UNIT, POSITIONS[:1], PLAIN).any()
    rule = dataclasses.replace(PLAIN, min_scar_ml=1e6)
    assert mark_scar(probability, myocardium, UNIT, POSITIONS[:1], rule).any()
    unsure = dataclasses.replace(PLAIN, min_scar_probability=0.99)
    assert not mark_scar(probability, myocardium, UNIT, POSITIONS[:1], unsure).any()
