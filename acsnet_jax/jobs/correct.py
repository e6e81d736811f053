"""Correct the masks of any tool: the same label files, on the same grid, with valid myocardium."""

import dataclasses
import hashlib
import json
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from acsnet_jax import bundle as bundles
from acsnet_jax import report
from acsnet_jax.correction import Corrector, lost_message, lost_slices
from acsnet_jax.correction.labels import (
    Corrected,
    FileSummary,
    LabelFileOptions,
    Order,
    correct_labels,
    summarise_file,
)
from acsnet_jax.files import write_json
from acsnet_jax.io.masks import (
    LabelStack,
    find_masks,
    geometry_notes,
    parse_labels,
    read_labels,
    write_labels,
)
from acsnet_jax.io.stack import check_choice
from acsnet_jax.training.settings import Config
from acsnet_jax.types import Certificate, InputError, Route

_LOG = logging.getLogger(__name__)


def correct(config: Config, workdir: pathlib.Path) -> list[FileSummary]:
    """Correct the masks at ``config.input`` with ``config.bundle``, and write them to `workdir`.

    Raises:
        InputError: no input, labels or bundle; see `correct_files`.
    """
    if not config.bundle:
        raise InputError("config.bundle is not set; give it with --config.bundle=PATH")
    if not config.input:
        raise InputError("config.input is not set; give it with --config.input=PATH")
    labels = parse_labels(config.labels)
    files = find_masks(config.input, labels, pattern=config.pattern, axis=config.axis)
    order = config.slice_order
    if config.trim:
        check_choice("config.trim needs config.slice_order, which", order, Order)
    settings = LabelFileOptions(
        labels=labels,
        scar_labels=parse_labels(config.scar_labels),
        axis=config.axis,
        trim=config.trim,
        slice_order=order or LabelFileOptions.slice_order,
        max_change=config.max_change,
    )
    corrector = bundles.load_corrector(config.bundle, correction=config.correction.to_dict())
    _check_apart(pathlib.Path(config.input), files, workdir)
    return correct_files(files, corrector, settings, workdir)


def correct_files(
    files: Mapping[str, pathlib.Path],
    corrector: Corrector,
    settings: LabelFileOptions,
    workdir: pathlib.Path,
) -> list[FileSummary]:
    """Write ``NAME.nii.gz`` and ``NAME.json`` of each file, and ``corrections.csv`` of all.

    A file that was corrected before, with the same settings, is passed over. A bad file does not
    stop the others.

    Args:
        files: label files by name.
        corrector: stage 3.
        settings: how they are read and written.
        workdir: folder to write to.

    Returns:
        One entry a file in the folder, those of earlier runs included.

    Raises:
        InputError: at the end, if a file could not be corrected.
    """
    record = _record(settings, corrector)
    summaries: list[FileSummary] = []
    failed = []
    for name, path in tqdm(files.items(), desc="correct", unit="file", disable=None):
        try:
            summary = _finished(workdir, name, record)
            if summary is None:
                stack = read_labels(path, axis=settings.axis)
                for note in geometry_notes(stack, asked=settings.axis):
                    _LOG.warning("%s: %s", name, note)
                corrected = correct_labels(stack, corrector, settings, name=name)
                _write(corrected, stack, record, workdir, name)
                lost = lost_slices(corrected.certificates)
                if lost:
                    _LOG.warning("%s: %s", name, lost_message(lost))
                summary = summarise_file(name, corrected.certificates, stack.distance_mm)
            else:
                _LOG.info("%s: %s is there already", name, _output(workdir, name))
        except InputError as error:
            _LOG.error("%s: %s", name, error)
            failed.append(name)
            continue
        summaries.append(summary)
    cells = [tuple("" if x is None else _cell(x) for x in summary) for summary in summaries]
    report.write_csv(report.TextTable(FileSummary._fields, cells), workdir / "corrections.csv")
    _LOG.info("%s", _total(summaries, workdir))
    if failed:
        raise InputError(
            f"{len(failed)} of {len(files)} files could not be corrected, for the reasons above: "
            + ", ".join(failed)
        )
    return summaries


def _record(settings: LabelFileOptions, corrector: Corrector) -> dict[str, Any]:
    """What a result depends on, as JSON gives it back."""
    codes = np.asarray(corrector.population.codes)
    record = {
        **dataclasses.asdict(settings),
        **dataclasses.asdict(corrector.options),
        "thresholds": {name: float(x) for name, x in corrector.thresholds._asdict().items()},
        "population_sha256": hashlib.sha256(codes.tobytes()).hexdigest(),
    }
    return json.loads(json.dumps(record))


def _output(workdir: pathlib.Path, name: str) -> pathlib.Path:
    return workdir / f"{name}.nii.gz"


def _certificates(workdir: pathlib.Path, name: str) -> pathlib.Path:
    return workdir / f"{name}.json"


def _write(
    corrected: Corrected,
    stack: LabelStack,
    record: dict[str, Any],
    workdir: pathlib.Path,
    name: str,
) -> None:
    """The mask, then its certificates, which say that the file is finished."""
    write_labels(_output(workdir, name), corrected.values, stack)
    certificates = [one._asdict() for one in corrected.certificates]
    write_json(
        {
            "settings": record,
            "spacing_mm": stack.spacing_mm,
            "slice_distance_mm": stack.distance_mm,
            "certificates": certificates,
        },
        _certificates(workdir, name),
    )


def _finished(workdir: pathlib.Path, name: str, record: dict[str, Any]) -> FileSummary | None:
    """The summary of an earlier run; None if there was none.

    Raises:
        InputError: it had other settings.
    """
    path = _certificates(workdir, name)
    if not (path.is_file() and _output(workdir, name).is_file()):
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["settings"] != record:
        raise InputError(
            f"{path} was made with other settings: choose another --workdir, or remove it"
        )
    certificates = [
        Certificate(**{**one, "route": Route(one["route"])}) for one in found["certificates"]
    ]
    return summarise_file(name, certificates, found["slice_distance_mm"])


def _total(summaries: list[FileSummary], workdir: pathlib.Path) -> str:
    names = ("slices", "empty", "valid_before", "changed", "left_out", "lost", "valid_after")
    slices, empty, before, changed, left_out, lost, after = (
        sum(getattr(one, name) for one in summaries) for name in names
    )
    return (
        f"{len(summaries)} files, {slices - empty} slices with a mask: {before} valid before, "
        f"{changed} corrected, {left_out} left out, {lost} lost, {after} valid after; {workdir} "
        "has them all"
    )


def _cell(value: str | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _check_apart(
    given: pathlib.Path, files: Mapping[str, pathlib.Path], workdir: pathlib.Path
) -> None:
    """Refuse to write over the input, or where a second run would take the output for input.

    Raises:
        InputError: `workdir` lies in the input folder, or an output is an input.
    """
    root, target = given.resolve(), workdir.resolve()
    inputs = {path.resolve() for path in files.values()}
    if target.is_relative_to(root) or any(
        _output(target, name).resolve() in inputs for name in files
    ):
        raise InputError(f"{workdir} would mix with the masks in {given}: choose another --workdir")
