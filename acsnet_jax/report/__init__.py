"""Tables, figures and the HTML report of a study."""

from acsnet_jax.report.damage import (
    damage_curves,
    damage_examples,
    damage_summary,
    write_damage,
)
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
from acsnet_jax.report.validity import collect_violations, validity_text, write_validity

__all__ = [
    "DATASET_CITATIONS",
    "Picture",
    "Report",
    "Target",
    "TextTable",
    "Violation",
    "aligned",
    "cohort",
    "collect_violations",
    "corrections",
    "damage_curves",
    "damage_examples",
    "damage_summary",
    "environment",
    "figure2",
    "figure3",
    "figure4",
    "figure5",
    "montage",
    "overlay",
    "slices_table",
    "training_curves",
    "validity_text",
    "violations",
    "worst_case",
    "write_csv",
    "write_damage",
    "write_report",
    "write_tables",
    "write_validity",
]
