"""The state of a training run, as one pytree."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree


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


def create(
    model: nn.Module,
    optimiser: optax.GradientTransformation,
    shape: tuple[int, ...],
    key: PRNGKeyArray,
) -> TrainState:
    """A fresh state for images of `shape` (batch, height, width, channels)."""
    init_key, run_key = jax.random.split(key)
    variables = jax.jit(lambda key: model.init(key, jnp.zeros(shape), train=False))(init_key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimiser.init(variables["params"]),
        key_data=jax.random.key_data(run_key),
    )
