"""Everything that is measured on one segmentation: scan, slices, segments, and scar rules.

The infarct of the study is the predicted enhancement with its no-reflow. Beside it stand the rules
of `acsnet_jax.clinical.thresholds`, each with the same no-reflow, so that a reader sees how far the
burden depends on the rule and whether a decision would flip: 15% of the LV's mass, and segments
whose mean transmurality is above 50% and 75%. Host side.

References:
    Ibanez et al., J Am Coll Cardiol 74, 2019, consensus on endpoints of infarct trials: infarct in
    g and % of LV mass. Flett et al., JACC Cardiovasc Imaging 4, 2011: rules against each other. Kim
    et al., N Engl J Med 343, 2000: recovery by transmurality.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from acsnet_jax.clinical.availability import NotAvailable, divided, lifted
from acsnet_jax.clinical.features import (
    Features,
    lost_of,
    measured,
    predicted_regions,
)
from acsnet_jax.clinical.findings import (
    LOST,
    NO_INFARCT,
    NO_MYOCARDIUM,
    NOT_ASSESSED,
    Findings,
    Regions,
    covered,
    find,
    samples,
    thickness,
    transmural,
)
from acsnet_jax.clinical.insertions import Insertions, find_insertions, given_insertions
from acsnet_jax.clinical.intervals import COVERAGE, Calibration, Interval, intervals
from acsnet_jax.clinical.segments import (
    SegmentFeatures,
    SegmentMap,
    levels,
    segment_features,
    segment_map,
)
from acsnet_jax.clinical.thresholds import RULE_NAMES, ScarByRule, scar_by_rules
from acsnet_jax.clinical.volumes import MM3_PER_ML, areas_mm2, mass_g
from acsnet_jax.types import MaskStack, Scan, Segmentation

STUDY = "study"
STUDY_NAME = "predicted enhancement (used)"
LARGE_INFARCT = 0.15
"""Of the LV's mass, above which an infarct counts as large."""

_NO_WALL = NotAvailable("no slice has a wall that encloses a cavity")


class SliceFeatures(NamedTuple):
    """One slice; ``_asdict()`` is ready for JSON. None where ``not_available`` says why.

    Attributes:
        slice_index: from 0, apex first.
        position_mm: above the first slice, along the stack's normal.
        extent_mm: of the stack that the slice stands for.
        level: of the AHA's model.
        lv_area_mm2: myocardium and blood pool.
        blood_pool_area_mm2: the cavity.
        myocardial_area_mm2: the wall.
        myocardial_mass_g: the wall, through the slice's extent.
        enhancement_area_mm2: as predicted.
        core_scar_area_mm2: core of it.
        no_reflow_area_mm2: dark cores of the infarct.
        infarct_area_mm2: enhancement and no-reflow.
        infarct_mass_g: the same, through the slice's extent.
        infarct_fraction: of the slice's wall, in [0, 1].
        wall_mean_mm: mean thickness.
        wall_min_mm: least thickness.
        wall_max_mm: greatest thickness.
        transmurality_mean: over all lines of the wall, in [0, 1].
        transmurality_max: of any line.
        wall_share_none: share of the lines without infarct.
        wall_share_1_25: share with infarct through up to a quarter of the wall.
        wall_share_26_50: up to a half.
        wall_share_51_75: up to three quarters.
        wall_share_76_100: more.
        not_available: reasons by field.
    """

    slice_index: int
    position_mm: float
    extent_mm: float | None
    level: str | None
    lv_area_mm2: float | None
    blood_pool_area_mm2: float | None
    myocardial_area_mm2: float | None
    myocardial_mass_g: float | None
    enhancement_area_mm2: float | None
    core_scar_area_mm2: float | None
    no_reflow_area_mm2: float | None
    infarct_area_mm2: float | None
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


