"""Tables 1 and 2 as text: the paper's own figures beside ours, as CSV and Markdown.

Balanced accuracy, relative error and the share of scar are printed in percent, distances in mm,
areas in mm^2, volumes in mL (the paper's cc). Every row prints n: patients averaged, and records
counted of records offered. Beside Dice and volumes stands how often a region was missed wholly, and
how often it was seen where the expert saw none.
"""

import csv
import io
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from acsnet_jax.evaluation.summary import (
    LOCATIONS,
    STRUCTURES,
    SliceRecord,
    Summary,
    Table1Row,
    Table2Row,
)
from acsnet_jax.files import write_text

STRUCTURE_NAMES = {
    "enhancement": "Enhancement",
    "core": "Core scar",
    "gray_zone": "Gray zone",
    "scar_share": "Scar of wall",
    "myocardium": "MYO",
    "lv": "LV",
}
REFERENCE_NAMES = {"drawn": "as drawn", "cleaned": "treated alike"}
TERTILES = ("lower", "middle", "upper")


class Style(NamedTuple):
    """How a measure is printed.

    Attributes:
        name: as it is headed, with its unit.
        scale: from base units to that unit.
        digits: behind the point.
        signed: whether a plus is printed, too.
    """

    name: str
    scale: float
    digits: int
    signed: bool = False

    def number(self, value: float | None) -> str:
        """A value; "n/a" where there is none."""
        sign = "+" if self.signed else ""
        return "n/a" if value is None else f"{self.scale * value:{sign}.{self.digits}f}"

    def with_interval(self, summary: Summary) -> str:
        """A mean, and the size of its interval if it has one."""
        mean = self.number(summary.mean)
        if summary.half_width is None:
            return mean
        return f"{mean} ± {self.number(summary.half_width).removeprefix('+')}"


_MEASURES = {
    "balanced_accuracy": Style("BA (%)", 100.0, 1),
    "dice": Style("Dice", 1.0, 2),
    "dice_where_drawn": Style("Dice where drawn", 1.0, 2),
    "hausdorff_mm": Style("HD (mm)", 1.0, 1),
    "bias_mm2": Style("Area bias (mm²)", 1.0, 0, signed=True),
    "truth_ml": Style("GT (mL)", 1.0, 1),
    "predicted_ml": Style("Pred (mL)", 1.0, 1),
    "relative_error": Style("Norm. MAE (%)", 100.0, 1),
    "bias_ml": Style("Bias (mL)", 1.0, 1, signed=True),
    "truth": Style("GT (%)", 100.0, 1),
    "predicted": Style("Pred (%)", 100.0, 1),
    "error": Style("Abs. error (points)", 100.0, 1),
    "bias": Style("Bias (points)", 100.0, 1, signed=True),
}
_NOT_PRINTED = ("", "", "", "")

PAPER_TABLE1: dict[tuple[str, str], tuple[str, str, str, str]] = {
    ("lv", "balanced_accuracy"): ("96.3 ± 0.4", "96.3 ± 0.4", "96.2 ± 0.5", "96.3 ± 0.2"),
    ("lv", "dice"): ("0.92 ± 0.02", "0.95 ± 0.01", "0.94 ± 0.01", "0.93 ± 0.01"),
    ("lv", "hausdorff_mm"): ("6.9 ± 1.6", "6.1 ± 0.8", "6.6 ± 1.5", "6.5 ± 0.8"),
    ("myocardium", "balanced_accuracy"): ("93.3 ± 1.1", "93.1 ± 1.2", "92.9 ± 1.4", "93.1 ± 0.7"),
    ("myocardium", "dice"): ("0.75 ± 0.04", "0.82 ± 0.02", "0.80 ± 0.04", "0.79 ± 0.02"),
    ("myocardium", "hausdorff_mm"): ("6.4 ± 0.7", "6.6 ± 0.7", "7.2 ± 1.5", "6.7 ± 0.6"),
    ("enhancement", "balanced_accuracy"): ("69.9 ± 2.3", "69.8 ± 2.6", "70.4 ± 2.6", "70.0 ± 1.4"),
    ("enhancement", "dice"): ("0.51 ± 0.06", "0.48 ± 0.07", "0.59 ± 0.09", "0.51 ± 0.04"),
    ("enhancement", "hausdorff_mm"): ("16.8 ± 3.4", "24.0 ± 6.6", "19.8 ± 8.7", "19.9 ± 3.3"),
    ("core", "balanced_accuracy"): ("74.9 ± 2.8", "74.3 ± 3.1", "75.5 ± 3.3", "74.9 ± 1.8"),
    ("core", "dice"): ("0.57 ± 0.08", "0.52 ± 0.09", "0.63 ± 0.11", "0.57 ± 0.05"),
    ("core", "hausdorff_mm"): ("14.9 ± 3.7", "24.4 ± 6.7", "18.1 ± 8.9", "18.9 ± 3.5"),
}
"""Paper, table 1: apex, middle, base, total; mean ± 95% confidence interval size."""

