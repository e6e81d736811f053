import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from acsnet_jax.latent.neighbours import nearest
from acsnet_jax.types import InputError, Population


def codes(n, seed, dimension=16, offset=0.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, dimension)) + offset).astype(np.float32)


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("blocks", [(64, 16384), (7, 100), (50, 1003)])
def test_equals_brute_force(k, blocks):
    query_block, block = blocks
    queries, population = codes(50, 0), codes(1003, 1)
    reference = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(population)
    distances, indices = reference.kneighbors(queries)
    found = nearest(queries, population, k, query_block=query_block, block=block)
    assert found[0].shape == found[1].shape == (50, k)
    np.testing.assert_array_equal(found[0], indices)
    np.testing.assert_allclose(found[1], distances, rtol=1e-5)


def test_no_cancellation_far_from_the_origin():
    # Codes near 1000 that differ in the third decimal: |a|^2 + |b|^2 - 2 a.b has lost all of it.
    population = codes(500, 2, offset=0.0) * np.float32(1e-2) + np.float32(1000)
    queries = population[::7] + np.float32(2**-13)
    indices, distances = nearest(queries, population)
    exact = np.linalg.norm(
        queries[:, None].astype(np.float64) - population[None].astype(np.float64), axis=-1
    )
    np.testing.assert_array_equal(indices[:, 0], exact.argmin(axis=1))
    np.testing.assert_allclose(distances[:, 0], exact.min(axis=1), rtol=1e-5)


def test_members_find_themselves():
    population = codes(300, 3, dimension=4)
    indices, distances = nearest(population, population, block=64)
    np.testing.assert_array_equal(indices[:, 0], np.arange(300))
    assert not distances.any()


def test_ties_go_to_the_lower_index():
    population = np.zeros((1000, 2), np.float32)
    for k in (1, 4, 10):
        for block in (3, 300, 1000):
            indices, _ = nearest(np.ones((1, 2), np.float32), population, k, block=block)
            assert indices[0].tolist() == list(range(k))


def test_block_smaller_than_k():
    queries, population = codes(5, 4), codes(40, 5)
    whole = nearest(queries, population, 12)
    np.testing.assert_array_equal(whole[0], nearest(queries, population, 12, block=5)[0])


def test_takes_a_population_under_jit():
    population = Population(
        codes=jnp.asarray(codes(100, 6)), masks=jnp.zeros((100, 8, 1), jnp.uint8)
    )
    queries = jnp.asarray(codes(9, 7))
    indices, distances = jax.jit(nearest, static_argnums=2)(queries, population, 2)
    np.testing.assert_array_equal(indices, nearest(queries, population.codes, 2)[0])
    assert indices.dtype == jnp.int32
    assert distances.dtype == jnp.float32


@pytest.mark.parametrize("k", [0, 5])
def test_k_out_of_range(k):
    with pytest.raises(InputError, match="choose 1 to their number"):
        nearest(codes(2, 0), codes(4, 1), k)
