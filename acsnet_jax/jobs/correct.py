"""Correct the masks of any tool: the same label files, on the same grid, with valid myocardium."""

import dataclasses
import hashlib
import json
import logging
import pathlib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Integer
from tqdm import tqdm

from acsnet_jax import anatomy, report
from acsnet_jax import bundle as bundles
from acsnet_jax.clinical import scar_moved_mm3
from acsnet_jax.correction.certificates import Certificate, certificates_of
from acsnet_jax.correction.corrector import Corrector, check_stack, correct_native
from acsnet_jax.files import write_json
from acsnet_jax.io.masks import LabelStack, mask_of, parse_labels, read_labels, write_labels
from acsnet_jax.io.stack import check_choice
from acsnet_jax.jobs.check import mask_files, tell_geometry
from acsnet_jax.pipeline import trimmed
from acsnet_jax.preprocess.grid import grid_over
from acsnet_jax.preprocess.orient import standard_turn
from acsnet_jax.training.settings import Config
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)

Order = Literal["apex_first", "base_first"]


@dataclasses.dataclass(frozen=True)
class LabelFileOptions:
    """How label files are read and written.

    Attributes:
        labels: values that together make the myocardium; none for all above 0. Pixels that are
            added get the first of them, or 1.
        scar_labels: values that mark enhancement, to tell how much of it moved.
        axis: across the slices, 1 to 3; 0 to find out.
        trim: whether slices beyond apex and base are emptied.
        slice_order: of the files, for `trim`.
        max_change: of the area between slices, see `acsnet_jax.anatomy.trim_stack`.
    """

    labels: tuple[int, ...] = ()
    scar_labels: tuple[int, ...] = ()
    axis: int = 0
    trim: bool = False
    slice_order: Order = "apex_first"
    max_change: float = 0.6


class Corrected(NamedTuple):
    """A label file after the correction.

    Attributes:
        values: its labels.
        certificates: one a slice, in the file's own order.
    """

    values: Integer[np.ndarray, "slices height width"]
    certificates: list[Certificate]


class FileSummary(NamedTuple):
    """What the correction did to one file; see `Certificate` for what the numbers mean.

    Attributes:
        file: its name.
        slices: number of slices.
        empty: slices without a mask.
        valid_before: slices whose mask satisfied delta.
        changed: slices whose mask was corrected.
        left_out: slices emptied by the volume checks.
        valid_after: slices whose mask in the output satisfies delta.
        volume_changed_mm3: of the myocardium, added and removed, by the correction.
        scar_moved_mm3: of enhancement; None where it is not known.
    """

    file: str
    slices: int
    empty: int
    valid_before: int
    changed: int
    left_out: int
    valid_after: int
    volume_changed_mm3: float
    scar_moved_mm3: float | None


def correct(config: Config, workdir: pathlib.Path) -> list[FileSummary]:
    """Correct the masks at ``config.input`` with ``config.bundle``, and write them to `workdir`.

    Raises:
        InputError: no input, labels or bundle; see `correct_files`.
    """
    if not config.bundle:
        raise InputError("config.bundle is not set; give it with --config.bundle=PATH")
    files, labels = mask_files(config)
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
                tell_geometry(stack, name, settings.axis)
                corrected = correct_labels(stack, corrector, settings, name=name)
                _write(corrected, stack, record, workdir, name)
                summary = _summary(name, corrected.certificates, stack.distance_mm)
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


def correct_labels(
    stack: LabelStack, corrector: Corrector, settings: LabelFileOptions, *, name: str
) -> Corrected:
    """Correct the myocardium of one file on its own grid.

    Labels inside the corrected myocardium that belong to it keep their value, so that scar stays
    scar; those left outside become background. Added myocardium overwrites other labels.

    Args:
        stack: the file.
        corrector: stage 3.
        settings: how its labels are read and written.
        name: of the file.

    Raises:
        InputError: a slice cannot be made valid on this grid.
    """
    before = mask_of(stack.values, settings.labels)
    turn = standard_turn(stack.affine) if stack.oriented else 0
    height, width = before.shape[1:]
    grid = grid_over((height, width), stack.spacing_mm, corrector.spacing_mm, turn=turn)
    correction = correct_native(before, grid, corrector)
    after = np.asarray(correction.mask)
    kept = np.any(after, axis=(1, 2))
    if settings.trim:
        upwards = slice(None) if settings.slice_order == "apex_first" else slice(None, None, -1)
        kept = kept & trimmed(after[upwards], settings.max_change)[upwards]
    values = relabelled(stack.values, before, after & kept[:, None, None], settings.labels)
    # delta of what is written; of slices that are left out, of what would have been
    output = mask_of(values, settings.labels)
    judged = np.where(kept[:, None, None], output, after)
    _, failed = check_stack(judged, stack.spacing_mm, corrector.thresholds)
    valid = ~np.any(failed, axis=1)
    bad = np.flatnonzero(~valid & ~np.asarray(correction.empty))
    if bad.size:
        raise InputError(
            f"slices {', '.join(map(str, bad))} (from 0) cannot be made valid at the file's "
            f"spacing of {stack.spacing_mm} mm: draw the population at a spacing closer to it"
        )
    moved = None
    if settings.scar_labels:
        scar = mask_of(stack.values, settings.scar_labels)
        extents = np.full(len(before), stack.distance_mm)
        moved = scar_moved_mm3(scar, before, after, stack.spacing_mm, extents)
    certificates = certificates_of(
        correction,
        [criterion.name for criterion in anatomy.CRITERIA],
        stack.spacing_mm,
        scan_id=name,
        valid_after=valid,
        kept=kept,
        scar_moved_mm3=moved,
    )
    return Corrected(values, certificates)


def relabelled(
    values: Integer[np.ndarray, "slices height width"],
    before: Bool[np.ndarray, "slices height width"],
    after: Bool[np.ndarray, "slices height width"],
    labels: tuple[int, ...],
) -> Integer[np.ndarray, "slices height width"]:
    """Labels whose myocardium is ``after`` instead of ``before``."""
    values = values.astype(np.int64)
    values[before & ~after] = 0
    values[after & ~before] = labels[0] if labels else 1
    return values


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
    certificates = [Certificate(**one) for one in found["certificates"]]
    return _summary(name, certificates, found["slice_distance_mm"])


def _summary(name: str, certificates: list[Certificate], distance_mm: float) -> FileSummary:
    drawn = [one for one in certificates if not one.empty]
    moved = [one.scar_moved_mm3 for one in certificates if one.scar_moved_mm3 is not None]
    return FileSummary(
        file=name,
        slices=len(certificates),
        empty=len(certificates) - len(drawn),
        valid_before=sum(one.valid_before for one in drawn),
        changed=sum(one.pixels_changed > 0 for one in drawn),
        left_out=sum(not one.kept for one in drawn),
        valid_after=sum(one.valid_after and one.kept for one in drawn),
        volume_changed_mm3=sum(one.area_changed_mm2 for one in drawn) * distance_mm,
        scar_moved_mm3=sum(moved) if moved else None,
    )


def _total(summaries: list[FileSummary], workdir: pathlib.Path) -> str:
    slices, empty, before, changed, left_out, after = (
        sum(getattr(one, name) for one in summaries)
        for name in ("slices", "empty", "valid_before", "changed", "left_out", "valid_after")
    )
    return (
        f"{len(summaries)} files, {slices - empty} slices with a mask: {before} valid before, "
        f"{changed} corrected, {left_out} left out, {after} valid after; {workdir} has them all"
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
