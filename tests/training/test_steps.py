"""Steps with plain gradient descent: Optax's Adam does not pass strict dtype promotion."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from acsnet_jax.models import Autoencoder, ResUNet
from acsnet_jax.training.augment import NOTHING, Augment
from acsnet_jax.training.optimiser import Course
from acsnet_jax.training.sharding import compiled_train_step, data_mesh, divided, replicated
from acsnet_jax.training.state import TrainState
from acsnet_jax.training.steps import Batch, Task, batch_loss, eval_step, prepare, train_step

GENTLE = Augment(dihedral=False, rotation_deg=5.0, scale=0.05, shift_px=1.0, noise=0.05, box=0.1)
MYO = Task(
    name="myo",
    model=ResUNet(filters=(4,), bridge=8, outputs=2, dropout=0.2),
    optimiser=optax.sgd(0.05, momentum=0.9),
    size=16,
    augment=GENTLE,
    beta=0.4,
)
AUTOENCODER = Task(
    name="autoencoder",
    model=Autoencoder(size=16, latent=3, filters=(4, 4)),
    optimiser=optax.sgd(0.05),
    size=16,
    augment=NOTHING,
    beta=0.5,
)


COURSE = Course(np.float32(0.1), np.int32(1), np.int32(2))  # plain gradient descent has its own


@functools.cache
def compiled(task):
    return jax.jit(functools.partial(train_step, task, COURSE))


def fresh_state(task):
    """As `state.create`, without compiling an initialisation."""
    image = jax.ShapeDtypeStruct((1, task.size, task.size, 1), jnp.float32)
    shapes = jax.eval_shape(
        functools.partial(task.model.init, train=False), jax.random.key(0), image
    )
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            return rng.normal(0, np.sqrt(2 / leaf.size * leaf.shape[-1]), leaf.shape)
        return np.full(leaf.shape, name in ("scale", "var"))

    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.asarray(draw(path, leaf), jnp.float32), shapes
    )
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=task.optimiser.init(variables["params"]),
        key_data=jax.random.key_data(jax.random.key(5)),
    )


def make_batch(outputs=2, size=20):
    """Bright discs on noise, and the discs; the second output is the discs' upper half."""
    rng = np.random.default_rng(1)
    offset = np.arange(size) - size // 2
    discs = np.stack([offset[:, None] ** 2 + offset**2 < radius**2 for radius in (3, 4, 5, 6)])
    images = np.where(discs, 180, 40) + rng.integers(0, 40, discs.shape)
    upper = discs & (offset < 0)[:, None]
    targets = np.stack([discs, upper][:outputs], axis=-1)
    if outputs == 1:
        images = discs
    return Batch(
        jnp.asarray(images, jnp.uint8),
        jnp.asarray(targets, jnp.uint8),
        jnp.ones((4, outputs), jnp.float32),
        jnp.array([6, 7, 8, jnp.inf], jnp.float32),
    )


def assert_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_fixed_batch_is_learnt():
    state, losses, metrics = fresh_state(MYO), [], {}
    for _ in range(40):
        state, metrics = compiled(MYO)(state, make_batch())
        losses.append(float(metrics["loss"]))
    assert set(metrics) == {"loss", "dice_0", "dice_1"}
    assert int(state.step) == 40
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert metrics["dice_0"] > 0.8


def test_runs_of_any_length_and_rate_share_a_program():
    longer = Course(np.float32(0.02), np.int32(5), np.int32(700))
    one, other = (compiled_train_step(MYO, course, data_mesh(4)) for course in (COURSE, longer))
    jitted: Any = one.func
    assert jitted is other.func
    for step in (one, other):
        step(fresh_state(MYO), make_batch())
    assert jitted._cache_size() == 1


def test_a_step_is_pure():
    state, batch = fresh_state(MYO), make_batch()
    kept = jax.tree.map(np.array, state)
    first, again = (compiled(MYO)(state, batch) for _ in range(2))
    assert_equal(first, again)
    assert_equal(state, kept)


