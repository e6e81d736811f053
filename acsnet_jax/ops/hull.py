"""How deep an outline dents below its convex hull, in mm, from 64 supporting lines."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float32

from acsnet_jax.ops.bits import Pixels
from acsnet_jax.ops.distance import BLOCK, positions

DIRECTIONS = 64
_FEW = 8
_TURNS = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
# Rounded, so that a quarter turn has a cosine of 0, and straight edges a depth of 0.
_COSINES, _SINES = (wave(_TURNS).round(12).astype(np.float32) for wave in (np.cos, np.sin))


def convexity_defect(
    contour: Pixels, spacing_mm: Float32[Array, "2 masks"]
) -> Float32[Array, " masks"]:
    """Largest depth of a contour pixel below the hull: max over p of min over k of (h_k - u_k.p).

    Args:
        contour: boundary pixels of a region; its hull is theirs.
        spacing_mm: pixel size of each mask.

    Returns:
        Depth in mm; meaningless for an empty contour.
    """
    masks = contour.count.shape[0]
    most = jnp.max(contour.count)
    # From the first pixel on: small numbers are exact enough, and wherever a mask lies in its
    # picture, its depth is the same to the bit.
    corner = positions(contour, jnp.int32(0), 1)[:2]

    def positions_mm(first):
        *place, exists = positions(contour, first, BLOCK)
        y, x = (
            (one - begin) * size
            for one, begin, size in zip(place, corner, spacing_mm[:, None], strict=True)
        )
        return y, x, exists

    def stretch(state):
        first, support = state
        y, x, exists = positions_mm(first)
        few = jnp.minimum((most - first + _FEW - 1) // _FEW, BLOCK // _FEW)
        return first + BLOCK, lax.fori_loop(0, few, lambda k, h: push(k, h, y, x, exists), support)

    def push(step, support, y, x, exists):
        for k in range(_FEW):
            v, u, real = (lax.dynamic_slice_in_dim(z, step * _FEW + k, 1) for z in (y, x, exists))
            along = cosines[:, None] * u + sines[:, None] * v
            support = jnp.where(real, jnp.maximum(support, along), support)
        return support

    def deepen(state):
        first, depth = state
        y, x, exists = positions_mm(first)

        def turn(step, nearest):
            for k in range(_FEW):
                index = step * _FEW + k
                height = lax.dynamic_slice_in_dim(support, index, 1)
                along = cosines[index] * x + sines[index] * y
                nearest = jnp.minimum(nearest, height - along)
            return nearest

        far = jnp.full((BLOCK, masks), jnp.inf, jnp.float32)
        nearest = lax.fori_loop(0, DIRECTIONS // _FEW, turn, far)
        deepest = jnp.max(jnp.where(exists, nearest, 0.0), axis=0)
        return first + BLOCK, jnp.maximum(depth, deepest)

    cosines, sines = jnp.asarray(_COSINES), jnp.asarray(_SINES)
    unseen = jnp.full((DIRECTIONS, masks), -jnp.inf, jnp.float32)
    _, support = lax.while_loop(lambda s: s[0] < most, stretch, (jnp.int32(0), unseen))
    start = (jnp.int32(0), jnp.zeros((masks,), jnp.float32))
    return lax.while_loop(lambda s: s[0] < most, deepen, start)[1]