PAPER_TABLE2: dict[tuple[str, str], tuple[str, str, str, str]] = {
    ("lv", "truth_ml"): ("226 (186-259)", "307 (280-327)", "405 (334-573)", "312 (186-573)"),
    ("lv", "predicted_ml"): ("237 (193-273)", "312 (279-339)", "424 (342-614)", "323 (193-614)"),
    ("lv", "relative_error"): (
        "10.3 (4.8-18.8)",
        "4.5 (0.6-8.0)",
        "4.4 (1.3-10.3)",
        "6.3 (0.6-18.8)",
    ),
    ("myocardium", "truth_ml"): ("121 (85-159)", "171 (110-215)", "180 (114-274)", "158 (85-274)"),
    ("myocardium", "predicted_ml"): (
        "144 (109-186)",
        "187 (144-226)",
        "217 (159-351)",
        "183 (109-351)",
    ),
    ("myocardium", "relative_error"): (
        "24.1 (12.6-41.1)",
        "12.7 (1.8-30.8)",
        "24.7 (2.2-53.7)",
        "20.1 (1.8-53.7)",
    ),
    ("enhancement", "truth_ml"): ("27 (15-46)", "24 (3-39)", "30 (7-47)", "27 (3-47)"),
    ("enhancement", "predicted_ml"): ("21 (7-43)", "19 (0-33)", "26 (3-38)", "22 (0-43)"),
    ("enhancement", "relative_error"): (
        "26.6 (5.9-53.4)",
        "31.1 (3.8-100.0)",
        "45.4 (15.9-87.5)",
        "34.2 (3.8-100.0)",
    ),
    ("core", "truth_ml"): ("13 (6-21)", "11 (1-19)", "17 (4-30)", "13 (1-30)"),
    ("core", "predicted_ml"): ("11 (5-20)", "9 (0-17)", "14 (2-22)", "12 (0-22)"),
    ("core", "relative_error"): (
        "14.4 (1.2-41.2)",
        "42.5 (18.2-100.0)",
        "42.7 (32.1-72.0)",
        "33.7 (1.2-100.0)",
    ),
    ("scar_share", "bias"): ("", "", "", "2 (unsigned)"),
}
"""Paper, table 2: lower, middle, upper, total; mean (range over patients). Abstract: scar share."""


