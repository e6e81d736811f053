"""Adam along a learning rate that comes with each step.

What a run's length decides is an argument, not a part of the program: runs of any length and rate
share what is compiled.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int


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
