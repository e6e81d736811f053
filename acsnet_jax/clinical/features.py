"""Clinical features of a segmentation or of an expert's labels, in mL, g and fractions of 1.

The gray zone is the enhancement without its core. Volumes follow `acsnet_jax.clinical.volumes`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from acsnet_jax.clinical.scar import core_scar
from acsnet_jax.clinical.volumes import mass_g, volume_ml
from acsnet_jax.types import InputError, Label, Scan, Segmentation

Stack = Bool[np.ndarray, "slices height width"]


class Regions(NamedTuple):
    """The structures of one stack, all ``[slices, height, width]``.

    Attributes:
        lv: myocardium and blood pool.
        myocardium: viable and enhanced.
        blood_pool: the cavity with its papillary muscles.
        enhancement: inside the myocardium; None if it was not assessed.
        core: core scar, inside the enhancement; None if it was not assessed.
    """

    lv: Stack
    myocardium: Stack
    blood_pool: Stack
    enhancement: Stack | None
    core: Stack | None


class Features(NamedTuple):
    """Clinical features of one scan; ``_asdict()`` is ready for JSON.

    Attributes:
        lv_volume_ml: myocardium and blood pool.
        blood_pool_volume_ml: the cavity.
        myocardial_volume_ml: the LV wall.
        myocardial_mass_g: the wall at 1.05 g/mL.
        enhancement_volume_ml: gray zone and core; None if enhancement was not assessed.
        core_scar_volume_ml: core scar; None if enhancement was not assessed.
        gray_zone_volume_ml: enhancement without core; None if enhancement was not assessed.
        scar_fraction: enhancement over myocardium, in [0, 1]; None without either.
        core_fraction: core scar over myocardium, in [0, 1]; None without either.
        slices: number of slices of the stack.
        slices_used: number of slices on which there is any LV.
    """

    lv_volume_ml: float
    blood_pool_volume_ml: float
    myocardial_volume_ml: float
    myocardial_mass_g: float
    enhancement_volume_ml: float | None
    core_scar_volume_ml: float | None
    gray_zone_volume_ml: float | None
    scar_fraction: float | None
    core_fraction: float | None
    slices: int
    slices_used: int


def predicted_regions(segmentation: Segmentation) -> Regions:
    """What the cascade found."""
    return Regions(
        segmentation.lv,
        segmentation.myocardium,
        segmentation.blood_pool,
        segmentation.enhancement,
        segmentation.core,
    )


def reference_regions(scan: Scan) -> Regions:
    """What the expert drew, on labelled slices; core scar by FWHM of the drawn enhancement.

    Raises:
        InputError: the scan has no labelled slice.
    """
    if scan.labels is None or not scan.labelled.any():
        raise InputError(f"scan {scan.id}: no slice has expert labels to compare with: add them")
    labels = np.where(scan.labelled[:, None, None], scan.labels, np.uint8(Label.BACKGROUND))
    enhancement = core = None
    if scan.has_enhancement:
        enhancement = labels >= Label.ENHANCEMENT
        core = core_scar(scan, enhancement)
    return Regions(
        labels > Label.BACKGROUND,
        labels >= Label.MYOCARDIUM,
        labels == Label.BLOOD_POOL,
        enhancement,
        core,
    )


def scan_volume_ml(mask: Stack, scan: Scan) -> float:
    """Volume in mL of a mask on a scan's grid; see `acsnet_jax.clinical.volume_ml`.

    Raises:
        InputError: the stack has a single slice, or slices out of order; it names the scan.
    """
    try:
        return volume_ml(mask, scan.positions_mm, scan.spacing_mm)
    except InputError as error:
        raise InputError(f"scan {scan.id}: {error}") from error


def features(segmentation: Segmentation) -> Features:
    """Clinical features of a segmented scan, over all slices of its stack.

    Args:
        segmentation: what `acsnet_jax.pipeline.segment` returns.

    Returns:
        Volumes in mL, mass in g, fractions in [0, 1].

    Raises:
        InputError: the stack has a single slice, or slices out of order.

    References:
        Paper, Evaluation.
    """
    return _measure(predicted_regions(segmentation), segmentation.scan)


def reference_features(scan: Scan) -> Features:
    """Clinical features of the expert's labels; see `features`.

    Args:
        scan: a scan with labels; only its labelled slices count.

    Returns:
        Volumes in mL, mass in g, fractions in [0, 1]; None for enhancement if the expert did not
        tell it from viable myocardium.

    Raises:
        InputError: no slice is labelled, the stack has a single slice, or slices out of order.
    """
    return _measure(reference_regions(scan), scan)


def _measure(regions: Regions, scan: Scan) -> Features:
    wall_ml = scan_volume_ml(regions.myocardium, scan)
    scar_ml = core_ml = gray_ml = None
    if regions.enhancement is not None and regions.core is not None:
        scar_ml = scan_volume_ml(regions.enhancement, scan)
        core_ml = scan_volume_ml(regions.core, scan)
        gray_ml = scan_volume_ml(regions.enhancement & ~regions.core, scan)
    return Features(
        lv_volume_ml=scan_volume_ml(regions.lv, scan),
        blood_pool_volume_ml=scan_volume_ml(regions.blood_pool, scan),
        myocardial_volume_ml=wall_ml,
        myocardial_mass_g=mass_g(wall_ml),
        enhancement_volume_ml=scar_ml,
        core_scar_volume_ml=core_ml,
        gray_zone_volume_ml=gray_ml,
        scar_fraction=_share(scar_ml, wall_ml),
        core_fraction=_share(core_ml, wall_ml),
        slices=len(regions.lv),
        slices_used=int(np.count_nonzero(regions.lv.any(axis=(1, 2)))),
    )


def _share(part_ml: float | None, whole_ml: float) -> float | None:
    return None if part_ml is None or whole_ml == 0 else part_ml / whole_ml
