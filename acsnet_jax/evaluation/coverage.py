"""Whether intervals hold what they promise, on patients with expert labels.

Fields and units are those of `acsnet_jax.clinical.Features`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from acsnet_jax.clinical import (
    INTERVAL_FIELDS,
    Calibration,
    Interval,
    interval_case,
    intervals,
)
from acsnet_jax.types import Segmentation


class CoverageRecord(NamedTuple):
    """One feature of one patient.

    Attributes:
        scan_id: pseudonymous id.
        field: name of the feature.
        expert: the expert's.
        ours: that of the segmentation.
        interval: around ours.
        normal: the interval of the same coverage without calibration.
        scarred: whether the expert drew any scar.
    """

    scan_id: str
    field: str
    expert: float
    ours: float
    interval: Interval
    normal: Interval
    scarred: bool


class CoverageRow(NamedTuple):
    """How often the intervals of a feature hold the expert's number.

    Attributes:
        field: name of the feature.
        patients: with an interval and an expert's number.
        calibrated: how many of the intervals were calibrated.
        held: share of intervals that hold the expert's number, in [0, 1].
        low: 95% confidence interval of this share, after Clopper and Pearson.
        high: the same.
        held_scarred: share among patients in whom the expert drew scar; None without any.
        width: median width of the intervals, in the unit of the feature.
        held_normal: share without calibration.
    """

    field: str
    patients: int
    calibrated: int
    held: float
    low: float
    high: float
    held_scarred: float | None
    width: float
    held_normal: float


def coverage_records(
    segmentations: Sequence[Segmentation], calibrations: Sequence[Calibration | None]
) -> list[CoverageRecord]:
    """Intervals of patients whom neither networks nor calibration saw, on labelled slices.

    Args:
        segmentations: of labelled scans; those without a spread are passed over.
        calibrations: of what segmented each; None where there is none.
    """
    records = []
    for segmentation, calibration in zip(segmentations, calibrations, strict=True):
        if not segmentation.spread:
            continue
        case = interval_case(segmentation)
        found = intervals(case.ours, case.spread, calibration)
        plain = intervals(case.ours, case.spread, None)
        for field in INTERVAL_FIELDS:
            expert, ours = getattr(case.expert, field), getattr(case.ours, field)
            if field in found and expert is not None:
                scarred = bool(case.expert.enhancement_volume_ml)
                values = field, expert, ours, found[field], plain[field], scarred
                records.append(CoverageRecord(segmentation.scan.id, *values))
    return records


def coverage_rows(records: Sequence[CoverageRecord]) -> list[CoverageRow]:
    """How often the intervals of each feature hold the expert's number, scar last."""
    rows = []
    for field in INTERVAL_FIELDS:
        own = [record for record in records if record.field == field]
        if not own:
            continue
        held = [_holds(one.interval, one.expert) for one in own]
        scarred = [_holds(one.interval, one.expert) for one in own if one.scarred]
        low, high = _clopper_pearson(sum(held), len(held))
        rows.append(
            CoverageRow(
                field,
                patients=len(own),
                calibrated=sum(one.interval.calibrated for one in own),
                held=float(np.mean(held)),
                low=low,
                high=high,
                held_scarred=float(np.mean(scarred)) if scarred else None,
                width=float(np.median([one.interval.high - one.interval.low for one in own])),
                held_normal=float(np.mean([_holds(one.normal, one.expert) for one in own])),
            )
        )
    return rows


def _holds(interval: Interval, value: float) -> bool:
    slack = 1e-9 * max(abs(value), 1.0)  # 0 in [0, 0] after rounding
    return interval.low - slack <= value <= interval.high + slack


def _clopper_pearson(hits: int, trials: int) -> tuple[float, float]:
    found = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
    low, high = float(found.low), float(found.high)
    return low, high
