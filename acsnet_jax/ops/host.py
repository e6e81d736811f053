"""Operators on single masks on the host, by NumPy and SciPy.

A mask is ``Bool[height, width]``. Foreground is 8-connected and background 4-connected, unless
asked otherwise, and everything outside the array is background. Components are numbered from 1 in
raster order of their first pixel, 0 is none.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Int, Int32
from scipy import ndimage

Slice = Bool[np.ndarray, "height width"]

_STRUCTURES = {
    4: ndimage.generate_binary_structure(2, 1),
    8: ndimage.generate_binary_structure(2, 2),
}


def label_components(
    mask: Slice, *, connectivity: Literal[4, 8] = 8
) -> Int32[np.ndarray, "height width"]:
    """The number of the component of each pixel."""
    labels = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, _STRUCTURES[connectivity], output=labels)
    return labels


def component_sizes(labels: Int32[np.ndarray, "height width"]) -> Int[np.ndarray, "components"]:
    """Number of pixels of each component, the first at index 0."""
    return np.bincount(labels.ravel())[1:]


def largest_component(mask: Slice, *, connectivity: Literal[4, 8] = 8) -> Slice:
    """The largest component, on a tie the first in raster order; an empty mask stays empty."""
    labels = label_components(mask, connectivity=connectivity)
    sizes = component_sizes(labels)
    return labels == 1 + int(np.argmax(sizes)) if sizes.size else np.zeros_like(mask)


def fill_holes(mask: Slice) -> Slice:
    """The mask with all its holes filled."""
    return np.asarray(ndimage.binary_fill_holes(mask), bool)


def holes(mask: Slice) -> Slice:
    """What a mask encloses: the cavity of a ring, nothing of an open wall."""
    return fill_holes(mask) & ~mask


def boundary(mask: Slice) -> Slice:
    """Pixels of the mask with a 4-neighbour outside it."""
    return mask & ~np.asarray(ndimage.binary_erosion(mask, _STRUCTURES[4]), bool)


def centroid(mask: Slice) -> tuple[int, int]:
    """Pixel nearest to the mean position; the middle of the array for an empty mask."""
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return mask.shape[0] // 2, mask.shape[1] // 2
    return round(rows.mean()), round(columns.mean())
