"""Pictures of scans: overlays, montage, worst patient, cine-to-LGE steps, masks that fail.

Conventions of drawing are in `acsnet_jax.report.drawing`; the plots of numbers in
`acsnet_jax.report.plots`. Stacks are ``[slices, height, width]``, apex first.
"""

import pathlib
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acsnet_jax.clinical import Regions, predicted_regions, reference_regions
from acsnet_jax.evaluation.summary import SCAR, SliceRecord, Structure, worst_scan
from acsnet_jax.metrics import dice
from acsnet_jax.report import drawing
from acsnet_jax.report.tables import STRUCTURE_NAMES
from acsnet_jax.synthesis.cine_to_lge import ConversionSteps
from acsnet_jax.types import InputError, Route, Scan, Segmentation, Spacing

_PANEL_INCHES = 1.75
_MAX_COLUMNS = 6


def _expert(scan: Scan) -> Regions | None:
    return reference_regions(scan) if scan.labelled.any() else None


@mpl.rc_context(drawing.STYLE)
def overlay(segmentation: Segmentation, path: pathlib.Path, *, title: str | None = None) -> None:
    """Draw every slice of a scan, apex first: the image, the expert if there is one, and ours.

    Args:
        segmentation: what to draw.
        path: picture to write; the suffix gives the format.
        title: heading; the scan's id by default.
    """
    scan, ours = segmentation.scan, predicted_regions(segmentation)
    expert = _expert(scan)
    view = drawing.view_of(scan, [ours] if expert is None else [ours, expert])
    names = ("image", "ours") if expert is None else ("image", "expert", "ours")
    slices = len(scan.image)
    blocks = -(-slices // _MAX_COLUMNS)
    columns = -(-slices // blocks)
    rows = len(names)
    figure = Figure(
        (_PANEL_INCHES * columns + 0.3, (_PANEL_INCHES * rows + 0.25) * blocks + 0.6),
        layout="compressed",
    )
    grid = figure.subplots(rows * blocks, columns, squeeze=False)
    agreement = None if expert is None else _agreement(ours, expert)
    for index in range(blocks * columns):
        block, column = divmod(index, columns)
        panels = grid[rows * block : rows * (block + 1), column]
        if column == 0:
            for axes, name in zip(panels, names, strict=True):
                axes.set_ylabel(name)
        if index >= slices:
            for axes in panels:
                axes.set_axis_off()
            continue
        for axes in panels:
            drawing.draw_slice(axes, scan.image[index], view)
        drawing.draw_regions(panels[-1], ours, index, view)
        panels[0].set_title(_slice_title(segmentation, index), pad=3)
        notes = [] if segmentation.kept[index] else [_why_empty(segmentation, index)]
        if expert is not None and agreement is not None:
            if scan.labelled[index]:
                drawing.draw_regions(panels[1], expert, index, view)
                notes.append(agreement[index])
            else:
                _note(panels[1], "not labelled")
        if notes:
            _note(panels[-1], ", ".join(notes))
    heading = f"{scan.id}, {scan.modality}" if title is None else title
    figure.suptitle(heading, fontweight="bold")
    _legend(figure)
    drawing.save(figure, path, crop=False)


def _agreement(ours: Regions, expert: Regions) -> list[str]:
    """Dice of each slice in words; of scar only where there is any."""
    notes = [f"MYO Dice {d:.2f}" for d in np.asarray(dice(ours.myocardium, expert.myocardium))]
    if ours.enhancement is None or expert.enhancement is None:
        return notes
    scores = np.asarray(dice(ours.enhancement, expert.enhancement))
    either = np.any(ours.enhancement | expert.enhancement, axis=(1, 2))
    for index in np.flatnonzero(either):
        notes[index] += f", scar {scores[index]:.2f}"
    return notes


def _why_empty(segmentation: Segmentation, index: int) -> str:
    lost = segmentation.certificates and segmentation.certificates[index].route is Route.LOST
    return "lost" if lost else "outside the LV"


def _slice_title(segmentation: Segmentation, index: int) -> str:
    height = segmentation.scan.positions_mm[index] - segmentation.scan.positions_mm[0]
    end = drawing.end_of_stack(index, len(segmentation.scan.image))
    return f"{index + 1}: {f'{end}, ' if end else ''}{height:.0f} mm"


def _note(axes: Axes, text: str) -> None:
    axes.text(
        0.03,
        0.03,
        text,
        transform=axes.transAxes,
        color="white",
        fontsize=7,
        bbox={"facecolor": "black", "alpha": 0.5, "edgecolor": "none", "pad": 1.2},
    )


def _legend(figure: Figure) -> None:
    figure.legend(
        handles=drawing.legend_handles(), loc="outside lower center", ncols=3, frameon=False
    )


@mpl.rc_context(drawing.STYLE)
def montage(segmentations: Sequence[Segmentation], path: pathlib.Path) -> None:
    """Draw patients (rows) at apex, middle and base: image, expert and ours of each.

    Without labels the expert's column is left out for all.

    Args:
        segmentations: one a row.
        path: picture to write.

    Raises:
        InputError: there is nothing to draw.
    """
    drawing.check_not_empty(len(segmentations), "montage")
    labelled = any(segmentation.scan.labelled.any() for segmentation in segmentations)
    names = ("image", "expert", "ours") if labelled else ("image", "ours")
    width = len(names)
    figure = Figure(
        (_PANEL_INCHES * 3 * width, _PANEL_INCHES * len(segmentations) + 0.8), layout="constrained"
    )
    layout = figure.add_gridspec(1, 3, wspace=0.02)
    for column, location in enumerate(("Apex", "Middle", "Base")):
        group = figure.add_subfigure(layout[0, column])
        group.suptitle(location, fontweight="bold")
        grid = group.subplots(
            len(segmentations), width, squeeze=False, gridspec_kw={"wspace": 0.02, "hspace": 0.02}
        )
        for axes, name in zip(grid[0], names, strict=True):
            axes.set_title(name, pad=3)
        for panels, segmentation in zip(grid, segmentations, strict=True):
            shown = _heart_slices(segmentation)
            index = int(shown[(2 * column + 1) * len(shown) // 6])
            _draw_row(panels, segmentation, index)
            if column == 0:
                panels[0].set_ylabel(segmentation.scan.id, fontsize=8)
    _legend(figure)
    drawing.save(figure, path)


@mpl.rc_context(drawing.STYLE)
def cohort(scans: Sequence[Scan], path: pathlib.Path, *, columns: int = 6) -> None:
    """Draw scans (rows) with what their experts drew, at slices from apex to base.

    Args:
        scans: one a row; without labels only the image is seen.
        path: picture to write.
        columns: slices shown of each scan.

    Raises:
        InputError: there is nothing to draw.
    """
    drawing.check_not_empty(len(scans), "cohort")
    figure = Figure(
        (_PANEL_INCHES * columns, _PANEL_INCHES * len(scans) + 0.6), layout="constrained"
    )
    grid = figure.subplots(
        len(scans), columns, squeeze=False, gridspec_kw={"wspace": 0.02, "hspace": 0.02}
    )
    for panels, scan in zip(grid, scans, strict=True):
        expert = _expert(scan)
        view = drawing.view_of(scan, [] if expert is None else [expert])
        shown = np.linspace(0, len(scan.image) - 1, columns).round().astype(int)
        for axes, index in zip(panels, shown, strict=True):
            drawing.draw_slice(axes, scan.image[index], view)
            if expert is not None and scan.labelled[index]:
                drawing.draw_regions(axes, expert, int(index), view)
            else:
                _note(axes, "not labelled")
        panels[0].set_ylabel(f"{scan.id} ({scan.modality})", fontsize=8)
    grid[0][0].set_title("apex", loc="left")
    grid[0][-1].set_title("base", loc="right")
    _legend(figure)
    drawing.save(figure, path)


def _heart_slices(segmentation: Segmentation) -> np.ndarray:
    """Indices of the slices worth showing: those labelled, else those with LV, else all."""
    scan = segmentation.scan
    for chosen in (scan.labelled, segmentation.lv.any(axis=(1, 2))):
        if chosen.any():
            return np.flatnonzero(chosen)
    return np.arange(len(scan.image))


def _draw_row(panels: np.ndarray, segmentation: Segmentation, index: int) -> None:
    """Image, expert (if there are three panels) and ours, of one slice."""
    scan, ours = segmentation.scan, predicted_regions(segmentation)
    expert = _expert(scan)
    view = drawing.view_of(scan, [ours] if expert is None else [ours, expert])
    for axes in panels:
        drawing.draw_slice(axes, scan.image[index], view)
    drawing.draw_regions(panels[-1], ours, index, view)
    if len(panels) == 3:
        if expert is not None and scan.labelled[index]:
            drawing.draw_regions(panels[1], expert, index, view)
        else:
            _note(panels[1], "not labelled")


def worst_case(
    segmentations: Sequence[Segmentation],
    records: Sequence[SliceRecord],
    path: pathlib.Path,
    *,
    structure: Structure = "myocardium",
) -> str | None:
    """Draw the overlay of the patient with the lowest mean Dice of a structure.

    Of scar only slices count on which the expert drew some: empty slices tell nothing of it.

    Args:
        segmentations: the patients that were evaluated.
        records: their slice records.
        path: picture to write.
        structure: whose Dice.

    Returns:
        The id of that patient; None, and no picture, if no expert drew the structure.

    Raises:
        InputError: there are no records, or the patient is not among the segmentations.
    """
    drawing.check_not_empty(len(records), "worst case")
    measure = "dice_where_drawn" if structure in SCAR else "dice"
    found = worst_scan(records, structure=structure, measure=measure)
    if found is None:
        return None
    worst, score = found
    name = STRUCTURE_NAMES[structure]
    for segmentation in segmentations:
        if segmentation.scan.id == worst:
            overlay(segmentation, path, title=f"Lowest {name} Dice: {worst}, {score:.2f}")
            return worst
    raise InputError(f"worst case: scan {worst} has records but no segmentation: give both")


@mpl.rc_context(drawing.STYLE)
def figure4(
    steps: ConversionSteps,
    spacing_mm: Spacing,
    path: pathlib.Path,
    *,
    index: int | None = None,
) -> None:
    """Draw the five steps from cine to an LGE-like slice (paper, figure 4).

    Args:
        steps: what `acsnet_jax.synthesis.cine_to_lge.conversion_steps` returns.
        spacing_mm: (row, column) distance of pixel centres in mm.
        path: picture to write.
        index: slice to draw; by default the one with the most pseudo-scar.
    """
    if index is None:
        index = int(np.argmax(np.count_nonzero(steps.eroded, axis=(1, 2))))
    panels = (
        ("1  Cine, CLAHE", steps.equalised, None),
        ("2  Pseudo-scar sampled", steps.equalised, steps.pseudo_scar),
        ("3  Eroded, blurred, overlaid", steps.overlaid, None),
        ("4  Speckle", steps.speckled, None),
        ("5  Histogram of an LGE scan", steps.matched, None),
    )
    box = drawing.crop_box([steps.pseudo_scar], spacing_mm, margin_mm=55.0)
    figure = Figure((11.0, 2.5), layout="compressed")
    for axes, (title, image, mask) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        shown = image[index][box]
        black, white = (float(value) for value in np.percentile(shown, (0.5, 99.7)))
        view = drawing.View(box, black, max(white, black + 1e-6), spacing_mm[0] / spacing_mm[1])
        drawing.draw_slice(axes, image[index], view)
        axes.set_title(title, loc="left", fontsize=8)
        if mask is not None:
            drawing.fill(axes, mask[index][box], drawing.GRAY_ZONE, alpha=0.75)
    drawing.save(figure, path)


class Violation(NamedTuple):
    """A mask that fails delta.

    Attributes:
        mask: one slice.
        spacing_mm: (row, column) distance of pixel centres in mm.
        where: file and slice.
        failed: names of the criteria that it fails.
    """

    mask: Bool[np.ndarray, "height width"]
    spacing_mm: Spacing
    where: str
    failed: Sequence[str]


@mpl.rc_context(drawing.STYLE)
def violations(found: Sequence[Violation], path: pathlib.Path, *, columns: int = 4) -> None:
    """Draw masks that fail delta, each with what it fails.

    Args:
        found: one a panel.
        path: picture to write.
        columns: panels in a row, at most.

    Raises:
        InputError: there is nothing to draw.
    """
    drawing.check_not_empty(len(found), "violations")
    columns = min(columns, len(found))
    rows = -(-len(found) // columns)
    figure = Figure((2.3 * columns, 2.7 * rows), layout="compressed")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (mask, spacing_mm, where, failed) in zip(grid.flat, found, strict=False):
        axes.set_axis_on()
        _draw_mask(
            axes, mask[drawing.crop_box([mask[None]], spacing_mm, margin_mm=6.0)], spacing_mm
        )
        axes.set_title("\n".join(failed), fontsize=8, color=drawing.SECOND)
        axes.set_xlabel("\n".join(textwrap.wrap(where, 34)), fontsize=7)
    drawing.save(figure, path)


def _draw_mask(axes: Axes, mask: Bool[np.ndarray, "height width"], spacing_mm: Spacing) -> None:
    axes.imshow(
        mask,
        cmap="Blues",
        vmin=0.0,
        vmax=1.6,
        interpolation="nearest",
        aspect=spacing_mm[0] / spacing_mm[1],
    )
    drawing.bare(axes)
