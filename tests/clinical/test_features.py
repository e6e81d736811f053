import dataclasses
import json

import numpy as np
import pytest

from acsnet_jax.clinical import (
    core_scar,
    features,
    reference_features,
    reference_no_reflow,
    reference_regions,
)
from acsnet_jax.types import InputError, Label, Route, Scan, Segmentation

# On each of three slices 8 mm apart: 16 blood pool pixels in 48 of wall, of 2 x 1 mm.
VOXEL_ML = 2.0 * 1.0 * 8.0 / 1000


@pytest.fixture
def scan():
    labels = np.zeros((3, 12, 12), np.uint8)
    labels[:, 2:10, 2:10] = Label.MYOCARDIUM
    labels[:, 4:8, 4:8] = Label.BLOOD_POOL
    labels[1, 2, 2:10] = Label.ENHANCEMENT
    labels[1, 3, 2:4] = Label.NO_REFLOW
    image = np.full(labels.shape, 10, np.float32)
    image[1, 2, 2:10] = [100, 90, 80, 70, 60, 50, 49, 40]
    return Scan(
        id="ring",
        image=image,
        spacing_mm=(2.0, 1.0),
        positions_mm=np.array([0.0, 8.0, 16.0]),
        affine=np.eye(4),
        oriented=False,
        modality="lge",
        labels=labels,
        labelled=np.array([True, True, True]),
        has_enhancement=True,
        file_order=np.arange(3),
        file_affine=np.eye(4),
    )


def as_segmentation(scan):
    regions = reference_regions(scan)
    assert regions.enhancement is not None and regions.core is not None
    return Segmentation(
        scan,
        regions.myocardium,
        regions.blood_pool,
        regions.enhancement,
        regions.core,
        np.ones(3, bool),
    )


def test_closed_form(scan):
    result = features(as_segmentation(scan))
    assert result.blood_pool_volume_ml == pytest.approx(3 * 16 * VOXEL_ML)
    assert result.myocardial_volume_ml == pytest.approx(3 * 48 * VOXEL_ML)
    assert result.lv_volume_ml == pytest.approx(3 * 64 * VOXEL_ML)
    assert result.myocardial_mass_g == pytest.approx(1.05 * 3 * 48 * VOXEL_ML)
    assert result.enhancement_volume_ml == pytest.approx(10 * VOXEL_ML)
    assert result.core_scar_volume_ml == pytest.approx(6 * VOXEL_ML)  # 100 down to 50
    assert result.gray_zone_volume_ml == pytest.approx(4 * VOXEL_ML)
    assert result.scar_fraction == pytest.approx(10 / 144)
    assert result.core_fraction == pytest.approx(6 / 144)
    assert (result.slices, result.slices_used) == (3, 3)


def test_the_reference_is_what_the_expert_drew(scan):
    theirs, ours = reference_features(scan)._asdict(), features(as_segmentation(scan))._asdict()
    differ = {name for name in theirs if theirs[name] != ours[name]}
    of_no_reflow = {name for name in theirs if name.startswith(("no_reflow", "gray_zone"))}
    assert differ <= of_no_reflow | {"not_available", "notes"}


def test_only_labelled_slices_are_reference(scan):
    half = scan.replace(labelled=np.array([False, True, False]))
    result = reference_features(half)
    assert result.lv_volume_ml == pytest.approx(64 * VOXEL_ML)
    assert (result.slices, result.slices_used) == (3, 1)


def test_enhancement_that_nobody_assessed_is_null(scan):
    result = reference_features(scan.replace(has_enhancement=False))
    assert result.scar_fraction is None
    assert result.core_scar_volume_ml is None
    assert json.loads(json.dumps(result._asdict(), allow_nan=False))["scar_fraction"] is None


def test_an_empty_segmentation_has_no_fractions(scan):
    empty = np.zeros(scan.image.shape, bool)
    result = features(Segmentation(scan, empty, empty, empty, empty, np.zeros(3, bool)))
    assert result.slices_used == 0
    for name in ("lv_volume_ml", "myocardial_mass_g", "infarct_volume_ml", "scar_components"):
        assert getattr(result, name) is None
        assert result.not_available[name] == "no left ventricle was found"
    assert result.scar_fraction is None


def test_an_experts_no_reflow_is_what_was_drawn(scan):
    """Not what the picture shows within the expert's scar."""
    assert scan.labels is not None
    result = reference_features(scan)
    drawn = np.count_nonzero(scan.labels == Label.NO_REFLOW)
    assert result.infarct_volume_ml is not None and result.core_scar_volume_ml is not None
    assert result.no_reflow_volume_ml == pytest.approx(drawn * VOXEL_ML)
    assert result.infarct_volume_ml == pytest.approx(
        np.count_nonzero(scan.labels >= Label.ENHANCEMENT) * VOXEL_ML
    )
    assert result.gray_zone_volume_ml == pytest.approx(
        result.infarct_volume_ml - result.core_scar_volume_ml - drawn * VOXEL_ML
    )


def test_no_reflow_counts_on_labelled_slices_where_enhancement_is_told(scan):
    dark = reference_no_reflow(scan)
    assert dark is not None
    np.testing.assert_array_equal(dark, scan.labels == Label.NO_REFLOW)
    partly = reference_no_reflow(scan.replace(labelled=np.array([True, False, True])))
    assert partly is not None and not partly.any()
    assert reference_no_reflow(scan.replace(has_enhancement=False)) is None


def test_lost_slices_are_told(scan, certificates):
    untouched = certificates[0]
    one = as_segmentation(scan)
    routes = (Route.UNTOUCHED, Route.LOST, Route.UNTOUCHED)
    one.myocardium[1] = one.blood_pool[1] = one.enhancement[1] = one.core[1] = False
    lost = dataclasses.replace(
        one,
        certificates=tuple(
            untouched._replace(slice_index=k, route=route) for k, route in enumerate(routes)
        ),
    )
    (note,) = (note for note in features(lost).notes if "lost" in note)
    assert note == "volumes, masses and segments are without lost slices: 2 (1: apex)"
    assert not [note for note in features(one).notes if "lost" in note]


def test_the_readers_offset_moves_the_half_maximum(scan):
    enhancement = reference_regions(scan).enhancement
    assert enhancement is not None
    shifted = scan.replace(image=scan.image + 1000, signal_zero=1000.0)
    np.testing.assert_array_equal(core_scar(shifted, enhancement), core_scar(scan, enhancement))


def test_errors_name_the_scan(scan):
    with pytest.raises(InputError, match=r"ring.*labels"):
        reference_features(scan.replace(labels=None, labelled=np.zeros(3, bool)))
    with pytest.raises(InputError, match=r"ring.*slice"):
        features(as_segmentation(scan.replace(positions_mm=np.array([0.0, 8.0, 8.0]))))
