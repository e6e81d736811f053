"""Evaluation records, tables, figures and the HTML report of a study."""

from acsnet_jax.report.certificates import Certificate, certificates, certificates_of
from acsnet_jax.report.damage import (
    AlreadyValid,
    DamageExample,
    DamageGain,
    DamageScore,
    DamageStudy,
    damage_curves,
    damage_examples,
    damage_summary,
    write_damage,
)
from acsnet_jax.report.evaluation import Evaluation, evaluate, evaluate_scan
from acsnet_jax.report.figures import (
    Violation,
    cohort,
    corrections,
    figure4,
    montage,
    overlay,
    violations,
    worst_case,
)
from acsnet_jax.report.html import (
    DATASET_CITATIONS,
    Picture,
    Report,
    Target,
    environment,
    write_report,
)
from acsnet_jax.report.plots import figure2, figure3, figure5, training_curves
from acsnet_jax.report.tables import TextTable, aligned, slices_table, write_csv, write_tables

__all__ = [
    "DATASET_CITATIONS",
    "AlreadyValid",
    "Certificate",
    "DamageExample",
    "DamageGain",
    "DamageScore",
    "DamageStudy",
    "Evaluation",
    "Picture",
    "Report",
    "Target",
    "TextTable",
    "Violation",
    "aligned",
    "certificates",
    "certificates_of",
    "cohort",
    "corrections",
    "damage_curves",
    "damage_examples",
    "damage_summary",
    "environment",
    "evaluate",
    "evaluate_scan",
    "figure2",
    "figure3",
    "figure4",
    "figure5",
    "montage",
    "overlay",
    "slices_table",
    "training_curves",
    "violations",
    "worst_case",
    "write_csv",
    "write_damage",
    "write_report",
    "write_tables",
]
