"""Whether a reader may rely on a segmentation: accepted, to be looked at, or rejected, and why.

What a network is unsure of it mostly has wrong. With p the averaged probability and M the delivered
mask, 2 sum(p over M) / (sum(p) + |M|) is the Dice to be expected were p right. On patients whom the
networks never saw it goes with the true Dice far more closely than what stage 3 had to change, how
the heart's centre wanders from slice to slice, or how well blood stands out from the wall; each of
these tells of other failures, though. A sign beyond the limit that 19 of 20 such patients keep asks
for a look. Only what cannot be a result is rejected.

Masks are ``Bool[slices, height, width]``, apex first.

References:
    Robinson et al., Automated quality control in image segmentation: application to the UK Biobank
    cardiovascular magnetic resonance imaging study, J Cardiovasc Magn Reson 21, 2019 (why a gate).
    Li et al., On the relationship between calibrated predictors and unbiased volume estimation,
    MICCAI 2021 (sums of probabilities).
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from acsnet_jax.clinical.features import scan_volume_ml
from acsnet_jax.clinical.wall import middle_of
from acsnet_jax.ops.host import fill_holes
from acsnet_jax.types import InputError, Route, Segmentation

Verdict = Literal["accepted", "look at it", "rejected"]

_DOUBT = 0.5  # probability from which a pixel outside of the scar counts as left out
_MOST_LOST = 1 / 3  # of the slices that had a mask


class Signs(NamedTuple):
    """What tells how far to trust a segmentation; None where it cannot be had.

    Attributes:
        wall_confidence: Dice to be expected of the myocardium, in [0, 1]; 0 where there is none.
        scar_confidence: Dice to be expected of the enhancement, in [0, 1]; None without any.
        left_out_ml: volume of myocardium that is rather enhanced than not and is not called so: by
            the rule's threshold, erosion or components, or since the patient has too little of it.
        changed_share: pixels that stage 3 changed, as a share of the myocardium.
        lost_share: share of the slices with a mask for which stage 3 found nothing valid.
        shift_mm: largest distance between the LV's centres in neighbouring slices.
        contrast: median blood pool less median viable myocardium, in standard deviations of the
            latter.
    """

    wall_confidence: float | None
    scar_confidence: float | None
    left_out_ml: float | None
    changed_share: float | None
    lost_share: float | None
    shift_mm: float | None
    contrast: float | None


@dataclasses.dataclass(frozen=True)
class GateLimits:
    """Limits of the signs beyond which a segmentation is to be looked at; see `fit_gate`.

    The numbers are those of 75 EMIDEC patients whom the networks of ``configs/emidec_cpu.py`` never
    saw; other networks deserve their own.

    Attributes:
        wall_confidence: at least.
        scar_confidence: at least.
        left_out_ml: at most.
        changed_share: at most.
        lost_share: at most.
        shift_mm: at most.
        contrast: at least.
    """

    wall_confidence: float = 0.867
    scar_confidence: float = 0.703
    left_out_ml: float = 1.8
    changed_share: float = 0.012
    lost_share: float = 0.0
    shift_mm: float = 4.2
    contrast: float = 1.14


class Judgement(NamedTuple):
    """The verdict on one segmentation; ``_asdict()`` is ready for JSON.

    Attributes:
        verdict: the verdict.
        reasons: one sentence each; none if accepted.
        signs: what it rests on.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    signs: Signs


AT_LEAST = ("wall_confidence", "scar_confidence", "contrast")
"""Signs whose limit is the lowest value; of the others it is the highest."""

_SENTENCES = {
    "wall_confidence": "the networks are unsure of the wall (Dice to be expected {:.2f})",
    "scar_confidence": "the networks are unsure of the scar (Dice to be expected {:.2f})",
    "left_out_ml": "{:.1f} mL of likely enhancement are not called scar",
    "changed_share": "stage 3 changed much of the wall ({:.1%} of its pixels)",
    "lost_share": "slices were lost ({:.0%})",
    "shift_mm": "the LV jumps between neighbouring slices ({:.1f} mm)",
    "contrast": "blood hardly stands out from the wall ({:.1f} standard deviations)",
}


