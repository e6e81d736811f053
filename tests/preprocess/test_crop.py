import numpy as np
import pytest

from acsnet_jax.ops.host import centroid
from acsnet_jax.preprocess.crop import crop_or_pad, inside, uncrop

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [1, 4, 5, 8, 9])
@pytest.mark.parametrize("centre", [(0, 0), (3, 7), (6, 10), None])
def test_the_centre_lies_on_the_middle_pixel(size, centre):
    stack = RNG.integers(1, 100, (2, 7, 11))
    window = crop_or_pad(stack, size, centre=centre)
    assert window.shape == (2, size, size)
    assert window.dtype == stack.dtype
    row, column = centre or (7 // 2, 11 // 2)
    np.testing.assert_array_equal(window[:, size // 2, size // 2], stack[:, row, column])


def test_a_window_is_a_slice_of_a_wide_zero_padding():
    stack = RNG.integers(1, 100, (2, 7, 11))
    padded = np.pad(stack, ((0, 0), (20, 20), (20, 20)))
    for size in (3, 6, 16):
        for row in range(-5, 12):
            for column in (-4, 0, 5, 10, 14):
                low, left = row + 20 - size // 2, column + 20 - size // 2
                expected = padded[:, low : low + size, left : left + size]
                window = crop_or_pad(stack, size, centre=(row, column))
                np.testing.assert_array_equal(window, expected)


@pytest.mark.parametrize("shape", [(6, 6), (7, 11), (12, 5)])
@pytest.mark.parametrize("size", [12, 13, 32])
def test_padding_and_back_is_the_same_array(shape, size):
    stack = RNG.random((3, *shape)).astype(np.float32)
    np.testing.assert_array_equal(uncrop(crop_or_pad(stack, size), shape), stack)


@pytest.mark.parametrize("centre", [(2, 3), (0, 0), (15, 9), (40, 40), None])
@pytest.mark.parametrize("size", [5, 8])
def test_cropping_and_back_keeps_the_window_and_nothing_else(size, centre):
    stack = RNG.integers(1, 100, (2, 16, 10))
    back = uncrop(crop_or_pad(stack, size, centre=centre), (16, 10), centre=centre)
    window = uncrop(np.ones((size, size), bool), (16, 10), centre=centre)
    np.testing.assert_array_equal(back, np.where(window, stack, 0))
    # And once more: a window that was put back is found there again.
    again = crop_or_pad(back, size, centre=centre)
    np.testing.assert_array_equal(again, crop_or_pad(stack, size, centre=centre))


def test_inside_tells_padding_from_picture():
    np.testing.assert_array_equal(
        inside((2, 9), 4), [[False] * 4, [True] * 4, [True] * 4, [False] * 4]
    )
    assert not inside((4, 4), 3, centre=(100, 100)).any()


def test_masks_stay_masks():
    assert crop_or_pad(np.ones((3, 3), bool), 5).dtype == bool
    assert uncrop(np.ones((3, 3), bool), (5, 5)).sum() == 9


def test_centroid_of_closed_forms():
    mask = np.zeros((9, 12), bool)
    assert centroid(mask) == (4, 6)  # nothing there: the middle
    mask[2, 7] = True
    assert centroid(mask) == (2, 7)
    mask[:] = False
    mask[1:4, 3:8] = True
    assert centroid(mask) == (2, 5)


def test_centroid_follows_a_shift():
    mask = np.zeros((40, 40), bool)
    mask[5:14, 6:20] = RNG.random((9, 14)) > 0.5
    row, column = centroid(mask)
    assert centroid(np.roll(mask, (11, 7), (0, 1))) == (row + 11, column + 7)
