import dataclasses

import numpy as np
import pytest

from acsnet_jax.ops.host import centroid
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.synthesis.phantom import make_scan
from acsnet_jax.training.datasets import (
    Dataset,
    balance_cine,
    centre_mask,
    lv_dataset,
    mask_dataset,
    myo_dataset,
)
from acsnet_jax.types import InputError, Label

SPEC = InputSpec(
    lv_spacing_mm=3.0, lv_size=48, myo_spacing_mm=3.0, myo_size=48, mask_size=40, margin_mm=9.0
)


@pytest.fixture(scope="module")
def scans():
    return [
        make_scan(0, 0, size=80, spacing_mm=(1.7, 1.7)),
        make_scan(0, 1, modality="cine", size=80, spacing_mm=(1.7, 1.7)),
    ]


@pytest.mark.parametrize(
    ("make", "size", "outputs"),
    [(lv_dataset, 48, 1), (myo_dataset, 60, 2), (mask_dataset, 40, 1)],
)
def test_shapes_and_types(scans, make, size, outputs):
    dataset = make(scans, SPEC)
    count = sum(scan.labelled.sum() for scan in scans)
    assert dataset.size == count
    assert dataset.images.shape == (count, size, size)
    assert dataset.targets.shape == (count, size, size, outputs)
    assert dataset.weights.shape == (count, outputs)
    assert dataset.half_side.shape == dataset.scans.shape == (count,)
    assert dataset.images.dtype == dataset.targets.dtype == np.uint8
    assert dataset.weights.dtype == dataset.half_side.dtype == np.float32
    assert set(np.unique(dataset.targets)) == {0, 1}


@pytest.mark.parametrize("make", [lv_dataset, myo_dataset, mask_dataset])
def test_only_labelled_slices_enter(scans, make):
    assert not all(scan.labelled.all() for scan in scans)
    dataset = make(scans, SPEC)
    for index, scan in enumerate(scans):
        assert (dataset.scans == index).sum() == scan.labelled.sum()
    fewer = [scan.replace(labelled=np.arange(len(scan.labelled)) == 3) for scan in scans]
    few = make(fewer, SPEC)
    assert few.size == 2
    at = [np.flatnonzero(scan.labelled).tolist().index(3) for scan in scans]
    samples = dataset.take(np.array([at[0], scans[0].labelled.sum() + at[1]]))
    if make is not myo_dataset:  # there the box would be that of the remaining slices
        np.testing.assert_array_equal(few.targets, samples.targets)


def test_stage_1_sees_whole_slices_and_the_lv(scans):
    dataset = lv_dataset(scans, SPEC)
    assert dataset.images.max() == 255
    assert np.isinf(dataset.half_side).all()
    np.testing.assert_array_equal(dataset.weights, 1)
    kept = np.concatenate([scan.labels[scan.labelled] > 0 for scan in scans])
    area_mm2 = kept.sum(axis=(1, 2)) * 1.7**2
    target_mm2 = dataset.targets.sum(axis=(1, 2, 3)) * 3.0**2
    np.testing.assert_allclose(target_mm2, area_mm2, rtol=0.15)


def test_stage_2_sees_myocardium_and_enhancement_within_it(scans):
    dataset = myo_dataset(scans, SPEC)
    myocardium, enhancement = np.moveaxis(dataset.targets, -1, 0).astype(bool)
    assert not (enhancement & ~myocardium).any()
    expert = np.concatenate([scan.labels[scan.labelled] for scan in scans])
    for target, level in ((myocardium, Label.MYOCARDIUM), (enhancement, Label.ENHANCEMENT)):
        area_mm2 = (expert >= level).sum() * 1.7**2
        np.testing.assert_allclose(target.sum() * 3.0**2, area_mm2, rtol=0.1, atol=20)


def test_stage_2_does_not_judge_what_the_expert_did_not_draw(scans):
    dataset = myo_dataset(scans, SPEC)
    cine = dataset.scans == 1
    np.testing.assert_array_equal(dataset.weights[:, 0], 1)
    np.testing.assert_array_equal(dataset.weights[:, 1], ~cine)


def test_stage_2_tells_no_reflow_where_enhancement_was_drawn_on_lge(scans):
    dark = scans[0].labels.copy()
    dark[dark == Label.ENHANCEMENT] = Label.NO_REFLOW
    given = [scans[0].replace(labels=dark), scans[1].replace(has_enhancement=True)]
    plain = myo_dataset(given, SPEC)
    dataset = myo_dataset(given, dataclasses.replace(SPEC, no_reflow=True))
    np.testing.assert_array_equal(dataset.targets[..., :2], plain.targets)
    np.testing.assert_array_equal(dataset.weights[:, :2], plain.weights)
    lge = dataset.scans == 0
    np.testing.assert_array_equal(dataset.targets[lge, ..., 2], dataset.targets[lge, ..., 1])
    assert dataset.targets[lge, ..., 2].any() and not dataset.targets[~lge, ..., 2].any()
    np.testing.assert_array_equal(dataset.weights[:, 2], lge)


