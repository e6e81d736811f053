import dataclasses

import matplotlib.image
import numpy as np
import pytest

from acsnet_jax.evaluation.records import evaluate
from acsnet_jax.pipeline import Inference
from acsnet_jax.report import (
    Violation,
    figure4,
    montage,
    overlay,
    study,
    violations,
    worst_case,
    worst_pictures,
)
from acsnet_jax.synthesis.cine_to_lge import ConversionSteps
from acsnet_jax.types import InputError


def check_picture(path):
    """A picture was written, has something on it, and nothing else lies beside it."""
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 100
    assert pixels[..., :3].std() > 0.01


@pytest.mark.parametrize("labelled", [True, False])
def test_overlay(make_segmentation, tmp_path, labelled):
    overlay(make_segmentation(labelled=labelled, slices=7), tmp_path / "overlay.png")
    check_picture(tmp_path / "overlay.png")


def test_overlay_of_a_partly_labelled_and_trimmed_scan(make_segmentation, tmp_path):
    segmentation = make_segmentation()
    partly = segmentation.scan.replace(labelled=np.array([False, True, True, True]))
    kept = np.array([True, True, True, False])
    overlay(dataclasses.replace(segmentation, scan=partly, kept=kept), tmp_path / "overlay.png")
    check_picture(tmp_path / "overlay.png")


def test_overlay_of_nothing_found(make_segmentation, tmp_path):
    segmentation = make_segmentation(labelled=False, slices=2)
    empty = np.zeros_like(segmentation.core)
    overlay(
        dataclasses.replace(
            segmentation, myocardium=empty, blood_pool=empty, enhancement=empty, core=empty
        ),
        tmp_path / "overlay.png",
    )
    check_picture(tmp_path / "overlay.png")


def test_a_montage_shows_scar_before_it_shows_none(make_segmentation):
    cohort = [make_segmentation(f"{index:02}", scar=index >= 9) for index in range(12)]
    records = evaluate(cohort, Inference())
    assert [one.scan.id for one in study._by_scar(cohort, records)] == ["10", "01", "04", "07"]
    assert len(study._by_scar(cohort[:3], records)) == 3


def test_montage(make_segmentation, tmp_path):
    cohort = [make_segmentation("a"), make_segmentation("b", labelled=False, slices=1)]
    montage(cohort, tmp_path / "montage.png")
    check_picture(tmp_path / "montage.png")


def test_worst_case_draws_the_patient_with_the_lowest_dice(make_segmentation, tmp_path):
    cohort = [make_segmentation("a"), make_segmentation("b", shift=(4, 4))]
    records = evaluate(cohort, Inference()).slices
    assert worst_case(cohort, records, tmp_path / "worst.png") == "b"
    check_picture(tmp_path / "worst.png")
    with pytest.raises(InputError, match="b"):
        worst_case(cohort[:1], records, tmp_path / "worst.png")


def test_the_worst_of_an_earlier_study_goes_where_there_is_none(make_segmentation, tmp_path):
    for scar, drawn in ((True, True), (False, False)):
        cohort = [make_segmentation("a", scar=scar)]
        pictures = worst_pictures(cohort, evaluate(cohort, Inference()), tmp_path)
        assert len(pictures) == 1 + drawn
        assert (tmp_path / "worst_enhancement.png").exists() == drawn


def test_the_worst_scar_is_that_of_a_patient_with_scar(make_segmentation, tmp_path):
    healthy = make_segmentation("b", scar=False)
    cohort = [make_segmentation("a", shift=(1, 0)), healthy]
    records = evaluate(cohort, Inference()).slices
    assert worst_case(cohort, records, tmp_path / "scar.png", structure="enhancement") == "a"
    check_picture(tmp_path / "scar.png")
    records = evaluate([healthy], Inference()).slices
    assert worst_case([healthy], records, tmp_path / "no.png", structure="enhancement") is None
    assert not (tmp_path / "no.png").exists()


def test_figure4(make_segmentation, tmp_path):
    segmentation = make_segmentation()
    image = segmentation.scan.image
    scar, eroded = segmentation.enhancement, segmentation.core
    weight = eroded.astype(np.float32)
    steps = ConversionSteps(image, scar, eroded, weight, image, image, image)
    figure4(steps, (1.5, 1.25), tmp_path / "figure4.png")
    check_picture(tmp_path / "figure4.png")


@pytest.fixture
def masks():
    """Two squares with a hole, and nothing."""
    masks = np.zeros((3, 16, 16), bool)
    masks[:2, 4:12, 4:12] = True
    masks[:2, 6:10, 6:10] = False
    return masks


@pytest.mark.parametrize("count", [1, 5])
def test_violations(masks, tmp_path, count):
    mask = masks[1]
    found = Violation(
        mask, (1.2, 1.8), "folder/a rather long name of a file, slice 3", ("objects",)
    )
    violations([found] * count, tmp_path / "violations.png")
    check_picture(tmp_path / "violations.png")


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(InputError, match="montage"):
        montage([], tmp_path / "montage.png")
    with pytest.raises(InputError, match="violations"):
        violations([], tmp_path / "violations.png")
    assert not list(tmp_path.iterdir())


def test_masks_lie_in_the_picture_where_they_lie_in_the_slice(make_segmentation, tmp_path):
    """Enhancement in each quarter of the wall, against a picture without any."""
    whole = make_segmentation(labelled=False, slices=1)
    rows, columns = (x - x[whole.myocardium].mean() for x in np.indices(whole.core.shape)[1:])

    def picture(mask):
        drawn = dataclasses.replace(whole, enhancement=mask, core=mask)
        overlay(drawn, tmp_path / "overlay.png", title="a")
        return matplotlib.image.imread(tmp_path / "overlay.png")[..., :3]

    plain = picture(np.zeros_like(whole.core))
    found = {}
    for down in (-1, 1):
        for right in (-1, 1):
            quarter = whole.myocardium & (down * rows > 0) & (right * columns > 0)
            changed = np.argwhere(np.abs(picture(quarter) - plain).sum(axis=-1) > 0.1)
            found[down, right] = changed.mean(axis=0)
    for side in (-1, 1):
        assert found[-1, side][0] < found[1, side][0] - 5
        assert found[side, -1][1] < found[side, 1][1] - 5
