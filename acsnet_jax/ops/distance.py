"""Exact Euclidean distances in mm, with anisotropic spacing ``[2, masks]``, (row, column).

Between two contours, pixels are listed from their bits in blocks and compared pair by pair: a
contour has a few hundred pixels where the grid has sixteen thousand, so this costs less than a
distance transform of the grid. The depth of a region is a distance transform in two passes, along
columns and then along rows, whose second pass stops where no nearer pixel can follow.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float32

from acsnet_jax.ops.bits import Pixels, locate

BLOCK = 128
"""Pixels listed at once."""

_FEW = 8  # pixels compared in one pass over a block
_FAR = 1e15


def nearest_distance_range(
    queries: Pixels, targets: Pixels, spacing_mm: Float32[Array, "2 masks"]
) -> tuple[Float32[Array, " masks"], Float32[Array, " masks"]]:
    """Smallest and largest distance from a query pixel to its nearest target pixel.

    Args:
        queries: pixels numbered by `number_pixels`.
        targets: likewise, on the same grid.
        spacing_mm: pixel size of each mask.

    Returns:
        ``(smallest, largest)`` in mm; meaningless where either set is empty.
    """
    masks = queries.count.shape[0]
    most, left = jnp.max(queries.count), jnp.max(targets.count)
    row_area, column_area = spacing_mm[0:1] ** 2, spacing_mm[1:2] ** 2

    def block(state):
        first, low, high = state
        y, x, exists = positions(queries, first, BLOCK)

        def compare(inner):
            at, nearest = inner
            v, u, real = positions(targets, at, BLOCK)
            v = jnp.where(real, v, _FAR)
            few = jnp.minimum((left - at + _FEW - 1) // _FEW, BLOCK // _FEW)
            return at + BLOCK, lax.fori_loop(0, few, lambda k, d: approach(k, d, v, u), nearest)

        def approach(step, nearest, v, u):
            for k in range(_FEW):
                # differences of pixel coordinates are exact
                down = y - lax.dynamic_slice_in_dim(v, _FEW * step + k, 1)
                aside = x - lax.dynamic_slice_in_dim(u, _FEW * step + k, 1)
                squared = down * down * row_area + aside * aside * column_area
                nearest = jnp.minimum(nearest, squared)
            return nearest

        start = (jnp.int32(0), jnp.full((BLOCK, masks), jnp.inf, jnp.float32))
        _, nearest = lax.while_loop(lambda inner: inner[0] < left, compare, start)
        low = jnp.minimum(low, jnp.min(jnp.where(exists, nearest, jnp.inf), axis=0))
        high = jnp.maximum(high, jnp.max(jnp.where(exists, nearest, -jnp.inf), axis=0))
        return first + BLOCK, low, high

    infinite = jnp.full((masks,), jnp.inf, jnp.float32)
    _, low, high = lax.while_loop(
        lambda state: state[0] < most, block, (jnp.int32(0), infinite, -infinite)
    )
    return jnp.sqrt(low), jnp.sqrt(jnp.maximum(high, 0))


def largest_depth(
    mask: Bool[Array, "grid_rows grid_columns masks"], spacing_mm: Float32[Array, "2 masks"]
) -> Float32[Array, " masks"]:
    """Largest distance from a mask pixel to the nearest pixel off the mask.

    Args:
        mask: on its padded grid, so that every row and column has a pixel off the mask.
        spacing_mm: pixel size of each mask.

    Returns:
        Depth in mm; 0 for an empty mask.
    """
    columns = mask.shape[1]

    def slide(by):
        return lax.dynamic_slice_in_dim(padded, columns - by, columns, axis=1)

    above = _run_length(mask, reverse=False)
    below = _run_length(mask, reverse=True)
    rows_mm = jnp.minimum(above, below) * spacing_mm[0][None, None, :]
    vertical = rows_mm**2
    # off the grid nothing is nearer than its border, which is off the mask
    padded = jnp.pad(vertical, ((0, 0), (columns, columns), (0, 0)))

    def widen(state):
        step, squared, _ = state
        aside = (step.astype(jnp.float32) * spacing_mm[1]) ** 2
        beside = jnp.minimum(slide(step), slide(-step))
        nearer = jnp.minimum(squared, beside + aside[None, None, :])
        return step + 1, nearer, jnp.max(nearer, axis=(0, 1))

    def reachable(state):
        step, _, deepest = state
        return jnp.any((step.astype(jnp.float32) * spacing_mm[1]) ** 2 < deepest)

    start = (jnp.int32(1), vertical, jnp.max(vertical, axis=(0, 1)))
    return jnp.sqrt(lax.while_loop(reachable, widen, start)[2])


def _run_length(mask, *, reverse):
    """Number of mask pixels in an unbroken run along axis 0 up to and with each pixel."""

    def step(length, inside):
        length = jnp.where(inside, length + 1, 0.0)
        return length, length

    start = jnp.zeros(mask.shape[1:], jnp.float32)
    return lax.scan(step, start, mask, reverse=reverse)[1]


def positions(pixels, first, size):
    """``(row, column, exists)`` of a block of pixels, ``[size, masks]``, as float32."""
    row, column, exists = locate(pixels, first, size)
    return row.astype(jnp.float32), column.astype(jnp.float32), exists
