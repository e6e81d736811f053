"""The state of a training run, as one pytree."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from acsnet_jax.types import InputError


class TrainState(NamedTuple):
    """Everything that a step changes.

    Attributes:
        step: number of steps done.
        params: trained parameters.
        batch_stats: running statistics of batch normalisation; empty where there is none.
        opt_state: optimiser state.
        key_data: raw words of the run's random key; every step folds its number in.
    """

    step: Int[Array, ""]
    params: PyTree
    batch_stats: PyTree
    opt_state: Any
    key_data: Array

    @property
    def variables(self) -> dict[str, PyTree]:
        """What Flax's `apply` takes."""
        if self.batch_stats:
            return {"params": self.params, "batch_stats": self.batch_stats}
        return {"params": self.params}


_ONCE = {"xla_backend_optimization_level": 1}
"""How to compile what runs once: random numbers take the CPU's compiler four times as long else."""


def create(
    model: nn.Module,
    optimiser: optax.GradientTransformation,
    shape: tuple[int, ...],
    key: PRNGKeyArray,
) -> TrainState:
    """A fresh state for images of `shape` (batch, height, width, channels)."""
    return _jitted_make()(model, optimiser, shape, key)


def outlined(
    model: nn.Module, optimiser: optax.GradientTransformation, shape: tuple[int, ...]
) -> TrainState:
    """Shapes and dtypes of what `create` gives; nothing is computed."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(functools.partial(_make, model, optimiser, shape), key)


@functools.cache
def _jitted_make() -> Callable:
    options = _ONCE if jax.default_backend() == "cpu" else None
    return jax.jit(_make, static_argnums=(0, 1, 2), compiler_options=options)


def _make(
    model: nn.Module,
    optimiser: optax.GradientTransformation,
    shape: tuple[int, ...],
    key: PRNGKeyArray,
) -> TrainState:
    init_key, run_key = jax.random.split(key)
    variables = model.init(init_key, jnp.zeros(shape), train=False)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimiser.init(variables["params"]),
        key_data=jax.random.key_data(run_key),
    )


def started_from(state: TrainState, other: TrainState) -> TrainState:
    """A fresh state with the parameters and batch statistics of another run.

    Raises:
        InputError: the other run trained a network of other sizes; names the first that differs.
    """
    ours, theirs = (
        dict(jax.tree_util.tree_leaves_with_path(one.variables)) for one in (state, other)
    )
    for path in {**ours, **theirs}:
        shapes = [jnp.shape(tree[path]) if path in tree else None for tree in (ours, theirs)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"cannot start from that run: {jax.tree_util.keystr(path)} has shape {shapes[1]} "
                f"there and {shapes[0]} here; train a network of the same sizes"
            )
    copy = functools.partial(jax.tree.map, jnp.array)  # a step donates its state
    return state._replace(params=copy(other.params), batch_stats=copy(other.batch_stats))
