"""An assessment as tables for statisticians, and the scar rules side by side as pictures.

CSV keeps base units (mm, mm^2, mL, g, fractions of 1); a cell without a value is empty, and the
last column, ``not_available``, gives the reasons as ``field: reason`` parted by semicolons.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from acsnet_jax.clinical import (
    STUDY,
    Assessment,
    RuleFeatures,
    SegmentFeatures,
    SliceFeatures,
    json_of,
    predicted_regions,
)
from acsnet_jax.files import write_json
from acsnet_jax.report import drawing
from acsnet_jax.report.bullseye import bullseyes
from acsnet_jax.report.tables import TextTable, plain, write_csv
from acsnet_jax.types import Segmentation

FEATURES_FILE = "features.json"
"""Of a study's folder."""

SCHEMA = "acsnet_jax.features"
SCHEMA_VERSION = 2
"""Of ``features.json``; 1 held the first eleven fields alone. Fields may be added within one."""

_PANEL_INCHES = 1.9
_COLUMNS = 6


def write_assessment(
    assessment: Assessment,
    segmentation: Segmentation,
    folder: pathlib.Path,
) -> None:
    """Write ``features.json``, three tables and two pictures.

    Args:
        assessment: of the segmentation.
        segmentation: for the pictures.
        folder: where ``slices.csv``, ``segments.csv``, ``scar_rules.csv``, ``bullseye.png`` and
            ``scar_rules.png`` go.
    """
    scan_id = segmentation.scan.id
    schema = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "scan_id": scan_id,
        "image_sha256": segmentation.scan.digest,
    }
    write_json({**schema, **json_of(assessment)}, folder / FEATURES_FILE)
    write_csv(records_table(scan_id, assessment.slices), folder / "slices.csv")
    write_csv(records_table(scan_id, assessment.segments), folder / "segments.csv")
    write_csv(records_table(scan_id, assessment.rules), folder / "scar_rules.csv")
    bullseyes(assessment, folder / "bullseye.png", title=scan_id)
    rule_strip(assessment, segmentation, folder / "scar_rules.png")


def records_table(
    scan_id: str,
    records: Sequence[SliceFeatures] | Sequence[SegmentFeatures] | Sequence[RuleFeatures],
) -> TextTable:
    """Records of one kind as a table, one a row, with the scan's id before them.

    Raises:
        InputError: there is no record.
    """
    drawing.check_not_empty(len(records), scan_id)
    table = TextTable(("scan_id", *records[0]._fields), [])
    for record in records:
        table.rows.append((scan_id, *(_cell(value) for value in record)))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {reason}" for name, reason in value.items())
    if isinstance(value, tuple):
        return " ".join(str(one) for one in value)
    return plain(value)


@mpl.rc_context(drawing.STYLE)
def rule_strip(assessment: Assessment, segmentation: Segmentation, path: pathlib.Path) -> None:
    """Draw the slice with the most infarct once a rule, the study's own first.

    Args:
        assessment: of the segmentation.
        segmentation: its picture.
        path: picture to write; the suffix gives the format.
    """
    scan, regions = segmentation.scan, predicted_regions(segmentation)
    marked = np.zeros(len(scan.image), int)
    for mask in assessment.masks.values():
        marked = np.maximum(marked, mask.sum(axis=(1, 2)))
    if not marked.any():
        marked = regions.myocardium.sum(axis=(1, 2))
    index = int(np.argmax(marked))
    view = drawing.view_of(scan, [regions])
    count = len(assessment.rules)
    rows = -(-count // _COLUMNS)
    figure = Figure((_PANEL_INCHES * _COLUMNS, (_PANEL_INCHES + 0.42) * rows + 0.6), layout="tight")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for axes, rule in zip(grid.flat, assessment.rules, strict=False):
        drawing.draw_slice(axes, scan.image[index], view)
        mask = assessment.masks.get(rule.rule)
        if mask is not None:
            drawing.fill(axes, mask[index][view.box], drawing.CORE, alpha=0.35)
        drawing.draw_outline(axes, regions.blood_pool[index][view.box], drawing.CAVITY, width=0.7)
        drawing.draw_outline(axes, regions.myocardium[index][view.box], drawing.WALL, width=0.9)
        burden = "n/a" if rule.fraction is None else f"{100 * rule.fraction:.1f}% of LV mass"
        axes.set_title(
            f"{rule.name}\n{burden}",
            fontsize=7.5,
            fontweight="bold" if rule.rule == STUDY else "normal",
        )
    figure.suptitle(f"{scan.id}, slice {index + 1}: {_verdict(assessment)}", fontsize=9)
    drawing.save(figure, path, crop=False)


def _verdict(assessment: Assessment) -> str:
    """The spread of the rules in words."""
    spread = assessment.spread
    if spread.lowest_fraction is None or spread.highest_fraction is None:
        return f"rules cannot be compared ({spread.not_available['lowest_fraction']})"
    low, high = 100 * spread.lowest_fraction, 100 * spread.highest_fraction
    flips = "depends on the rule" if spread.over_15_percent_flips else "does not depend on it"
    return f"infarct {low:.1f} to {high:.1f}% of LV mass by rule; whether it exceeds 15% {flips}"
