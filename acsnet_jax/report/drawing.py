"""What the pictures share: colours, cropping, display window, outlines and fills.

Images and masks are ``[height, width]`` arrays drawn as they lie in memory, row 0 on top, with the
true aspect of their pixels. Pixel centres stand at whole coordinates, so that an outline, traced
halfway between a mask's pixels and its neighbours, runs along the pixel edges. Figures are made
without pyplot: no window, no global state. Colours are told apart by colour-blind readers too.
"""

import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from skimage import measure

from acsnet_jax.clinical import Regions
from acsnet_jax.files import replacing
from acsnet_jax.palette import CAVITY, CORE, GRAY_ZONE, WALL
from acsnet_jax.types import InputError, Scan, Spacing

INK = "#1f2933"
MUTED = "#7b8794"
ACCENT = "#1b6ca8"
SECOND = "#d55e00"

STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.0,
    "figure.facecolor": "white",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
"""Settings of every figure, for `matplotlib.rc_context`."""


class Extent(NamedTuple):
    """Part of a slice that a picture shows."""

    rows: slice
    columns: slice


class View(NamedTuple):
    """How the slices of one scan are shown.

    Attributes:
        box: what part of each slice.
        black: intensity drawn black.
        white: intensity drawn white.
        aspect: row spacing over column spacing.
    """

    box: Extent
    black: float
    white: float
    aspect: float


def crop_box(
    masks: Iterable[Bool[np.ndarray, "slices height width"]],
    spacing_mm: Spacing,
    *,
    margin_mm: float = 18.0,
) -> Extent:
    """The square, in mm, around all that any mask marks; all of the slice if they are empty.

    Args:
        masks: at least one stack; all of one shape.
        spacing_mm: (row, column) distance of pixel centres in mm.
        margin_mm: how much is left around the marked part.

    Returns:
        The square, cut off at the border of the slice.
    """
    marked = np.any([mask.any(axis=0) for mask in masks], axis=0)
    if not marked.any():
        return Extent(slice(0, marked.shape[0]), slice(0, marked.shape[1]))
    spans = [np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))]
    side_mm = 2 * margin_mm + max(
        (span[-1] - span[0] + 1) * step for span, step in zip(spans, spacing_mm, strict=True)
    )
    sides = []
    for span, step, size in zip(spans, spacing_mm, marked.shape, strict=True):
        length = min(size, round(side_mm / step))
        start = int(np.clip(round((span[0] + span[-1] + 1 - length) / 2), 0, size - length))
        sides.append(slice(start, start + length))
    return Extent(*sides)


def view_of(scan: Scan, regions: Iterable[Regions]) -> View:
    """Crop around the heart and a display window that its brightest and darkest parts fill.

    Without any region the whole slice is shown.
    """
    nothing = np.zeros(scan.image.shape, bool)
    box = crop_box([nothing, *(each.lv for each in regions)], scan.spacing_mm)
    shown = scan.image[:, box.rows, box.columns]
    black, white = (float(value) for value in np.percentile(shown, (1.0, 99.7)))
    return View(box, black, max(white, black + 1e-6), scan.spacing_mm[0] / scan.spacing_mm[1])


def outline(mask: Bool[np.ndarray, "height width"]) -> Path | None:
    """The closed outlines of a mask along its pixel edges, holes wound the other way; or None."""
    padded = np.pad(mask, 1).astype(np.float32)
    # Foreground is 8-connected everywhere in this package.
    curves = measure.find_contours(padded, 0.5, fully_connected="high")
    if not curves:
        return None
    return Path.make_compound_path(*(Path(curve[:, ::-1] - 1.0, closed=True) for curve in curves))


def draw_outline(
    axes: Axes,
    mask: Bool[np.ndarray, "height width"],
    color: str,
    *,
    width: float = 1.1,
    style: str = "-",
) -> None:
    """Draw the outline of a mask on axes that show its picture, which give the limits."""
    path = outline(mask)
    if path is not None:
        axes.add_artist(  # unlike a patch, it is not measured for the limits
            PathPatch(path, fill=False, edgecolor=color, linewidth=width, linestyle=style)
        )


def fill(
    axes: Axes, mask: Bool[np.ndarray, "height width"], color: str, *, alpha: float = 0.5
) -> None:
    """Fill a mask with a translucent colour and a thin edge; axes as of `draw_outline`."""
    path = outline(mask)
    if path is not None:
        axes.add_artist(PathPatch(path, facecolor=color, edgecolor="none", alpha=alpha))
        axes.add_artist(PathPatch(path, fill=False, edgecolor=color, linewidth=0.5))


def bare(axes: Axes) -> None:
    """Take away ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_slice(
    axes: Axes,
    image: Float[np.ndarray, "height width"],
    view: View,
) -> None:
    """Draw the shown part of one slice in grays."""
    axes.imshow(
        image[view.box],
        cmap="gray",
        vmin=view.black,
        vmax=view.white,
        aspect=view.aspect,
        interpolation="bicubic",
    )
    bare(axes)


def draw_regions(axes: Axes, regions: Regions, index: int, view: View) -> None:
    """Draw wall and cavity outlines of one slice, its gray zone yellow and its core scar red."""
    if regions.enhancement is not None and regions.core is not None:
        core = regions.core[index]
        fill(axes, (regions.enhancement[index] & ~core)[view.box], GRAY_ZONE)
        fill(axes, core[view.box], CORE)
    draw_outline(axes, regions.blood_pool[index][view.box], CAVITY, width=0.8)
    draw_outline(axes, regions.myocardium[index][view.box], WALL)


def legend_handles() -> list[Patch]:
    """What the colours of `draw_regions` mean."""
    return [
        Patch(facecolor="none", edgecolor=WALL, linewidth=1.5, label="myocardium"),
        Patch(facecolor=GRAY_ZONE, alpha=0.8, label="gray zone"),
        Patch(facecolor=CORE, alpha=0.8, label="core scar"),
    ]


def end_of_stack(index: int, slices: int) -> str:
    """Whether a slice is the "apex" or the "base" of its stack; "" between, and of a single one."""
    return {0: "apex", slices - 1: "base"}.get(index, "") if slices > 1 else ""


def check_not_empty(items: int, what: str) -> None:
    """Refuse to draw nothing.

    Raises:
        InputError: there are no items.
    """
    if not items:
        raise InputError(f"{what}: nothing to draw: give at least one")


def save(figure: Figure, path: pathlib.Path, *, crop: bool = True) -> None:
    """Write a figure, whole or not at all.

    Args:
        figure: with a layout.
        path: picture to write; the suffix gives the format.
        crop: whether to take the empty border away, for which all is laid out twice; pictures of
            every study, whose layout fills them, do without.
    """
    options: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.08} if crop else {}
    if path.suffix == ".png":
        options["pil_kwargs"] = {"compress_level": 3}  # an eighth larger in half the time
    with mpl.rc_context(STYLE), replacing(path) as temporary:
        _settle(figure)
        figure.savefig(temporary, dpi=150, facecolor="white", **options)


def _settle(figure: Figure) -> None:
    """Lay out once and for all, to a millionth of the figure.

    In one of 28 runs on the same numbers, the edges of one panel's lines had another shade, by 1 of
    255: its place had other last bits.
    """
    engine = figure.get_layout_engine()
    if engine is None:
        return
    engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position(np.round(axes.get_position(original=True).bounds, 6).tolist())
        axes.set_in_layout(True)  # which set_position ends
