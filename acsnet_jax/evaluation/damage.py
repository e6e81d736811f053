"""Controlled damage of myocardium masks: what segmentation networks get wrong, in known amounts.

A mask is ``Bool[height, width]`` of NumPy; every length is in mm, so that a kind does the same to
one heart at any spacing. What grows with the strength s, 1 to 5:

========  ======================================================================================
holes     s round holes inside the wall, of radius 1 + 0.5 s mm (1.5 to 3.5), if it is thick enough
islands   s discs outside, of radius 1.5 + 0.7 s mm (2.2 to 5), away from the mask and each other
cuts      1, 1, 2, 2, 3 radial cuts through the wall, 1 + 0.5 s mm wide (1.5 to 3.5)
dents     1, 2, 2, 3, 3 bites of radius 2 + s mm (3 to 7) into the outline; a ring stays closed
blobs     1, 2, 2, 3, 3 attached outgrowths of radius 2 + s mm (3 to 7) on the outline
arcs      one sector of the wall is missing, 25 s degrees wide (25 to 125)
========  ======================================================================================

Foreground is 8-connected, background 4-connected. The outline is that of the mask with all its
holes filled; bites and outgrowths stand anywhere on it, and may overlap. Host side, NumPy and
SciPy.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from acsnet_jax.ops.host import boundary, fill_holes
from acsnet_jax.types import InputError, Spacing

Kind = Literal["holes", "islands", "cuts", "dents", "blobs", "arcs"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STRENGTHS = (1, 2, 3, 4, 5)

_EIGHT_CONNECTED = ndimage.generate_binary_structure(2, 2)
_ISLANDS_WITHIN_MM = 25.0
_JITTER = math.radians(20.0)  # of cuts that are otherwise spread evenly

Slice = Bool[np.ndarray, "height width"]
Distance = Float[np.ndarray, "height width"]
Pixel = tuple[int, int]
Point = Pixel | tuple[float, float]
"""(row, column) in pixels."""


def damage(
    rng: np.random.Generator, mask: Slice, spacing_mm: Spacing, kind: Kind, strength: int
) -> Slice:
    """Damages one mask; see the module for what each kind does.

    Where there is no place for some of it (a wall of two pixels has no inside, a full picture no
    outside), less is done.

    Args:
        rng: chooses the places.
        mask: one slice; an empty one stays empty.
        spacing_mm: (row, column) distance of pixel centres in mm.
        kind: one of `KINDS`.
        strength: one of `STRENGTHS`.

    Returns:
        The damaged mask; as given if nothing of it would be left.

    Raises:
        InputError: no such strength.
    """
    if strength not in STRENGTHS:
        raise InputError(f"damage has strengths 1 to 5, not {strength}")
    if not mask.any():
        return mask.copy()
    damaged = _DAMAGES[kind](rng, mask, spacing_mm, strength)
    return damaged if damaged.any() else mask.copy()


def _holes(rng: np.random.Generator, mask: Slice, spacing_mm: Spacing, strength: int) -> Slice:
    radius = 1.0 + 0.5 * strength
    damaged = mask.copy()
    for _ in range(strength):
        # A hole of this radius leaves a pixel on all sides, towards earlier holes too.
        room = _depth(damaged, spacing_mm) - max(spacing_mm)
        centre = _choose(rng, room > max(0.0, 0.75 * min(radius, room.max())))
        if centre is not None:
            reach = _distance_from(centre, mask.shape, spacing_mm)
            damaged &= reach > min(radius, 0.999 * room[centre])
    return damaged


def _islands(rng: np.random.Generator, mask: Slice, spacing_mm: Spacing, strength: int) -> Slice:
    radius = 1.5 + 0.7 * strength
    nearest = radius + 2 * math.hypot(*spacing_mm)
    near = _distance_to(mask, spacing_mm) < nearest + _ISLANDS_WITHIN_MM
    allowed = near & ~fill_holes(mask) & _inner(mask.shape, spacing_mm, radius)
    damaged = mask.copy()
    for _ in range(strength):
        centre = _choose(rng, allowed & (_distance_to(damaged, spacing_mm) > nearest))
        if centre is not None:
            damaged |= _distance_from(centre, mask.shape, spacing_mm) <= radius
    return damaged


def _cuts(rng: np.random.Generator, mask: Slice, spacing_mm: Spacing, strength: int) -> Slice:
    count = (strength + 1) // 2
    centre = _centroid(fill_holes(mask))
    first = _direction(rng, mask, centre, spacing_mm)
    damaged = mask.copy()
    for index in range(count):
        turn = 0.0 if index == 0 else 2 * math.pi * index / count + rng.uniform(-_JITTER, _JITTER)
        damaged &= ~_ray(mask.shape, centre, spacing_mm, first + turn, 1.0 + 0.5 * strength)
    return damaged


def _dents(rng: np.random.Generator, mask: Slice, spacing_mm: Spacing, strength: int) -> Slice:
    filled = fill_holes(mask)
    lining = np.asarray(ndimage.binary_dilation(filled & ~mask, _EIGHT_CONNECTED), bool)
    damaged = mask.copy()
    for _ in range(1 + strength // 2):
        centre = _choose(rng, boundary(filled))
        if centre is not None:
            bite = _distance_from(centre, mask.shape, spacing_mm) <= 2.0 + strength
            damaged &= ~bite | lining
    return damaged


def _blobs(rng: np.random.Generator, mask: Slice, spacing_mm: Spacing, strength: int) -> Slice:
    filled = fill_holes(mask)
    damaged = mask.copy()
    for _ in range(1 + strength // 2):
        centre = _choose(rng, boundary(filled))
        if centre is not None:
            disc = _distance_from(centre, mask.shape, spacing_mm) <= 2.0 + strength
            damaged |= disc & ~filled
    return damaged


def _arcs(rng: np.random.Generator, mask: Slice, spacing_mm: Spacing, strength: int) -> Slice:
    centre = _centroid(fill_holes(mask))
    middle = _direction(rng, mask, centre, spacing_mm)
    rows, columns = _offsets_mm(mask.shape, centre, spacing_mm)
    away = np.abs((np.arctan2(rows, columns) - middle + math.pi) % (2 * math.pi) - math.pi)
    missing = away <= math.radians(25.0 * strength) / 2
    # near the centre a sector is thinner than a pixel
    return mask & ~missing & ~_ray(mask.shape, centre, spacing_mm, middle, 0.0)


_DAMAGES: dict[Kind, Callable[[np.random.Generator, Slice, Spacing, int], Slice]] = {
    "holes": _holes,
    "islands": _islands,
    "cuts": _cuts,
    "dents": _dents,
    "blobs": _blobs,
    "arcs": _arcs,
}


def _choose(rng: np.random.Generator, where: Slice) -> Pixel | None:
    """Any one pixel of a mask."""
    places = np.argwhere(where)
    if not len(places):
        return None
    row, column = places[rng.integers(len(places))]
    return int(row), int(column)


def _inner(shape: tuple[int, ...], spacing_mm: Spacing, margin_mm: float) -> Slice:
    """Pixels at least this far from the picture's border."""
    inner = np.zeros(shape, bool)
    rows, columns = (math.ceil(margin_mm / step) for step in spacing_mm)
    inner[rows : shape[0] - rows, columns : shape[1] - columns] = True
    return inner


