import numpy as np
import pytest
from hearts import heart, sector
from PIL import Image

from acsnet_jax.clinical import assess
from acsnet_jax.report import unrolled
from acsnet_jax.report.ring import unrolled_wall


def test_a_sector_of_scar_is_a_stripe_and_a_ring_of_one_thickness_is_flat():
    wall = unrolled_wall(assess(heart(scar=sector(90, 180), slices=3)), bins=36)
    assert wall.transmurality.shape == wall.thickness_mm.shape == (3, 36)
    directions = 5.0 + 10 * np.arange(36)
    inside = (directions > 95) & (directions < 175)
    outside = (directions < 85) | (directions > 185)
    np.testing.assert_allclose(wall.transmurality[:, inside], 1.0, atol=0.1)
    np.testing.assert_allclose(wall.transmurality[:, outside], 0.0, atol=0.1)
    np.testing.assert_allclose(wall.thickness_mm, 10.0, atol=1.0)


def test_a_wall_that_is_thicker_on_one_side_is_so_in_that_direction():
    segmentation = heart(slices=2)
    rows, columns = np.indices(segmentation.myocardium.shape[1:])
    middle = (segmentation.myocardium.shape[1] - 1) / 2
    right = (columns - middle > 0) & (np.hypot(rows - middle, columns - middle) < 34)
    segmentation.myocardium[:] |= right & ~segmentation.blood_pool
    wall = unrolled_wall(assess(segmentation), bins=4)  # middles at 45, 135, 225, 315 degrees
    assert (wall.thickness_mm[:, [0, 3]] > 12).all()
    assert (wall.thickness_mm[:, [1, 2]] < 12).all()


def test_a_slice_without_a_ring_has_no_numbers_and_is_drawn_hatched(tmp_path):
    segmentation = heart(scar=sector(0, 90), slices=3)
    segmentation.myocardium[0] = False
    segmentation.blood_pool[0] = False
    segmentation.enhancement[0] = False
    assessment = assess(segmentation)
    wall = unrolled_wall(assessment)
    assert np.isnan(wall.thickness_mm[0]).all() and np.isfinite(wall.thickness_mm[1:]).all()
    unrolled(assessment, tmp_path / "ring.png", title="heart")
    with Image.open(tmp_path / "ring.png") as picture:
        assert picture.width > 800


@pytest.mark.parametrize("scar", [None, sector(0, 90)])
def test_it_is_drawn_with_and_without_insertions(scar, tmp_path):
    assessment = assess(heart(scar=scar), insertions_deg=(240.0, 120.0))
    unrolled(assessment, tmp_path / "ring.png", title="heart")
    assert (tmp_path / "ring.png").stat().st_size > 10_000
