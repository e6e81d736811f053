import dataclasses

import numpy as np
import pytest

from acsnet_jax.clinical import ScarRule
from acsnet_jax.training.scar_fit import RuleGrid, ScarCase, fit_scar_rule, scar_case
from acsnet_jax.types import InputError

GRID = RuleGrid(
    thresholds=(0.3, 0.5),
    components=(5,),
    min_mm2=(0.0,),
    min_peak=(0.0,),
    min_ml=(0.0, 0.5, 1.0),
    min_largest_ml=(0.0,),
    min_probability=(0.0,),
)


def make_case(side, *, drawn=True, probability=0.4, specks=0):
    """Squares of `side` pixels of a probability in two slices of 1 mm pixels, 10 mm apart."""
    values = np.zeros((2, 40, 40), np.float32)
    values[:, 5 : 5 + side, 5 : 5 + side] = probability
    truth = (values > 0) & drawn
    values[:, 30, 10 : 10 + specks] = probability
    wall, dark = np.ones(values.shape, bool), np.zeros(values.shape, bool)
    judged = np.ones(2, bool)
    return ScarCase(values, wall, truth, dark, judged, (1.0, 1.0), np.array([0.0, 10.0]))


def test_the_threshold_that_finds_the_scar_wins():
    rule, scores = fit_scar_rule([make_case(10), make_case(12)], grid=GRID)
    assert rule.scar_threshold == 0.3 and rule.erosions == 0
    assert scores[0].rule == rule
    assert scores[0].dice == scores[0].dice_scarred == 1
    assert scores[0].volume_error == scores[0].bias == scores[0].missed == 0
    agreements = [score.agreement for score in scores]
    assert agreements[0] == 1 and agreements == sorted(agreements, reverse=True)
    assert scores[-1].rule.scar_threshold == 0.5
    assert scores[-1].missed == 2 and scores[-1].bias == -1


def test_a_peak_is_asked_for_where_pieces_without_one_are_made_up():
    """Specks from the threshold on, in the slice of a scar that is surer than they are."""
    case = make_case(10, specks=10)
    sure = case._replace(probability=np.where(case.drawn, 0.7, case.probability))
    grid = dataclasses.replace(GRID, thresholds=(0.3,), erosions=(0,), min_peak=(0.0, 0.6))
    rule, scores = fit_scar_rule([sure], grid=grid)
    assert rule.min_peak_probability == 0.6 and scores[0].dice == 1
    assert [score.rule.min_peak_probability for score in scores] == [0.6, 0.0]
    rule, _ = fit_scar_rule([make_case(10)], grid=grid)
    assert rule.min_peak_probability == 0.0


def test_a_peak_below_the_threshold_is_tried_once():
    grid = dataclasses.replace(GRID, erosions=(0,), min_peak=(0.0, 0.4, 0.5))
    tried = [(rule.scar_threshold, rule.min_peak_probability) for rule in grid.markings()]
    assert tried == [(0.3, 0.0), (0.3, 0.4), (0.3, 0.5), (0.5, 0.0)]


def test_erosion_is_chosen_where_it_pays():
    """What was drawn is the inside of what is predicted."""
    case = make_case(10)
    inside = np.zeros_like(case.drawn)
    inside[:, 6:14, 6:14] = True
    rule, _ = fit_scar_rule([case._replace(drawn=inside)], grid=GRID)
    assert (rule.erosions, rule.erosion_element) == (1, "cross")


def test_agreement_is_the_mean_of_dice_and_of_the_volumes():
    """Half of what is drawn is found, or half as much again."""
    values = np.zeros((2, 40, 40), np.float32)
    values[:, 10:20, 5:15] = 0.6
    values[:, 20:30, 5:15] = values[:, 30:40, 5:15] = 0.4
    drawn = np.zeros(values.shape, bool)
    drawn[:, 10:30, 5:15] = True
    case = make_case(1)._replace(probability=values, drawn=drawn)
    grid = dataclasses.replace(GRID, erosions=(0,))
    _, scores = fit_scar_rule([case], grid=grid)
    by_threshold = {score.rule.scar_threshold: score for score in scores}
    assert by_threshold[0.5].dice == pytest.approx(2 / 3)
    assert by_threshold[0.3].dice == pytest.approx(4 / 5)
    assert by_threshold[0.3].volume_error == by_threshold[0.5].volume_error == 0.5
    for score in scores:
        assert score.agreement == pytest.approx((score.dice + 0.5) / 2)


def test_no_reflow_that_is_told_is_judged_as_it_is_delivered():
    """Half of the scar is told as no-reflow; beyond the scar it is not, nor without any."""
    case = make_case(10)
    dark = case.probability > 0
    dark[:, :, :10] = False
    probability = np.where(dark, 0.0, case.probability).astype(np.float32)
    elsewhere = np.zeros_like(dark)
    elsewhere[:, 30:34, 30:34] = True
    told = case._replace(probability=probability, dark=dark | elsewhere)
    rule, scores = fit_scar_rule([told], grid=dataclasses.replace(GRID, erosions=(0,)))
    assert rule.scar_threshold == 0.3 and scores[0].dice == 1 and scores[0].bias == 0
    assert scores[1].missed == 1  # from 0.5 on there is no scar, and so no core of one
    assert fit_scar_rule([told._replace(dark=elsewhere)], grid=GRID)[1][0].bias == -0.5


