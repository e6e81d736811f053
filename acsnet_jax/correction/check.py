"""Delta and volume checks of any stack, in windows of few sizes and stacks of few lengths.

So a new scan runs the programs of the scans before it: nothing is compiled for its size, its
number of slices or its spacing.
"""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Shaped
from skimage.morphology import convex_hull_image

from acsnet_jax import anatomy
from acsnet_jax.ops.host import holes
from acsnet_jax.preprocess.crop import crop_or_pad
from acsnet_jax.types import MaskStack, Spacing

_PIXELS = 128
_LARGEST_WINDOW = 1000
_FEW, _MANY = 16, 256  # slices taken at once, of a scan and of a whole cohort
_STACK = 64  # slices; shorter stacks are filled up for the volume checks


def measure_stack(
    masks: MaskStack, spacing_mm: Spacing, thresholds: anatomy.Thresholds
) -> tuple[anatomy.Anatomy, Bool[np.ndarray, "slices criteria"]]:
    """Measures of masks on any grid, and which criteria each of them fails.

    Args:
        masks: one a slice; an empty one fails.
        spacing_mm: (row, column) distance of pixel centres.
        thresholds: of delta.

    Returns:
        Measures, one entry a slice, and failures in the order of `acsnet_jax.anatomy.CRITERIA`.
    """
    spacing, limits = as_leaves(spacing_mm), as_leaves(thresholds)
    found = [_measured(part, spacing, limits) for part in parts(occupied_window(masks))]
    return joined(found, len(masks))


def valid_stack(
    masks: MaskStack, spacing_mm: Spacing, thresholds: anatomy.Thresholds
) -> Bool[np.ndarray, "slices"]:
    """Delta of masks on any grid.

    Args:
        masks: one a slice; an empty one is not valid.
        spacing_mm: (row, column) distance of pixel centres.
        thresholds: of delta.
    """
    if not masks.any():
        return np.zeros(len(masks), bool)
    spacing, limits = as_leaves(spacing_mm), as_leaves(thresholds)
    found = [_valid(part, spacing, limits) for part in parts(occupied_window(masks))]
    return joined(found, len(masks))


def blood_pools(myocardium: MaskStack, lv: MaskStack | None) -> MaskStack:
    """The cavity of rings; of open slices what the wall's hull holds of the LV.

    Args:
        myocardium: wall of each slice.
        lv: wall and cavity as somebody else found them; None takes the whole hull.
    """
    cavities = np.stack([holes(mask) for mask in myocardium])
    for index, mask in enumerate(myocardium):
        if mask.any() and not cavities[index].any():
            inside = convex_hull_image(mask) & ~mask
            cavities[index] = inside if lv is None else inside & lv[index]
    return cavities


def kept_slices(
    masks: MaskStack,
    max_change: float,
    *,
    lv: MaskStack | None = None,
    lost: MaskStack | None = None,
) -> Bool[np.ndarray, "slices"]:
    """Slices between apex and base; see `acsnet_jax.anatomy.trim_areas`.

    The area of a slice is that of wall and cavity, of an open slice too: its wall alone is less
    than half of the ring below it, which would be the end of every stack with an open base. A lost
    slice is no end of the heart: it has the area it had, and counts as closed.

    Args:
        masks: myocardium of each slice, apex first; empty where it was lost.
        max_change: of the area between slices.
        lv: as of `blood_pools`.
        lost: what lost slices were before the correction; empty elsewhere.

    Returns:
        True where the slice is kept, lost ones among them.
    """
    whole = masks if lost is None else masks | lost
    areas = np.count_nonzero(whole | blood_pools(whole, lv), axis=(1, 2))
    is_open = np.array([mask.any() and not holes(mask).any() for mask in masks])
    padding = (0, -len(masks) % _STACK)
    kept = anatomy.trim_areas(
        np.pad(areas, padding).astype(np.int32),
        np.pad(is_open, padding),
        max_change=np.float32(max_change),
    )
    return np.asarray(kept)[: len(masks)]


def _valid(masks, spacing_mm, thresholds):
    """Of few masks by the program of `measure_stack`: one more costs a second in every process."""
    if len(masks) > _FEW:
        return anatomy.is_valid(masks, spacing_mm, thresholds)
    return ~np.any(_measured(masks, spacing_mm, thresholds)[1], axis=1)


@jax.jit
def _measured(masks, spacing_mm, thresholds):
    measures = anatomy.measure(masks, spacing_mm)
    return measures, anatomy.check(measures, thresholds, anatomy.CRITERIA)


def as_leaves(numbers: Any) -> Any:
    """A spacing as one array, thresholds as float32 scalars: arguments of a program, not constants.

    Args:
        numbers: a pair of floats, or a named tuple of them.
    """
    if hasattr(numbers, "_fields"):
        return type(numbers)(*(np.float32(number) for number in numbers))
    return np.asarray(numbers, np.float32)


def parts(
    stack: Shaped[np.ndarray, "slices height width"],
) -> Iterator[Shaped[np.ndarray, "part height width"]]:
    """A stack in parts of one of two lengths, the last filled up with empty slices."""
    length = _FEW if len(stack) <= 4 * _FEW else _MANY
    filling = np.zeros((-len(stack) % length, *stack.shape[1:]), stack.dtype)
    padded = np.concatenate([stack, filling])
    return iter(np.split(padded, max(len(padded) // length, 1)))


def joined(found: list[Any], slices: int) -> Any:
    """Results of successive parts as one tree of arrays, without what filled up the last.

    Args:
        found: equal trees of arrays ``[part, ...]``.
        slices: how many there are.
    """
    return jax.tree.map(
        lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves])[:slices], *found
    )


def occupied_window(masks: MaskStack) -> Bool[np.ndarray, "slices size size"]:
    """The part of a stack that holds all masks, of one of few sizes."""
    if not masks.any():
        return crop_or_pad(masks, _PIXELS)
    occupied = np.argwhere(masks.any(axis=0))
    first, last = occupied.min(axis=0), occupied.max(axis=0)
    least = int((last - first).max() + 3)
    size = _PIXELS * -(-least // _PIXELS)
    if least <= _LARGEST_WINDOW < size:
        size = _LARGEST_WINDOW
    middle = (first + last + 1) // 2
    return crop_or_pad(masks, size, centre=(int(middle[0]), int(middle[1])))
