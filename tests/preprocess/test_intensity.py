import numpy as np
import pytest
import skimage.exposure

from acsnet_jax.preprocess import intensity
from acsnet_jax.types import InputError, Window


@pytest.fixture
def volume():
    rng = np.random.default_rng(0)
    return rng.gamma(2.0, 100.0, (3, 40, 48)).astype(np.float32)


def test_closed_forms_of_windows():
    """DICOM PS3.3 C.11.2.1.2.1, example 3: centre 40, width 400 spans -160 to 239."""
    image = np.array([[-500, -160, -159, 39.5, 238, 239, 900]], np.float32)
    linear = intensity.apply_window(image, Window(40.0, 400.0))
    np.testing.assert_array_equal(linear, [[0, 0, 1, 199.5, 398, 399, 399]])
    exact = intensity.apply_window(image, Window(40.0, 400.0, "linear_exact"))
    np.testing.assert_array_equal(exact, [[0, 0, 1, 199.5, 398, 399, 400]])
    sigmoid = intensity.apply_window(image, Window(40.0, 400.0, "sigmoid"))
    expected = 400 / (1 + np.exp(-4 * (image.astype(float) - 40) / 400))
    np.testing.assert_allclose(sigmoid, expected, rtol=1e-5)
    assert linear.dtype == exact.dtype == sigmoid.dtype == np.float32
    assert intensity.apply_window(image, None) is image


def test_what_a_window_shows_black_is_padding():
    image = np.full((1, 5, 6), 100.3, np.float32)
    image[:, 1:4, 1:5] = 200
    shown = intensity.apply_window(image, Window(100.3 + 50, 100.0, "linear_exact"))
    np.testing.assert_array_equal(intensity.inside_picture(shown), image > 150)


def test_padding_is_zeros_that_reach_the_border(volume):
    padded = np.pad(volume, ((0, 0), (4, 2), (0, 5)))
    padded[1, 20, 20] = 0  # a dark pixel within the picture
    inside = intensity.inside_picture(padded)
    expected = np.pad(np.ones(volume.shape, bool), ((0, 0), (4, 2), (0, 5)))
    np.testing.assert_array_equal(inside, expected)


def test_padding_does_not_leak_between_slices():
    image = np.ones((3, 9, 9), np.float32)
    image[0] = 0
    image[1, 4, 4] = 0
    inside = intensity.inside_picture(image)
    assert not inside[0].any()
    assert inside[1:].all()


def test_padding_of_a_single_slice():
    image = np.pad(np.ones((4, 4), np.float32), 2)
    np.testing.assert_array_equal(intensity.inside_picture(image), image > 0)


@pytest.mark.parametrize(
    ("kernel_size", "clip_limit"), [(None, 0.01), (8, 0.03), ((10, 16), 0.005)]
)
def test_clahe_is_scikit_image_on_each_slice(volume, kernel_size, clip_limit):
    result = intensity.clahe(volume, kernel_size=kernel_size, clip_limit=clip_limit)
    for k, picture in enumerate(volume.astype(np.float64)):
        scaled = (picture - picture.min()) / (picture.max() - picture.min())
        expected = skimage.exposure.equalize_adapthist(
            scaled, kernel_size=kernel_size, clip_limit=clip_limit
        )
        np.testing.assert_allclose(result[k], expected, atol=1e-6)
    assert result.min() >= 0
    assert result.max() <= 1


def test_clahe_ignores_scale_and_offset(volume):
    # Powers of two keep the floating-point values exact, so that no grey level moves a bin.
    expected = intensity.clahe(volume)
    np.testing.assert_array_equal(intensity.clahe(volume * 4), expected)
    np.testing.assert_array_equal(intensity.clahe(volume[1]), expected[1])


def test_clahe_keeps_constant_slices_constant_and_padding_black(volume):
    volume[1] = 77
    inside = np.ones(volume.shape, bool)
    inside[:, :5] = False
    result = intensity.clahe(volume, inside=inside)
    assert np.all(result[1] == 0)
    assert np.all(result[~inside] == 0)
    assert np.ptp(result[0][inside[0]]) > 0.5


