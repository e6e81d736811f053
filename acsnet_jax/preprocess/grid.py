"""The working grid: a scan turned to the standard view and resampled in plane, and the way back.

Both grids have one centre and cover the same field of view (the working grid up to one pixel more),
so that going there and back never shifts a mask, and turns commute with resampling. Through the
plane nothing is interpolated.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy import ndimage

from acsnet_jax.preprocess.orient import apply_turn, invert_turn, standard_turn, swaps_axes
from acsnet_jax.types import Scan, Spacing

_ROUNDING = 1e-3  # pixels; a NIfTI copy of a DICOM stack has its spacing in single precision


class Grid(NamedTuple):
    """How the working grid lies over a scan's own.

    Attributes:
        turn: applied first, one of `orient.TURNS`.
        native_shape: (height, width) of the scan, before the turn.
        native_spacing_mm: (row, column) spacing of the scan, before the turn.
        shape: (height, width) of the working grid.
        spacing_mm: (row, column) spacing of the working grid.
    """

    turn: int
    native_shape: tuple[int, int]
    native_spacing_mm: Spacing
    shape: tuple[int, int]
    spacing_mm: Spacing


@dataclasses.dataclass(frozen=True)
class Working:
    """A scan on its working grid.

    Attributes:
        image: ``[slices, height, width]``, the scan's intensities.
        labels: ``[slices, height, width]`` of `Label` values, or None.
        grid: where it came from.
    """

    image: Float32[np.ndarray, "slices height width"]
    labels: UInt8[np.ndarray, "slices height width"] | None
    grid: Grid


def make_grid(scan: Scan, spacing_mm: float | None) -> Grid:
    """The working grid of a scan.

    Args:
        scan: any scan. Only an `oriented` one is turned: elsewhere the header tells nothing.
        spacing_mm: isotropic in-plane spacing; None keeps the scan's own.
    """
    turn = standard_turn(scan.affine) if scan.oriented else 0
    native_shape = (scan.image.shape[1], scan.image.shape[2])
    return grid_over(native_shape, scan.spacing_mm, spacing_mm, turn=turn)


def grid_over(
    native_shape: tuple[int, int],
    native_spacing_mm: Spacing,
    spacing_mm: float | None,
    *,
    turn: int = 0,
) -> Grid:
    """The working grid over slices of any origin.

    Args:
        native_shape: (height, width) of the slices.
        native_spacing_mm: their (row, column) spacing.
        spacing_mm: isotropic in-plane spacing; None keeps the slices' own.
        turn: applied first, one of `orient.TURNS`.
    """
    shape, spacing = native_shape, native_spacing_mm
    if swaps_axes(turn):
        shape, spacing = (shape[1], shape[0]), (spacing[1], spacing[0])
    if spacing_mm is not None:
        shape = (
            math.ceil(shape[0] * spacing[0] / spacing_mm - _ROUNDING),
            math.ceil(shape[1] * spacing[1] / spacing_mm - _ROUNDING),
        )
        spacing = (spacing_mm, spacing_mm)
    return Grid(turn, native_shape, native_spacing_mm, shape, spacing)


def to_working(scan: Scan, spacing_mm: float | None) -> Working:
    """Bring a scan, with its labels, to its working grid."""
    grid = make_grid(scan, spacing_mm)
    spacing = _turned_spacing(grid)
    image = resample(apply_turn(scan.image, grid.turn), spacing, grid.shape, grid.spacing_mm)
    labels = None
    if scan.labels is not None:
        turned = apply_turn(scan.labels, grid.turn)
        labels = resample_labels(turned, spacing, grid.shape, grid.spacing_mm)
    return Working(image, labels, grid)


def masks_to_working(
    masks: Bool[np.ndarray, "slices height width"], grid: Grid
) -> Bool[np.ndarray, "slices height2 width2"]:
    """Bring masks of the scan's own grid to the working grid; no mask vanishes.

    A pixel is in the mask if its share is at least half of the largest of its slice: half of the
    pixel, unless all of the mask is thinner than one.
    """
    turned = apply_turn(masks.astype(np.float32), grid.turn)
    shares = resample(turned, _turned_spacing(grid), grid.shape, grid.spacing_mm)
    largest = shares.max(axis=(1, 2), keepdims=True)
    return (shares >= 0.5 * largest) & (largest > 0)


def to_native(
    values: Float32[np.ndarray, "slices height width"], grid: Grid
) -> Float32[np.ndarray, "slices height2 width2"]:
    """Bring probabilities or distances back to the scan's own grid; linear."""
    height, width = grid.native_shape
    shape = (width, height) if swaps_axes(grid.turn) else (height, width)
    turned = resample(values, grid.spacing_mm, shape, _turned_spacing(grid))
    return np.ascontiguousarray(invert_turn(turned, grid.turn))


def resample(
    stack: Float32[np.ndarray, "slices height width"],
    spacing_mm: Spacing,
    new_shape: tuple[int, int],
    new_spacing_mm: Spacing,
) -> Float32[np.ndarray, "slices height2 width2"]:
    """Linear in-plane interpolation between grids with one centre.

    Before shrinking, images are smoothed so that nothing aliases. Beyond the old grid its nearest
    pixel is repeated.
    """
    if stack.shape[1:] == tuple(new_shape) and spacing_mm == new_spacing_mm:
        return np.ascontiguousarray(stack)
    factors = (new_spacing_mm[0] / spacing_mm[0], new_spacing_mm[1] / spacing_mm[1])
    sigma = [0.0, *(max(0.0, (factor - 1) / 2) for factor in factors)]
    if any(sigma):
        stack = ndimage.gaussian_filter(stack, sigma, mode="nearest")
    offset = [
        (old - 1) / 2 - factor * (new - 1) / 2
        for old, new, factor in zip(stack.shape[1:], new_shape, factors, strict=True)
    ]
    options: dict[str, Any] = {"offset": (0.0, *offset), "order": 1, "mode": "nearest"}
    shape = (len(stack), *new_shape)
    return ndimage.affine_transform(stack, (1.0, *factors), output_shape=shape, **options)


def resample_labels(
    labels: UInt8[np.ndarray, "slices height width"],
    spacing_mm: Spacing,
    new_shape: tuple[int, int],
    new_spacing_mm: Spacing,
) -> UInt8[np.ndarray, "slices height2 width2"]:
    """The label with the largest linearly interpolated share of each new pixel."""
    values = np.unique(labels)
    shares = [
        resample((labels == value).astype(np.float32), spacing_mm, new_shape, new_spacing_mm)
        for value in values
    ]
    return values[np.argmax(shares, axis=0)].astype(np.uint8)


def resample_mask(
    mask: Bool[np.ndarray, "slices height width"], grid: Grid, other: Grid
) -> Bool[np.ndarray, "slices height2 width2"]:
    """A mask on another working grid of the same scan."""
    values = mask.astype(np.float32)
    return resample(values, grid.spacing_mm, other.shape, other.spacing_mm) >= 0.5


def _turned_spacing(grid: Grid) -> Spacing:
    """The scan's spacing after the grid's turn."""
    row, column = grid.native_spacing_mm
    return (column, row) if swaps_axes(grid.turn) else (row, column)
