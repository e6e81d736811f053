import dataclasses

import batches
import numpy as np
import pytest
from scipy import ndimage

from acsnet_jax import anatomy
from acsnet_jax.synthesis.shapes import ShapeOptions, draw_plausible, draw_shapes
from acsnet_jax.types import InputError

SIZE, SPACING = 128, 1.25
PLAIN = ShapeOptions(apical=0.0, thinned=0.0, thickened=0.0)


def draw(count, seed=0, *, options=None, size=SIZE, spacing_mm=SPACING):
    rng = np.random.default_rng(seed)
    return draw_shapes(rng, count, size=size, spacing_mm=spacing_mm, options=options)


def measured(masks, *, spacing_mm=SPACING):
    return batches.measure(masks, (spacing_mm, spacing_mm))


def radii_mm(masks):
    """Radii of discs of the areas of the epicardial region and of the cavity."""
    regions = [np.asarray(region) for region in anatomy.regions(masks)]
    return [SPACING * np.sqrt(region.sum(axis=(1, 2)) / np.pi) for region in regions]


@pytest.fixture(scope="module")
def masks():
    return draw(600)


def test_shapes_follow_the_generator(masks):
    np.testing.assert_array_equal(draw(20, 1), draw(20, 1))
    assert np.any(draw(20, 1) != draw(20, 2))
    assert masks.shape == (600, SIZE, SIZE) and masks.dtype == bool


def test_almost_all_are_closed_rings_of_one_piece_within_the_picture(masks):
    found = measured(masks)
    assert np.mean((found.objects == 1) & (found.holes == 1)) > 0.99
    border = np.ones((SIZE, SIZE), bool)
    border[1:-1, 1:-1] = False
    assert not masks[:, border].any()


def test_each_stands_in_the_middle(masks):
    for mask in masks[:200]:
        centroid = np.asarray(ndimage.center_of_mass(mask))
        assert np.abs(centroid - SIZE // 2).max() < 1.0


def test_real_hearts_lie_within_the_ranges(masks):
    """Small apices to dilated bases, thin walls to thick ones (the module cites the ranges)."""
    outer, cavity = radii_mm(masks)
    assert outer.min() < 12 and outer.max() > 45
    assert 0 < cavity.min() < 5 and cavity.max() > 34
    found = measured(masks)
    for values, low, high in ((found.wall_min_mm, 3, 10), (found.wall_max_mm, 8, 19)):
        assert np.percentile(values, 5) < low and np.percentile(values, 95) > high
    assert np.nanmedian(found.circularity_epi) > 0.97
    assert np.nanmedian(found.circularity_endo) > 0.94


def test_lengths_are_in_mm():
    """The same shapes on pixels of half the size."""
    coarse, fine = (
        measured(draw(100, size=size, spacing_mm=144 / size), spacing_mm=144 / size)
        for size in (64, 128)
    )
    np.testing.assert_allclose(np.mean(coarse.area_mm2), np.mean(fine.area_mm2), rtol=0.02)
    np.testing.assert_allclose(
        np.nanmean(coarse.wall_max_mm), np.nanmean(fine.wall_max_mm), atol=0.7
    )


def test_options_change_what_is_drawn():
    plain, apical, thinned, thickened = (
        draw(600, options=dataclasses.replace(PLAIN, **change))
        for change in ({}, {"apical": 1.0}, {"thinned": 1.0}, {"thickened": 1.0})
    )
    assert np.median(radii_mm(apical)[1]) < 0.8 * np.median(radii_mm(plain)[1])
    plain, thinned, thickened = map(measured, (plain, thinned, thickened))
    assert np.median(thinned.wall_min_mm) < 0.85 * np.median(plain.wall_min_mm)
    assert np.median(thickened.wall_max_mm) > 1.08 * np.median(plain.wall_max_mm)


def test_open_slices_are_an_option(masks):
    assert measured(masks).is_ring.mean() > 0.99
    found = measured(draw(600, options=dataclasses.replace(PLAIN, open=0.5)))
    assert 0.4 < np.mean(~found.is_ring) < 0.6
    gaps = found.gap_deg[~found.is_ring]
    assert np.percentile(gaps, 5) > 5 and np.percentile(gaps, 95) < 110
    assert np.mean(found.hollow[~found.is_ring]) > 0.95


def test_plausible_shapes_satisfy_delta():
    thresholds = anatomy.Thresholds(0.95, 0.9, 2.0, 4.0, 16.0, 0.0)

    def is_valid(masks):
        return batches.is_valid(np.asarray(masks), (SPACING, SPACING), thresholds)

    kept = draw_plausible(np.random.default_rng(0), 300, is_valid, size=SIZE, spacing_mm=SPACING)
    assert kept.shape == (300, SIZE, SIZE)
    assert is_valid(kept).all()
    assert not is_valid(draw(600)).all()


def test_hopeless_demands_and_bad_options_are_named():
    def nothing(masks):
        return np.zeros(len(masks), bool)

    with pytest.raises(InputError, match="0 of 3000 shapes are plausible"):
        draw_plausible(np.random.default_rng(0), 1, nothing, size=SIZE, spacing_mm=SPACING)
    with pytest.raises(InputError, match=r"shapes\.open is 1\.5"):
        draw(1, options=ShapeOptions(open=1.5))
    with pytest.raises(InputError, match="too few for a large heart: ask for 100 pixels"):
        draw(1, size=64)
