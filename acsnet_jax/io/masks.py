"""Label files of any tool (nnU-Net, TotalSegmentator, MONAI) -> stacks, and back on their own grid.

A stack is ``[slices, height, width]`` in the file's own slice order. Slices lie across the file's
third axis, unless another one has clearly the largest spacing. Nothing is turned or resampled.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Sequence

import nibabel
import numpy as np
from jaxtyping import Bool, Float64, Integer, Shaped

from acsnet_jax.io.nifti import LABEL_ROUNDING, is_nifti, nifti_stem, open_nifti, save_nifti
from acsnet_jax.io.nifti_grid import GEOMETRY_FIELDS, is_oriented, voxel_geometry
from acsnet_jax.types import InputError, Spacing

_CLEARLY = 1.5  # times the larger spacing of the other two axes
_MOST_LABELS = 128  # in one slice; an image has more values
_SQUARE = 1.1  # largest aspect of a pixel that is taken as square
_SFORM = ("srow_x", "srow_y", "srow_z")


@dataclasses.dataclass(frozen=True, eq=False)
class LabelStack:
    """A label file as a stack.

    Attributes:
        path: the file.
        values: ``[slices, height, width]``, its labels in its own slice order.
        spacing_mm: (row, column) distance of pixel centres.
        distance_mm: between slices, along their normal.
        axis: 1 to 3, the file's axis across the slices.
        affine: 4x4, voxel ``(column, row, slice)`` of `values` to patient space (RAS+, mm).
        oriented: whether ``affine`` tells the patient's orientation.
        header: as it stands in the file.
    """

    path: pathlib.Path
    values: Integer[np.ndarray, "slices height width"]
    spacing_mm: Spacing
    distance_mm: float
    axis: int
    affine: Float64[np.ndarray, "4 4"]
    oriented: bool
    header: nibabel.Nifti1Header


def label_files(path: str | pathlib.Path, *, pattern: str = "**/*") -> dict[str, pathlib.Path]:
    """NIfTI files at a path.

    Args:
        path: a file, or a folder.
        pattern: which files of a folder; by default all, with those of its subfolders. Hidden
            files and folders are passed over.

    Returns:
        Path of each file by its name: relative to the folder, without .nii or .nii.gz.

    Raises:
        InputError: no such path, no NIfTI file there, or two files of one name.
    """
    path = pathlib.Path(path)
    if path.is_file() and is_nifti(path):
        return {nifti_stem(path): path}
    if not path.is_dir():
        raise InputError(f"{path}: no such folder or NIfTI file (.nii, .nii.gz)")
    if not pattern or pathlib.PurePath(pattern).is_absolute():
        raise InputError(f"pattern {pattern!r} must be relative to {path}, such as **/*.nii.gz")
    found: dict[str, pathlib.Path] = {}
    for file in sorted(path.glob(pattern)):
        inner = file.relative_to(path)
        hidden = any(part.startswith(".") for part in inner.parts)
        if hidden or not file.is_file() or not is_nifti(file):
            continue
        name = inner.with_name(nifti_stem(file)).as_posix()
        if name in found:
            raise InputError(f"{file}: {found[name].name} has the same name: remove one of them")
        found[name] = file
    if not found:
        raise InputError(f"{path}: no NIfTI file matches {pattern!r} in this folder")
    return found


def parse_labels(text: str | Sequence[int]) -> tuple[int, ...]:
    """Label values from "2,3" or (2, 3); none from "".

    Raises:
        InputError: a value is no whole number above 0.
    """
    parts = re.split(r"[,\s]+", text.strip("()[] ,")) if isinstance(text, str) else text
    try:
        labels = tuple(int(part) for part in parts if part != "")
    except ValueError as error:
        raise InputError(f"labels {text!r} are no whole numbers: write them as 2,3") from error
    if any(label < 1 for label in labels):
        raise InputError(f"labels {text!r} must be above 0, which is the background")
    return tuple(dict.fromkeys(labels))


def mask_of(
    values: Integer[np.ndarray, "slices height width"], labels: Sequence[int]
) -> Bool[np.ndarray, "slices height width"]:
    """Where the values are one of the labels; without any, where they are above 0."""
    return np.isin(values, labels) if labels else values > 0


def check_labels_occur(
    files: Iterable[pathlib.Path], labels: Sequence[int], *, axis: int = 0
) -> None:
    """Look for the labels, in as many files as it takes to find one.

    Files that cannot be read are passed over; reading them again tells why.

    Args:
        files: label files.
        labels: together one structure; none for all values above 0.
        axis: as of `read_labels`.

    Raises:
        InputError: no file that can be read holds any of the labels.
    """
    seen: set[int] = set()
    read = []
    for path in files:
        try:
            values = read_labels(path, axis=axis).values
        except InputError:
            continue
        if mask_of(values, labels).any():
            return
        read.append(path)
        seen |= set(np.unique(values).tolist())
    if read:
        where = str(read[0]) if len(read) == 1 else f"{read[0]} and {len(read) - 1} more"
        wanted = f"labels {', '.join(map(str, labels))}" if labels else "any label above 0"
        raise InputError(
            f"{where}: {wanted} not found, only {', '.join(map(str, sorted(seen)[:20]))}: "
            "give those of the myocardium with --config.labels"
        )


def read_labels(path: str | pathlib.Path, *, axis: int = 0) -> LabelStack:
    """Read a label file.

    Args:
        path: NIfTI, 3-D, whole numbers.
        axis: 1 to 3, across the slices; 0 for the third unless another one has clearly the largest
            spacing.

    Raises:
        InputError: a file that cannot be read, an array that is not 3-D, values that are no labels,
            an image, or a spacing that is not positive.
    """
    path = pathlib.Path(path)
    if axis not in (0, 1, 2, 3):
        raise InputError(f"axis is {axis}: choose 1, 2 or 3, or 0 to find out")
    array, header = open_nifti(path)
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(
            f"{path}: labels must have three axes, these have shape {array.shape}: "
            "give one 3-D volume a file"
        )
    spacing, affine, _ = voxel_geometry(path, header)
    axis = axis or _through_plane(spacing)
    order = _order(axis)
    slice_, row, column = order
    values = _whole_numbers(array.transpose(order), path)
    distinct = len(np.unique(values[len(values) // 2]))
    if distinct > _MOST_LABELS:
        raise InputError(
            f"{path}: {distinct} different values in one slice: an image, not labels; choose the "
            "label files with --config.pattern"
        )
    affine = affine[:, [column, row, slice_, 3]]
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return LabelStack(
        path=path,
        values=values,
        spacing_mm=(spacing[row], spacing[column]),
        distance_mm=abs(float(affine[:3, 2] @ normal / np.linalg.norm(normal))),
        axis=axis,
        affine=affine,
        oriented=is_oriented(header),
        header=header,
    )


def find_masks(
    path: str | pathlib.Path, labels: Sequence[int], *, pattern: str = "**/*", axis: int = 0
) -> dict[str, pathlib.Path]:
    """Label files at a path by name, of which some hold the labels.

    Args:
        path: a file or a folder.
        labels: together the mask; none for all values above 0.
        pattern: which files of a folder.
        axis: as of `read_labels`.

    Raises:
        InputError: there is none, or none of them holds the labels.
    """
    files = label_files(path, pattern=pattern)
    check_labels_occur(files.values(), labels, axis=axis)
    return files


def geometry_notes(stack: LabelStack, *, asked: int) -> list[str]:
    """What a user should know: slices lie across another axis than the third, pixels not square.

    Args:
        stack: a label file.
        asked: the axis that was asked for; 0 if none was.
    """
    notes = []
    if not asked and stack.axis != 3:
        notes.append(
            f"slices lie across axis {stack.axis}, whose spacing of {stack.distance_mm:.3g} mm is "
            "the largest (--config.axis=3 for the third)"
        )
    row, column = stack.spacing_mm
    if max(row, column) > _SQUARE * min(row, column):
        notes.append(
            f"pixels of {row:.3g} x {column:.3g} mm are not square; circularity is taken on the "
            "pixel grid, so that sound masks may fail it: resample the file first"
        )
    return notes


def write_labels(
    path: str | pathlib.Path,
    values: Integer[np.ndarray, "slices height width"],
    stack: LabelStack,
) -> pathlib.Path:
    """Write labels on the grid of the file that they belong to: its axes, slice order and header.

    Of the header only the geometry is copied: other fields may name a person. Bytes, or 16 bits
    where a label needs them.

    Args:
        path: ends in .nii or .nii.gz; its folder is made if need be.
        values: 0 to 65535, in the file's own slice order.
        stack: what the file was read as.

    Raises:
        InputError: another shape than the file's, or values out of range.
    """
    path = pathlib.Path(path)
    if values.shape != stack.values.shape:
        raise InputError(
            f"{path}: labels are {values.shape}, those of {stack.path} {stack.values.shape} "
            "(slices, height, width): bring them back to its grid first"
        )
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise InputError(
            f"{stack.path}: label {low if low < 0 else high} cannot be written: "
            "renumber the labels to 0 to 255"
        )
    kind = np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16
    array = values.astype(kind).transpose(np.argsort(_order(stack.axis)))
    second = isinstance(stack.header, nibabel.Nifti2Header)
    image = (nibabel.Nifti2Image if second else nibabel.Nifti1Image)(array, None)
    for name in (*GEOMETRY_FIELDS, *_SFORM):
        image.header[name] = stack.header[name]
    return save_nifti(image, path)


def _through_plane(spacing: tuple[float, float, float]) -> int:
    """1 to 3, the axis across the slices."""
    largest = int(np.argmax(spacing))
    others = [distance for axis, distance in enumerate(spacing) if axis != largest]
    return largest + 1 if spacing[largest] > _CLEARLY * max(others) else 3


def _order(axis: int) -> tuple[int, int, int]:
    """The file's axes as (slice, row, column)."""
    slice_ = axis - 1
    column, row = (k for k in range(3) if k != slice_)
    return slice_, row, column


def _whole_numbers(
    values: Shaped[np.ndarray, "slices height width"], path: pathlib.Path
) -> Integer[np.ndarray, "slices height width"]:
    if values.dtype.kind in "iu":
        return np.ascontiguousarray(values)
    whole = np.empty(values.shape, np.int32)
    for k, slice_ in enumerate(values):  # one at a time: volumes of other tools may be large
        # NaN and infinity are no whole numbers either
        with np.errstate(invalid="ignore"):
            rounded = np.rint(slice_)
            bad = ~(np.abs(slice_ - rounded) <= LABEL_ROUNDING) | (np.abs(rounded) >= 2.0**31)
        if bad.any():
            raise InputError(
                f"{path}: value {slice_[bad][0]:g} in slice {k + 1} of {len(values)} is no label: "
                "give label values, not an image or probabilities"
            )
        whole[k] = rounded
    return whole