TABLE1_CAPTION = (
    "Mean ± 95% confidence interval size over patients (Student's t), each patient being "
    "the mean of its slices; apex, middle and base are thirds of a patient's labelled slices. Dice "
    "is 1 where both masks are empty and 0 where one is; “where drawn” counts only slices on which "
    "the expert has the region. The Hausdorff distance is not counted where both are empty and is "
    "the image diagonal where one is. Bias is ours less the expert's. Missed: slices on which the "
    "expert has the region and we have none; false alarms: the reverse. “Paper” is the authors' "
    "own cohort."
)
TABLE2_CAPTION = (
    "Mean (range) over patients, by tertile of the expert's LV volume, on labelled "
    "slices; ± is the size of the 95% confidence interval over patients (Student's t). Norm. MAE "
    "is |ours - expert| / expert of each patient; patients in whom the expert saw none of a region "
    "are not counted there, but in the bias, ours less the expert's. Predicted enhancement was "
    "eroded and cleaned, the expert's as drawn was not: its rim makes bias negative. “Treated "
    "alike” cleans the expert's in the same way and takes its core anew. Scar of wall is "
    "enhancement over myocardium by volume; a patient in whom we found no scar or no wall counts "
    "as 0. Missed: patients in whom the expert has the region and we have none; false alarms: the "
    "reverse. “Paper” is the authors' own cohort, against masks as drawn."
)
PRESENCE_CAPTION = (
    "Patients and labelled slices in which the expert has a region, in how many of them we have "
    "none of it (missed), and the reverse (false alarms)."
)


class TextTable(NamedTuple):
    """A table ready to print: a header, and rows of as many cells."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def measure_name(measure: str) -> str:
    """A measure as the paper heads it, with its unit."""
    return _MEASURES[measure].name


def _with_range(summary: Summary, measure: str) -> str:
    style = _MEASURES[measure]
    mean = style.number(summary.mean)
    if summary.mean is None:
        return mean
    between = " to " if style.signed else "-"
    return f"{mean} ({style.number(summary.low)}{between}{style.number(summary.high)})"


def _counts(row: Table1Row | Table2Row) -> tuple[str, str, str, str]:
    """Patients and records counted; what was missed and what made up."""
    found = row.presence
    return (
        str(row.total.patients),
        f"{row.total.counted} of {row.total.n}",
        f"{found.missed} of {found.present}",
        f"{found.false_alarms} of {found.absent}",
    )


def _published(row: Table1Row | Table2Row) -> tuple[str, str, str, str]:
    """The paper's figures, which are of masks as drawn; empty where it has none."""
    if isinstance(row, Table1Row):
        return PAPER_TABLE1.get((row.structure, row.measure), _NOT_PRINTED)
    if row.reference != "drawn":
        return _NOT_PRINTED
    return PAPER_TABLE2.get((row.structure, row.measure), _NOT_PRINTED)


def table1_text(rows: Sequence[Table1Row]) -> TextTable:
    """Table 1 for readers: mean ± half the 95% confidence interval over patients."""
    header = ("Region", "Measure", "Apex", "Middle", "Base", "Total", "Paper: apex")
    header += ("Paper: middle", "Paper: base", "Paper: total", "Patients", "Slices counted")
    header += ("Slices missed", "False alarms")
    return TextTable(
        header,
        [
            (
                STRUCTURE_NAMES[row.structure],
                measure_name(row.measure),
                *(_MEASURES[row.measure].with_interval(cell) for cell in row.cells),
                *_published(row),
                *_counts(row),
            )
            for row in rows
        ],
    )


def table2_text(rows: Sequence[Table2Row]) -> TextTable:
    """Table 2 for readers: mean (range) over patients; the interval of the total in its column."""
    header = ("Region", "Expert", "Measure", "Lower tertile", "Middle tertile", "Upper tertile")
    header += ("Total", "Total ± CI", "Paper: lower", "Paper: middle", "Paper: upper")
    header += ("Paper: total", "Patients", "Patients counted", "Patients missed", "False alarms")
    return TextTable(
        header,
        [
            (
                STRUCTURE_NAMES[row.structure],
                REFERENCE_NAMES[row.reference],
                measure_name(row.measure),
                *(_with_range(cell, row.measure) for cell in row.cells),
                _MEASURES[row.measure].with_interval(row.total),
                *_published(row),
                *_counts(row),
            )
            for row in rows
        ],
    )