class RuleFeatures(NamedTuple):
    """Scar by one rule; ``_asdict()`` is ready for JSON. None where ``not_available`` says why.

    Attributes:
        rule: `STUDY` or a name of `acsnet_jax.clinical.thresholds.RULES`.
        name: for a reader.
        used: whether it is the one that the study uses everywhere else.
        threshold: intensity from which a pixel counts, in the unit of ``Scan.image``.
        volume_ml: of its infarct, no-reflow included.
        mass_g: the same.
        fraction: of the LV's mass, in [0, 1].
        over_15_percent: whether that is above 15%.
        wall_over_50: share of the wall whose transmurality is above 50%.
        wall_over_75: above 75%.
        segments_over_50: AHA segments whose mean transmurality is above 50%.
        segments_over_75: above 75%.
        not_available: reasons by field.
    """

    rule: str
    name: str
    used: bool
    threshold: float | None
    volume_ml: float | None
    mass_g: float | None
    fraction: float | None
    over_15_percent: bool | None
    wall_over_50: float | None
    wall_over_75: float | None
    segments_over_50: tuple[int, ...] | None
    segments_over_75: tuple[int, ...] | None
    not_available: dict[str, str]


class RuleSpread(NamedTuple):
    """How far the rules lie apart; ``_asdict()`` is ready for JSON.

    Attributes:
        lowest_fraction: of the LV's mass, by any rule.
        highest_fraction: by any rule.
        over_15_percent_flips: whether some rules see more than 15% and others do not.
        segments_flip_50: segments above 50% by some rules and not by others.
        segments_flip_75: above 75% by some rules and not by others.
        not_available: reasons by field.
    """

    lowest_fraction: float | None
    highest_fraction: float | None
    over_15_percent_flips: bool | None
    segments_flip_50: tuple[int, ...] | None
    segments_flip_75: tuple[int, ...] | None
    not_available: dict[str, str]


class Assessment(NamedTuple):
    """What is measured on one segmentation.

    Attributes:
        features: of the scan.
        slices: of each slice, apex first.
        segments: the 17 of the AHA.
        rules: the study's infarct, then each rule.
        spread: of the rules.
        intervals: around features, by their names.
        coverage: share of patients that they are to hold.
        insertions: the segments' angular reference.
        map: which segment each part of the wall belongs to.
        findings: walls, remote myocardium, no-reflow, infarct.
        masks: scar by each rule that can be used, with no-reflow; the study's under `STUDY`.
    """

    features: Features
    slices: tuple[SliceFeatures, ...]
    segments: tuple[SegmentFeatures, ...]
    rules: tuple[RuleFeatures, ...]
    spread: RuleSpread
    intervals: dict[str, Interval]
    coverage: float
    insertions: Insertions | NotAvailable
    map: SegmentMap | NotAvailable
    findings: Findings
    masks: dict[str, MaskStack]


def assess(
    segmentation: Segmentation,
    *,
    insertions_deg: tuple[float, float] | None = None,
    remote: Bool[np.ndarray, "..."] | None = None,
    calibration: Calibration | None = None,
) -> Assessment:
    """Everything that is measured on one segmentation.

    Args:
        segmentation: what `acsnet_jax.pipeline.segment` returns.
        insertions_deg: anterior and inferior insertion of the right ventricle as a reader marked
            them, about the LV's middle, from right over down; found if None.
        remote: remote myocardium as a reader drew it; found if None.
        calibration: of intervals, as the bundle has it.

    Raises:
        InputError: slices out of order, no septum between the insertions, or remote myocardium
            that is empty or on another grid.
    """
    scan, regions = segmentation.scan, predicted_regions(segmentation)
    findings = find(
        regions,
        scan,
        remote=remote,
        no_reflow=segmentation.no_reflow,
        lost=lost_of(segmentation),
    )
    insertions = (
        find_insertions(
            scan, regions.myocardium, regions.blood_pool, enhancement=regions.enhancement
        )
        if insertions_deg is None
        else given_insertions(*insertions_deg)
    )
    map_ = lifted(lambda known: segment_map(regions, scan, findings, known), insertions)
    masks, rules = _rules(regions, scan, findings, map_)
    features = measured(regions, scan, findings)
    return Assessment(
        features=features,
        slices=_slices(regions, scan, findings),
        segments=segment_features(findings, scan, map_),
        rules=rules,
        spread=_spread(rules),
        intervals=intervals(features, segmentation.spread, calibration),
        coverage=COVERAGE if calibration is None else calibration.coverage,
        insertions=insertions,
        map=map_,
        findings=findings,
        masks=masks,
    )


