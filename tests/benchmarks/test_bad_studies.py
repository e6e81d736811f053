"""Each way of spoiling a study does what it says."""

import numpy as np
import pytest

from acsnet_jax.synthesis.phantom import make_scan
from acsnet_jax.types import InputError, Label
from benchmarks import bad_studies
from benchmarks.bad_studies import KINDS


@pytest.fixture(scope="module")
def scan():
    return make_scan(2, 0, size=96)


def spoilt(scan, kind):
    return KINDS[kind](scan, np.random.default_rng(0))


def heart(scan):
    return (scan.labels > 0) & scan.labelled[:, None, None]


def slices(scan):
    assert scan.labels is not None
    return {(x.tobytes(), y.tobytes()) for x, y in zip(scan.image, scan.labels, strict=True)}


def test_noise_is_as_strong_as_the_contrast(scan):
    medians = [
        np.median(scan.image[scan.labels == x]) for x in (Label.BLOOD_POOL, Label.MYOCARDIUM)
    ]
    added = spoilt(scan, "noise").image - scan.image
    assert added.std() == pytest.approx(abs(medians[0] - medians[1]), rel=0.02)


def test_motion_and_blur_keep_the_mean_and_lose_edges(scan):
    for kind in ("motion", "blurred"):
        image = spoilt(scan, kind).image
        assert image.mean() == pytest.approx(scan.image.mean(), rel=0.02)
        assert np.isfinite(image).all() and not np.allclose(image, scan.image)
    edges = [np.abs(np.diff(x.image, axis=2)).mean() for x in (scan, spoilt(scan, "blurred"))]
    assert edges[1] < 0.5 * edges[0]


def test_half_of_the_heart_is_gone(scan):
    image = spoilt(scan, "half a heart").image
    gone = (image == scan.image.min()) & heart(scan)
    assert gone.sum() / heart(scan).sum() == pytest.approx(0.5, abs=0.1)


def test_shuffled_slices_keep_their_labels(scan):
    found = spoilt(scan, "slices shuffled")
    assert slices(found) == slices(scan) and not np.array_equal(found.image, scan.image)


def test_inverted_is_dark_where_it_was_bright(scan):
    assert np.corrcoef(spoilt(scan, "inverted").image.ravel(), scan.image.ravel())[0, 1] < -0.99


def test_there_is_no_heart_where_it_was(scan):
    image = spoilt(scan, "no heart").image
    same = np.isclose(image, scan.image)
    assert same[~heart(scan)].mean() > 0.5 and same[heart(scan)].mean() < 0.2


def test_a_study_without_labels_is_refused(scan):
    with pytest.raises(InputError, match="no labels"):
        spoilt(scan.replace(labels=None), "half a heart")


def test_patients_with_and_without_scar_are_taken_in_turn(scan):
    healthy = np.minimum(scan.labels, Label.MYOCARDIUM).astype(np.uint8)
    scarred = np.where(healthy == Label.MYOCARDIUM, Label.ENHANCEMENT, healthy).astype(np.uint8)
    cohort = [
        scan.replace(id=name, labels=labels)
        for name, labels in zip("abcd", (healthy, healthy, healthy, scarred), strict=True)
    ]
    assert [one.id for one in bad_studies._in_turn(cohort, 3)] == ["d", "a", "b"]
    assert [one.id for one in bad_studies._in_turn(cohort, 1)] == ["d"]
