"""Distances between the outlines of two masks in mm; on the host, by SciPy, one slice at a time.

A mask is ``Bool[height, width]`` of NumPy. Its boundary is the set of its pixels that have a
4-neighbour outside the mask (everything outside the array is outside); distances run between pixel
centres. Two empty masks have no distance (None: the tables leave them out and print how many); if
one is empty the distance is the diagonal of the image, so that a miss never lifts a mean.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from acsnet_jax.ops.host import boundary
from acsnet_jax.types import Spacing, check_bool


class SurfaceDistance(NamedTuple):
    """Distances between two outlines.

    Attributes:
        hausdorff_mm: the largest distance from a boundary pixel of either mask to the other's
            boundary.
        mean_mm: the mean of the same distances over the boundary pixels of both masks.
    """

    hausdorff_mm: float
    mean_mm: float


def _distances_mm(
    start: Bool[np.ndarray, "height width"],
    end: Bool[np.ndarray, "height width"],
    spacing_mm: Spacing,
) -> Float[np.ndarray, "points"]:
    return np.asarray(ndimage.distance_transform_edt(~end, sampling=spacing_mm))[start]


def surface_distance(
    prediction: Bool[np.ndarray, "height width"],
    truth: Bool[np.ndarray, "height width"],
    spacing_mm: Spacing,
) -> SurfaceDistance | None:
    """Symmetric Hausdorff and mean distance of two outlines.

    Args:
        prediction: predicted mask of one slice.
        truth: reference mask of that slice.
        spacing_mm: (row, column) distance of pixel centres in mm.

    Returns:
        Distances in mm; both are the image diagonal if one mask is empty; None if both are.

    Raises:
        InputError: masks are not of type bool.

    References:
        Heimann et al., IEEE Trans Med Imaging 28(8), 2009: the definitions used in segmentation
        challenges (the mean pools the points of both outlines).
    """
    check_bool(prediction, truth)
    if not prediction.any() and not truth.any():
        return None
    if not prediction.any() or not truth.any():
        height, width = truth.shape
        diagonal = math.hypot(height * spacing_mm[0], width * spacing_mm[1])
        return SurfaceDistance(diagonal, diagonal)
    # Nothing outside the common bounding box can be nearest to anything inside.
    (box,) = ndimage.find_objects((prediction | truth).astype(np.uint8))
    ours, theirs = boundary(prediction[box]), boundary(truth[box])
    distances = np.concatenate(
        [_distances_mm(ours, theirs, spacing_mm), _distances_mm(theirs, ours, spacing_mm)]
    )
    return SurfaceDistance(float(distances.max()), float(distances.mean()))


def hausdorff_mm(
    prediction: Bool[np.ndarray, "height width"],
    truth: Bool[np.ndarray, "height width"],
    spacing_mm: Spacing,
) -> float | None:
    """Symmetric Hausdorff distance of two outlines in mm; see `surface_distance`."""
    result = surface_distance(prediction, truth, spacing_mm)
    return None if result is None else result.hausdorff_mm


def mean_surface_distance_mm(
    prediction: Bool[np.ndarray, "height width"],
    truth: Bool[np.ndarray, "height width"],
    spacing_mm: Spacing,
) -> float | None:
    """Symmetric mean distance of two outlines in mm; see `surface_distance`."""
    result = surface_distance(prediction, truth, spacing_mm)
    return None if result is None else result.mean_mm