def test_scale_slice_spans_the_picture_and_leaves_padding(volume):
    inside = np.ones(volume.shape, bool)
    inside[:, :, -6:] = False
    volume[~inside] = -1e4
    result = intensity.scale_slice(volume, inside)
    for scaled, picture, mask in zip(result, volume, inside, strict=True):
        low, high = picture[mask].min(), picture[mask].max()
        np.testing.assert_allclose(
            scaled[mask], 255 * (picture[mask] - low) / (high - low), rtol=1e-4, atol=1e-3
        )
        assert scaled[mask].min() == 0
        assert scaled[mask].max() == 255
        assert np.all(scaled[~mask] == 0)


def test_scale_slice_is_invariant_to_affine_intensity(volume):
    inside = np.ones(volume.shape, bool)
    np.testing.assert_allclose(
        intensity.scale_slice(3 * volume + 50, inside),
        intensity.scale_slice(volume, inside),
        atol=1e-3,
    )


def test_scale_slice_of_constant_and_empty_slices_is_zero():
    image = np.full((2, 5, 5), 9, np.int16)
    inside = np.ones(image.shape, bool)
    inside[1] = False
    assert np.all(intensity.scale_slice(image, inside) == 0)


def test_scale_volume_median_closed_form():
    # D holds 10, 20, 30: minimum 10, median 20, denominator 2 * 20 - 10 = 30.
    image = np.array([[[10, 20, 30, 100, 0, 40]]], np.float32)
    region = np.array([[[True, True, True, False, False, False]]])
    expected = 255 * np.array([[[0, 10 / 30, 20 / 30, 1, 0, 1]]])
    np.testing.assert_allclose(intensity.scale_volume(image, region), expected, rtol=1e-6)


def test_scale_volume_puts_the_median_in_the_middle_if_the_minimum_is_zero():
    image = np.array([[[0, 7, 9]]], np.float32)
    scaled = intensity.scale_volume(image, np.ones(image.shape, bool))
    np.testing.assert_allclose(scaled[0, 0, 1], 127.5)


def test_scale_volume_literal_is_min_max_over_the_region(volume):
    region = np.zeros(volume.shape, bool)
    region[:, 10:30, 10:30] = True
    low, high = volume[region].min(), volume[region].max()
    expected = np.clip(255 * (volume - low) / (high - low), 0, 255)
    result = intensity.scale_volume(volume, region, mode="literal")
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("mode", ["median", "literal"])
def test_scale_volume_names_the_fix(volume, mode):
    nothing = np.zeros(volume.shape, bool)
    with pytest.raises(InputError, match="region D is empty"):
        intensity.scale_volume(volume, nothing, mode=mode)
    with pytest.raises(InputError, match="shift the scan's intensities"):
        intensity.scale_volume(np.zeros_like(volume), ~nothing, mode=mode)
    with pytest.raises(InputError, match="shift the scan's intensities"):
        intensity.scale_volume(np.full_like(volume, -3), ~nothing, mode=mode)


def test_match_histogram_is_scikit_image(volume):
    reference = np.random.default_rng(1).normal(500, 80, (2, 30, 30))
    result = intensity.match_histogram(volume, reference)
    expected = skimage.exposure.match_histograms(volume.ravel(), reference.ravel())
    np.testing.assert_allclose(result, expected.reshape(volume.shape), rtol=1e-6)
    # The order of intensities stays.
    order = np.argsort(volume, axis=None)
    assert np.all(np.diff(result.ravel()[order]) >= 0)


def test_match_histogram_ignores_padding_of_both(volume):
    reference = np.random.default_rng(1).normal(500, 80, (2, 30, 30)) + 1000
    plain = intensity.match_histogram(volume, reference)
    pad = ((0, 0), (3, 3), (7, 0))
    inside = np.pad(np.ones(volume.shape, bool), pad)
    reference_inside = np.pad(np.ones(reference.shape, bool), pad)
    result = intensity.match_histogram(
        np.pad(volume, pad),
        np.pad(reference, pad),
        inside=inside,
        reference_inside=reference_inside,
    )
    np.testing.assert_array_equal(result[inside].reshape(volume.shape), plain)
    assert np.all(result[~inside] == 0)


def test_match_histogram_needs_pixels(volume):
    with pytest.raises(InputError, match="no pixel lies inside"):
        intensity.match_histogram(volume, volume, inside=np.zeros(volume.shape, bool))
