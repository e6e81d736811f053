"""Where the planes of a stack lie: positions, spacing, the affine to RAS+, in mm.

DICOM's patient space is LPS; it is turned into RAS+ here.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from acsnet_jax.io.dicom.headers import Frame
from acsnet_jax.io.dicom.values import numbers
from acsnet_jax.io.stack import APEX_DIRECTION, check_scale, check_spacing
from acsnet_jax.types import InputError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_SAME_ORIENTATION = 0.01


def position(frame: Frame) -> float:
    """Of a plane along row x column, in mm."""
    assert frame.position is not None and frame.orientation is not None
    return float(frame.position @ np.cross(*frame.orientation))


def parallel(a: Frame, b: Frame) -> bool:
    """Whether two planes have one orientation."""
    assert a.orientation is not None and b.orientation is not None
    return bool(np.abs(a.orientation - b.orientation).max() < _SAME_ORIENTATION)


def along_heart(frame: Frame) -> float:
    """Cosine between the plane's normal and the heart's long axis: short-axis planes are near 1."""
    assert frame.orientation is not None
    return float(abs((LPS_TO_RAS @ np.cross(*frame.orientation)) @ APEX_DIRECTION))


def common_spacing(frames: Sequence[Frame]) -> tuple[float, float]:
    """(row, column) distance of pixel centres of all planes.

    Raises:
        InputError: it is missing, not positive, no scanner's, or differs.
    """
    first = None
    for frame in frames:
        spacing = numbers(frame.header, "PixelSpacing", 2, frame.path)
        if spacing is None:
            raise InputError(f"{frame.path}: PixelSpacing is missing: correct the header")
        check_spacing(spacing.tolist(), str(frame.path))
        check_scale(spacing.tolist(), str(frame.path))
        if first is None:
            first = spacing
        elif not np.allclose(spacing, first, rtol=1e-3):
            raise InputError(
                f"{frame.path}: PixelSpacing differs from {frames[0].name} in the same stack: "
                "keep slices of one spacing"
            )
    assert first is not None
    return float(first[0]), float(first[1])


def stack_affine(
    frames: Sequence[Frame],
    positions_mm: Float64[np.ndarray, "slices"],
    spacing_mm: tuple[float, float],
) -> Float64[np.ndarray, "4 4"]:
    """Voxel (column, row, slice) to RAS+ mm; the slice step is the mean one."""
    first, last = frames[0], frames[-1]
    assert first.position is not None and last.position is not None
    assert first.orientation is not None
    if len(frames) > 1:
        step = (last.position - first.position) / (len(frames) - 1)
    else:
        thickness = numbers(first.header, "SliceThickness", 1, first.path)
        distance = 0.0 if thickness is None else float(thickness[0])
        step = np.cross(*first.orientation) * (distance if distance > 0 else 1.0)
    affine = np.eye(4)
    affine[:3, 0] = LPS_TO_RAS @ first.orientation[0] * spacing_mm[1]
    affine[:3, 1] = LPS_TO_RAS @ first.orientation[1] * spacing_mm[0]
    affine[:3, 2] = LPS_TO_RAS @ step
    affine[:3, 3] = LPS_TO_RAS @ first.position
    return affine


def drift(
    frames: Sequence[Frame], affine: Float64[np.ndarray, "4 4"], spacing_mm: tuple[float, float]
) -> list[str]:
    """A problem if slices are shifted in plane against the straight stack of the affine."""
    axes = affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0)
    shift = 0.0
    for k, frame in enumerate(frames):
        assert frame.position is not None
        offset = LPS_TO_RAS @ frame.position - (affine[:3, 3] + k * affine[:3, 2])
        shift = max(shift, float(np.abs(offset @ axes).max()))
    slant = float(np.abs(affine[:3, 2] @ axes).max())
    if shift <= 0.5 * min(spacing_mm) and slant <= 0.5 * min(spacing_mm):
        return []
    return [f"slices are shifted in plane, by up to {max(shift, slant):.1f} mm a slice"]
