"""Euler number, Crofton perimeter and area from local patterns of masks packed in rows.

References:
    Gray, "Local properties of binary images in two dimensions", IEEE Trans. Computers C-20, 1971
    (Euler number from 2 x 2 bit quads). The perimeter is that of scikit-image's
    ``perimeter_crofton(directions=4)``: each of its 16 pattern weights is a sum of the four
    transitions counted here.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float32, Int32

from acsnet_jax.ops.bits import Rows, count
from acsnet_jax.ops.morphology import from_above, from_left, from_right


def euler_number(rows: Rows) -> Int32[Array, " masks"]:
    """8-connected components of each mask minus its 4-connected holes."""
    above, left = from_above(rows), from_left(rows)
    corner = from_left(above)
    falling, rising = rows & corner, above & left
    odd = rows ^ above ^ left ^ corner
    three = odd & (falling | rising)
    diagonal = (falling & ~above & ~left) | (rising & ~rows & ~corner)
    return (count(odd) - 2 * count(three) - 2 * count(diagonal)) // 4


def crofton_perimeter(rows: Rows) -> Float32[Array, " masks"]:
    """Crofton perimeter in 4 directions, in pixels; 0 for an empty mask."""
    above = from_above(rows)
    straight = count(rows & ~above) + count(rows & ~from_left(rows))
    slanted = count(rows & ~from_left(above)) + count(rows & ~from_right(above))
    return (math.pi / 4) * (
        straight.astype(jnp.float32) + slanted.astype(jnp.float32) * math.sqrt(0.5)
    )


def circularity(rows: Rows) -> Float32[Array, " masks"]:
    """4 pi area / perimeter^2 on the pixel grid; NaN for an empty mask."""
    area = count(rows).astype(jnp.float32)
    return 4 * math.pi * area / crofton_perimeter(rows) ** 2
