"""The EMIDEC challenge's table as text: means over patients, and presence.

Shares are printed in percent, distances in mm, volumes in mm^3 as the challenge has them; the CSV
for programs keeps base units (fractions, mm, mm^3). Scar comes first.
"""

import pathlib
from collections.abc import Sequence

from acsnet_jax.evaluation.challenge import (
    ChallengeMeasure,
    ChallengeRecord,
    ChallengeRow,
    challenge_rows,
)
from acsnet_jax.evaluation.summary import Presence, Summary
from acsnet_jax.files import write_text
from acsnet_jax.report.tables import Style, TextTable, captioned, plain, write_csv

CHALLENGE_NAMES = {
    "enhancement": "Infarct",
    "core": "Core scar",
    "gray_zone": "Gray zone",
    "no_reflow": "No-reflow",
    "myocardium": "MYO",
    "blood_pool": "Blood pool",
    "lv": "LV",
}
"""Structures for readers; the challenge knows no core and no gray zone."""

_GROUPS = {"all": "all", "affected": "with it"}
_MEASURES: dict[ChallengeMeasure, Style] = {
    "dice": Style("Dice 3-D", 1.0, 3),
    "hausdorff_mm": Style("HD 3-D (mm)", 1.0, 1),
    "truth_mm3": Style("GT (mm³)", 1.0, 0),
    "predicted_mm3": Style("Pred (mm³)", 1.0, 0),
    "difference_mm3": Style("AVD (mm³)", 1.0, 0),
    "relative_difference": Style("AVD of expert's (%)", 100.0, 1),
    "share_difference": Style("AVDR, of MYO (%)", 100.0, 2),
    "bias_mm3": Style("Bias (mm³)", 1.0, 0, signed=True),
    "relative_bias": Style("Bias of expert's (%)", 100.0, 1, signed=True),
}

CHALLENGE_CAPTION = (
    "EMIDEC challenge (Lalande et al. 2022): one number a patient, over its labelled slices "
    "together; mean ± half the 95% confidence interval over patients (Student's t). The infarct "
    "holds its no-reflow: of ours what stage 2 tells, and no dark cores found in the picture, "
    "which the report of a scan adds where stage 2 tells none. Dice is 1 where both masks are "
    "empty and 0 where one is; “with it” are "
    "the patients in whom the expert has the region. The Hausdorff distance is the stack's "
    "diagonal where one mask is empty, and not counted where both are. AVD is |ours - expert|; "
    "its share of the expert's volume is counted where that is not 0; AVDR is its share of the "
    "expert's myocardium. Bias is ours less the expert's."
)
FOUND_CAPTION = (
    "Patients in whom the expert has a region, and in how many of them some of it was found "
    "(sensitivity); patients without, and in how many of them none was (specificity)."
)


def challenge_text(rows: Sequence[ChallengeRow]) -> TextTable:
    """Means over patients, for readers."""
    header = ("Region", "Patients", "Measure", "Mean ± CI", "Range", "Patients counted")
    return TextTable(
        header,
        [
            (
                CHALLENGE_NAMES[row.structure],
                _GROUPS[row.group],
                _MEASURES[row.measure].name,
                _MEASURES[row.measure].with_interval(row.summary),
                _range(row.summary, row.measure),
                f"{row.summary.counted} of {row.summary.n}",
            )
            for row in rows
        ],
    )


def found_text(rows: Sequence[ChallengeRow]) -> TextTable:
    """What was found and what made up, by patient."""
    header = ("Region", "Patients with it", "Missed", "Sensitivity (%)")
    header += ("Patients without", "False alarms", "Specificity (%)")
    found: dict[str, Presence] = {row.structure: row.presence for row in rows}
    return TextTable(
        header,
        [
            (
                CHALLENGE_NAMES[structure],
                str(one.present),
                str(one.missed),
                _percent(one.sensitivity),
                str(one.absent),
                str(one.false_alarms),
                _percent(one.specificity),
            )
            for structure, one in found.items()
        ],
    )


def challenge_csv(rows: Sequence[ChallengeRow]) -> TextTable:
    """The means for programs, in base units."""
    header = ("structure", "group", "measure", "mean", "half_width_95", "low", "high", "patients")
    header += ("records_counted", "records", "present", "missed", "absent", "false_alarms")
    table = TextTable(header, [])
    for row in rows:
        numbers = (plain(value) for value in row.summary)
        counts = (str(value) for value in row.presence)
        table.rows.append((row.structure, row.group, row.measure, *numbers, *counts))
    return table


def challenge_patients(records: Sequence[ChallengeRecord]) -> TextTable:
    """The records themselves in base units, one a row; empty where a measure does not apply."""
    derived = ("bias_mm3", "difference_mm3", "relative_difference", "relative_bias")
    derived += ("share_difference",)
    return TextTable(
        (*ChallengeRecord._fields, *derived),
        [
            (*map(plain, record), *(plain(getattr(record, name)) for name in derived))
            for record in records
        ],
    )


def write_challenge(records: Sequence[ChallengeRecord], folder: pathlib.Path) -> None:
    """Write ``challenge.md`` and ``.csv`` (means), and ``challenge_patients.csv`` (a row each)."""
    write_csv(challenge_csv(challenge_rows(records)), folder / "challenge.csv")
    write_csv(challenge_patients(records), folder / "challenge_patients.csv")
    write_text(captioned(challenge_tables(records)), folder / "challenge.md")


def challenge_tables(records: Sequence[ChallengeRecord]) -> list[tuple[str, TextTable]]:
    """Means and presence, each with its caption."""
    rows = challenge_rows(records)
    return [
        (CHALLENGE_CAPTION, challenge_text(rows)),
        (FOUND_CAPTION, found_text(rows)),
    ]


def _range(summary: Summary, measure: ChallengeMeasure) -> str:
    if summary.mean is None:
        return "n/a"
    style = _MEASURES[measure]
    return f"{style.number(summary.low)} to {style.number(summary.high)}"


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f}"
