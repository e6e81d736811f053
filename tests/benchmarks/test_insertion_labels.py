import numpy as np
import pytest
from hearts import radius, sector

from benchmarks.insertions import Found, apart, beside, circular_mean, run_of


@pytest.mark.parametrize(("first", "last"), [(100, 210), (300, 420)])
def test_the_labels_insertions_are_the_ends_of_the_ventricle(first, last):
    lv = radius() < 30
    ventricle = sector(first, last) & (radius() > 31) & (radius() < 45)
    ends = run_of(beside(lv, ventricle, (1.0, 1.0)))
    assert ends is not None
    for found, expected in zip(ends, (first, last), strict=True):
        assert abs(apart(found, expected)) <= 3
    far = sector(first, last) & (radius() > 36)
    assert run_of(beside(lv, far, (1.0, 1.0))) is None


def test_angles_are_circular():
    assert abs(apart(circular_mean(np.array([350.0, 20.0])), 5.0)) < 1e-9
    one = Found("a", (350.0, 100.0), (10.0, 90.0), 0.2)
    assert one.errors_deg == [20.0, 10.0]
    assert one.middle_error_deg == pytest.approx(5.0)
