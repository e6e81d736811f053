"""Volumes and mass of masks in physical units, on the host.

Masks are ``Bool[slices, height, width]``, apex first. Nearest-neighbour interpolation through plane
(paper, Evaluation) gives every slice the half-gap on both of its sides, so that a volume is the sum
of area x extent. The first and the last slice have one neighbour only and extend as far outwards as
inwards: they count the full distance to it. A uniform stack thus gives area x slice distance.
Distances come from slice positions, not from SliceThickness, which leaves the gaps out.
"""

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32
from scipy import ndimage

from acsnet_jax.types import InputError, Spacing

MYOCARDIAL_DENSITY_G_PER_ML = 1.05
_TOUCHING = ndimage.generate_binary_structure(3, 3)
MM3_PER_ML = 1000.0


def slice_extents_mm(
    positions_mm: Float64[np.ndarray, "slices"],
) -> Float64[np.ndarray, "slices"]:
    """How much of the through-plane axis each slice stands for.

    Args:
        positions_mm: strictly increasing positions along the stack's normal.

    Returns:
        Extent of each slice in mm.

    Raises:
        InputError: fewer than two slices, which have no distance, or positions out of order.
    """
    if len(positions_mm) < 2:
        raise InputError(
            f"a stack of {len(positions_mm)} slice has no slice distance and no volume: "
            "give the whole short-axis stack"
        )
    gaps = np.diff(positions_mm)
    if (gaps <= 0).any():
        raise InputError(
            f"slice {int(np.argmax(gaps <= 0)) + 1} lies no higher than the one before: "
            "order slices by position, apex first, and drop duplicates"
        )
    below = np.concatenate([gaps[:1], gaps])
    above = np.concatenate([gaps, gaps[-1:]])
    return 0.5 * (below + above)


def stack_ends_mm(
    positions_mm: Float64[np.ndarray, "slices"], first: int, last: int
) -> tuple[float, float]:
    """Where on the through-plane axis the part begins and ends that some slices stand for.

    Args:
        positions_mm: of two slices or more, strictly increasing.
        first: the lowest of them.
        last: the highest.
    """
    gaps = np.diff(positions_mm)
    below, above = gaps[max(first - 1, 0)], gaps[min(last, len(gaps) - 1)]
    return float(positions_mm[first] - below / 2), float(positions_mm[last] + above / 2)


def areas_mm2(
    mask: Bool[np.ndarray, "slices height width"], spacing_mm: Spacing
) -> Float[np.ndarray, "slices"]:
    """Area of the mask on each slice in mm^2."""
    return np.count_nonzero(mask, axis=(1, 2)) * (spacing_mm[0] * spacing_mm[1])


def volume_ml(
    mask: Bool[np.ndarray, "slices height width"],
    positions_mm: Float64[np.ndarray, "slices"],
    spacing_mm: Spacing,
) -> float:
    """Volume of a mask.

    Args:
        mask: one structure of a stack.
        positions_mm: position of each slice, as in `Scan`.
        spacing_mm: (row, column) distance of pixel centres in mm.

    Returns:
        Volume in mL.

    Raises:
        InputError: see `slice_extents_mm`.
    """
    return float(areas_mm2(mask, spacing_mm) @ slice_extents_mm(positions_mm)) / MM3_PER_ML


def label_pieces(
    mask: Bool[np.ndarray, "slices height width"],
) -> Int32[np.ndarray, "slices height width"]:
    """The number of the piece of each pixel, from 1; they touch across slices, diagonally too."""
    labels = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, _TOUCHING, output=labels)
    return labels


def piece_volumes_ml(
    mask: Bool[np.ndarray, "slices height width"],
    positions_mm: Float64[np.ndarray, "slices"],
    spacing_mm: Spacing,
) -> tuple[float, ...]:
    """Volumes in mL of the pieces of a mask, largest first; arguments as of `volume_ml`.

    Pieces touch across slices, diagonally too.

    Raises:
        InputError: see `slice_extents_mm`, where there is any piece.
    """
    labels = label_pieces(mask)
    volumes = [
        volume_ml(labels == piece, positions_mm, spacing_mm)
        for piece in range(1, int(labels.max(initial=0)) + 1)
    ]
    return tuple(sorted(volumes, reverse=True))


def mass_g(volume_ml: float) -> float:
    """Mass in g of a volume of myocardium in mL, at 1.05 g/mL."""
    return MYOCARDIAL_DENSITY_G_PER_ML * volume_ml