def test_the_step_number_and_the_key_decide_the_random_changes():
    state, batch = fresh_state(MYO), make_batch()
    other_key = jax.random.key_data(jax.random.key(6))
    _, here = compiled(MYO)(state, batch)
    _, later = compiled(MYO)(state._replace(step=state.step + 1), batch)
    _, elsewhere = compiled(MYO)(state._replace(key_data=other_key), batch)
    assert len({float(metrics["loss"]) for metrics in (here, later, elsewhere)}) == 3
    after, _ = compiled(MYO)(state, batch)
    np.testing.assert_array_equal(after.key_data, state.key_data)


def test_outputs_of_weight_0_do_not_count():
    state, batch = fresh_state(MYO), make_batch()
    weights = np.array(batch.weights)
    weights[1:, 1] = 0
    batch = batch._replace(weights=weights)
    other = np.array(batch.targets)
    other[1:, ..., 1] = 1 - other[1:, ..., 1]
    expected, metrics = compiled(MYO)(state, batch)
    result, others = compiled(MYO)(state, batch._replace(targets=other))
    assert_equal(result, expected)
    assert_equal(others, metrics)
    other[0, ..., 1] = 0
    result, _ = compiled(MYO)(state, batch._replace(targets=other))
    with pytest.raises(AssertionError):
        assert_equal(result.params, expected.params)


def test_samples_of_weight_0_do_not_count_where_no_batch_statistics_tie_them():
    state, batch = fresh_state(AUTOENCODER), make_batch(outputs=1, size=16)
    weights = np.array([[1], [0], [1], [0]], np.float32)
    other = np.array(batch.targets)
    other[1::2] = 1 - other[1::2]
    results = [
        compiled(AUTOENCODER)(state, batch._replace(targets=targets, weights=weights))
        for targets in (batch.targets, other)
    ]
    assert_equal(*results)


def test_a_batch_of_light_samples_counts_less():
    state, batch = fresh_state(MYO), make_batch()
    _, whole = compiled(MYO)(state, batch._replace(weights=np.ones_like(batch.weights)))
    _, light = compiled(MYO)(state, batch._replace(weights=0.25 * np.ones_like(batch.weights)))
    np.testing.assert_allclose(light["loss"], 0.25 * whole["loss"], rtol=1e-6)


def test_nothing_counted_moves_nothing():
    state, batch = fresh_state(AUTOENCODER), make_batch(outputs=1, size=16)
    result, metrics = compiled(AUTOENCODER)(state, batch._replace(weights=0 * batch.weights))
    assert metrics["loss"] == 0
    assert_equal(result.params, state.params)


def test_two_devices_do_what_one_does():
    mesh = data_mesh(4)
    assert mesh.devices.size == 2
    sharded = compiled_train_step(MYO, COURSE, mesh)
    alone, batch = fresh_state(MYO), make_batch()
    together = jax.device_put(alone, replicated(mesh))
    expected, metrics = {}, {}
    for _ in range(2):
        alone, expected = compiled(MYO)(alone, batch)
        together, metrics = sharded(together, jax.device_put(batch, divided(mesh)))
    assert len(metrics["loss"].sharding.device_set) == 2
    # The batch statistics too: they are those of the whole batch, not of a device's share.
    one, two = jax.device_get(((alone, expected), (together, metrics)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), one, two)


def test_stage_2_is_prepared_as_it_predicts():
    images, targets = jax.jit(
        functools.partial(prepare, dataclasses.replace(MYO, augment=NOTHING))
    )(jax.random.key(0), make_batch())
    batch = make_batch()
    assert images.shape == (4, 16, 16, 1)
    assert targets.shape == (4, 16, 16, 2)
    np.testing.assert_array_equal(targets, batch.targets[:, 2:18, 2:18])
    expected = np.asarray(batch.images, float)[:, 2:18, 2:18]
    near = np.abs(np.arange(16) - 8) <= np.asarray(batch.half_side)[:, None]
    expected = expected * near[:, :, None] * near[:, None, :]
    np.testing.assert_allclose(images[..., 0], expected, atol=0.05)


def test_the_autoencoder_sees_its_targets():
    batch = make_batch(outputs=1)
    task = dataclasses.replace(AUTOENCODER, augment=Augment(rotation_deg=180.0))
    masks, targets = jax.jit(functools.partial(prepare, task))(jax.random.key(0), batch)
    np.testing.assert_array_equal(masks, targets)
    assert set(np.unique(masks)) == {0, 1}
    np.testing.assert_allclose(
        masks.sum(axis=(1, 2, 3)), batch.targets.sum(axis=(1, 2, 3)), rtol=0.35
    )


