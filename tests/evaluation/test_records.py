import dataclasses

import numpy as np
import pytest

from acsnet_jax.evaluation.records import evaluate, evaluate_scan
from acsnet_jax.metrics import hausdorff_mm
from acsnet_jax.types import InputError


def test_a_perfect_segmentation_is_perfect(make_segmentation):
    records = evaluate_scan(make_segmentation())
    assert len(records.slices) == 4 * 4
    assert {r.structure for r in records.volumes} == {"lv", "myocardium", "enhancement", "core"}
    assert all(r.dice == 1 and r.balanced_accuracy == 1 for r in records.slices)
    assert all(r.hausdorff_mm == 0 and r.mean_surface_mm == 0 for r in records.slices)
    assert all(r.relative_error == 0 for r in records.volumes)
    assert [r.location for r in records.slices[:4]] == ["apex", "apex", "middle", "base"]


def test_numbers_are_those_of_the_metrics(make_segmentation):
    segmentation = make_segmentation(shift=(2, 0))
    record = next(r for r in evaluate_scan(segmentation).slices if r.structure == "myocardium")
    truth, prediction = segmentation.scan.labels[0] >= 2, segmentation.myocardium[0]
    both = np.count_nonzero(truth & prediction)
    expected = 2 * both / (np.count_nonzero(truth) + np.count_nonzero(prediction))
    assert record.dice == pytest.approx(expected)
    assert record.sensitivity == pytest.approx(both / np.count_nonzero(truth))
    assert record.hausdorff_mm == hausdorff_mm(prediction, truth, (1.5, 1.25))


def test_only_labelled_slices_are_judged(make_segmentation):
    segmentation = make_segmentation()
    labelled = np.array([False, True, True, False])
    half = dataclasses.replace(segmentation, scan=segmentation.scan.replace(labelled=labelled))
    records = evaluate_scan(half)
    assert {r.slice_index for r in records.slices} == {1, 2}
    whole = evaluate_scan(segmentation).volumes[0]
    assert records.volumes[0].truth_ml == pytest.approx(whole.truth_ml / 2)
    assert records.volumes[0].predicted_ml == pytest.approx(whole.predicted_ml / 2)


def test_enhancement_is_judged_only_where_the_expert_told_it(make_segmentation):
    segmentation = make_segmentation()
    coarse = dataclasses.replace(
        segmentation, scan=segmentation.scan.replace(has_enhancement=False)
    )
    assert {r.structure for r in evaluate_scan(coarse).slices} == {"lv", "myocardium"}


def test_healthy_patients_count_for_dice_but_not_for_distance(make_segmentation):
    records = [r for r in evaluate_scan(make_segmentation(scar=False)).slices if
               r.structure == "core"]  # fmt: skip
    assert all(r.dice == 1 and r.hausdorff_mm is None for r in records)


def test_several_scans(make_segmentation):
    records = evaluate([make_segmentation("a"), make_segmentation("b")])
    assert {r.scan_id for r in records.slices} == {"a", "b"}
    assert len(records.volumes) == 8


def test_a_scan_without_labels_is_refused(make_segmentation):
    with pytest.raises(InputError, match="one"):
        evaluate_scan(make_segmentation(labelled=False))
