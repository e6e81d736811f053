import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax.latent.mixture import Mixture
from acsnet_jax.latent.population import (
    AcceptanceError,
    draw_batches,
    draw_population,
    pack_masks,
    unpack_masks,
)
from acsnet_jax.types import InputError

KEY = jax.random.key(3)
MIXTURE = Mixture(
    weights=jnp.ones(1),
    means=jnp.zeros((1, 2)),
    covariances=jnp.eye(2)[None],
    cholesky=jnp.eye(2)[None],
)


def decode(codes):
    """Row i is lit as far as the normal distribution function of coordinate i."""
    width = jnp.round(16 * jax.scipy.stats.norm.cdf(codes)).astype(jnp.int32)
    return jnp.arange(16, dtype=jnp.int32)[None, None, :] < width[:, :, None]


def upper_half(masks):
    """Delta holds where row 0 is lit past its middle: for half of all codes."""
    return masks[:, 0, 8]


def never(masks):
    return jnp.zeros(len(masks), bool)


def test_every_member_is_valid_and_is_its_own_decoding():
    population, acceptance = draw_population(KEY, MIXTURE, decode, upper_half, 1000, batch=128)
    assert population.codes.shape == (1000, 2)
    masks = unpack_masks(population.masks)
    np.testing.assert_array_equal(masks, decode(population.codes))
    assert upper_half(masks).all()
    assert acceptance == pytest.approx(0.5, abs=0.05)
    # Coordinate 0 is a normal variable cut where the row is 8.5 of 16 lit; coordinate 1 is whole.
    assert population.codes[:, 0].min() > jax.scipy.stats.norm.ppf(8.5 / 16) - 1e-4
    assert abs(float(population.codes[:, 1].mean())) < 4 / np.sqrt(1000)
    assert len(np.unique(population.codes[:, 0])) == 1000


def test_a_larger_population_begins_with_the_smaller():
    small, _ = draw_population(KEY, MIXTURE, decode, upper_half, 50, batch=32)
    large, _ = draw_population(KEY, MIXTURE, decode, upper_half, 200, batch=32)
    np.testing.assert_array_equal(small.codes, large.codes[:50])
    np.testing.assert_array_equal(small.masks, large.masks[:50])
    other, _ = draw_population(jax.random.key(4), MIXTURE, decode, upper_half, 50, batch=32)
    assert not jnp.any(other.codes == small.codes)


def test_a_resumed_draw_ends_with_the_same_population():
    whole = draw_population(KEY, MIXTURE, decode, upper_half, 200, batch=32)
    batches = draw_batches(KEY, MIXTURE, decode, upper_half, batch=32)
    earlier = list(itertools.islice(batches, 5))
    kept = []
    resumed = draw_population(
        KEY,
        MIXTURE,
        decode,
        upper_half,
        200,
        batch=32,
        earlier=earlier,
        keep=lambda number, accepted: kept.append((number, len(accepted[0]))),
    )
    numbers, sizes = zip(*kept, strict=True)
    assert numbers == tuple(range(5, 5 + len(kept)))
    assert sum(sizes) + sum(len(codes) for codes, _ in earlier) >= 200
    np.testing.assert_array_equal(whole[0].codes, resumed[0].codes)
    np.testing.assert_array_equal(whole[0].masks, resumed[0].masks)
    assert whole[1] == resumed[1]


def test_progress_counts_up_to_the_size():
    calls = []
    draw_population(
        KEY,
        MIXTURE,
        decode,
        upper_half,
        100,
        batch=32,
        progress=lambda done, total: calls.append((done, total)),
    )
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert calls[-1] == (100, 100)


def test_hopeless_acceptance_is_named():
    with pytest.raises(InputError, match=r"0 of 10 .* 8 batches .* 0.00%.*train the autoencoder"):
        draw_population(KEY, MIXTURE, decode, never, 10, batch=32)
    with pytest.raises(AcceptanceError, match="2 batches") as error:
        draw_population(KEY, MIXTURE, decode, upper_half, 1000, batch=32, max_batches=2)
    assert error.value.acceptance == pytest.approx(0.5, abs=0.2)
    with pytest.raises(InputError, match="at least 1"):
        draw_population(KEY, MIXTURE, decode, upper_half, 0)


def test_packing_agrees_with_numpy():
    masks = np.random.default_rng(0).random((2, 3, 5, 24)) < 0.5
    packed = pack_masks(jnp.asarray(masks))
    np.testing.assert_array_equal(packed, np.packbits(masks, axis=-1))
    np.testing.assert_array_equal(unpack_masks(packed), masks)
    with pytest.raises(InputError, match="multiple of 8"):
        pack_masks(jnp.zeros((1, 8, 12), bool))
