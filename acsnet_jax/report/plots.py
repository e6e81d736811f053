"""Plots of numbers: figures 2, 3 and 5 of the paper, Bland-Altman plots and training curves.

Dice and relative errors lie in [0, 1] in the records; errors are drawn in percent, volumes in mL.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from acsnet_jax.clinical import predicted_regions, reference_regions
from acsnet_jax.evaluation.agreement import Agreement, VolumePair
from acsnet_jax.evaluation.summary import SliceRecord, Structure, VolumeRecord, summarise
from acsnet_jax.latent.mixture import Score
from acsnet_jax.report import drawing
from acsnet_jax.report.tables import STRUCTURE_NAMES
from acsnet_jax.types import Segmentation

_PAPER_DICE = {
    ("lv", "base"): 0.94,
    ("lv", "middle"): 0.95,
    ("lv", "apex"): 0.92,
    ("myocardium", "base"): 0.80,
    ("myocardium", "middle"): 0.82,
    ("myocardium", "apex"): 0.75,
}
_NAMED = 4  # patients outside of the limits that a panel names
_LEAST_ML = 1.0  # that a panel shows to both sides of no difference
_LINE = 0.05  # height of a line of words, as a share of a panel's
_PAPER_ERROR = {"lv": 0.063, "core": 0.337}
_OUTPUT_NAMES = {
    ("lv", "0"): "LV",
    ("myo", "0"): "myocardium",
    ("myo", "1"): "enhancement",
    ("myo", "2"): "no-reflow",
    ("autoencoder", "0"): "myocardium",
}


@mpl.rc_context(drawing.STYLE)
def figure2(records: Sequence[SliceRecord], path: pathlib.Path) -> None:
    """Draw histograms of Dice per slice by location (paper, figure 2).

    Solid lines are our means over patients, as in table 1; dotted lines the paper's.

    Args:
        records: slice records; LV and myocardium are drawn.
        path: picture to write.

    Raises:
        InputError: there are no records.
    """
    drawing.check_not_empty(len(records), "figure 2")
    figure = Figure((7.2, 5.6), layout="constrained")
    grid = figure.subplots(3, 2, sharex=True, sharey="col")
    columns: tuple[tuple[Structure, str, str], ...] = (
        ("lv", "Left ventricle", "ABC"),
        ("myocardium", "Myocardium", "DEF"),
    )
    for column, (structure, name, letters) in enumerate(columns):
        for row, location in enumerate(("base", "middle", "apex")):
            axes = grid[row, column]
            own = [r for r in records if r.structure == structure and r.location == location]
            axes.hist([r.dice for r in own], bins=np.linspace(0, 1, 41), color=drawing.ACCENT)
            published = _PAPER_DICE[structure, location]
            axes.axvline(published, color=drawing.SECOND, linestyle=":", linewidth=1.4)
            note = f"paper {published:.2f}\n{len(own)} slices"
            mean = summarise((r.scan_id, r.dice) for r in own).mean
            if mean is not None:
                axes.axvline(mean, color=drawing.INK, linewidth=1.6)
                note = f"mean {mean:.2f}\n{note}"
            axes.text(0.06, 0.93, note, transform=axes.transAxes, va="top", fontsize=8)
            axes.set_title(letters[row], loc="left", fontweight="bold")
            axes.set_xlim(0.0, 1.0)
            if row == 0:
                axes.set_title(name)
            if column == 0:
                axes.set_ylabel(f"{location.capitalize()}\nslices")
        grid[2, column].set_xlabel("Dice")
    drawing.save(figure, path)


@mpl.rc_context(drawing.STYLE)
def figure3(
    volumes: Sequence[VolumeRecord],
    path: pathlib.Path,
    *,
    examples: Sequence[Segmentation] = (),
) -> None:
    """Draw scar examples and the volume errors of LV and core scar (paper, figure 3).

    Args:
        volumes: volume records.
        path: picture to write.
        examples: labelled patients for panel A, one a column; none leaves the panel out.

    Raises:
        InputError: there are no records.
    """
    drawing.check_not_empty(len(volumes), "figure 3")
    if examples:
        figure = Figure((8.0, 9.0), layout="constrained")
        layout = figure.add_gridspec(2, 1, height_ratios=(5.8, 3.2))
        _draw_examples(figure.add_subfigure(layout[0, 0]), examples)
        left, right = figure.add_subfigure(layout[1, 0]).subplots(1, 2)
    else:
        figure = Figure((8.0, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
    drawn = [r for r in volumes if r.reference == "drawn"]
    _draw_errors(left, [r for r in drawn if r.structure == "lv"], "B", "lv")
    _draw_errors(right, [r for r in drawn if r.structure == "core"], "C", "core")
    drawing.save(figure, path)


def _draw_examples(figure: SubFigure, examples: Sequence[Segmentation]) -> None:
    """The slice of each patient with the most scar, the expert's first: image, expert, ours."""
    figure.suptitle("A", x=0.01, ha="left", fontweight="bold")
    grid = figure.subplots(
        3, len(examples), squeeze=False, gridspec_kw={"wspace": 0.03, "hspace": 0.03}
    )
    for axes, name in zip(grid[:, 0], ("image", "expert", "ours"), strict=True):
        axes.set_ylabel(name)
    for panels, segmentation in zip(grid.T, examples, strict=True):
        scan = segmentation.scan
        expert, ours = reference_regions(scan), predicted_regions(segmentation)
        shown = (expert.enhancement, ours.enhancement, expert.myocardium)
        drawn = (mask for mask in shown if mask is not None and mask[scan.labelled].any())
        most = next(drawn, expert.myocardium)
        areas = np.count_nonzero(most, axis=(1, 2))
        index = int(np.argmax(np.where(scan.labelled, areas, -1)))
        view = drawing.view_of(scan, [expert, ours])
        for axes in panels:
            drawing.draw_slice(axes, scan.image[index], view)
        drawing.draw_regions(panels[1], expert, index, view)
        drawing.draw_regions(panels[2], ours, index, view)
        panels[0].set_title(scan.id, fontsize=8)
    figure.legend(
        handles=drawing.legend_handles(), loc="outside lower center", ncols=3, frameon=False
    )


