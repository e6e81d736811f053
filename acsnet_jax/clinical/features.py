"""Clinical features of a segmentation or of an expert's labels, in mL, g, mm and fractions of 1.

The infarct is the enhancement with its no-reflow, which is found in the picture and reported apart;
the gray zone is the enhancement without core and no-reflow. What cannot be measured is None, and
``not_available`` says why. Papillary muscles count as blood pool, as the networks were taught.
Volumes follow `acsnet_jax.clinical.volumes`, the wall `acsnet_jax.clinical.wall`.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from acsnet_jax.clinical.availability import NotAvailable, divided, lifted
from acsnet_jax.clinical.findings import (
    NO_INFARCT,
    NO_LV,
    NO_MYOCARDIUM,
    NOT_ASSESSED,
    ONE_SLICE,
    Findings,
    Regions,
    find,
    samples,
    thickness,
    transmural,
)
from acsnet_jax.clinical.scar import core_scar
from acsnet_jax.clinical.volumes import mass_g, piece_volumes_ml, volume_ml
from acsnet_jax.ops.host import holes
from acsnet_jax.types import InputError, Label, MaskStack, Route, Scan, Segmentation

_NO_RING = NotAvailable("no slice has a wall that encloses a cavity")
_END_LOST = NotAvailable("the slice at an end of the LV was lost")
_CUT_AT_BASE = "the stack ends in closed myocardium: the base is not covered, its part is missing"
_CUT_AT_APEX = "the stack begins with a cavity: the apex is not covered, its part is missing"


class Features(NamedTuple):
    """Clinical features of one scan; ``_asdict()`` is ready for JSON.

    Attributes:
        lv_volume_ml: myocardium and blood pool.
        blood_pool_volume_ml: the cavity.
        myocardial_volume_ml: the LV wall.
        myocardial_mass_g: the wall at 1.05 g/mL.
        enhancement_volume_ml: gray zone and core; None if enhancement was not assessed.
        core_scar_volume_ml: core scar; None if enhancement was not assessed.
        gray_zone_volume_ml: enhancement without core and no-reflow; None if enhancement was not
            assessed.
        scar_fraction: enhancement over myocardium, in [0, 1]; None without either.
        core_fraction: core scar over myocardium, in [0, 1]; None without either.
        slices: number of slices of the stack.
        slices_used: number of slices on which there is any LV.
        infarct_volume_ml: enhancement and no-reflow.
        infarct_mass_g: the same.
        infarct_fraction: the same over the mass of the myocardium, in [0, 1].
        enhancement_mass_g: of the enhancement.
        core_scar_mass_g: of the core.
        gray_zone_mass_g: of the gray zone.
        gray_zone_fraction: over the mass of the myocardium, in [0, 1].
        no_reflow_volume_ml: dark cores of the infarct.
        no_reflow_mass_g: the same.
        no_reflow_fraction: over the mass of the myocardium, in [0, 1].
        scar_components: pieces of the infarct; they touch across slices, diagonally too.
        scar_component_volumes_ml: of each, largest first.
        largest_scar_ml: of the largest.
        wall_mean_mm: mean thickness of the wall, over slices that enclose a cavity.
        wall_min_mm: least thickness, to a pixel.
        wall_max_mm: greatest thickness.
        wall_slices: number of slices whose wall was measured.
        transmurality_mean: of the infarct, over all of the wall, in [0, 1].
        transmurality_max: of any line through the wall.
        wall_share_none: share of the wall without infarct.
        wall_share_1_25: share with infarct through up to a quarter of the wall.
        wall_share_26_50: up to a half.
        wall_share_51_75: up to three quarters.
        wall_share_76_100: more.
        lv_length_mm: of the slices with any LV; None if the stack ends within it.
        notes: what a reader should know, one line each.
        not_available: the reason by the name of each field that is None.
    """

    lv_volume_ml: float | None
    blood_pool_volume_ml: float | None
    myocardial_volume_ml: float | None
    myocardial_mass_g: float | None
    enhancement_volume_ml: float | None
    core_scar_volume_ml: float | None
    gray_zone_volume_ml: float | None
    scar_fraction: float | None
    core_fraction: float | None
    slices: int
    slices_used: int
    infarct_volume_ml: float | None
    infarct_mass_g: float | None
    infarct_fraction: float | None
    enhancement_mass_g: float | None
    core_scar_mass_g: float | None
    gray_zone_mass_g: float | None
    gray_zone_fraction: float | None
    no_reflow_volume_ml: float | None
    no_reflow_mass_g: float | None
    no_reflow_fraction: float | None
    scar_components: int | None
    scar_component_volumes_ml: tuple[float, ...] | None
    largest_scar_ml: float | None
    wall_mean_mm: float | None
    wall_min_mm: float | None
    wall_max_mm: float | None
    wall_slices: int | None
    transmurality_mean: float | None
    transmurality_max: float | None
    wall_share_none: float | None
    wall_share_1_25: float | None
    wall_share_26_50: float | None
    wall_share_51_75: float | None
    wall_share_76_100: float | None
    lv_length_mm: float | None
    notes: tuple[str, ...]
    not_available: dict[str, str]


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


def reference_no_reflow(scan: Scan) -> MaskStack | None:
    """No-reflow as the expert drew it, on labelled slices; None if enhancement was not told."""
    if scan.labels is None or not scan.has_enhancement:
        return None
    return (scan.labels == Label.NO_REFLOW) & scan.labelled[:, None, None]


def scan_volume_ml(mask: MaskStack, scan: Scan) -> float:
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
        Volumes in mL, mass in g, lengths in mm, fractions in [0, 1]; None where ``not_available``
        says why, as for every volume of a single slice.

    Raises:
        InputError: slices out of order.

    References:
        Paper, Evaluation. Schulz-Menger et al., J Cardiovasc Magn Reson 22, 2020 (SCMR).
    """
    regions, scan = predicted_regions(segmentation), segmentation.scan
    findings = find(regions, scan, no_reflow=segmentation.no_reflow, lost=lost_of(segmentation))
    return measured(regions, scan, findings)


