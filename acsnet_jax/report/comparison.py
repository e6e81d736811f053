"""Two tools against one expert: tables, plots, a report.

Distances are printed in mm, volumes in mL, the infarct's share of the LV's mass in percent; JSON
and CSV keep fractions of 1, mm and mL.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from acsnet_jax.evaluation.agreement import Agreement, agreement, volume_pairs
from acsnet_jax.evaluation.burden import Decision, decisions
from acsnet_jax.evaluation.challenge import ChallengeRecord
from acsnet_jax.evaluation.comparison import (
    ComparedMeasure,
    ComparedRow,
    Comparison,
    Unmatched,
    burdens,
    compared_rows,
)
from acsnet_jax.evaluation.estimates import RESAMPLES
from acsnet_jax.files import write_json, write_text
from acsnet_jax.report.agreement import (
    AGREEMENT_CAPTION,
    agreement_text,
    estimated,
)
from acsnet_jax.report.burden import DECISION_CAPTION, decision_text
from acsnet_jax.report.challenge import CHALLENGE_NAMES
from acsnet_jax.report.html import Picture, Report, Section, environment, write_report
from acsnet_jax.report.plots import Panel, bland_altman
from acsnet_jax.report.tables import Style, TextTable, captioned, plain, write_csv

_STYLES: dict[ComparedMeasure, Style] = {
    "dice": Style("Dice 3-D", 1.0, 3),
    "hausdorff_mm": Style("HD 3-D (mm)", 1.0, 1),
    "volume_ml": Style("Volume (mL)", 1.0, 1),
    "bias_ml": Style("Bias (mL)", 1.0, 1, signed=True),
    "error_ml": Style("Abs. error (mL)", 1.0, 1),
    "share_bias": Style("Share bias (points)", 100.0, 1, signed=True),
    "share_error": Style("Abs. share error (points)", 100.0, 1),
}
COMPARISON_CAPTION = (
    "One number a patient, over the slices that were judged together; mean ± half the 95% "
    "confidence interval over patients (Student's t). The infarct holds its no-reflow. Dice is 1 "
    "where both masks are empty and 0 where one is; the Hausdorff distance is the stack's diagonal "
    "where one is, and of empty masks 0 where the other tool has a distance. Bias is the tool's "
    "volume less the expert's; shares are the infarct's of the LV's mass, in points of percent. "
    "A - B is the mean paired difference with its 95% interval, percentiles over "
    f"{RESAMPLES} seeded resamples of the patients. p is of Wilcoxon's signed-rank test of the "
    "pairs, two-sided; Holm's p is adjusted for the structures of the same measure, not for the "
    "number of measures: choose one measure beforehand. n/a: no pair differs."
)


def comparison_text(rows: Sequence[ComparedRow]) -> TextTable:
    """The table for readers."""
    header = ("Region", "Measure", "Expert's", "A", "B", "A - B (95% CI)", "p", "p (Holm)", "Pairs")
    return TextTable(
        header,
        [
            (
                CHALLENGE_NAMES[row.structure],
                _STYLES[row.measure].name,
                "" if row.expert is None else _STYLES[row.measure].with_interval(row.expert),
                _STYLES[row.measure].with_interval(row.a),
                _STYLES[row.measure].with_interval(row.b),
                estimated(row.difference, _STYLES[row.measure]._replace(signed=True)),
                p_text(row.p),
                p_text(row.p_holm),
                f"{row.pairs} of {row.patients}",
            )
            for row in rows
        ],
    )


def comparison_lines(rows: Sequence[ComparedRow]) -> TextTable:
    """The same for a terminal of 100 columns: means without their intervals, Holm's p alone."""
    return TextTable(
        ("Region", "Measure", "A", "B", "A - B (95% CI)", "p (Holm)", "Pairs"),
        [
            (
                CHALLENGE_NAMES[row.structure],
                _STYLES[row.measure].name,
                _STYLES[row.measure].number(row.a.mean),
                _STYLES[row.measure].number(row.b.mean),
                estimated(row.difference, _STYLES[row.measure]._replace(signed=True)),
                p_text(row.p_holm),
                str(row.pairs),
            )
            for row in rows
        ],
    )


