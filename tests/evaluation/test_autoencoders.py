"""The rule that chooses an autoencoder, and how scores become a table's row."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from acsnet_jax.evaluation.autoencoders import (
    Candidate,
    CandidateGrid,
    FoldScore,
    ScanScore,
    choose,
    compare_autoencoders,
)
from acsnet_jax.types import InputError, Modality

# mean 0.75 and standard deviation 0.1 over four patients: one standard error is 0.05
BEST = [0.75 - 0.1 * math.sqrt(1.5), 0.75 + 0.1 * math.sqrt(1.5), 0.75, 0.75]


def around(mean):
    return [mean - 0.1, mean + 0.1, mean, mean]


def test_the_grid_is_every_combination_once_the_preferred_first():
    found = CandidateGrid((32, 16), (240, 120), (0.3, 0.0, 0.3)).candidates()
    expected = itertools.product((16, 32), (120, 240), (0.0, 0.3))
    assert found == [Candidate(*one) for one in expected]
    assert len(CandidateGrid().candidates()) == 8


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (CandidateGrid(latent=()), "latent is"),
        (CandidateGrid(epochs=(0,)), "epochs is .*above 0"),
        (CandidateGrid(damage=(0.1, 1.5)), "damage is .*from 0 to 1"),
    ],
)
def test_values_without_sense_are_bad_input(grid, words):
    with pytest.raises(InputError, match=rf"config\.candidates\.{words}"):
        grid.candidates()


def test_the_standard_error_is_that_of_the_best():
    choice = choose({Candidate(32, 240, 0.3): BEST, Candidate(8, 1, 0.0): [0.1, 0.9, 0.1, 0.9]})
    assert choice.best == choice.chosen == Candidate(32, 240, 0.3)
    assert choice.standard_error == pytest.approx(stats.sem(BEST))
    assert choice.standard_error == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ({(16, 240, 0.3): 0.701}, (16, 240, 0.3)),  # smaller, and within 0.05
        ({(16, 240, 0.3): 0.699}, (32, 240, 0.3)),  # just beyond
        ({(64, 1, 0.0): 0.749}, (32, 240, 0.3)),  # larger: of no use
        ({(32, 120, 0.9): 0.71, (32, 240, 0.0): 0.74}, (32, 120, 0.9)),  # epochs before damage
        ({(16, 999, 0.9): 0.71, (32, 1, 0.0): 0.74}, (16, 999, 0.9)),  # dimension before epochs
        ({(32, 240, 0.0): 0.72, (32, 240, 0.1): 0.74}, (32, 240, 0.0)),  # damage last
        ({(16, 240, 0.3): 0.0}, (32, 240, 0.3)),
    ],
)
def test_within_one_standard_error_less_is_preferred(others, chosen):
    dice = {Candidate(*one): around(mean) for one, mean in others.items()}
    dice[Candidate(32, 240, 0.3)] = BEST
    for order in (dice, dict(reversed(dice.items()))):
        choice = choose(order)
        assert choice.best == Candidate(32, 240, 0.3)
        assert choice.chosen == choice.within[0] == Candidate(*chosen)
        assert choice.within == sorted(choice.within)


def test_of_equals_the_preferred_is_best_and_one_patient_has_no_error():
    choice = choose({Candidate(32, 1, 0.0): [0.5], Candidate(16, 1, 0.0): [0.5]})
    assert choice.best == choice.chosen == Candidate(16, 1, 0.0)
    assert choice.standard_error == 0


@pytest.mark.parametrize("dice", [{}, {Candidate(1, 1, 0.0): []}])
def test_nothing_to_choose_by_is_bad_input(dice):
    with pytest.raises(InputError, match="no patient was judged"):
        choose(dice)


def scan_score(scan_id, dice, *, modality: Modality = "lge", population=True, lost=1):
    return ScanScore(
        scan_id,
        modality,
        masks=2,
        rebuilt_dice=0.9 if population else None,
        rebuilt_valid=1 if population else None,
        damaged=10,
        damaged_dice=0.6,
        corrected_dice=dice,
        valid=10 - lost,
        lost=lost,
    )


def test_scans_of_one_patient_are_averaged_before_candidates_are_compared():
    only = Candidate(16, 2, 0.0)
    names = ("sub-1_acq-lge", "sub-1_acq-cine", "sub-2_acq-lge")
    scores = [scan_score(*one) for one in zip(names, (0.8, 0.6, 0.9), strict=True)]
    study = compare_autoencoders({only: [FoldScore(0.5, scores)]})
    assert study.patients == 2
    assert study.scores[0].corrected_dice.mean == pytest.approx(0.8)


def test_a_candidate_is_summed_over_folds_and_averaged_over_patients():
    good, bad = Candidate(16, 2, 0.0), Candidate(8, 2, 0.0)
    found = {
        good: [
            FoldScore(0.5, [scan_score("a", 0.8), scan_score("b", 0.6, lost=0)]),
            FoldScore(0.3, [scan_score("c", 0.7, modality="cine")]),
        ],
        bad: [
            FoldScore(0.4, [scan_score("a", 0.2), scan_score("b", 0.2)]),
            FoldScore(0.0, [scan_score("c", 0.0, modality="cine", population=False, lost=10)]),
        ],
    }
    study = compare_autoencoders(found)
    assert (study.folds, study.patients) == (2, 3)
    assert study.choice.chosen == good
    worse, better = study.scores
    assert (worse.candidate, better.candidate) == (bad, good)
    assert better.acceptance == pytest.approx(0.4)
    assert (better.masks, better.damaged, better.lost) == (6, 30, 2)
    assert better.valid == pytest.approx(28 / 30)
    assert better.rebuilt_valid == pytest.approx(0.5)
    assert better.corrected_dice.mean == pytest.approx(0.7)
    half_width = stats.t.ppf(0.975, 2) * np.std([0.8, 0.6, 0.7], ddof=1) / math.sqrt(3)
    assert better.corrected_dice.half_width == pytest.approx(half_width)
    assert better.corrected_lge.patients == 2
    # without a population nothing is rebuilt, and all that is damaged is lost
    assert worse.rebuilt_dice.patients == 2
    assert worse.rebuilt_valid == pytest.approx(0.5)
    assert worse.lost == 12
    assert worse.corrected_dice.mean == pytest.approx(0.4 / 3)
