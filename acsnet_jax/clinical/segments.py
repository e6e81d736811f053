"""The 17 segments of the left ventricle (AHA), on a short-axis stack; host side.

The slices with a cavity are divided into thirds of their length, basal, mid and apical; each slice
belongs to one, by its middle. Basal and mid slices have six segments of 60 degrees, apical ones
four of 90. The anterior insertion of the right ventricle lies between segments 1 and 2, and
segments are counted from there over the septum: 2 anteroseptal, 3 inferoseptal, and so on; the
apical septum is centred on the other two septal segments. Segment 17 is myocardium below the
cavity: short-axis stacks seldom cover it. Angles are about the LV's middle, from right over down.

References:
    Cerqueira et al., Circulation 105, 2002, "Standardized myocardial segmentation and nomenclature
    for tomographic imaging of the heart".
"""

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int, UInt8

from acsnet_jax.clinical.availability import NotAvailable, divided, lifted
from acsnet_jax.clinical.findings import (
    LOST,
    ONE_SLICE,
    Findings,
    Regions,
    samples,
    thickness,
    transmural,
)
from acsnet_jax.clinical.insertions import Insertions
from acsnet_jax.clinical.volumes import mass_g, stack_ends_mm
from acsnet_jax.clinical.wall import WallLines, angles_deg
from acsnet_jax.ops.host import fill_holes
from acsnet_jax.types import MaskStack, Scan

Level = Literal["apex", "apical", "mid", "basal"]
LEVELS: tuple[Level, ...] = get_args(Level)
SEGMENT_NAMES = (
    "basal anterior",
    "basal anteroseptal",
    "basal inferoseptal",
    "basal inferior",
    "basal inferolateral",
    "basal anterolateral",
    "mid anterior",
    "mid anteroseptal",
    "mid inferoseptal",
    "mid inferior",
    "mid inferolateral",
    "mid anterolateral",
    "apical anterior",
    "apical septal",
    "apical inferior",
    "apical lateral",
    "apex",
)
"""Of segments 1 to 17."""

# From the anterior insertion over the septum.
_ORDERS = {"basal": (2, 3, 4, 5, 6, 1), "mid": (8, 9, 10, 11, 12, 7), "apical": (14, 15, 16, 13)}
_APICAL_OFFSET_DEG = 15.0  # the apical septum is 90 degrees in the middle of 120
_NO_APEX = NotAvailable("the stack does not cover the true apex, myocardium below the cavity")
_NO_PIXELS = NotAvailable("no slice holds myocardium of this segment")


class SegmentFeatures(NamedTuple):
    """One segment; ``_asdict()`` is ready for JSON. None where ``not_available`` says why.

    Attributes:
        segment: 1 to 17.
        name: of the segment.
        volume_ml: of its myocardium.
        mass_g: of its myocardium.
        infarct_mass_g: of enhancement and no-reflow in it.
        infarct_fraction: of its myocardium, in [0, 1].
        wall_mean_mm: mean thickness of the wall.
        wall_min_mm: least thickness.
        wall_max_mm: greatest thickness.
        transmurality_mean: mean over all lines of the segment, in [0, 1].
        transmurality_max: of any line.
        wall_share_none: share of the segment's lines without scar.
        wall_share_1_25: share with scar through up to a quarter of the wall.
        wall_share_26_50: up to a half.
        wall_share_51_75: up to three quarters.
        wall_share_76_100: more.
        not_available: reasons by field.
    """

    segment: int
    name: str
    volume_ml: float | None
    mass_g: float | None
    infarct_mass_g: float | None
    infarct_fraction: float | None
    wall_mean_mm: float | None
    wall_min_mm: float | None
    wall_max_mm: float | None
    transmurality_mean: float | None
    transmurality_max: float | None
    wall_share_none: float | None
    wall_share_1_25: float | None
    wall_share_26_50: float | None
    wall_share_51_75: float | None
    wall_share_76_100: float | None
    not_available: dict[str, str]


class SegmentMap(NamedTuple):
    """Which segment each part of a wall belongs to.

    Attributes:
        pixels: ``[slices, height, width]``, segment of each pixel of the myocardium, 0 elsewhere.
        lines: of each slice's wall lines; None where it has none.
        levels: of each slice.
        insertions: the angular reference.
    """

    pixels: UInt8[np.ndarray, "slices height width"]
    lines: tuple[Int[np.ndarray, "_"] | None, ...]
    levels: tuple[Level | NotAvailable, ...]
    insertions: Insertions


