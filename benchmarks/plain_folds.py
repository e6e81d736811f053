"""What `benchmarks.plain_unet` does: folds of patients, their networks, labels and tables.

`benchmarks.nnunet` reads the same folds and writes the same tables.
"""

import dataclasses
import importlib
import importlib.util
import itertools
import json
import logging
import pathlib
import time
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from acsnet_jax import evaluation, report
from acsnet_jax.clinical import predicted_regions, reference_regions
from acsnet_jax.files import replacing_folder, write_json
from acsnet_jax.io import read_labels, write_mask
from acsnet_jax.pipeline import Inference
from acsnet_jax.preprocess.crop import crop_or_pad, uncrop
from acsnet_jax.preprocess.grid import Working, to_native, to_working
from acsnet_jax.preprocess.intensity import inside_picture
from acsnet_jax.types import InputError, Label, Scan, Segmentation

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options:
    """What is trained and how.

    Attributes:
        filters: of each level of the network, finest first.
        epochs: passes over the training slices.
        learning_rate: of Adam, at first.
        spacing_mm: in-plane, of what the network sees.
        size: height and width of what it sees; halved once a level.
        mirror: whether to average over turned and mirrored pictures.
        seed: of parameters, order and augmentation.
    """

    filters: tuple[int, ...] = (12, 24, 48, 96, 192)
    epochs: int = 70
    learning_rate: float = 2e-3
    spacing_mm: float = 1.5
    size: int = 144
    mirror: bool = True
    seed: int = 0


def run_folds(
    scans: Sequence[Scan], path: pathlib.Path, out: pathlib.Path, options: Options
) -> list[Segmentation]:
    """Train and predict every fold that is not there yet, and write the tables.

    Args:
        scans: the cohort.
        path: of ``folds.json``.
        out: folder of labels and tables.
        options: what is trained and how.

    Returns:
        What was predicted of each patient, in the order of the folds.

    Raises:
        InputError: bad folds, a size that cannot be halved so often, or `out` holds results of
            other options.
    """
    step = 2 ** (len(options.filters) - 1)
    if options.size % step:
        raise InputError(
            f"size is {options.size}: {len(options.filters)} levels need a multiple of {step}"
        )
    network = torch_network()
    labelled = {scan.id: scan for scan in scans if scan.labelled.any()}
    folds = read_folds(path, labelled)
    keep_settings(out, folds, options)
    segmentations = []
    for index, fold in enumerate(folds):
        folder = out / "labels" / f"fold_{index}"
        if not folder.exists():
            others = [name for name in itertools.chain(*folds) if name not in fold]
            training, held_out = ([labelled[name] for name in names] for names in (others, fold))
            cross(network, training, held_out, options, folder)
        segmentations += [segmentation_in(folder, labelled[name]) for name in fold]
        write_results(segmentations, out)
    return segmentations


def torch_network() -> Any:
    """`benchmarks.torch_unet`.

    Raises:
        InputError: PyTorch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise InputError("PyTorch is missing: pip install torch")
    return importlib.import_module("benchmarks.torch_unet")


def read_folds(path: pathlib.Path, scans: Collection[str]) -> list[list[str]]:
    """The ids of each fold.

    Raises:
        InputError: fewer than two folds, an empty one, a patient in two of them, or one that the
            cohort lacks.
    """
    folds = json.loads(path.read_text())
    if not isinstance(folds, list) or len(folds) < 2 or not all(folds):
        raise InputError(f"{path}: expected a list of two folds or more, each a list of ids")
    names = list(itertools.chain(*folds))
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: patient {name} is in more than one place; keep one")
        if name not in scans:
            raise InputError(f"{path}: patient {name} is not a labelled scan of the cohort")
    return folds


def keep_settings(out: pathlib.Path, folds: list[list[str]], options: Any) -> None:
    """Keep the settings beside the results; refuse to go on with others.

    Args:
        out: folder of the results.
        folds: ids of each.
        options: a dataclass of what is trained.

    Raises:
        InputError: the folder holds results of other settings.
    """
    values = json.loads(json.dumps({**dataclasses.asdict(options), "folds": folds}))
    path = out / "settings.json"
    if not path.exists():
        write_json(values, path)
        return
    known = json.loads(path.read_text())
    changed = sorted(key for key in known | values if known.get(key) != values.get(key))
    if changed:
        raise InputError(f"{path} is of another run ({', '.join(changed)} differ): use another out")


def cross(
    network: Any,
    training: Sequence[Scan],
    held_out: Sequence[Scan],
    options: Options,
    folder: pathlib.Path,
) -> None:
    """Train on some patients and write the labels of the others, whole or not at all."""
    start = time.perf_counter()
    images, labels = [], []
    for scan in training:
        working = to_working(scan, options.spacing_mm)
        assert working.labels is not None
        drawn = np.minimum(working.labels, np.uint8(Label.ENHANCEMENT))  # no-reflow is infarct
        images.append(inputs(working, options.size)[scan.labelled])
        labels.append(crop_or_pad(drawn, options.size)[scan.labelled])
    recipe = network.Recipe(
        filters=options.filters,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    model = network.train(np.concatenate(images), np.concatenate(labels), recipe, name=folder.name)
    with replacing_folder(folder) as temporary:
        for scan in held_out:
            write_mask(
                temporary / f"{scan.id}.nii.gz", predict(network, model, scan, options), scan
            )
    minutes = (time.perf_counter() - start) / 60
    _LOG.info("%s: %d patients predicted, %.1f min", folder.name, len(held_out), minutes)


def inputs(working: Working, size: int) -> np.ndarray:
    """Whole slices, of mean 0 and standard deviation 1 over the stack's picture; padding is 0."""
    picture = inside_picture(working.image)
    values = working.image[picture]
    scaled = (working.image - values.mean()) / max(float(values.std()), 1e-6)
    return crop_or_pad(np.where(picture, scaled, 0).astype(np.float32), size)


def predict(network: Any, model: Any, scan: Scan, options: Options) -> np.ndarray:
    """`Label` values on the scan's own grid."""
    working = to_working(scan, options.spacing_mm)
    found = network.probabilities(model, inputs(working, options.size), mirrored=options.mirror)
    shares = [to_native(uncrop(one, working.grid.shape), working.grid) for one in found[1:]]
    background = 1 - sum(shares)  # also beyond the window
    return np.argmax(np.stack([background, *shares]), axis=0).astype(np.uint8)


def segmentation_in(folder: pathlib.Path, scan: Scan) -> Segmentation:
    """What was predicted of a scan, from its file; core scar by the rule for experts' labels."""
    stack = read_labels(folder / f"{scan.id}.nii.gz", axis=3)
    labels = stack.values[scan.file_order].astype(np.uint8)
    everywhere = scan.replace(
        labels=labels, labelled=np.ones_like(scan.labelled), has_enhancement=True
    )
    found = reference_regions(everywhere)
    assert found.enhancement is not None
    assert found.core is not None
    return Segmentation(
        scan,
        found.myocardium,
        found.blood_pool,
        found.enhancement,
        found.core,
        kept=np.asarray(found.lv.any(axis=(1, 2))),
    )


def write_results(segmentations: Sequence[Segmentation], out: pathlib.Path) -> None:
    """The tables of all patients so far."""
    records = evaluation.evaluate(segmentations, Inference())
    tables = evaluation.table1(records.slices), evaluation.table2(records.volumes)
    report.write_tables(*tables, out)
    found = [
        record
        for one in segmentations
        for record in evaluation.challenge_records(one.scan, predicted_regions(one))
    ]
    report.write_challenge(found, out)
