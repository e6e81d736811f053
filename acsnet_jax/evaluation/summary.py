"""From records to the numbers of tables 1 and 2: means over patients with confidence intervals.

A slice's number first goes into its patient's mean; the mean, its 95% confidence interval by
Student's t and its range are taken over patients. What a measure could not judge (None) is left
out, and every summary says how many records it was offered and how many it counted. Beside each
structure stands how often it was missed wholly and how often it was seen where the expert saw none.
Scar comes first. Fractions lie in [0, 1], distances are in mm, areas in mm^2, volumes in mL.
Nothing here is ever NaN: what cannot be computed is None.
"""

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool
from scipy import stats

from acsnet_jax.io.stack import patient_of

Structure = Literal["enhancement", "core", "myocardium", "lv"]
VolumeStructure = Literal["enhancement", "core", "gray_zone", "myocardium", "lv"]
Reference = Literal["drawn", "cleaned"]
"""The expert's scar as drawn, or eroded and cleaned exactly as a prediction is."""

Location = Literal["apex", "middle", "base"]
SliceMeasure = Literal[
    "dice",
    "dice_where_drawn",
    "balanced_accuracy",
    "hausdorff_mm",
    "mean_surface_mm",
    "bias_mm2",
]
VolumeMeasure = Literal["truth_ml", "predicted_ml", "relative_error", "bias_ml"]
ShareMeasure = Literal["truth", "predicted", "error", "bias"]

STRUCTURES: tuple[Structure, ...] = ("enhancement", "core", "myocardium", "lv")
SCAR: tuple[VolumeStructure, ...] = ("enhancement", "core", "gray_zone")
VOLUMES: tuple[tuple[VolumeStructure, Reference], ...] = (
    *((structure, "drawn") for structure in SCAR),
    *((structure, "cleaned") for structure in SCAR),
    ("myocardium", "drawn"),
    ("lv", "drawn"),
)
"""Rows of table 2: what is measured, and against what."""

REFERENCES: tuple[Reference, ...] = ("drawn", "cleaned")
LOCATIONS: tuple[Location, ...] = ("apex", "middle", "base")
TABLE1_MEASURES: tuple[SliceMeasure, ...] = (
    "dice",
    "balanced_accuracy",
    "hausdorff_mm",
    "bias_mm2",
)
SCAR_MEASURES: tuple[SliceMeasure, ...] = ("dice_where_drawn",)
"""Of scar alone: many slices have none, and Dice counts an empty pair as 1."""

TABLE2_MEASURES: tuple[VolumeMeasure, ...] = (
    "truth_ml",
    "predicted_ml",
    "relative_error",
    "bias_ml",
)
SHARE_MEASURES: tuple[ShareMeasure, ...] = ("truth", "predicted", "error", "bias")

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
        truth_mm2: area of the expert's mask.
        predicted_mm2: area of ours.
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
    truth_mm2: float
    predicted_mm2: float

    @property
    def dice_where_drawn(self) -> float | None:
        """Dice; None where the expert saw nothing, so that empty slices don't raise the mean."""
        return self.dice if self.truth_mm2 else None

    @property
    def bias_mm2(self) -> float:
        """``predicted - truth``."""
        return self.predicted_mm2 - self.truth_mm2


class VolumeRecord(NamedTuple):
    """Volume of one structure over the labelled slices of one patient.

    Attributes:
        scan_id: the patient's pseudonymous id.
        structure: what was measured.
        truth_ml: the expert's volume in mL.
        predicted_ml: ours in mL.
        reference: how the expert's mask was treated.
    """

    scan_id: str
    structure: VolumeStructure
    truth_ml: float
    predicted_ml: float
    reference: Reference = "drawn"

    @property
    def bias_ml(self) -> float:
        """``predicted - truth``."""
        return self.predicted_ml - self.truth_ml

    @property
    def relative_error(self) -> float | None:
        """``|predicted - truth| / truth``; None where the expert saw nothing."""
        if self.truth_ml == 0:
            return None
        return abs(self.predicted_ml - self.truth_ml) / self.truth_ml


