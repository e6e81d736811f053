"""Folders of label files, one a patient, of any tool or expert -> labels on a reference's grid.

A patient is known by the file's name, without what only says that it holds labels (``_gt``,
``_label``, ...); files that are all called ``segmentation``, as ours are, by their folder. Labels
are `Label` values, ``[slices, height, width]``. Nothing is turned or resampled: a file on another
grid than the reference's is refused.
"""

import functools
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8

from acsnet_jax.io.cohort import Format, iter_cohort
from acsnet_jax.io.masks import LabelStack, label_files, read_labels
from acsnet_jax.io.nifti import LABEL_SUFFIXES, map_labels, nifti_stem
from acsnet_jax.io.stack import build_scan, corners_apart_mm, safe_id
from acsnet_jax.types import InputError, Label, Provenance, Scan, Spacing

ReferenceFormat = Literal["auto", "labels", Format]
"""What an expert's folder holds: label files, or a cohort in its owner's layout."""

LABEL_FILES = "labels"
"""What the provenance of a reference says that is a label file, and no cohort's scan."""

_ALL_ALIKE = "segmentation"
_OTHERS = "other"
_DISTANCE = 0.01  # relative difference of spacings that is taken as rounding
_LAYOUTS: tuple[tuple[str, Format], ...] = (
    ("*/scan.json", "store"),
    ("Case_*/Images", "emidec"),
    ("patient*/patient*_frame*.nii*", "acdc"),
    ("*/patient*/patient*_frame*.nii*", "acdc"),
)


class LabelMap(NamedTuple):
    """What the values of a tool's files mean.

    Attributes:
        values: file's value -> `Label` value; None where files hold `Label` values themselves.
        others: what all values mean that are not named; None to refuse them.
    """

    values: Mapping[int, int] | None = None
    others: int | None = None

    @property
    def told(self) -> frozenset[int] | None:
        """The labels that it leads to; None if the files have to say."""
        if self.values is None:
            return None
        others = () if self.others is None else (self.others,)
        return frozenset({*self.values.values(), *others})


class LabelGrid(NamedTuple):
    """The grid of a reference, in its file's own slice order.

    Attributes:
        source: the file or folder, for messages.
        shape: slices, height, width.
        axis: 1 to 3, the file's axis across the slices.
        spacing_mm: (row, column) distance of pixel centres.
        distance_mm: between slices.
        affine: 4x4, voxel ``(column, row, slice)`` to patient space (RAS+, mm).
        oriented: whether ``affine`` tells the patient's orientation.
    """

    source: str
    shape: tuple[int, int, int]
    axis: int
    spacing_mm: Spacing
    distance_mm: float
    affine: Float64[np.ndarray, "4 4"]
    oriented: bool


class Reference(NamedTuple):
    """What an expert drew on one patient.

    Attributes:
        scan: with labels; of label files its image is empty.
        grid: of the file.
    """

    scan: Scan
    grid: LabelGrid


def parse_label_map(text: str, *, key: str) -> LabelMap:
    """A label map from ``"1:blood_pool,2:myocardium,3:enhancement,other:background"``.

    Args:
        text: pairs of a file's value and one of ``background``, ``blood_pool``, ``myocardium``,
            ``enhancement`` and ``no_reflow``; empty for files that hold `Label` values.
        key: of the config, for messages.

    Raises:
        InputError: a pair that says something else, or a value that is named twice.
    """
    values: dict[int, int] = {}
    others = None
    names = {label.name.lower(): int(label) for label in Label}
    for pair in re.split(r"[,\s]+", text.strip()):
        value, _, name = pair.partition(":")
        if not pair:
            continue
        if name not in names or not (value.isdigit() or value == _OTHERS):
            raise InputError(
                f"config.{key}: {pair!r} is no value and name: write 2:myocardium, with one of "
                f"{', '.join(names)}, or {_OTHERS}:background for all that is not named"
            )
        if value == _OTHERS:
            others = names[name]
        elif int(value) in values:
            raise InputError(f"config.{key}: the value {value} is named twice: name it once")
        else:
            values[int(value)] = names[name]
    if others is not None and not values:
        raise InputError(f"config.{key}: names no value but {_OTHERS}: name those of the heart")
    return LabelMap(values or None, others)


