import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from acsnet_jax.latent.mixture import (
    Score,
    adjusted_aic,
    choose,
    effective_rank,
    fit_mixture,
    log_prob,
    sample,
    select,
)
from acsnet_jax.types import InputError


def two_clouds(n=400, seed=0):
    """Two Gaussians in three dimensions, weights 1/4 and 3/4."""
    rng = np.random.default_rng(seed)
    near = rng.normal(size=(n // 4, 3)) * [1.0, 0.5, 0.2]
    far = rng.normal(size=(n - n // 4, 3)) * [0.3, 0.6, 1.0] + [8.0, -4.0, 2.0]
    return np.concatenate([near, far])


def test_fit_finds_the_clouds():
    codes = two_clouds()
    mixture = fit_mixture(codes, 2, seed=0)
    near, far = np.argsort(mixture.means[:, 0])
    np.testing.assert_allclose(mixture.weights[np.array([near, far])], [0.25, 0.75], atol=1e-5)
    np.testing.assert_allclose(mixture.means[near], codes[:100].mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(
        mixture.covariances[far], np.cov(codes[100:].T, bias=True), rtol=1e-3, atol=1e-4
    )
    rebuilt = jnp.einsum("kij,klj->kil", mixture.cholesky, mixture.cholesky)
    np.testing.assert_allclose(rebuilt, mixture.covariances, rtol=1e-5, atol=1e-6)
    assert mixture.means.dtype == jnp.float32


def test_fit_does_not_depend_on_the_scale_of_the_codes():
    codes = two_clouds()
    small, large = (fit_mixture(codes * scale, 3, seed=1) for scale in (1e-4, 1.0))
    np.testing.assert_allclose(small.weights, large.weights, rtol=1e-4)
    np.testing.assert_allclose(small.means * 1e4, large.means, rtol=1e-3, atol=1e-4)


def test_log_prob_agrees_with_scipy():
    mixture = fit_mixture(two_clouds(), 2, seed=0)
    codes = two_clouds(seed=1)[::20].astype(np.float32)
    density = sum(
        weight * multivariate_normal(mean, covariance).pdf(codes)
        for weight, mean, covariance in zip(
            *(np.asarray(part, np.float64) for part in mixture[:3]), strict=True
        )
    )
    found = jax.jit(log_prob)(mixture, jnp.asarray(codes))
    np.testing.assert_allclose(found, np.log(density), rtol=1e-3, atol=1e-3)


def test_samples_have_the_moments_of_the_mixture():
    mixture = fit_mixture(two_clouds(), 2, seed=0)
    codes = sample(jax.random.key(0), mixture, 40_000)
    mean = mixture.weights @ mixture.means
    centred = mixture.means - mean[None, :]
    covariance = jnp.einsum("k,kij->ij", mixture.weights, mixture.covariances)
    covariance += jnp.einsum("k,ki,kj->ij", mixture.weights, centred, centred)
    np.testing.assert_allclose(codes.mean(axis=0), mean, atol=0.1)
    np.testing.assert_allclose(jnp.cov(codes.T), covariance, atol=0.3)
    np.testing.assert_array_equal(codes, sample(jax.random.key(0), mixture, 40_000))
    assert not jnp.any(codes == sample(jax.random.key(1), mixture, 40_000))


def test_effective_rank_is_trace_over_largest_singular_value():
    covariances = np.stack([np.eye(4), np.diag([4.0, 2.0, 1.0, 1.0]), np.diag([1.0, 0, 0, 0])])
    np.testing.assert_allclose(effective_rank(covariances), [4, 2, 1])
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    np.testing.assert_allclose(effective_rank(turn @ covariances[1] @ turn.T), 2)


def test_adjusted_aic_by_hand():
    # d = 2: five parameters a component. Ranks 2 and 1.5, so 5 + 5 * 1.5 / 2 + 1 free weight.
    covariances = np.stack([np.eye(2), np.diag([2.0, 1.0])])
    assert adjusted_aic(10.0, covariances) == pytest.approx(2 * (5 + 3.75 + 1) + 2 * 10)


def test_adjusted_aic_of_round_covariances_is_the_standard_criterion():
    codes = two_clouds()
    model = GaussianMixture(2, random_state=0).fit(codes)
    nll = -model.score(codes) * len(codes)
    standard = model.aic(codes)
    assert adjusted_aic(nll, np.stack([np.eye(3), 2 * np.eye(3)])) == pytest.approx(standard)
    assert adjusted_aic(nll, np.asarray(model.covariances_)) < standard


def test_select_prefers_the_true_size():
    calls = []
    codes = two_clouds(120)
    table = select(
        {3: codes, 1: codes[:, :1]},
        components=(1, 2, 5),
        folds=3,
        seed=0,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert [(row.dimension, row.components) for row in table] == [
        (d, p) for d in (3, 1) for p in (1, 2, 5)
    ]
    assert min(table[:3], key=lambda row: row.adjusted_aic).components == 2
    assert table[1].nll < table[0].nll
    assert calls == [(i, 18) for i in range(1, 19)]


def test_select_adds_up_over_the_folds():
    codes = two_clouds(60)
    (row,) = select({3: codes}, components=[1], folds=3, groups=np.arange(60) // 20)
    total, parameters = 0.0, []
    for fold in range(3):  # one patient a fold
        held_out = np.arange(60) // 20 == fold
        train = codes[~held_out]
        covariance = np.cov(train.T, bias=True) + 1e-6 * train.var(axis=0).mean() * np.eye(3)
        total -= multivariate_normal(train.mean(axis=0), covariance).logpdf(codes[held_out]).sum()
        parameters.append(9 * np.trace(covariance) / np.linalg.eigvalsh(covariance)[-1] / 3)
    assert row.nll == pytest.approx(total / 60)
    assert row.adjusted_aic == pytest.approx(2 * np.mean(parameters) + 2 * total)


def test_bad_codes_are_named():
    codes = two_clouds(40)
    with pytest.raises(InputError, match="fewer components"):
        fit_mixture(codes[:3], 4, seed=0)
    with pytest.raises(InputError, match="not finite"):
        fit_mixture(np.where(codes > 8, np.nan, codes), 2, seed=0)
    with pytest.raises(InputError, match="collapsed"):
        fit_mixture(np.ones((10, 3)), 2, seed=0)
    with pytest.raises(InputError, match="40 \\(the number of codes\\)"):
        select({3: codes}, folds=41)
    with pytest.raises(InputError, match="2 \\(the number of patients\\)"):
        select({3: codes}, folds=3, groups=np.arange(40) % 2)


def score(dimension, components, nll, nll_error, aic):
    return Score(dimension, components, nll, nll_error, aic)


def test_the_choice_is_the_smallest_dimension_that_rebuilds_and_low_aic_on_the_plateau():
    scores = [
        score(8, 1, 0.0, 0.1, 0.0),
        score(16, 1, 5.0, 0.1, 80.0),  # AIC is lowest here, but NLL is off the plateau
        score(16, 2, 4.1, 0.1, 100.0),
        score(16, 3, 4.0, 0.2, 110.0),
        score(16, 4, 4.3, 0.2, 90.0),
        score(32, 1, -9.0, 0.1, -50.0),
    ]
    assert choose(scores, {8: 0.90, 16: 0.945, 32: 0.95}) == (16, 2)
    assert choose(scores, {8: 0.945, 16: 0.945, 32: 0.95}) == (8, 1)
    assert choose(scores, {8: 0.90, 16: 0.93, 32: 0.95}) == (32, 1)
