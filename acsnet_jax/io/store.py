"""The project's own store of prepared scans: one folder a scan, written and read exactly.

``ROOT/ID/image.nii.gz`` (float32), ``label.nii.gz`` (`Label` values, if there are labels) and
``scan.json`` with everything else that a `Scan` holds. The NIfTI files are apex first and open in
any viewer.

References:
    Paper, Data Source and Processing ("universally accessible format").
"""

import dataclasses
import json
import pathlib
from typing import Any, TypeVar, get_args

import nibabel
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from acsnet_jax.files import from_json, read_json, replacing_folder
from acsnet_jax.io.nifti import map_labels, open_nifti, save_nifti, stack_array
from acsnet_jax.io.nifti_grid import set_forms
from acsnet_jax.io.stack import check_finite, safe_id
from acsnet_jax.types import (
    ConversionRecord,
    InputError,
    Modality,
    NiftiGrid,
    PhantomRecord,
    Provenance,
    Scan,
    Window,
)

T = TypeVar("T")

FORMAT = "acsnet-scan-2"
"""Raised whenever an older store can no longer be read: the first one held windowed intensities."""

_ARRAYS = ("positions_mm", "affine", "labelled", "file_order", "file_affine")
_PLAIN = ("id", "spacing_mm", "oriented", "modality", "has_enhancement", "signal_zero", "problems")
_PLAIN += ("endocardium_only", "nominal_spacing")
_RECORDS = ("window", "nifti_grid", "provenance")


def is_stored_scan(folder: pathlib.Path) -> bool:
    """Whether a folder is one scan of a store."""
    return (folder / "scan.json").is_file()


def stored_scans(root: str | pathlib.Path) -> list[pathlib.Path]:
    """The store's scan folders, by name.

    Raises:
        InputError: there is none.
    """
    found = (path.parent for path in pathlib.Path(root).glob("*/scan.json"))
    folders = sorted(folder for folder in found if not folder.name.startswith("."))
    if not folders:
        raise InputError(f"{root}: no */scan.json: give a folder that prepare has written")
    return folders


def write_scan(scan: Scan, root: str | pathlib.Path) -> pathlib.Path:
    """Writes ``root/<id>/``, whole or not at all, and replaces what stood there.

    Raises:
        InputError: an id that is no folder name, or a number that is not finite.
    """
    root = pathlib.Path(root)
    if scan.id != safe_id(scan.id):
        raise InputError(
            f"{scan.id!r} is no folder name: use {safe_id(scan.id)!r} as the scan's id"
        )
    values: dict[str, Any] = {"format": FORMAT}
    values |= {name: getattr(scan, name) for name in _PLAIN}
    values |= {name: getattr(scan, name).tolist() for name in _ARRAYS}
    values |= {name: _as_dict(getattr(scan, name)) for name in _RECORDS}
    values["has_labels"] = scan.labels is not None
    try:
        text = json.dumps(values, indent=1, allow_nan=False)
    except ValueError as error:
        raise InputError(
            f"scan {scan.id}: its header holds NaN or infinity, which no store can: correct it"
        ) from error

    folder = root / scan.id
    with replacing_folder(folder) as temporary:
        _save(scan.image, scan, temporary / "image.nii.gz")
        if scan.labels is not None:
            _save(scan.labels, scan, temporary / "label.nii.gz")
        (temporary / "scan.json").write_text(text + "\n", encoding="utf-8")
    return folder


def _save(array: np.ndarray, scan: Scan, path: pathlib.Path) -> None:
    image = nibabel.Nifti1Image(array.transpose(2, 1, 0), scan.affine, dtype=array.dtype)
    set_forms(image, scan.affine, oriented=scan.oriented)
    save_nifti(image, path)


def _load(path: pathlib.Path) -> np.ndarray:
    """``[slices, height, width]``, values as stored."""
    return np.ascontiguousarray(stack_array(open_nifti(path)[0], path))


