"""Compare two folders of label files with an expert: one table, plots and a report."""

import logging
import pathlib
from typing import Literal

from tqdm import tqdm

from acsnet_jax import report
from acsnet_jax.evaluation.challenge import ChallengeRecord, challenge_records
from acsnet_jax.evaluation.comparison import (
    Comparison,
    comparable,
    compared_rows,
    label_regions,
    match,
)
from acsnet_jax.io.label_sets import (
    LABEL_FILES,
    LabelMap,
    Reference,
    ReferenceFormat,
    labels_on,
    parse_label_map,
    patient_files,
    references,
)
from acsnet_jax.io.stack import check_choice
from acsnet_jax.training.settings import Config
from acsnet_jax.types import InputError, Label, Scan

_LOG = logging.getLogger(__name__)

Slices = Literal["labelled", "all"]
"""Which slices are judged: those on which the expert drew myocardium, or all."""

_SIDES = ("a", "b")
_FOLDERS = (*_SIDES, "reference")


def compare(config: Config, workdir: pathlib.Path) -> Comparison:
    """Judge the label files of ``config.a`` and ``config.b`` by ``config.reference``.

    Raises:
        InputError: a folder is missing, is given twice or holds no patient that the others have; a
            file that cannot be read, lies on another grid, or holds an unknown value.
    """
    _check_folders(config)
    maps = {
        name: parse_label_map(config[f"labels_{name}"], key=f"labels_{name}") for name in _FOLDERS
    }
    files = {
        name: patient_files(config[name], pattern=config[f"pattern_{name}"], key=f"pattern_{name}")
        for name in _SIDES
    }
    experts = references(
        config.reference,
        config.reference_format,
        maps["reference"],
        pattern=config.pattern_reference,
        axis=config.axis,
    )
    patients, unmatched = match([*files["a"]], [*files["b"]], [*experts])
    for sentence, ids in report.unmatched_text(unmatched).items():
        if ids != "nobody":
            _LOG.warning("%s: %s", sentence, ids)
    records: dict[str, list[ChallengeRecord]] = {name: [] for name in _SIDES}
    seen: dict[str, set[int]] = {name: set() for name in _FOLDERS}
    pathologies = {}
    undrawn: list[str] = []
    for patient in tqdm(patients, desc="compare", unit="patient", disable=None):
        reference = _judged(experts[patient](), patient, config.slices)
        if not reference.scan.labelled.any():
            undrawn.append(patient)
            continue
        pathologies[patient] = reference.scan.provenance.pathology
        seen["reference"] |= _told_by(reference.scan)
        for name in _SIDES:
            labels = labels_on(files[name][patient], reference, maps[name], key=f"labels_{name}")
            seen[name] |= set(labels.ravel().tolist())
            records[name] += challenge_records(reference.scan, label_regions(labels))
    if not pathologies:
        raise InputError(
            f"the expert drew no myocardium in {', '.join(undrawn)}, all patients in common: give "
            "another reference, or say what its label files hold with labels_reference"
        )
    if undrawn:
        unmatched = unmatched._replace(undrawn=tuple(undrawn))
        _LOG.warning(
            "the expert drew nothing in %s, which is left out; --config.slices=all judges it",
            ", ".join(undrawn),
        )
    structures = comparable([_told(maps[name], seen[name]) for name in _FOLDERS])
    _LOG.info("compared: %s", ", ".join(structures))
    kept = {
        name: [one for one in own if one.structure in structures] for name, own in records.items()
    }
    names = tuple(config[f"name_{name}"] or pathlib.Path(config[name]).name for name in _SIDES)
    comparison = Comparison((names[0], names[1]), kept["a"], kept["b"], pathologies, unmatched)
    print(report.aligned(report.comparison_lines(compared_rows(comparison))), end="")
    path = report.write_comparison(comparison, workdir, config=report.config_text(config.to_dict()))
    _LOG.info("done; open %s", path)
    return comparison


def _check_folders(config: Config) -> None:
    check_choice("config.slices", config.slices, Slices)
    check_choice("config.reference_format", config.reference_format, ReferenceFormat)
    for name in _FOLDERS:
        if not config[name]:
            raise InputError(f"config.{name} is not set; give it with --config.{name}=DIR")
        if not pathlib.Path(config[name]).is_dir():
            raise InputError(f"config.{name} is {config[name]}: no such folder")
    if pathlib.Path(config.a).resolve() == pathlib.Path(config.b).resolve():
        raise InputError(f"config.a and config.b are both {config.a}: give two folders")


def _judged(reference: Reference, patient: str, slices: str) -> Reference:
    """A reference whose slices are all judged, if that is asked for; it goes by the file's name."""
    scan = reference.scan.replace(id=patient)
    if slices == "all" and scan.labels is not None:
        scan = scan.replace(labelled=scan.labelled | True)
    return reference._replace(scan=scan)


def _told_by(scan: Scan) -> set[int]:
    """The labels of a reference: those that occur, and enhancement where a cohort tells it.

    The healthy have none of it, and what a tool makes up in them counts. Label files say nothing.
    """
    if scan.labels is None:
        return set()
    looked_for = scan.has_enhancement and scan.provenance.format != LABEL_FILES
    occur = set(scan.labels.ravel().tolist())
    return occur | {int(Label.ENHANCEMENT)} if looked_for else occur


def _told(label_map: LabelMap, seen: set[int]) -> frozenset[int]:
    """The labels that a side knows: those that its map leads to, or else those that occur."""
    return frozenset(seen) if label_map.told is None else label_map.told
