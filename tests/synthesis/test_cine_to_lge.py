import dataclasses

import numpy as np
import pytest
from objects import EIGHT, label_objects
from scipy import ndimage

from acsnet_jax.io.acdc import read_acdc
from acsnet_jax.io.emidec import read_emidec
from acsnet_jax.preprocess import intensity
from acsnet_jax.synthesis.cine_to_lge import (
    ConversionOptions,
    cine_to_lge,
    conversion_steps,
    sample_pseudo_scar,
)
from acsnet_jax.synthesis.phantom import make_scan
from acsnet_jax.types import ConversionRecord, InputError, Label, Window

ALWAYS = ConversionOptions(scar_probability=1.0)
NEVER = ConversionOptions(scar_probability=0.0)


@pytest.fixture(scope="module")
def cine():
    return make_scan(1, 0, modality="cine", size=96, spacing_mm=(1.8, 1.8))


@pytest.fixture(scope="module")
def lge():
    return make_scan(1, 0, modality="lge", size=96, spacing_mm=(1.8, 1.8))


@pytest.fixture(scope="module")
def steps(cine, lge):
    return conversion_steps(cine, lge, rng=np.random.default_rng(3), options=ALWAYS)


def test_step_1_is_clahe_only_if_asked(cine, lge, steps):
    np.testing.assert_array_equal(steps.equalised, intensity.clahe(cine.image))
    plain = conversion_steps(
        cine, lge, rng=np.random.default_rng(3), apply_clahe=False, options=ALWAYS
    )
    np.testing.assert_array_equal(plain.equalised, cine.image)
    np.testing.assert_array_equal(plain.pseudo_scar, steps.pseudo_scar)


def test_step_2_lies_in_the_myocardium_and_starts_at_the_blood(cine):
    myocardium = cine.labels == Label.MYOCARDIUM
    blood = cine.labels == Label.BLOOD_POOL
    for seed in range(10):
        scar = sample_pseudo_scar(
            cine.labels, cine.spacing_mm, rng=np.random.default_rng(seed), options=ALWAYS
        )
        assert scar.any()
        assert not (scar & ~myocardium).any()
        for k in np.flatnonzero(scar.any(axis=(1, 2))):
            names, count = label_objects(scar[k], EIGHT)
            beside_blood = np.asarray(ndimage.binary_dilation(blood[k], EIGHT, iterations=2), bool)
            touching = set(np.unique(names[beside_blood])) - {0}
            assert touching == set(range(1, count + 1))


def test_step_2_is_coherent_through_slices(cine):
    """Scarred slices follow each other, and neighbours share most of their scarred angles."""
    one = ConversionOptions(scar_probability=1.0, second_scar_probability=0.0)
    for seed in range(5):
        scar = sample_pseudo_scar(
            cine.labels, cine.spacing_mm, rng=np.random.default_rng(seed), options=one
        )
        scarred = np.flatnonzero(scar.any(axis=(1, 2)))
        assert np.all(np.diff(scarred) == 1)
        centres = []
        for k in scarred:
            middle = np.argwhere(cine.labels[k] > 0).mean(axis=0)
            row, column = np.argwhere(scar[k]).mean(axis=0) - middle
            centres.append(np.arctan2(row, column))
        steps_deg = np.abs(np.rad2deg(np.angle(np.exp(1j * np.diff(centres)))))
        assert np.all(steps_deg < 60)


def test_step_3_only_takes_away_the_border(steps):
    assert steps.eroded.any()
    assert not (steps.eroded & ~steps.pseudo_scar).any()
    assert steps.eroded.sum() < steps.pseudo_scar.sum()
    assert steps.weight.min() >= 0
    assert steps.weight.max() <= 1 + 1e-6
    # The Gaussian keeps the mass of the scar and does not reach into scarless slices.
    np.testing.assert_allclose(steps.weight.sum(), steps.eroded.sum(), rtol=1e-3)
    assert np.all(steps.weight[~steps.eroded.any(axis=(1, 2))] == 0)


def test_step_4_brightens_the_scar_and_adds_multiplicative_noise(cine, steps):
    dark = np.median(steps.equalised[cine.labels == Label.MYOCARDIUM])
    assert np.all(steps.overlaid >= steps.equalised)
    assert np.median(steps.overlaid[steps.eroded]) > 1.5 * dark
    untouched = steps.weight == 0
    np.testing.assert_array_equal(steps.overlaid[untouched], steps.equalised[untouched])
    black = steps.overlaid == 0
    assert np.all(steps.speckled[black] == 0)
    ratio = steps.speckled[~black] / steps.overlaid[~black]
    np.testing.assert_allclose(ratio.mean(), 1, atol=5e-3)
    assert 0.03 < ratio.std() < 0.081


