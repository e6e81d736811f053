"""How trained networks are called."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax.models import Delineate, Ensemble, Localise, ResUNet


def make_member(seed, kind, *, channels=1):
    model = ResUNet(filters=(2,), bridge=2, outputs=1 if kind is Localise else 2)
    image = jnp.zeros((1, 8, 8, channels))
    make = jax.jit(functools.partial(model.init, train=False))
    return kind(model, make(jax.random.key(seed), image))


@pytest.mark.parametrize("kind", [Localise, Delineate])
def test_an_ensemble_is_the_mean_of_its_members(kind):
    images = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (3, 8, 8)), jnp.float32)
    members = tuple(make_member(seed, kind) for seed in range(3))
    found = jax.jit(lambda ensemble, x: ensemble(x))(Ensemble(members), images)
    apart = np.stack([np.asarray(member(images)) for member in members])
    assert np.ptp(apart, axis=0).max() > 0.01
    np.testing.assert_allclose(found, apart.mean(axis=0), atol=1e-6)


def test_a_network_of_context_sees_its_channels():
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 8, 8)).astype(np.float32)
    network = make_member(0, Localise, channels=3)
    before = network(jnp.asarray(images))
    assert before.shape == (2, 8, 8)
    images[0, 2] = 0
    after = network(jnp.asarray(images))
    np.testing.assert_allclose(after[1], before[1], atol=1e-6)
    assert np.abs(after[0] - before[0]).max() > 1e-3