def test_stage_2_has_one_box_a_scan_that_holds_every_target(scans):
    dataset = myo_dataset(scans, SPEC)
    middle = np.abs(np.arange(60) - 30)
    for index in range(2):
        chosen = dataset.scans == index
        (half_side,) = np.unique(dataset.half_side[chosen])
        near = middle <= half_side - 9.0 / 3.0 + 1  # the margin is beyond the LV
        box = near[:, None] & near[None, :]
        assert not dataset.targets[chosen][:, ~box].any()
        assert dataset.targets[chosen].any()


def test_masks_are_centred_and_are_their_own_target(scans):
    dataset = mask_dataset(scans, SPEC)
    np.testing.assert_array_equal(dataset.images, dataset.targets[..., 0])
    assert np.isinf(dataset.half_side).all()
    for mask in dataset.images.astype(bool):
        assert centroid(mask) == (20, 20)


def test_labelled_slices_without_myocardium_are_no_masks(scans):
    scan = scans[0]
    labels = scan.labels.copy()
    first = np.flatnonzero(scan.labelled)[0]
    labels[first][labels[first] >= Label.MYOCARDIUM] = Label.BLOOD_POOL
    dataset = mask_dataset([scan.replace(labels=labels)], SPEC)
    assert dataset.size == scan.labelled.sum() - 1


def test_a_mask_moves_to_the_middle():
    mask = np.zeros((30, 30), bool)
    mask[2:7, 20:29] = True
    centred = centre_mask(mask, 11)
    expected = np.zeros((11, 11), bool)
    expected[3:8, 1:10] = True
    np.testing.assert_array_equal(centred, expected)


@pytest.mark.parametrize("make", [lv_dataset, myo_dataset, mask_dataset])
def test_nothing_to_train_on_is_bad_input(scans, make):
    with pytest.raises(InputError, match="none of the 0 scans"):
        make([], SPEC)
    bare = scans[0].replace(labels=None, labelled=np.zeros(len(scans[0].labelled), bool))
    with pytest.raises(InputError, match="without labels"):
        make([bare], SPEC)


def samples(weights, scans):
    count = len(weights)
    return Dataset(
        np.zeros((count, 1, 1), np.uint8),
        np.zeros((count, 1, 1, 2), np.uint8),
        np.array(weights, np.float32),
        np.zeros(count, np.float32),
        np.array(scans),
    )


def test_cine_sums_to_no_more_than_lge_for_each_output(scans):
    # Two LGE samples, one with enhancement; four cine samples, all with pseudo-enhancement.
    weights = [[1, 1], [1, 0], *([[1, 1]] * 4)]
    balanced = balance_cine(samples(weights, [0, 0, 1, 1, 1, 1]), scans)
    expected = np.array([[1, 1], [1, 0], *([[0.5, 0.25]] * 4)])
    np.testing.assert_allclose(balanced.weights, expected / expected.mean(), rtol=1e-6)
    np.testing.assert_allclose(balanced.weights[:2].sum(axis=0), balanced.weights[2:].sum(axis=0))
    assert balanced.weights.dtype == np.float32


def test_few_cine_samples_keep_their_weight(scans):
    weights = [[1, 1]] * 5
    balanced = balance_cine(samples(weights, [0, 0, 0, 1, 1]), scans)
    np.testing.assert_array_equal(balanced.weights, weights)


@pytest.mark.parametrize("index", [0, 1])
def test_samples_of_one_modality_count_alike(scans, index):
    weights = np.array([[1, 0], [1, 1]])
    balanced = balance_cine(samples(weights, [index, index]), scans)
    np.testing.assert_allclose(balanced.weights, weights / weights.mean(), rtol=1e-6)


@pytest.mark.parametrize(("make", "size"), [(lv_dataset, 48), (myo_dataset, 60)])
def test_context_brings_the_neighbours_of_each_labelled_slice(scans, make, size):
    deep = make(scans, dataclasses.replace(SPEC, context=1))
    flat = make(scans, SPEC)
    assert deep.images.shape == (flat.size, 3, size, size)
    np.testing.assert_array_equal(deep.images[:, 0], flat.images)
    same = (np.diff(flat.scans) == 0) & np.concatenate(
        [np.diff(np.flatnonzero(scan.labelled), append=99) == 1 for scan in scans]
    )[:-1]
    assert same.any()
    np.testing.assert_array_equal(deep.images[:-1, 2][same], flat.images[1:][same])
    np.testing.assert_array_equal(deep.images[1:, 1][same], flat.images[:-1][same])