def p_text(p: float | None) -> str:
    """A p-value as papers print it."""
    if p is None:
        return "n/a"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def comparison_csv(rows: Sequence[ComparedRow]) -> TextTable:
    """The same for programs, in base units."""
    header = (
        "structure",
        "measure",
        "expert_mean",
        "a_mean",
        "a_half_width_95",
        "b_mean",
        "b_half_width_95",
    )
    header += ("difference", "difference_low", "difference_high", "p", "p_holm", "pairs")
    table = TextTable((*header, "patients"), [])
    for row in rows:
        numbers = (
            None if row.expert is None else row.expert.mean,
            row.a.mean,
            row.a.half_width,
            row.b.mean,
            row.b.half_width,
        )
        numbers += (*row.difference, row.p, row.p_holm, row.pairs, row.patients)
        table.rows.append((row.structure, row.measure, *map(plain, numbers)))
    return table


def pairs_csv(comparison: Comparison) -> TextTable:
    """One row a patient and structure: the expert's volume, and Dice, distance, volume of both."""
    header = ("scan_id", "pathology", "structure", "expert_ml")
    for side in "ab":
        header += tuple(f"{side}_{name}" for name in ("dice", "hausdorff_mm", "ml", "bias_ml"))
    table = TextTable((*header, "expert_share", "a_share", "b_share"), [])
    shares = [burdens(own, comparison.pathologies) for own in (comparison.a, comparison.b)]
    for ours, theirs in zip(comparison.a, comparison.b, strict=True):
        one, other = (own[ours.scan_id] for own in shares)
        scar = ours.structure == "enhancement"
        table.rows.append(
            (
                ours.scan_id,
                one.pathology,
                ours.structure,
                plain(ours.truth_mm3 / 1000),
                *(plain(x) for record in (ours, theirs) for x in _numbers(record)),
                *(plain(x if scar else None) for x in (one.truth, one.predicted, other.predicted)),
            )
        )
    return table


def _numbers(record: ChallengeRecord) -> tuple[float | None, ...]:
    volumes = (record.predicted_mm3 / 1000, record.bias_mm3 / 1000)
    return (record.dice, record.hausdorff_mm, *volumes)


def write_comparison(
    comparison: Comparison, folder: pathlib.Path, *, config: Mapping[str, str] | None = None
) -> pathlib.Path:
    """Write everything about a comparison.

    Args:
        comparison: two tools on the same patients.
        folder: gets ``comparison.csv``, ``.md`` and ``.json``, ``patients.csv``, a Bland-Altman
            plot of each structure, and ``report.html``.
        config: for the report, name to text.

    Returns:
        The path of the report.
    """
    rows = compared_rows(comparison)
    sides = {
        f"{letter}: {name}": records
        for letter, name, records in zip(
            "AB", comparison.names, (comparison.a, comparison.b), strict=True
        )
    }
    agreements = {name: agreement(records) for name, records in sides.items()}
    decided = {
        name: decisions([*burdens(records, comparison.pathologies).values()])
        for name, records in sides.items()
    }
    tables = [
        Section("compared", "A against B", COMPARISON_CAPTION, comparison_text(rows)),
        *_agreement_sections(agreements),
        *_decision_sections(decided),
    ]
    write_csv(comparison_csv(rows), folder / "comparison.csv")
    write_csv(pairs_csv(comparison), folder / "patients.csv")
    text = captioned([(f"{one.title}. {one.caption}", one.table) for one in tables])
    write_text(f"{_heading(comparison)}\n\n{text}", folder / "comparison.md")
    write_json(_json(comparison, rows, agreements, decided), folder / "comparison.json")
    pictures = _plots(comparison, sides, agreements, folder)
    return write_report(
        folder,
        Report(
            title=f"{comparison.names[0]} against {comparison.names[1]}",
            lead=_heading(comparison),
            sections=tables,
            pictures=pictures,
            data=unmatched_text(comparison.unmatched),
            config=config or {},
            environment=environment(),
        ),
    )


