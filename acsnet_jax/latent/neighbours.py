"""Exact nearest neighbours in latent space, blocked in memory.

Codes are ``[n, latent]``. Distances come from differences taken one coordinate at a time, never
from |a|^2 + |b|^2 - 2 a.b, which cancels for close codes and loses bits in reduced-precision matrix
units.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from acsnet_jax.types import InputError, Population

_GROUP = 128  # candidates whose minimum is taken first


def nearest(
    queries: Float[Array | np.ndarray, "n latent"],
    population: Population | Float[Array | np.ndarray, "size latent"],
    k: int = 1,
    *,
    query_block: int = 64,
    block: int | None = None,
) -> tuple[Int[Array, "n {k}"], Float[Array, "n {k}"]]:
    """The ``k`` codes of the population closest to each query, nearest first.

    Works under ``jit``. Memory beyond the inputs is query_block x block floats.

    Args:
        queries: codes to look up.
        population: codes to search; a `Population` or its codes alone.
        k: number of neighbours, at least 1.
        query_block: queries compared at once.
        block: codes of the population compared at once. None: 4,096 on a CPU, whose cache holds
            their distances, 131,072 on an accelerator.

    Returns:
        Indices into the population and Euclidean distances, both ``[n, k]`` also for k = 1, as
        scikit-learn's ``kneighbors``. Equal distances are ordered by index.

    Raises:
        InputError: k is below 1 or above the population's size.
    """
    codes = population.codes if isinstance(population, Population) else population
    if not 1 <= k <= len(codes):
        raise InputError(f"k is {k} for {len(codes)} codes: choose 1 to their number")
    if block is None:
        block = 4096 if jax.default_backend() == "cpu" else 131_072
    return _nearest(
        jnp.asarray(queries),
        jnp.asarray(codes),
        k=k,
        query_block=min(query_block, max(len(queries), 1)),
        block=min(block, len(codes)),
    )


@functools.partial(jax.jit, static_argnames=("k", "query_block", "block"))
def _nearest(queries, codes, *, k, query_block, block):
    n, dimension = queries.shape
    rows = -(-n // query_block) * query_block
    padded = jnp.pad(queries, ((0, rows - n), (0, 0)))
    search = functools.partial(_search, codes=codes, k=k, block=block)
    indices, distances = jax.lax.map(search, padded.reshape(-1, query_block, dimension))
    return indices.reshape(rows, k)[:n], distances.reshape(rows, k)[:n]


def _search(queries, *, codes, k, block):
    """Running top-k over blocks of the population."""
    size, rows = len(codes), len(queries)
    width = min(k, block)

    def step(number, best):
        start = number * block
        # The last block is moved back to end with the population; what it repeats is put out.
        moved = jnp.minimum(start, size - block)
        candidates = jax.lax.dynamic_slice_in_dim(codes, moved, block)
        squared = _squared_distances(queries, candidates)
        indices = moved + jnp.arange(block, dtype=jnp.int32)
        squared = jnp.where((indices >= start)[None, :], squared, jnp.inf)
        closest, place = _smallest(squared, width)
        return _merge(best, (closest, indices[place]))

    first = (jnp.full((rows, k), jnp.inf, queries.dtype), jnp.zeros((rows, k), jnp.int32))
    squared, indices = jax.lax.fori_loop(0, -(-size // block), step, first)
    return indices, jnp.sqrt(squared)


def _squared_distances(queries, candidates):
    # One coordinate at a time, so that the compiler vectorises along the candidates.
    return sum((queries[:, i, None] - candidates[None, :, i]) ** 2 for i in range(queries.shape[1]))


def _smallest(values, k):
    """The k smallest of each row, ascending, and their places; the lower place on a tie."""
    if k == 1:
        return _least(values)
    negative, place = jax.lax.top_k(-values, k)
    return -negative, place


def _least(values):
    # Minima vectorise, an argmin does not: it only looks at the minima, then within one group.
    rows, size = values.shape
    group = min(_GROUP, size)
    padding = ((0, 0), (0, -size % group))
    groups = jnp.pad(values, padding, constant_values=jnp.inf).reshape(rows, -1, group)
    number = jnp.argmin(groups.min(axis=2), axis=1)[:, None]
    within = jnp.take_along_axis(groups, number[..., None], axis=1)[:, 0]
    place = jnp.argmin(within, axis=1)[:, None]
    least = jnp.take_along_axis(within, place, axis=1)
    return least, (number * group + place).astype(jnp.int32)


def _merge(best, found):
    """The best of two sorted lists; on a tie the earlier list wins, so the lower index."""
    values, indices = (jnp.concatenate(pair, axis=1) for pair in zip(best, found, strict=True))
    values, place = _smallest(values, best[0].shape[1])
    return values, jnp.take_along_axis(indices, place, axis=1)
