"""Geometry that every reader shares: slice distances, apex first, and the `Scan` at the end.

Readers collect a stack in the *file's own order*: ``[slices, height, width]``, with positions that
increase with the slice index. `build_scan` turns that into a `Scan`, apex first. Patient space is
RAS+ (x to the right, y to the front, z to the head), in mm.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from acsnet_jax.types import (
    InputError,
    Label,
    Modality,
    NiftiGrid,
    Provenance,
    Scan,
    Spacing,
    Window,
)

SliceOrder = Literal["auto", "apex_first", "base_first"]

APEX_DIRECTION = np.array([-1.0, 1.0, -1.0]) / np.sqrt(3.0)
"""From base to apex in RAS: the apex lies to the left, the front and the feet."""

_GIVEN = "as given"
_BY_PATIENT = "patient orientation"
_UNKNOWN = "unknown"
_ORDER_UNKNOWN = "slice order is unknown, file order kept as apex first: set slice_order"

MOST_PIXELS = 16_384
"""Along any axis."""

MOST_VOXELS = 2**26
"""Of one stack: 512 x 512 x 256; rescaled in double precision, kept in single, 0.75 GiB."""

_LEAST_MM, _MOST_MM = 1e-6, 1e6
_FINEST_MM, _COARSEST_MM = 0.01, 100.0  # of any scanner; metres and micrometres lie beyond
_CLEAR_COSINE = 0.2
_CLEAR_SLOPE = 0.005
_SAME_POSITION_MM = 0.05


def safe_id(text: str) -> str:
    """``text`` as a folder name: letters, digits, dot, dash and underscore, no leading dot."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-") or "scan"


def patient_of(scan_id: str) -> str:
    """Whose scan it is: the ``sub-LABEL`` with which BIDS begins a name, else the id itself.

    References:
        Brain Imaging Data Structure, entities: ``sub-12_ses-1``, ``sub-12_ses-2``.
    """
    return scan_id.partition("_")[0] if scan_id.startswith("sub-") else scan_id


def one_line(text: Any) -> str:
    """``text`` on one line, for messages."""
    return " ".join(str(text).split())


def check_choice(name: str, value: str, choices: Any) -> None:
    """Raises InputError unless ``value`` is one of the `Literal` ``choices``."""
    if value not in get_args(choices):
        allowed = ", ".join(get_args(choices))
        raise InputError(f"{name}={value!r} is unknown: choose one of {allowed}")


def check_spacing(spacing_mm: Sequence[float], where: str) -> None:
    """Raises InputError unless each distance (mm) is positive and of this world."""
    if not all(_LEAST_MM < s < _MOST_MM for s in spacing_mm):
        values = " x ".join(f"{float(s):g}" for s in spacing_mm)
        raise InputError(
            f"{where}: pixel spacing is {values} mm: correct the header, each must be above 0 and "
            "finite"
        )


def check_scale(spacing_mm: Sequence[float], where: str) -> None:
    """Raises InputError for distances (mm) that no scanner has, as where metres count as mm."""
    if not all(_FINEST_MM <= s <= _COARSEST_MM for s in spacing_mm):
        values = " x ".join(f"{float(s):g}" for s in spacing_mm)
        raise InputError(
            f"{where}: pixel spacing is {values} mm, metres or micrometres? Correct the header, or "
            f"its unit: each must lie between {_FINEST_MM:g} and {_COARSEST_MM:g} mm"
        )


def check_size(shape: Sequence[int], where: str) -> None:
    """Raises InputError if a header claims more than a scan can be, before memory is taken."""
    claimed = " x ".join(str(n) for n in shape)
    if max(shape) > MOST_PIXELS or math.prod(shape) > MOST_VOXELS:
        raise InputError(
            f"{where}: the header claims {claimed}, more than {MOST_PIXELS} along an axis or "
            f"{MOST_VOXELS} in all: correct the header, or crop the image"
        )


def check_finite(image: np.ndarray, where: str, *, order: str = "file order") -> None:
    """Raises InputError if ``[slices, height, width]`` intensities hold NaN or infinity.

    Args:
        image: intensities.
        where: the folder or file, or the scan, for the message.
        order: of the slices, for the message.
    """
    bad = np.flatnonzero(~np.isfinite(image).all(axis=(1, 2)))
    if bad.size:
        raise InputError(
            f"{where}: slice {bad[0] + 1} of {len(image)} ({order}) holds NaN or infinite "
            "intensities: replace them, or leave the scan out"
        )