def patient_files(
    path: str | pathlib.Path, *, pattern: str = "**/*", key: str = "pattern"
) -> dict[str, pathlib.Path]:
    """The label file of each patient of a folder.

    Args:
        path: the folder.
        pattern: which of its files, such as ``Case_*/Contours/*.nii.gz``.
        key: of the config, for messages.

    Raises:
        InputError: no such folder, no file in it, or two files of one patient.
    """
    found: dict[str, pathlib.Path] = {}
    for file in label_files(path, pattern=pattern).values():
        name = nifti_stem(file)
        if name == _ALL_ALIKE:
            name = file.resolve().parent.name
        for suffix in LABEL_SUFFIXES:
            name = name.removesuffix(suffix)
        name = safe_id(name)
        if name in found:
            raise InputError(
                f"{file}: {found[name]} is of the same patient {name}: choose one of them with "
                f"--config.{key}=PATTERN"
            )
        found[name] = file
    return found


def references(
    path: str | pathlib.Path,
    fmt: ReferenceFormat,
    label_map: LabelMap,
    *,
    pattern: str = "**/*",
    axis: int = 0,
) -> dict[str, Callable[[], Reference]]:
    """A loader of each patient that an expert drew.

    Args:
        path: a folder of label files, or a cohort's.
        fmt: "labels", a cohort's format, or "auto" to tell EMIDEC, ACDC and a store from labels.
        label_map: of label files; cohorts have their own.
        pattern: which files of a folder of label files.
        axis: of label files, across the slices, 1 to 3; 0 to find out.

    Raises:
        InputError: nothing there, or a label map for a cohort.
    """
    path = pathlib.Path(path)
    layout = _layout(path) if fmt == "auto" else None if fmt == LABEL_FILES else fmt
    if layout is not None:
        if label_map != LabelMap():
            raise InputError(f"{path}: {layout} has labels of its own: leave labels_reference out")
        return {
            safe_id(name): functools.partial(_of_cohort, load, f"{path}: {name}")
            for name, load in iter_cohort(path, layout)
        }
    files = patient_files(path, pattern=pattern, key="pattern_reference")
    return {
        name: functools.partial(_of_labels, name, file, label_map, axis=axis)
        for name, file in files.items()
    }


def _layout(path: pathlib.Path) -> Format | None:
    """The cohort that a folder is laid out as; None for label files."""
    return next((layout for glob, layout in _LAYOUTS if any(path.glob(glob))), None)


def labels_on(
    path: pathlib.Path, reference: Reference, label_map: LabelMap, *, key: str
) -> UInt8[np.ndarray, "slices height width"]:
    """The labels of a file on the grid of a reference, apex first as its scan.

    Args:
        path: the file.
        reference: of the same patient.
        label_map: of the file's values.
        key: of the config that gives it, for messages.

    Raises:
        InputError: a file that cannot be read, on another grid, or with a value that the map does
            not know.
    """
    stack = read_labels(path, axis=reference.grid.axis)
    check_grid(stack, reference.grid)
    return _mapped(stack, label_map, key)[reference.scan.file_order]


