"""Cohort preparation: validate every scan, write the store, and say in one table what is there."""

import dataclasses
import logging
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np
from tqdm import tqdm

from acsnet_jax.io.cohort import Format, iter_cohort
from acsnet_jax.io.stack import SliceOrder, one_line
from acsnet_jax.io.store import stored_scans, write_scan
from acsnet_jax.types import InputError, Label, Modality, Scan

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Row:
    """One scan of a cohort's table.

    Attributes:
        id: the scan's id, or its name in the cohort if it could not be read.
        modality: "lge" or "cine"; "" if it could not be read.
        slices: number of slices.
        labelled: number of labelled slices.
        enhanced: number of labelled slices with enhancement; None if the labels do not tell it.
        size: (height, width).
        spacing_mm: (row, column).
        distance_mm: (smallest, largest) distance of slices; (0, 0) with one slice.
        oriented: whether the patient's orientation is known.
        problems: what a user should know.
        error: why the scan was left out; "" if it was not.
    """

    id: str
    modality: str = ""
    slices: int = 0
    labelled: int = 0
    enhanced: int | None = None
    size: tuple[int, int] = (0, 0)
    spacing_mm: tuple[float, float] = (0.0, 0.0)
    distance_mm: tuple[float, float] = (0.0, 0.0)
    oriented: bool = False
    problems: tuple[str, ...] = ()
    error: str = ""


def describe(scans: Iterable[Scan | tuple[str, InputError]]) -> list[Row]:
    """A row for each scan; one that could not be read is given as (name, error)."""
    return [
        describe_scan(item) if isinstance(item, Scan) else Row(item[0], error=one_line(item[1]))
        for item in scans
    ]


def describe_scan(scan: Scan) -> Row:
    """The row of one scan."""
    enhanced = None
    if scan.labels is not None and scan.has_enhancement:
        enhanced = int((scan.labels >= Label.ENHANCEMENT).any(axis=(1, 2)).sum())
    gaps = np.diff(scan.positions_mm)
    return Row(
        id=scan.id,
        modality=scan.modality,
        slices=len(scan.image),
        labelled=int(scan.labelled.sum()),
        enhanced=enhanced,
        size=(scan.image.shape[1], scan.image.shape[2]),
        spacing_mm=scan.spacing_mm,
        distance_mm=(float(gaps.min()), float(gaps.max())) if gaps.size else (0.0, 0.0),
        oriented=scan.oriented,
        problems=scan.problems,
    )


def format_table(rows: Iterable[Row]) -> str:
    """Rows as text: a line a scan, then the cohort as a whole, then problems and errors."""
    rows = list(rows)
    good = [row for row in rows if not row.error]
    header = ("id", "modality", "slices", "labelled", "enhanced", "size", "spacing mm", "gap mm")
    cells = [(*header, "problems"), *(_cells(row) for row in rows)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    lines += ["", *_summary(good, len(rows))]
    found: dict[str, list[str]] = {}
    for row in good:
        for problem in row.problems:
            found.setdefault(problem, []).append(row.id)
    for problem, ids in found.items():
        lines.append(f"{', '.join(ids) if len(ids) <= 3 else f'{len(ids)} scans'}: {problem}")
    lines += [f"{row.id}: LEFT OUT: {row.error}" for row in rows if row.error]
    return "\n".join(lines) + "\n"


def prepare(
    root: str | pathlib.Path,
    fmt: Format,
    out: str | pathlib.Path,
    *,
    modality: Modality | None = None,
    slice_order: SliceOrder = "auto",
    label_map: Mapping[int, int] | None = None,
    key: str | pathlib.Path | None = None,
    progress: bool = False,
) -> list[Row]:
    """Reads a cohort, writes each good scan to the store ``out``, and describes all of them.

    Scans that cannot be read are left out, and their rows say why. A re-run replaces scans whole; a
    warning names those in the store that it did not write.

    Args:
        root: the cohort's folder.
        fmt: its format.
        out: the store's folder.
        modality: as of `iter_cohort`.
        slice_order: as of `iter_cohort`.
        label_map: as of `iter_cohort`.
        key: as of `iter_cohort`.
        progress: whether to show a progress bar.

    Returns:
        One row a scan; `format_table` prints them.

    Raises:
        InputError: no scan of the cohort can be read, or a bad key.
    """
    loaders = iter_cohort(
        root, fmt, modality=modality, slice_order=slice_order, label_map=label_map, key=key
    )
    rows: list[Row] = []
    seen: dict[str, str] = {}
    for name, load in tqdm(loaders, desc="preparing", unit="scan", disable=not progress):
        try:
            scan = load()
            if scan.id in seen:
                raise InputError(f"{name}: has the id {scan.id}, as {seen[scan.id]}: remove one")
            seen[scan.id] = name
            write_scan(scan, out)
            rows += describe([scan])
        except InputError as error:
            rows += describe([(name, error)])
    if not seen:
        raise InputError(f"{root}: none of {len(rows)} scans can be read: {rows[0].error}")
    others = [path.name for path in stored_scans(pathlib.Path(out)) if path.name not in seen]
    if others:
        _LOG.warning(
            "%s also holds scans that are not of this run, and that training on it will take: %s; "
            "remove their folders unless they belong there",
            out,
            ", ".join(others),
        )
    return rows


def _cells(row: Row) -> tuple[str, ...]:
    if row.error:
        return (row.id, *("-" for _ in range(7)), "left out")
    low, high = row.distance_mm
    return (
        row.id,
        row.modality,
        str(row.slices),
        str(row.labelled),
        "-" if row.enhanced is None else str(row.enhanced),
        f"{row.size[0]} x {row.size[1]}",
        f"{row.spacing_mm[0]:.3f} x {row.spacing_mm[1]:.3f}",
        f"{low:.2f}" if high - low < 0.01 else f"{low:.2f}-{high:.2f}",
        str(len(row.problems)) if row.problems else "",
    )


def _summary(good: list[Row], count: int) -> list[str]:
    told = [row for row in good if row.enhanced is not None]
    lines = [
        f"patients            {len(good)} of {count}",
        f"slices              {sum(row.slices for row in good)}",
        f"labelled slices     {sum(row.labelled for row in good)}"
        f" in {sum(row.labelled > 0 for row in good)} patients",
        f"with enhancement    {sum(row.enhanced or 0 for row in told)} slices"
        f" in {sum((row.enhanced or 0) > 0 for row in told)} of {len(told)} patients"
        " whose labels tell it",
    ]
    if good:
        spacings = [s for row in good for s in row.spacing_mm]
        gaps = [g for row in good for g in row.distance_mm if g > 0]
        lines.append(f"spacing             {min(spacings):.3f} to {max(spacings):.3f} mm")
        if gaps:
            lines.append(f"slice distance      {min(gaps):.2f} to {max(gaps):.2f} mm")
    problems = sum(len(row.problems) for row in good)
    lines.append(f"problems            {problems}, {count - len(good)} scans left out")
    return lines
