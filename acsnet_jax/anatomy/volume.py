"""Checks on a whole stack: which slices lie between apex and base.

Masks are ``[slices, height, width]``, apex first. Only ratios of areas count, so areas are in
pixels.
"""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from acsnet_jax.types import InputError


def trim_stack(
    masks: Bool[Array, "slices height width"],
    cavities: Bool[Array, "slices height width"],
    *,
    max_change: float = 0.6,
) -> Bool[Array, "slices"]:
    """Slices to keep: from the apex up to the base, without excess slices at either end.

    With a the area of mask and cavity together, in the longest run of strictly increasing areas
    (the first such run on a tie):

    - i_M is the last index of that run;
    - i_C is the first C-shaped slice, a mask that is not empty and has no cavity;
    - i_D is the first index with (a[i] - a[i + 1]) / a[i] > ``max_change``;
    - the stack ends with slice max(i_M, min(i_C + 1, i_D)); what is missing counts as the last
      slice.

    Below the run's start, towards the apex, the stack is cut at the first decrease by more than
    ``max_change``. Empty slices are never kept. Empty slices appended as padding change nothing, so
    stacks of several lengths may be padded and mapped over.

    Args:
        masks: myocardium of each slice.
        cavities: cavity of each slice, empty where the slice is not a ring.
        max_change: largest decrease of the area from one slice to the next, as a share of the
            larger area; the paper's 60%, or `fit_max_change`.

    Returns:
        True where the slice is kept.

    References:
        Paper, Methods, "Stage 3", volumetric checks: i = max(i_M, min(i_C + 1, i_D)).
    """
    slices = len(masks)
    index = jnp.arange(slices, dtype=jnp.int32)
    areas = _count(masks | cavities)
    start, i_m = _longest_rise(areas)

    open_slices = jnp.any(masks, axis=(1, 2)) & ~jnp.any(cavities, axis=(1, 2))
    i_c = _first(open_slices)
    i_d = _first(_falls(areas, jnp.roll(areas, -1), max_change) & (index < slices - 1))
    top = jnp.maximum(i_m, jnp.minimum(i_c + 1, i_d))

    # A run may rise from an empty slice; the walk to the apex begins at its first mask.
    begin = jnp.where(areas[start] == 0, start + 1, start)
    cut = _falls(areas, jnp.roll(areas, 1), max_change) & (index > 0) & (index <= begin)
    bottom = jnp.max(jnp.where(cut, index, 0))
    return (index >= bottom) & (index <= top) & (areas > 0)


def fit_max_change(areas: Iterable[Float[np.ndarray, "_"] | Int[np.ndarray, "_"]]) -> float:
    """The 95th percentile of the relative differences of successive areas (host).

    Args:
        areas: one array a scan, slices in order, any unit. Empty slices are skipped.

    Returns:
        Threshold for `trim_stack`: the difference as a share of the larger area, in [0, 1].

    Raises:
        InputError: no scan has two slices with an area.

    References:
        Paper, Methods, "Stage 3": "the 95th percentile of the difference in areas between all
        sequential slices".
    """
    differences = []
    for scan in areas:
        drawn = np.asarray(scan, np.float64)
        drawn = drawn[drawn > 0]
        differences.append(np.abs(np.diff(drawn)) / np.maximum(drawn[1:], drawn[:-1]))
    successive = np.concatenate(differences) if differences else np.empty(0)
    if not successive.size:
        raise InputError("no scan has two slices with a mask: give scans of several slices")
    return float(np.percentile(successive, 95))


def _count(masks):
    return jnp.sum(masks, axis=(1, 2), dtype=jnp.int32)


def _longest_rise(areas):
    """First and last index of the longest strictly increasing run, the first one on a tie."""
    index = jnp.arange(len(areas), dtype=jnp.int32)
    rises = (areas > jnp.roll(areas, 1)) & (index > 0)
    starts = jax.lax.cummax(jnp.where(rises, 0, index))
    last = jnp.argmax(index - starts).astype(jnp.int32)
    return starts[last], last


def _falls(areas, following, max_change):
    """Whether the area falls by more than the given share to the following one."""
    before = jnp.maximum(areas, 1).astype(jnp.float32)
    fall = (areas - following).astype(jnp.float32) / before
    return (fall > max_change) & (areas > 0)


def _first(flags):
    """Index of the first True; the last index if there is none."""
    last = jnp.asarray(len(flags) - 1, jnp.int32)
    return jnp.where(jnp.any(flags), jnp.argmax(flags).astype(jnp.int32), last)
