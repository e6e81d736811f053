"""Sunnybrook Cardiac Data: cine DICOM with contour files, in the owner's layout -> `Scan`.

``ROOT/SCD_IMAGES_*/SCDnnnnnnn/*/IM-0001-NNNN.dcm``, ``ROOT/SCD_ManualContours/SC-.../
contours-manual/IRCCI-expert/IM-0001-NNNN-{i,o}contour-manual.txt`` and ``ROOT/scd_patientdata.csv``
that maps PatientID to OriginalID. Inner contours bound the blood pool, outer ones the epicardium.

Contour points are ``x y`` in pixels counted from 1: (1, 1) is the centre of the first pixel. (The
image gradient along all endocardial contours is largest if they are moved by -1 pixel on both
axes.) A pixel belongs to a region if at least half of it lies inside the contour.

Outer contours exist at end-diastole alone, and there the cavity is largest: in this data the late
trigger time, just before the next R wave, and not the smallest one.

References:
    Radau et al. 2009, hdl 10380/3070.
"""

import csv
import dataclasses
import io
import pathlib
import re

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from acsnet_jax.files import read_text
from acsnet_jax.io import dicom
from acsnet_jax.io.stack import SliceOrder, safe_id
from acsnet_jax.types import InputError, Label, Modality, Scan

_MOST_POINTS = 10_000  # of a contour; those of the data set have some 100
_OVERSAMPLING = 8
_CONTOUR = re.compile(r"-(\d+)-([io])contour-manual\.txt$", re.IGNORECASE)

Contours = dict[int, dict[str, Float64[np.ndarray, "points 2"]]]
"""DICOM file number -> {"i": inner, "o": outer}, zero-based (x, y) in pixels."""


def sunnybrook_patients(root: str | pathlib.Path) -> list[tuple[str, pathlib.Path]]:
    """(OriginalID, image folder) of the patients of the table whose images are there.

    Raises:
        InputError: no table, or none of its patients has images.
    """
    root = pathlib.Path(root)
    table = root / "scd_patientdata.csv"
    if not table.is_file():
        raise InputError(f"{table}: no such file: give the root of the Sunnybrook data")
    text = read_text(table, fix="restore it")
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise InputError(f"{table}: no table of comma-separated values: restore it") from error
    if not rows or not {"PatientID", "OriginalID"} <= set(rows[0]):
        raise InputError(f"{table}: needs the columns PatientID and OriginalID")
    patients = []
    for row in rows:
        number = (row["PatientID"] or "").strip()
        folders = [p for p in root.glob("SCD_IMAGES_*/*") if p.is_dir() and p.name == number]
        if folders:
            patients.append(((row["OriginalID"] or "").strip(), folders[0]))
    if not patients:
        raise InputError(f"{root}: no SCD_IMAGES_*/PatientID folder of the patients in the table")
    return patients


def read_sunnybrook(
    root: str | pathlib.Path,
    patient: str,
    *,
    modality: Modality = "cine",
    slice_order: SliceOrder = "auto",
) -> Scan:
    """Reads the end-diastolic stack of one patient.

    Slices with an inner contour alone keep their blood pool and are not labelled: they are listed
    in ``Scan.endocardium_only``. A patient without contours comes unlabelled.

    Args:
        root: folder with ``scd_patientdata.csv``.
        patient: OriginalID, such as SC-HF-I-1.
        modality: "cine".
        slice_order: as of `read_dicom`.

    Raises:
        InputError: unknown patient, a contour file that cannot be read, or as `read_dicom`.
    """
    root = pathlib.Path(root)
    folders = dict(sunnybrook_patients(root))
    if patient not in folders:
        raise InputError(f"{root}: no patient {patient} with images: known are {list(folders)}")
    folder = folders[patient]
    contours = _read_contours(root, patient)
    stack = dicom.find_stack(_contoured_series(folder, contours))
    frames = dicom.choose_phase(stack, trigger_ms=_end_diastole_ms(stack, contours))
    labels = None
    if contours:
        height, width = frames[0].shape
        labels = np.stack(
            [_labels(contours.get(_number(f.path), {}), height, width) for f in frames]
        )
    scan = dicom.load_stack(
        stack,
        frames,
        where=str(folder),
        modality=modality,
        slice_order=slice_order,
        id=safe_id(patient),
        labels=labels,
    )
    return scan.replace(provenance=dataclasses.replace(scan.provenance, format="sunnybrook"))