def test_the_autoencoder_rebuilds_whole_masks_from_damaged_ones():
    batch = make_batch(outputs=1)
    whole = functools.partial(prepare, dataclasses.replace(AUTOENCODER, augment=Augment()))
    broken = functools.partial(
        prepare, dataclasses.replace(AUTOENCODER, augment=Augment(damage=1.0))
    )
    expected, _ = jax.jit(whole)(jax.random.key(0), batch)
    masks, targets = jax.jit(broken)(jax.random.key(0), batch)
    np.testing.assert_array_equal(targets, expected)
    assert (masks != targets).any()


def test_evaluation_is_the_dice_of_each_sample_without_augmentation():
    state, batch = fresh_state(MYO), make_batch()
    weights = np.array(batch.weights)
    weights[2, 1] = 0
    evaluate = jax.jit(functools.partial(eval_step, MYO))
    scores, counted = evaluate(state, batch._replace(weights=weights))
    np.testing.assert_array_equal(counted, weights > 0)

    still = dataclasses.replace(MYO, augment=NOTHING)
    images, targets = jax.jit(functools.partial(prepare, still))(jax.random.key(0), batch)
    logits = jax.jit(functools.partial(MYO.model.apply, train=False))(state.variables, images)
    said, drawn = np.asarray(logits) > 0, np.asarray(targets) > 0.5
    both = (said & drawn).sum(axis=(1, 2))
    expected = 2 * both / (said.sum(axis=(1, 2)) + drawn.sum(axis=(1, 2)))
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    again, _ = evaluate(state._replace(step=state.step + 7), batch)
    np.testing.assert_array_equal(again, scores)  # nothing random is left


def test_neighbours_turn_and_brighten_with_their_slice():
    rng = np.random.default_rng(5)
    images = np.repeat(rng.integers(50, 200, (2, 1, 20, 20), np.uint8), 3, axis=1)
    batch = Batch(
        jnp.asarray(images),
        jnp.asarray(rng.integers(0, 2, (2, 20, 20, 2), np.uint8)),
        jnp.ones((2, 2)),
        jnp.full((2,), 6.0),
    )
    task = dataclasses.replace(MYO, augment=dataclasses.replace(GENTLE, noise=0.0, contrast=0.3))
    key = jax.random.key(3)
    found, _ = prepare(task, key, batch)
    alone, _ = prepare(task, key, batch._replace(images=batch.images[:, 0]))
    assert found.shape == (2, 16, 16, 3)
    for channel in range(3):
        np.testing.assert_allclose(found[..., channel], alone[..., 0], atol=1e-3)


def test_the_loss_of_the_batch_weighs_what_is_found_where_nothing_was_drawn():
    task = dataclasses.replace(MYO, loss="batch")
    logits = jnp.zeros((2, 16, 16, 2))
    targets = jnp.zeros((2, 16, 16, 2)).at[0, :8].set(1.0)
    weights = jnp.ones((2, 2))
    gradients = [
        jax.grad(lambda x, one=one: batch_loss(one, x, targets, weights))(logits)
        for one in (MYO, task)
    ]
    pixel = (1 - MYO.beta) * 0.5 / (2 * logits.size)  # of the cross-entropy alone
    np.testing.assert_allclose(gradients[0][1], pixel, rtol=1e-4)
    assert (gradients[1][1] > 1.3 * pixel).all()


def test_a_step_in_bfloat16_keeps_float32_parameters_and_nearly_the_loss():
    state, batch = fresh_state(MYO), make_batch()
    half = dataclasses.replace(MYO, model=MYO.model.clone(dtype=jnp.bfloat16))
    with jax.numpy_dtype_promotion("standard"):  # Flax's batch normalisation mixes dtypes
        (_, exact), (after, rounded) = (compiled(task)(state, batch) for task in (MYO, half))
    assert {leaf.dtype for leaf in jax.tree.leaves(after.params)} == {jnp.dtype(jnp.float32)}
    assert rounded["loss"] == pytest.approx(float(exact["loss"]), rel=0.02)
