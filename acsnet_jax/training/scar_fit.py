"""The rule for scar, fitted to patients whose probabilities come from networks that never saw them.

Every way of marking (threshold, erosion, components) is tried with every set of limits below which
a patient has no scar, and the best agreement with the experts decides. A patient with scar counts
the mean of the 3-D Dice and of 1 less the relative error of the volume: where a network is unsure,
thresholds far apart give the same Dice, and very different volumes. A patient without scar counts 1
if none is found, else 0. Some sixty patients cannot tell rules apart that differ by a hundredth of
this, and such rules may still find a quarter less scar in all: of those the least biased is taken.
Of limits for patients that agree alike the middle ones are taken, midway between patients with scar
and those without: the lowest would just not make up scar in these, and do so in the next.
No-reflow that the networks tell is part of the scar, as it is of what is delivered. Limits look at
all slices, as they will; what counts as found or not lies in those that the expert labelled.
Arrays are ``[slices, height, width]``, apex first.

References:
    Paper, Evaluation ("optimised"); Lalande et al., Medical Image Analysis 79, 2022 (the metric).
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64
from tqdm import tqdm

from acsnet_jax.clinical import Element, ScarRule, burden, mark_scar, told_no_reflow, volume_ml
from acsnet_jax.metrics import stack_dice
from acsnet_jax.types import InputError, Label, Segmentation, Spacing

_ROUNDING = 1e-9  # of a mean over patients


@dataclasses.dataclass(frozen=True)
class RuleGrid:
    """What is tried; see `acsnet_jax.clinical.ScarRule` for each.

    Attributes:
        thresholds: of the probability.
        erosions: numbers of erosions; 0 should be among them.
        elements: of the erosions.
        components: largest numbers of components a slice.
        min_mm2: smallest components.
        min_peak: least probabilities of the surest pixel of a piece; what lies not above the
            threshold asks nothing, and is tried once. None above 0.8 by default: an ensemble's
            peaks lie lower than those of one network, to which a rule is fitted.
        min_ml: least volumes of a patient.
        min_largest_ml: least volumes of a patient's largest component.
        min_probability: least mean probabilities of a patient. None by default, for the same
            reason.
        tolerance: rules that agree with the experts as well as the best but for this much are
            alike; of them the one with the least bias of the volume is taken.

    Raises:
        InputError: there is nothing to try of one of them, or what no rule can have.
    """

    thresholds: tuple[float, ...] = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)
    erosions: tuple[int, ...] = (0, 1)
    elements: tuple[Element, ...] = ("cross", "square")
    components: tuple[int, ...] = (2, 5)
    min_mm2: tuple[float, ...] = (0.0, 25.0, 50.0)
    min_peak: tuple[float, ...] = (0.0, 0.7, 0.8)
    min_ml: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
    min_largest_ml: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 3.0)
    min_probability: tuple[float, ...] = (0.0,)
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        """Refuse a grid without points, and points that are no rules."""
        for name, tried in dataclasses.asdict(self).items():
            if tried == ():
                raise InputError(f"config.rule.{name} is empty: give at least one value")
        if self.tolerance < 0:
            raise InputError(f"config.rule.tolerance is {self.tolerance}: give 0 or more")
        try:
            _ = [*self.markings()], [_limited(ScarRule(), limits) for limits in self.limits()]
        except InputError as error:
            raise InputError(f"config.rule: {error}") from error

    def markings(self) -> Iterator[ScarRule]:
        """Every way of marking, without limits for patients."""
        shapes: list[tuple[int, Element]] = [(0, self.elements[0])] if 0 in self.erosions else []
        shapes += itertools.product([count for count in self.erosions if count], self.elements)
        for threshold, peak, (erosions, element), components, least in itertools.product(
            self.thresholds, self.min_peak, shapes, self.components, self.min_mm2
        ):
            if peak > threshold or peak == min(self.min_peak):
                yield ScarRule(threshold, erosions, element, components, least, peak)

    def limits(self) -> Float64[np.ndarray, "limits 3"]:
        """Every set of limits for patients: volume, largest component, probability."""
        axes = self.min_ml, self.min_largest_ml, self.min_probability
        return np.array([*itertools.product(*axes)])


def _limited(marking: ScarRule, limits: Float64[np.ndarray, "3"]) -> ScarRule:
    """A marking with one set of limits for patients."""
    volume_ml, largest_ml, probability = limits.tolist()
    return dataclasses.replace(
        marking,
        min_scar_ml=volume_ml,
        min_largest_scar_ml=largest_ml,
        min_scar_probability=probability,
    )


class ScarCase(NamedTuple):
    """One patient, cropped to the myocardium; see `scar_case`.

    All slices are there, since limits for patients will be held against all of them.

    Attributes:
        probability: of enhancement, by networks that never saw the patient.
        myocardium: as these networks and the correction leave it.
        drawn: the expert's enhancement.
        dark: what the networks call no-reflow; empty if they tell none.
        judged: slices that the expert labelled: on the others nobody knows what is right.
        spacing_mm: (row, column) distance of pixel centres in mm.
        positions_mm: of the slices.
    """

    probability: Float32[np.ndarray, "slices height width"]
    myocardium: Bool[np.ndarray, "slices height width"]
    drawn: Bool[np.ndarray, "slices height width"]
    dark: Bool[np.ndarray, "slices height width"]
    judged: Bool[np.ndarray, "slices"]
    spacing_mm: Spacing
    positions_mm: Float64[np.ndarray, "slices"]


def scar_case(segmentation: Segmentation) -> ScarCase:
    """A segmentation as `fit_scar_rule` wants it.

    Raises:
        InputError: the expert drew no enhancement apart, or the segmentation has no probabilities.
    """
    scan = segmentation.scan
    if scan.labels is None or not scan.has_enhancement or segmentation.scar_probability is None:
        raise InputError(
            f"scan {scan.id}: a rule for scar is fitted to drawn enhancement and to probabilities "
            "of it; one of them is missing"
        )
    drawn = (scan.labels >= Label.ENHANCEMENT) & scan.labelled[:, None, None]
    dark = segmentation.marked_no_reflow
    box = _box_of(drawn | segmentation.myocardium)
    return ScarCase(
        segmentation.scar_probability[box],
        segmentation.myocardium[box],
        drawn[box],
        (np.zeros_like(drawn) if dark is None else dark)[box],
        scan.labelled,
        scan.spacing_mm,
        scan.positions_mm,
    )


def _box_of(mask: Bool[np.ndarray, "slices height width"]) -> tuple[slice, slice, slice]:
    """All slices of the smallest window that holds a mask; one pixel of an empty one."""
    inside = [np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 2), (0, 1))]
    rows, columns = (slice(int(x[0]), int(x[-1]) + 1) if len(x) else slice(1) for x in inside)
    return slice(None), rows, columns


class RuleScore(NamedTuple):
    """What a rule is worth on the patients.

    Attributes:
        rule: the rule.
        agreement: mean over patients, in [0, 1]; what decides.
        dice: mean 3-D Dice over patients, 1 where both masks are empty.
        dice_scarred: over patients in whom the expert drew scar.
        missed: number of these in whom nothing was found.
        false_alarms: number of the others in whom something was found.
        volume_error: mean of |predicted - drawn| / drawn over the scarred.
        bias: of the volume of all patients together, as a share of what was drawn.
    """

    rule: ScarRule
    agreement: float
    dice: float
    dice_scarred: float
    missed: int
    false_alarms: int
    volume_error: float
    bias: float

    def record(self) -> dict[str, Any]:
        """Flat JSON values."""
        numbers = self._asdict()
        return {**dataclasses.asdict(numbers.pop("rule")), **numbers}


def fit_scar_rule(
    cases: Sequence[ScarCase], *, grid: RuleGrid | None = None
) -> tuple[ScarRule, list[RuleScore]]:
    """The best rule, and the best score of every way of marking, the chosen one first.

    Args:
        cases: patients with and without scar.
        grid: what is tried.

    Raises:
        InputError: no patients.
    """
    grid = RuleGrid() if grid is None else grid
    if not cases:
        raise InputError("no patient to fit the rule for scar to: an expert must have drawn scar")
    limits = grid.limits()
    scores = [
        _best_limits(marking, [_outcome(case, marking) for case in cases], limits)
        for marking in tqdm([*grid.markings()], desc="scar rule", unit="rule", disable=None)
    ]
    # sorted() is stable: of equals the first, which is the simplest, stays first
    ranked = sorted(scores, key=lambda score: -round(score.agreement, 6))
    enough = ranked[0].agreement - grid.tolerance
    chosen = min((one for one in ranked if one.agreement >= enough), key=lambda x: abs(x.bias))
    return chosen.rule, [chosen, *(score for score in ranked if score is not chosen)]


class _Outcome(NamedTuple):
    """One marking on one patient: Dice and volume of the scar, and what limits look at."""

    dice: float
    drawn_ml: float
    found_ml: float
    volume_ml: float
    largest_ml: float
    probability: float


def _outcome(case: ScarCase, marking: ScarRule) -> _Outcome:
    grid = case.spacing_mm, case.positions_mm
    scar = mark_scar(case.probability, case.myocardium, *grid, marking)
    numbers = burden(scar, case.probability, *grid)
    if case.dark.any():
        scar |= told_no_reflow(case.dark, scar, case.probability, case.myocardium, marking)
    scar &= case.judged[:, None, None]
    drawn_ml = volume_ml(case.drawn, case.positions_mm, case.spacing_mm)
    found_ml = volume_ml(scar, case.positions_mm, case.spacing_mm)
    return _Outcome(stack_dice(scar, case.drawn), drawn_ml, found_ml, *numbers)


def _best_limits(
    marking: ScarRule, outcomes: Sequence[_Outcome], limits: Float64[np.ndarray, "limits 3"]
) -> RuleScore:
    """A marking with those limits for patients that suit it best."""
    dice, drawn, found_ml, *numbers = np.array(outcomes).T
    kept = np.all(np.array(numbers)[None] >= limits[:, :, None], axis=1)  # [limits, patients]
    scarred = drawn > 0
    error = np.abs(found_ml - drawn) / np.where(scarred, drawn, 1.0)
    found = np.where(scarred, (dice + 1 - np.minimum(error, 1.0)) / 2, found_ml == 0)
    agreements = np.where(kept, found, ~scarred).mean(axis=1)
    equals = np.flatnonzero(agreements >= agreements.max() - _ROUNDING)
    # without anybody to tell scar from there is no middle, but the lowest
    best = equals[0] if scarred.all() else equals[_middle(limits[equals])]
    kept = kept[best]
    volume = np.where(kept, found_ml, 0.0)
    seen = dice[scarred] * kept[scarred]
    errors = np.abs(volume - drawn)[scarred] / drawn[scarred]
    return RuleScore(
        _limited(marking, limits[best]),
        agreement=float(agreements[best]),
        dice=float(np.where(kept, dice, ~scarred).mean()),
        dice_scarred=float(seen.mean()) if seen.size else 0.0,
        missed=int((volume[scarred] == 0).sum()),
        false_alarms=int((volume[~scarred] > 0).sum()),
        volume_error=float(errors.mean()) if errors.size else 0.0,
        bias=float((volume.sum() - drawn.sum()) / drawn.sum()) if drawn.any() else 0.0,
    )


def _middle(limits: Float64[np.ndarray, "limits 3"]) -> int:
    """Which of some sets of limits is the fewest steps of the grid from all the others."""
    steps = np.stack([np.unique(axis, return_inverse=True)[1] for axis in limits.T], axis=1)
    return int(np.abs(steps[:, None] - steps[None]).sum(axis=(1, 2)).argmin())
