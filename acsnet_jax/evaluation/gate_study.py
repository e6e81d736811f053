"""Whether the signs of `acsnet_jax.clinical.gate` rank errors: on patients with expert labels.

Nothing is fitted here: a sign is judged by the order in which it puts patients.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from acsnet_jax.clinical.gate import (
    AT_LEAST,
    GateLimits,
    Judgement,
    Signs,
    judge,
    measure_signs,
)
from acsnet_jax.evaluation.challenge import ChallengeRecord
from acsnet_jax.types import Segmentation

Judged = Literal["myocardium", "enhancement"]

_JUDGED: tuple[Judged, ...] = ("myocardium", "enhancement")
_FEWEST = 5  # patients below which an order says nothing


class GateRecord(NamedTuple):
    """A patient's verdict beside what the segmentation is worth.

    Attributes:
        scan_id: pseudonymous id.
        judgement: verdict, reasons and signs.
        myocardium: Dice in 3-D.
        enhancement: Dice in 3-D; None if the expert drew none, or told none apart.
    """

    scan_id: str
    judgement: Judgement
    myocardium: float
    enhancement: float | None


class Ranking(NamedTuple):
    """How well one sign ranks the errors of one structure.

    Attributes:
        sign: its name in `acsnet_jax.clinical.Signs`.
        structure: whose Dice is ranked.
        patients: with both.
        correlation: Spearman's, between trust and Dice: 1 is the same order; None where either is
            the same of all.
        worst: number of patients in the worst tenth by Dice.
        caught: how many of them are among the fifth that the sign trusts least; on average, where
            patients tie for a place there.
    """

    sign: str
    structure: Judged
    patients: int
    correlation: float | None
    worst: int
    caught: float


def gate_records(
    segmentations: Sequence[Segmentation],
    challenge: Sequence[ChallengeRecord],
    *,
    limits: GateLimits | None = None,
) -> list[GateRecord]:
    """Verdicts beside the Dice of each patient.

    Args:
        segmentations: of patients with expert labels.
        challenge: of the same patients, see `acsnet_jax.evaluation.evaluate_challenge`.
        limits: of the gate.
    """
    dice = {(one.scan_id, one.structure): one for one in challenge}
    records = []
    for segmentation in segmentations:
        name = segmentation.scan.id
        scar = dice.get((name, "enhancement"))
        records.append(
            GateRecord(
                name,
                judge(measure_signs(segmentation), limits=limits),
                dice[name, "myocardium"].dice,
                scar.dice if scar is not None and scar.truth_mm3 else None,
            )
        )
    return records


def rankings(records: Sequence[GateRecord]) -> list[Ranking]:
    """How well each sign ranks Dice; signs and structures of too few patients are left out."""
    found = []
    for structure in _JUDGED:
        for sign in Signs._fields:
            direction = 1 if sign in AT_LEAST else -1
            pairs = [
                (direction * trust, dice)
                for record in records
                if (trust := getattr(record.judgement.signs, sign)) is not None
                and (dice := getattr(record, structure)) is not None
            ]
            if len(pairs) >= _FEWEST:
                found.append(_ranking(sign, structure, np.array(pairs)))
    return found


def _ranking(sign: str, structure: Judged, pairs: np.ndarray) -> Ranking:
    trust, dice = pairs.T
    constant = np.ptp(trust) == 0 or np.ptp(dice) == 0
    correlation = None if constant else float(np.asarray(stats.spearmanr(trust, dice)[0]))
    tenth, fifth = (max(round(share * len(pairs)), 1) for share in (0.1, 0.2))
    caught = float(_share_of_lowest(dice, tenth) @ _share_of_lowest(trust, fifth))
    return Ranking(sign, structure, len(pairs), correlation, tenth, caught)


def _share_of_lowest(values: Float[np.ndarray, "n"], count: int) -> Float[np.ndarray, "n"]:
    """How far each belongs to the lowest; those that tie for the last places share them."""
    last = np.sort(values)[count - 1]
    below, tied = values < last, values == last
    return below + tied * (count - below.sum()) / tied.sum()
