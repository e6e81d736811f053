"""Numbers with 95% confidence intervals: the bootstrap over patients, and Wilson's for shares.

Nothing here is ever NaN: what cannot be estimated is None.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from acsnet_jax.types import InputError

RESAMPLES = 2000
SEED = 0

_LEAST_DEFINED = 0.95  # share of the resamples


class Estimate(NamedTuple):
    """A number and its 95% confidence interval.

    Attributes:
        value: the number; None where it is not defined.
        low: lower end of the interval; None where there is none.
        high: upper end.
    """

    value: float | None
    low: float | None
    high: float | None


def bootstrap(
    samples: Float[np.ndarray, "patients values"],
    statistic: Callable[[Float[np.ndarray, "*batch patients values"]], Float[np.ndarray, "*batch"]],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Estimate:
    """A statistic with its percentile interval over resampled patients.

    Args:
        samples: one row a patient; a resample takes whole rows, so that pairs stay together.
        statistic: of batches of such arrays, NaN where it is not defined.
        resamples: how many.
        seed: of the resampling.

    Returns:
        None without patients or where the statistic is not defined. No interval with fewer than two
        patients, or if the statistic is not defined in one of twenty resamples. Of few patients it
        is too narrow: the bootstrap never sees others.

    Raises:
        InputError: no resample is asked for.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    if resamples < 1:
        raise InputError(f"{resamples} resamples give no interval: ask for at least 1")
    if not len(samples):
        return Estimate(None, None, None)
    value = float(statistic(samples))
    if not np.isfinite(value):
        return Estimate(None, None, None)
    if len(samples) < 2:
        return Estimate(value, None, None)
    drawn = np.random.default_rng(seed).integers(len(samples), size=(resamples, len(samples)))
    found = statistic(samples[drawn])
    found = found[np.isfinite(found)]
    if len(found) < _LEAST_DEFINED * resamples:
        return Estimate(value, None, None)
    low, high = np.quantile(found, (0.025, 0.975))
    return Estimate(value, float(low), float(high))


def mean_over_patients(
    samples: Float[np.ndarray, "*batch patients values"],
) -> Float[np.ndarray, "*batch"]:
    """The mean of the first value, a statistic for `bootstrap`."""
    return np.asarray(samples[..., 0].mean(axis=-1))


def share(count: int, total: int) -> Estimate:
    """A share with Wilson's interval.

    Args:
        count: how many have it.
        total: of how many.

    Returns:
        Fractions of 1; None of nothing.

    Raises:
        InputError: more have it than there are.

    References:
        Wilson, Journal of the American Statistical Association 22, 1927.
    """
    if not 0 <= count <= total:
        raise InputError(f"{count} of {total} is no share: count some of them")
    if not total:
        return Estimate(None, None, None)
    interval = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high))
