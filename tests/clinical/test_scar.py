import numpy as np
import pytest
from scipy import ndimage

from acsnet_jax.clinical import (
    clean_enhancement,
    core_scar,
    fwhm_core,
    n_sd_core,
    reference_features,
    scar_moved_mm3,
)
from acsnet_jax.io import read_dicom
from acsnet_jax.preprocess.intensity import apply_window
from acsnet_jax.synthesis.phantom import make_scan, write_dicom
from acsnet_jax.types import InputError, Label, Window

UNIT = (1.0, 1.0)


def squares(*sides, size=64):
    """A slice with disjoint squares of the given sides, in a row."""
    mask = np.zeros((1, size, size), bool)
    column = 1
    for side in sides:
        mask[0, 2 : 2 + side, column : column + side] = True
        column += side + 2
    return mask


def test_erosion_is_by_a_cross():
    mask = squares(7)
    cleaned = clean_enhancement(mask, UNIT, min_area_mm2=0.0)
    expected = ndimage.binary_erosion(mask[0], ndimage.generate_binary_structure(2, 1))
    np.testing.assert_array_equal(cleaned[0], expected)
    # A cross, unlike a square, leaves the pixel inside a missing corner.
    dented = squares(7)
    dented[0, 2, 1] = False
    assert clean_enhancement(dented, UNIT, min_area_mm2=0.0)[0, 3, 2]


def test_keeps_the_five_largest_above_the_minimum_area():
    mask = squares(3, 4, 5, 6, 7, 8)
    cleaned = clean_enhancement(mask, UNIT, erosions=0, min_area_mm2=0.0)
    assert cleaned.sum() == sum(side**2 for side in (4, 5, 6, 7, 8))
    cleaned = clean_enhancement(mask, UNIT, erosions=0, min_area_mm2=25.0)
    assert cleaned.sum() == sum(side**2 for side in (6, 7, 8))


def test_the_minimum_area_is_physical():
    mask = squares(4)
    assert clean_enhancement(mask, (2.0, 2.0), erosions=0, min_area_mm2=60.0).any()
    assert not clean_enhancement(mask, (1.9, 1.9), erosions=0, min_area_mm2=60.0).any()


def test_diagonal_neighbours_are_one_component():
    mask = np.zeros((1, 8, 8), bool)
    mask[0, 1:3, 1:3] = mask[0, 3:5, 3:5] = True
    assert clean_enhancement(mask, UNIT, erosions=0, min_area_mm2=5.0).sum() == 8


def test_slices_are_cleaned_by_themselves():
    rng = np.random.default_rng(0)
    stack = ndimage.gaussian_filter(rng.normal(size=(5, 40, 40)), (0, 2, 2)) > 0
    together = clean_enhancement(stack, (1.4, 1.4))
    alone = np.concatenate([clean_enhancement(part, (1.4, 1.4)) for part in np.split(stack, 5)])
    np.testing.assert_array_equal(together, alone)
    assert not (together & ~stack).any()


def test_fwhm_takes_half_of_the_maximum_inside_the_enhancement_of_the_whole_scan():
    image = np.zeros((2, 2, 3), np.float32)
    image[0] = [[10, 20, 5], [9.99, 100, 10]]
    image[1] = [[19, 4, 10], [0, 0, 0]]
    enhancement = np.zeros(image.shape, bool)
    enhancement[0, 0] = True  # 10 20 5: the 100 outside does not count
    enhancement[0, 1, 0] = True  # 9.99
    enhancement[1, 0] = True  # 19 4 10
    core = fwhm_core(image, enhancement)
    expected = enhancement & (image >= 10)
    np.testing.assert_array_equal(core, expected)
    assert core.sum() == 4