def read_scan(folder: str | pathlib.Path) -> Scan:
    """Reads what `write_scan` wrote.

    Raises:
        InputError: a file is missing, truncated or of another format, or shapes disagree.
    """
    folder = pathlib.Path(folder)
    path = folder / "scan.json"
    values = read_json(path, fix="prepare the cohort again")
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(
            f"{path}: not of the format {FORMAT}, written by another version of acsnet_jax (older "
            "ones stored windowed intensities): prepare the cohort again"
        )
    names = (*_PLAIN, *_ARRAYS, *_RECORDS, "has_labels")
    missing = [name for name in names if name not in values]
    if missing:
        raise InputError(f"{path}: lacks {missing}: prepare the cohort again")
    with np.errstate(over="ignore"):  # what overflows is refused as infinite
        image = _load(folder / "image.nii.gz").astype(np.float32, copy=False)
    labels = None
    if values["has_labels"]:
        labels = map_labels(_load(folder / "label.nii.gz"), folder / "label.nii.gz")
        if labels.shape != image.shape:
            raise InputError(f"{folder}: label and image differ in shape: prepare it again")
    check_finite(image, str(folder), order="from the apex")
    try:
        scan = _scan(values, image, labels)
        wrong = _contradictions(scan)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged values: prepare the cohort again") from error
    if wrong:
        raise InputError(f"{path}: {wrong[0]} is damaged: prepare the cohort again")
    return scan


def _contradictions(scan: Scan) -> list[str]:
    """Names of what cannot be: numbers that are not finite, shapes and kinds that do not fit."""
    slices = len(scan.image)
    finite = ("spacing_mm", "positions_mm", "affine", "file_affine")
    wrong = [name for name in finite if not np.isfinite(getattr(scan, name)).all()]
    sound = {
        "id": isinstance(scan.id, str) and scan.id == safe_id(scan.id),
        "spacing_mm": min(scan.spacing_mm) > 0,
        "positions_mm": scan.positions_mm.shape == (slices,) and np.diff(scan.positions_mm) > 0,
        "labelled": scan.labelled.shape == (slices,),
        "file_order": sorted(scan.file_order.tolist()) == list(range(slices)),
        "affine": _is_affine(scan.affine),
        "file_affine": _is_affine(scan.file_affine),
        "modality": scan.modality in get_args(Modality),
        "signal_zero": scan.signal_zero is None or np.isfinite(scan.signal_zero),
        "problems": all(isinstance(one, str) for one in scan.problems),
        "endocardium_only": set(scan.endocardium_only) <= set(range(slices)),
    }
    flags = ("oriented", "has_enhancement", "nominal_spacing")
    sound |= {name: isinstance(getattr(scan, name), bool) for name in flags}
    return wrong + [name for name, right in sound.items() if not np.all(right)]


def _is_affine(affine: Float64[np.ndarray, "..."]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return affine.shape == (4, 4) and 0 < abs(float(np.linalg.det(affine))) < np.inf


def _as_dict(record: Any) -> dict[str, Any] | None:
    return None if record is None else dataclasses.asdict(record)


def _scan(
    values: dict[str, Any],
    image: Float32[np.ndarray, "slices height width"],
    labels: UInt8[np.ndarray, "slices height width"] | None,
) -> Scan:
    signal_zero = values["signal_zero"]
    return Scan(
        id=values["id"],
        image=image,
        spacing_mm=(float(values["spacing_mm"][0]), float(values["spacing_mm"][1])),
        positions_mm=np.array(values["positions_mm"], np.float64),
        affine=np.array(values["affine"], np.float64),
        oriented=values["oriented"],
        modality=values["modality"],
        labels=labels,
        labelled=np.array(values["labelled"], bool),
        has_enhancement=values["has_enhancement"],
        file_order=np.array(values["file_order"], np.int64),
        file_affine=np.array(values["file_affine"], np.float64),
        window=_record(Window, values["window"]),
        signal_zero=None if signal_zero is None else float(signal_zero),
        problems=tuple(values["problems"]),
        endocardium_only=tuple(values["endocardium_only"]),
        nominal_spacing=values["nominal_spacing"],
        nifti_grid=_record(NiftiGrid, values["nifti_grid"]),
        provenance=_provenance(values["provenance"]),
    )


def _record(cls: type[T], values: dict[str, Any] | None) -> T | None:
    """A frozen dataclass from the JSON object it became; see `from_json`."""
    return None if values is None else from_json(cls, values)


def _provenance(values: dict[str, Any]) -> Provenance:
    inner = {
        "rescale": tuple((pair[0], pair[1]) for pair in values["rescale"]),
        "cine_to_lge": _record(ConversionRecord, values["cine_to_lge"]),
        "phantom": _record(PhantomRecord, values["phantom"]),
    }
    provenance = _record(Provenance, {**values, **inner})
    assert provenance is not None
    return provenance
