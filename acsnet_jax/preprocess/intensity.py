"""Intensity steps before the networks: window, CLAHE, scaling of stages 1 and 2, histograms.

Host side, numpy. Images are ``[slices, height, width]`` (or one slice, ``[height, width]``) of any
intensity; each function says its own output range. "Inside" is every pixel that is not black space
added around the picture by padding.
"""

from typing import Literal

import numpy as np
import scipy.ndimage
import scipy.special
import skimage.exposure
from jaxtyping import Bool, Float, Float32, Shaped

from acsnet_jax.types import InputError, Window

Image = Shaped[np.ndarray, "*slices height width"]
Inside = Bool[np.ndarray, "*slices height width"]

Scaling = Literal["median", "literal", "percentile"]

_WHITE = 255.0


def apply_window(
    image: Float32[np.ndarray, "*slices height width"], window: Window | None
) -> Float32[np.ndarray, "*slices height width"]:
    """The intensities that a window shows, black at 0.

    Between black and white a unit stays a unit: half of the window is half of the range.

    Args:
        image: rescaled intensities, any range.
        window: None leaves the image as it is.

    Returns:
        From 0 to the window's width; a linear window of the standard ends at width - 1.

    References:
        Paper, Data Source and Processing; DICOM PS3.3, C.11.2.1. Up to the scale it is
        `pydicom.pixels.processing.apply_windowing`.
    """
    if window is None:
        return image
    if window.function == "sigmoid":
        steepness = np.float32(4 / window.width)
        shown = scipy.special.expit(steepness * (image - np.float32(window.centre)))
        return np.float32(window.width) * shown
    return np.clip(image - np.float32(window.low), 0, np.float32(window.high - window.low))


