"""What `benchmarks.nnunet` does: the raw data set, the folds, nnU-Net's commands and the tables."""

import dataclasses
import importlib.util
import itertools
import logging
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Sequence

import nibabel
import numpy as np

from acsnet_jax.files import replacing_folder, write_json
from acsnet_jax.io.nifti import save_nifti
from acsnet_jax.types import InputError, Label, Scan, Segmentation
from benchmarks import plain_folds

_LOG = logging.getLogger(__name__)
_NAME = "Dataset001_LGE"
_LABELS = {"background": 0, "blood_pool": 1, "myocardium": 2, "infarct": 3}
_IGNORE = {"ignore": 4}
_PLAN = "nnunetv2.experiment_planning.plan_and_preprocess_entrypoints"
_TRAIN = "nnunetv2.run.run_training"

Run = Callable[[Sequence[str], dict[str, str]], None]
"""Runs a module of nnU-Net: its name and arguments, and variables of the environment."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What nnU-Net is asked for.

    Attributes:
        configuration: of its plans, "2d" or "3d_fullres".
        trainer: name of one of its classes; the usual one trains for 1,000 epochs of 250 steps.
    """

    configuration: str = "2d"
    trainer: str = "nnUNetTrainer"


def run_folds(
    scans: Sequence[Scan],
    path: pathlib.Path,
    out: pathlib.Path,
    options: Options,
    *,
    device: str = "cuda",
    run: Run | None = None,
) -> list[Segmentation]:
    """Train and predict every fold that is not there yet, and write the tables.

    Args:
        scans: the cohort.
        path: of ``folds.json``.
        out: folder of what nnU-Net writes, and of the tables.
        options: what is trained.
        device: that nnU-Net trains on.
        run: in place of nnU-Net's own commands.

    Returns:
        What was predicted of each patient, in the order of the folds.

    Raises:
        InputError: nnU-Net is not installed or failed, bad folds, or `out` holds results of
            other options.
    """
    run = run or _command()
    known = {scan.id: scan for scan in scans if scan.labelled.any()}
    folds = plain_folds.read_folds(path, known)
    plain_folds.keep_settings(out, folds, options)
    folders = {name: out / name for name in ("raw", "preprocessed", "results")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    variables = {f"nnUNet_{name}": str(folder.absolute()) for name, folder in folders.items()}
    names = [*itertools.chain(*folds)]
    if not (folders["raw"] / _NAME).exists():
        write_raw([known[name] for name in names], folders["raw"] / _NAME)
    splits = folders["preprocessed"] / _NAME / "splits_final.json"
    if not splits.exists():  # written last
        run([_PLAN, "-d", "1", "-c", options.configuration], variables)
        write_json(
            [{"train": [x for x in names if x not in fold], "val": fold} for fold in folds], splits
        )
    trained = (
        folders["results"] / _NAME / f"{options.trainer}__nnUNetPlans__{options.configuration}"
    )
    segmentations = []
    for index, fold in enumerate(folds):
        folder = trained / f"fold_{index}"
        if not (folder / "validation" / "summary.json").exists():  # written last
            arguments = [_TRAIN, "1", options.configuration, str(index)]
            arguments += ["-tr", options.trainer, "-device", device]
            resumed = ["--c"] if [*folder.glob("checkpoint_*.pth")] else []
            run([*arguments, *resumed], variables)
        segmentations += [
            plain_folds.segmentation_in(folder / "validation", known[name]) for name in fold
        ]
        plain_folds.write_results(segmentations, out)
    return segmentations


def write_raw(scans: Sequence[Scan], folder: pathlib.Path) -> None:
    """Write images and labels as nnU-Net reads them, whole or not at all.

    No-reflow is infarct, as in the plain U-Net; slices without labels teach nothing.
    """
    with replacing_folder(folder) as temporary:
        for scan in scans:
            assert scan.labels is not None
            drawn = np.minimum(scan.labels, np.uint8(Label.ENHANCEMENT))
            drawn[~scan.labelled] = _IGNORE["ignore"]
            _save(drawn, scan, temporary / "labelsTr" / f"{scan.id}.nii.gz")
            _save(scan.image, scan, temporary / "imagesTr" / f"{scan.id}_0000.nii.gz")
        about = {
            "channel_names": {"0": "LGE"},  # not "CT": scaled scan by scan
            "labels": _LABELS if all(scan.labelled.all() for scan in scans) else _LABELS | _IGNORE,
            "numTraining": len(scans),
            "file_ending": ".nii.gz",
            "overwrite_image_reader_writer": "NibabelIO",
        }
        write_json(about, temporary / "dataset.json")


def _save(values: np.ndarray, scan: Scan, path: pathlib.Path) -> None:
    """In the owner's order of slices, on a plain grid: EMIDEC's own headers lack the spacing."""
    stored = np.empty_like(values)
    stored[scan.file_order] = values
    row_mm, column_mm = scan.spacing_mm
    gaps_mm = np.diff(scan.positions_mm)
    gap_mm = float(np.median(gaps_mm)) if len(gaps_mm) else 1.0
    affine = np.diag([column_mm, row_mm, gap_mm, 1.0])
    path.parent.mkdir(exist_ok=True)
    save_nifti(nibabel.Nifti1Image(stored.transpose(2, 1, 0), affine), path)


def _command() -> Run:
    """nnU-Net's commands, as processes of their own.

    Raises:
        InputError: it is not installed.
    """
    if importlib.util.find_spec("nnunetv2") is None:
        raise InputError("nnU-Net is missing: pip install nnunetv2")
    cores = str(len(os.sched_getaffinity(0)))
    counts = {"nnUNet_n_proc_DA": cores, "nnUNet_def_n_proc": cores}

    def run(arguments: Sequence[str], variables: dict[str, str]) -> None:
        _LOG.info("%s", " ".join(arguments))
        environment = counts | os.environ | variables
        status = subprocess.run([sys.executable, "-m", *arguments], env=environment, check=False)
        if status.returncode:
            raise InputError(
                f"nnU-Net ended with status {status.returncode}: see what it wrote above; the same "
                "command goes on from its last checkpoint"
            )

    return run
