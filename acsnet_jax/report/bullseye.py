"""Bull's-eyes of the 17 AHA segments, as cardiologists draw them.

Base outside, apex in the middle, the anterior wall on top and the septum on the left; segment 1 is
the upper one of the outer ring, and numbers go counter-clockwise. What is not available is hatched.
Colours run from light to dark, so that they keep their order in greyscale and for colour-blind
readers, and each segment shows its number.

References:
    Cerqueira et al., Circulation 105, 2002, figures 3 and 4.
"""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from acsnet_jax.clinical import Assessment, NotAvailable, SegmentFeatures
from acsnet_jax.report import drawing

# Of each ring: inner and outer radius, segments counter-clockwise, where the first one begins.
_RINGS = (
    (0.75, 1.0, (1, 2, 3, 4, 5, 6), 60.0),
    (0.5, 0.75, (7, 8, 9, 10, 11, 12), 60.0),
    (0.25, 0.5, (13, 14, 15, 16), 45.0),
    (0.0, 0.25, (17,), 0.0),
)
_AROUND = ("anterior", "septal", "inferior", "lateral")
_BASES = {
    "given": "angular reference: insertions of the right ventricle as given",
    "picture": "angular reference: insertions of the right ventricle found in the picture",
    "geometry": "angular reference: guessed from the patient's orientation alone",
}


class Target(NamedTuple):
    """What one bull's-eye shows.

    Attributes:
        field: of `SegmentFeatures`.
        title: with its unit.
        scale: from base units to that unit.
        digits: behind the point.
        colours: name of a colour map, light to dark.
        top: value of the darkest colour; the greatest of the heart if None.
    """

    field: str
    title: str
    scale: float
    digits: int
    colours: str
    top: float | None


TARGETS = (
    Target("infarct_fraction", "Infarct (% of segment)", 100.0, 0, "Reds", 100.0),
    Target("transmurality_mean", "Transmurality, mean (%)", 100.0, 0, "Oranges", 100.0),
    Target("wall_mean_mm", "Wall thickness, mean (mm)", 1.0, 1, "Blues", None),
    Target("mass_g", "Mass (g)", 1.0, 1, "Greens", None),
)


@mpl.rc_context(drawing.STYLE)
def bullseyes(assessment: Assessment, path: pathlib.Path, *, title: str) -> None:
    """Draw infarct, transmurality, wall thickness and mass of the segments side by side.

    Args:
        assessment: of one segmentation; where segments are not available, the reason is drawn.
        path: picture to write; the suffix gives the format.
        title: heading.
    """
    figure = Figure((3.1 * len(TARGETS), 3.9), layout="constrained")
    grid = figure.subplots(1, len(TARGETS), squeeze=False)[0]
    for axes, target in zip(grid, TARGETS, strict=True):
        draw_bullseye(axes, assessment.segments, target)
    reference = assessment.insertions
    if isinstance(reference, NotAvailable):
        note = f"segments are not available: {reference.reason}"
    else:
        note = _BASES[reference.basis]
    figure.suptitle(title, fontweight="bold")
    figure.supxlabel(f"{note}; hatched: not available", fontsize=8, color=drawing.MUTED)
    drawing.save(figure, path, crop=False)


def draw_bullseye(axes: Axes, segments: Sequence[SegmentFeatures], target: Target) -> None:
    """Draw one bull's-eye.

    Args:
        axes: where.
        segments: the 17, in their order.
        target: what is shown.
    """
    values = [getattr(one, target.field) for one in segments]
    known = [target.scale * value for value in values if value is not None]
    top = target.top if target.top is not None else max(known, default=1.0)
    colours = ScalarMappable(Normalize(0, top or 1.0), mpl.colormaps[target.colours])
    for inner, outer, numbers, first_deg in _RINGS:
        width_deg = 360 / len(numbers)
        for place, number in enumerate(numbers):
            start = first_deg + place * width_deg
            value = values[number - 1]
            shown = None if value is None else target.scale * value
            colour = "white" if shown is None else colours.to_rgba(shown)
            axes.add_patch(
                Wedge(
                    (0, 0),
                    outer,
                    start,
                    start + width_deg,
                    width=outer - inner,
                    facecolor=colour,
                    edgecolor=drawing.INK,
                    linewidth=0.9,
                    hatch="////" if shown is None else None,
                )
            )
            radius = (inner + outer) / 2 if inner else 0.0
            angle = np.deg2rad(start + width_deg / 2)
            _write(axes, radius * np.cos(angle), radius * np.sin(angle), number, shown, target, top)
    for word, (x, y, turn) in zip(
        _AROUND, ((0, 1.09, 0), (-1.09, 0, 90), (0, -1.09, 0), (1.09, 0, 270)), strict=True
    ):
        axes.text(
            x, y, word, ha="center", va="center", rotation=turn, fontsize=8, color=drawing.MUTED
        )
    axes.set(xlim=(-1.18, 1.18), ylim=(-1.18, 1.18), aspect="equal")
    axes.set_title(target.title, pad=2)
    drawing.bare(axes)
    axes.figure.colorbar(
        colours, ax=axes, orientation="horizontal", fraction=0.05, pad=0.01, aspect=30
    )


def _write(
    axes: Axes,
    x: float,
    y: float,
    number: int,
    shown: float | None,
    target: Target,
    top: float,
) -> None:
    """The value of a segment over its number, readable on its colour."""
    dark = shown is not None and top > 0 and shown > 0.6 * top
    text = "n/a" if shown is None else f"{shown:.{target.digits}f}"
    box = None if shown is not None else {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    colour = "white" if dark else drawing.INK
    axes.text(
        x, y + 0.03, text, ha="center", va="center", fontsize=7.5, color=colour, bbox=box, zorder=3
    )
    axes.text(
        x, y - 0.07, str(number), ha="center", va="center", fontsize=5, color=colour, bbox=box
    )
