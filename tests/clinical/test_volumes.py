import numpy as np
import pytest

from acsnet_jax.clinical import areas_mm2, mass_g, slice_extents_mm, volume_ml
from acsnet_jax.types import InputError


def test_a_uniform_stack_gives_area_times_distance():
    mask = np.zeros((4, 10, 10), bool)
    mask[:, 2:7, 3:7] = True  # 20 pixels
    assert volume_ml(mask, np.arange(4) * 8.0, (1.5, 2.0)) == pytest.approx(
        4 * 20 * 1.5 * 2.0 * 8.0 / 1000
    )


def test_each_slice_takes_half_of_both_gaps_and_ends_their_whole_gap():
    extents = slice_extents_mm(np.array([0.0, 10.0, 14.0, 20.0]))
    np.testing.assert_allclose(extents, [10.0, 7.0, 5.0, 6.0])


def test_origin_and_direction_of_the_axis_do_not_matter():
    positions = np.array([-3.0, 5.0, 9.0])
    np.testing.assert_allclose(slice_extents_mm(positions), slice_extents_mm(positions + 100))
    mirrored = slice_extents_mm((-positions)[::-1])
    np.testing.assert_allclose(slice_extents_mm(positions), mirrored[::-1])


def test_nearest_neighbour_interpolation_through_plane():
    """Between the first and the last slice, the sum over a fine grid of nearest slices."""
    rng = np.random.default_rng(0)
    positions = np.cumsum(rng.uniform(5, 12, 6))
    mask = rng.random((6, 8, 8)) < 0.5
    step = 1e-3
    fine = np.arange(positions[0], positions[-1], step)
    nearest = np.abs(fine[:, None] - positions).argmin(axis=1)
    areas = areas_mm2(mask, (1.0, 1.0))
    inner = areas[nearest].sum() * step
    outer = 0.5 * (areas[0] * np.diff(positions)[0] + areas[-1] * np.diff(positions)[-1])
    assert volume_ml(mask, positions, (1.0, 1.0)) == pytest.approx((inner + outer) / 1000, rel=1e-3)


def test_mass():
    assert mass_g(100.0) == pytest.approx(105.0)


@pytest.mark.parametrize("positions", [[3.0], [0.0, 0.0], [0.0, 2.0, 1.0]])
def test_stacks_without_a_volume_are_refused(positions):
    with pytest.raises(InputError):
        slice_extents_mm(np.array(positions))
