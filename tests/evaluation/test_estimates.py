import math

import numpy as np
import pytest
from scipy import stats

from acsnet_jax.evaluation.estimates import Estimate, bootstrap, mean_over_patients, share
from acsnet_jax.types import InputError

NOTHING = Estimate(None, None, None)


def test_wilson_in_closed_form():
    """The roots of ``(p - count / n)^2 = z^2 p (1 - p) / n``."""
    z = stats.norm.ppf(0.975)
    for count, n in ((9, 10), (44, 50), (0, 7), (7, 7)):
        p = count / n
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        reach = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
        assert share(count, n) == pytest.approx((p, centre - reach, centre + reach), abs=1e-12)
    assert share(0, 0) == NOTHING
    with pytest.raises(InputError, match="3 of 2"):
        share(3, 2)


def test_the_interval_of_a_mean_is_that_of_its_resamples():
    """Each resample by itself, in a loop."""
    values = np.random.default_rng(1).gamma(2, 5, 12)
    found = bootstrap(values[:, None], mean_over_patients, resamples=400, seed=3)
    rng = np.random.default_rng(3)
    means = sorted(
        sum(values[k] for k in row) / 12 for row in rng.integers(12, size=(400, 12)).tolist()
    )
    assert found.value == pytest.approx(values.mean())
    # linear interpolation between the order statistics
    assert found.low == pytest.approx(means[9] + 0.975 * (means[10] - means[9]))
    assert found.high == pytest.approx(means[389] + 0.025 * (means[390] - means[389]))


def test_a_normal_mean_has_the_usual_interval():
    values = np.random.default_rng(0).normal(10, 2, 500)
    found = bootstrap(values[:, None], mean_over_patients)
    assert found.low is not None and found.high is not None
    half = 1.96 * values.std(ddof=1) / math.sqrt(500)
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)


def test_what_is_not_defined_is_none():
    assert bootstrap(np.zeros((0, 1)), mean_over_patients) == NOTHING
    assert bootstrap(np.full((1, 1), 3.0), mean_over_patients) == (3, None, None)
    assert bootstrap(np.zeros((4, 1)), lambda x: np.full(x.shape[:-2], np.nan)) == NOTHING
    assert bootstrap(np.zeros((4, 1)), mean_over_patients) == (0, 0, 0)
    # of two patients, half of the resamples have one of them twice
    pairs = np.array([[1.0], [2.0]])
    spread = bootstrap(pairs, lambda x: np.where(np.ptp(x[..., 0], -1) > 0, 1.0, np.nan))
    assert spread == (1, None, None)
    with pytest.raises(InputError, match="resamples"):
        bootstrap(pairs, mean_over_patients, resamples=0)
