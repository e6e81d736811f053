"""Checks on a whole stack: which slices lie between apex and base.

Masks are ``[slices, height, width]``, apex first. Only ratios of areas count, so areas are in
pixels.
"""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from acsnet_jax.types import InputError


def trim_stack(
    masks: Bool[Array, "slices height width"],
    cavities: Bool[Array, "slices height width"],
    *,
    max_change: float = 0.6,
) -> Bool[Array, "slices"]:
    """Slices to keep: from the apex up to the base, without excess slices at either end.

    Args:
        masks: myocardium of each slice.
        cavities: cavity of each slice, empty where the slice is not a ring.
        max_change: see `trim_areas`, which decides.

    Returns:
        True where the slice is kept.
    """
    areas = jnp.sum(masks | cavities, axis=(1, 2), dtype=jnp.int32)
    is_open = jnp.any(masks, axis=(1, 2)) & ~jnp.any(cavities, axis=(1, 2))
    return trim_areas(areas, is_open, max_change=max_change)


@jax.jit
def trim_areas(
    areas: Int[Array | np.ndarray, "slices"],
    is_open: Bool[Array | np.ndarray, "slices"],
    *,
    max_change: Float[ArrayLike, ""] = 0.6,
) -> Bool[Array, "slices"]:
    """`trim_stack` of a stack whose areas are known; one program for each number of slices.

    In the longest run of strictly increasing areas (the first such run on a tie):

    - i_M is the last index of that run;
    - i_C is the first C-shaped slice from the start of the run on;
    - i_D is the first index from the start of the run on with
      (a[i] - a[i + 1]) / a[i] > ``max_change``;
    - the stack ends with slice max(i_M, min(i_C + 1, i_D)); what is missing counts as the last
      slice.

    Below the run's start, towards the apex, the stack is cut at the first decrease by more than
    ``max_change``. Empty slices are never kept and belong to no run, so those that pad a stack at
    either end change nothing, and stacks of several lengths may be padded and mapped over.

    Args:
        areas: of mask and cavity together, apex first, in pixels; 0 where there is no mask.
        is_open: whether a slice is C-shaped, a mask that is not empty and has no cavity.
        max_change: largest decrease of the area from one slice to the next, as a share of the
            larger area; the paper's 60%, or `fit_max_change`.

    Returns:
        True where the slice is kept.

    References:
        Paper, Methods, "Stage 3", volumetric checks: i = max(i_M, min(i_C + 1, i_D)).
    """
    areas = jnp.asarray(areas, jnp.int32)
    if not areas.size:
        return jnp.zeros(0, bool)
    index = jnp.arange(len(areas), dtype=jnp.int32)
    last = len(areas) - 1
    start, i_m = _longest_rise(areas)

    i_c = _first(jnp.asarray(is_open) & (index >= start))
    i_d = _first(_falls(areas, jnp.roll(areas, -1), max_change) & (index >= start) & (index < last))
    top = jnp.maximum(i_m, jnp.minimum(i_c + 1, i_d))

    cut = _falls(areas, jnp.roll(areas, 1), max_change) & (index > 0) & (index <= start)
    bottom = jnp.max(jnp.where(cut, index, 0))
    return (index >= bottom) & (index <= top) & (areas > 0)


def fit_max_change(areas: Iterable[Float[np.ndarray, "_"] | Int[np.ndarray, "_"]]) -> float:
    """The 95th percentile of the relative differences of successive areas (host).

    Args:
        areas: one array a scan, slices in order, any unit; 0 where there is no mask. Only
            neighbours that both have one are compared.

    Returns:
        Threshold for `trim_stack`: the difference as a share of the larger area, in [0, 1].

    Raises:
        InputError: no scan has two neighbouring slices with an area.

    References:
        Paper, Methods, "Stage 3": "the 95th percentile of the difference in areas between all
        sequential slices".
    """
    differences = []
    for scan in areas:
        pairs = np.stack([scan[:-1], scan[1:]]).astype(np.float64)
        smaller, larger = np.sort(pairs[:, np.all(pairs > 0, axis=0)], axis=0)
        differences.append((larger - smaller) / larger)
    successive = np.concatenate(differences) if differences else np.empty(0)
    if not successive.size:
        raise InputError(
            "no scan has two neighbouring slices with a mask: give scans of several slices"
        )
    return float(np.percentile(successive, 95))


def _longest_rise(
    areas: Int[Array, "slices"],
) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """First and last index of the longest strictly increasing run, the first one on a tie."""
    index = jnp.arange(len(areas), dtype=jnp.int32)
    before = jnp.roll(areas, 1)
    rises = (areas > before) & (before > 0) & (index > 0)
    starts = jax.lax.cummax(jnp.where(rises, 0, index))
    last = jnp.argmax(jnp.where(areas > 0, index - starts, -1)).astype(jnp.int32)
    return starts[last], last


def _falls(
    areas: Int[Array, "slices"], following: Int[Array, "slices"], max_change: Float[ArrayLike, ""]
) -> Bool[Array, "slices"]:
    """Whether the area falls by more than the given share to the following one."""
    before = jnp.maximum(areas, 1).astype(jnp.float32)
    fall = (areas - following).astype(jnp.float32) / before
    return (fall > max_change) & (areas > 0)


def _first(flags: Bool[Array, "slices"]) -> Int[Array, ""]:
    """Index of the first True; the last index if there is none."""
    last = jnp.asarray(len(flags) - 1, jnp.int32)
    return jnp.where(jnp.any(flags), jnp.argmax(flags).astype(jnp.int32), last)
