"""Gaussian mixture of the training masks' codes: fit, samples, density and choice of its size.

Codes are ``[n, latent]``. Fitting and selection run on the host, in scikit-learn and float64;
`sample` and `log_prob` are pure JAX functions in float32.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key, UInt32
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GroupKFold, KFold

from acsnet_jax.types import InputError

_RECONSTRUCTION = 0.01  # Dice by which a smaller latent space may be worse


class Mixture(NamedTuple):
    """A Gaussian mixture over the latent space.

    Attributes:
        weights: ``[components]``, positive, sum 1.
        means: ``[components, latent]``.
        covariances: ``[components, latent, latent]``.
        cholesky: ``[components, latent, latent]``, lower triangular factors of the covariances.
    """

    weights: Float[Array, "components"]
    means: Float[Array, "components latent"]
    covariances: Float[Array, "components latent latent"]
    cholesky: Float[Array, "components latent latent"]


class Score(NamedTuple):
    """Cross-validated fit of one mixture size, one panel point of figure 5.

    Attributes:
        dimension: latent dimension d.
        components: number of Gaussians p.
        nll: held-out negative log-likelihood per code, in nats, mean over all codes.
        nll_error: standard error of that mean over the folds.
        adjusted_aic: `adjusted_aic` of the held-out likelihood of all codes, with the effective
            number of parameters averaged over the folds.
    """

    dimension: int
    components: int
    nll: float
    nll_error: float
    adjusted_aic: float


def fit_mixture(
    codes: Float[Array | np.ndarray, "n latent"], components: int, *, seed: int
) -> Mixture:
    """Fits a full-covariance Gaussian mixture to the codes by EM (host, scikit-learn).

    Args:
        codes: codes of the training masks.
        components: number of Gaussians; the paper uses 6.
        seed: seed of the k-means start.

    Returns:
        The mixture, in float32.

    Raises:
        InputError: fewer codes than components, codes that are not finite or do not vary.

    References:
        Paper, Methods, "Stage 3: Anatomical Autoencoder Post-Processing".
    """
    model = _fit(np.asarray(codes, np.float64), components, seed)
    covariances = np.asarray(model.covariances_)
    return Mixture(
        weights=jnp.asarray(model.weights_, jnp.float32),
        means=jnp.asarray(model.means_, jnp.float32),
        covariances=jnp.asarray(covariances, jnp.float32),
        cholesky=jnp.asarray(np.linalg.cholesky(covariances), jnp.float32),
    )


def sample(
    key: Key[Array, ""] | UInt32[Array, "2"], mixture: Mixture, n: int
) -> Float[Array, "n latent"]:
    """Draws ``n`` codes from the mixture."""
    key_component, key_noise = jax.random.split(key)
    component = jax.random.categorical(key_component, jnp.log(mixture.weights), shape=(n,))
    noise = jax.random.normal(key_noise, (n, mixture.means.shape[1]), mixture.means.dtype)
    offset = jnp.einsum("nij,nj->ni", mixture.cholesky[component], noise, precision="highest")
    return mixture.means[component] + offset


def log_prob(mixture: Mixture, codes: Float[Array, "n latent"]) -> Float[Array, "n"]:
    """Natural logarithm of the mixture's density at each code."""
    dimension = codes.shape[1]

    def of_component(mean, cholesky):
        centred = (codes - mean[None, :]).T
        white = jax.scipy.linalg.solve_triangular(cholesky, centred, lower=True)
        log_volume = jnp.sum(jnp.log(jnp.diagonal(cholesky)))
        constant = log_volume + 0.5 * dimension * jnp.log(2 * jnp.pi)
        return -0.5 * jnp.sum(white**2, axis=0) - constant

    log_densities = jax.vmap(of_component)(mixture.means, mixture.cholesky)  # [components, n]
    return jax.nn.logsumexp(log_densities + jnp.log(mixture.weights)[:, None], axis=0)


def effective_rank(
    covariance: Float[Array | np.ndarray, "*batch latent latent"],
) -> Float[np.ndarray, "*batch"]:
    """Trace over the largest singular value of a covariance, in [1, latent] (host).

    References:
        Paper, Methods, "Stage 3": Tr(Sigma) / sigma_max(Sigma).
    """
    covariance = np.asarray(covariance, np.float64)
    trace = np.trace(covariance, axis1=-2, axis2=-1)
    return np.asarray(trace / np.linalg.norm(covariance, ord=2, axis=(-2, -1)))


def adjusted_aic(
    nll: float, covariances: Float[Array | np.ndarray, "components latent latent"]
) -> float:
    """Akaike's criterion with each component's parameters scaled by its effective rank (host).

    The paper scales "the number of parameters by the effective rank", so as not to penalise
    directions of small variance. A component of dimension d has d parameters of its mean and
    d (d + 1) / 2 of its covariance; they count r / d each, r its effective rank. A round covariance
    has r = d and gives the standard criterion. The p - 1 free weights count fully:

    ``2 (p - 1 + sum_k (r_k / d) (d + d (d + 1) / 2)) + 2 nll``

    Args:
        nll: negative log-likelihood of all codes together, in nats.
        covariances: one a component.

    Returns:
        The criterion; lower is better.

    References:
        Paper, Methods, "Stage 3", and figure 5. Akaike, IEEE Trans. Automat. Contr. 19 (1974).
    """
    return 2 * _effective_parameters(covariances) + 2 * nll


