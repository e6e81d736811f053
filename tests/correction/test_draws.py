"""Shapes near corrected ones, in a latent space whose codes are the two radii of a ring."""

import numpy as np
import pytest
from rings import SIZE, SPACING, decode, make_corrector

from acsnet_jax.correction import shape_draws

OUTER, INNER = 30.0, 20.0
GRID = (SPACING, SPACING)


@pytest.fixture(scope="module")
def corrector():
    return make_corrector()


def stack(*rings):
    return np.stack([np.asarray(decode(np.array([ring], np.float32)))[0] for ring in rings])


def test_areas_spread_as_the_radii_do(corrector):
    masks = stack((OUTER, INNER))
    changes = shape_draws(masks, np.ones_like(masks), corrector, GRID, draws=400, step=0.1, seed=1)
    covariance = 0.1**2 * np.asarray(corrector.mixture.covariances[0])
    slope_wall = 2 * np.pi * np.array([OUTER, -INNER])  # of pi (R^2 - r^2)
    slope_cavity = 2 * np.pi * np.array([0.0, INNER])
    for change, slope in ((changes.wall, slope_wall), (changes.cavity, slope_cavity)):
        assert change.std() == pytest.approx(np.sqrt(slope @ covariance @ slope), rel=0.15)
        assert abs(change.mean()) < 0.1 * change.std()
    np.testing.assert_array_equal(changes.marked, changes.wall)  # all of it is marked


def test_slices_move_together_and_empty_ones_not_at_all(corrector):
    masks = stack((OUTER, INNER), (OUTER, INNER), (26.0, 16.0))
    masks[1] = False
    changes = shape_draws(masks, np.zeros_like(masks), corrector, GRID, draws=200, step=0.2, seed=2)
    assert not changes.wall[:, 1].any() and not changes.cavity[:, 1].any()
    assert not changes.marked.any()
    assert np.corrcoef(changes.wall[:, 0], changes.wall[:, 2])[0, 1] > 0.9


def test_every_shape_is_valid_however_long_the_step(corrector):
    masks = stack((OUTER, INNER))
    changes = shape_draws(masks, masks, corrector, GRID, draws=100, step=20.0)
    ring = np.pi * (OUTER**2 - INNER**2)
    cavity = np.pi * INNER**2
    inner = np.sqrt((cavity + changes.cavity) / np.pi)
    outer = np.sqrt((cavity + changes.cavity + ring + changes.wall) / np.pi)
    assert changes.wall.any()
    assert (outer - inner > 3.0 - SPACING).all() and (outer - inner < 25.0 + SPACING).all()


def test_draws_are_the_same_every_time_and_none_is_none(corrector):
    masks = stack((OUTER, INNER), (OUTER, INNER))
    first, second = (
        shape_draws(masks, masks, corrector, GRID, draws=4, step=0.25) for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    none = shape_draws(masks, masks, corrector, GRID, draws=0, step=0.25)
    assert none.wall.shape == (0, 2)
    empty = shape_draws(np.zeros((2, SIZE, SIZE), bool), masks, corrector, GRID, draws=4, step=1.0)
    assert not empty.wall.any()
