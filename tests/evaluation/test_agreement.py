import math
import statistics

import numpy as np
import pytest

from acsnet_jax.evaluation.agreement import (
    VolumePair,
    agree,
    agreement,
    concordance,
    intraclass,
)
from acsnet_jax.evaluation.challenge import ChallengeRecord
from acsnet_jax.evaluation.estimates import Estimate
from acsnet_jax.evaluation.summary import VolumeRecord

# Six targets rated by four judges.
SHROUT_AND_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)
NOTHING = Estimate(None, None, None)


def pairs(*volumes):
    return [
        VolumePair(str(k), float(truth), float(ours)) for k, (truth, ours) in enumerate(volumes)
    ]


def anova(table):
    """ICC(2,1) by the sums of squares of a two-way analysis of variance, rating by rating."""
    n, k = len(table), len(table[0])
    everything = statistics.fmean(x for row in table for x in row)
    rows = [statistics.fmean(row) for row in table]
    columns = [statistics.fmean(column) for column in zip(*table, strict=True)]
    total = sum((x - everything) ** 2 for row in table for x in row)
    between_rows = k * sum((x - everything) ** 2 for x in rows)
    between_columns = n * sum((x - everything) ** 2 for x in columns)
    rest = total - between_rows - between_columns
    row, column = between_rows / (n - 1), between_columns / (k - 1)
    error = rest / ((n - 1) * (k - 1))
    return (row - error) / (row + (k - 1) * error + k * (column - error) / n)


def lin(first, second):
    """1 less the mean squared distance to the line of identity over that of independent pairs."""
    apart = statistics.fmean((x - y) ** 2 for x, y in zip(first, second, strict=True))
    independent = statistics.fmean((x - y) ** 2 for x in first for y in second)
    return 1 - apart / independent


def test_the_published_example():
    """Shrout and Fleiss 1979, table 4: ICC(2,1) = 0.29."""
    assert float(intraclass(SHROUT_AND_FLEISS)) == pytest.approx(0.29, abs=0.005)
    assert float(intraclass(SHROUT_AND_FLEISS)) == pytest.approx(anova(SHROUT_AND_FLEISS))


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_plain_implementations(seed):
    rng = np.random.default_rng(seed)
    truth = rng.gamma(2, 10, 15)
    ratings = np.stack([truth, rng.uniform(0.5, 1.5) * truth + rng.normal(2, 4, 15)], axis=-1)
    assert float(intraclass(ratings)) == pytest.approx(anova(ratings.tolist()))
    assert float(concordance(ratings)) == pytest.approx(lin(*ratings.T.tolist()))


def test_batches_are_judged_one_by_one():
    ratings = np.random.default_rng(0).gamma(2, 10, (3, 9, 2))
    for judge in (concordance, intraclass):
        np.testing.assert_allclose(judge(ratings), [float(judge(one)) for one in ratings])


def test_a_constant_bias_in_closed_form():
    """Volumes 1..5 and as many mL more: Lin's coefficient is 2 v / (2 v + b^2), with v = 2."""
    for bias in (0.0, 1.0, 3.0):
        one = agree("lv", pairs(*((k, k + bias) for k in range(1, 6))))
        assert one.concordance.value == pytest.approx(4 / (4 + bias**2))
        # no residual: rows 5, columns 5 b^2 / 2
        assert one.icc.value == pytest.approx(5 / (5 + bias**2))
        assert one.bias_ml.mean == pytest.approx(bias)
        assert one.lower_ml == one.upper_ml == pytest.approx(bias)


def test_correlation_is_no_agreement():
    one = agree("lv", pairs(*((k, 0.5 * k) for k in range(10, 30))))
    assert one.concordance.value is not None and one.concordance.value < 0.3
    assert one.icc.value is not None and one.icc.value < 0.3


def test_intervals_hold_the_value_and_are_the_same_again():
    rng = np.random.default_rng(2)
    truth = rng.gamma(2, 10, 40)
    found = pairs(*zip(truth.tolist(), (truth + rng.normal(0, 5, 40)).tolist(), strict=True))
    one = agree("enhancement", found)
    assert one == agree("enhancement", found)
    for estimate in (one.concordance, one.icc):
        assert estimate.value is not None and estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < estimate.value < estimate.high <= 1
        assert estimate.high - estimate.low < 0.3


@pytest.mark.parametrize(
    "volumes",
    [
        [],
        [(3, 4)],
        [(0, 0), (0, 0), (0, 0)],
        [(0, 0), (0, 2), (0, 5)],  # the expert's are all the same
        [(1, 2.1), (4, 2.1), (9, 2.1)],  # ours are
        [(0.1, 0.1), (0.1, 0.1), (0.1, 0.1)],
    ],
)
def test_what_is_not_defined_is_none_and_never_nan(volumes):
    one = agree("enhancement", pairs(*volumes))
    assert one.concordance == one.icc == NOTHING


def test_two_patients_have_a_value_and_no_interval():
    one = agree("lv", pairs((1, 1.5), (3, 3)))
    assert one.concordance.value is not None and one.concordance.low is None
    assert one.icc.value is not None and one.icc.high is None
    crossed = agree("lv", pairs((1, 2), (2, 1)))
    assert crossed.concordance.value == pytest.approx(-1)
    assert crossed.icc == NOTHING  # 0 over 0


def test_limits_of_agreement():
    """Differences -1, 0 and 4: mean 1, standard deviation sqrt(7)."""
    one = agree("lv", pairs((10, 9), (10, 10), (10, 14)))
    assert one.bias_ml.mean == pytest.approx(1)
    assert one.relative_bias == pytest.approx(0.1)
    assert one.lower_ml == pytest.approx(1 - 1.96 * math.sqrt(7))
    assert one.upper_ml == pytest.approx(1 + 1.96 * math.sqrt(7))


def test_limits_hold_nineteen_in_twenty_differences():
    differences = np.random.default_rng(0).normal(5, 20, 2000)
    one = agree("lv", pairs(*((100, 100 + d) for d in differences)))
    assert one.lower_ml is not None and one.upper_ml is not None
    inside = (differences > one.lower_ml) & (differences < one.upper_ml)
    assert inside.mean() == pytest.approx(0.95, abs=0.01)


def test_one_patient_has_no_limits():
    one = agree("enhancement", pairs((0, 7)))
    assert (one.relative_bias, one.lower_ml, one.upper_ml) == (None, None, None)


def test_every_volume_has_a_row_in_ml_scar_first():
    records = [
        ChallengeRecord(name, structure, 1.0, 0.0, 3000.0, 2000.0, 9000.0)
        for structure in ("lv", "enhancement")
        for name in "ab"
    ]
    volumes = [
        VolumeRecord("a", "core", 2.0, 1.0),
        VolumeRecord("a", "core", 1.5, 1.0, "cleaned"),
        VolumeRecord("a", "gray_zone", 1.0, 1.0),
        VolumeRecord("a", "lv", 9.0, 9.0),
    ]
    found = {one.structure: one for one in agreement(records, volumes=volumes)}
    assert list(found) == ["enhancement", "core", "gray_zone", "lv"]
    assert found["lv"].bias_ml.mean == found["core"].bias_ml.mean == -1
    assert found["core"].bias_ml.patients == 1 and found["lv"].bias_ml.patients == 2
    assert agreement([]) == []
