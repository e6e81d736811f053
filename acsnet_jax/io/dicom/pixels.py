"""Pixels of DICOM planes: decoded, rescaled, windowed; ``[slices, height, width]``, any range."""

import pathlib
import warnings
from collections.abc import Sequence

import numpy as np
import pydicom
from jaxtyping import Float32, Float64
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from acsnet_jax.io.dicom.headers import PYDICOM_ERRORS, Frame, no_validation, size, text
from acsnet_jax.types import InputError


def intensities(
    frames: Sequence[Frame], *, window: bool
) -> tuple[Float32[np.ndarray, "slices height width"], dict]:
    """Rescaled and windowed intensities, and what was done to them."""
    values = []
    for frame in frames:
        stored = _decode(frame)
        with no_validation():
            if "ModalityLUTSequence" in frame.header:
                values.append(np.asarray(apply_modality_lut(stored, frame.header), np.float64))
                continue
        slope, intercept = _rescale(frame)
        values.append(stored * slope + intercept)
    image = np.stack(values)
    pairs = sorted({_rescale(frame) for frame in frames})
    done: dict = {"rescale": [list(pair) for pair in pairs], "window": None, "problems": []}
    if window:
        image = _windowed(image, frames, done)
    if text(frames[0], "PhotometricInterpretation") == "MONOCHROME1":
        image = image.max() + image.min() - image
        done["inverted"] = True
    with np.errstate(over="ignore"):  # What overflows is refused as infinite.
        return image.astype(np.float32), done


def _rescale(frame: Frame) -> tuple[float, float]:
    """Slope and intercept; (1, 0) where the header has none."""
    slope, intercept = _pair(frame, "RescaleSlope", "RescaleIntercept", (1.0, 0.0))
    if slope == 0:
        raise InputError(f"{frame.path}: RescaleSlope is 0, which wipes out the image: correct it")
    return slope, intercept


def _windowed(
    image: Float64[np.ndarray, "slices height width"], frames: Sequence[Frame], done: dict
) -> Float64[np.ndarray, "slices height width"]:
    windows = [_pair(frame, "WindowCenter", "WindowWidth", (0.0, 0.0)) for frame in frames]
    windows = [(centre, width) for centre, width in windows if width > 1]
    if not windows:
        return image
    if len(windows) < len(frames):
        done["problems"].append(f"{len(frames) - len(windows)} slices tell no usable window")
    # DICOM PS3.3 C.11.2.1.2: a linear window spans centre - 0.5 -+ (width - 1) / 2.
    low = min(centre - 0.5 - (width - 1) / 2 for centre, width in windows)
    high = max(centre - 0.5 + (width - 1) / 2 for centre, width in windows)
    display = Dataset()
    with no_validation():
        for keyword in ("BitsStored", "PhotometricInterpretation", "VOILUTFunction"):
            if keyword in frames[0].header:
                setattr(display, keyword, frames[0].header[keyword].value)
        # Display values start at 0 whatever the sign of the stored ones: half of the maximum must
        # mean something to whoever thresholds there.
        display.PixelRepresentation = 0
        width = high - low + 1
        display.WindowWidth = width
        display.WindowCenter = low + 0.5 + (width - 1) / 2
        done["window"] = [float(display.WindowCenter), float(display.WindowWidth)]
        return np.asarray(apply_voi_lut(image, display, prefer_lut=False), np.float64)


def _pair(
    frame: Frame, first: str, second: str, default: tuple[float, float]
) -> tuple[float, float]:
    """The first value of two attributes that belong together."""
    if first not in frame.header or second not in frame.header:
        return default
    try:
        a = np.atleast_1d(np.asarray(frame.header.get(first), float))
        b = np.atleast_1d(np.asarray(frame.header.get(second), float))
    except (TypeError, ValueError) as error:
        raise InputError(f"{frame.path}: {first} is not a number: correct the header") from error
    if not (a.size and b.size and np.isfinite(a[0]) and np.isfinite(b[0])):
        return default
    return float(a[0]), float(b[0])


def _decode(frame: Frame) -> np.ndarray:
    """Stored pixel values, ``[height, width]``."""
    with warnings.catch_warnings(), no_validation():
        warnings.simplefilter("ignore")
        try:
            stored = pixel_array(_pixel_source(frame.path), index=frame.index)
        except PYDICOM_ERRORS as error:
            raise InputError(
                f"{frame.path}: cannot decode the pixels: truncated file, unsupported compression "
                "or incomplete header: copy it again or export it uncompressed"
            ) from error
    if stored.shape != size(frame):
        raise InputError(f"{frame.path}: pixels do not fit Rows x Columns: export it again")
    return stored


def _pixel_source(path: pathlib.Path) -> pathlib.Path | Dataset:
    """The file or, if it does not tell its encoding, its data set with the encoding filled in."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    if "TransferSyntaxUID" in dataset.file_meta:
        return path
    dataset = pydicom.dcmread(path, force=True)
    implicit, _ = dataset.original_encoding
    dataset.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )
    return dataset
