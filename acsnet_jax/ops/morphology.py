"""Neighbours, dilation and contours on masks packed in rows (see `bits`).

Masks stay off the last row and column of 32-bit words that the shifts push pixels into: the padded
grid has a background pixel on every side.
"""

import jax.numpy as jnp

from acsnet_jax.ops.bits import LANES, Rows


def from_above(rows: Rows) -> Rows:
    """Each pixel takes the value of its neighbour one row up."""
    return jnp.pad(rows[:-1], ((1, 0), (0, 0), (0, 0)))


def from_below(rows: Rows) -> Rows:
    """Each pixel takes the value of its neighbour one row down."""
    return jnp.pad(rows[1:], ((0, 1), (0, 0), (0, 0)))


def from_left(rows: Rows) -> Rows:
    """Each pixel takes the value of its neighbour one column to the left."""
    carried = jnp.pad(rows[:, :-1], ((0, 0), (1, 0), (0, 0)))
    return (rows << 1) | (carried >> (LANES - 1))


def from_right(rows: Rows) -> Rows:
    """Each pixel takes the value of its neighbour one column to the right."""
    carried = jnp.pad(rows[:, 1:], ((0, 0), (0, 1), (0, 0)))
    return (rows >> 1) | (carried << (LANES - 1))


def outer_contour(rows: Rows) -> Rows:
    """Pixels outside a region that 4-touch it."""
    grown = from_above(rows) | from_below(rows) | from_left(rows) | from_right(rows)
    return grown & ~rows


def inner_contour(rows: Rows) -> Rows:
    """Pixels of a region that 4-touch its outside."""
    kernel = from_above(rows) & from_below(rows) & from_left(rows) & from_right(rows)
    return rows & ~kernel
