"""From records to the numbers of tables 1 and 2: means over patients with confidence intervals.

A slice's number first goes into its patient's mean; the mean, its 95% confidence interval and its
range are taken over patients. What a measure could not judge (None) is left out, and every summary
says how many records it was offered and how many it counted. Fractions lie in [0, 1], distances are
in mm, volumes in mL. Nothing here is ever NaN: what cannot be computed is None.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool

Structure = Literal["lv", "myocardium", "enhancement", "core"]
Location = Literal["apex", "middle", "base"]
SliceMeasure = Literal["balanced_accuracy", "dice", "hausdorff_mm", "mean_surface_mm"]
VolumeMeasure = Literal["truth_ml", "predicted_ml", "relative_error"]

STRUCTURES: tuple[Structure, ...] = ("lv", "myocardium", "enhancement", "core")
LOCATIONS: tuple[Location, ...] = ("apex", "middle", "base")
TABLE1_MEASURES: tuple[SliceMeasure, ...] = ("balanced_accuracy", "dice", "hausdorff_mm")
TABLE2_MEASURES: tuple[VolumeMeasure, ...] = ("truth_ml", "predicted_ml", "relative_error")

_Z95 = 1.96
_Item = TypeVar("_Item")


class SliceRecord(NamedTuple):
    """How well one structure was segmented on one labelled slice.

    Attributes:
        scan_id: the patient's pseudonymous id.
        slice_index: index in the scan's stack, apex first.
        structure: what was segmented.
        location: the third of the labelled slices in which the slice lies.
        dice: in [0, 1].
        balanced_accuracy: in [0, 1].
        sensitivity: in [0, 1].
        specificity: in [0, 1].
        hausdorff_mm: None where both masks are empty.
        mean_surface_mm: None where both masks are empty.
    """

    scan_id: str
    slice_index: int
    structure: Structure
    location: Location
    dice: float
    balanced_accuracy: float
    sensitivity: float
    specificity: float
    hausdorff_mm: float | None
    mean_surface_mm: float | None


class VolumeRecord(NamedTuple):
    """Volume of one structure over the labelled slices of one patient.

    Attributes:
        scan_id: the patient's pseudonymous id.
        structure: what was measured.
        truth_ml: the expert's volume in mL.
        predicted_ml: ours in mL.
    """

    scan_id: str
    structure: Structure
    truth_ml: float
    predicted_ml: float

    @property
    def relative_error(self) -> float | None:
        """``|predicted - truth| / truth``; None where the expert saw nothing."""
        if self.truth_ml == 0:
            return None
        return abs(self.predicted_ml - self.truth_ml) / self.truth_ml


class Summary(NamedTuple):
    """A measure over a group of patients.

    Attributes:
        mean: mean over patients; None if nothing was counted.
        half_width: half the 95% confidence interval, 1.96 standard errors over patients; None with
            fewer than two patients.
        low: the smallest patient.
        high: the largest patient.
        patients: number of patients that the mean is taken over.
        counted: number of records that had a value.
        n: number of records.
    """

    mean: float | None
    half_width: float | None
    low: float | None
    high: float | None
    patients: int
    counted: int
    n: int


class Table1Row(NamedTuple):
    """One measure of one structure by location (paper, table 1)."""

    structure: Structure
    measure: SliceMeasure
    apex: Summary
    middle: Summary
    base: Summary
    total: Summary


class Table2Row(NamedTuple):
    """One measure of one structure by tertile of the expert's LV volume (paper, table 2)."""

    structure: Structure
    measure: VolumeMeasure
    lower: Summary
    middle: Summary
    upper: Summary
    total: Summary


class ScarFraction(NamedTuple):
    """Enhancement over myocardium by volume, in [0, 1], over patients with expert enhancement.

    Attributes:
        truth: the expert's fraction.
        predicted: ours.
        error: absolute difference in each patient.
    """

    truth: Summary
    predicted: Summary
    error: Summary


