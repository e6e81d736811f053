"""Two folders of label files and an expert's, end to end: files in; tables, plots, report out."""

import csv
import json
import runpy
import shutil
import sys

import matplotlib.image
import numpy as np
import pytest
from label_folders import VOXEL_ML, heart, save

from acsnet_jax.io.label_sets import LabelMap
from acsnet_jax.jobs.compare import compare
from acsnet_jax.types import InputError
from configs import compare as compare_config

PATIENTS = ("p1", "p2", "p3", "p4")
SCARS = (0, 2, 4, 6)  # columns of two rows, on three slices


def configured(root, **changes):
    config = compare_config.get_config()
    config.update({name: str(root / name) for name in ("a", "b", "reference")})
    config.update(changes)
    config.lock()
    return config


@pytest.fixture
def folders(tmp_path):
    """A sees a column of scar more in everybody; B misses the scar of p4, with a wider wall."""
    for name, scar in zip(PATIENTS, SCARS, strict=True):
        save(tmp_path / "reference" / f"{name}.nii.gz", heart(scar=scar))
        save(tmp_path / "a" / name / "segmentation.nii.gz", heart(scar=scar + 1))
        missed = 0 if name == "p4" else scar
        save(tmp_path / "b" / f"{name}.nii.gz", heart(scar=missed, wider=2))
    return tmp_path


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_everything_is_written_and_in_closed_form(folders, capsys):
    out = folders / "out"
    found = compare(configured(folders), out)
    assert found.patients == [*PATIENTS] and found.names == ("a", "b")
    names = {path.name for path in out.iterdir()}
    plots = {f"bland_altman_{s}.png" for s in ("enhancement", "myocardium", "blood_pool", "lv")}
    assert names == plots | {
        *("comparison.csv", "comparison.json", "comparison.md", "patients.csv", "report.html")
    }
    rows = {(r["structure"], r["measure"]): r for r in rows_of(out / "comparison.csv")}
    column = 2 * 3 * VOXEL_ML  # of scar: two rows on three slices
    assert float(rows["enhancement", "bias_ml"]["a_mean"]) == pytest.approx(column, rel=1e-5)
    assert float(rows["enhancement", "bias_ml"]["b_mean"]) == pytest.approx(
        -6 * column / 4, rel=1e-5
    )
    difference = rows["enhancement", "bias_ml"]["difference"]
    assert float(difference) == pytest.approx(column + 6 * column / 4, rel=1e-5)
    dice = [2 * s / (2 * s + 1) for s in SCARS]
    assert float(rows["enhancement", "dice"]["a_mean"]) == pytest.approx(np.mean(dice), rel=1e-5)
    assert float(rows["enhancement", "dice"]["b_mean"]) == pytest.approx(
        3 / 4
    )  # empty on empty is 1
    distance = rows["enhancement", "hausdorff_mm"]
    assert distance["pairs"] == "4"  # with p1, in whom B draws none, as the expert: at 0
    assert float(rows["lv", "hausdorff_mm"]["b_mean"]) == pytest.approx(
        2 * 2
    )  # two columns of 2 mm
    assert float(rows["lv", "dice"]["a_mean"]) == 1
    assert float(rows["lv", "dice"]["difference_low"]) > 0

    patients = {(r["scan_id"], r["structure"]): r for r in rows_of(out / "patients.csv")}
    assert len(patients) == 16
    assert float(patients["p4", "enhancement"]["expert_ml"]) == pytest.approx(6 * column, rel=1e-5)
    diagonal = np.linalg.norm((4 * 8, 24 * 1.5, 30 * 2))  # of the stack, for what is missed
    assert float(patients["p4", "enhancement"]["b_hausdorff_mm"]) == pytest.approx(
        diagonal, rel=1e-5
    )
    assert patients["p1", "enhancement"]["b_hausdorff_mm"] == ""
    assert patients["p4", "enhancement"]["pathology"] == "scar"

    values = json.loads((out / "comparison.json").read_text())
    assert values["patients"] == [*PATIENTS] and values["schema_version"] == 1
    scar = next(x for x in values["decisions"]["b"] if (x["limit"], x["group"]) == (0, "all"))
    assert (scar["present"], scar["missed"], scar["absent"], scar["false_alarms"]) == (3, 1, 1, 0)
    assert values["agreement"]["a"][0]["structure"] == "enhancement"
    text = (out / "comparison.md").read_text(encoding="utf-8")
    assert all(word in text for word in ("Wilcoxon", "Holm", "Lin's", "4 patients", "any scar"))
    for name in plots:
        assert matplotlib.image.imread(out / name).std() > 0.01
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4 and "A against B" in page
    assert str(folders) not in page
    assert "nan" not in text.lower().split() and ">nan" not in page.lower()
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    assert "Infarct" in printed and "4" in printed


