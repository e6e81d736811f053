"""What all measurements of one stack rest on: walls, remote myocardium, no-reflow, infarct.

Also the summaries of the wall's lines that a scan, a slice and a segment share. Lengths are in mm,
shares and transmurality in [0, 1]. Stacks are ``[slices, height, width]``; host side.

References:
    Kim et al., N Engl J Med 343, 2000: quarters of transmurality, and the mean over a segment.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64

from acsnet_jax.clinical.availability import NotAvailable, lifted
from acsnet_jax.clinical.no_reflow import find_no_reflow
from acsnet_jax.clinical.remote import Remote, find_remote, given_remote
from acsnet_jax.clinical.volumes import slice_extents_mm, volume_ml
from acsnet_jax.clinical.wall import WallLines, transmurality, wall_lines
from acsnet_jax.types import InputError, MaskStack, Scan

NOT_ASSESSED = NotAvailable("enhancement was not assessed")
NO_INFARCT = NotAvailable("no enhancement was found")
NO_LV = NotAvailable("no left ventricle was found")
NO_MYOCARDIUM = NotAvailable("no myocardium was found")
ONE_SLICE = NotAvailable("a single slice has no extent through plane")
LOST = NotAvailable("the slice was lost: nothing plausible was found for it")
QUARTERS = ("none", "1_25", "26_50", "51_75", "76_100")
"""Classes of transmurality in percent, as the fields ``wall_share_*`` are called."""

_TOLERANCE = 1e-9  # a half of the wall is of the second quarter


class Regions(NamedTuple):
    """The structures of one stack, all ``[slices, height, width]``.

    Attributes:
        lv: myocardium and blood pool.
        myocardium: viable and enhanced.
        blood_pool: the cavity with its papillary muscles.
        enhancement: inside the myocardium; None if it was not assessed.
        core: core scar, inside the enhancement; None if it was not assessed.
    """

    lv: MaskStack
    myocardium: MaskStack
    blood_pool: MaskStack
    enhancement: MaskStack | None
    core: MaskStack | None


class Findings(NamedTuple):
    """What is found on a stack before anything is counted.

    Attributes:
        walls: field lines of each slice's wall, or why there are none.
        remote: remote myocardium.
        no_reflow: dark cores of the infarct, inside the myocardium.
        infarct: enhancement with its no-reflow; without where that could not be looked for.
        extents_mm: how much of the stack each slice stands for.
        lost: slices of the heart for which nothing plausible was found.
    """

    walls: tuple[WallLines | NotAvailable, ...]
    remote: Remote | NotAvailable
    no_reflow: MaskStack | NotAvailable
    infarct: MaskStack | NotAvailable
    extents_mm: Float64[np.ndarray, "slices"] | NotAvailable
    lost: Bool[np.ndarray, "slices"]

    def volume_ml(self, mask: MaskStack | NotAvailable, scan: Scan) -> Any:
        """Volume of a mask; not available if the mask is not, or on a single slice."""
        return lifted(
            lambda known, _: volume_ml(known, scan.positions_mm, scan.spacing_mm),
            mask,
            self.extents_mm,
        )


def find(
    regions: Regions,
    scan: Scan,
    *,
    remote: Bool[np.ndarray, "..."] | None = None,
    no_reflow: MaskStack | None = None,
    lost: Bool[np.ndarray, "slices"] | None = None,
) -> Findings:
    """Everything that the measurements of a stack rest on.

    Args:
        regions: its structures.
        scan: its image and geometry.
        remote: remote myocardium as a reader drew it; found if None.
        no_reflow: as a reader drew it, or a network, inside the enhancement; found if None.
        lost: slices of the heart for which nothing plausible was found; none if None.

    Raises:
        InputError: slices out of order, or remote myocardium that is empty or on another grid.
    """
    walls = tuple(wall_lines(mask, scan.spacing_mm) for mask in regions.myocardium)
    if remote is not None:
        healthy = given_remote(scan.image, remote)
    elif regions.myocardium.any():
        healthy = find_remote(
            scan.image, regions.myocardium, scan.spacing_mm, enhancement=regions.enhancement
        )
    else:
        healthy = NO_MYOCARDIUM
    dark: MaskStack | NotAvailable = NOT_ASSESSED
    infarct: MaskStack | NotAvailable = NOT_ASSESSED
    if regions.enhancement is not None and not regions.lv.any():
        dark = infarct = NO_LV
    elif regions.enhancement is not None:
        drawn = no_reflow is not None
        dark = no_reflow if drawn else _no_reflow(regions, regions.enhancement, scan, healthy)
        infarct = regions.enhancement
        if not isinstance(dark, NotAvailable):
            infarct = infarct | dark
    lost = np.zeros(len(scan.image), bool) if lost is None else lost
    return Findings(walls, healthy, dark, infarct, _extents(scan), lost)


def _no_reflow(
    regions: Regions, enhancement: MaskStack, scan: Scan, remote: Remote | NotAvailable
) -> MaskStack | NotAvailable:
    """Dark cores in the picture; bright scar is none, however bright remote myocardium is."""
    if not enhancement.any():
        return NO_INFARCT
    if isinstance(remote, NotAvailable):
        return remote
    found = find_no_reflow(scan.image, regions.myocardium, enhancement, remote, scan.spacing_mm)
    return found if regions.core is None else found & ~regions.core


def _extents(scan: Scan) -> Float64[np.ndarray, "slices"] | NotAvailable:
    if len(scan.image) == 1:
        return ONE_SLICE
    try:
        return slice_extents_mm(scan.positions_mm)
    except InputError as error:
        raise InputError(f"scan {scan.id}: {error}") from error


class Sample(NamedTuple):
    """Lines of one slice, or of a part of one, that are summarised with others.

    Attributes:
        lines: of the slice.
        scar: of the slice.
        chosen: which lines.
        weight: mm of the stack that the slice stands for.
    """

    lines: WallLines
    scar: Bool[np.ndarray, "height width"] | None
    chosen: Bool[np.ndarray, "lines"]
    weight: float


def samples(
    findings: Findings,
    scar: MaskStack | NotAvailable,
    *,
    chosen: Callable[[int, WallLines], Bool[np.ndarray, "lines"]] | None = None,
    slices: Sequence[int] | None = None,
) -> list[Sample]:
    """The lines of the slices that have any.

    Args:
        findings: of a stack.
        scar: what transmurality is taken of.
        chosen: index of a slice and its lines, to which of them count; all if None.
        slices: which slices count; all if None.
    """
    found = []
    for index in range(len(findings.walls)) if slices is None else slices:
        lines = findings.walls[index]
        if isinstance(lines, NotAvailable):
            continue
        which = np.ones(len(lines.angle_deg), bool) if chosen is None else chosen(index, lines)
        extents = findings.extents_mm
        weight = 1.0 if isinstance(extents, NotAvailable) else float(extents[index])
        marked = None if isinstance(scar, NotAvailable) else scar[index]
        found.append(Sample(lines, marked, which, weight))
    return found


def thickness(given: Sequence[Sample], missing: NotAvailable) -> dict[str, Any]:
    """``wall_mean_mm``, ``wall_min_mm`` and ``wall_max_mm``; each line counts by its surface."""
    names = ("wall_mean_mm", "wall_min_mm", "wall_max_mm")
    values, weights = _pooled(given, lambda one: one.lines.thickness_mm)
    if not values.size:
        return dict.fromkeys(names, missing)
    numbers = np.average(values, weights=weights), values.min(), values.max()
    return {name: float(value) for name, value in zip(names, numbers, strict=True)}


def transmural(
    given: Sequence[Sample], missing: NotAvailable, scar: MaskStack | NotAvailable
) -> dict[str, Any]:
    """``transmurality_mean``, ``transmurality_max`` and ``wall_share_*`` of `QUARTERS`.

    Lines without scar count as 0 in the mean. Not available in a heart without scar.
    """
    names = ("transmurality_mean", "transmurality_max", *(f"wall_share_{q}" for q in QUARTERS))
    if not isinstance(scar, NotAvailable) and not scar.any():
        scar = NO_INFARCT
    values, weights = covered(given)
    if isinstance(scar, NotAvailable) or not values.size:
        return dict.fromkeys(names, scar if isinstance(scar, NotAvailable) else missing)
    quarter = np.ceil(4 * values - _TOLERANCE).astype(int)
    shares = np.bincount(quarter, weights=weights, minlength=5) / weights.sum()
    numbers = (np.average(values, weights=weights), values.max(), *shares)
    return {name: float(value) for name, value in zip(names, numbers, strict=True)}


def covered(
    given: Sequence[Sample],
) -> tuple[Float[np.ndarray, "lines"], Float[np.ndarray, "lines"]]:
    """Transmurality of each line, and the surface in mm^2 that it stands for."""
    return _pooled([one for one in given if one.scar is not None], _transmurality)


def _transmurality(one: Sample) -> Float[np.ndarray, "lines"]:
    assert one.scar is not None
    return transmurality(one.lines, one.scar)


def _pooled(
    given: Sequence[Sample], measure: Callable[[Sample], Float[np.ndarray, "lines"]]
) -> tuple[Float[np.ndarray, "lines"], Float[np.ndarray, "lines"]]:
    values = [measure(one)[one.chosen] for one in given]
    weights = [
        np.full(len(part), one.weight * one.lines.spacing_mm)
        for part, one in zip(values, given, strict=True)
    ]
    empty = np.zeros(0)
    return np.concatenate([empty, *values]), np.concatenate([empty, *weights])