def levels(regions: Regions, scan: Scan, findings: Findings) -> tuple[Level | NotAvailable, ...]:
    """The level of each slice, apex first; why a slice has none."""
    cavity = np.flatnonzero(
        regions.blood_pool.any(axis=(1, 2)) & regions.myocardium.any(axis=(1, 2)) | findings.lost
    )
    if isinstance(findings.extents_mm, NotAvailable):
        return (ONE_SLICE,) * len(scan.image)
    if not cavity.size:
        return (NotAvailable("no slice has myocardium around a cavity"),) * len(scan.image)
    first, last = cavity[0], cavity[-1]
    bottom, top = stack_ends_mm(scan.positions_mm, int(first), int(last))
    found: list[Level | NotAvailable] = []
    for index, position in enumerate(scan.positions_mm):
        if findings.lost[index]:
            found.append(LOST)
        elif not regions.myocardium[index].any():
            found.append(NotAvailable("no myocardium on this slice"))
        elif index < first:
            found.append("apex")
        elif index > last:
            found.append(NotAvailable("a slice without cavity above the last with one"))
        else:
            found.append(LEVELS[1 + min(int(3 * (position - bottom) / (top - bottom)), 2)])
    return tuple(found)


def segment_at(
    level: Level, angle_deg: Float[np.ndarray, "n"], insertions: Insertions
) -> Int[np.ndarray, "n"]:
    """Segments 1 to 17 in directions of a slice."""
    if level == "apex":
        return np.full(angle_deg.shape, 17)
    from_anterior = insertions.turn * (angle_deg - insertions.anterior_deg)
    order = np.array(_ORDERS[level])
    if level == "apical":
        from_anterior = from_anterior - _APICAL_OFFSET_DEG
    part = (from_anterior % 360 * len(order) / 360).astype(int) % len(order)
    return order[part]


def segment_map(
    regions: Regions, scan: Scan, findings: Findings, insertions: Insertions
) -> SegmentMap:
    """The segments of a stack."""
    pixels = np.zeros(scan.image.shape, np.uint8)
    lines: list[np.ndarray | None] = []
    of_slices = levels(regions, scan, findings)
    for index, level in enumerate(of_slices):
        wall, ways = regions.myocardium[index], findings.walls[index]
        if isinstance(level, NotAvailable):
            lines.append(None)
            continue
        lv = fill_holes(wall | regions.blood_pool[index])
        angles = angles_deg(np.stack(np.nonzero(wall)), lv, scan.spacing_mm)
        pixels[index][wall] = segment_at(level, angles, insertions)
        known = isinstance(ways, WallLines)
        lines.append(segment_at(level, ways.angle_deg, insertions) if known else None)
    return SegmentMap(pixels, tuple(lines), of_slices, insertions)


def segment_features(
    findings: Findings,
    scan: Scan,
    map_: SegmentMap | NotAvailable,
    *,
    scar: MaskStack | NotAvailable | None = None,
) -> tuple[SegmentFeatures, ...]:
    """The 17 segments, in their order.

    Args:
        findings: of the stack.
        scan: its geometry.
        map_: its segments, or why there are none.
        scar: what is measured as infarct; that of the findings if None.
    """
    infarct = findings.infarct if scar is None else scar
    return tuple(
        SegmentFeatures(segment, name, **divided(_one(findings, scan, map_, segment, infarct)))
        for segment, name in enumerate(SEGMENT_NAMES, start=1)
    )


def _absent(map_: SegmentMap, segment: int) -> NotAvailable:
    """Why a segment has no myocardium."""
    if map_.pixels.any():
        return _NO_APEX if segment == len(SEGMENT_NAMES) else _NO_PIXELS
    return next((one for one in map_.levels if isinstance(one, NotAvailable)), _NO_PIXELS)


def _one(
    findings: Findings,
    scan: Scan,
    map_: SegmentMap | NotAvailable,
    segment: int,
    infarct: MaskStack | NotAvailable,
) -> dict[str, Any]:
    part = lifted(lambda known: known.pixels == segment, map_)
    if not isinstance(map_, NotAvailable) and not part.any():
        part = _absent(map_, segment)
    volume_ml = findings.volume_ml(part, scan)
    scarred_ml = findings.volume_ml(lifted(lambda a, b: a & b, part, infarct), scan)
    given = []
    missing = part
    if not isinstance(part, NotAvailable) and not isinstance(map_, NotAvailable):
        missing = NotAvailable("the wall of this segment encloses no cavity on any slice")
        numbers = map_.lines

        def chosen(index: int, lines: WallLines) -> np.ndarray:
            of_slice = numbers[index]
            none = np.zeros(len(lines.angle_deg), bool)
            return none if of_slice is None else of_slice == segment

        given = samples(findings, infarct, chosen=chosen)
    return {
        "volume_ml": volume_ml,
        "mass_g": lifted(mass_g, volume_ml),
        "infarct_mass_g": lifted(mass_g, scarred_ml),
        "infarct_fraction": lifted(lambda a, b: a / b, scarred_ml, volume_ml),
        **thickness(given, missing),
        **(
            dict.fromkeys(transmural([], missing, infarct), part)
            if isinstance(part, NotAvailable)
            else transmural(given, missing, infarct)
        ),
    }
