import dataclasses

import numpy as np
import pytest

from acsnet_jax.clinical import clean_enhancement, core_scar
from acsnet_jax.evaluation.records import evaluate, evaluate_scan, merged
from acsnet_jax.metrics import hausdorff_mm
from acsnet_jax.pipeline import Inference
from acsnet_jax.types import InputError


def test_a_perfect_segmentation_is_perfect(make_segmentation):
    records = evaluate_scan(make_segmentation(), Inference())
    assert len(records.slices) == 4 * 4
    scar = {"enhancement", "core", "gray_zone"}
    assert {r.structure for r in records.volumes} == {"lv", "myocardium", *scar}
    assert all(r.dice == 1 and r.balanced_accuracy == 1 for r in records.slices)
    assert all(r.hausdorff_mm == 0 and r.mean_surface_mm == 0 for r in records.slices)
    assert all(r.bias_mm2 == 0 for r in records.slices)
    drawn = [r for r in records.volumes if r.reference == "drawn"]
    assert all(r.bias_ml == 0 and not r.relative_error for r in drawn)
    assert [r.location for r in records.slices[:4]] == ["apex", "apex", "middle", "base"]


def test_numbers_are_those_of_the_metrics(make_segmentation):
    segmentation = make_segmentation(shift=(2, 0))
    record = next(
        r for r in evaluate_scan(segmentation, Inference()).slices if r.structure == "myocardium"
    )
    truth, prediction = segmentation.scan.labels[0] >= 2, segmentation.myocardium[0]
    both = np.count_nonzero(truth & prediction)
    expected = 2 * both / (np.count_nonzero(truth) + np.count_nonzero(prediction))
    assert record.dice == pytest.approx(expected)
    assert record.sensitivity == pytest.approx(both / np.count_nonzero(truth))
    assert record.hausdorff_mm == hausdorff_mm(prediction, truth, (1.5, 1.25))
    assert record.truth_mm2 == pytest.approx(np.count_nonzero(truth) * 1.5 * 1.25)
    assert record.predicted_mm2 == pytest.approx(np.count_nonzero(prediction) * 1.5 * 1.25)


def test_only_labelled_slices_are_judged(make_segmentation):
    segmentation = make_segmentation()
    labelled = np.array([False, True, True, False])
    half = dataclasses.replace(segmentation, scan=segmentation.scan.replace(labelled=labelled))
    records = evaluate_scan(half, Inference())
    assert {r.slice_index for r in records.slices} == {1, 2}
    whole = evaluate_scan(segmentation, Inference()).volumes[0]
    assert records.volumes[0].truth_ml == pytest.approx(whole.truth_ml / 2)
    assert records.volumes[0].predicted_ml == pytest.approx(whole.predicted_ml / 2)


def test_enhancement_is_judged_only_where_the_expert_told_it(make_segmentation):
    segmentation = make_segmentation()
    coarse = dataclasses.replace(
        segmentation, scan=segmentation.scan.replace(has_enhancement=False)
    )
    assert {r.structure for r in evaluate_scan(coarse, Inference()).slices} == {"lv", "myocardium"}


def test_healthy_patients_count_for_dice_but_not_for_distance(make_segmentation):
    records = [r for r in evaluate_scan(make_segmentation(scar=False), Inference()).slices if
               r.structure == "core"]  # fmt: skip
    assert all(r.dice == 1 and r.hausdorff_mm is None for r in records)


def test_several_scans(make_segmentation):
    records = evaluate([make_segmentation("a"), make_segmentation("b")], Inference())
    assert {r.scan_id for r in records.slices} == {"a", "b"}
    assert len(records.volumes) == 2 * 8


def test_a_scan_without_labels_is_refused(make_segmentation):
    with pytest.raises(InputError, match="one"):
        evaluate_scan(make_segmentation(labelled=False), Inference())


def test_an_experts_scar_that_is_cleaned_like_ours_has_no_bias(make_segmentation):
    """A prediction that is the expert's drawing, eroded: too small as drawn, exact alike."""
    inference = Inference(erosions=1, min_scar_mm2=4.0)
    drawn = make_segmentation()
    eroded = clean_enhancement(drawn.enhancement, (1.5, 1.25), min_area_mm2=4.0)
    segmentation = dataclasses.replace(
        drawn, enhancement=eroded, core=core_scar(drawn.scan, eroded)
    )
    records = evaluate_scan(segmentation, inference).volumes
    bias = {(r.structure, r.reference): r.bias_ml for r in records}
    rim_mm2 = np.count_nonzero(drawn.enhancement & ~eroded) * 1.5 * 1.25
    assert bias["enhancement", "drawn"] == pytest.approx(-rim_mm2 * 8 / 1000)
    for structure in ("enhancement", "core", "gray_zone"):
        assert bias[structure, "cleaned"] == 0.0
    assert sum(bias[name, "drawn"] for name in ("core", "gray_zone")) == pytest.approx(
        bias["enhancement", "drawn"]
    )


def test_folds_are_judged_together_as_one_by_one(make_segmentation):
    one, other = make_segmentation("a"), make_segmentation("b")
    whole = evaluate([one, other], Inference())
    assert whole == merged([evaluate([one], Inference()), evaluate([other], Inference())])
    assert [record.scan_id for record in whole.volumes[:1] + whole.volumes[-1:]] == ["a", "b"]
