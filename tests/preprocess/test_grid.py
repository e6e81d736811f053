import numpy as np
import pytest
import scipy.ndimage
import skimage.transform

from acsnet_jax.preprocess.grid import (
    grid_over,
    make_grid,
    masks_to_working,
    resample,
    resample_labels,
    resample_mask,
    to_native,
    to_working,
)
from acsnet_jax.preprocess.orient import TURNS, apply_turn, swaps_axes, turned_scan
from acsnet_jax.synthesis.phantom import make_scan
from acsnet_jax.types import Label

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def scan():
    return make_scan(0, 0, size=(80, 72), spacing_mm=(1.7, 1.9))


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def smooth(shape):
    picture = scipy.ndimage.gaussian_filter(RNG.normal(size=shape), (0, 4, 4), mode="nearest")
    return (picture / picture.std()).astype(np.float32)


def disc(shape, spacing_mm, radius_mm, middle_mm=(0.0, 0.0)):
    rows, columns = (
        (np.arange(n) - (n - 1) / 2) * step - middle
        for n, step, middle in zip(shape, spacing_mm, middle_mm, strict=True)
    )
    return (rows[:, None] ** 2 + columns**2 < radius_mm**2)[None]


@pytest.mark.parametrize("spacing", [(1.5, 1.5), (0.7, 0.9), (3.0, 2.1), (1.0, 4.0)])
def test_resampling_is_linear_interpolation_about_the_common_centre(spacing):
    old, shape, new = (1.5, 1.2), (17, 24), spacing
    stack = RNG.normal(size=(2, 20, 31)).astype(np.float32)
    factors = (new[0] / old[0], new[1] / old[1])
    blur = (0, *(max(0, (factor - 1) / 2) for factor in factors))  # skimage's anti-aliasing
    blurred = scipy.ndimage.gaussian_filter(stack, blur, mode="nearest")
    rows, columns = (
        (np.arange(n) - (n - 1) / 2) * factor + (m - 1) / 2
        for n, m, factor in zip(shape, stack.shape[1:], factors, strict=True)
    )
    where = np.meshgrid(rows, columns, indexing="ij")
    expected = [scipy.ndimage.map_coordinates(x, where, order=1, mode="nearest") for x in blurred]
    result = resample(stack, old, shape, new)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, np.stack(expected), atol=1e-5)


@pytest.mark.parametrize("shape", [(20, 30), (80, 90), (40, 25)])
def test_over_one_field_of_view_it_is_scikit_image(shape):
    stack = smooth((1, 40, 50))
    spacing = (1.0, 1.0)
    new_spacing = (40 / shape[0], 50 / shape[1])
    expected = np.asarray(
        skimage.transform.resize(
            stack[0], shape, order=1, mode="edge", anti_aliasing=True, clip=False
        )
    )
    result = resample(stack, spacing, shape, new_spacing)[0]
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_slices_do_not_mix():
    stack = np.zeros((3, 20, 20), np.float32)
    stack[1] = 7
    result = resample(stack, (1.0, 1.0), (10, 9), (2.0, 2.3))
    np.testing.assert_allclose(result[1], 7, rtol=1e-6)
    assert not result[[0, 2]].any()


def test_the_same_grid_is_the_same_array():
    stack = smooth((2, 9, 12))
    np.testing.assert_array_equal(resample(stack, (1.5, 1.2), (9, 12), (1.5, 1.2)), stack)


@pytest.mark.parametrize("spacing", [0.9, 1.3, 2.0])
def test_smooth_images_survive_there_and_back(spacing):
    stack = smooth((2, 60, 70))
    shape = (int(np.ceil(60 * 1.2 / spacing)), int(np.ceil(70 * 1.4 / spacing)))
    there = resample(stack, (1.2, 1.4), shape, (spacing, spacing))
    back = resample(there, (spacing, spacing), (60, 70), (1.2, 1.4))
    inner = np.s_[:, 4:-4, 4:-4]  # beyond the borders the nearest pixel is repeated
    assert np.abs(back - stack)[inner].mean() < 0.03


@pytest.mark.parametrize("spacing", [0.8, 1.5, 2.0])
def test_discs_survive_there_and_back(scan, spacing):
    grid = make_grid(scan, spacing)
    for radius_mm in (15.0, 30.0):
        mask = disc((80, 72), (1.7, 1.9), radius_mm, (6.0, -9.0))
        labels = np.repeat(mask, len(scan.image), axis=0).astype(np.uint8)
        working = to_working(scan.replace(labels=labels), spacing)
        assert working.labels is not None
        back = to_native((working.labels > 0).astype(np.float32), grid) >= 0.5
        assert dice(back, labels > 0) > 0.97
        # The working mask is the disc itself, drawn on the working grid: nothing has shifted.
        assert (
            dice(working.labels[:1] > 0, disc(grid.shape, grid.spacing_mm, radius_mm, (6, -9)))
            > 0.97
        )


@pytest.mark.parametrize("spacing", [1.0, 1.5, 2.7])
def test_the_working_grid_has_the_spacing_and_covers_the_field_of_view(scan, spacing):
    grid = make_grid(scan, spacing)
    assert grid.spacing_mm == (spacing, spacing)
    for pixels, length_mm in zip(grid.shape, (80 * 1.7, 72 * 1.9), strict=True):
        assert 0 <= pixels * spacing - length_mm + 1e-9 < spacing
    working = to_working(scan, spacing)
    assert working.labels is not None
    assert working.image.shape == (len(scan.image), *grid.shape) == working.labels.shape


