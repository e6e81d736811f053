"""The OpenCV contender of the benchmark judges what delta judges."""

import numpy as np
import pytest
from test_criteria import LOOSE

from benchmarks import opencv_delta, oracle
from benchmarks.random_masks import KINDS, random_masks

SPACING_MM = 1.5
MASKS = random_masks(11, 20 * len(KINDS), (64, 64))


@pytest.fixture(scope="module")
def measured():
    """The oracle's measures of each mask."""
    return [oracle.measures(mask, (SPACING_MM, SPACING_MM)) for mask in MASKS]


def test_measures_equal_the_oracle(measured):
    for number, (mask, expected) in enumerate(zip(MASKS, measured, strict=True)):
        for name, value in opencv_delta.measures(mask.astype(np.uint8), SPACING_MM).items():
            if name in expected:
                one_bin = 5.0 if name == "gap_deg" else 1e-3
                assert value == pytest.approx(expected[name], rel=1e-4, abs=one_bin), (number, name)


def test_delta_equals_the_oracle(measured):
    expected = [oracle.is_valid(measures, LOOSE) for measures in measured]
    found = [opencv_delta.is_valid(m.astype(np.uint8), SPACING_MM, LOOSE) for m in MASKS]
    assert found == expected
    assert 0.05 < np.mean(expected) < 0.95
