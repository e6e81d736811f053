"""Whether measured volumes may stand for the expert's: bias, limits, concordance, ICC.

A correlation is no agreement: volumes that are all a third too small correlate perfectly. Lin's
concordance and the intra-class correlation of single measurements (absolute agreement, two-way
random) fall with bias as well as with scatter. Both depend on how far patients differ: they compare
methods on the same patients, not cohorts. Volumes are in mL, one pair a patient.

References:
    Bland and Altman, Lancet 327, 1986. Lin, Biometrics 45, 1989. Shrout and Fleiss, Psychological
    Bulletin 86, 1979, ICC(2,1). McGraw and Wong, Psychological Methods 1, 1996, ICC(A,1).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from acsnet_jax.clinical.volumes import MM3_PER_ML
from acsnet_jax.evaluation.challenge import ChallengeRecord, ChallengeStructure
from acsnet_jax.evaluation.estimates import Estimate, bootstrap
from acsnet_jax.evaluation.summary import Summary, VolumeRecord, VolumeStructure, summarise

_NORMAL_95 = 1.96
_PARTS: tuple[VolumeStructure, ...] = ("core", "gray_zone")
_ORDER: tuple[ChallengeStructure | VolumeStructure, ...] = (
    *("enhancement", "core", "gray_zone", "no_reflow"),
    *("myocardium", "blood_pool", "lv"),
)


class VolumePair(NamedTuple):
    """The volume of one structure of one patient.

    Attributes:
        scan_id: the patient's pseudonymous id.
        truth_ml: the expert's.
        predicted_ml: ours.
    """

    scan_id: str
    truth_ml: float
    predicted_ml: float

    @property
    def bias_ml(self) -> float:
        """``predicted - truth``."""
        return self.predicted_ml - self.truth_ml


class Agreement(NamedTuple):
    """Volumes of one structure over all patients.

    Attributes:
        structure: what was measured.
        bias_ml: mean of ``predicted - truth``, with its interval by Student's t.
        relative_bias: that mean over the mean of the expert's volumes; None if these are all 0.
        lower_ml: bias less 1.96 standard deviations of the differences; None with fewer than two
            patients.
        upper_ml: bias and 1.96 standard deviations.
        concordance: Lin's coefficient, in [-1, 1]; not defined with fewer than two patients, or
            where the volumes of either side are all the same.
        icc: of single measurements for absolute agreement, at most 1; not defined likewise.
    """

    structure: ChallengeStructure | VolumeStructure
    bias_ml: Summary
    relative_bias: float | None
    lower_ml: float | None
    upper_ml: float | None
    concordance: Estimate
    icc: Estimate


def concordance(
    ratings: Float[np.ndarray, "*batch patients raters"],
) -> Float[np.ndarray, "*batch"]:
    """Lin's concordance correlation coefficient of two raters.

    Args:
        ratings: one row a patient, the two raters' numbers side by side.

    Returns:
        In [-1, 1]; NaN where either rater's numbers are all the same. Variances are of n, as in
        Lin's paper.
    """
    first, second = ratings[..., 0], ratings[..., 1]
    means = first.mean(axis=-1), second.mean(axis=-1)
    shared = ((first - means[0][..., None]) * (second - means[1][..., None])).mean(axis=-1)
    spread = first.var(axis=-1) + second.var(axis=-1) + (means[0] - means[1]) ** 2
    defined = _varies(ratings)
    return np.where(defined, 2 * shared / np.where(defined, spread, 1.0), np.nan)


def intraclass(
    ratings: Float[np.ndarray, "*batch patients raters"],
) -> Float[np.ndarray, "*batch"]:
    """Intra-class correlation ICC(2,1): absolute agreement of single ratings, two-way random.

    Args:
        ratings: one row a patient, one column a rater.

    Returns:
        At most 1; NaN where a rater's numbers are all the same, or with one patient.
    """
    patients, raters = ratings.shape[-2:]
    if patients < 2:
        return np.full(ratings.shape[:-2], np.nan)
    grand = ratings.mean(axis=(-2, -1), keepdims=True)
    by_patient = ratings.mean(axis=-1, keepdims=True)
    by_rater = ratings.mean(axis=-2, keepdims=True)
    rest = ratings - by_patient - by_rater + grand
    rows = raters * np.sum((by_patient - grand) ** 2, axis=(-2, -1)) / (patients - 1)
    columns = patients * np.sum((by_rater - grand) ** 2, axis=(-2, -1)) / (raters - 1)
    error = np.sum(rest**2, axis=(-2, -1)) / ((patients - 1) * (raters - 1))
    total = rows + (raters - 1) * error + raters * (columns - error) / patients
    defined = _varies(ratings) & (total > 0)
    return np.where(defined, (rows - error) / np.where(defined, total, 1.0), np.nan)


def _varies(
    ratings: Float[np.ndarray, "*batch patients raters"],
) -> Bool[np.ndarray, "*batch"]:
    """Whether every rater tells patients apart."""
    return np.asarray(np.all(np.ptp(ratings, axis=-2) > 0, axis=-1))


def agree(
    structure: ChallengeStructure | VolumeStructure, pairs: Sequence[VolumePair]
) -> Agreement:
    """How volumes of one structure agree.

    Args:
        structure: what was measured.
        pairs: one a patient.
    """
    bias = summarise((pair.scan_id, pair.bias_ml) for pair in pairs)
    truth = math.fsum(pair.truth_ml for pair in pairs)
    lower = upper = None
    if len(pairs) > 1 and bias.mean is not None:
        reach = _NORMAL_95 * float(np.std([pair.bias_ml for pair in pairs], ddof=1))
        lower, upper = bias.mean - reach, bias.mean + reach
    ratings = np.array([pair[1:] for pair in pairs], np.float64).reshape(len(pairs), 2)
    return Agreement(
        structure,
        bias,
        math.fsum(pair.bias_ml for pair in pairs) / truth if truth else None,
        lower,
        upper,
        bootstrap(ratings, concordance),
        bootstrap(ratings, intraclass),
    )


def agreement(
    records: Sequence[ChallengeRecord], *, volumes: Sequence[VolumeRecord] = ()
) -> list[Agreement]:
    """Agreement of each structure that there are records of, scar first.

    Args:
        records: in 3-D, of several patients.
        volumes: of the same, for core scar and gray zone against the expert's as drawn.
    """
    return [agree(structure, pairs) for structure, pairs in volume_pairs(records, volumes=volumes)]


def volume_pairs(
    records: Sequence[ChallengeRecord], *, volumes: Sequence[VolumeRecord] = ()
) -> list[tuple[ChallengeStructure | VolumeStructure, list[VolumePair]]]:
    """The pairs behind `agreement`, by structure, scar first; arguments as there."""
    drawn = [r for r in volumes if r.reference == "drawn" and r.structure in _PARTS]
    pairs: list[tuple[ChallengeStructure | VolumeStructure, VolumePair]] = [
        *((r.structure, _in_ml(r)) for r in records),
        *((r.structure, VolumePair(r.scan_id, r.truth_ml, r.predicted_ml)) for r in drawn),
    ]
    return [
        (structure, own)
        for structure in _ORDER
        if (own := [pair for name, pair in pairs if name == structure])
    ]


def _in_ml(record: ChallengeRecord) -> VolumePair:
    volumes = record.truth_mm3 / MM3_PER_ML, record.predicted_mm3 / MM3_PER_ML
    return VolumePair(record.scan_id, *volumes)
