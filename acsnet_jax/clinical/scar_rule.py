"""From probabilities of enhancement to scar: what is marked, what is cleaned away, who has none.

The paper erodes a predicted enhancement, keeps up to five components and says that threshold and
morphology were optimised, not to what. So all of it is a rule with numbers in it, which
`acsnet_jax.training.scar_fit` fits to patients whose probabilities come from networks that never
saw them. Arrays are ``[slices, height, width]``, apex first.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64

from acsnet_jax.clinical.no_reflow import beside_scar
from acsnet_jax.clinical.scar import Element, clean_enhancement
from acsnet_jax.clinical.volumes import label_pieces, piece_volumes_ml, volume_ml
from acsnet_jax.types import InputError, Spacing, check_least


@dataclasses.dataclass(frozen=True)
class ScarRule:
    """What of a predicted enhancement is scar, and whether a patient has any.

    Attributes:
        scar_threshold: probability from which a pixel of the myocardium is marked.
        erosions: of predicted enhancement, see `acsnet_jax.clinical.scar.clean_enhancement`.
        erosion_element: "cross", the paper's 3x3 ellipse, or "square".
        max_scar_components: how many components a slice keeps, largest first.
        min_scar_mm2: smallest component of enhancement that is kept.
        min_peak_probability: a piece through the stack in which no pixel reaches it is dropped:
            what is unsure on a slice stays if it touches, there or on the next, what is sure.
        min_scar_ml: a patient with less in all has no scar.
        min_largest_scar_ml: a patient whose largest component through the stack has less has none.
        min_scar_probability: nor has one in whose marked pixels the mean probability is below this.
    """

    scar_threshold: float = 0.5
    erosions: int = 1
    erosion_element: Element = "cross"
    max_scar_components: int = 5
    min_scar_mm2: float = 10.0
    min_peak_probability: float = 0.0
    min_scar_ml: float = 0.0
    min_largest_scar_ml: float = 0.0
    min_scar_probability: float = 0.0

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that no rule can have."""
        for name in ("scar_threshold", "min_peak_probability", "min_scar_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: give 0 to 1")
        check_least(self, "", erosions=0, max_scar_components=1, min_scar_mm2=0)
        check_least(self, "", min_scar_ml=0, min_largest_scar_ml=0)

    @property
    def judges_patients(self) -> bool:
        """Whether a patient's scar as a whole may be refused."""
        return bool(self.min_scar_ml or self.min_largest_scar_ml or self.min_scar_probability)


class Burden(NamedTuple):
    """What a patient's marked enhancement amounts to.

    Attributes:
        volume_ml: of all of it.
        largest_ml: of the largest component; components touch across slices, diagonally too.
        probability: mean over its pixels, in [0, 1]; 0 without any.
    """

    volume_ml: float
    largest_ml: float
    probability: float


def mark_scar(
    probability: Float[np.ndarray, "slices height width"],
    myocardium: Bool[np.ndarray, "slices height width"],
    spacing_mm: Spacing,
    positions_mm: Float64[np.ndarray, "slices"],
    rule: ScarRule,
) -> Bool[np.ndarray, "slices height width"]:
    """Scar by a rule, inside the myocardium.

    A single slice has no volume: of the rule's limits for patients only that of the probability is
    asked.

    Args:
        probability: of enhancement, in [0, 1].
        myocardium: viable and enhanced.
        spacing_mm: (row, column) distance of pixel centres in mm.
        positions_mm: of the slices, see `acsnet_jax.types.Scan`.
        rule: what counts.

    Raises:
        InputError: the rule judges patients and slices are out of order.
    """
    scar = clean_scar(_marked(probability, myocardium, rule), spacing_mm, rule)
    if not rule.judges_patients:
        return scar
    if len(scar) == 1:
        sure = scar.any() and probability[scar].mean() >= rule.min_scar_probability
        return scar if sure else np.zeros_like(scar)
    found = burden(scar, probability, spacing_mm, positions_mm)
    least = Burden(rule.min_scar_ml, rule.min_largest_scar_ml, rule.min_scar_probability)
    if any(value < limit for value, limit in zip(found, least, strict=True)):
        return np.zeros_like(scar)
    return scar


def told_no_reflow(
    dark: Bool[np.ndarray, "slices height width"],
    scar: Bool[np.ndarray, "slices height width"],
    probability: Float[np.ndarray, "slices height width"],
    myocardium: Bool[np.ndarray, "slices height width"],
    rule: ScarRule,
) -> Bool[np.ndarray, "slices height width"]:
    """What of a network's no-reflow belongs to a scar: nothing where the rule found none.

    Args:
        dark: what the network calls no-reflow.
        scar: of `mark_scar`.
        probability: of enhancement, in [0, 1].
        myocardium: viable and enhanced.
        rule: of the scar.

    Returns:
        Inside the myocardium, beside what was marked before any erosion.
    """
    marked = _marked(probability, myocardium, rule) & scar.any()
    return beside_scar(dark & myocardium, marked)


def _marked(
    probability: Float[np.ndarray, "slices height width"],
    myocardium: Bool[np.ndarray, "slices height width"],
    rule: ScarRule,
) -> Bool[np.ndarray, "slices height width"]:
    """Pixels from the threshold on, without pieces that are sure nowhere (hysteresis)."""
    marked = myocardium & (probability >= rule.scar_threshold)
    if rule.min_peak_probability <= rule.scar_threshold:
        return marked
    pieces = label_pieces(marked)
    return marked & np.isin(pieces, pieces[marked & (probability >= rule.min_peak_probability)])


def clean_scar(
    enhancement: Bool[np.ndarray, "slices height width"], spacing_mm: Spacing, rule: ScarRule
) -> Bool[np.ndarray, "slices height width"]:
    """The part of a rule that looks at single slices: erosion and components."""
    return clean_enhancement(
        enhancement,
        spacing_mm,
        erosions=rule.erosions,
        element=rule.erosion_element,
        max_components=rule.max_scar_components,
        min_area_mm2=rule.min_scar_mm2,
    )


def burden(
    scar: Bool[np.ndarray, "slices height width"],
    probability: Float[np.ndarray, "slices height width"],
    spacing_mm: Spacing,
    positions_mm: Float64[np.ndarray, "slices"],
) -> Burden:
    """What a rule's limits for patients look at.

    Raises:
        InputError: a single slice, or slices out of order.
    """
    whole_ml = volume_ml(scar, positions_mm, spacing_mm)
    if not scar.any():
        return Burden(0.0, 0.0, 0.0)
    largest_ml = piece_volumes_ml(scar, positions_mm, spacing_mm)[0]
    return Burden(whole_ml, largest_ml, float(probability[scar].mean()))
