"""Enhancement, core scar and gray zone of a stack, on the host.

Masks are ``Bool[slices, height, width]``, apex first; intensities are those of ``Scan.image``,
rescaled and never windowed (a window cuts the peak that is halved), in any unit. Thresholds are
taken over the whole scan, morphology works in plane, since slices lie too far apart to be
neighbours.

Half a maximum has a meaning only on a scale whose zero is no signal. Phase-sensitive inversion
recovery is often stored with an offset (2048 of 4095 in EMIDEC): there half of the stored maximum
lies below all myocardium, and every enhanced pixel would be core. A reader that knows the offset
says so in ``Scan.signal_zero``; without it zero is zero, as the paper reads.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy import ndimage

from acsnet_jax.clinical.volumes import areas_mm2
from acsnet_jax.ops.host import component_sizes, label_components
from acsnet_jax.types import InputError, Scan, Spacing

Element = Literal["cross", "square"]
"""Structuring element of an erosion, 3x3."""

# The 3x3 ellipse of the paper is a cross: an inscribed disc leaves the corners out.
_ELEMENTS = {
    "cross": ndimage.generate_binary_structure(2, 1),
    "square": ndimage.generate_binary_structure(2, 2),
}


def clean_enhancement(
    enhancement: Bool[np.ndarray, "slices height width"],
    spacing_mm: Spacing,
    *,
    erosions: int = 1,
    element: Element = "cross",
    max_components: int = 5,
    min_area_mm2: float = 10.0,
) -> Bool[np.ndarray, "slices height width"]:
    """Rid a predicted enhancement of its uncertain rim and of specks.

    The steps are the paper's; the minimum area it leaves open, and its components are taken on each
    slice, as its networks see one slice at a time.

    Args:
        enhancement: predicted enhancement.
        spacing_mm: (row, column) distance of pixel centres in mm.
        erosions: number of erosions; 0 keeps the rim.
        element: of the erosions: the 3x3 ellipse, which is a cross, or the 3x3 square.
        max_components: how many 8-connected components a slice keeps, largest first.
        min_area_mm2: a component is kept if its area is above this.

    Returns:
        The cleaned enhancement, inside the given one.

    References:
        Paper, Evaluation.
    """
    min_pixels = min_area_mm2 / (spacing_mm[0] * spacing_mm[1])
    structure = _ELEMENTS[element]
    return np.stack(
        [
            _clean_slice(mask, erosions, structure, max_components, min_pixels)
            for mask in enhancement
        ]
    )


def _clean_slice(
    mask: Bool[np.ndarray, "height width"],
    erosions: int,
    structure: np.ndarray,
    max_components: int,
    min_pixels: float,
) -> Bool[np.ndarray, "height width"]:
    if erosions:
        mask = np.asarray(ndimage.binary_erosion(mask, structure, iterations=erosions), bool)
    labels = label_components(mask)
    pixels = component_sizes(labels)
    largest_first = np.argsort(-pixels, kind="stable")[:max_components]
    kept = [index + 1 for index in largest_first if pixels[index] > min_pixels]
    return np.isin(labels, kept)


def fwhm_core(
    image: Float[np.ndarray, "slices height width"],
    enhancement: Bool[np.ndarray, "slices height width"],
    *,
    signal_zero: float = 0.0,
) -> Bool[np.ndarray, "slices height width"]:
    """Core scar by full width at half maximum; the gray zone is the rest of the enhancement.

    Args:
        image: intensities of the scan.
        enhancement: enhancement of the whole scan: the expert's as drawn, a prediction cleaned.
        signal_zero: the intensity that stands for no signal.

    Returns:
        The pixels of the enhancement with at least half of the greatest intensity inside it, over
        the whole scan and above ``signal_zero``; nothing if there is no signal.

    References:
        Paper, Evaluation; Schmidt et al., Circulation 115, 2007.
    """
    if not enhancement.any():
        return np.zeros_like(enhancement)
    peak = float(image[enhancement].max())
    if peak <= signal_zero:
        return np.zeros_like(enhancement)
    return enhancement & (image >= 0.5 * (peak + signal_zero))


def core_scar(
    scan: Scan, enhancement: Bool[np.ndarray, "slices height width"]
) -> Bool[np.ndarray, "slices height width"]:
    """Core scar of a scan by FWHM, on the scale that its reader knows; see `fwhm_core`.

    Args:
        scan: its image and, if its intensities have an offset, ``signal_zero``.
        enhancement: enhancement of the whole scan: the expert's as drawn, a prediction cleaned.

    Returns:
        The core, inside the enhancement.
    """
    zero = 0.0 if scan.signal_zero is None else scan.signal_zero
    return fwhm_core(scan.image, enhancement, signal_zero=zero)


def scar_moved_mm3(
    enhancement: Bool[np.ndarray, "slices height width"],
    before: Bool[np.ndarray, "slices height width"],
    after: Bool[np.ndarray, "slices height width"],
    spacing_mm: Spacing,
    extents_mm: Float64[np.ndarray, "slices"],
) -> Float64[np.ndarray, "slices"]:
    """Volume of enhancement that a correction moved out of the myocardium or into it.

    Args:
        enhancement: before the correction, inside the myocardium or not.
        before: the myocardium as predicted.
        after: the myocardium as corrected.
        spacing_mm: (row, column) distance of pixel centres in mm.
        extents_mm: through plane, see `acsnet_jax.clinical.volumes.slice_extents_mm`.

    Returns:
        mm^3 of each slice, >= 0; 0 where the myocardium did not change.
    """
    return areas_mm2(enhancement & (before ^ after), spacing_mm) * extents_mm


def n_sd_core(
    image: Float[np.ndarray, "slices height width"],
    myocardium: Bool[np.ndarray, "slices height width"],
    remote: Bool[np.ndarray, "slices height width"],
    *,
    n: float = 5.0,
) -> Bool[np.ndarray, "slices height width"]:
    """Scar by n standard deviations above remote myocardium, the alternative to `fwhm_core`.

    Args:
        image: intensities of the scan.
        myocardium: where scar is looked for: the wall or the enhancement.
        remote: myocardium known to be healthy, for instance the wall without the enhancement.
        n: number of standard deviations; 2 to 6 are in use, 5 follows Bondarenko et al.

    Returns:
        The pixels of the myocardium above mean + n SD of the remote pixels over the whole scan.

    Raises:
        InputError: there is no remote myocardium to compare with.

    References:
        Bondarenko et al., J Cardiovasc Magn Reson 7, 2005.
    """
    if not remote.any():
        raise InputError("no remote myocardium to take a mean from: use the FWHM method")
    healthy = image[remote].astype(np.float64)
    return myocardium & (image > healthy.mean() + n * healthy.std())
