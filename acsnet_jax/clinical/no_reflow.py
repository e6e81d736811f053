"""No-reflow (microvascular obstruction): the dark core of an infarct, found in the picture; host.

Contrast agent does not reach it, so that it is as dark as healthy myocardium, but it is closed in
by enhancement and the blood pool or the epicardium. It belongs to the infarct. What was marked as
enhancement may hold it or spare it: both are looked at. Stacks are ``Bool[slices, height, width]``.

References:
    Schulz-Menger et al., J Cardiovasc Magn Reson 22, 2020 (SCMR post-processing): no-reflow zones
    are included in the infarct and reported apart.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from acsnet_jax.clinical.remote import Remote
from acsnet_jax.ops.host import Slice, component_sizes, fill_holes, label_components
from acsnet_jax.types import MaskStack, Spacing

_DARK_SD = 2.0  # above remote, below which nothing is enhanced
_CROSS = ndimage.generate_binary_structure(2, 1)
_SQUARE = ndimage.generate_binary_structure(2, 2)


def find_no_reflow(
    image: Float[np.ndarray, "slices height width"],
    myocardium: MaskStack,
    enhancement: MaskStack,
    remote: Remote,
    spacing_mm: Spacing,
    *,
    min_area_mm2: float = 10.0,
) -> MaskStack:
    """Dark cores of an infarct, inside the myocardium; also outside of the given enhancement.

    A core is a 4-connected piece that is darker than remote myocardium and two of its standard
    deviations, and from which no viable myocardium is reached without crossing enhancement. What
    touches endocardium and epicardium both is a piece of healthy wall between two scars, and so is
    what is larger than the enhancement of its slice, or lies along more than half of the
    epicardium. Where the wall encloses no cavity, scar has to surround a core altogether.

    Args:
        image: intensities of the scan, not windowed.
        myocardium: the wall.
        enhancement: with or without its dark core.
        remote: remote myocardium of the scan.
        spacing_mm: (row, column) distance of pixel centres.
        min_area_mm2: of a core on a slice.
    """
    dark = image < remote.mean + _DARK_SD * remote.sd
    least = min_area_mm2 / (spacing_mm[0] * spacing_mm[1])
    return np.stack(
        [
            _dark_cores(black, wall, scar & wall, least)
            for black, wall, scar in zip(dark, myocardium, enhancement, strict=True)
        ]
    )


def beside_scar(dark: MaskStack, enhancement: MaskStack) -> MaskStack:
    """What a network calls no-reflow, but for pieces of a slice that touch no enhancement.

    Args:
        dark: inside the myocardium.
        enhancement: with or without it.
    """
    return np.stack(
        [
            np.isin(pieces, _beside(pieces, scar))
            for pieces, scar in zip(
                (label_components(one, connectivity=8) for one in dark), enhancement, strict=True
            )
        ]
    )


def _dark_cores(dark: Slice, wall: Slice, scar: Slice, least: float) -> Slice:
    infarct = scar | _closed_in(wall, scar)
    viable = wall & ~infarct
    pieces = label_components(infarct & dark, connectivity=4)
    sizes = component_sizes(pieces)
    open_pieces = np.unique(pieces[np.asarray(ndimage.binary_dilation(viable, _SQUARE), bool)])
    kept = np.flatnonzero(sizes >= least) + 1
    return np.isin(pieces, np.setdiff1d(kept, open_pieces))


def _closed_in(wall: Slice, scar: Slice) -> Bool[np.ndarray, "height width"]:
    """Myocardium that scar cuts off from the rest, but for whole pieces and rims of the wall."""
    pieces = label_components(wall & ~scar, connectivity=4)
    sizes = component_sizes(pieces)
    full = fill_holes(wall)
    cavity, outside = full & ~wall, ~full
    open_to = np.intersect1d(_beside(pieces, cavity), _beside(pieces, outside))
    if not cavity.any():  # an open wall, or none around a cavity: both sides are outside
        open_to = _beside(pieces, outside)
    border = wall & np.asarray(ndimage.binary_dilation(outside, _CROSS), bool)
    on_border = np.bincount(pieces[border], minlength=len(sizes) + 1)[1:]
    rims = np.flatnonzero(on_border > border.sum() / 2) + 1
    small = np.flatnonzero(sizes <= scar.sum()) + 1
    cut_off = np.setdiff1d(_beside(pieces, scar), np.union1d(open_to, rims))
    return np.isin(pieces, np.intersect1d(cut_off, small))


def _beside(pieces: np.ndarray, mask: Slice) -> np.ndarray:
    """Numbers of the pieces that touch a mask."""
    found = np.unique(pieces[np.asarray(ndimage.binary_dilation(mask, _CROSS), bool)])
    return found[found > 0]
