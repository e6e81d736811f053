"""The numbers of a scan's report as its reader wants them: rows, bars, and what they are worth."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from acsnet_jax.clinical import Assessment, over_15_percent

_NOT_AVAILABLE = "not available"


class Bar(NamedTuple):
    """An interval around a number, in the unit of its row."""

    low: float
    value: float
    high: float
    digits: int

    @property
    def text(self) -> str:
        """Both ends, with the digits of the number."""
        return f"{self.low:.{self.digits}f} to {self.high:.{self.digits}f}"


class Row(NamedTuple):
    """A clinical number; ``value`` is text with its digits, or "not available"."""

    name: str
    value: str
    unit: str
    note: str = ""
    bar: Bar | None = None


class Quantity(NamedTuple):
    """A feature as a reader wants it: ``scale`` times its value, with so many digits."""

    field: str
    name: str
    unit: str
    digits: int = 1
    scale: float = 1.0
    note: str = ""


_HEADLINE = (
    Quantity("infarct_mass_g", "Infarct mass", "g"),
    Quantity("infarct_fraction", "Infarct of LV mass", "%", scale=100.0),
    Quantity("core_fraction", "Core scar of LV mass", "%", scale=100.0),
    Quantity("myocardial_mass_g", "LV myocardial mass", "g", 0, note="no papillaries"),
    Quantity("blood_pool_volume_ml", "LV blood pool", "mL", 0, note="with papillaries"),
)
_QUANTITIES = (
    Quantity("infarct_mass_g", "Infarct, mass", "g", note="enhancement and no-reflow, 1.05 g/mL"),
    Quantity("infarct_volume_ml", "Infarct, volume", "mL"),
    Quantity("infarct_fraction", "Infarct of LV mass", "%", scale=100.0),
    Quantity("no_reflow_mass_g", "No-reflow, mass", "g", note="dark core of the infarct"),
    Quantity("core_scar_mass_g", "Core scar, mass", "g"),
    Quantity("core_scar_volume_ml", "Core scar, volume", "mL", note="FWHM: half of the maximum"),
    Quantity("core_fraction", "Core scar of LV mass", "%", scale=100.0),
    Quantity("gray_zone_mass_g", "Gray zone, mass", "g", note="enhancement, no core, no no-reflow"),
    Quantity("gray_zone_volume_ml", "Gray zone, volume", "mL"),
    Quantity("gray_zone_fraction", "Gray zone of LV mass", "%", scale=100.0),
    Quantity("myocardial_mass_g", "LV myocardium, mass", "g", note="at 1.05 g/mL"),
    Quantity("myocardial_volume_ml", "LV myocardium, volume", "mL"),
    Quantity("blood_pool_volume_ml", "LV blood pool, volume", "mL"),
    Quantity("lv_volume_ml", "LV with its wall, volume", "mL"),
    Quantity("wall_mean_mm", "Wall thickness, mean", "mm", note="along Laplace's field lines"),
    Quantity("wall_min_mm", "Wall thickness, least", "mm"),
    Quantity("wall_max_mm", "Wall thickness, greatest", "mm"),
    Quantity("transmurality_mean", "Transmurality, mean", "%", scale=100.0, note="over all wall"),
    Quantity("transmurality_max", "Transmurality, greatest", "%", scale=100.0),
)


def headline(assessment: Assessment) -> list[Row]:
    """The numbers that a reader of scar looks for first."""
    return [_row(assessment, quantity) for quantity in _HEADLINE]


def feature_rows(assessment: Assessment) -> list[Row]:
    """All clinical numbers of the scan, infarct first."""
    features = assessment.features
    return [
        *(_row(assessment, quantity) for quantity in _QUANTITIES),
        Row("Pieces of the infarct", _number(features.scar_components, 0), "pieces"),
        Row("Slices with LV", f"{features.slices_used} of {features.slices}", "slices"),
    ]


def _row(assessment: Assessment, quantity: Quantity) -> Row:
    value = getattr(assessment.features, quantity.field)
    interval = assessment.intervals.get(quantity.field)
    scale, digits = quantity.scale, quantity.digits
    note, features = quantity.note, assessment.features
    if value is None:
        note = features.not_available.get(quantity.field, note)
    elif quantity.field == "infarct_mass_g" and value and features.no_reflow_mass_g is None:
        note = "enhancement alone: no-reflow could not be looked for"
    return Row(
        quantity.name,
        _number(None if value is None else scale * value, digits),
        quantity.unit,
        note,
        None
        if interval is None or value is None
        else Bar(scale * interval.low, scale * value, scale * interval.high, digits),
    )


def tops(rows: Sequence[Row]) -> dict[str, float]:
    """Where the bars of each unit end, so that rows of one unit can be compared."""
    highest: dict[str, float] = {}
    for row in rows:
        if row.bar is not None:
            highest[row.unit] = max(highest.get(row.unit, 0.0), row.bar.high)
    return {unit: top or 1.0 for unit, top in highest.items()}


def interval_words(assessment: Assessment) -> str:
    """What the intervals are worth, in a sentence or two."""
    if not assessment.intervals:
        return "No intervals: nothing was drawn again."
    share = f"{assessment.coverage:.0%}"
    kinds = {one.calibrated for one in assessment.intervals.values()}
    if kinds == {True}:
        return (
            f"Intervals hold an expert's number in {share} of patients like those on whom they "
            "were calibrated, whom the networks had never seen."
        )
    told = "The intervals" if kinds == {False} else "Some intervals"
    return (
        f"{told} are not calibrated: they tell how far networks, turns of the picture and valid "
        f"shapes disagree ({share} of a normal distribution), which is less than how far an expert "
        "may lie from them."
    )


def decision_words(assessment: Assessment) -> str:
    """Whether the infarct is large, by its interval and by rule, in a sentence."""
    spread = assessment.spread
    decided = over_15_percent(assessment)
    words = {
        "yes": "Above 15% of the LV's mass over all of the interval",
        "no": "Not above 15% of the LV's mass over all of the interval",
        "open": "The interval holds 15% of the LV's mass: whether the infarct is large is open",
        None: "Without an interval it is open whether it is above 15% of the LV's mass",
    }[decided]
    if spread.lowest_fraction is None or spread.highest_fraction is None:
        return f"{words}; scar rules cannot be compared."
    low, high = 100 * spread.lowest_fraction, 100 * spread.highest_fraction
    flips = "rules lie on both sides of 15%" if spread.over_15_percent_flips else "all rules agree"
    return f"{words}; by rule the infarct is {low:.1f} to {high:.1f}% of that mass, and {flips}."


def rule_rows(assessment: Assessment) -> list[tuple[str, ...]]:
    """Scar by rule: name, mass, share, whether it is large, wall above 50% and 75%."""
    rows = []
    for one in assessment.rules:
        large = {None: _NOT_AVAILABLE, True: "yes", False: "no"}[one.over_15_percent]
        reason = one.not_available["mass_g"] if one.mass_g is None else ""
        rows.append(
            (
                one.name,
                _number(one.mass_g, 1),
                _percent(one.fraction),
                large,
                _percent(one.wall_over_50),
                _percent(one.wall_over_75),
                reason,
            )
        )
    return rows


def segment_rows(assessment: Assessment) -> list[tuple[str, ...]]:
    """The AHA's segments: number and name, mass, thickness, infarct, transmurality, why not."""
    return [
        (
            f"{one.segment} {one.name}",
            _number(one.mass_g, 1),
            _number(one.wall_mean_mm, 1),
            _percent(one.infarct_fraction),
            _percent(one.transmurality_mean),
            _percent(one.transmurality_max),
            next(iter(one.not_available.values()), ""),
        )
        for one in assessment.segments
    ]


def no_segments(assessment: Assessment) -> str:
    """Why no segment has anything to tell, if it is the same of all; else ""."""
    reasons = {next(iter(one.not_available.values()), "") for one in assessment.segments}
    untold = all(one.mass_g is None for one in assessment.segments)
    return reasons.pop() if untold and len(reasons) == 1 else ""


def _number(value: float | int | None, digits: int) -> str:
    if value is None or not math.isfinite(value):
        return _NOT_AVAILABLE
    return f"{value:.{digits}f}"


def _percent(fraction: float | None) -> str:
    return _number(None if fraction is None else 100 * fraction, 1)