class ScarShare(NamedTuple):
    """Enhancement over myocardium of one patient, by volume, in [0, 1].

    Attributes:
        scan_id: the patient's pseudonymous id.
        reference: how the expert's mask was treated.
        truth: the expert's share; None if the expert drew no myocardium at all.
        predicted: ours; 0 where we found no enhancement or not even myocardium.
    """

    scan_id: str
    reference: Reference
    truth: float | None
    predicted: float

    @property
    def error(self) -> float | None:
        """``|predicted - truth|``."""
        return None if self.bias is None else abs(self.bias)

    @property
    def bias(self) -> float | None:
        """``predicted - truth``."""
        return None if self.truth is None else self.predicted - self.truth


class Summary(NamedTuple):
    """A measure over a group of patients.

    Attributes:
        mean: mean over patients; None if nothing was counted.
        half_width: half the 95% confidence interval over patients, Student's t times the standard
            error; None with fewer than two patients.
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


class Presence(NamedTuple):
    """How often a structure was missed wholly, and how often seen where the expert saw none.

    Attributes:
        present: number of slices or patients in which the expert has the structure.
        missed: of these, in how many we have none of it.
        absent: number of slices or patients in which the expert has none of it.
        false_alarms: of these, in how many we have some.
    """

    present: int
    missed: int
    absent: int
    false_alarms: int

    @property
    def sensitivity(self) -> float | None:
        """Share of what is there that was found; None if nothing is."""
        return 1 - self.missed / self.present if self.present else None

    @property
    def specificity(self) -> float | None:
        """Share without it in which none was found; None if there are none."""
        return 1 - self.false_alarms / self.absent if self.absent else None


class Table1Row(NamedTuple):
    """One measure of one structure by location (paper, table 1); presence counts slices."""

    structure: Structure
    measure: SliceMeasure
    apex: Summary
    middle: Summary
    base: Summary
    total: Summary
    presence: Presence

    @property
    def cells(self) -> tuple[Summary, Summary, Summary, Summary]:
        """The numbers, in the order of the columns."""
        return self.apex, self.middle, self.base, self.total


class Table2Row(NamedTuple):
    """One measure by tertile of the expert's LV volume (paper, table 2); presence counts patients.

    The structure "scar_share" is `ScarShare`, with its own measures.
    """

    structure: VolumeStructure | Literal["scar_share"]
    reference: Reference
    measure: VolumeMeasure | ShareMeasure
    lower: Summary
    middle: Summary
    upper: Summary
    total: Summary
    presence: Presence

    @property
    def cells(self) -> tuple[Summary, Summary, Summary, Summary]:
        """The numbers, in the order of the columns."""
        return self.lower, self.middle, self.upper, self.total


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
    offered = list(values)
    known = [(scan_id, value) for scan_id, value in offered if value is not None]
    if not known:
        return Summary(None, None, None, None, 0, 0, len(offered))
    means = np.array([*means_by_patient(known).values()])
    half_width = None
    if len(means) > 1:
        half_width = _t95(len(means) - 1) * float(np.std(means, ddof=1)) / math.sqrt(len(means))
    return Summary(
        float(means.mean()),
        half_width,
        float(means.min()),
        float(means.max()),
        len(means),
        len(known),
        len(offered),
    )


def means_by_patient(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The mean of each patient's own values, patients in the order in which they first come.

    Args:
        values: (scan id, value); `acsnet_jax.io.stack.patient_of` tells whose scan it is.
    """
    own: dict[str, list[float]] = defaultdict(list)
    for scan_id, value in values:
        own[patient_of(scan_id)].append(value)
    return {patient: float(np.mean(numbers)) for patient, numbers in own.items()}


@functools.cache
def _t95(degrees: int) -> float:
    """The 97.5th percentile of Student's t."""
    return float(stats.t.ppf(0.975, degrees))


def presence(amounts: Iterable[tuple[float, float]]) -> Presence:
    """What was missed and what was made up.

    Args:
        amounts: the expert's and our area or volume, one pair a slice or patient.
    """
    pairs = [(truth > 0, predicted > 0) for truth, predicted in amounts]
    ours_where_theirs = [ours for theirs, ours in pairs if theirs]
    ours_elsewhere = [ours for theirs, ours in pairs if not theirs]
    return Presence(
        present=len(ours_where_theirs),
        missed=ours_where_theirs.count(False),
        absent=len(ours_elsewhere),
        false_alarms=ours_elsewhere.count(True),
    )


def slice_presence(records: Sequence[SliceRecord], structure: Structure) -> Presence:
    """Of a structure, over all labelled slices."""
    return presence((r.truth_mm2, r.predicted_mm2) for r in records if r.structure == structure)