def _draw_errors(
    axes: Axes, records: Sequence[VolumeRecord], letter: str, structure: Structure
) -> None:
    judged = [(r.truth_ml, r.relative_error) for r in records if r.relative_error is not None]
    axes.axhline(
        100 * _PAPER_ERROR[structure],
        color=drawing.SECOND,
        linestyle=":",
        linewidth=1.4,
        label=f"paper {100 * _PAPER_ERROR[structure]:.1f}%",
    )
    if judged:
        truth, error = np.array(judged).T
        dots = axes.scatter(truth, 100 * error, s=22, color=drawing.ACCENT, alpha=0.75, lw=0)
        dots.set(clip_on=False, zorder=3)
        mean = 100 * float(error.mean())
        axes.axhline(mean, color=drawing.INK, linewidth=1.6, label=f"mean {mean:.1f}%")
    name = STRUCTURE_NAMES[structure]
    axes.set_title(letter, loc="left", fontweight="bold")
    axes.set_title(f"{len(judged)} of {len(records)} patients counted", fontsize=8)
    axes.set_xlabel(f"{name} volume, expert (mL)")
    axes.set_ylabel(f"{name} volume error (%)")
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=0.0)
    axes.legend(frameon=False, fontsize=8)


class Panel(NamedTuple):
    """One Bland-Altman plot.

    Attributes:
        title: what was measured, or by whom.
        pairs: one a patient.
        agreement: of these.
    """

    title: str
    pairs: Sequence[VolumePair]
    agreement: Agreement