def lost_of(segmentation: Segmentation) -> Bool[np.ndarray, "slices"]:
    """Slices for which nothing plausible was found, as the certificates say."""
    lost = np.zeros(len(segmentation.scan.image), bool)
    lost[[one.slice_index for one in segmentation.certificates if one.route is Route.LOST]] = True
    return lost


def reference_features(scan: Scan) -> Features:
    """Clinical features of the expert's labels; see `features`.

    Args:
        scan: a scan with labels; only its labelled slices count.

    Returns:
        As `features`, with no-reflow as it was drawn, not as the picture shows it; None for
        enhancement if the expert did not tell it from viable myocardium.

    Raises:
        InputError: no slice is labelled, or slices out of order.
    """
    regions = reference_regions(scan)
    return measured(regions, scan, find(regions, scan, no_reflow=reference_no_reflow(scan)))


def measured(regions: Regions, scan: Scan, findings: Findings) -> Features:
    """Clinical features of regions on whose findings they rest."""
    found = regions.lv.any()
    enhancement, core, gray = _parts(regions, findings)

    def ml(mask: MaskStack | NotAvailable) -> Any:
        return findings.volume_ml(mask, scan) if found else NO_LV

    wall_ml = ml(regions.myocardium)

    def share(part_ml: float | NotAvailable) -> Any:
        if isinstance(part_ml, NotAvailable) or isinstance(wall_ml, NotAvailable) or wall_ml:
            return lifted(lambda part, whole: part / whole, part_ml, wall_ml)
        return NO_MYOCARDIUM

    infarct_ml, no_reflow_ml = ml(findings.infarct), ml(findings.no_reflow)
    scar_ml, core_ml, gray_ml = ml(enhancement), ml(core), ml(gray)
    pieces = lifted(
        lambda mask, _: piece_volumes_ml(mask, scan.positions_mm, scan.spacing_mm),
        findings.infarct,
        findings.extents_mm,
    )
    given = samples(findings, findings.infarct)
    values = {
        "lv_volume_ml": ml(regions.lv),
        "blood_pool_volume_ml": ml(regions.blood_pool),
        "myocardial_volume_ml": wall_ml,
        "myocardial_mass_g": lifted(mass_g, wall_ml),
        "enhancement_volume_ml": scar_ml,
        "core_scar_volume_ml": core_ml,
        "gray_zone_volume_ml": gray_ml,
        "scar_fraction": share(scar_ml),
        "core_fraction": share(core_ml),
        "infarct_volume_ml": infarct_ml,
        "infarct_mass_g": lifted(mass_g, infarct_ml),
        "infarct_fraction": share(infarct_ml),
        "enhancement_mass_g": lifted(mass_g, scar_ml),
        "core_scar_mass_g": lifted(mass_g, core_ml),
        "gray_zone_mass_g": lifted(mass_g, gray_ml),
        "gray_zone_fraction": share(gray_ml),
        "no_reflow_volume_ml": no_reflow_ml,
        "no_reflow_mass_g": lifted(mass_g, no_reflow_ml),
        "no_reflow_fraction": share(no_reflow_ml),
        "scar_components": lifted(len, pieces),
        "scar_component_volumes_ml": pieces,
        "largest_scar_ml": lifted(lambda one: one[0] if one else NO_INFARCT, pieces),
        **thickness(given, _NO_RING if found else NO_LV),
        **transmural(given, _NO_RING if found else NO_LV, findings.infarct),
        "lv_length_mm": _length(regions, findings),
    }
    return Features(
        **divided(values),
        slices=len(regions.lv),
        slices_used=int(np.count_nonzero(regions.lv.any(axis=(1, 2)))),
        wall_slices=len(given),
        notes=_notes(regions, findings),
    )


