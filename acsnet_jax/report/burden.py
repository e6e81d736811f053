"""Decisions on the infarct's share of the LV's mass, and patients one by one, as text.

Shares are printed in percent, volumes in mL; the CSV files keep fractions of 1 and mL.
"""

import pathlib
from collections.abc import Sequence

from acsnet_jax.evaluation.burden import (
    Decision,
    PathologyRow,
    PatientRecord,
    by_pathology,
    decisions,
)
from acsnet_jax.files import write_text
from acsnet_jax.report.agreement import estimated
from acsnet_jax.report.tables import Style, TextTable, captioned, plain, write_csv

DECISION_CAPTION = (
    "Patients above a share of the LV's mass, by the expert's infarct over the expert's "
    "myocardium and by ours over ours; 15% is the threshold of clinical decisions. Sensitivity and "
    "specificity with Wilson's 95% confidence interval. Groups are what the data set's owner says "
    "of a patient, or else whether the expert drew scar."
)
PATHOLOGY_CAPTION = (
    "By pathology: mean over patients ± half its 95% confidence interval (Student's t). Dice is in "
    "3-D; that of the infarct is of the patients in whom the expert has some. Bias is ours less "
    "the expert's."
)
_PERCENT = Style("", 100.0, 1)
_DICE = Style("", 1.0, 3)
_ML = Style("", 1.0, 1, signed=True)
_POINTS = Style("", 100.0, 1, signed=True)
_STRUCTURES = ("enhancement", "core", "gray_zone", "no_reflow", "myocardium", "blood_pool", "lv")


def limit_name(limit: float) -> str:
    """What a patient above a share of the LV's mass has."""
    return f"> {100 * limit:g}% of the LV" if limit else "any scar"


def decision_text(found: Sequence[Decision]) -> TextTable:
    """Sensitivity and specificity of each decision, for readers."""
    header = ("Decision", "Group", "Above it", "Missed", "Sensitivity (%)", "Not above")
    header += ("False alarms", "Specificity (%)")
    return TextTable(
        header,
        [
            (
                limit_name(one.limit),
                one.group,
                str(one.presence.present),
                str(one.presence.missed),
                estimated(one.sensitivity, _PERCENT),
                str(one.presence.absent),
                str(one.presence.false_alarms),
                estimated(one.specificity, _PERCENT),
            )
            for one in found
        ],
    )


def decision_csv(found: Sequence[Decision]) -> TextTable:
    """The same for programs, in fractions of 1; empty where nobody could be counted."""
    header = ("limit", "group", "present", "missed", "absent", "false_alarms")
    for name in ("sensitivity", "specificity"):
        header += (name, f"{name}_low", f"{name}_high")
    return TextTable(
        header,
        [
            (
                plain(one.limit),
                one.group,
                *map(str, one.presence),
                *map(plain, (*one.sensitivity, *one.specificity)),
            )
            for one in found
        ],
    )


def pathology_text(rows: Sequence[PathologyRow]) -> TextTable:
    """Dice and bias by pathology, for readers."""
    header = ("Group", "Patients", "MYO Dice", "LV Dice", "With infarct", "Infarct Dice")
    header += ("Infarct bias (mL)", "With a share", "Infarct bias (% points of the LV)")
    return TextTable(
        header,
        [
            (
                row.group,
                str(row.patients),
                _DICE.with_interval(row.myocardium_dice),
                _DICE.with_interval(row.lv_dice),
                str(row.infarct_dice.patients),
                _DICE.with_interval(row.infarct_dice),
                _ML.with_interval(row.infarct_bias_ml),
                str(row.share_bias.patients),
                _POINTS.with_interval(row.share_bias),
            )
            for row in rows
        ],
    )


def patients_csv(records: Sequence[PatientRecord]) -> TextTable:
    """One row a patient: every volume of expert and ours, Dice, the infarct's share, the verdict.

    Volumes are in mL, differences ours less the expert's; empty where something was not assessed.
    """
    header = ["scan_id", "pathology", "verdict"]
    for name in _STRUCTURES:
        header += [f"{name}_{what}" for what in ("expert_ml", "ours_ml", "difference_ml")]
        header += [f"{name}_dice_3d", f"{name}_hausdorff_3d_mm"]
    header += [f"infarct_share_{what}" for what in ("expert", "ours", "difference")]
    table = TextTable(tuple(header), [])
    for one in records:
        cells = [one.burden.scan_id, one.burden.pathology, plain(one.verdict)]
        for name in _STRUCTURES:
            pair, judged = one.volumes.get(name), one.judged.get(name)
            volumes = (None,) * 3 if pair is None else (*pair[1:], pair.bias_ml)
            scores = (None,) * 2 if judged is None else (judged.dice, judged.hausdorff_mm)
            cells += map(plain, (*volumes, *scores))
        cells += map(plain, (one.burden.truth, one.burden.predicted, one.burden.bias))
        table.rows.append(tuple(cells))
    return _without_empty_columns(table)


def _without_empty_columns(table: TextTable) -> TextTable:
    kept = [k for k in range(len(table.header)) if any(row[k] for row in table.rows)]
    kept = kept or [*range(len(table.header))]
    rows = [tuple(row[k] for k in kept) for row in table.rows]
    return TextTable(tuple(table.header[k] for k in kept), rows)


def burden_tables(records: Sequence[PatientRecord]) -> list[tuple[str, TextTable]]:
    """Decisions and pathologies, each with its caption."""
    found = decisions([one.burden for one in records])
    return [
        (DECISION_CAPTION, decision_text(found)),
        (PATHOLOGY_CAPTION, pathology_text(by_pathology(records))),
    ]


def write_burden(records: Sequence[PatientRecord], folder: pathlib.Path) -> None:
    """Write ``burden.md`` for readers, ``burden.csv`` and ``patients.csv``, a row a patient."""
    write_csv(decision_csv(decisions([one.burden for one in records])), folder / "burden.csv")
    write_csv(patients_csv(records), folder / "patients.csv")
    write_text(captioned(burden_tables(records)), folder / "burden.md")