@mpl.rc_context(drawing.STYLE)
def bland_altman(
    panels: Sequence[Panel], path: pathlib.Path, *, region: str = "", alike: bool = False
) -> None:
    """Draw differences of volumes against means: bias with its interval, limits of agreement.

    Patients in whom the expert has none of the structure are open circles.

    Args:
        panels: next to each other, up to three in a row.
        path: picture to write.
        region: for the axes, where all panels are of one structure.
        alike: whether the panels share their axes, so that the eye may compare them.

    Raises:
        InputError: there are no panels.

    References:
        Bland and Altman, Lancet 327, 1986; Lancet 346, 1995 (why against the mean of both).
    """
    drawing.check_not_empty(len(panels), "Bland-Altman plot")
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure((1.0 + 3.6 * columns, 3.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=alike, sharey=alike)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_agreement(axes, panel)
        axes.set_title(f"{panel.title}\n", loc="left", fontweight="bold")  # above the note
    for axes, panel in zip(grid.flat, panels, strict=False):
        _write_lines(axes, panel.agreement)  # once all limits of shared axes are known
    if any(not pair.truth_ml for panel in panels for pair in panel.pairs):
        figure.legend(handles=_dots(), loc="outside lower center", ncols=2, frameon=False)
    words = f"{region} volume" if region else "Volume"
    for axes in grid[-1]:
        axes.set_xlabel(f"{words}, mean of both (mL)")
    for axes in grid[:, 0]:
        axes.set_ylabel("measured less expert (mL)")
    drawing.save(figure, path)


def _dots() -> list[Line2D]:
    """What full and open circles are."""
    return [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="none",
            markersize=4.5,
            markeredgecolor=drawing.ACCENT,
            markerfacecolor=face,
            label=label,
        )
        for face, label in ((drawing.ACCENT, "drawn by the expert"), ("none", "none drawn"))
    ]


def _draw_agreement(axes: Axes, panel: Panel) -> None:
    found = panel.agreement
    means = np.array([0.5 * (pair.truth_ml + pair.predicted_ml) for pair in panel.pairs])
    differences = np.array([pair.bias_ml for pair in panel.pairs])
    drawn = np.array([pair.truth_ml > 0 for pair in panel.pairs])
    axes.axhline(0.0, color=drawing.MUTED, linewidth=0.8)
    for where, face in ((drawn, drawing.ACCENT), (~drawn, "none")):
        axes.scatter(
            means[where],
            differences[where],
            s=20,
            facecolor=face,
            edgecolor=drawing.ACCENT,
            zorder=3,
        )
    axes.update_datalim([(means.mean(), -_LEAST_ML), (means.mean(), _LEAST_ML)])
    bias, half = found.bias_ml.mean, found.bias_ml.half_width
    if bias is not None:
        axes.axhline(bias, color=drawing.INK, linewidth=1.6)
    if bias is not None and half is not None:
        axes.axhspan(bias - half, bias + half, color=drawing.INK, alpha=0.12, linewidth=0)
    if found.lower_ml is not None and found.upper_ml is not None:
        for limit in (found.upper_ml, found.lower_ml):
            axes.axhline(limit, color=drawing.SECOND, linestyle="--", linewidth=1.2)
        _name_outliers(axes, panel, found.lower_ml, found.upper_ml)
    coefficients = " · ".join(
        f"{name} {estimate.value:.2f}"
        for name, estimate in (("CCC", found.concordance), ("ICC", found.icc))
        if estimate.value is not None
    )
    note = f"{len(panel.pairs)} patients" + (f" · {coefficients}" if coefficients else "")
    axes.set_title(note, loc="right", fontsize=8, color=drawing.MUTED)


def _write_lines(axes: Axes, found: Agreement) -> None:
    """What the lines are, to the right of the axes; in one place where they fall together."""
    lines = [
        (height, f"{name} {height:+.1f}".replace("-", "\u2212"))
        for height, name in (
            (found.upper_ml, "+1.96 SD"),
            (found.bias_ml.mean, "bias"),
            (found.lower_ml, "-1.96 SD"),
        )
        if height is not None
    ]
    low, high = axes.get_ylim()
    heights = [height for height, _ in lines]
    if len(lines) > 1 and min(-np.diff(heights)) < _LINE * (high - low):
        lines = [(float(np.mean(heights)), "\n".join(text for _, text in lines))]
    for height, text in lines:
        axes.annotate(
            text,
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            annotation_clip=False,
        )


