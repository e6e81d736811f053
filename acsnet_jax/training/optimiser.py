"""Adam and Muon along a learning rate that comes with each step.

What a run's length decides is an argument, not a part of the program: runs of any length and rate
share what is compiled.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree
from optax import contrib

_ADAM_RMS = 0.2  # of a parameter's changes by Adam, in units of the learning rate


class Course(NamedTuple):
    """The learning rate of a run: from 0 up to a peak, then half a cosine down to 0.

    Attributes:
        peak: the highest rate.
        warmup: steps up to it, at least 1.
        steps: of the whole run, more than `warmup`.
    """

    peak: Float[Array | np.ndarray | np.generic, ""]
    warmup: Int[Array | np.ndarray | np.generic, ""]
    steps: Int[Array | np.ndarray | np.generic, ""]


def learning_rate(course: Course, count: Int[Array, ""]) -> Float[Array, ""]:
    """The rate of a step; `count` are done before it."""
    done = jnp.asarray(count, jnp.float32)
    warmup, steps = (jnp.asarray(x, jnp.float32) for x in (course.warmup, course.steps))
    peak = jnp.asarray(course.peak, jnp.float32)
    rising = done / warmup
    falling = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum((done - warmup) / (steps - warmup), 1.0)))
    return peak * jnp.where(done < warmup, rising, falling)


@functools.cache
def adam() -> optax.GradientTransformationExtraArgs:
    """Adam (paper, Training); its ``update`` takes ``course``, a `Course`."""
    return optax.chain(optax.scale_by_adam(), _along_a_course())


@functools.cache
def muon() -> optax.GradientTransformationExtraArgs:
    """Muon for kernels and matrices, Nadam for the rest; its ``update`` takes ``course``.

    The momentum of a kernel, as a matrix of its inputs by its outputs, is made orthogonal before it
    is descended along, so that no direction of it waits for the others. Changes are as large as
    Adam's at the same learning rate.

    References:
        Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. Liu et al.,
        "Muon is scalable for LLM training", arXiv 2502.16982, 2025 (the size of the changes).
    """
    # Optax turns the gradient's sign around, and so does the course.
    direction = contrib.muon(
        -1.0, consistent_rms=_ADAM_RMS, muon_weight_dimension_numbers=_matrices
    )
    return optax.chain(direction, _along_a_course())


def _matrices(params: PyTree) -> PyTree:
    """How each parameter is read as a matrix, its last axis the outputs; None for vectors."""

    def axes(param: Any) -> contrib.MuonDimensionNumbers | None:
        if param.ndim < 2:
            return None
        return contrib.MuonDimensionNumbers(tuple(range(param.ndim - 1)), param.ndim - 1)

    return jax.tree.map(axes, params)


def _along_a_course() -> optax.GradientTransformationExtraArgs:
    def init(params):
        del params
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update(updates, state, params=None, **given):
        del params
        rate = learning_rate(given["course"], state.count)
        changes = jax.tree.map(lambda change: -rate.astype(change.dtype) * change, updates)
        return changes, optax.ScaleByScheduleState(count=optax.safe_increment(state.count))

    return optax.GradientTransformationExtraArgs(init, update)
