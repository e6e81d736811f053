"""Muon, step by step. Optax's optimisers need standard dtype promotion."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax.training.checkpoint import Checkpoints
from acsnet_jax.training.optimiser import Course, adam, learning_rate, muon
from acsnet_jax.training.sharding import data_mesh, replicated
from acsnet_jax.training.state import TrainState

pytestmark = pytest.mark.usefixtures("standard_promotion")

COURSE = Course(np.float32(0.01), np.int32(1), np.int32(10))


def parameters(seed):
    rng = np.random.default_rng(seed)
    shapes = {"kernel": (3, 3, 4, 8), "dense": (5, 40), "bias": (8,)}
    return {
        name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()
    }


@functools.cache
def steps_of(optimiser, count):
    """The changes of some steps along gradients that stay as they are, and the state then."""
    params, gradients = parameters(0), parameters(1)
    state, changes = optimiser.init(params), []
    update = jax.jit(optimiser.update)
    for _ in range(count):
        change, state = update(gradients, state, params, course=COURSE)
        changes.append(change)
    return changes, state


@pytest.mark.parametrize(("name", "matrix"), [("kernel", (36, 8)), ("dense", (5, 40))])
def test_muon_goes_as_far_in_every_direction(name, matrix):
    changes, _ = steps_of(muon(), 3)
    change = np.asarray(changes[-1][name]).reshape(matrix)
    rate = float(learning_rate(COURSE, jnp.int32(2)))
    left, _, right = np.linalg.svd(np.asarray(parameters(1)[name]).reshape(matrix), False)
    wanted = -rate * 0.2 * np.sqrt(max(matrix)) * (left @ right)
    # five Newton-Schulz steps bring singular values near 1, not to it
    found = np.linalg.svd(change, compute_uv=False) / np.linalg.svd(wanted, compute_uv=False)
    assert 0.6 < found.min() <= found.max() < 1.3
    assert np.vdot(change, wanted) > 0.97 * np.linalg.norm(change) * np.linalg.norm(wanted)
    # as large as Adam's
    assert np.sqrt(np.mean(change**2)) == pytest.approx(0.2 * rate, rel=0.3)


def test_muon_leaves_vectors_to_nadam():
    ours, theirs = (steps_of(optimiser, 3)[0][-1] for optimiser in (muon(), adam()))
    np.testing.assert_allclose(ours["bias"], theirs["bias"], rtol=0.1)  # Nesterov's
    assert np.abs(ours["kernel"] - theirs["kernel"]).max() > 0.1 * np.abs(theirs["kernel"]).max()


def test_the_state_of_muon_is_kept_with_a_checkpoint(tmp_path):
    _, kept = steps_of(muon(), 3)
    everywhere = replicated(data_mesh(2))

    def state(step, opt_state):
        key = jax.random.key_data(jax.random.key(0))
        return jax.device_put(
            TrainState(jnp.int32(step), parameters(0), {}, opt_state, key), everywhere
        )

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(2, kept))
        found = checkpoints.restore(state(0, muon().init(parameters(0))), everywhere)
    assert int(found.step) == 2
    jax.tree.map(np.testing.assert_array_equal, found.opt_state, kept)
    assert jax.tree.structure(found.opt_state) == jax.tree.structure(kept)
