"""The wall of every slice unrolled: transmurality of the infarct, and thickness, along the ring.

A row is a slice, base on top; across runs the direction in which the wall is seen from the LV's
middle, from right over down, as in the stored picture. Where the right ventricle's insertions are
known, they are marked. A slice whose wall encloses no cavity is hatched.
"""

import pathlib
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from acsnet_jax.clinical import Assessment, NotAvailable, WallLines, transmurality
from acsnet_jax.report import drawing

_BINS = 180
_DIRECTIONS = ((0, "right"), (90, "down"), (180, "left"), (270, "up"), (360, "right"))


class UnrolledWall(NamedTuple):
    """The wall by slice and direction; NaN where a slice has no ring.

    Attributes:
        transmurality: of the infarct, in [0, 1]; NaN as well where it was not assessed.
        thickness_mm: of the wall.
    """

    transmurality: Float[np.ndarray, "slices bins"]
    thickness_mm: Float[np.ndarray, "slices bins"]


def unrolled_wall(assessment: Assessment, *, bins: int = _BINS) -> UnrolledWall:
    """The nearest field line's values in each direction; see `acsnet_jax.clinical.wall`.

    Args:
        assessment: of one segmentation.
        bins: directions around the ring.
    """
    walls, infarct = assessment.findings.walls, assessment.findings.infarct
    through = np.full((len(walls), bins), np.nan)
    thickness = through.copy()
    for index, lines in enumerate(walls):
        if isinstance(lines, NotAvailable) or not lines.angle_deg.size:
            continue
        nearest = _nearest(lines, bins)
        thickness[index] = lines.thickness_mm[nearest]
        if not isinstance(infarct, NotAvailable):
            through[index] = transmurality(lines, infarct[index])[nearest]
    return UnrolledWall(through, thickness)


def _nearest(lines: WallLines, bins: int) -> np.ndarray:
    centres = (np.arange(bins) + 0.5) * 360 / bins
    apart = np.abs((lines.angle_deg[None] - centres[:, None] + 180) % 360 - 180)
    return np.argmin(apart, axis=1)


@mpl.rc_context(drawing.STYLE)
def unrolled(assessment: Assessment, path: pathlib.Path, *, title: str) -> None:
    """Draw both maps, one above the other.

    Args:
        assessment: of one segmentation.
        path: picture to write; the suffix gives the format.
        title: heading.
    """
    wall = unrolled_wall(assessment)
    slices = len(wall.thickness_mm)
    figure = Figure((8.4, 1.9 + 0.36 * slices), layout="constrained")
    grid = figure.subplots(2, 1, squeeze=False)[:, 0]
    thickest = np.nanmax(wall.thickness_mm) if np.isfinite(wall.thickness_mm).any() else 1.0
    maps = (
        (100 * wall.transmurality, "Infarct through the wall (%)", "Oranges", 100.0),
        (wall.thickness_mm, "Wall thickness (mm)", "Blues", float(thickest)),
    )
    for axes, (values, name, colours, top) in zip(grid, maps, strict=True):
        image = axes.imshow(
            values,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            cmap=colours,
            vmin=0,
            vmax=top,
            extent=(0, 360, 0.5, slices + 0.5),
        )
        _hatch(axes, values)
        _mark_insertions(axes, assessment)
        axes.set_xticks([at for at, _ in _DIRECTIONS], [word for _, word in _DIRECTIONS])
        axes.set_yticks(range(1, slices + 1))
        axes.set_ylabel("slice, apex to base")
        axes.set_title(name, loc="left")
        figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
    figure.suptitle(title, fontweight="bold")
    figure.supxlabel(
        "direction from the middle of the LV, as in the stored picture; hatched: not available",
        fontsize=8,
        color=drawing.MUTED,
    )
    drawing.save(figure, path, crop=False)


def _hatch(axes: Axes, values: Float[np.ndarray, "slices bins"]) -> None:
    for index in np.flatnonzero(np.isnan(values).all(axis=1)):
        axes.add_patch(
            Rectangle(
                (0, index + 0.5),
                360,
                1,
                facecolor="white",
                edgecolor=drawing.MUTED,
                linewidth=0,
                hatch="////",
            )
        )


def _mark_insertions(axes: Axes, assessment: Assessment) -> None:
    reference = assessment.insertions
    if isinstance(reference, NotAvailable):
        return
    for angle, name in (
        (reference.anterior_deg, "anterior RV insertion"),
        (reference.inferior_deg, "inferior RV insertion"),
    ):
        axes.axvline(angle % 360, color=drawing.INK, linewidth=1.0, linestyle="--")
        axes.text(
            angle % 360 + 2,
            axes.get_ylim()[1],
            name,
            fontsize=7,
            va="top",
            color=drawing.INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
        )
