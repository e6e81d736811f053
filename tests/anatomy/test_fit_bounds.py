"""Bounds of any measures, hearts or not."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax import anatomy
from acsnet_jax.types import InputError


class _Measures(NamedTuple):
    size: np.ndarray
    depth: np.ndarray
    is_ring: np.ndarray


class _Bounds(NamedTuple):
    depth: float
    most: float
    least: float = 7.0


ROWS = _Measures(
    size=np.arange(1.0, 101.0),
    depth=np.where(np.arange(100) < 50, np.arange(100.0), -1.0),
    is_ring=np.arange(100) < 50,
)
RULES = (
    anatomy.Criterion("not too large", "size", "upper", "most"),
    anatomy.Criterion("deep", "depth", "lower", "depth", "ring"),
    anatomy.Criterion("some", "size", "lower", 1.0),
)


def test_bounds_of_any_measures_are_fitted():
    fitted = anatomy.fit_bounds(ROWS, RULES, _Bounds, coverage=0.9)
    # 90 of 100 sizes, and 45 of the 50 depths of rings, are accepted, each with its slack of 1e-5
    assert fitted == _Bounds(depth=5 - 5e-5, most=90 + 90e-5, least=7.0)
    assert anatomy.fit_bounds(ROWS, RULES, _Bounds, coverage=1.0).most == 100 + 100e-5
    failed = anatomy.check(jax.tree.map(jnp.asarray, ROWS), fitted, RULES)
    np.testing.assert_array_equal(failed.sum(axis=0), [10, 5, 0])


def test_given_bounds_stay():
    fitted = anatomy.fit_bounds(ROWS, RULES, _Bounds, most=3.0, least=2.0)
    assert (fitted.most, fitted.least) == (3.0, 2.0)
    assert set(anatomy.fit_bounds(ROWS, RULES, dict)) == {"most", "depth"}
    exact = (anatomy.Criterion("so many", "size", "equal", "least"),)
    assert anatomy.fit_bounds(ROWS, exact, dict) == {}


def test_nothing_to_fit_is_named():
    no_ring = ROWS._replace(is_ring=np.zeros(100, bool))
    with pytest.raises(InputError, match="no mask to fit depth to: give expert masks with closed"):
        anatomy.fit_bounds(no_ring, RULES, _Bounds)
    nothing = ROWS._replace(size=np.full(100, np.nan))
    with pytest.raises(InputError, match="no mask to fit most to: give expert masks that are not"):
        anatomy.fit_bounds(nothing, RULES, _Bounds)
    with pytest.raises(InputError, match=r"coverage must lie in \(0, 1\], not 0"):
        anatomy.fit_bounds(ROWS, RULES, _Bounds, coverage=0.0)