def unmatched_text(unmatched: Unmatched) -> dict[str, str]:
    """Who could not be compared, name to ids."""
    names = {
        "only_a": "In A, not in the reference",
        "only_b": "In B, not in the reference",
        "without_a": "In the reference, not in A",
        "without_b": "In the reference, not in B",
        "undrawn": "In the reference, nothing drawn",
    }
    found = {names[key]: ", ".join(ids) for key, ids in unmatched._asdict().items() if ids}
    return found or {"Left out": "nobody"}


def _heading(comparison: Comparison) -> str:
    a, b = comparison.names
    return (
        f"A is {a}, B is {b}, both against the same expert, in the same "
        f"{len(comparison.patients)} patients."
    )


def _agreement_sections(agreements: Mapping[str, Sequence[Agreement]]) -> list[Section]:
    """The agreement of each side with the expert, below each other in one table."""
    texts = {name: agreement_text(own) for name, own in agreements.items()}
    return [_joined("agreement", "Agreement of volumes", AGREEMENT_CAPTION, texts)]


def _decision_sections(decided: Mapping[str, Sequence[Decision]]) -> list[Section]:
    texts = {name: decision_text(own) for name, own in decided.items()}
    joined = _joined("burden", "Scar by clinical thresholds", DECISION_CAPTION, texts)
    return [joined] if joined.table.rows else []


def _joined(id: str, title: str, caption: str, tables: Mapping[str, TextTable]) -> Section:
    """Tables of one kind below each other, their name in the first column."""
    header = next(iter(tables.values())).header
    rows = [(name, *row) for name, table in tables.items() for row in table.rows]
    return Section(
        id, title, f"{caption} Here “ours” is the tool's.", TextTable(("Tool", *header), rows)
    )


def _plots(
    comparison: Comparison,
    sides: Mapping[str, Sequence[ChallengeRecord]],
    agreements: Mapping[str, Sequence[Agreement]],
    folder: pathlib.Path,
) -> list[Picture]:
    pictures = []
    pairs = {name: dict(volume_pairs(records)) for name, records in sides.items()}
    for path in folder.glob("bland_altman_*.png"):
        path.unlink()  # those of an earlier comparison
    for structure in comparison.structures:
        name = CHALLENGE_NAMES[structure]
        panels = [
            Panel(side, pairs[side][structure], one)
            for side, own in agreements.items()
            for one in own
            if one.structure == structure
        ]
        path = folder / f"bland_altman_{structure}.png"
        bland_altman(panels, path, region=name, alike=True)
        caption = (
            f"{name}: tool less expert against the mean of both, a dot a patient; bias with its "
            "95% confidence interval, and limits of agreement; the four farthest outside are "
            "named. Where differences grow with the volume, the limits are too wide for small "
            "volumes and too narrow for large ones."
        )
        pictures.append(Picture(f"Bland-Altman: {name}", caption, path))
    return pictures


def _json(
    comparison: Comparison,
    rows: Sequence[ComparedRow],
    agreements: Mapping[str, Sequence[Agreement]],
    decided: Mapping[str, Sequence[Decision]],
) -> dict[str, Any]:
    """All numbers for programs, in base units; null where there is none."""
    return {
        "schema": "acsnet_jax.comparison",
        "schema_version": 1,
        "a": comparison.names[0],
        "b": comparison.names[1],
        "patients": comparison.patients,
        "unmatched": comparison.unmatched._asdict(),
        "rows": [
            {
                **row._asdict(),
                "expert": None if row.expert is None else row.expert._asdict(),
                "a": row.a._asdict(),
                "b": row.b._asdict(),
                "difference": row.difference._asdict(),
            }
            for row in rows
        ],
        "agreement": {
            side: [
                {
                    **one._asdict(),
                    "bias_ml": one.bias_ml._asdict(),
                    "concordance": one.concordance._asdict(),
                    "icc": one.icc._asdict(),
                }
                for one in own
            ]
            for side, own in zip("ab", agreements.values(), strict=True)
        },
        "decisions": {
            side: [
                {
                    "limit": one.limit,
                    "group": one.group,
                    **one.presence._asdict(),
                    "sensitivity": one.sensitivity._asdict(),
                    "specificity": one.specificity._asdict(),
                }
                for one in own
            ]
            for side, own in zip("ab", decided.values(), strict=True)
        },
    }
