"""Check the masks of any tool against the anatomical criteria: tables and a picture."""

import itertools
import logging
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool
from tqdm import tqdm

from acsnet_jax import anatomy, report
from acsnet_jax import bundle as bundles
from acsnet_jax.correction.corrector import check_stack
from acsnet_jax.io.masks import (
    LabelStack,
    check_labels_occur,
    label_files,
    mask_of,
    parse_labels,
    read_labels,
)
from acsnet_jax.training.settings import Config
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)
_SHOWN = 16
_SQUARE = 1.1  # largest aspect of a pixel that is taken as square


class Checked(NamedTuple):
    """What delta says of one file, one entry a slice in the file's own order.

    Attributes:
        name: of the file.
        empty: slices without a mask; they count neither as valid nor as failing.
        failed: which criteria each mask fails, in the order of `acsnet_jax.anatomy.CRITERIA`.
        measures: of each mask.
    """

    name: str
    empty: Bool[np.ndarray, "slices"]
    failed: Bool[np.ndarray, "slices criteria"]
    measures: anatomy.Anatomy

    @property
    def valid(self) -> Bool[np.ndarray, "slices"]:
        """Slices whose mask satisfies delta."""
        return ~self.empty & ~self.invalid

    @property
    def invalid(self) -> Bool[np.ndarray, "slices"]:
        """Slices whose mask does not."""
        return np.any(self.failed, axis=1)


class CriterionCount(NamedTuple):
    """How many masks fail one criterion.

    Attributes:
        criterion: its name.
        demand: what it asks of a mask.
        applies: to which masks: all, ring or open.
        slices: that fail it.
        share: of all slices with a mask, in [0, 1]; None if there is none.
        files: with such a slice.
    """

    criterion: str
    demand: str
    applies: str
    slices: int
    share: float | None
    files: int


def check(config: Config, workdir: pathlib.Path) -> list[Checked]:
    """Check the masks at ``config.input``; print one table, write it, its slices and a picture.

    A bad file does not stop the others.

    Returns:
        One entry a file.

    Raises:
        InputError: no input, labels or thresholds, or at the end, if a file could not be read.
    """
    files, labels = mask_files(config)
    thresholds = thresholds_of(config, labels)
    checked: list[Checked] = []
    violations: list[report.Violation] = []
    failed = []
    for name, path in tqdm(files.items(), desc="check", unit="file", disable=None):
        try:
            stack = read_labels(path, axis=config.axis)
            tell_geometry(stack, name, config.axis)
            found = check_labels(stack, labels, thresholds, name=name)
        except InputError as error:
            _LOG.error("%s: %s", name, error)
            failed.append(name)
            continue
        checked.append(found)
        _collect(violations, found, mask_of(stack.values, labels), stack)
    if checked:
        _write(checked, violations, thresholds, workdir)
    if failed:
        raise InputError(
            f"{len(failed)} of {len(files)} files could not be checked, for the reasons above: "
            + ", ".join(failed)
        )
    return checked


def mask_files(config: Config) -> tuple[dict[str, pathlib.Path], tuple[int, ...]]:
    """The files at ``config.input`` by name, and ``config.labels``.

    Raises:
        InputError: there is no input, or it holds none of the labels.
    """
    if not config.input:
        raise InputError("config.input is not set; give it with --config.input=PATH")
    files = label_files(config.input, pattern=config.pattern)
    labels = parse_labels(config.labels)
    check_labels_occur(files.values(), labels, axis=config.axis)
    return files, labels


def tell_geometry(stack: LabelStack, name: str, asked: int) -> None:
    """Say so where slices lie across another axis than the third, or pixels are not square."""
    if not asked and stack.axis != 3:
        _LOG.info(
            "%s: slices lie across axis %d, whose spacing of %.3g mm is the largest "
            "(--config.axis=3 for the third)",
            name,
            stack.axis,
            stack.distance_mm,
        )
    if max(stack.spacing_mm) > _SQUARE * min(stack.spacing_mm):
        _LOG.warning(
            "%s: pixels of %.3g x %.3g mm are not square; circularity is taken on the pixel grid, "
            "so that sound masks may fail it: resample the file first",
            name,
            *stack.spacing_mm,
        )


def thresholds_of(config: Config, labels: Sequence[int]) -> anatomy.Thresholds:
    """Those of a bundle, fitted to expert masks, or as given; logs which.

    Raises:
        InputError: both a bundle and expert masks are given, or one of them is bad.
    """
    given = anatomy.Thresholds(**config.thresholds.to_dict())
    if config.bundle and config.experts:
        raise InputError("config.bundle and config.experts are both set; give one of them")
    if config.bundle:
        _LOG.info("thresholds: those of %s", config.bundle)
        return anatomy.Thresholds(**bundles.provenance(config.bundle)["thresholds"])
    if not config.experts:
        _LOG.info("thresholds: config.thresholds")
        return given
    files = label_files(config.experts, pattern=config.pattern)
    check_labels_occur(files.values(), labels, axis=config.axis)
    parts = []
    for name, path in tqdm(files.items(), desc="fit", unit="file", disable=None):
        found = check_labels(read_labels(path, axis=config.axis), labels, given, name=name)
        drawn = ~found.empty
        parts.append(jax.tree.map(lambda leaf, drawn=drawn: leaf[drawn], found.measures))
    measures = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    _LOG.info("thresholds: fitted to %d slices of %s", len(measures.objects), config.experts)
    return anatomy.fit_bounds(
        measures,
        anatomy.CRITERIA,
        anatomy.Thresholds,
        coverage=config.coverage,
        gap_max_deg=given.gap_max_deg,
    )


