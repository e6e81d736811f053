"""How deep an outline dents below its convex hull, in mm, from 64 supporting lines."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float32

from acsnet_jax.ops.bits import Pixels
from acsnet_jax.ops.distance import positions

DIRECTIONS = 64
_BLOCK = 128
_FEW = 8
_TURNS = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
_COSINES, _SINES = np.cos(_TURNS).astype(np.float32), np.sin(_TURNS).astype(np.float32)


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

    def stretch(state):
        first, support = state
        y, x, exists = _positions_mm(contour, first, _FEW, spacing_mm)
        for k in range(_FEW):
            here = _COSINES[:, None] * x[k : k + 1] + _SINES[:, None] * y[k : k + 1]
            support = jnp.where(exists[k : k + 1], jnp.maximum(support, here), support)
        return first + _FEW, support

    def deepen(state):
        first, depth = state
        y, x, exists = _positions_mm(contour, first, _BLOCK, spacing_mm)

        def turn(step, nearest):
            for k in range(_FEW):
                index = step * _FEW + k
                height = lax.dynamic_slice_in_dim(support, index, 1)
                along = cosines[index] * x + sines[index] * y
                nearest = jnp.minimum(nearest, height - along)
            return nearest

        far = jnp.full((_BLOCK, masks), jnp.inf, jnp.float32)
        nearest = lax.fori_loop(0, DIRECTIONS // _FEW, turn, far)
        deepest = jnp.max(jnp.where(exists, nearest, 0.0), axis=0)
        return first + _BLOCK, jnp.maximum(depth, deepest)

    cosines, sines = jnp.asarray(_COSINES), jnp.asarray(_SINES)
    unseen = jnp.full((DIRECTIONS, masks), -jnp.inf, jnp.float32)
    _, support = lax.while_loop(lambda s: s[0] < most, stretch, (jnp.int32(0), unseen))
    start = (jnp.int32(0), jnp.zeros((masks,), jnp.float32))
    return lax.while_loop(lambda s: s[0] < most, deepen, start)[1]


def _positions_mm(contour, first, size, spacing_mm):
    row, column, exists = positions(contour, first, size)
    return row * spacing_mm[0:1], column * spacing_mm[1:2], exists