def test_copies_of_one_folder_do_not_differ(folders):
    config = configured(folders, b=str(folders / "reference"), name_b="the expert")
    config.unlock()
    for name, scar in zip(PATIENTS, SCARS, strict=True):
        save(folders / "a" / name / "segmentation.nii.gz", heart(scar=scar))
    compare(config, folders / "out")
    for row in rows_of(folders / "out" / "comparison.csv"):
        assert float(row["difference"]) == float(row["difference_low"]) == 0
        assert row["p"] == ""
    values = json.loads((folders / "out" / "comparison.json").read_text())
    assert values["b"] == "the expert"


def test_who_is_left_out_is_listed(folders, caplog):
    (folders / "b" / "p2.nii.gz").unlink()
    save(folders / "b" / "q.nii.gz", heart())
    found = compare(configured(folders), folders / "out")
    assert found.patients == ["p1", "p3", "p4"]
    assert found.unmatched == ((), ("q",), (), ("p2",), ())
    assert "In the reference, not in B: p2" in caplog.text
    page = (folders / "out" / "report.html").read_text(encoding="utf-8")
    assert "In B, not in the reference" in page


def test_a_patient_in_whom_the_expert_drew_nothing_costs_no_other(folders, caplog):
    save(folders / "reference" / "p2.nii.gz", np.zeros_like(heart()))
    found = compare(configured(folders), folders / "out")
    assert found.patients == ["p1", "p3", "p4"] and found.unmatched.undrawn == ("p2",)
    assert "drew nothing in p2" in caplog.text and "config.slices=all" in caplog.text
    page = (folders / "out" / "report.html").read_text(encoding="utf-8")
    assert "In the reference, nothing drawn" in page


def test_what_all_other_values_mean_is_told_too():
    assert LabelMap({5: 1}, 2).told == {1, 2}
    assert LabelMap({5: 1}).told == {1} and LabelMap().told is None


def test_what_a_tool_does_not_tell_is_not_compared(folders):
    for path in (folders / "b").iterdir():
        save(path, np.where(heart(wider=2) == 2, 50, 9).astype(np.int16) * (heart(wider=2) > 0))
    config = configured(folders, labels_b="50:myocardium,other:background")
    found = compare(config, folders / "out")
    assert found.structures == ["myocardium"]
    assert json.loads((folders / "out" / "comparison.json").read_text())["decisions"]["a"] == []


def test_scar_alone_is_no_myocardium_and_has_no_share_of_it(folders):
    for name, scar in zip(PATIENTS, SCARS, strict=True):
        save(folders / "b" / f"{name}.nii.gz", (heart(scar=scar) == 3).astype(np.uint8))
    config = configured(folders, labels_b="1:enhancement,other:background")
    found = compare(config, folders / "out")
    assert found.structures == ["enhancement"]
    rows = {r["measure"]: r for r in rows_of(folders / "out" / "comparison.csv")}
    assert float(rows["dice"]["b_mean"]) == 1
    assert rows["share_bias"]["pairs"] == rows["share_error"]["pairs"] == "0"
    assert json.loads((folders / "out" / "comparison.json").read_text())["decisions"]["b"] == []


