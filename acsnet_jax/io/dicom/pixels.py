"""Pixels of DICOM planes: decoded, rescaled, with the window that belongs to them.

Images are ``[slices, height, width]``, any range, in the unit of the file's rescaling.
"""

import dataclasses
import io
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pydicom
from jaxtyping import Float32, Float64, Shaped
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from acsnet_jax.io.dicom.headers import Frame, no_validation, text
from acsnet_jax.io.dicom.parse import PYDICOM_ERRORS, open_dicom
from acsnet_jax.io.dicom.values import first_number, numbers
from acsnet_jax.io.stack import check_size
from acsnet_jax.types import InputError, VoiFunction, Window

_FUNCTIONS: dict[str, VoiFunction] = {
    "LINEAR": "linear",
    "LINEAR_EXACT": "linear_exact",
    "SIGMOID": "sigmoid",
}
_HUGE = 1e30


class Intensities(NamedTuple):
    """What the files say of a stack's intensities.

    Attributes:
        image: ``[slices, height, width]``, rescaled, bright where the picture is bright.
        window: how it is to be shown, in the unit of ``image``; None where no file tells.
        rescale: the different (slope, intercept) of the files.
        inverted: whether the files mean small values to be bright (MONOCHROME1).
        problems: what a user should know.
    """

    image: Float32[np.ndarray, "slices height width"]
    window: Window | None
    rescale: tuple[tuple[float, float], ...]
    inverted: bool
    problems: list[str]


def intensities(frames: Sequence[Frame]) -> Intensities:
    """Decodes and rescales; nothing is clipped.

    Raises:
        InputError: pixels that cannot be decoded, rescaling that makes no sense, or slices whose
            intensities mean different things; names the file.
    """
    check_size((len(frames), *frames[0].shape), str(frames[0].path.parent))
    _check_alike(frames)
    with np.errstate(over="ignore", invalid="ignore"):  # What overflows is refused as infinite.
        image = np.empty((len(frames), *frames[0].shape))
        for k, frame in enumerate(frames):
            image[k] = _rescaled(frame)
        window, problems = shared_window(frames)
        inverted = _is_inverted(frames[0])
        if inverted:
            mirror = float(image.max() + image.min())
            image = mirror - image
            window = _mirrored(window, mirror)
        image = image.astype(np.float32)
    pairs = tuple(sorted({_rescale(frame) or (1.0, 0.0) for frame in frames}))
    return Intensities(image, window, pairs, inverted, problems)


def _check_alike(frames: Sequence[Frame]) -> None:
    """Slices of one stack are all rescaled or none, and bright alike; slopes may differ."""
    for frame in frames:
        if (_rescale(frame) is None) != (_rescale(frames[0]) is None):
            raise InputError(
                f"{frame.path}: RescaleSlope and RescaleIntercept stand either here or in "
                f"{frames[0].name}, of the same stack: correct the header"
            )
        if _is_inverted(frame) != _is_inverted(frames[0]):
            raise InputError(
                f"{frame.path}: PhotometricInterpretation is another than in {frames[0].name} of "
                "the same stack: correct the header"
            )


def _is_inverted(frame: Frame) -> bool:
    return text(frame, "PhotometricInterpretation") == "MONOCHROME1"


def _rescaled(frame: Frame) -> Float64[np.ndarray, "height width"]:
    stored = _decode(frame)
    if "ModalityLUTSequence" in frame.header:
        try:
            with no_validation():
                return np.asarray(apply_modality_lut(stored, frame.header), np.float64)
        except PYDICOM_ERRORS as error:
            raise InputError(f"{frame.path}: cannot apply the modality LUT: correct it") from error
    slope, intercept = _rescale(frame) or (1.0, 0.0)
    return stored * slope + intercept


def _rescale(frame: Frame) -> tuple[float, float] | None:
    """Slope and intercept; None where the header has not both."""
    slope = numbers(frame.header, "RescaleSlope", 1, frame.path)
    intercept = numbers(frame.header, "RescaleIntercept", 1, frame.path)
    if slope is None or intercept is None:
        return None
    if slope[0] == 0:
        raise InputError(f"{frame.path}: RescaleSlope is 0, which wipes out the image: correct it")
    return float(slope[0]), float(intercept[0])


def shared_window(frames: Sequence[Frame]) -> tuple[Window | None, list[str]]:
    """One window that spans those of all planes, so that intensities stay comparable.

    Returns:
        The window, in the unit of rescaled values; None where no plane tells a usable one. Then
        problems.
    """
    windows = []
    for frame in frames:
        centre = first_number(frame.header, "WindowCenter", frame.path)
        width = first_number(frame.header, "WindowWidth", frame.path)
        if centre is not None and width is not None and 1 < width < _HUGE > abs(centre):
            windows.append((centre, width))
    if not windows:
        return None, []
    problems = []
    if len(windows) < len(frames):
        problems.append(f"{len(frames) - len(windows)} slices tell no usable window")
    name = text(frames[0], "VOILUTFunction").upper() or "LINEAR"
    if name not in _FUNCTIONS:
        problems.append("the header's VOILUTFunction is unknown, taken as LINEAR")
    function = _FUNCTIONS.get(name, "linear")
    if len(set(windows)) == 1:
        centre, width = windows[0]
        return Window(centre, width, function), problems
    low = min(centre - width / 2 for centre, width in windows)
    high = max(centre + width / 2 for centre, width in windows)
    return Window((low + high) / 2, high - low, function), problems


def _mirrored(window: Window | None, mirror: float) -> Window | None:
    """The window of ``mirror - image``."""
    if window is None:
        return None
    centre = mirror - window.low - window.high + window.centre
    return dataclasses.replace(window, centre=centre)


def _decode(frame: Frame) -> Shaped[np.ndarray, "height width"]:
    """Stored pixel values."""
    with warnings.catch_warnings(), no_validation():
        warnings.simplefilter("ignore")
        try:
            with open_dicom(frame.path) as file:
                stored = pixel_array(file, index=frame.index, **_encoding(file))
        except PYDICOM_ERRORS as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{frame.path}: cannot decode the pixels: truncated file, unsupported compression "
                "or incomplete header: copy it again or export it uncompressed"
            ) from error
    if stored.shape != frame.shape:
        raise InputError(f"{frame.path}: pixels do not fit Rows x Columns: export it again")
    return stored


def _encoding(file: io.BufferedReader) -> dict[str, Any]:
    """What `pixel_array` has to be told of a file that does not tell its encoding."""
    dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=["Rows"])
    file.seek(0)
    if "TransferSyntaxUID" in dataset.file_meta:
        return {}
    implicit, _ = dataset.original_encoding
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return {"transfer_syntax_uid": syntax}