def select(
    codes_by_dimension: Mapping[int, Float[Array | np.ndarray, "n _"]],
    *,
    components: Sequence[int] = range(1, 11),
    folds: int = 10,
    seed: int = 0,
    groups: Integer[np.ndarray, "n"] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Score]:
    """Cross-validates mixtures of every size in every latent dimension, for figure 5 (host).

    Args:
        codes_by_dimension: codes of the same training masks by autoencoders of several dimensions.
        components: the sizes to try.
        folds: number of folds.
        seed: seed of the folds and of every fit.
        groups: patient of each code; then no patient is in two folds. Slices of one heart are
            alike, and folds that share patients flatter large mixtures.
        progress: called with (fits done, fits in all).

    Returns:
        One `Score` for each dimension and size, in the order given.

    Raises:
        InputError: fewer codes (or patients) than folds, or codes that cannot be fitted.

    References:
        Paper, figure 5.
    """
    total = len(codes_by_dimension) * len(components) * folds
    scores = []
    for dimension, given in codes_by_dimension.items():
        codes = np.asarray(given, np.float64)
        splits = _splits(codes, folds, seed, groups)
        for size in components:
            nll, parameters = [], []
            for train, held_out in splits:
                model = _fit(codes[train], size, seed)
                nll.append(-model.score_samples(codes[held_out]))
                parameters.append(_effective_parameters(model.covariances_))
                if progress is not None:
                    progress(len(scores) * folds + len(nll), total)
            fold_means = [fold.mean() for fold in nll]
            nll_total = float(np.concatenate(nll).sum())
            scores.append(
                Score(
                    dimension=dimension,
                    components=size,
                    nll=nll_total / len(codes),
                    nll_error=float(np.std(fold_means, ddof=1) / np.sqrt(folds)),
                    adjusted_aic=float(2 * np.mean(parameters) + 2 * nll_total),
                )
            )
    return scores


def choose(scores: Sequence[Score], reconstruction: Mapping[int, float]) -> tuple[int, int]:
    """Names the latent dimension and the mixture size that figure 5 speaks for.

    Likelihoods of codes of different dimensions cannot be compared, so the dimension is the
    smallest whose autoencoder rebuilds masks within 0.01 Dice of the best. Of its sizes, those
    whose NLL lies within one standard error of the lowest count as the plateau; the lowest adjusted
    AIC among them wins, the smaller size on a tie.

    Args:
        scores: from `select`.
        reconstruction: mean Dice of masks and their reconstructions, for each dimension.

    Returns:
        (dimension, components).

    References:
        Paper, figure 5: "NLL plateaus, Adjusted AIC is low, and d is high enough to ensure accurate
        reconstruction".
    """
    best = max(reconstruction.values())
    dimension = min(d for d, dice in reconstruction.items() if dice >= best - _RECONSTRUCTION)
    own = sorted((s for s in scores if s.dimension == dimension), key=lambda s: s.components)
    lowest = min(own, key=lambda s: s.nll)
    plateau = [s for s in own if s.nll <= lowest.nll + lowest.nll_error]
    return dimension, min(plateau, key=lambda s: s.adjusted_aic).components


def _fit(codes: np.ndarray, components: int, seed: int) -> GaussianMixture:
    if len(codes) < max(components, 2):
        raise InputError(
            f"{len(codes)} codes cannot be fitted with {components} components: "
            "give more masks or ask for fewer components"
        )
    if not np.isfinite(codes).all():
        raise InputError("codes are not finite: the encoder has diverged, train it again")
    variance = codes.var(axis=0).mean()
    if variance == 0:
        raise InputError("all codes are equal: the encoder has collapsed, train it again")
    # Relative to the codes' own scale, which training leaves arbitrary.
    model = GaussianMixture(components, reg_covar=1e-6 * variance, max_iter=500, random_state=seed)
    return model.fit(codes)


def _effective_parameters(covariances) -> float:
    components, dimension, _ = covariances.shape
    per_component = dimension + dimension * (dimension + 1) / 2
    ranks = effective_rank(covariances)
    return float(components - 1 + per_component * np.sum(ranks / dimension))


def _splits(codes, folds, seed, groups):
    available = len(codes) if groups is None else len(np.unique(groups))
    if not 2 <= folds <= available:
        unit = "codes" if groups is None else "patients"
        raise InputError(f"{folds} folds need 2 to {available} (the number of {unit})")
    if groups is None:
        return list(KFold(folds, shuffle=True, random_state=seed).split(codes))
    return list(GroupKFold(folds).split(codes, groups=groups))
