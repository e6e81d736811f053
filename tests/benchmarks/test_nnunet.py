"""nnU-Net gets the cohort and the folds as they are, and is judged by what it wrote."""

import importlib.util
import json
import pathlib
import shutil

import nibabel
import numpy as np
import pytest

from acsnet_jax.io import read_labels
from acsnet_jax.types import InputError
from benchmarks import nnunet_folds

OPTIONS = nnunet_folds.Options()


class Learned:
    """An nnU-Net that has learned its training labels by heart, and the others' as well.

    Attributes:
        commands: that it was given.
    """

    def __init__(self):
        self.commands = []

    def __call__(self, arguments, variables):
        self.commands.append([*arguments])
        raw, preprocessed, results = (
            pathlib.Path(variables[f"nnUNet_{name}"]) for name in ("raw", "preprocessed", "results")
        )
        if "plan" in arguments[0]:
            (preprocessed / "Dataset001_LGE").mkdir()
            return
        _, _, configuration, fold, *_ = arguments
        split = json.loads((preprocessed / "Dataset001_LGE" / "splits_final.json").read_text())
        name = f"nnUNetTrainer__nnUNetPlans__{configuration}"
        folder = results / "Dataset001_LGE" / name / f"fold_{fold}" / "validation"
        folder.mkdir(parents=True)
        for patient in split[int(fold)]["val"]:
            shutil.copy(raw / "Dataset001_LGE" / "labelsTr" / f"{patient}.nii.gz", folder)
        (folder / "summary.json").write_text("{}")


def test_folds_are_ours_and_the_labels_it_wrote_are_judged(cohort, folds, tmp_path):
    names, out, run = [scan.id for scan in cohort], tmp_path / "out", Learned()
    found = nnunet_folds.run_folds(cohort, folds, out, OPTIONS, run=run)
    assert [one.scan.id for one in found] == names
    split = json.loads((out / "preprocessed" / "Dataset001_LGE" / "splits_final.json").read_text())
    assert split == [
        {"train": names[2:], "val": names[:2]},
        {"train": names[:2], "val": names[2:]},
    ]
    lines = [line.split(",") for line in (out / "challenge_patients.csv").read_text().splitlines()]
    assert len(lines) == 1 + 4 * 4
    assert {line[lines[0].index("dice")] for line in lines[1:]} == {"1"}
    assert {"challenge.md", "table1.csv", "table2.md"} <= {path.name for path in out.iterdir()}

    again = Learned()
    nnunet_folds.run_folds(cohort, folds, out, OPTIONS, run=again)
    assert again.commands == []
    with pytest.raises(InputError, match="configuration differ"):
        nnunet_folds.run_folds(
            cohort, folds, out, nnunet_folds.Options(configuration="3d_fullres"), run=again
        )


def test_a_fold_that_stopped_goes_on_from_its_checkpoint(cohort, folds, tmp_path):
    out, run = tmp_path / "out", Learned()
    nnunet_folds.run_folds(cohort, folds, out, OPTIONS, run=run, device="cpu")
    assert [command[3] for command in run.commands[1:]] == ["0", "1"]
    assert all("--c" not in command for command in run.commands)
    assert all(command[-2:] == ["-device", "cpu"] for command in run.commands[1:])
    folder = out / "results" / "Dataset001_LGE" / "nnUNetTrainer__nnUNetPlans__2d" / "fold_1"
    shutil.rmtree(folder / "validation")
    (folder / "checkpoint_latest.pth").touch()
    again = Learned()
    nnunet_folds.run_folds(cohort, folds, out, OPTIONS, run=again, device="cpu")
    assert [(command[3], command[-1]) for command in again.commands] == [("1", "--c")]


def test_images_and_labels_stay_as_they_are(cohort, tmp_path):
    scan, folder = cohort[0], tmp_path / "raw"
    nnunet_folds.write_raw(cohort, folder)
    image = nibabel.Nifti1Image.from_filename(folder / "imagesTr" / f"{scan.id}_0000.nii.gz")
    label = nibabel.Nifti1Image.from_filename(folder / "labelsTr" / f"{scan.id}.nii.gz")
    np.testing.assert_array_equal(image.affine, label.affine)
    row_mm, column_mm = scan.spacing_mm
    gap_mm = np.median(np.diff(scan.positions_mm))
    assert image.header.get_zooms() == pytest.approx((column_mm, row_mm, gap_mm))
    stored = np.asarray(image.dataobj).transpose(2, 1, 0)
    np.testing.assert_array_equal(stored[scan.file_order], scan.image)
    drawn = read_labels(folder / "labelsTr" / f"{scan.id}.nii.gz", axis=3).values
    outlined = scan.labelled
    expected = np.minimum(scan.labels, 3)[outlined]
    np.testing.assert_array_equal(drawn[scan.file_order][outlined], expected)
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 4


def test_slices_without_labels_are_ignored(cohort, tmp_path):
    scan = cohort[0]
    assert not scan.labelled.all()
    nnunet_folds.write_raw([scan], tmp_path / "raw")
    drawn = read_labels(tmp_path / "raw" / "labelsTr" / f"{scan.id}.nii.gz", axis=3).values
    assert np.all(drawn[scan.file_order][~scan.labelled] == 4)
    about = json.loads((tmp_path / "raw" / "dataset.json").read_text())
    assert about["labels"]["ignore"] == 4

    whole = scan.replace(labelled=np.ones_like(scan.labelled))
    nnunet_folds.write_raw([whole], tmp_path / "raw")
    about = json.loads((tmp_path / "raw" / "dataset.json").read_text())
    assert sorted(about["labels"].values()) == [0, 1, 2, 3]


def test_without_nnunet_it_says_how_to_get_it(cohort, folds, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install nnunetv2"):
        nnunet_folds.run_folds(cohort, folds, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()


TRAINER = """
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainer_twoSteps(nnUNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1
"""


@pytest.mark.slow
def test_nnunet_itself_trains_and_predicts(cohort, folds, tmp_path, monkeypatch):
    pytest.importorskip("nnunetv2", reason="needs nnU-Net (pip install nnunetv2)")
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "two_steps.py").write_text(TRAINER)
    monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path / "trainers"))
    monkeypatch.setenv("nnUNet_compile", "false")
    options = nnunet_folds.Options(trainer="nnUNetTrainer_twoSteps")
    found = nnunet_folds.run_folds(cohort, folds, tmp_path / "out", options, device="cpu")
    assert [one.enhancement.shape for one in found] == [scan.image.shape for scan in cohort]
    assert (tmp_path / "out" / "challenge.md").exists()