def check_grid(stack: LabelStack, grid: LabelGrid) -> None:
    """Refuse a file that lies on another grid than its reference.

    Where the affine of either tells nothing of the patient (EMIDEC, ACDC, and what was made of
    them), shape and spacing alone are compared.

    Raises:
        InputError: another number of voxels, spacing, orientation or place.
    """
    axes = dict(zip(("slices", "rows", "columns"), _axes(stack.axis), strict=True))
    fix = "resample it onto that grid"
    for (name, axis), ours, theirs in zip(
        axes.items(), stack.values.shape, grid.shape, strict=True
    ):
        if ours != theirs:
            raise InputError(
                f"{stack.path}: {ours} {name} (axis {axis}), its reference {grid.source} has "
                f"{theirs}: {fix}"
            )
    steps = (stack.distance_mm, *stack.spacing_mm), (grid.distance_mm, *grid.spacing_mm)
    for (name, axis), ours, theirs in zip(axes.items(), *steps, strict=True):
        if abs(ours - theirs) > _DISTANCE * theirs:
            raise InputError(
                f"{stack.path}: {name} (axis {axis}) are {ours:.4g} mm apart, in its reference "
                f"{grid.source} {theirs:.4g} mm: {fix}"
            )
    if not (stack.oriented and grid.oriented):
        return
    apart = corners_apart_mm(stack.affine, grid.affine, grid.shape)
    if apart > 0.5 * min(*grid.spacing_mm, grid.distance_mm):
        raise InputError(
            f"{stack.path}: its affine puts voxels {apart:.1f} mm away from where its reference "
            f"{grid.source} has them{_turned(stack, grid)}: {fix}"
        )


def _turned(stack: LabelStack, grid: LabelGrid) -> str:
    """Which axes run elsewhere, in words."""
    units = [
        one.affine[:3, :3] / np.linalg.norm(one.affine[:3, :3], axis=0) for one in (stack, grid)
    ]
    cosines = np.sum(units[0] * units[1], axis=0)
    slice_, row, column = _axes(stack.axis)
    wrong = [
        str(axis)
        for axis, cosine in zip((column, row, slice_), cosines, strict=True)
        if cosine < 1 - _DISTANCE
    ]
    return f" (axis {' and '.join(wrong)} runs another way)" if wrong else ""


def _axes(axis: int) -> tuple[int, int, int]:
    """The file's axes, 1 to 3, of slices, rows and columns."""
    column, row = (k for k in (1, 2, 3) if k != axis)
    return axis, row, column


def _mapped(
    stack: LabelStack, label_map: LabelMap, key: str
) -> UInt8[np.ndarray, "slices height width"]:
    values = label_map.values
    if values is not None and label_map.others is not None:
        rest = np.unique(stack.values[stack.values != 0]).tolist()
        values = {**dict.fromkeys(rest, label_map.others), **values}
    return map_labels(stack.values, stack.path, values, fix=f"say what it is with --config.{key}")


def _of_labels(name: str, path: pathlib.Path, label_map: LabelMap, *, axis: int) -> Reference:
    """A scan without a picture from one label file."""
    stack = read_labels(path, axis=axis)
    labels = _mapped(stack, label_map, "labels_reference")
    scan = build_scan(
        id=name,
        image=np.zeros(labels.shape, np.float32),
        spacing_mm=stack.spacing_mm,
        positions_mm=np.arange(len(labels)) * stack.distance_mm,
        affine=stack.affine,
        file_affine=stack.affine,
        oriented=stack.oriented,
        modality="lge",
        labels=labels,
        has_enhancement=True,
        provenance=Provenance(format=LABEL_FILES),
    )
    return Reference(
        scan,
        LabelGrid(
            str(path),
            stack.values.shape,
            stack.axis,
            stack.spacing_mm,
            stack.distance_mm,
            stack.affine,
            stack.oriented,
        ),
    )


def _of_cohort(load: Callable[[], Scan], source: str) -> Reference:
    scan = load()
    affine = scan.affine.copy()
    if len(scan.image) > 1 and scan.file_order[0] > scan.file_order[-1]:
        affine[:3, 3] += affine[:3, 2] * (len(scan.image) - 1)
        affine[:3, 2] *= -1
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    distance = abs(float(affine[:3, 2] @ normal / np.linalg.norm(normal)))
    slices, height, width = scan.image.shape
    grid = LabelGrid(
        source, (slices, height, width), 3, scan.spacing_mm, distance, affine, scan.oriented
    )
    return Reference(scan, grid)