def _slices(regions: Regions, scan: Scan, findings: Findings) -> tuple[SliceFeatures, ...]:
    def areas(mask: MaskStack | NotAvailable | None) -> Any:
        if mask is None:
            return NOT_ASSESSED
        return lifted(lambda known: areas_mm2(known, scan.spacing_mm), mask)

    drawn = {
        "lv_area_mm2": areas(regions.lv),
        "blood_pool_area_mm2": areas(regions.blood_pool),
        "myocardial_area_mm2": areas(regions.myocardium),
        "enhancement_area_mm2": areas(regions.enhancement),
        "core_scar_area_mm2": areas(regions.core),
        "no_reflow_area_mm2": areas(findings.no_reflow),
        "infarct_area_mm2": areas(findings.infarct),
    }
    records = []
    for index, level in enumerate(levels(regions, scan, findings)):
        extent = lifted(lambda known, at=index: float(known[at]), findings.extents_mm)
        lost = bool(findings.lost[index])
        own = {
            name: LOST if lost else lifted(lambda known, at=index: float(known[at]), area)
            for name, area in drawn.items()
        }
        wall, infarct = own["myocardial_area_mm2"], own["infarct_area_mm2"]
        given = samples(findings, findings.infarct, slices=[index])
        lines = findings.walls[index]
        missing = lines if isinstance(lines, NotAvailable) else _NO_WALL
        missing = LOST if lost else missing
        values = {
            "extent_mm": extent,
            "level": level,
            **own,
            "myocardial_mass_g": lifted(_slab_g, wall, extent),
            "infarct_mass_g": lifted(_slab_g, infarct, extent),
            "infarct_fraction": lifted(
                lambda part, whole: part / whole if whole else NO_MYOCARDIUM, infarct, wall
            ),
            **thickness(given, missing),
            **transmural(given, missing, findings.infarct),
        }
        position = float(scan.positions_mm[index] - scan.positions_mm[0])
        records.append(SliceFeatures(index, position, **divided(values)))
    return tuple(records)


def _slab_g(area_mm2: float, extent_mm: float) -> float:
    return mass_g(area_mm2 * extent_mm / MM3_PER_ML)


def _rules(
    regions: Regions, scan: Scan, findings: Findings, map_: SegmentMap | NotAvailable
) -> tuple[dict[str, MaskStack], tuple[RuleFeatures, ...]]:
    """The masks of the rules that can be used, and the record of each."""
    names = {STUDY: STUDY_NAME, **RULE_NAMES}
    found: dict[str, ScarByRule | NotAvailable] = dict.fromkeys(RULE_NAMES, NOT_ASSESSED)
    if regions.enhancement is not None and regions.core is not None:
        found |= scar_by_rules(
            scan, regions.myocardium, regions.enhancement, regions.core, findings.remote
        )
    masks: dict[str, MaskStack | NotAvailable] = {STUDY: findings.infarct}
    thresholds: dict[str, Any] = {STUDY: NotAvailable("a network's probability, no intensity")}
    for rule, one in found.items():
        thresholds[rule] = lifted(lambda known: known.threshold, one)
        masks[rule] = lifted(lambda known: _with_no_reflow(known.mask, findings), one)
    wall_ml = findings.volume_ml(regions.myocardium, scan)
    records = tuple(
        RuleFeatures(
            rule,
            name,
            rule == STUDY,
            **divided(
                {
                    "threshold": thresholds[rule],
                    **_burden(masks[rule], wall_ml, scan, findings, map_),
                }
            ),
        )
        for rule, name in names.items()
    )
    usable = {rule: one for rule, one in masks.items() if not isinstance(one, NotAvailable)}
    return usable, records


def _with_no_reflow(mask: MaskStack, findings: Findings) -> MaskStack:
    known = not isinstance(findings.no_reflow, NotAvailable)
    return mask | findings.no_reflow if known else mask