def _name_outliers(axes: Axes, panel: Panel, lower: float, upper: float) -> None:
    """The patients farthest outside of the limits by their id."""
    middle = 0.5 * (lower + upper)
    outside = [pair for pair in panel.pairs if not lower <= pair.bias_ml <= upper]
    farthest = sorted(outside, key=lambda one: -abs(one.bias_ml - middle))[:_NAMED]
    for number, pair in enumerate(farthest):
        left = number % 2  # neighbours on different sides, so that names don't cover each other
        axes.annotate(
            pair.scan_id,
            (0.5 * (pair.truth_ml + pair.predicted_ml), pair.bias_ml),
            xytext=(-4 if left else 4, 3),
            ha="right" if left else "left",
            textcoords="offset points",
            fontsize=6,
            color=drawing.MUTED,
        )


@mpl.rc_context(drawing.STYLE)
def figure5(
    scores: Sequence[Score],
    path: pathlib.Path,
    *,
    chosen: tuple[int, int] | None = None,
) -> None:
    """Draw NLL and adjusted AIC against mixture size, a column a latent dimension (figure 5).

    Args:
        scores: what `acsnet_jax.latent.mixture.select` returns.
        path: picture to write.
        chosen: (latent dimension, components) to mark.

    Raises:
        InputError: there are no scores.
    """
    drawing.check_not_empty(len(scores), "figure 5")
    dimensions = sorted({score.dimension for score in scores})
    figure = Figure((1.2 + 2.2 * len(dimensions), 4.4), layout="constrained")
    grid = figure.subplots(2, len(dimensions), squeeze=False, sharex=True)
    for column, dimension in enumerate(dimensions):
        own = sorted((s.components, s.nll, s.nll_error, s.adjusted_aic) for s in scores
                     if s.dimension == dimension)  # fmt: skip
        components, nll, nll_error, aic = np.array(own).T
        top, bottom = grid[:, column]
        top.errorbar(components, nll, nll_error, color=drawing.ACCENT, marker="o", ms=3.5, lw=1.2)
        bottom.plot(components, aic, color=drawing.ACCENT, marker="o", ms=3.5, lw=1.2)
        top.set_title(f"d = {dimension}")
        bottom.set_xlabel("components p")
        bottom.set_xticks(components)
        if chosen is not None and chosen[0] == dimension:
            for axes, values in ((top, nll), (bottom, aic)):
                axes.plot(
                    *(chosen[1], values[components == chosen[1]][0]),
                    marker="o",
                    ms=10,
                    mfc="none",
                    mec=drawing.SECOND,
                    mew=1.8,
                )
            top.set_title(f"d = {dimension}, chosen p = {chosen[1]}", color=drawing.SECOND)
    grid[0, 0].set_ylabel("NLL per code (nats)")
    grid[1, 0].set_ylabel("adjusted AIC")
    drawing.save(figure, path)


@mpl.rc_context(drawing.STYLE)
def training_curves(
    runs: Mapping[str, Sequence[Mapping[str, float | int]]], path: pathlib.Path
) -> None:
    """Draw training runs against steps: losses above, Dice of each output below.

    Args:
        runs: for each network, the JSON lines that training wrote; each has ``step``. Scalars of
            another unit, such as samples a second, are not drawn.
        path: picture to write.

    Raises:
        InputError: there are no runs.
    """
    drawing.check_not_empty(len(runs), "training curves")
    figure = Figure((3.4 * len(runs), 4.6), layout="constrained")
    grid = figure.subplots(2, len(runs), squeeze=False, sharex="col")
    for panels, (name, lines) in zip(grid.T, runs.items(), strict=True):
        panels[0].set_title(name, fontweight="bold")
        panels[1].set_xlabel("step")
        panels[1].set_ylim(0, 1)
        for scalar in sorted({key for line in lines for key in line}):
            kind, _, output = scalar.partition("_")
            if kind not in ("loss", "dice"):
                continue
            axes = panels[0] if kind == "loss" else panels[1]
            points = [(line["step"], line[scalar]) for line in lines if scalar in line]
            label = _OUTPUT_NAMES.get((name, output), scalar)
            axes.plot(*zip(*points, strict=True), lw=1.3, label=label)
        if panels[1].lines:
            panels[1].legend(frameon=False, fontsize=7, loc="lower right")
    grid[0, 0].set_ylabel("loss")
    grid[1, 0].set_ylabel("Dice")
    drawing.save(figure, path)
