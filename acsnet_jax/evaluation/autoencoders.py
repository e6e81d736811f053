"""Which autoencoder corrects best: candidates, what they are worth, and the rule that chooses.

Dice and shares lie in [0, 1]. Means are over patients, with 95% confidence intervals by Student's
t; shares count masks. The rule: of all candidates take the one whose corrected masks have the
highest mean Dice; among those within one standard error of it, the smallest latent dimension, then
the fewest epochs, then the least damage.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from acsnet_jax.evaluation.summary import Summary, means_by_patient, summarise
from acsnet_jax.types import InputError, Modality


class Candidate(NamedTuple):
    """One way to train the autoencoder; the order of the fields is that in which less is preferred.

    Attributes:
        latent: dimension of the code.
        epochs: passes over the training masks.
        damage: share of the masks that it sees damaged.
    """

    latent: int
    epochs: int
    damage: float


@dataclasses.dataclass(frozen=True)
class CandidateGrid:
    """What is compared: every combination.

    Attributes:
        latent: dimensions of the code (model.latent).
        epochs: of the training (optimisation.epochs); each is a run of its own, since the learning
            rate falls to 0 at its end.
        damage: shares of the masks that the autoencoder sees damaged (augment.damage).
    """

    latent: tuple[int, ...] = (16, 32)
    epochs: tuple[int, ...] = (120, 240)
    damage: tuple[float, ...] = (0.0, 0.3)

    def candidates(self) -> list[Candidate]:
        """All of them, each once, the preferred first.

        Raises:
            InputError: a list is empty, or a value makes no sense.
        """
        for name, values, fits in (
            ("latent", self.latent, all(value >= 1 for value in self.latent)),
            ("epochs", self.epochs, all(value >= 1 for value in self.epochs)),
            ("damage", self.damage, all(0 <= value <= 1 for value in self.damage)),
        ):
            if not values or not fits:
                least = "shares from 0 to 1" if name == "damage" else "whole numbers above 0"
                raise InputError(f"config.candidates.{name} is {values}; give {least}")
        values = (self.latent, self.epochs, map(float, self.damage))
        return sorted({Candidate(*one) for one in itertools.product(*values)})


class ScanScore(NamedTuple):
    """What an autoencoder is worth on a scan that it never saw.

    Attributes:
        scan_id: the patient.
        modality: "lge" or "cine".
        masks: number of the expert's masks.
        rebuilt_dice: mean Dice of masks and their reconstructions; None without a population.
        rebuilt_valid: number of valid reconstructions; None without a population.
        damaged: number of masks after damage, one for each mask, kind and strength.
        damaged_dice: their mean Dice with the expert.
        corrected_dice: the same after the correction; 0 for a mask that was lost.
        valid: number of corrected masks that satisfy delta.
        lost: number of corrected masks that are empty.
    """

    scan_id: str
    modality: Modality
    masks: int
    rebuilt_dice: float | None
    rebuilt_valid: int | None
    damaged: int
    damaged_dice: float
    corrected_dice: float
    valid: int
    lost: int


class FoldScore(NamedTuple):
    """What an autoencoder is worth on one fold.

    Attributes:
        acceptance: share of the mixture's samples that decode to valid masks.
        scans: a score each.
    """

    acceptance: float
    scans: list[ScanScore]


class CandidateScore(NamedTuple):
    """What a candidate is worth over all folds.

    Attributes:
        candidate: which.
        acceptance: mean over the folds.
        masks: number of expert masks.
        rebuilt_dice: Dice of masks and their reconstructions.
        rebuilt_valid: share of the reconstructions that satisfy delta; None without a population.
        damaged: number of damaged masks.
        damaged_dice: Dice of damaged masks with the expert, before the correction.
        corrected_dice: after it; the choice is made by this.
        corrected_lge: the same over the LGE scans alone.
        valid: share of the damaged masks that are valid after the correction.
        lost: number of damaged masks for which it found nothing valid.
    """

    candidate: Candidate
    acceptance: float
    masks: int
    rebuilt_dice: Summary
    rebuilt_valid: float | None
    damaged: int
    damaged_dice: Summary
    corrected_dice: Summary
    corrected_lge: Summary
    valid: float
    lost: int


class Choice(NamedTuple):
    """The rule's verdict.

    Attributes:
        best: the candidate of highest mean.
        standard_error: of its mean, over patients.
        within: all candidates within one standard error of it, the preferred first.
        chosen: the first of these.
    """

    best: Candidate
    standard_error: float
    within: list[Candidate]
    chosen: Candidate


class AutoencoderStudy(NamedTuple):
    """All numbers of the comparison.

    Attributes:
        folds: number of folds.
        patients: number of patients that were judged.
        scores: a candidate each, the preferred first.
        choice: the rule's verdict.
    """

    folds: int
    patients: int
    scores: list[CandidateScore]
    choice: Choice


def choose(dice: Mapping[Candidate, Sequence[float]]) -> Choice:
    """The rule of one standard error.

    The best candidate is that of the highest mean. Whatever lies within one standard error of it
    (its own, over patients) may as well be taken, and of these the smallest latent dimension is,
    then the fewest epochs, then the least damage.

    Args:
        dice: after the correction, one value a patient, of each candidate.

    Raises:
        InputError: a candidate has no patient.

    References:
        Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2nd edition, 7.10.1.
    """
    if not dice or not all(len(values) for values in dice.values()):
        raise InputError("no patient was judged: there is nothing to choose an autoencoder by")
    means = {candidate: float(np.mean(values)) for candidate, values in sorted(dice.items())}
    best = max(means, key=means.__getitem__)
    values = dice[best]
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    within = [candidate for candidate in means if means[candidate] >= means[best] - error]
    return Choice(best, error, within, within[0])


def compare_autoencoders(found: Mapping[Candidate, Sequence[FoldScore]]) -> AutoencoderStudy:
    """Scores of all candidates and the choice.

    Args:
        found: of each candidate, the score of every fold.

    Raises:
        InputError: no patient was judged.
    """
    dice = {candidate: _patients_dice(folds) for candidate, folds in found.items()}
    choice = choose(dice)
    return AutoencoderStudy(
        folds=len(found[choice.best]),
        patients=len(dice[choice.best]),
        scores=[_score(candidate, found[candidate]) for candidate in sorted(found)],
        choice=choice,
    )


def _scans(folds: Iterable[FoldScore]) -> list[ScanScore]:
    return [scan for fold in folds for scan in fold.scans]


def _patients_dice(folds: Iterable[FoldScore]) -> list[float]:
    """Dice after the correction, a mean a patient."""
    values = ((scan.scan_id, scan.corrected_dice) for scan in _scans(folds))
    return [*means_by_patient(values).values()]


def _score(candidate: Candidate, folds: Sequence[FoldScore]) -> CandidateScore:
    scans = _scans(folds)
    damaged = sum(scan.damaged for scan in scans)
    rebuilt = [scan for scan in scans if scan.rebuilt_valid is not None]
    rebuilt_masks = sum(scan.masks for scan in rebuilt)
    rebuilt_valid = sum(scan.rebuilt_valid or 0 for scan in rebuilt)
    return CandidateScore(
        candidate,
        acceptance=float(np.mean([fold.acceptance for fold in folds])),
        masks=sum(scan.masks for scan in scans),
        rebuilt_dice=summarise((scan.scan_id, scan.rebuilt_dice) for scan in scans),
        rebuilt_valid=rebuilt_valid / rebuilt_masks if rebuilt_masks else None,
        damaged=damaged,
        damaged_dice=summarise((scan.scan_id, scan.damaged_dice) for scan in scans),
        corrected_dice=summarise((scan.scan_id, scan.corrected_dice) for scan in scans),
        corrected_lge=summarise(
            (scan.scan_id, scan.corrected_dice) for scan in scans if scan.modality == "lge"
        ),
        valid=sum(scan.valid for scan in scans) / damaged,
        lost=sum(scan.lost for scan in scans),
    )