def _burden(
    mask: MaskStack | NotAvailable,
    wall_ml: float | NotAvailable,
    scan: Scan,
    findings: Findings,
    map_: SegmentMap | NotAvailable,
) -> dict[str, Any]:
    volume_ml = findings.volume_ml(mask, scan)
    fraction = lifted(
        lambda part, whole: part / whole if whole else NO_MYOCARDIUM, volume_ml, wall_ml
    )
    through, weights = covered(samples(findings, mask))

    def wall_over(limit: float) -> Any:
        if isinstance(mask, NotAvailable):
            return mask
        return float(weights[through > limit].sum() / weights.sum()) if weights.size else _NO_WALL

    segments = lifted(
        lambda known, parts: segment_features(findings, scan, parts, scar=known), mask, map_
    )

    def segments_over(limit: float) -> Any:
        return lifted(lambda known: _segments_over(known, limit), segments)

    return {
        "volume_ml": volume_ml,
        "mass_g": lifted(mass_g, volume_ml),
        "fraction": fraction,
        "over_15_percent": lifted(lambda known: known > LARGE_INFARCT, fraction),
        "wall_over_50": wall_over(0.5),
        "wall_over_75": wall_over(0.75),
        "segments_over_50": segments_over(0.5),
        "segments_over_75": segments_over(0.75),
    }


def _segments_over(
    segments: Sequence[SegmentFeatures], limit: float
) -> tuple[int, ...] | NotAvailable:
    """Segments whose mean transmurality exceeds a limit, of those in which it is known."""
    unknown = [
        one.not_available["transmurality_mean"]
        for one in segments
        if one.transmurality_mean is None
    ]
    without_scar = NO_INFARCT.reason in unknown
    if len(unknown) == len(segments) and not without_scar:
        return NotAvailable(unknown[0])
    return tuple(
        one.segment
        for one in segments
        if one.transmurality_mean is not None and one.transmurality_mean > limit
    )


def _spread(rules: Sequence[RuleFeatures]) -> RuleSpread:
    """How far apart the rules are that can be used; not available with fewer than two."""

    def over_rules(field: str, measure: Any) -> Any:
        known = [getattr(one, field) for one in rules if getattr(one, field) is not None]
        if len(known) >= 2:
            return measure(known)
        reasons = [one.not_available[field] for one in rules if field in one.not_available]
        return NotAvailable(reasons[-1])

    def flips(sets: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        each = [frozenset(one) for one in sets]
        return tuple(sorted(frozenset.union(*each) - frozenset.intersection(*each)))

    return RuleSpread(
        **divided(
            {
                "lowest_fraction": over_rules("fraction", min),
                "highest_fraction": over_rules("fraction", max),
                "over_15_percent_flips": over_rules(
                    "over_15_percent", lambda known: len(set(known)) > 1
                ),
                "segments_flip_50": over_rules("segments_over_50", flips),
                "segments_flip_75": over_rules("segments_over_75", flips),
            }
        )
    )


def json_of(assessment: Assessment) -> dict[str, Any]:
    """All numbers of an assessment, ready for JSON; the features stand at the top."""
    reference = assessment.insertions
    remote = assessment.findings.remote
    features = assessment.features._asdict()
    large = over_15_percent(assessment)
    if large is None:
        why = {"infarct_over_15_percent": "no interval"}
        features["not_available"] = {**features["not_available"], **why}
    return {
        **features,
        "segments": [one._asdict() for one in assessment.segments],
        "slice_features": [one._asdict() for one in assessment.slices],
        "scar_rules": [one._asdict() for one in assessment.rules],
        "scar_rule_spread": assessment.spread._asdict(),
        "intervals": {name: one._asdict() for name, one in assessment.intervals.items()},
        "intervals_coverage": assessment.coverage,
        "infarct_over_15_percent": large,
        "rv_insertions": _described(reference, ("anterior_deg", "inferior_deg", "basis")),
        "remote_myocardium": {
            **_described(remote, ("mean", "sd", "basis")),
            "pixels": 0 if isinstance(remote, NotAvailable) else int(np.sum(remote.mask)),
        },
    }


def over_15_percent(assessment: Assessment) -> str | None:
    """Whether the infarct is above 15% of the LV's mass, by its interval.

    Returns:
        "yes", "no", or "open" where the interval holds 15%; None without an interval.
    """
    interval = assessment.intervals.get("infarct_fraction")
    if interval is None:
        return None
    if interval.low <= LARGE_INFARCT < interval.high:
        return "open"
    return "yes" if interval.low > LARGE_INFARCT else "no"


def _described(value: Any, names: Sequence[str]) -> dict[str, Any]:
    if isinstance(value, NotAvailable):
        return divided(dict.fromkeys(names, value))
    return divided({name: getattr(value, name) for name in names})
