"""Scar rules and no-reflow against the experts' infarcts of a cohort.

    python -m benchmarks.scar_rules --format=emidec --root=EMIDEC

A table for each setting (`acsnet_jax.evaluation.scar_rules`): Dice, bias and error of volumes over
the patients with an infarct, how often rule and expert agree on more than 15% of the LV's mass, and
what a rule makes up in patients without. Writes ``scar_rules.json`` under ``--out``.
"""

import pathlib
from typing import Any

from absl import app, flags

from acsnet_jax.evaluation.scar_rules import (
    SETTINGS,
    NoReflowRecord,
    RuleRow,
    compare_no_reflow,
    compare_rules,
    rule_rows,
)
from acsnet_jax.evaluation.summary import Summary
from acsnet_jax.files import write_json
from benchmarks import cohorts, record

_FORMAT = flags.DEFINE_string("format", "phantom", "Of the cohort, as config.data.format.")
_ROOT = flags.DEFINE_string("root", None, "The cohort's folder.")
_PATIENTS = flags.DEFINE_integer("patients", 20, "Number of phantoms.")
flags.declare_key_flag("out")

_HEADER = ("rule", "Dice", "bias mL", "SD mL", "error mL", "bias % MYO", "15% alike", "healthy mL")


def main(argv: list[str]) -> None:
    del argv
    scans = cohorts.read(_FORMAT.value, _ROOT.value, patients=_PATIENTS.value)
    results: dict[str, Any] = {}
    for setting in SETTINGS:
        records = [one for scan in scans for one in compare_rules(scan, setting)]
        rows = rule_rows(records)
        print(
            f"\n{setting}: {rows[0].dice.n} patients with infarct, {rows[0].healthy_ml.n} without"
        )
        record.print_table(_HEADER, [_shown(row) for row in rows])
        results[setting] = [one._asdict() for one in records]
    cores = [one for one in map(compare_no_reflow, scans) if one.found_ml is not None]
    print("\nno-reflow, given the expert's infarct")
    header = ("patients with", "found", "without", "false", "truth mL", "ours mL", "Dice of all")
    record.print_table(header, [_no_reflow(cores)])
    results["no_reflow"] = [one._asdict() for one in cores]
    write_json(results, pathlib.Path(record.OUT.value or "runs/scar_rules") / "scar_rules.json")


def _shown(row: RuleRow) -> tuple[str, ...]:
    alike = f"{row.decides_alike}/{row.dice.counted}"
    spread = "n/a" if row.spread_ml is None else f"{row.spread_ml:.1f}"
    return (
        row.rule,
        _mean(row.dice, 3),
        _mean(row.bias_ml, 1),
        spread,
        _mean(row.error_ml, 1),
        _mean(row.bias_share, 1, scale=100.0),
        alike,
        _mean(row.healthy_ml, 1),
    )


def _mean(summary: Summary, digits: int, *, scale: float = 1.0) -> str:
    return "n/a" if summary.mean is None else f"{scale * summary.mean:.{digits}f}"


def _no_reflow(records: list[NoReflowRecord]) -> tuple[str, ...]:
    has = [one for one in records if one.truth_ml]
    none = [one for one in records if not one.truth_ml]
    truth, ours, both = (
        sum(getattr(one, name) or 0.0 for one in records)
        for name in ("truth_ml", "found_ml", "shared_ml")
    )
    return (
        str(len(has)),
        str(sum(bool(one.found_ml) for one in has)),
        str(len(none)),
        str(sum(bool(one.found_ml) for one in none)),
        f"{truth:.1f}",
        f"{ours:.1f}",
        f"{2 * both / (truth + ours):.2f}" if truth + ours else "n/a",
    )


if __name__ == "__main__":
    app.run(main)
