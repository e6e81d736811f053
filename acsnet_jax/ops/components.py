"""Connected components: their number, and the largest.

Both begin with floods of *lanes* (see `bits`), where each step serves one level of nesting, or one
component, of every mask at once. Masks with many components are labelled instead: the smallest
raster index of each component is carried along rows and columns, one mask an element.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32

from acsnet_jax.ops.bits import LANES, Lanes, any_lane, count, rows_from_lanes
from acsnet_jax.ops.flood import flood, grow
from acsnet_jax.ops.quads import euler_number


def object_count(mask: Lanes, filled: Lanes) -> Int32[Array, " masks"]:
    """Number of 8-connected components of each mask.

    Peels shells from the outside inwards. What lies within one level has no holes once filled, so
    that its Euler number counts its components.

    Args:
        mask: the masks.
        filled: the same with all holes filled.
    """

    def peel(state):
        inside, objects = state
        objects = objects + euler_number(rows_from_lanes(inside))
        shell = flood(grow(~inside), mask & inside, diagonal=True)
        within = inside & ~shell
        hole = flood(grow(shell), within & ~mask)
        return within & ~hole, objects

    start = (filled, jnp.zeros((LANES * mask.shape[-1],), jnp.int32))
    return lax.while_loop(lambda state: jnp.any(state[0] != 0), peel, start)[1]


def extract_largest(mask: Lanes, *, tries: int) -> tuple[Lanes, Bool[Array, " masks"]]:
    """The 4-connected component of most pixels; on a tie the first in raster order.

    Takes out one component after the other, the one with the deepest pixel first, until what is
    left cannot hold a larger one. Among specks, one try is enough.

    Args:
        mask: the masks.
        tries: components to take out at most.

    Returns:
        The component, and whether the tries sufficed to know it.
    """

    def extract(state):
        rest, _, best, area, step = state
        component = flood(first_pixel(_deepest(rest)), rest)
        size = count(rows_from_lanes(component))
        earlier = any_lane(first_pixel(component | best) & component)
        better = _as_lane_bits((size > area) | ((size == area) & earlier))
        best = (component & better) | (best & ~better)
        rest = rest & ~component
        left = count(rows_from_lanes(rest))
        return rest, left, best, jnp.maximum(area, size), step + 1

    def undecided(state):
        _, left, _, area, step = state
        return jnp.any((left >= area) & (left > 0)) & (step < tries)

    left = count(rows_from_lanes(mask))
    start = (mask, left, jnp.zeros_like(mask), jnp.zeros_like(left), jnp.int32(0))
    _, left, best, area, _ = lax.while_loop(undecided, extract, start)
    return best, (left < area) | (left == 0)


def _deepest(mask):
    """What is left of each mask before one more erosion by the 4-neighbours leaves nothing."""

    def erode(state):
        deepest, eroded = state
        remain = _as_lane_bits(any_lane(eroded))
        deepest = (eroded & remain) | (deepest & ~remain)
        return deepest, eroded & ~grow(~eroded)

    return lax.while_loop(lambda state: jnp.any(state[1] != 0), erode, (mask, mask))[0]


def label_largest(
    mask: Bool[Array, "height width masks"],
) -> Bool[Array, "height width masks"]:
    """Like `extract_largest`, in a time that does not depend on the number of components."""
    height, width, masks = mask.shape
    labels = _label(mask)
    areas = jnp.zeros((height * width + 1, masks), jnp.int32)
    areas = areas.at[labels, jnp.arange(masks).reshape(1, 1, masks)].add(1)[:-1]
    return mask & (labels == jnp.argmax(areas, axis=0).astype(jnp.int32)[None, None, :])


def _label(mask):
    """Smallest raster index of each pixel's component; height * width off the mask."""
    height, width, _ = mask.shape
    none = height * width
    index = jnp.arange(none, dtype=jnp.int32).reshape(height, width, 1)

    def sweep(state):
        before, _ = state
        labels = _carry_least(before, mask, none)
        labels = _carry_least(jnp.swapaxes(labels, 0, 1), jnp.swapaxes(mask, 0, 1), none)
        labels = jnp.swapaxes(labels, 0, 1)
        return labels, jnp.any(labels != before)

    start = (jnp.where(mask, index, none), jnp.array(True))
    return lax.while_loop(lambda state: state[1], sweep, start)[0]


def _carry_least(labels, mask, none):
    """Carries minima down and up axis 0 within the mask."""

    def step(carry, line):
        here, inside = line
        carry = jnp.where(inside, jnp.minimum(carry, here), none)
        return carry, carry

    start = jnp.full_like(labels[0], none)
    labels = lax.scan(step, start, (labels, mask))[1]
    return lax.scan(step, start, (labels, mask), reverse=True)[1]


def first_pixel(mask: Lanes) -> Lanes:
    """The first pixel of each mask in raster order; none of an empty one."""
    line = _first_along(lax.reduce(mask, jnp.uint32(0), lax.bitwise_or, (1,)))
    mask = mask & line[:, None, :]
    column = _first_along(lax.reduce(mask, jnp.uint32(0), lax.bitwise_or, (0,)))
    return mask & column[None, :, :]


def _first_along(flags):
    """The first set bit along axis 0 of each mask."""

    def step(seen, here):
        return seen | here, here & ~seen

    return lax.scan(step, jnp.zeros_like(flags[0]), flags)[1]


def _as_lane_bits(flags):
    """One flag a mask as a bit of its lane, ``[1, 1, lane words]``."""
    bits = (
        flags.reshape(LANES, -1).astype(jnp.uint32) << jnp.arange(LANES, dtype=jnp.uint32)[:, None]
    )
    return jnp.sum(bits, axis=0, dtype=jnp.uint32)[None, None, :]
