import dataclasses

import numpy as np
import pytest

from acsnet_jax.clinical import GateLimits, Signs, expected_dice, fit_gate, judge, measure_signs
from acsnet_jax.types import InputError, Route

SOUND = Signs(0.95, 0.9, 0.0, 0.0, 0.0, 1.0, 3.0)
LOOSE = GateLimits(-1.0, -1.0, 99.0, 99.0, 99.0, 99.0, -1.0)


@pytest.fixture
def sure(make_segmentation, certificates):
    """A segmentation whose probabilities are its masks."""
    given = make_segmentation()
    return dataclasses.replace(
        given,
        myocardium_probability=given.myocardium.astype(np.float32),
        scar_probability=given.enhancement.astype(np.float32),
        certificates=tuple(one._replace(kept=True) for one in certificates[:2]),
    )


def test_expected_dice_is_the_mean_of_the_true_one_over_draws():
    rng = np.random.default_rng(0)
    probability = rng.beta(0.5, 0.5, (40, 40))
    mask = probability > 0.4
    draws = rng.random((400, 40, 40)) < probability
    dice = 2 * (draws & mask).sum((1, 2)) / (draws.sum((1, 2)) + mask.sum())
    assert expected_dice(probability, mask) == pytest.approx(dice.mean(), abs=0.002)
    with pytest.raises(InputError, match="empty mask"):
        expected_dice(probability, np.zeros_like(mask))


def test_signs_of_a_segmentation_that_is_sure_of_itself(sure):
    signs = measure_signs(sure)
    assert signs.wall_confidence == signs.scar_confidence == 1
    assert signs.left_out_ml == signs.lost_share == signs.shift_mm == 0
    assert signs.changed_share == pytest.approx(4 / sure.myocardium.sum())


def test_left_out_is_what_is_rather_enhanced_than_not(sure):
    none = dataclasses.replace(sure, enhancement=np.zeros_like(sure.enhancement))
    signs = measure_signs(none)
    pixel_ml = 1.5 * 1.25 * 8.0 / 1000
    assert signs.left_out_ml == pytest.approx(sure.enhancement.sum() * pixel_ml)
    assert signs.scar_confidence is None


def test_a_shifted_slice_is_seen_in_mm(sure):
    moved = sure.myocardium.copy()
    moved[2] = np.roll(moved[2], (0, 4), (0, 1))
    assert measure_signs(dataclasses.replace(sure, myocardium=moved)).shift_mm == pytest.approx(5.0)


def test_an_open_wall_around_the_same_blood_does_not_move(sure):
    wall = sure.myocardium.copy()
    wall[2, :, : wall.shape[2] // 2] = False
    with_blood = measure_signs(dataclasses.replace(sure, myocardium=wall)).shift_mm
    blind = dataclasses.replace(sure, myocardium=wall, blood_pool=np.zeros_like(wall))
    assert with_blood is not None and with_blood < 0.5 * (measure_signs(blind).shift_mm or 0.0)


def test_contrast_is_that_of_blood_over_viable_myocardium(sure):
    viable = sure.myocardium & ~sure.enhancement
    image = np.where(sure.blood_pool, 7.0, 0.0)
    image[viable] = np.resize([1.0, 3.0], viable.sum())
    scan = sure.scan.replace(image=image.astype(np.float32))
    assert measure_signs(dataclasses.replace(sure, scan=scan)).contrast == pytest.approx(5.0)
    flat = sure.scan.replace(image=np.ones_like(sure.scan.image))
    assert measure_signs(dataclasses.replace(sure, scan=flat)).contrast is None


def test_without_probabilities_and_certificates_there_are_fewer_signs(make_segmentation):
    signs = measure_signs(make_segmentation())
    assert signs.wall_confidence is signs.changed_share is signs.left_out_ml is None
    assert signs.shift_mm == 0
    assert judge(signs._replace(contrast=3.0)).verdict == "accepted"


@pytest.mark.parametrize(
    ("sign", "value", "word"),
    [
        ("wall_confidence", 0.5, "unsure of the wall"),
        ("scar_confidence", 0.2, "unsure of the scar"),
        ("left_out_ml", 9.0, "9.0 mL"),
        ("changed_share", 0.2, "20.0%"),
        ("lost_share", 0.2, "lost"),
        ("shift_mm", 12.0, "12.0 mm"),
        ("contrast", 0.3, "stands out"),
    ],
)
def test_a_sign_beyond_its_limit_asks_for_a_look(sign, value, word):
    assert judge(SOUND) == ("accepted", (), SOUND)
    found = judge(SOUND._replace(**{sign: value}))
    assert found.verdict == "look at it" and len(found.reasons) == 1
    assert word in found.reasons[0]


def _told_of_nothing_but_the_wall(segmentation):
    """The middle slice's wall alone, as of another tool."""
    wall = segmentation.myocardium.copy()
    wall[[0, *range(2, len(wall))]] = False
    empty = np.zeros_like(wall)
    return dataclasses.replace(
        segmentation,
        myocardium=wall,
        blood_pool=empty,
        enhancement=empty,
        core=empty,
        myocardium_probability=None,
        scar_probability=None,
        certificates=(),
    )


def test_what_cannot_be_a_result_is_rejected(sure, certificates):
    empty = np.zeros_like(sure.myocardium)
    nothing = dataclasses.replace(
        sure, myocardium=empty, blood_pool=empty, enhancement=empty, core=empty
    )
    assert judge(measure_signs(nothing)).verdict == "rejected"
    lost = tuple(one._replace(route=Route.LOST) for one in certificates[:2])
    assert judge(measure_signs(dataclasses.replace(sure, certificates=lost))).verdict == "rejected"
    all_lost = dataclasses.replace(nothing, certificates=lost)
    assert judge(measure_signs(all_lost)).reasons[0] == "more than a third of the slices were lost"
    assert judge(measure_signs(_told_of_nothing_but_the_wall(sure))).verdict == "accepted"
    inverted = judge(SOUND._replace(contrast=-1.0))
    assert inverted.verdict == "rejected" and "late-enhancement" in inverted.reasons[0]


def test_limits_are_kept_by_the_share_that_was_asked_for():
    rng = np.random.default_rng(1)
    rows = [Signs(*(0.3 * rng.random(7)).tolist()) for _ in range(400)]
    limits = fit_gate(rows, coverage=0.9)
    for sign in Signs._fields:
        alone = dataclasses.replace(LOOSE, **{sign: getattr(limits, sign)})
        kept = [judge(SOUND._replace(**{sign: getattr(row, sign)}), limits=alone) for row in rows]
        looked_at = np.mean([one.verdict == "look at it" for one in kept])
        assert looked_at == pytest.approx(0.1, abs=0.01)
    with pytest.raises(InputError, match="wall_confidence"):
        fit_gate([SOUND._replace(wall_confidence=None)])
    with pytest.raises(InputError, match="scar_confidence: give some with scar"):
        fit_gate([SOUND._replace(scar_confidence=None)])
