import dataclasses

import numpy as np
import pytest

from acsnet_jax.preprocess.crop import crop_or_pad
from acsnet_jax.preprocess.grid import to_working
from acsnet_jax.preprocess.intensity import apply_window
from acsnet_jax.preprocess.stages import (
    Box,
    InputSpec,
    lv_box,
    lv_images,
    lv_working,
    myo_images,
    myo_working,
    null_outside,
    with_neighbours,
)
from acsnet_jax.synthesis.phantom import make_scan
from acsnet_jax.types import InputError, Window

SPEC = InputSpec(lv_size=96, myo_size=48, myo_spacing_mm=2.0, lv_spacing_mm=2.0)
BOX = Box(centre=(33, 38), half_side=14)


@pytest.fixture(scope="module")
def scan():
    return make_scan(0, 2, size=80, spacing_mm=(1.7, 1.7))


@pytest.fixture(scope="module")
def working(scan):
    return to_working(scan, 2.0)  # 68 x 68


def times(scan, factor):
    return to_working(scan.replace(image=scan.image * np.float32(factor)), 2.0)


def test_stage_1_scales_each_slice_to_its_own_range(working):
    images = lv_images(working, SPEC)
    assert images.dtype == np.float32
    assert images.shape == (len(working.image), 96, 96)
    np.testing.assert_array_equal(images.max(axis=(1, 2)), 255)
    np.testing.assert_array_equal(images.min(axis=(1, 2)), 0)


def test_stage_1_pads_with_black_around_the_middle(working):
    images = lv_images(working, SPEC)
    low = 96 // 2 - 68 // 2
    inner = np.zeros((96, 96), bool)
    inner[low : low + 68, low : low + 68] = True
    assert not images[:, ~inner].any()
    assert (images[:, inner] > 0).mean() > 0.9


def test_stage_1_crops_to_a_smaller_window(working):
    size = 40
    images = lv_images(working, InputSpec(lv_size=size, lv_spacing_mm=2.0))
    assert images.shape[1:] == (size, size)
    # Up to the scaling of each slice it is the middle of the larger window.
    middle = crop_or_pad(lv_images(working, SPEC), size)
    for image, other in zip(images, middle, strict=True):
        assert np.corrcoef(image.ravel(), other.ravel())[0, 1] > 0.999


def test_stage_1_does_not_depend_on_the_gain_of_any_slice(scan, working):
    gain = np.linspace(0.5, 3, len(scan.image), dtype=np.float32)[:, None, None]
    louder = to_working(scan.replace(image=scan.image * gain), 2.0)
    difference = np.abs(lv_images(louder, SPEC) - lv_images(working, SPEC))
    assert np.quantile(difference, 0.999) < 1.0  # a grey value at the border of a bin may move


def boxed(*corners):
    lv = np.zeros((len(corners), 40, 50), bool)
    for image, (top, bottom, left, right) in zip(lv, corners, strict=True):
        image[top : bottom + 1, left : right + 1] = True
    return lv


@pytest.mark.parametrize(
    ("corners", "margin_mm", "box"),
    [
        # Rows 10..21: twelve pixels about the edge of 16, half the side 6; columns are fewer.
        ([(10, 21, 20, 25)], 0.0, Box((16, 23), 6)),
        # 10 mm are 5 pixels of 2 mm on each side.
        ([(10, 21, 20, 25)], 10.0, Box((16, 23), 11)),
        # Of all slices together: rows 5..24, columns 10..29.
        ([(5, 20, 10, 15), (10, 24, 20, 29)], 4.0, Box((15, 20), 12)),
        # A single pixel: half a pixel and 7 mm are 4 pixels.
        ([(7, 7, 9, 9)], 7.0, Box((7, 9), 4)),
    ],
)
def test_closed_forms_of_the_box(corners, margin_mm, box):
    assert lv_box(boxed(*corners), (2.0, 2.0), margin_mm) == box


def test_the_box_holds_every_lv():
    rng = np.random.default_rng(0)
    for _ in range(50):
        top, left = rng.integers(0, 20, 2)
        lv = boxed((top, top + rng.integers(0, 20), left, left + rng.integers(0, 30)))
        box = lv_box(lv, (2.0, 2.0), float(rng.choice([0.0, 3.0, 10.0])))
        window = crop_or_pad(lv, 120, centre=box.centre).astype(np.float32)
        assert window.sum() == lv.sum()
        np.testing.assert_array_equal(null_outside(window, box.half_side), window)


def test_a_stack_without_lv_is_bad_input():
    with pytest.raises(InputError, match="no left ventricle"):
        lv_box(np.zeros((2, 8, 8), bool), (1.5, 1.5), 15.0)


def test_stage_2_is_a_window_on_the_box(working):
    images = myo_images(working, BOX, SPEC)
    assert images.dtype == np.float32
    assert images.shape == (len(working.image), 48, 48)
    assert images.min() >= 0 and images.max() <= 255
    larger = myo_images(working, BOX, SPEC, size=60)
    np.testing.assert_array_equal(crop_or_pad(larger, 48), images)
    assert larger.shape[1:] == (60, 60)


