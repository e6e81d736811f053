"""The gate as text: each patient's verdict and signs, and how well each sign ranks errors."""

import pathlib
from collections.abc import Sequence

from acsnet_jax.clinical import Signs
from acsnet_jax.evaluation.gate_study import GateRecord, Ranking, rankings
from acsnet_jax.files import write_text
from acsnet_jax.report.tables import TextTable, captioned, plain, write_csv

SIGN_NAMES = {
    "wall_confidence": "Dice to be expected of the wall",
    "scar_confidence": "Dice to be expected of the scar",
    "left_out_ml": "Likely enhancement not called scar (mL)",
    "changed_share": "Share of the wall that stage 3 changed",
    "lost_share": "Share of slices lost",
    "shift_mm": "Largest shift between slices (mm)",
    "contrast": "Blood over wall (SD)",
}
RANKING_CAPTION = (
    "Rank correlation (Spearman) between what the gate looks at and Dice in 3-D, 1 if they order "
    "patients alike; and how many of the worst tenth are among the fifth trusted least."
)
VERDICT_CAPTION = "What the gate says of each patient, worst wall first."
_STRUCTURES = {"myocardium": "MYO", "enhancement": "Infarct, where drawn"}


def ranking_text(found: Sequence[Ranking]) -> TextTable:
    """How well each sign ranks errors, for readers."""
    header = ("Sign", "Dice of", "Patients", "Correlation", "Worst tenth caught")
    return TextTable(
        header,
        [
            (
                SIGN_NAMES[one.sign],
                _STRUCTURES[one.structure],
                str(one.patients),
                "n/a" if one.correlation is None else f"{one.correlation:+.2f}",
                f"{one.caught:.2g} of {one.worst}",
            )
            for one in found
        ],
    )


def verdict_text(records: Sequence[GateRecord]) -> TextTable:
    """Each patient's verdict with its reasons, for readers."""
    header = ("Patient", "Verdict", "MYO Dice", "Infarct Dice", "Reasons")
    return TextTable(
        header,
        [
            (
                one.scan_id,
                one.judgement.verdict,
                f"{one.myocardium:.3f}",
                "n/a" if one.enhancement is None else f"{one.enhancement:.3f}",
                "; ".join(one.judgement.reasons),
            )
            for one in sorted(records, key=lambda record: record.myocardium)
        ],
    )


def gate_csv(records: Sequence[GateRecord]) -> TextTable:
    """Verdict, signs and Dice in base units, a row each; empty where a sign cannot be had."""
    header = ("scan_id", "verdict", *Signs._fields, "myocardium_dice", "enhancement_dice")
    return TextTable(
        header,
        [
            (
                one.scan_id,
                one.judgement.verdict,
                *(plain(value) for value in one.judgement.signs),
                plain(one.myocardium),
                plain(one.enhancement),
            )
            for one in records
        ],
    )


def gate_tables(records: Sequence[GateRecord]) -> list[tuple[str, TextTable]]:
    """How well each sign ranks errors, and each patient's verdict, each with its caption."""
    return [
        (RANKING_CAPTION, ranking_text(rankings(records))),
        (VERDICT_CAPTION, verdict_text(records)),
    ]


def write_gate(records: Sequence[GateRecord], folder: pathlib.Path) -> None:
    """Write ``gate.md`` for readers and ``gate.csv``, a row a patient."""
    write_csv(gate_csv(records), folder / "gate.csv")
    write_text(captioned(gate_tables(records)), folder / "gate.md")
