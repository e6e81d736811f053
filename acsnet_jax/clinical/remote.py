"""Remote myocardium: the healthy part of the wall that scar is compared with; host side.

On each slice it is the contiguous sector of the wall that is free of enhancement, with a margin,
and darkest on average: healthy myocardium is nulled in late enhancement. The outermost and the
innermost pixels of the wall are left out, since they share blood or fat. Sectors of all slices make
up one sample, as thresholds are taken over the whole scan. Stacks are
``Bool[slices, height, width]``.

References:
    Kramer et al., J Cardiovasc Magn Reson 22, 2020 (SCMR): remote myocardium is a region without
    enhancement and without artefacts. Flett et al., JACC Cardiovasc Imaging 4, 2011.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from acsnet_jax.clinical.availability import NotAvailable
from acsnet_jax.clinical.wall import angles_deg
from acsnet_jax.ops.host import Slice, fill_holes
from acsnet_jax.types import InputError, MaskStack, Spacing

SECTOR_DEG = 60.0
_TURN_DEG = 10  # from one sector that is tried to the next
_MARGIN_PX = 1  # kept from enhancement and from the outlines
_LEAST_PIXELS = 8  # of a sector, to have a mean
_LEAST_SAMPLE = 30  # of all sectors, to have a spread


class Remote(NamedTuple):
    """Remote myocardium of a scan.

    Attributes:
        mask: its pixels, ``[slices, height, width]``.
        mean: of their intensities.
        sd: standard deviation of their intensities, above 0.
        basis: whether it was found or given.
    """

    mask: MaskStack
    mean: float
    sd: float
    basis: Literal["found", "given"]


def find_remote(
    image: Float[np.ndarray, "slices height width"],
    myocardium: MaskStack,
    spacing_mm: Spacing,
    *,
    enhancement: MaskStack | None = None,
    sector_deg: float = SECTOR_DEG,
) -> Remote | NotAvailable:
    """The healthiest contiguous sector of each slice, outside of the enhancement.

    Args:
        image: intensities of the scan, not windowed.
        myocardium: the wall.
        spacing_mm: (row, column) distance of pixel centres.
        enhancement: predicted or drawn; None where none is known.
        sector_deg: width of a sector, seen from the LV's middle.

    Returns:
        Remote myocardium; why there is none.
    """
    marked = np.zeros_like(myocardium) if enhancement is None else enhancement
    mask = np.stack(
        [
            _darkest_sector(picture, wall, scar, spacing_mm, sector_deg)
            for picture, wall, scar in zip(image, myocardium, marked, strict=True)
        ]
    )
    if not mask.any():
        return NotAvailable(
            f"no sector of {sector_deg:.0f} degrees of the wall is free of enhancement: give "
            "remote myocardium"
        )
    return _sampled(image, mask, "found")


def given_remote(
    image: Float[np.ndarray, "slices height width"], mask: Bool[np.ndarray, "..."]
) -> Remote | NotAvailable:
    """Remote myocardium that a reader drew.

    Args:
        image: intensities of the scan, not windowed.
        mask: what was drawn.

    Raises:
        InputError: nothing was drawn, or on another grid.
    """
    if mask.shape != image.shape:
        raise InputError(
            f"remote myocardium of shape {mask.shape} for a scan of {image.shape}: draw it on the "
            "scan's own grid"
        )
    if not mask.any():
        raise InputError("remote myocardium is empty: draw it, or let it be found")
    return _sampled(image, mask, "given")


def _sampled(
    image: Float[np.ndarray, "slices height width"],
    mask: MaskStack,
    basis: Literal["found", "given"],
) -> Remote | NotAvailable:
    values = image[mask].astype(np.float64)
    if values.size < _LEAST_SAMPLE:
        return NotAvailable(f"remote myocardium has {values.size} pixels, {_LEAST_SAMPLE} needed")
    if not np.ptp(values):
        return NotAvailable("remote myocardium is of one intensity: its spread is 0")
    return Remote(mask, float(values.mean()), float(values.std()), basis)


def _darkest_sector(
    image: Float[np.ndarray, "height width"],
    wall: Slice,
    scar: Slice,
    spacing_mm: Spacing,
    sector_deg: float,
) -> Slice:
    """Remote myocardium of one slice; empty without a sector that will do."""
    none = np.zeros_like(wall)
    inner = np.asarray(ndimage.binary_erosion(wall, iterations=_MARGIN_PX), bool)
    if not inner.any():
        return none
    near = wall & np.asarray(ndimage.binary_dilation(scar, iterations=_MARGIN_PX), bool)
    lv = fill_holes(wall)
    pixels, scarred = (_degrees(mask, lv, spacing_mm) for mask in (inner, near))
    values = image[inner].astype(np.float64)
    best, sector = np.inf, None
    for start in range(0, 360, _TURN_DEG):
        if np.any((scarred - start) % 360 < sector_deg):
            continue
        here = (pixels - start) % 360 < sector_deg
        if here.sum() >= _LEAST_PIXELS and values[here].mean() < best:
            best, sector = values[here].mean(), here
    if sector is not None:
        none[inner] = sector
    return none


def _degrees(mask: Slice, lv: Slice, spacing_mm: Spacing) -> Float[np.ndarray, "pixels"]:
    return angles_deg(np.stack(np.nonzero(mask)), lv, spacing_mm)