def inside_picture(image: Image) -> Inside:
    """Pixels that are not black padding.

    Padding is what is exactly 0 and reaches the border of its slice through 4-connected zeros.
    A dark pixel within the picture stays inside. A slice of zeros alone is all padding.

    Args:
        image: intensities, any range.
    """
    black = np.pad(_as_stack(image) == 0, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    outside = np.zeros_like(black)
    outside[:, [0, -1], :] = True
    outside[:, :, [0, -1]] = True
    within_slice = scipy.ndimage.generate_binary_structure(3, 1)
    within_slice[[0, 2]] = False
    outside = scipy.ndimage.binary_propagation(outside, structure=within_slice, mask=black)
    return np.logical_not(outside)[:, 1:-1, 1:-1].reshape(image.shape)


def clahe(
    image: Image,
    *,
    clip_limit: float = 0.01,
    kernel_size: int | tuple[int, int] | None = None,
    inside: Inside | None = None,
) -> Float32[np.ndarray, "*slices height width"]:
    """Contrast-limited adaptive histogram equalisation of each slice by itself, to [0, 1].

    Args:
        image: intensities, any range. Each slice is first scaled to [0, 1] by its own minimum and
            maximum; a constant slice becomes 0.
        clip_limit: share of a tile's pixels at which its histogram is clipped; higher is more
            contrast. The default is scikit-image's.
        kernel_size: height and width of a tile in pixels; None is an eighth of the slice.
        inside: pixels that are not padding; the others do not widen the range and become 0. All
            pixels if None.

    References:
        Paper, Stage 1; Pizer et al. 1987. Each slice is that of
        `skimage.exposure.equalize_adapthist`.
    """
    stack = _as_stack(image)
    within = np.ones(stack.shape, bool) if inside is None else _as_stack(inside)
    result = np.zeros(stack.shape, np.float32)
    for k, (picture, mask) in enumerate(zip(stack, within, strict=True)):
        scaled = _stretch(picture, mask, 1.0)
        if scaled.any():
            equalised = skimage.exposure.equalize_adapthist(
                scaled, kernel_size=kernel_size, clip_limit=clip_limit
            )
            result[k] = np.where(mask, equalised, 0)
    return result.reshape(image.shape)


def scale_slice(image: Image, inside: Inside) -> Float32[np.ndarray, "*slices height width"]:
    """Stage-1 scaling: each slice to [0, 255] by its own minimum and maximum inside the picture.

    Args:
        image: intensities, any range; every slice is scaled by itself.
        inside: pixels that are not padding. Padding becomes 0, and so does a constant slice.

    References:
        Paper, Stage 1: "excluding the added black space".
    """
    result = np.stack(
        [
            _stretch(picture, mask, _WHITE)
            for picture, mask in zip(_as_stack(image), _as_stack(inside), strict=True)
        ]
    )
    return result.astype(np.float32).reshape(image.shape)


def scale_volume(
    image: Image,
    region: Bool[np.ndarray, "*slices height width"],
    *,
    mode: Scaling = "median",
) -> Float32[np.ndarray, "*slices height width"]:
    """Stage-2 scaling: the whole volume to [0, 255] by one minimum and one median.

    With m the median and min the minimum over the region D, "median" is
    ``clip(255 (I - min) / (2 m - min), 0, 255)``, so that m lands near 127 when min is near 0.
    "literal" is the sequence as the paper prints it: I / (2 m), then min-max over D to [0, 255],
    then clip; the min-max cancels the division. "percentile" takes the 1st and 99th percentile of D
    to 0 and 255: for phase-sensitive images, whose zero is no absence of signal, the other two
    leave little contrast, and how little differs between patients.

    Args:
        image: intensities of the whole volume.
        region: D, the effective region of the LV crop in the whole volume.
        mode: which of the three.

    Raises:
        InputError: D is empty, or its intensities give no positive denominator.

    References:
        Paper, Stage 2; design, section 4.
    """
    if not region.any():
        raise InputError(
            "stage-2 scaling: the region D is empty; check that stage 1 found an LV in this scan"
        )
    values = image[region].astype(np.float64)
    low, median, high = float(values.min()), float(np.median(values)), float(values.max())
    volume = image.astype(np.float64)
    if mode == "median":
        _require_positive(2 * median - low, "2 median - minimum", low, median, high)
        scaled = _WHITE * (volume - low) / (2 * median - low)
    elif mode == "percentile":
        low, high = (float(value) for value in np.percentile(values, (1, 99)))
        _require_positive(high - low, "99th - 1st percentile", low, median, high)
        scaled = _WHITE * (volume - low) / (high - low)
    else:
        _require_positive(median, "median", low, median, high)
        _require_positive(high - low, "maximum - minimum", low, median, high)
        halved = volume / (2 * median)
        first, last = low / (2 * median), high / (2 * median)
        scaled = _WHITE * (halved - first) / (last - first)
    return np.clip(scaled, 0, _WHITE).astype(np.float32)


def match_histogram(
    image: Image,
    reference: Shaped[np.ndarray, "*reference_slices reference_height reference_width"],
    *,
    inside: Inside | None = None,
    reference_inside: Bool[np.ndarray, "*reference_slices reference_height reference_width"]
    | None = None,
) -> Float32[np.ndarray, "*slices height width"]:
    """Give a whole volume the histogram of another, keeping the order of intensities.

    Args:
        image: intensities, any range.
        reference: the volume whose intensities are wanted; its shape may differ.
        inside: pixels of ``image`` that are not padding; the others become 0. All if None.
        reference_inside: pixels of ``reference`` that count. All if None.

    Returns:
        Intensities in the range of the counted pixels of the reference.

    Raises:
        InputError: no pixel of the image or of the reference counts.

    References:
        Paper, figure 4 (5); `skimage.exposure.match_histograms`.
    """
    within = np.ones(image.shape, bool) if inside is None else inside
    wanted = reference if reference_inside is None else reference[reference_inside]
    if not within.any() or not wanted.size:
        raise InputError(
            "histogram matching: no pixel lies inside; check the padding of both scans"
        )
    result = np.zeros(image.shape, np.float32)
    result[within] = skimage.exposure.match_histograms(image[within], wanted.ravel())
    return result


def _as_stack(array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "slices height width"]:
    return array.reshape(-1, *array.shape[-2:])


def _stretch(
    picture: Shaped[np.ndarray, "height width"],
    inside: Bool[np.ndarray, "height width"],
    top: float,
) -> Float[np.ndarray, "height width"]:
    """One slice to [0, top] by its range inside; 0 outside and where there is no range."""
    scaled = np.zeros(picture.shape)
    if not inside.any():
        return scaled
    values = picture[inside].astype(np.float64)
    low, high = values.min(), values.max()
    if high > low:
        scaled[inside] = top * ((values - low) / (high - low))
    return scaled


def _require_positive(value: float, name: str, low: float, median: float, high: float) -> None:
    if not value > 0:
        raise InputError(
            f"stage-2 scaling: {name} over D is {value:g} (minimum {low:g}, median {median:g}, "
            f"maximum {high:g}); shift the scan's intensities so that they are not negative"
        )
