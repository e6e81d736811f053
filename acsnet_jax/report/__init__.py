"""Evaluation records, tables, figures and the HTML report of a study."""

from acsnet_jax.report.certificates import Certificate, certificates
from acsnet_jax.report.evaluation import Evaluation, evaluate, evaluate_scan
from acsnet_jax.report.figures import cohort, corrections, figure4, montage, overlay, worst_case
from acsnet_jax.report.html import (
    DATASET_CITATIONS,
    Picture,
    Report,
    Target,
    environment,
    write_report,
)
from acsnet_jax.report.plots import figure2, figure3, figure5, training_curves
from acsnet_jax.report.tables import slices_table, write_csv, write_tables

__all__ = [
    "DATASET_CITATIONS",
    "Certificate",
    "Evaluation",
    "Picture",
    "Report",
    "Target",
    "certificates",
    "cohort",
    "corrections",
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
    "worst_case",
    "write_csv",
    "write_report",
    "write_tables",
]