def _parts(
    regions: Regions, findings: Findings
) -> tuple[MaskStack | NotAvailable, MaskStack | NotAvailable, MaskStack | NotAvailable]:
    """Enhancement, core, and gray zone without no-reflow."""
    if regions.enhancement is None or regions.core is None:
        return NOT_ASSESSED, NOT_ASSESSED, NOT_ASSESSED
    gray = regions.enhancement & ~regions.core
    if not isinstance(findings.no_reflow, NotAvailable):
        gray &= ~findings.no_reflow
    return regions.enhancement, regions.core, gray


def _ends(regions: Regions) -> list[str]:
    """At which ends the stack is cut."""
    ends = []
    if regions.blood_pool[0].any() and regions.myocardium[0].any():
        ends.append(_CUT_AT_APEX)
    if regions.blood_pool[-1].any() and holes(regions.myocardium[-1]).any():
        ends.append(_CUT_AT_BASE)
    return ends


def _length(regions: Regions, findings: Findings) -> Any:
    if isinstance(findings.extents_mm, NotAvailable):
        return ONE_SLICE
    used = np.flatnonzero(regions.lv.any(axis=(1, 2)) | findings.lost)
    if not used.size:
        return NO_LV
    if findings.lost[used[[0, -1]]].any():
        return _END_LOST
    ends = _ends(regions)
    if ends:
        return NotAvailable("; ".join(ends))
    return float(findings.extents_mm[used[0] : used[-1] + 1].sum())  # with slices left out between


def _notes(regions: Regions, findings: Findings) -> tuple[str, ...]:
    notes = _ends(regions)
    scarred = regions.enhancement is not None and regions.enhancement.any()
    if scarred and isinstance(findings.no_reflow, NotAvailable):
        notes.append(f"no-reflow is not in the infarct: {findings.no_reflow.reason}")
    if findings.lost.any():
        listed = ", ".join(str(index + 1) for index in np.flatnonzero(findings.lost))
        notes.append(f"volumes, masses and segments are without lost slices: {listed} (1: apex)")
    return tuple(notes)