def test_stage_2_brings_the_median_of_the_box_near_the_middle(working):
    row, column = BOX.centre
    region = working.image[:, row - 14 : row + 14, column - 14 : column + 14].astype(float)
    low, median = region.min(), np.median(region)
    expected = np.clip(255 * (working.image - low) / (2 * median - low), 0, 255)
    expected = crop_or_pad(expected, 48, centre=BOX.centre)
    np.testing.assert_allclose(myo_images(working, BOX, SPEC), expected, atol=1e-3)


def test_stage_2_does_not_depend_on_the_gain_nor_on_what_lies_beyond_the_box(scan, working):
    images = myo_images(working, BOX, SPEC)
    np.testing.assert_allclose(myo_images(times(scan, 3), BOX, SPEC), images, atol=0.01)
    row, column = BOX.centre
    far = np.ones(working.grid.shape, bool)
    far[row - 14 : row + 14, column - 14 : column + 14] = False
    changed = working.image.copy()
    changed[:, far] = 1e6
    bright = myo_images(type(working)(changed, working.labels, working.grid), BOX, SPEC)
    near = np.s_[:, 24 - 14 : 24 + 14, 24 - 14 : 24 + 14]
    np.testing.assert_array_equal(bright[near], images[near])


def test_black_padding_does_not_set_the_minimum(working):
    padded = working.image + np.float32(500)
    padded[:, :, :30] = 0  # reaches into the box
    row, column = BOX.centre
    inner = padded[:, row - 14 : row + 14, 30 : column + 14].astype(float)
    expected = 255 * (padded[:, row, column] - inner.min()) / (2 * np.median(inner) - inner.min())
    images = myo_images(type(working)(padded, None, working.grid), BOX, SPEC)
    np.testing.assert_allclose(images[:, 24, 24], np.clip(expected, 0, 255), atol=1e-3)


def test_a_box_beyond_the_picture_is_padded(working):
    images = myo_images(working, Box((2, 66), 10), SPEC)
    assert images.shape[1:] == (48, 48)
    assert not images[:, : 24 - 2].any()


def test_nothing_is_seen_beyond_the_box():
    images = np.ones((2, 11, 11), np.float32)
    nulled = null_outside(images, 3)
    np.testing.assert_array_equal(nulled.sum(axis=(1, 2)), (2 * 3 + 1) ** 2)
    np.testing.assert_array_equal(nulled, nulled[:, ::-1, ::-1])
    np.testing.assert_array_equal(null_outside(nulled, 3), nulled)
    np.testing.assert_array_equal(null_outside(images, 11), images)


@pytest.mark.parametrize("function", ["linear", "linear_exact", "sigmoid"])
def test_the_networks_see_what_the_window_shows(scan, function):
    low, high = (float(value) for value in np.quantile(scan.image, (0.2, 0.9)))
    window = Window((low + high) / 2, high - low, function)
    shown = scan.replace(image=apply_window(scan.image, window))
    for working in (lv_working, myo_working):
        seen = working(scan.replace(window=window), SPEC)
        np.testing.assert_array_equal(seen.image, working(shown, SPEC).image)
        np.testing.assert_array_equal(seen.labels, working(scan, SPEC).labels)
        # Without a window, or if it is not asked for, intensities stay to the bit.
        plain = dataclasses.replace(SPEC, window=False)
        bare = working(scan, SPEC).image
        np.testing.assert_array_equal(working(scan.replace(window=window), plain).image, bare)
        np.testing.assert_array_equal(to_working(scan, 2.0).image, bare)
        assert np.abs(seen.image - bare).max() > 0


def test_inputs_do_not_depend_on_the_scale_of_windowed_intensities(scan):
    """What a window shows begins at 0, so that its unit is of no account (as 0 to 4095 was)."""
    low, high = (float(value) for value in np.quantile(scan.image, (0.2, 0.9)))
    shown = np.clip(scan.image.astype(np.float64) - low, 0, high - low)
    display = scan.replace(image=(shown / (high - low) * 4095).astype(np.float32))
    windowed = scan.replace(window=Window((low + high) / 2, high - low, "linear_exact"))
    images = [lv_images(lv_working(one, SPEC), SPEC) for one in (windowed, display)]
    # A grey value at the border of a histogram's bin may fall to the other side.
    assert np.quantile(np.abs(images[0] - images[1]), 0.999) < 1.0
    images = [myo_images(myo_working(one, SPEC), BOX, SPEC) for one in (windowed, display)]
    np.testing.assert_allclose(images[0], images[1], atol=1e-2)


def test_neighbours_are_in_the_channels_and_the_ends_stand_for_what_is_missing():
    images = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 2, 2), np.float32)
    assert with_neighbours(images, 0) is images
    found = with_neighbours(images, 2)
    assert found.shape == (4, 5, 2, 2)
    expected = [[0, 0, 1, 0, 2], [1, 0, 2, 0, 3], [2, 1, 3, 0, 3], [3, 2, 3, 1, 3]]
    np.testing.assert_array_equal(found[:, :, 0, 0], expected)


def test_context_changes_no_slice_itself(working):
    deep = dataclasses.replace(SPEC, context=1)
    for make in (lv_images, lambda *given: null_outside(myo_images(given[0], BOX, given[1]), 9)):
        np.testing.assert_array_equal(make(working, deep)[:, 0], make(working, SPEC))
