"""What a study writes of held-out patients, given their segmentations."""

import csv
import dataclasses

import pytest
from rings import make_corrector

from acsnet_jax import evaluation
from acsnet_jax.jobs.evaluate import write_study
from acsnet_jax.pipeline import Inference
from acsnet_jax.training.cohort import Cohort, CohortOptions


@pytest.fixture(scope="module")
def folder(make_segmentation, tmp_path_factory):
    """The files of a study of three patients, in one of whom the scar is missed."""
    found, missed, normal = (
        make_segmentation(name, scar=scar)
        for name, scar in (("a", True), ("bb", True), ("ccc", False))
    )
    missed = dataclasses.replace(missed, enhancement=normal.enhancement, core=normal.core)
    spread = {"lv_volume_ml": 1.0}
    segmentations = [dataclasses.replace(x, spread=spread) for x in (found, missed, normal)]
    folder = tmp_path_factory.mktemp("study")
    (folder / "patients").mkdir()
    (folder / "patients" / "of_an_earlier_study.html").touch()
    write_study(
        segmentations,
        evaluation.evaluate(segmentations, Inference()),
        make_corrector(),
        [None] * 3,
        Cohort([], [one.scan for one in segmentations]),
        folder,
        title="A study",
        data=CohortOptions(),
        targets=evaluation.Targets(),
        config={},
    )
    return folder


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_patient_has_a_row_with_a_verdict(folder):
    rows = {row["scan_id"]: row for row in rows_of(folder / "patients.csv")}
    assert list(rows) == ["a", "bb", "ccc"]
    assert all(row["verdict"] for row in rows.values())
    assert (
        float(rows["bb"]["enhancement_ours_ml"]) == 0 < float(rows["bb"]["enhancement_expert_ml"])
    )


def test_decisions_and_agreement_stand_in_files_and_in_the_report(folder):
    decided = {(row["limit"], row["group"]): row for row in rows_of(folder / "burden.csv")}
    scar = decided["0", "all"]
    assert [scar[k] for k in ("present", "missed", "absent", "false_alarms")] == [*"2110"]
    assert float(scar["sensitivity"]) == 0.5
    structures = [row["structure"] for row in rows_of(folder / "agreement.csv")]
    assert structures == ["enhancement", "core", "gray_zone", "myocardium", "blood_pool", "lv"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    for id in ("burden", "pathology", "agreement"):
        assert f'<h2 id="{id}">' in page and f'href="#{id}"' in page
    assert "not available" in page  # walls of one size tell no patients apart
    assert (folder / "figures" / "bland_altman.png").is_file()


def test_every_patient_has_a_page_and_one_opens_them_worst_first(folder):
    pages = {path.name for path in (folder / "patients").glob("*.html")}
    assert pages == {"a.html", "bb.html", "ccc.html", "index.html"}
    index = (folder / "patients" / "index.html").read_text(encoding="utf-8")
    assert index.index("bb.html") < index.index("a.html")  # its scar is missed
    assert "Infarct Dice" in index
    assert 'href="patients/index.html"' in (folder / "report.html").read_text(encoding="utf-8")


def test_intervals_are_held_against_the_expert(folder):
    rows = rows_of(folder / "intervals.csv")
    assert [(row["scan_id"], row["field"]) for row in rows] == [
        (name, "lv_volume_ml") for name in ("a", "bb", "ccc")
    ]
    assert "LV with its wall" in (folder / "intervals.md").read_text(encoding="utf-8")
    assert "Whether intervals hold" in (folder / "report.html").read_text(encoding="utf-8")