def test_a_whole_number_of_pixels_is_not_exceeded(scan):
    # 80 x 1.7 mm = 136 mm and 72 x 1.9 mm = 136.8 mm; rounding must not add a pixel.
    assert make_grid(scan, 1.7).shape == (80, 81)
    assert make_grid(scan, 0.1).shape == (1360, 1368)


def test_no_spacing_is_the_scan_itself(scan):
    working = to_working(scan, None)
    np.testing.assert_array_equal(working.image, scan.image)
    np.testing.assert_array_equal(working.labels, scan.labels)
    assert working.grid.spacing_mm == scan.spacing_mm
    np.testing.assert_array_equal(to_native(working.image, working.grid), scan.image)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("spacing", [None, 2.5])
def test_turns_commute_with_resampling(scan, turn, spacing):
    stored = turned_scan(scan, turn)
    expected, working = to_working(scan, spacing), to_working(stored, spacing)
    assert working.grid.shape == expected.grid.shape
    assert working.grid.spacing_mm == expected.grid.spacing_mm
    assert swaps_axes(working.grid.turn) == swaps_axes(turn)
    np.testing.assert_allclose(working.image, expected.image, rtol=1e-5, atol=1e-3)
    assert (working.labels == expected.labels).mean() > 0.9999  # equal shares may go either way
    back = to_native(working.image, working.grid)
    there = to_native(expected.image, expected.grid)
    np.testing.assert_allclose(back, apply_turn(there, turn), rtol=1e-5, atol=1e-3)


def test_a_scan_of_unknown_orientation_is_not_turned(scan):
    stored = turned_scan(scan, 5).replace(oriented=False)
    assert make_grid(stored, 1.5).turn == 0
    np.testing.assert_array_equal(to_working(stored, None).image, stored.image)


def test_a_scan_without_labels_stays_without(scan):
    assert to_working(scan.replace(labels=None), 1.5).labels is None


@pytest.mark.parametrize("spacing", [0.6, 1.0, 2.5])
def test_labels_stay_labels(spacing):
    values = np.array([Label.BACKGROUND, Label.BLOOD_POOL, Label.NO_REFLOW], np.uint8)
    labels = values[RNG.integers(0, 3, (2, 30, 20))]
    result = resample_labels(labels, (1.0, 1.0), (25, 22), (spacing, spacing))
    assert result.dtype == np.uint8
    assert set(np.unique(result)) <= set(values)
    constant = resample_labels(np.full_like(labels, 2), (1.0, 1.0), (25, 22), (spacing, spacing))
    assert (constant == 2).all()


def test_of_two_labels_the_larger_share_wins():
    labels = np.array([[[1, 1, 3, 3, 3]]], np.uint8)
    result = resample_labels(labels, (1.0, 1.0), (1, 4), (1.0, 0.9))
    # New centres lie at the old positions 0.65, 1.55, 2.45, 3.35; at 1.55 the share of 3 is 0.55.
    np.testing.assert_array_equal(result, [[[1, 3, 3, 3]]])


def test_masks_go_from_one_working_grid_to_another(scan):
    coarse, fine = make_grid(scan, 2.5), make_grid(scan, 1.5)
    mask = disc(coarse.shape, coarse.spacing_mm, 30.0, (5.0, -8.0))
    moved = resample_mask(mask, coarse, fine)
    assert dice(moved, disc(fine.shape, fine.spacing_mm, 30.0, (5.0, -8.0))) > 0.97
    assert dice(resample_mask(moved, fine, coarse), mask) > 0.97


@pytest.mark.parametrize("turn", TURNS)
def test_masks_of_any_origin_are_turned_and_resampled(turn):
    grid = grid_over((90, 70), (1.2, 1.8), 1.5, turn=turn)
    mask = disc((90, 70), (1.2, 1.8), 30.0, (6.0, -9.0))
    working = masks_to_working(mask, grid)
    assert working.shape == (1, *grid.shape)
    assert dice(to_native(working.astype(np.float32), grid) >= 0.5, mask) > 0.97


@pytest.mark.parametrize("spacing", [(1.2, 1.8), (1.4, 0.7), (1.0 / 3.0, 1.1)])
def test_spacings_of_single_precision_have_the_same_grid(spacing):
    rounded = float(np.float32(spacing[0])), float(np.float32(spacing[1]))
    for size in range(50, 400):
        shape = grid_over((size, size), spacing, 2.0).shape
        assert grid_over((size, size), rounded, 2.0).shape == shape


@pytest.mark.parametrize("spacing", [0.5, 1.1, 1.7, 4.0])
def test_no_mask_vanishes_on_the_working_grid(spacing):
    grid = grid_over((31, 33), (1.0, 1.0), spacing)
    masks = np.zeros((32, 31, 33), bool)
    for k in range(31):
        masks[k, k, k] = True
    working = masks_to_working(masks, grid)
    np.testing.assert_array_equal(working.any(axis=(1, 2)), masks.any(axis=(1, 2)))
    for k in range(31):
        middle = [(n - 1) / 2 for n in grid.shape]
        place = (np.argwhere(working[k]).mean(axis=0) - middle) * spacing
        assert np.abs(place - (k - 15, k - 16)).max() <= 0.5 + spacing