def test_of_rules_that_agree_alike_the_least_biased_is_taken():
    """One finds nine tenths of both scars; one makes up in the first what the other lacks."""
    values = np.zeros((2, 40, 40), np.float32)
    drawn = np.zeros(values.shape, bool)
    drawn[:, 10:20, 5:15], values[:, 10:19, 5:15] = True, 0.6
    second = make_case(1)._replace(probability=values.copy(), drawn=drawn)
    values[:, 30:32, 20:30] = 0.4
    cases = [second._replace(probability=values), second]
    grid = dataclasses.replace(GRID, erosions=(0,), min_ml=(0.0,), tolerance=0.0)
    best, scores = fit_scar_rule(cases, grid=grid)
    taken, ranked = fit_scar_rule(cases, grid=dataclasses.replace(grid, tolerance=0.05))
    assert (best.scar_threshold, taken.scar_threshold) == (0.5, 0.3)
    assert scores[0].bias == pytest.approx(-0.1) and ranked[0].bias == 0
    assert scores[0].agreement - 0.05 < ranked[0].agreement < scores[0].agreement
    assert [score.rule for score in ranked] == [score.rule for score in scores[::-1]]


def test_small_findings_of_healthy_patients_are_refused_and_scars_are_kept():
    """0.72 mL where nothing was drawn, 2 mL and more where a scar was."""
    cases = [make_case(6, drawn=False), make_case(6, drawn=False), make_case(10), make_case(14)]
    rule, scores = fit_scar_rule(cases, grid=GRID)
    assert rule.min_scar_ml == 1.0
    assert scores[0].false_alarms == scores[0].missed == 0 and scores[0].dice == 1


def test_limits_see_the_slices_that_nobody_labelled_and_scores_do_not():
    """0.36 mL made up in the first slice, and as much beyond it, where no expert looked."""
    healthy, scarred = make_case(6, drawn=False), make_case(10)
    half = np.array([True, False])
    rule, scores = fit_scar_rule([healthy._replace(judged=half), scarred], grid=GRID)
    assert rule.min_scar_ml == 1.0  # with a slice each it would be 0.5
    assert scores[0].false_alarms == 0 and scores[0].dice == 1
    nowhere = healthy.probability.copy()
    nowhere[0] = 0.0
    unknown = healthy._replace(judged=half, probability=nowhere)
    rule, scores = fit_scar_rule([unknown, scarred], grid=GRID)
    assert rule.min_scar_ml == 0.5 and scores[0].false_alarms == 0  # 0, 0.5 and 1 agree alike


@pytest.mark.parametrize(
    ("min_ml", "min_largest_ml", "taken"),
    [
        ((0.0, 0.5, 1.0, 1.5, 2.0, 2.5), (0.0,), (1.5, 0.0)),
        ((0.0, 0.5, 1.0, 1.5, 2.0), (0.0, 0.5), (1.5, 0.0)),
        ((0.0,), (0.0, 0.5, 1.0, 1.5, 2.0, 2.5), (0.0, 1.5)),
        ((0.0, 1.0, 2.0), (0.0, 1.0, 2.0), (1.0, 1.0)),
    ],
)
def test_among_equals_the_limits_midway_between_healthy_and_scarred_win(
    min_ml, min_largest_ml, taken
):
    """0.72 mL in one piece where nothing was drawn, and 2 mL where a scar was."""
    grid = dataclasses.replace(GRID, min_ml=min_ml, min_largest_ml=min_largest_ml)
    rule, scores = fit_scar_rule([make_case(6, drawn=False), make_case(10)], grid=grid)
    assert (rule.min_scar_ml, rule.min_largest_scar_ml) == taken
    assert scores[0].false_alarms == scores[0].missed == 0


def test_the_lowest_limits_win_among_equals_where_nobody_is_healthy():
    rule, _ = fit_scar_rule([make_case(14)], grid=GRID)
    assert rule == ScarRule(0.3, 0, "cross", 5, 0.0)


def test_a_score_is_ready_for_json():
    _, scores = fit_scar_rule([make_case(10)], grid=GRID)
    record = scores[0].record()
    assert record["scar_threshold"] == 0.3 and record["dice"] == 1.0
    assert {field.name for field in dataclasses.fields(ScarRule)} < set(record)


def test_no_patients_are_bad_input():
    with pytest.raises(InputError, match="no patient to fit"):
        fit_scar_rule([], grid=GRID)


def test_a_case_is_the_window_of_the_wall_and_of_what_was_drawn(make_segmentation):
    segmentation = make_segmentation(shift=(2, 1))
    scan = segmentation.scan.replace(labelled=np.array([True, True, False, True]))
    probability = np.random.default_rng(0).random(scan.image.shape).astype(np.float32)
    full = dataclasses.replace(segmentation, scan=scan, scar_probability=probability)
    case = scar_case(full)
    assert case.drawn.shape == case.myocardium.shape == case.probability.shape
    assert case.drawn.shape[1] < 48
    assert case.judged.tolist() == [True, True, False, True]
    assert not case.drawn[2].any() and case.myocardium[2].any()
    assert case.drawn.sum() == ((scan.labels >= 3) & scan.labelled[:, None, None]).sum()
    assert case.myocardium.sum() == segmentation.myocardium.sum()
    inside = probability[segmentation.myocardium]
    np.testing.assert_array_equal(np.sort(case.probability[case.myocardium]), np.sort(inside))
    with pytest.raises(InputError, match="scan one"):
        scar_case(segmentation)