def patient_presence(
    records: Sequence[VolumeRecord], structure: VolumeStructure, *, reference: Reference = "drawn"
) -> Presence:
    """Of a structure, over all patients."""
    return presence(
        (r.truth_ml, r.predicted_ml)
        for r in records
        if (r.structure, r.reference) == (structure, reference)
    )


def table1(records: Sequence[SliceRecord]) -> list[Table1Row]:
    """How well slices were segmented, by location (paper, table 1)."""

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
            presence=slice_presence(records, structure),
        )
        for structure in STRUCTURES
        for measure in (*TABLE1_MEASURES, *(SCAR_MEASURES if structure in SCAR else ()))
    ]


def volume_tertiles(
    records: Sequence[VolumeRecord],
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Scan ids in the lower, middle and upper third by the expert's LV volume (ties by id)."""
    ranked = sorted((r.truth_ml, r.scan_id) for r in records if r.structure == "lv")
    lower, middle, upper = (frozenset(scan_id for _, scan_id in third) for third in thirds(ranked))
    return lower, middle, upper


def table2(records: Sequence[VolumeRecord]) -> list[Table2Row]:
    """Volumes, errors, bias and the share of scar by tertile of LV volume (paper, table 2)."""
    shares = scar_shares(records)
    rows: list[Table2Row] = []
    for structure, reference in VOLUMES:
        own = [r for r in records if (r.structure, r.reference) == (structure, reference)]
        rows += _rows2(structure, reference, TABLE2_MEASURES, own, records)
    for reference in REFERENCES:
        own = [share for share in shares if share.reference == reference]
        rows += _rows2("scar_share", reference, SHARE_MEASURES, own, records)
    return rows


def _rows2(
    structure: VolumeStructure | Literal["scar_share"],
    reference: Reference,
    measures: Sequence[VolumeMeasure] | Sequence[ShareMeasure],
    own: Sequence[VolumeRecord] | Sequence[ScarShare],
    records: Sequence[VolumeRecord],
) -> list[Table2Row]:
    """The rows of one structure, out of its own records."""
    tertiles = volume_tertiles(records)
    counted = patient_presence(
        records,
        "enhancement" if structure == "scar_share" else structure,
        reference=reference,
    )

    def cell(measure: str, who: Callable[[str], bool]) -> Summary:
        return summarise(
            (record.scan_id, getattr(record, measure)) for record in own if who(record.scan_id)
        )

    return [
        Table2Row(
            structure,
            reference,
            measure,
            *(cell(measure, tertile.__contains__) for tertile in tertiles),
            total=cell(measure, lambda _: True),
            presence=counted,
        )
        for measure in measures
    ]


def scar_shares(records: Sequence[VolumeRecord]) -> list[ScarShare]:
    """Enhancement over myocardium, the fraction that the paper's abstract compares.

    One record for every patient whose enhancement the expert assessed: a scar that we missed, and a
    heart in which we found no wall, count with a predicted share of 0.

    Args:
        records: volumes of several patients.
    """
    volume = {(record.scan_id, record.structure, record.reference): record for record in records}
    shares = []
    for scar in records:
        if scar.structure != "enhancement":
            continue
        wall = volume[scar.scan_id, "myocardium", "drawn"]
        truth = scar.truth_ml / wall.truth_ml if wall.truth_ml else None
        ours = scar.predicted_ml / wall.predicted_ml if wall.predicted_ml else 0.0
        shares.append(ScarShare(scar.scan_id, scar.reference, truth, ours))
    return shares


def worst_scan(
    records: Sequence[SliceRecord],
    *,
    structure: Structure = "myocardium",
    measure: Literal["dice", "dice_where_drawn"] = "dice",
) -> tuple[str, float] | None:
    """The patient with the lowest mean Dice of a structure (ties by id).

    Args:
        records: of several patients.
        structure: whose Dice.
        measure: over all slices, or over those on which the expert has the structure.

    Returns:
        The patient's id and mean Dice; None if no record of that structure has a value.
    """
    scores: dict[str, list[float]] = defaultdict(list)
    for record in records:
        value = getattr(record, measure)
        if record.structure == structure and value is not None:
            scores[record.scan_id].append(value)
    means = sorted((float(np.mean(own)), scan_id) for scan_id, own in scores.items())
    return (means[0][1], means[0][0]) if means else None
