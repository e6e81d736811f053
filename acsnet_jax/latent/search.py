"""Work on some rows of a batch, in blocks of one size: static shapes, and no step for the rest.

A row is a mask of the batch. Rows are told by their index; an index of ``n`` fills up a block,
reads some row and writes none.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

NEVER = np.iinfo(np.int32).max
"""Index of a point that was never found."""


def first_passing(
    passes: Callable[
        [Int[Array, "block"], Int[Array, "block"]],
        tuple[Bool[Array, "block"], Bool[Array, "block height width"]],
    ],
    chosen: Bool[Array, "n"],
    size: Int[Array, ""],
    masks: Bool[Array, "n height width"],
    *,
    block: int,
) -> tuple[Int[Array, "n"], Bool[Array, "n height width"]]:
    """First point of a grid at which each chosen row passes, and the mask that passed.

    Each round spreads ``block`` trials over the rows still open, the same number of successive
    points each. So every point below the result is tried, few beyond it are, a few rows are tried
    at all points at once, and blocks are full while many rows are open.

    Args:
        passes: (row, point) of each trial to (whether it passes, its mask).
        chosen: rows to try.
        size: number of points.
        masks: one a row, overwritten where a row passes.
        block: trials a round.

    Returns:
        The first point, `NEVER` where there is none, and the masks.
    """
    n = len(chosen)
    slots = jnp.arange(block, dtype=jnp.int32)

    def is_open(state):
        first, tried, _ = state
        return chosen & (first == NEVER) & (tried < size)

    def step(state):
        first, tried, masks = state
        still_open = is_open(state)
        share = jnp.maximum(block // jnp.sum(still_open, dtype=jnp.int32), 1)
        row = take(places(still_open, block), slots // share)
        point = take(tried, row) + slots % share
        live = (row < n) & (point < size)
        passing, tried_masks = passes(row, point)
        passing = passing & live
        first = first.at[row].min(jnp.where(passing, point, NEVER), mode="drop")
        tried = tried.at[row].max(jnp.where(live, point + 1, 0), mode="drop")
        winner = passing & (point == take(first, row))
        return first, tried, put(masks, jnp.where(winner, row, n), tried_masks)

    start = (jnp.full(n, NEVER, jnp.int32), jnp.zeros(n, jnp.int32), masks)
    first, _, masks = jax.lax.while_loop(lambda state: jnp.any(is_open(state)), step, start)
    return first, masks


def map_rows(
    function: Callable[..., Any],
    inputs: tuple[Array, ...],
    chosen: Bool[Array, "n"],
    start: Any,
    *,
    block: int,
) -> Any:
    """Applies a function to the chosen rows of the inputs, ``block`` at a time, and to no others.

    Args:
        function: of one block of each input, to a tree of arrays ``[block, ...]``.
        inputs: arrays ``[n, ...]``.
        chosen: rows to take.
        start: tree of arrays ``[n, ...]``; rows that are not chosen keep it.
        block: rows at once.
    """
    n = len(chosen)
    order = places(chosen, -(-n // block) * block)
    blocks = (jnp.sum(chosen, dtype=jnp.int32) + block - 1) // block

    def body(number, results):
        rows = jax.lax.dynamic_slice_in_dim(order, number * block, block)
        found = function(*jax.tree.map(lambda values: take(values, rows), inputs))
        return jax.tree.map(lambda values, new: put(values, rows, new), results, found)

    return jax.lax.fori_loop(0, blocks, body, start)


def places(flags: Bool[Array, "n"], size: int) -> Int[Array, "{size}"]:
    """Indices of the True entries, then ``len(flags)``, cut or filled to ``size``."""
    n = len(flags)
    order = jnp.sort(jnp.where(flags, jnp.arange(n, dtype=jnp.int32), n))
    return jnp.pad(order[:size], (0, max(size - n, 0)), constant_values=n)


def take(values: Array, rows: Array) -> Array:
    """Some rows; an index beyond the last reads the last."""
    return values.at[rows].get(mode="clip")


def put(values: Array, rows: Array, new: Array) -> Array:
    """The values with some rows replaced; an index beyond the last writes nothing."""
    return values.at[rows].set(new, mode="drop")
