"""Scar by the rules of intensity that are in use, side by side; on the host.

Every rule marks the pixels of a region from its threshold on, and pieces of a slice below a minimum
area are dropped. The region is the wall near the predicted enhancement, as a reader outlines where
half a maximum is taken; or the whole wall. `RULES` are, with S for the zero of the signal:

- ``fwhm_paper``: halfway from S to the maximum of the cleaned enhancement, inside of it (the core);
- ``fwhm_brightest``: halfway from S to the maximum of the enhancement;
- ``fwhm_remote``: halfway from the mean of remote myocardium to that maximum;
- ``fwhm_remote_p95``: halfway to the 95th percentile instead, which noise does not set;
- ``sd_2`` to ``sd_6``: mean of remote myocardium and so many of its standard deviations;
- ``otsu``: the threshold that parts the intensities of the wall best into two classes.

Phase-sensitive images hold an offset, see `acsnet_jax.clinical.scar`. Stacks are
``[slices, height, width]``.

References:
    Flett et al., JACC Cardiovasc Imaging 4, 2011, compares n-SD, FWHM and manual reading. Amado et
    al., J Am Coll Cardiol 44, 2004 (FWHM); Bondarenko et al., J Cardiovasc Magn Reson 7, 2005
    (n-SD); Otsu, IEEE Trans. Systems, Man, and Cybernetics 9, 1979.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from acsnet_jax.clinical.availability import NotAvailable
from acsnet_jax.clinical.remote import Remote
from acsnet_jax.ops.host import component_sizes, label_components
from acsnet_jax.types import MaskStack, Scan, Spacing

RULE_NAMES: dict[str, str] = {
    "fwhm_paper": "FWHM, core of the paper",
    "fwhm_brightest": "FWHM of the brightest scar",
    "fwhm_remote": "FWHM, remote to brightest",
    "fwhm_remote_p95": "FWHM, remote to 95th percentile",
    "sd_2": "2 SD above remote",
    "sd_3": "3 SD above remote",
    "sd_4": "4 SD above remote",
    "sd_5": "5 SD above remote",
    "sd_6": "6 SD above remote",
    "otsu": "Otsu",
}
RULES: tuple[str, ...] = tuple(RULE_NAMES)
NO_ENHANCEMENT = NotAvailable("no enhancement was found to measure near")
NEAR_MM = 3.0
"""How far from the predicted enhancement scar is looked for."""


class ScarByRule(NamedTuple):
    """Scar as one rule sees it.

    Attributes:
        rule: its name.
        threshold: from which intensity, in the unit of ``Scan.image``.
        mask: ``[slices, height, width]``.
    """

    rule: str
    threshold: float
    mask: MaskStack


def scar_by_rules(
    scan: Scan,
    myocardium: MaskStack,
    enhancement: MaskStack,
    core: MaskStack,
    remote: Remote | NotAvailable,
    *,
    near_mm: float | None = NEAR_MM,
    min_area_mm2: float = 10.0,
) -> dict[str, ScarByRule | NotAvailable]:
    """Scar by every rule.

    Args:
        scan: its image, spacing and, if its intensities have an offset, ``signal_zero``.
        myocardium: the wall.
        enhancement: predicted or drawn, in which the peak is looked for.
        core: the paper's core of it.
        remote: remote myocardium.
        near_mm: how far from the enhancement scar is looked for; None looks at the whole wall.
        min_area_mm2: a piece of a slice is kept from this area on.

    Returns:
        By rule, in the order of `RULES`: what it marks, or why it cannot be used.
    """
    enhancement = enhancement & myocardium
    if not enhancement.any():
        return dict.fromkeys(RULES, NO_ENHANCEMENT)
    region = myocardium if near_mm is None else _near(myocardium, enhancement, scan, near_mm)
    results: dict[str, ScarByRule | NotAvailable] = {}
    for rule, threshold in _thresholds(scan, myocardium, enhancement, remote).items():
        if isinstance(threshold, NotAvailable):
            results[rule] = threshold
        elif rule == "fwhm_paper":
            results[rule] = ScarByRule(rule, threshold, core)
        else:
            marked = without_specks(
                region & (scan.image >= threshold), scan.spacing_mm, min_area_mm2
            )
            results[rule] = ScarByRule(rule, threshold, marked)
    return results


def without_specks(mask: MaskStack, spacing_mm: Spacing, min_area_mm2: float) -> MaskStack:
    """A mask without the 8-connected pieces of a slice that are below an area."""
    least = min_area_mm2 / (spacing_mm[0] * spacing_mm[1])
    kept = np.zeros_like(mask)
    for index, marked in enumerate(mask):
        pieces = label_components(marked)
        kept[index] = np.isin(pieces, np.flatnonzero(component_sizes(pieces) >= least) + 1)
    return kept


def _thresholds(
    scan: Scan, myocardium: MaskStack, enhancement: MaskStack, remote: Remote | NotAvailable
) -> dict[str, float | NotAvailable]:
    scar = scan.image[enhancement].astype(np.float64)
    wall = scan.image[myocardium].astype(np.float64)
    zero = 0.0 if scan.signal_zero is None else scan.signal_zero
    peak = float(scar.max())

    def beside_remote(
        level: Callable[[Remote], float | NotAvailable],
    ) -> float | NotAvailable:
        return remote if isinstance(remote, NotAvailable) else level(remote)

    def half_way(top: float) -> float | NotAvailable:
        return beside_remote(
            lambda healthy: (
                0.5 * (healthy.mean + top)
                if top > healthy.mean
                else NotAvailable("the enhancement is no brighter than remote myocardium")
            )
        )

    def deviations(n: int) -> float | NotAvailable:
        return beside_remote(lambda healthy: healthy.mean + n * healthy.sd)

    half: float | NotAvailable = 0.5 * (peak + zero)
    if peak <= zero:
        half = NotAvailable("the enhancement holds no signal")
    flat = NotAvailable("the wall is of one intensity")
    return {
        "fwhm_paper": half,
        "fwhm_brightest": half,
        "fwhm_remote": half_way(peak),
        "fwhm_remote_p95": half_way(float(np.percentile(scar, 95))),
        "sd_2": deviations(2),
        "sd_3": deviations(3),
        "sd_4": deviations(4),
        "sd_5": deviations(5),
        "sd_6": deviations(6),
        "otsu": float(threshold_otsu(wall)) if np.ptp(wall) else flat,
    }


def _near(myocardium: MaskStack, enhancement: MaskStack, scan: Scan, near_mm: float) -> MaskStack:
    """The part of the wall within a distance of the enhancement, slice by slice."""
    near = np.zeros_like(myocardium)
    for index in np.flatnonzero(enhancement.any(axis=(1, 2))):
        away = ndimage.distance_transform_edt(~enhancement[index], sampling=scan.spacing_mm)
        near[index] = np.asarray(away) <= near_mm
    return myocardium & near