def test_what_is_made_up_in_a_healthy_cohort_counts(folders):
    """Of a data set whose experts looked for scar; that these two have none is an answer."""
    cohort = folders / "cohort"
    for side, scar in (("a", 2), ("b", 1)):
        for path in (folders / side).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for case in ("Case_N001", "Case_N002"):
            save(folders / side / f"{case}.nii.gz", heart(scar=scar))
            save(cohort / case / "Contours" / f"{case}.nii.gz", heart())
            save(cohort / case / "Images" / f"{case}.nii.gz", heart())
    found = compare(configured(folders, reference=str(cohort)), folders / "out")
    assert found.structures[0] == "enhancement"
    rows = {(r["structure"], r["measure"]): r for r in rows_of(folders / "out" / "comparison.csv")}
    column = 2 * 3 * VOXEL_ML
    assert float(rows["enhancement", "bias_ml"]["a_mean"]) == pytest.approx(2 * column, rel=1e-5)
    values = json.loads((folders / "out" / "comparison.json").read_text())
    scar = next(x for x in values["decisions"]["b"] if (x["limit"], x["group"]) == (0, "all"))
    assert (scar["absent"], scar["false_alarms"]) == (2, 2)


def test_a_reference_with_nothing_drawn_says_so(folders):
    for name in PATIENTS:
        save(folders / "reference" / f"{name}.nii.gz", np.zeros_like(heart()))
    with pytest.raises(InputError, match=r"no myocardium in p1, p2.*labels_reference"):
        compare(configured(folders), folders / "out")
    assert not (folders / "out").exists()


def test_pictures_of_an_earlier_comparison_go(folders):
    compare(configured(folders), folders / "out")
    for path in (folders / "b").iterdir():
        save(path, np.minimum(heart(wider=2), 2))
    compare(configured(folders), folders / "out")
    drawn = {path.name for path in (folders / "out").glob("*.png")}
    assert drawn == {f"bland_altman_{s}.png" for s in ("myocardium", "blood_pool", "lv")}


def test_slices_beyond_the_expert_count_on_request(folders):
    for name, scar in zip(PATIENTS, SCARS, strict=True):
        labels = heart(scar=scar)
        labels[3] = 0
        save(folders / "reference" / f"{name}.nii.gz", labels)
    rows = []
    for slices in ("labelled", "all"):
        compare(configured(folders, slices=slices), folders / slices)
        table = rows_of(folders / slices / "comparison.csv")
        rows.append(next(r for r in table if (r["structure"], r["measure"]) == ("lv", "dice")))
    assert float(rows[0]["a_mean"]) == 1
    drawn = [int((part > 0).sum()) for part in (heart()[:3], heart())]
    assert float(rows[1]["a_mean"]) == pytest.approx(2 * drawn[0] / sum(drawn), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"a": ""}, "config.a is not set"),
        ({"b": "nowhere"}, "config.b is nowhere: no such folder"),
        ({"slices": "some"}, "slices='some'"),
        ({"reference_format": "dcm"}, "reference_format='dcm'"),
        ({"labels_a": "1:lung"}, "labels_a"),
        ({"labels_b": "1:blood_pool"}, "unknown label value 2.*--config.labels_b"),
        ({"reference_format": "emidec"}, "Case_"),
        ({"pattern_a": "*.nii.gz"}, "no NIfTI file matches"),
    ],
)
def test_bad_input_is_one_line(folders, changes, words):
    with pytest.raises(InputError, match=words) as error:
        compare(configured(folders, **changes), folders / "out")
    assert "\n" not in str(error.value)
    assert not (folders / "out").exists()


def test_one_folder_twice_is_refused(folders):
    (folders / "link").symlink_to(folders / "a")
    with pytest.raises(InputError, match="give two folders"):
        compare(configured(folders, b=str(folders / "link")), folders / "out")


def test_another_grid_is_refused(folders):
    save(folders / "b" / "p3.nii.gz", heart(slices=3))
    with pytest.raises(InputError, match=r"p3\.nii\.gz: 3 slices \(axis 3\)"):
        compare(configured(folders), folders / "out")


def test_the_entry_point(folders, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["compare", *arguments])
        runpy.run_module("experiments.compare", run_name="__main__")

    given = [f"--config.{name}={folders / name}" for name in ("a", "b", "reference")]
    call(*given, f"--workdir={folders / 'out'}")
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == f"done; open {folders / 'out' / 'report.html'}"
    (folders / "b" / "p1.nii.gz").rename(folders / "b" / "z.nii.gz")
    with pytest.raises(SystemExit) as stopped:
        call(*given[:1], f"--config.b={folders / 'a'}", given[2], f"--workdir={folders / 'out'}")
    assert stopped.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1