def check_positions(
    positions_mm: Float64[np.ndarray, "slices"], names: Sequence[str], where: str
) -> list[str]:
    """Looks for duplicated and missing slices.

    Args:
        positions_mm: ascending positions along the normal, file order.
        names: a name for each slice, for messages.
        where: the folder or file, for messages.

    Returns:
        Problems that do not stop the reader: gaps that are uneven, but by no whole slice.

    Raises:
        InputError: two slices at one position, or a gap of about two or more slice distances.
    """
    gaps = np.diff(positions_mm)
    if not gaps.size:
        return []
    duplicate = np.flatnonzero(gaps < _SAME_POSITION_MM)
    if duplicate.size:
        k = duplicate[0]
        raise InputError(
            f"{where}: duplicated slice: {names[k]} and {names[k + 1]} lie at the same position "
            f"({positions_mm[k]:.2f} mm): keep one of them"
        )
    # The lower median: of two gaps, 8 and 16 mm, the larger one is the suspect.
    usual = np.sort(gaps)[(len(gaps) - 1) // 2]
    ratio = gaps / usual
    missing = np.flatnonzero((np.round(ratio) >= 2) & (np.abs(ratio - np.round(ratio)) < 0.25))
    if missing.size:
        k = missing[0]
        count = round(ratio[k]) - 1
        raise InputError(
            f"{where}: missing slice: {count} between {names[k]} and {names[k + 1]} (gap "
            f"{gaps[k]:.2f} mm, elsewhere {usual:.2f} mm): add the missing file or leave out one "
            "end of the stack"
        )
    uneven = np.flatnonzero(np.abs(ratio - 1) > 0.05)
    if uneven.size:
        return [f"slice distances are uneven: {gaps.min():.2f} to {gaps.max():.2f} mm"]
    return []


def corners_apart_mm(
    one: Float64[np.ndarray, "4 4"], other: Float64[np.ndarray, "4 4"], shape: tuple[int, int, int]
) -> float:
    """How far two affines of (column, row, slice) put a corner of one grid apart, along an axis.

    Args:
        one: to patient coordinates in mm.
        other: likewise.
        shape: slices, rows, columns.
    """
    ends = [(0, size) for size in shape[::-1]]
    corners = np.array([[*corner, 1.0] for corner in itertools.product(*ends)])
    return float(np.abs((one - other) @ corners.T)[:3].max())


def apex_is_first(
    affine: Float64[np.ndarray, "4 4"],
    *,
    oriented: bool,
    labels: UInt8[np.ndarray, "slices height width"] | None,
    slice_order: SliceOrder,
    usual_order: SliceOrder = "auto",
) -> tuple[bool, str]:
    """Whether the first slice of a stack in file order is the apical end.

    What is asked for counts most, then the patient's orientation, then the labelled LV area (the
    apical end is the small one), then the order that the data set's owner keeps.

    Returns:
        The answer, and what it rests on.
    """
    if slice_order != "auto":
        return slice_order == "apex_first", _GIVEN
    if oriented:
        step = affine[:3, 2]
        cosine = float(step @ APEX_DIRECTION / np.linalg.norm(step))
        if abs(cosine) > _CLEAR_COSINE:
            return cosine < 0, _BY_PATIENT
    slope = None if labels is None else _area_slope(labels)
    if slope is not None and abs(slope) > _CLEAR_SLOPE:
        return slope > 0, "labelled areas"
    if usual_order != "auto":
        return usual_order == "apex_first", "usual order of the data set"
    return True, f"{_UNKNOWN}, file order kept"


def _area_slope(labels: UInt8[np.ndarray, "slices height width"]) -> float | None:
    """Relative change of the labelled LV area a slice; None with fewer than two labelled slices."""
    area = (labels > 0).sum(axis=(1, 2)).astype(float)
    index = np.flatnonzero(area)
    if len(index) < 2:
        return None
    return float(np.polyfit(index, area[index], 1)[0] / area[index].mean())


def in_order(scan: Scan, slice_order: SliceOrder) -> Scan:
    """A scan whose order was unknown, or was given, in the order that is given now.

    Args:
        scan: as it was built.
        slice_order: of its file; "auto" to leave it as it is.
    """
    basis = scan.provenance.slice_order_basis
    if slice_order == "auto" or not (basis == _GIVEN or basis.startswith(_UNKNOWN)):
        return scan
    ascending = bool(scan.file_order[0] <= scan.file_order[-1])
    if ascending != (slice_order == "apex_first"):
        scan = _reversed(scan)
    return scan.replace(
        problems=tuple(one for one in scan.problems if one != _ORDER_UNKNOWN),
        provenance=dataclasses.replace(scan.provenance, slice_order_basis=_GIVEN),
    )


def _reversed(scan: Scan) -> Scan:
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (len(scan.image) - 1)
    affine[:3, 2] *= -1
    positions_mm = -scan.positions_mm[::-1]
    if not scan.oriented:
        positions_mm = positions_mm - positions_mm[0]
    last = len(scan.image) - 1
    return scan.replace(
        image=np.ascontiguousarray(scan.image[::-1]),
        positions_mm=np.ascontiguousarray(positions_mm),
        affine=affine,
        labels=None if scan.labels is None else np.ascontiguousarray(scan.labels[::-1]),
        labelled=np.ascontiguousarray(scan.labelled[::-1]),
        file_order=np.ascontiguousarray(scan.file_order[::-1]),
        endocardium_only=tuple(last - index for index in reversed(scan.endocardium_only)),
        planes=scan.planes[::-1],
    )


def build_scan(
    *,
    id: str,
    image: Float32[np.ndarray, "slices height width"],
    spacing_mm: Spacing,
    positions_mm: Float64[np.ndarray, "slices"],
    affine: Float64[np.ndarray, "4 4"],
    file_affine: Float64[np.ndarray, "4 4"],
    oriented: bool,
    modality: Modality,
    labels: UInt8[np.ndarray, "slices height width"] | None,
    has_enhancement: bool,
    problems: Sequence[str] = (),
    window: Window | None = None,
    nifti_grid: NiftiGrid | None = None,
    provenance: Provenance,
    slice_order: SliceOrder = "auto",
    usual_order: SliceOrder = "auto",
) -> Scan:
    """A `Scan` from a stack in the file's own order.

    A slice counts as labelled if its myocardium is outlined. Slices with a blood pool alone keep
    their pixels and are listed in ``endocardium_only``.

    Args:
        id: pseudonymous id.
        image: intensities, file order.
        spacing_mm: (row, column).
        positions_mm: ascending positions along the normal, file order.
        affine: voxel (column, row, slice) in file order to RAS+ mm, with the true spacing.
        file_affine: the affine that stands in the file; differs from ``affine`` where the file's
            own is a placeholder without spacing.
        oriented: whether ``affine`` tells the patient's orientation.
        modality: "lge" or "cine".
        labels: `Label` values, file order, or None.
        has_enhancement: whether the labels tell enhancement from viable myocardium.
        problems: what the reader noticed; those of order and labels are added.
        window: how the header shows the intensities.
        nifti_grid: the grid as a NIfTI header has it.
        provenance: the basis of the slice order is added.
        slice_order: the file's order, "auto" to find out.
        usual_order: the order that this data set's owner keeps, if any.
    """
    check_choice("slice_order", slice_order, SliceOrder)
    check_choice("modality", modality, Modality)
    slices = len(image)
    apex_first, basis = apex_is_first(
        affine,
        oriented=oriented,
        labels=labels,
        slice_order=slice_order,
        usual_order=usual_order,
    )
    order = np.arange(slices)
    scan_affine = affine.copy()
    if not apex_first:
        order = order[::-1]
        scan_affine[:3, 3] += affine[:3, 2] * (slices - 1)
        scan_affine[:3, 2] *= -1
        positions_mm = -positions_mm[::-1]
    if not oriented:
        positions_mm = positions_mm - positions_mm[0]

    problems = list(problems)
    if basis.startswith(_UNKNOWN):
        problems.append(_ORDER_UNKNOWN)
    elif basis == _GIVEN:
        told = apex_is_first(affine, oriented=oriented, labels=None, slice_order="auto")
        if told == (not apex_first, _BY_PATIENT):
            problems.append("slice_order, as given, contradicts how the patient lies")
    labelled: np.ndarray = np.zeros(slices, bool)
    partial: np.ndarray = np.zeros(0, int)
    if labels is not None:
        labels = np.ascontiguousarray(labels[order])
        labelled = np.any(labels >= Label.MYOCARDIUM, axis=(1, 2))
        partial = np.flatnonzero((labels == Label.BLOOD_POOL).any(axis=(1, 2)) & ~labelled)
        if partial.size:
            problems.append(f"{partial.size} of {slices} slices have an endocardial contour only")
    return Scan(
        id=id,
        image=np.ascontiguousarray(image[order]),
        spacing_mm=(float(spacing_mm[0]), float(spacing_mm[1])),
        positions_mm=np.ascontiguousarray(positions_mm),
        affine=scan_affine,
        oriented=oriented,
        modality=modality,
        labels=labels,
        labelled=labelled,
        has_enhancement=has_enhancement,
        file_order=np.ascontiguousarray(order),
        file_affine=file_affine,
        window=window,
        problems=tuple(problems),
        endocardium_only=tuple(partial.tolist()),
        nifti_grid=nifti_grid,
        provenance=dataclasses.replace(provenance, slice_order_basis=basis),
    )
