"""Work on the masks that need it, in blocks, with static shapes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32


def on_subset(
    function: Callable[[Any], Any],
    select: Bool[Array, " masks"],
    arrays: Any,
    *,
    block: int,
    fill: Any,
    cost: Int32[Array, " masks"] | None = None,
) -> Any:
    """Applies a function to selected masks only, as many blocks as they fill.

    Args:
        function: from a tree of arrays ``[..., block]`` to a tree of arrays ``[..., block]``, each
            mask on its own; masks that fill up the last block come as zeros.
        select: which masks.
        arrays: tree of arrays, masks last.
        block: masks at once.
        fill: tree like the function's result, of scalars: the result of masks not selected.
        cost: how costly each mask is; masks alike share a block then, and one costly mask does not
            slow down the others.

    Returns:
        A tree like ``fill`` of arrays ``[..., masks]``.
    """
    masks = select.shape[0]
    block = min(block, masks)
    rank = jnp.zeros(masks, jnp.int32) if cost is None else cost
    order = jnp.argsort(jnp.where(select, rank, jnp.iinfo(jnp.int32).max)).astype(jnp.int32)
    total = jnp.sum(select.astype(jnp.int32))

    def pick(first):
        index = lax.dynamic_slice_in_dim(order, first, block)
        chosen = select[index]
        return index, jax.tree.map(
            lambda a: jnp.where(
                chosen.reshape((1,) * (a.ndim - 1) + (-1,)), jnp.take(a, index, axis=-1), 0
            ),
            arrays,
        )

    def work(state):
        first, results = state
        index, part = pick(first)
        return first + block, jax.tree.map(
            lambda all_, some: all_.at[..., index].set(some), results, function(part)
        )

    shapes = jax.eval_shape(lambda: function(pick(jnp.int32(0))[1]))
    start = jax.tree.map(
        lambda s, value: jnp.full((*s.shape[:-1], masks), value, s.dtype), shapes, fill
    )
    _, results = lax.while_loop(lambda s: s[0] < total, work, (jnp.int32(0), start))
    return jax.tree.map(
        lambda r, value: jnp.where(
            select.reshape((1,) * (r.ndim - 1) + (-1,)), r, jnp.asarray(value, r.dtype)
        ),
        results,
        fill,
    )
