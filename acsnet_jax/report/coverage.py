"""Intervals of held-out patients as text: how often they hold the expert's number, and each."""

import pathlib
from collections.abc import Sequence

from acsnet_jax.evaluation.coverage import CoverageRecord, CoverageRow, coverage_rows
from acsnet_jax.files import write_text
from acsnet_jax.report.tables import TextTable, captioned, plain, write_csv

FIELD_NAMES = {
    "lv_volume_ml": "LV with its wall (mL)",
    "blood_pool_volume_ml": "Blood pool (mL)",
    "myocardial_volume_ml": "Myocardium (mL)",
    "infarct_volume_ml": "Infarct (mL)",
    "infarct_fraction": "Infarct of the LV's mass (%)",
    "enhancement_volume_ml": "Enhancement (mL)",
    "scar_fraction": "Enhancement of the myocardium (%)",
    "core_scar_volume_ml": "Core scar (mL)",
    "core_fraction": "Core scar of the myocardium (%)",
    "gray_zone_volume_ml": "Gray zone (mL)",
    "gray_zone_fraction": "Gray zone of the myocardium (%)",
}
COVERAGE_CAPTION = (
    "How often the interval around our number holds the expert's. Calibrated intervals are made to "
    "hold it in nine of ten patients; beside them stands how often the spread of the draws alone "
    "would, taken as normal. In brackets: 95% confidence interval (Clopper and Pearson)."
)


def coverage_text(rows: Sequence[CoverageRow]) -> TextTable:
    """How often intervals hold, for readers."""
    header = (
        "Feature",
        "Patients",
        "Intervals calibrated",
        "Expert's inside",
        "Inside, of scarred",
        "Median width",
        "Inside by the draws alone",
    )
    return TextTable(
        header,
        [
            (
                FIELD_NAMES[row.field],
                str(row.patients),
                str(row.calibrated),
                f"{row.held:.0%} ({row.low:.0%} to {row.high:.0%})",
                "n/a" if row.held_scarred is None else f"{row.held_scarred:.0%}",
                _width(row),
                f"{row.held_normal:.0%}",
            )
            for row in rows
        ],
    )


def _width(row: CoverageRow) -> str:
    return f"{100 * row.width if row.field.endswith('_fraction') else row.width:.1f}"


def coverage_csv(records: Sequence[CoverageRecord]) -> TextTable:
    """Every interval in base units, a row each."""
    header = ("scan_id", "field", "expert", "ours", "low", "high", "calibrated")
    return TextTable(
        (*header, "uncalibrated_low", "uncalibrated_high"),
        [
            (
                one.scan_id,
                one.field,
                plain(one.expert),
                plain(one.ours),
                plain(one.interval.low),
                plain(one.interval.high),
                plain(one.interval.calibrated),
                plain(one.normal.low),
                plain(one.normal.high),
            )
            for one in records
        ],
    )


def write_coverage(records: Sequence[CoverageRecord], folder: pathlib.Path) -> None:
    """Write ``intervals.md`` for readers and ``intervals.csv``, a row a patient and feature.

    Without any records, such files of before are removed.
    """
    table, text = folder / "intervals.csv", folder / "intervals.md"
    if not records:
        for path in (table, text):
            path.unlink(missing_ok=True)
        return
    write_csv(coverage_csv(records), table)
    write_text(captioned([(COVERAGE_CAPTION, coverage_text(coverage_rows(records)))]), text)