def _distance_to(mask: Slice, spacing_mm: Spacing) -> Distance:
    """Distance of each pixel to a mask in mm."""
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing_mm))


def _depth(mask: Slice, spacing_mm: Spacing) -> Distance:
    """Distance of each pixel to what is not in the mask, in mm; beyond the picture nothing is."""
    return _distance_to(~np.pad(mask, 1), spacing_mm)[1:-1, 1:-1]


def _offsets_mm(
    shape: tuple[int, ...], centre: Point, spacing_mm: Spacing
) -> tuple[Float[np.ndarray, "height 1"], Float[np.ndarray, "1 width"]]:
    """How far each row and each column lies from a point."""
    rows = (np.arange(shape[0]) - centre[0]) * spacing_mm[0]
    columns = (np.arange(shape[1]) - centre[1]) * spacing_mm[1]
    return rows[:, None], columns[None, :]


def _distance_from(centre: Point, shape: tuple[int, ...], spacing_mm: Spacing) -> Distance:
    return np.hypot(*_offsets_mm(shape, centre, spacing_mm))


def _centroid(mask: Slice) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(rows.mean()), float(columns.mean())


def _direction(rng: np.random.Generator, mask: Slice, centre: Point, spacing_mm: Spacing) -> float:
    """A direction in which the mask has a pixel, in radians from the columns to the rows."""
    row, column = rng.choice(np.argwhere(mask))
    return math.atan2((row - centre[0]) * spacing_mm[0], (column - centre[1]) * spacing_mm[1])


def _ray(
    shape: tuple[int, ...],
    centre: Point,
    spacing_mm: Spacing,
    angle: float,
    width_mm: float,
) -> Slice:
    """A straight band from the centre outwards, wide enough to be 4-connected."""
    rows, columns = _offsets_mm(shape, centre, spacing_mm)
    sine, cosine = math.sin(angle), math.cos(angle)
    along = columns * cosine + rows * sine
    across = np.abs(rows * cosine - columns * sine)
    thinnest = spacing_mm[0] * abs(cosine) + spacing_mm[1] * abs(sine)
    return (along >= 0) & (across <= max(width_mm, thinnest) / 2 + 1e-9)