def measure_signs(segmentation: Segmentation) -> Signs:
    """The signs of one segmentation.

    Args:
        segmentation: of `acsnet_jax.pipeline.segment`; one from elsewhere has no probabilities and
            no certificates, and so fewer signs.

    Raises:
        InputError: the slices are out of order.
    """
    wall, scar = segmentation.myocardium, segmentation.enhancement
    if not wall.any():
        return Signs(0.0, None, None, None, _lost_share(segmentation), None, None)
    of_wall, of_scar = segmentation.myocardium_probability, segmentation.scar_probability
    left_out_ml = scar_confidence = None
    if of_scar is not None:
        if scar.any():
            scar_confidence = expected_dice(of_scar * wall, scar)
        if len(wall) > 1:
            doubtful = wall & ~scar & (of_scar >= _DOUBT)
            left_out_ml = scan_volume_ml(doubtful, segmentation.scan)
    changed = sum(one.pixels_changed for one in segmentation.certificates if one.kept)
    return Signs(
        wall_confidence=None if of_wall is None else expected_dice(of_wall, wall),
        scar_confidence=scar_confidence,
        left_out_ml=left_out_ml,
        changed_share=changed / int(wall.sum()) if segmentation.certificates else None,
        lost_share=_lost_share(segmentation),
        shift_mm=_largest_shift_mm(segmentation),
        contrast=_contrast(segmentation),
    )


def expected_dice(
    probability: Float[np.ndarray, "*shape"], mask: Bool[np.ndarray, "*shape"]
) -> float:
    """The Dice of a mask to be expected if its pixels are foreground with these probabilities.

    Args:
        probability: in [0, 1].
        mask: not empty.

    Raises:
        InputError: the mask is empty.
    """
    pixels = int(mask.sum())
    if not pixels:
        raise InputError("an empty mask has no Dice to be expected: give one with a pixel")
    return float(2 * probability[mask].sum() / (probability.sum() + pixels))


def judge(signs: Signs, *, limits: GateLimits | None = None) -> Judgement:
    """The verdict on a segmentation from its signs.

    Args:
        signs: of the segmentation.
        limits: beyond which it is looked at.
    """
    limits = GateLimits() if limits is None else limits
    if signs.wall_confidence == 0 and not signs.lost_share:
        return Judgement("rejected", ("no left ventricle was found",), signs)
    reasons = tuple(
        _SENTENCES[name].format(value)
        for name, value in signs._asdict().items()
        if value is not None and _is_beyond(name, value, getattr(limits, name))
    )
    rejected = []
    if signs.lost_share is not None and signs.lost_share > _MOST_LOST:
        rejected.append("more than a third of the slices were lost")
    if signs.contrast is not None and signs.contrast <= 0:
        rejected.append("blood is no brighter than the wall: is this a late-enhancement series?")
    verdict: Verdict = "rejected" if rejected else "look at it" if reasons else "accepted"
    return Judgement(verdict, (*rejected, *reasons), signs)


def fit_gate(signs: Iterable[Signs], *, coverage: float = 0.95) -> GateLimits:
    """Limits that a share of patients keeps, each limit by itself.

    Args:
        signs: of patients whom the networks never saw.
        coverage: the share.

    Raises:
        InputError: a sign that no patient has.
    """
    rows = list(signs)
    limits = {}
    for name in Signs._fields:
        known = [value for row in rows if (value := getattr(row, name)) is not None]
        if not known:
            fix = "some with scar" if name == "scar_confidence" else "segmentations of the cascade"
            raise InputError(f"no patient has the sign {name}: give {fix}")
        share = 1 - coverage if name in AT_LEAST else coverage
        limits[name] = float(np.quantile(known, share))
    return GateLimits(**limits)


def _is_beyond(name: str, value: float, limit: float) -> bool:
    return value < limit if name in AT_LEAST else value > limit


def _lost_share(segmentation: Segmentation) -> float | None:
    had = [one for one in segmentation.certificates if not one.empty]
    if not had:
        return None
    return sum(one.route is Route.LOST for one in had) / len(had)


def _largest_shift_mm(segmentation: Segmentation) -> float | None:
    centres = [
        middle_of(fill_holes(wall | blood), segmentation.scan.spacing_mm) if wall.any() else None
        for wall, blood in zip(segmentation.myocardium, segmentation.blood_pool, strict=True)
    ]
    shifts = [
        math.dist(one, other)
        for one, other in itertools.pairwise(centres)
        if one is not None and other is not None
    ]
    return max(shifts) if shifts else None


def _contrast(segmentation: Segmentation) -> float | None:
    image, blood = segmentation.scan.image, segmentation.blood_pool
    viable = segmentation.myocardium & ~segmentation.enhancement
    if not blood.any() or not viable.any():
        return None
    spread = float(image[viable].astype(np.float64).std())
    if not spread:
        return None
    return (float(np.median(image[blood])) - float(np.median(image[viable]))) / spread
