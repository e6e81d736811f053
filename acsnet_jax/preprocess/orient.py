"""Standardise orientation by quarter turns and mirrorings of the image plane (paper, Methods).

A turn is one of the eight symmetries of the square, an integer 0..7: ``turn % 4`` quarter turns
counter-clockwise, after a transposition if ``turn >= 4``. Quarter turns move pixels and never
interpolate, so that a turn and its inverse give back the very same array.
"""

import numpy as np
from jaxtyping import Float64, Shaped

from acsnet_jax.types import Scan

TURNS = tuple(range(8))

# Where the image's right and down point to in the radiological short-axis view (RAS+): right is the
# patient's left and back, down is the patient's feet and back.
_RIGHT = np.array([-1.0, -1.0, 0.0])
_DOWN = np.array([0.3, -0.5, -1.0])


def apply_turn(
    array: Shaped[np.ndarray, "*batch height width"], turn: int
) -> Shaped[np.ndarray, "*batch height2 width2"]:
    """Turn the last two axes. Raises ValueError if `turn` is not one of `TURNS`."""
    if turn not in TURNS:
        raise ValueError(f"turn is one of 0..7, not {turn}")
    if turn >= 4:
        array = np.swapaxes(array, -1, -2)
    return np.rot90(array, turn % 4, axes=(-2, -1))


def invert_turn(
    array: Shaped[np.ndarray, "*batch height width"], turn: int
) -> Shaped[np.ndarray, "*batch height2 width2"]:
    """Undo `apply_turn`."""
    array = np.rot90(array, -(turn % 4), axes=(-2, -1))
    return np.swapaxes(array, -1, -2) if turn >= 4 else array


def swaps_axes(turn: int) -> bool:
    """Whether a turn exchanges rows and columns, and with them the two spacings."""
    return (turn % 2 == 1) != (turn >= 4)


def turned_scan(scan: Scan, turn: int) -> Scan:
    """The same patient in a stack that was stored turned; pose and labels included."""
    row, column = scan.spacing_mm
    height, width = scan.image.shape[1:]
    affine = turned_affine(scan.affine, (height, width), turn)
    labels = scan.labels
    return scan.replace(
        image=np.ascontiguousarray(apply_turn(scan.image, turn)),
        labels=None if labels is None else np.ascontiguousarray(apply_turn(labels, turn)),
        spacing_mm=(column, row) if swaps_axes(turn) else (row, column),
        affine=affine,
        file_affine=affine,
        nifti_grid=None,
    )


def turned_affine(
    affine: Float64[np.ndarray, "4 4"], shape: tuple[int, int], turn: int
) -> Float64[np.ndarray, "4 4"]:
    """The affine of a stack of `shape` (height, width) after `turn`."""
    # Read off a turned index grid: old (column, row) at the new origin and its neighbours.
    rows, columns = (apply_turn(index, turn) for index in np.indices(shape))
    index = np.stack([columns, rows]).astype(float)
    to_old = np.eye(4)
    to_old[:2, 0] = index[:, 0, 1] - index[:, 0, 0]
    to_old[:2, 1] = index[:, 1, 0] - index[:, 0, 0]
    to_old[:2, 3] = index[:, 0, 0]
    return affine @ to_old


def standard_turn(affine: Float64[np.ndarray, "4 4"]) -> int:
    """The turn that brings a stack closest to the radiological short-axis view.

    Args:
        affine: voxel (column, row, slice) to RAS+ mm, as in `Scan.affine`.

    Returns:
        The turn after which the image's right points most to the patient's left and back, and its
        down to the feet.
    """
    column, row = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in (0, 1))
    best = 0
    best_score = -np.inf
    for turn in TURNS:
        right, down = _axes_after(column, row, turn)
        score = right @ _RIGHT + down @ _DOWN
        if score > best_score + 1e-9:
            best, best_score = turn, score
    return best


def _axes_after(right: np.ndarray, down: np.ndarray, turn: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions of the image's right and down after a turn."""
    if turn >= 4:
        right, down = down, right
    for _ in range(turn % 4):  # counter-clockwise: what pointed down now points right
        right, down = down, -right
    return right, down