def test_step_5_has_the_histogram_of_the_reference(lge, steps):
    shares = np.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(
        np.quantile(steps.matched, shares), np.quantile(lge.image, shares), rtol=0.02
    )


def test_scan_carries_labels_and_provenance(cine, lge):
    result = cine_to_lge(cine, lge, seed=3, options=ALWAYS)
    assert result.labels is not None
    enhanced = result.labels == Label.ENHANCEMENT
    assert enhanced.any()
    np.testing.assert_array_equal(np.where(enhanced, Label.MYOCARDIUM, result.labels), cine.labels)
    assert result.has_enhancement
    assert result.modality == "cine"
    assert result.provenance.cine_to_lge == ConversionRecord(lge.id, 3, True)
    assert result.provenance.phantom == cine.provenance.phantom
    assert cine.provenance.cine_to_lge is None
    assert not (cine.labels == Label.ENHANCEMENT).any()


def test_a_converted_scan_takes_over_window_and_zero_of_the_reference(cine, lge):
    """Windowing after the conversion is matching the windowed histogram, padding included."""
    low, high = (float(v) for v in np.quantile(lge.image, (0.2, 0.9)))
    window = Window((low + high) / 2, high - low, "linear_exact")
    reference = lge.replace(window=window, signal_zero=5.0)
    dark = cine.image.copy()
    dark[:, :10] = 0
    source = cine.replace(image=dark)
    result = cine_to_lge(source, reference, seed=3, options=ALWAYS)
    assert result.window == window and result.signal_zero == 5.0
    shown = intensity.apply_window(result.image, result.window)
    windowed = lge.replace(image=intensity.apply_window(lge.image, window))
    expected = cine_to_lge(source, windowed, seed=3, options=ALWAYS)
    assert expected.window is None
    assert not shown[:, :10].any() and not intensity.inside_picture(shown)[:, :10].any()
    # A histogram's last step to a plateau is interpolated, by less than a step.
    assert np.quantile(np.abs(shown - expected.image), 0.999) < 0.005 * (high - low)


def test_the_cine_is_converted_as_its_window_shows_it(cine, lge):
    low, high = (float(v) for v in np.quantile(cine.image, (0.1, 0.8)))
    window = Window((low + high) / 2, high - low, "linear_exact")
    result = cine_to_lge(cine.replace(window=window), lge, seed=3, options=ALWAYS)
    shown = cine.replace(image=intensity.apply_window(cine.image, window))
    expected = cine_to_lge(shown, lge, seed=3, options=ALWAYS)
    np.testing.assert_array_equal(result.image, expected.image)
    assert result.window is None


def test_the_seed_decides(cine, lge):
    first, again, other = (cine_to_lge(cine, lge, seed=seed).image for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_some_scans_stay_without_scar(cine, lge):
    result = cine_to_lge(cine, lge, seed=0, options=NEVER)
    np.testing.assert_array_equal(result.labels, cine.labels)
    assert result.has_enhancement


def test_bad_scans_are_named(cine, lge):
    with pytest.raises(InputError, match=f"{lge.id} is lge, not cine"):
        cine_to_lge(lge, lge, seed=0)
    with pytest.raises(InputError, match=f"reference {cine.id} is cine, not lge"):
        cine_to_lge(cine, cine, seed=0)
    with pytest.raises(InputError, match="has no labels"):
        cine_to_lge(cine.replace(labels=None), lge, seed=0)
    cavity_only = np.where(cine.labels == Label.BLOOD_POOL, 1, 0).astype(np.uint8)
    with pytest.raises(InputError, match="no pixel labelled MYOCARDIUM"):
        cine_to_lge(cine.replace(labels=cavity_only), lge, seed=0)


def test_options_are_frozen():
    for field in dataclasses.fields(ALWAYS):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(ALWAYS, field.name, 0.5)


def test_real_cine_takes_the_intensities_of_real_lge(data_root):
    """ACDC to EMIDEC: blood above wall, scar above wall, padding of the reference left out."""
    cine = read_acdc(sorted((data_root / "acdc").glob("patient*"))[0])
    lge = read_emidec(sorted((data_root / "emidec").glob("Case_P*"))[0])
    result = cine_to_lge(cine, lge, seed=0, options=ALWAYS)
    wall, blood, scar = (
        np.median(result.image[result.labels == label])
        for label in (Label.MYOCARDIUM, Label.BLOOD_POOL, Label.ENHANCEMENT)
    )
    assert wall < scar
    assert wall < blood
    counted = intensity.inside_picture(lge.image)
    inside = intensity.inside_picture(cine.image)
    shares = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(
        np.quantile(result.image[inside], shares),
        np.quantile(lge.image[counted], shares),
        rtol=0.02,
    )