def rasterise(
    points: Float64[np.ndarray, "points 2"], height: int, width: int
) -> Bool[np.ndarray, "height width"]:
    """Pixels of which at least half lies inside a closed contour.

    Args:
        points: (x, y), pixel centres at whole numbers from 0.
        height: rows.
        width: columns.
    """
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 2, [width, height])
    mask = np.zeros((height, width), bool)
    columns, rows = (max(int(n), 0) for n in high - low)
    if rows == 0 or columns == 0:
        return mask
    # Pixel k spans k - 0.5 .. k + 0.5; its subpixel centres are at (j + 0.5) / n within.
    fine = (points - low + 0.5) * _OVERSAMPLING - 0.5
    inside = _even_odd(fine, rows * _OVERSAMPLING, columns * _OVERSAMPLING)
    blocks = inside.reshape(rows, _OVERSAMPLING, columns, _OVERSAMPLING)
    mask[low[1] : high[1], low[0] : high[0]] = blocks.mean(axis=(1, 3)) >= 0.5
    return mask


def _even_odd(
    points: Float64[np.ndarray, "points 2"], height: int, width: int
) -> Bool[np.ndarray, "height width"]:
    """Grid points (column, row) inside a closed polygon: an odd number of edges to their left."""
    x, y = points.T
    dx, dy = np.roll(x, -1) - x, np.roll(y, -1) - y
    lines = np.arange(height)[:, None]
    row, edge = np.nonzero((y[None] <= lines) != ((y + dy)[None] <= lines))
    crossing = x[edge] + (row - y[edge]) * dx[edge] / dy[edge]
    toggles = np.zeros((height, width + 1), np.int64)
    np.add.at(toggles, (row, np.clip(np.ceil(crossing).astype(int), 0, width)), 1)
    return np.cumsum(toggles, axis=1)[:, :width] % 2 == 1


def _labels(
    contours: dict[str, Float64[np.ndarray, "points 2"]], height: int, width: int
) -> UInt8[np.ndarray, "height width"]:
    labels = np.zeros((height, width), np.uint8)
    if "o" in contours:
        labels[rasterise(contours["o"], height, width)] = Label.MYOCARDIUM
    if "i" in contours:
        labels[rasterise(contours["i"], height, width)] = Label.BLOOD_POOL
    return labels


def _number(path: pathlib.Path) -> int:
    """The DICOM file number in IM-0001-NNNN.dcm; -1 in a name without one."""
    match = re.search(r"(\d+)$", path.stem)
    return int(match.group(1)) if match else -1


def _read_contours(root: pathlib.Path, patient: str) -> Contours:
    # The owner writes SC-HF-I-1 in the table and, in some releases, SC-HF-I-01 on the folder.
    wanted = re.sub(r"-0+(\d)", r"-\1", patient)
    contours: Contours = {}
    for folder in sorted(root.glob("SCD_ManualContours/*")):
        if re.sub(r"-0+(\d)", r"-\1", folder.name) != wanted:
            continue
        for path in sorted(folder.rglob("*.txt")):
            match = _CONTOUR.search(path.name)
            if match:
                kind = match.group(2).lower()
                contours.setdefault(int(match.group(1)), {})[kind] = _read_points(path)
    return contours


def _read_points(path: pathlib.Path) -> Float64[np.ndarray, "points 2"]:
    text = read_text(path, fix="correct it")
    try:
        values = [float(word) for word in text.split()]
    except ValueError as error:
        raise InputError(f"{path}: a contour file needs one 'x y' a line: correct it") from error
    if len(values) > 2 * _MOST_POINTS:
        raise InputError(f"{path}: more than {_MOST_POINTS} points, no contour: correct it")
    if len(values) % 2 or len(values) < 6 or not np.isfinite(values).all():
        raise InputError(f"{path}: a contour needs at least three 'x y' points: correct it")
    return np.array(values).reshape(-1, 2) - 1.0


def _contoured_series(folder: pathlib.Path, contours: Contours) -> pathlib.Path:
    """The series folder that most contours belong to."""
    if not contours:
        return folder
    series = sorted(p for p in folder.iterdir() if p.is_dir())
    if len(series) < 2:
        return folder
    return max(series, key=lambda s: sum(_number(p) in contours for p in s.glob("*.dcm")))


def _end_diastole_ms(stack: dicom.FrameStack, contours: Contours) -> float | None:
    """Trigger time of the phase with outer contours or, without any, with the largest cavities.

    None, for the header's own end-diastole, if nothing is contoured.
    """
    outer, inner = [], []
    for frames in stack.frames:
        drawn = [f for f in frames if "i" in contours.get(_number(f.path), {})]
        outer += [f for f in frames if "o" in contours.get(_number(f.path), {})]
        if drawn:
            inner.append(max(drawn, key=lambda f: _area(contours[_number(f.path)]["i"])))
    triggers = [f.trigger for f in (outer or inner) if f.trigger is not None]
    return float(np.median(triggers)) if triggers else None


def _area(points: Float64[np.ndarray, "points 2"]) -> float:
    x, y = points.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