def thirds(items: Sequence[_Item]) -> tuple[Sequence[_Item], Sequence[_Item], Sequence[_Item]]:
    """Three runs of nearly equal length in the given order; the first ones take the remainder."""
    bounds = [-(-len(items) * part // 3) for part in range(4)]
    first, second, third = (items[start:stop] for start, stop in itertools.pairwise(bounds))
    return first, second, third


def locations(labelled: Bool[np.ndarray, "slices"]) -> dict[int, Location]:
    """Third of the stack of each labelled slice.

    Args:
        labelled: which slices an expert outlined, apex first.

    Returns:
        Slice index to location, for the labelled slices only.
    """
    indices = [int(index) for index in np.flatnonzero(labelled)]
    return {
        index: location
        for location, third in zip(LOCATIONS, thirds(indices), strict=True)
        for index in third
    }


def summarise(values: Iterable[tuple[str, float | None]]) -> Summary:
    """Mean over patients of each patient's mean.

    Args:
        values: (scan id, value) of every record; None where the measure does not apply.

    Returns:
        The summary; see `Summary` for what is None when.
    """
    by_patient: dict[str, list[float]] = defaultdict(list)
    n = counted = 0
    for scan_id, value in values:
        n += 1
        if value is not None:
            counted += 1
            by_patient[scan_id].append(value)
    if not by_patient:
        return Summary(None, None, None, None, 0, 0, n)
    means = np.array([np.mean(own) for own in by_patient.values()])
    half_width = None
    if len(means) > 1:
        half_width = _Z95 * float(np.std(means, ddof=1)) / math.sqrt(len(means))
    return Summary(
        float(means.mean()),
        half_width,
        float(means.min()),
        float(means.max()),
        len(means),
        counted,
        n,
    )


def table1(records: Sequence[SliceRecord]) -> list[Table1Row]:
    """Balanced accuracy, Dice and Hausdorff distance by location (paper, table 1)."""

    def cell(structure: Structure, measure: SliceMeasure, where: tuple[Location, ...]) -> Summary:
        return summarise(
            (record.scan_id, getattr(record, measure))
            for record in records
            if record.structure == structure and record.location in where
        )

    return [
        Table1Row(
            structure,
            measure,
            *(cell(structure, measure, (location,)) for location in LOCATIONS),
            total=cell(structure, measure, LOCATIONS),
        )
        for structure in STRUCTURES
        for measure in TABLE1_MEASURES
    ]


def volume_tertiles(
    records: Sequence[VolumeRecord],
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Scan ids in the lower, middle and upper third by the expert's LV volume (ties by id)."""
    ranked = sorted((r.truth_ml, r.scan_id) for r in records if r.structure == "lv")
    lower, middle, upper = (frozenset(scan_id for _, scan_id in third) for third in thirds(ranked))
    return lower, middle, upper


def table2(records: Sequence[VolumeRecord]) -> list[Table2Row]:
    """Volumes and their relative errors by tertile of the expert's LV volume (paper, table 2)."""
    tertiles = volume_tertiles(records)

    def cell(structure: Structure, measure: VolumeMeasure, who: Callable[[str], bool]) -> Summary:
        return summarise(
            (record.scan_id, getattr(record, measure))
            for record in records
            if record.structure == structure and who(record.scan_id)
        )

    return [
        Table2Row(
            structure,
            measure,
            *(cell(structure, measure, tertile.__contains__) for tertile in tertiles),
            total=cell(structure, measure, lambda _: True),
        )
        for structure in STRUCTURES
        for measure in TABLE2_MEASURES
    ]


def scar_fraction(records: Sequence[VolumeRecord]) -> ScarFraction:
    """Enhancement over myocardium, the fraction that the paper's abstract compares."""
    volume = {(record.scan_id, record.structure): record for record in records}
    truth: list[tuple[str, float | None]] = []
    predicted: list[tuple[str, float | None]] = []
    error: list[tuple[str, float | None]] = []
    for scan_id in (record.scan_id for record in records if record.structure == "enhancement"):
        scar, wall = volume[scan_id, "enhancement"], volume[scan_id, "myocardium"]
        theirs = _fraction(scar.truth_ml, wall.truth_ml)
        ours = _fraction(scar.predicted_ml, wall.predicted_ml)
        truth.append((scan_id, theirs))
        predicted.append((scan_id, ours))
        error.append((scan_id, None if theirs is None or ours is None else abs(ours - theirs)))
    return ScarFraction(summarise(truth), summarise(predicted), summarise(error))


def _fraction(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def worst_scan(records: Sequence[SliceRecord], *, structure: Structure = "myocardium") -> str:
    """Id of the patient with the lowest mean Dice of a structure (ties by id).

    Raises:
        ValueError: no record is of that structure.
    """
    scores: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record.structure == structure:
            scores[record.scan_id].append(record.dice)
    return min(scores, key=lambda scan_id: (float(np.mean(scores[scan_id])), scan_id))
