"""Tables and the choice of pictures of label files held against the criteria."""

import itertools
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from acsnet_jax import anatomy
from acsnet_jax.correction.labels import FileSummary
from acsnet_jax.evaluation.label_files import Checked, CriterionCount, count_criteria, failed_names
from acsnet_jax.io.masks import LabelStack
from acsnet_jax.report.figures import Violation, violations
from acsnet_jax.report.tables import TextTable, aligned, plain, write_csv

_SHOWN = 16


def collect_violations(
    kept: list[Violation],
    found: Checked,
    masks: Bool[np.ndarray, "slices height width"],
    stack: LabelStack,
) -> None:
    """Keep a few masks for each criterion, not all of a large cohort.

    Args:
        kept: masks of earlier files; grows.
        found: what delta says of one file.
        masks: of that file.
        stack: the file.
    """
    failed = [set(one.failed) for one in kept]
    counts = {c.name: sum(c.name in names for names in failed) for c in anatomy.CRITERIA}
    for index in np.flatnonzero(found.invalid):
        names = failed_names(found.failed[index])
        if any(counts[name] < _SHOWN for name in names):
            where = f"{found.name}, slice {index + 1}"
            mask = masks[index].copy()
            kept.append(Violation(mask, stack.spacing_mm, where, names))
            for name in names:
                counts[name] += 1


def _spread(found: Sequence[Violation], count: int) -> list[Violation]:
    """So many of them, every criterion in its turn."""
    queues = [
        [index for index, one in enumerate(found) if criterion.name in one.failed]
        for criterion in anatomy.CRITERIA
    ]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*queues))
    chosen = list(dict.fromkeys(index for index in turns if index is not None))[:count]
    return [found[index] for index in sorted(chosen)]


def validity_text(checked: Sequence[Checked], thresholds: anatomy.Thresholds) -> str:
    """One row a criterion, and the totals, for the terminal."""
    rows = count_criteria(checked, thresholds)
    shares = ("n/a" if row.share is None else f"{100 * row.share:.1f}%" for row in rows)
    shown = [
        (row.criterion, row.demand, row.applies, str(row.slices), share, str(row.files))
        for row, share in zip(rows, shares, strict=True)
    ]
    table = aligned(TextTable(CriterionCount._fields, shown))
    return table + "\n" + "\n".join(_totals(checked)) + "\n"


def write_validity(
    checked: Sequence[Checked],
    kept: Sequence[Violation],
    thresholds: anatomy.Thresholds,
    folder: pathlib.Path,
) -> None:
    """Write ``criteria.csv``, ``slices.csv`` and, where a mask fails, ``violations.png``.

    Args:
        checked: what delta says of each file.
        kept: masks to choose the pictures from.
        thresholds: of delta.
        folder: to write to.
    """
    rows = count_criteria(checked, thresholds)
    cells = [tuple(map(plain, row)) for row in rows]
    write_csv(TextTable(CriterionCount._fields, cells), folder / "criteria.csv")
    write_csv(_slices(checked), folder / "slices.csv")
    picture = folder / "violations.png"
    if kept:
        violations(_spread(kept, _SHOWN), picture)
    else:
        picture.unlink(missing_ok=True)  # that of an earlier check


def corrections_table(summaries: Sequence[FileSummary]) -> TextTable:
    """One row a corrected file."""
    cells = [tuple(map(plain, row)) for row in summaries]
    return TextTable(FileSummary._fields, cells)


def _totals(checked: Sequence[Checked]) -> list[str]:
    slices = sum(len(one.empty) for one in checked)
    empty, valid = (sum(int(getattr(one, k).sum()) for one in checked) for k in ("empty", "valid"))
    drawn = slices - empty
    share = f" ({100 * valid / drawn:.1f}%)" if drawn else ""
    bad = sum(bool(one.invalid.any()) for one in checked)
    return [
        f"{slices} slices in {len(checked)} files: {empty} empty, {drawn} with a mask, of which "
        f"{valid} valid{share}",
        f"{bad} of {len(checked)} files have an invalid slice",
    ]


def _slices(checked: Sequence[Checked]) -> TextTable:
    """One row a slice."""
    header = ("file", "slice_index", "empty", "valid", "failed", *anatomy.Anatomy._fields)
    rows = [
        tuple(
            plain(value)
            for value in (
                one.name,
                index,
                bool(one.empty[index]),
                bool(one.valid[index]),
                "; ".join(failed_names(one.failed[index])),
                *(leaf[index].item() for leaf in one.measures),
            )
        )
        for one in checked
        for index in range(len(one.empty))
    ]
    return TextTable(header, rows)