def presence_text(table1: Sequence[Table1Row], table2: Sequence[Table2Row]) -> TextTable:
    """What was missed wholly, and what was seen where the expert saw none, in slices and patients.

    Args:
        table1: its rows.
        table2: its rows.
    """
    header = ("Region", "Patients with it", "Patients missed", "Patients without")
    header += ("Patient false alarms", "Slices with it", "Slices missed", "Slices without")
    header += ("Slice false alarms",)
    slices = {row.structure: row.presence for row in table1}
    patients = {row.structure: row.presence for row in table2 if row.reference == "drawn"}
    return TextTable(
        header,
        [
            (
                STRUCTURE_NAMES[structure],
                *(str(count) for count in (*patients[structure], *slices[structure])),
            )
            for structure in STRUCTURES
            if structure in slices and structure in patients
        ],
    )


def csv_table(rows: Sequence[Table1Row] | Sequence[Table2Row]) -> TextTable:
    """Either table for programs: one cell of it a row, in base units (fractions, mm, mL)."""
    header = ("structure", "reference", "measure", "group", "mean", "half_width_95", "low", "high")
    header += ("patients", "records_counted", "records", "paper")
    table = TextTable(header, [])
    for row in rows:
        groups = (*(LOCATIONS if isinstance(row, Table1Row) else TERTILES), "total")
        reference = "drawn" if isinstance(row, Table1Row) else row.reference
        for group, cell, printed in zip(groups, row.cells, _published(row), strict=True):
            numbers = ("" if value is None else f"{value:.6g}" for value in cell[:4])
            counts = (str(value) for value in cell[4:])
            names = (row.structure, reference, row.measure, group)
            table.rows.append((*names, *numbers, *counts, printed))
    return table


def slices_table(records: Sequence[SliceRecord]) -> TextTable:
    """The slice records themselves, one a row; an empty cell where a measure does not apply."""
    return TextTable(
        SliceRecord._fields,
        [
            tuple(
                "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
                for value in record
            )
            for record in records
        ],
    )


def markdown(table: TextTable) -> str:
    """A table in GitHub's Markdown."""
    lines = [table.header, tuple("---" for _ in table.header), *table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def aligned(table: TextTable) -> str:
    """A table for a terminal; columns whose cells are numbers are flush right."""
    lines = [table.header, *table.rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(table.header))]
    right = [all(_is_number(row[k]) for row in table.rows) for k in range(len(widths))]
    return "".join(
        "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        ).rstrip()
        + "\n"
        for line in lines
    )


def _is_number(cell: str) -> bool:
    return cell.rstrip("%").replace(".", "", 1).isdigit()


def plain(value: float | int | str | None) -> str:
    """A value for programs: empty where there is none or it is NaN, six digits of a number."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def captioned(parts: Sequence[tuple[str, TextTable]]) -> str:
    """Tables in GitHub's Markdown, each below its caption."""
    return "\n".join(f"{caption}\n\n{markdown(table)}" for caption, table in parts)


def write_csv(table: TextTable, path: pathlib.Path) -> None:
    """Write a table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(table.rows)
    write_text(text.getvalue(), path)


def write_tables(
    table1: Sequence[Table1Row],
    table2: Sequence[Table2Row],
    folder: pathlib.Path,
) -> None:
    """Write ``table1``, ``table2`` and ``presence`` as ``.csv`` and ``.md``.

    The first two are tidy and in base units as CSV, and for readers as Markdown.
    """
    found = presence_text(table1, table2)
    write_csv(csv_table(table1), folder / "table1.csv")
    write_csv(csv_table(table2), folder / "table2.csv")
    write_csv(found, folder / "presence.csv")
    for name, caption, table in (
        ("presence", f"Found and missed. {PRESENCE_CAPTION}", found),
        ("table1", f"Table 1. {TABLE1_CAPTION}", table1_text(table1)),
        ("table2", f"Table 2. {TABLE2_CAPTION}", table2_text(table2)),
    ):
        write_text(f"{caption}\n\n{markdown(table)}", folder / f"{name}.md")
