"""Training on masks in memory. Optax's Adam needs standard dtype promotion."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax.models import Autoencoder
from acsnet_jax.training.augment import Augment
from acsnet_jax.training.masks import train_autoencoder
from acsnet_jax.training.record import Record, read
from acsnet_jax.training.settings import Optimisation
from acsnet_jax.types import InputError

pytestmark = pytest.mark.usefixtures("standard_promotion")
SIZE = 16
MODEL = Autoencoder(size=SIZE, latent=2, filters=(4, 4))
OPTIMISATION = Optimisation(batch_size=8, epochs=15, learning_rate=1e-2)
STILL = Augment(dihedral=False, rotation_deg=0.0, scale=0.0, shift_px=0.0)


def discs(count):
    row, column = np.indices((SIZE, SIZE)) - SIZE / 2
    radius = np.linspace(3.0, 7.0, count)
    return np.hypot(row, column) <= radius[:, None, None]


def train(masks, *, augment=STILL, optimisation=OPTIMISATION, **options):
    return train_autoencoder(masks, MODEL, augment=augment, optimisation=optimisation, **options)


@pytest.fixture(scope="module")
def trained(standard_promotion, tmp_path_factory):
    """Variables, and what was recorded."""
    folder = tmp_path_factory.mktemp("record")
    with Record(folder) as record:
        variables = train(discs(32), seed=1, record=record)
    return variables, read(folder)


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_loss_falls(trained):
    _, rows = trained
    assert [row["step"] for row in rows] == list(range(4, 61, 4))
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


def test_variables_are_those_of_the_model_on_one_device(trained):
    variables, _ = trained
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 1)))
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    assert {leaf.device for leaf in jax.tree.leaves(variables)} == {jax.devices()[0]}


def test_the_same_seed_gives_the_same_variables(trained):
    variables, _ = trained
    assert_same(train(discs(32), seed=1), variables)
    with pytest.raises(AssertionError):
        assert_same(train(discs(32), seed=2), variables)


def test_fewer_masks_than_a_batch_are_enough(tmp_path):
    with Record(tmp_path) as record:
        train(discs(3), record=record)
    assert [row["step"] for row in read(tmp_path)] == list(range(1, 16))


def test_a_loss_that_is_not_finite_names_the_step():
    wild = dataclasses.replace(OPTIMISATION, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"autoencoder: the loss is \w+ at step 3;"):
        train(discs(32), optimisation=wild)


def test_parameters_that_are_not_finite_are_not_returned():
    wild = dataclasses.replace(OPTIMISATION, learning_rate=float("inf"), epochs=1)
    with pytest.raises(FloatingPointError, match="step 2"):
        train(discs(16), optimisation=wild)


@pytest.mark.parametrize("masks", [discs(4)[:0], discs(4)[:, :8], discs(4)[:, :8, :8]])
def test_masks_of_another_size_are_bad_input(masks):
    with pytest.raises(InputError, match="give the autoencoder masks of 16 x 16"):
        train(masks)
