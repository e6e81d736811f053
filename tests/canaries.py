"""Canaries for the compiler: reductions beyond 32,769 rows against float64 NumPy.

Run by ``test_xla.py`` in a process of its own, since the tests are compiled otherwise than what
users run. Prints by how much each case goes beyond its tolerance, as JSON.
"""

import functools
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats

from acsnet_jax import latent, losses
from acsnet_jax.metrics import overlap
from acsnet_jax.ops import bits, polar

ROWS = 32_769 + 64
"""More than the first number of rows at which jaxlib 0.10.2 went wrong, in float32."""

TOLERANCE = 2e-5
"""Of each number: this much, and this share of it."""


def rng():
    return np.random.default_rng(0)


def known_case():
    """Issue 39103: a vmapped matrix-vector product and a sum."""
    rows = np.zeros((ROWS, 3), np.float32)
    rows[:, 0] = np.arange(ROWS)
    found = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2)))(rows)
    return found, np.sum(rows.astype(np.float64) ** 2, axis=1)


def general_product():
    """The same with a matrix of 16 x 16, as whitening has."""
    matrix, rows = rng().normal(size=(16, 16)), rng().normal(size=(ROWS, 16))
    function = jax.jit(jax.vmap(lambda m, row: jnp.sum((m @ row) ** 2), (None, 0)))
    found = function(matrix.astype(np.float32), rows.astype(np.float32))
    return found, np.sum((rows @ matrix.T) ** 2, axis=1)


def mixture_density():
    codes = rng().normal(size=(ROWS, 16))
    factor = np.tril(rng().normal(size=(6, 16, 16)) / 8) + np.eye(16)
    covariances = factor @ factor.swapaxes(1, 2)
    weights, means = np.full(6, 1 / 6), rng().normal(size=(6, 16))
    arrays = (weights, means, covariances, np.linalg.cholesky(covariances))
    mixture = latent.Mixture(*(jnp.asarray(array, jnp.float32) for array in arrays))
    found = jax.jit(latent.log_prob)(mixture, jnp.asarray(codes, jnp.float32))
    parts = [
        scipy.stats.multivariate_normal(mean, covariance).logpdf(codes)
        for mean, covariance in zip(means, covariances, strict=True)
    ]
    return found, scipy.special.logsumexp(np.stack(parts), axis=0, b=weights[:, None])


def neighbour_distances():
    codes, queries = rng().normal(size=(ROWS, 16)), rng().normal(size=(20, 16)) + 0.5
    found = latent.nearest(queries.astype(np.float32), codes.astype(np.float32))[1]
    differences = queries[:, None].astype(np.float32) - codes[None].astype(np.float32)
    squared = np.sum(differences.astype(np.float64) ** 2, axis=2)
    return found[:, 0], np.sqrt(squared.min(axis=1))


def _expected_losses(logits, targets):
    q = scipy.special.expit(logits)
    pixel = -np.mean(0.6 * targets * np.log(q) + 0.4 * (1 - targets) * np.log1p(-q), axis=(1, 2))
    hits = 2 * np.sum(q * targets, axis=(1, 2))
    wrong = 0.6 * np.sum(q * (1 - targets), axis=(1, 2))
    missed = 0.4 * np.sum((1 - q) * targets, axis=(1, 2))
    return (pixel + 1 - hits / (hits + wrong + missed)) / 2


def _losses(shape):
    logits, targets = rng().normal(size=shape), rng().random(shape) > 0.5
    function = jax.jit(functools.partial(losses.segmentation_loss, beta=0.6))
    found = function(logits.astype(np.float32), targets.astype(np.float32))
    return found, _expected_losses(logits, targets.astype(np.float64))


def losses_of_many_small_images():
    return _losses((ROWS, 4, 4, 1))


def losses_of_large_images():
    return _losses((2, 192, 192, 2))


def mean_of_many_losses():
    values, weights = rng().random((ROWS, 2)), rng().random((ROWS, 2))
    found = jax.jit(losses.weighted_mean)(values.astype(np.float32), weights.astype(np.float32))
    return found, np.sum(values * weights) / weights.sum()


def gradient_of_a_dense_layer():
    """A sum over all rows, as the gradient of each weight is."""
    inputs, targets, weights = (
        rng().normal(size=shape) for shape in ((ROWS, 16), (ROWS, 8), (16, 8))
    )

    def loss(weights, inputs, targets):
        return jnp.mean((inputs @ weights - targets) ** 2)

    found = jax.jit(jax.grad(loss))(*(np.float32(x) for x in (weights, inputs, targets)))
    return found, 2 * inputs.T @ (inputs @ weights - targets) / targets.size


def batch_statistics():
    images = rng().normal(size=(8, 72, 72, 12)) + 1
    assert images[..., 0].size > ROWS
    norm = nn.BatchNorm(use_running_average=False, momentum=0.0)
    variables = jax.jit(norm.init)(jax.random.key(0), jnp.ones((1, 2, 2, 12)))
    apply = jax.jit(functools.partial(norm.apply, mutable=["batch_stats"]))
    _, state = apply(variables, images.astype(np.float32))
    statistics = state["batch_stats"]
    axes = (0, 1, 2)
    expected = np.stack([images.mean(axes), images.var(axes)])
    return jnp.stack([statistics["mean"], statistics["var"]]), expected


def _masks():
    return rng().random((ROWS, 12, 12)) > 0.5


def areas():
    masks = _masks()
    return jax.jit(lambda x: bits.count(bits.pack_rows(x)))(masks)[:ROWS], masks.sum((1, 2))


def sums_of_coordinates():
    masks = _masks()
    rows, columns = jax.jit(lambda x: polar.coordinate_sums(bits.pack_rows(x)))(masks)
    # the grid has a border of one pixel
    index = np.arange(12) + 1
    expected = np.stack([masks.sum(2) @ index, masks.sum(1) @ index])
    return np.stack([rows[:ROWS], columns[:ROWS]]), expected


def overlaps():
    one, two = rng().random((2, ROWS, 12, 12)) > 0.5
    both = (one & two).sum((1, 2))
    return overlap(one, two).dice, 2 * both / (one.sum((1, 2)) + two.sum((1, 2)))


def overlap_of_large_masks():
    one, two = rng().random((2, 3, 300, 300)) > 0.5
    both = (one & two).sum((1, 2))
    return overlap(one, two).dice, 2 * both / (one.sum((1, 2)) + two.sum((1, 2)))


def angles():
    """Issue 39352: inverse tangents of more than 49 numbers."""
    y, x = rng().normal(size=(2, ROWS)).astype(np.float32)
    return jax.jit(jnp.arctan2)(y, x), np.arctan2(y.astype(np.float64), x)


CASES = (
    known_case,
    general_product,
    mixture_density,
    neighbour_distances,
    losses_of_many_small_images,
    losses_of_large_images,
    mean_of_many_losses,
    gradient_of_a_dense_layer,
    batch_statistics,
    areas,
    sums_of_coordinates,
    overlaps,
    overlap_of_large_masks,
    angles,
)


def excess(case):
    """The largest error of a case beyond what it may have; infinite for another shape."""
    found, expected = case()
    if found.shape != expected.shape:
        return float("inf")
    error = np.abs(np.asarray(found, np.float64) - expected)
    return float(np.max(error - TOLERANCE * (1 + np.abs(expected))))


if __name__ == "__main__":
    print(json.dumps({case.__name__: excess(case) for case in CASES}))