def check_labels(
    stack: LabelStack, labels: Sequence[int], thresholds: anatomy.Thresholds, *, name: str
) -> Checked:
    """Check the slices of one file on their own grid.

    Args:
        stack: the file.
        labels: together the myocardium; none for all values above 0.
        thresholds: of delta.
        name: of the file.

    Raises:
        InputError: masks too large to measure.
    """
    masks = mask_of(stack.values, labels)
    empty = ~np.any(masks, axis=(1, 2))
    measures, failed = check_stack(masks, stack.spacing_mm, thresholds)
    return Checked(name, empty, failed & ~empty[:, None], measures)


def count_criteria(
    checked: Sequence[Checked], thresholds: anatomy.Thresholds
) -> list[CriterionCount]:
    """How many slices, and in how many files, fail each criterion."""
    drawn = sum(int((~one.empty).sum()) for one in checked)
    rows = []
    for index, criterion in enumerate(anatomy.CRITERIA):
        counts = [int(one.failed[:, index].sum()) for one in checked]
        rows.append(
            CriterionCount(
                criterion.name,
                _demand(criterion, thresholds),
                criterion.applies,
                sum(counts),
                sum(counts) / drawn if drawn else None,
                sum(count > 0 for count in counts),
            )
        )
    return rows


def _demand(criterion: anatomy.Criterion, thresholds: anatomy.Thresholds) -> str:
    sign = {"equal": "=", "lower": ">=", "upper": "<="}[criterion.bound]
    limit = criterion.limit
    limit = float(getattr(thresholds, limit)) if isinstance(limit, str) else limit
    return f"{criterion.measure} {sign} {limit:.4g}"


def _collect(
    violations: list[report.Violation],
    found: Checked,
    masks: Bool[np.ndarray, "slices height width"],
    stack: LabelStack,
) -> None:
    """Keep a few masks for each criterion, not all of a large cohort."""
    kept = [set(one.failed) for one in violations]
    counts = {c.name: sum(c.name in names for names in kept) for c in anatomy.CRITERIA}
    for index in np.flatnonzero(found.invalid):
        names = _names(found.failed[index])
        if any(counts[name] < _SHOWN for name in names):
            where = f"{found.name}, slice {index}"
            mask = masks[index].copy()
            violations.append(report.Violation(mask, stack.spacing_mm, where, names))
            for name in names:
                counts[name] += 1


def _names(failed: Bool[np.ndarray, "criteria"]) -> list[str]:
    return [c.name for c, fails in zip(anatomy.CRITERIA, failed, strict=True) if fails]


def _spread(violations: Sequence[report.Violation], count: int) -> list[report.Violation]:
    """So many of them, every criterion in its turn."""
    queues = [
        [index for index, one in enumerate(violations) if criterion.name in one.failed]
        for criterion in anatomy.CRITERIA
    ]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*queues))
    chosen = list(dict.fromkeys(index for index in turns if index is not None))[:count]
    return [violations[index] for index in sorted(chosen)]


def _write(
    checked: Sequence[Checked],
    violations: Sequence[report.Violation],
    thresholds: anatomy.Thresholds,
    workdir: pathlib.Path,
) -> None:
    """Tables on the terminal and in files, and the picture."""
    rows = count_criteria(checked, thresholds)
    shares = ("n/a" if row.share is None else f"{100 * row.share:.1f}%" for row in rows)
    shown = [
        (row.criterion, row.demand, row.applies, str(row.slices), share, str(row.files))
        for row, share in zip(rows, shares, strict=True)
    ]
    print(report.aligned(report.TextTable(CriterionCount._fields, shown)), end="")
    print("\n" + "\n".join(_totals(checked)))
    cells = [tuple("" if value is None else _cell(value) for value in row) for row in rows]
    report.write_csv(report.TextTable(CriterionCount._fields, cells), workdir / "criteria.csv")
    report.write_csv(_slices(checked), workdir / "slices.csv")
    picture = workdir / "violations.png"
    if violations:
        report.violations(_spread(violations, _SHOWN), picture)
    else:
        picture.unlink(missing_ok=True)  # that of an earlier check
    _LOG.info("%s has every slice%s", workdir, "; violations.png some" if violations else "")


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


def _slices(checked: Sequence[Checked]) -> report.TextTable:
    """One row a slice."""
    header = ("file", "slice_index", "empty", "valid", "failed", *anatomy.Anatomy._fields)
    rows = [
        tuple(
            _cell(value)
            for value in (
                one.name,
                index,
                bool(one.empty[index]),
                bool(one.valid[index]),
                "; ".join(_names(one.failed[index])),
                *(leaf[index].item() for leaf in one.measures),
            )
        )
        for one in checked
        for index in range(len(one.empty))
    ]
    return report.TextTable(header, rows)


def _cell(value: str | bool | int | float) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)