def test_fwhm_ignores_the_scale_and_knows_an_offset():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 1, (3, 20, 20)).astype(np.float32)
    enhancement = rng.random(image.shape) < 0.3
    core = fwhm_core(image, enhancement)
    np.testing.assert_array_equal(fwhm_core(image * 64, enhancement), core)
    np.testing.assert_array_equal(
        fwhm_core(image * 1024 + 2048, enhancement, signal_zero=2048.0), core
    )
    assert fwhm_core(image * 1024 + 2048, enhancement).sum() == enhancement.sum()


def test_no_enhancement_or_no_signal_has_no_core():
    image = np.full((2, 4, 4), -1.0, np.float32)
    assert not fwhm_core(image, np.zeros((2, 4, 4), bool)).any()
    assert not fwhm_core(image, np.ones((2, 4, 4), bool)).any()


def test_n_sd_is_above_the_remote_mean():
    image = np.array([[[10, 12, 14, 16, 17, 30]]], np.float32)
    remote = np.array([[[True, True, True, False, False, False]]])
    threshold = 12 + 2 * np.sqrt(8 / 3)  # 15.27
    core = n_sd_core(image, ~remote, remote, n=2.0)
    np.testing.assert_array_equal(core, ~remote & (image > threshold))
    assert core.sum() == 3
    with pytest.raises(InputError, match="remote"):
        n_sd_core(image, ~remote, np.zeros_like(remote))


def test_scar_that_leaves_the_myocardium_or_comes_into_it_has_moved():
    before = np.array([[[True, True, False, False]], [[True, True, True, True]]])
    after = np.array([[[True, False, True, False]], [[True, True, True, True]]])
    enhancement = np.array([[[True, True, True, True]], [[True, True, False, True]]])
    extents = np.array([8.0, 10.0])
    moved = scar_moved_mm3(enhancement, before, after, (1.5, 2.0), extents)
    np.testing.assert_array_equal(moved, [2 * 1.5 * 2.0 * 8.0, 0.0])
    enhancement[0, 0, 1] = False
    moved = scar_moved_mm3(enhancement, before, after, (1.5, 2.0), extents)
    np.testing.assert_array_equal(moved, [1 * 1.5 * 2.0 * 8.0, 0.0])


@pytest.fixture
def phase_sensitive():
    """A phantom whose zero is 2048 of 16 bits and whose scar is brighter than its window."""
    scan = make_scan(0, 9)
    image = 2048 + scan.image * np.float32(6000 / scan.image.max())
    return scan.replace(image=image, window=Window(2400.0, 2400.0), signal_zero=2048.0)


@pytest.mark.parametrize("windowed", [True, False])
def test_a_window_changes_nothing_of_the_core(tmp_path, phase_sensitive, windowed):
    scan = phase_sensitive if windowed else phase_sensitive.replace(window=None)
    assert scan.labels is not None
    enhancement = scan.labels >= Label.ENHANCEMENT
    core = core_scar(scan, enhancement)
    assert 0.5 * enhancement.sum() < core.sum() < 0.7 * enhancement.sum()
    write_dicom(scan, tmp_path / "study")
    read = read_dicom(tmp_path / "study").replace(signal_zero=2048.0)
    assert read.window == scan.window
    # The peak lies beyond the window, and is halved where it is, up to the file's 16 bits.
    assert read.image[enhancement].max() > 3599
    assert (core_scar(read, enhancement) ^ core).sum() <= 1
    # Display values of 0 to 65535 with a zero in the scanner's unit, as windowing readers give:
    display = apply_window(read.image, Window(2400.0, 2400.0)) * np.float32(65535 / 2399)
    assert fwhm_core(display, enhancement, signal_zero=2048.0).sum() == enhancement.sum()


def test_the_reference_core_reads_unwindowed_intensities(phase_sensitive):
    with_window, without = (
        reference_features(scan) for scan in (phase_sensitive, phase_sensitive.replace(window=None))
    )
    assert with_window == without
    core_ml, enhancement_ml = with_window.core_scar_volume_ml, with_window.enhancement_volume_ml
    assert core_ml is not None and enhancement_ml is not None
    assert 0 < core_ml < enhancement_ml
