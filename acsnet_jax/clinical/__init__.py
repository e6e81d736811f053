"""Scar, wall, volumes and clinical features in physical units.

- `GateLimits`: beyond which a segmentation is to be looked at.
- `Judgement`: accepted, to be looked at, or rejected, and why.
- `Signs`: what tells how far to trust a segmentation.
- `expected_dice`: from probabilities.
- `fit_gate`: limits from patients whom the networks never saw.
- `judge`: the verdict.
- `measure_signs`: of a segmentation.
- `Features`: clinical features of one scan.
- `Regions`: the structures of one stack.
- `features`: of a segmentation.
- `predicted_regions`: of a segmentation.
- `reference_features`: of an expert's labels.
- `reference_no_reflow`: of them, what is no-reflow.
- `reference_regions`: of an expert's labels.
- `scan_volume_ml`: of a mask on a scan.
- `Assessment`: all that is measured on one segmentation.
- `RuleFeatures`: scar by one rule of intensity.
- `RuleSpread`: how far the rules lie apart.
- `SegmentFeatures`: one segment of the AHA's model.
- `SliceFeatures`: one slice.
- `assess`: a segmentation.
- `json_of`: an assessment, ready for JSON.
- `over_15_percent`: whether the interval of an infarct decides that.
- `STUDY`: the name of the study's own rule.
- `SEGMENT_NAMES`: of the AHA's 17 segments.
- `NotAvailable`: why something could not be measured.
- `Findings`: what the measurements of a stack rest on.
- `find`: them.
- `Calibration`: what intervals rest on.
- `COVERAGE`: share of patients that they are to hold.
- `INTERVAL_FIELDS`: features that have one.
- `Interval`: where the expert's number is to be expected.
- `IntervalCase`: one patient to calibrate on.
- `Scale`: how a spread becomes an interval.
- `calibration_from`: JSON.
- `draw_values`: the numbers of one draw.
- `fit_calibration`: from patients whom the networks never saw.
- `interval_case`: of a segmentation.
- `intervals`: around the features of a scan.
- `spread_of`: the numbers of draws.
- `with_fractions`: volumes with what follows from them.
- `Insertions`: of the right ventricle.
- `Septum`: the arc between them.
- `find_insertions`: in the picture of an oriented scan.
- `find_septum`: in any picture.
- `given_insertions`: as a reader marked them.
- `Remote`: remote myocardium.
- `find_remote`: the healthiest sector of each slice.
- `find_no_reflow`: dark cores of an infarct.
- `RULES`: rules of intensity.
- `RULE_NAMES`: for a reader.
- `ScarByRule`: scar as one of them sees it.
- `scar_by_rules`: as all of them do.
- `WallLines`: field lines through the wall of a slice.
- `wall_lines`: them.
- `transmurality`: of scar along them.
- `Burden`: what a patient's marked scar amounts to.
- `Element`: of an erosion.
- `ScarRule`: what of a predicted enhancement is scar, and whether a patient has any.
- `burden`: of marked scar.
- `clean_scar`: a rule on single slices.
- `mark_scar`: a rule on a stack of probabilities.
- `told_no_reflow`: what of a network's no-reflow belongs to a scar.
- `clean_enhancement`: without rim and specks.
- `core_scar`: by the rule of the scan's intensities.
- `fwhm_core`: by half of the maximum.
- `n_sd_core`: by deviations from remote myocardium.
- `scar_moved_mm3`: scar that a correction moves across the wall's border.
- `areas_mm2`: of each slice.
- `mass_g`: of a volume of myocardium.
- `slice_extents_mm`: how much of the stack each slice stands for.
- `volume_ml`: of areas and extents.
"""

from acsnet_jax.clinical.assessment import (
    STUDY,
    Assessment,
    RuleFeatures,
    RuleSpread,
    SliceFeatures,
    assess,
    json_of,
    over_15_percent,
)
from acsnet_jax.clinical.availability import NotAvailable
from acsnet_jax.clinical.features import (
    Features,
    features,
    predicted_regions,
    reference_features,
    reference_no_reflow,
    reference_regions,
    scan_volume_ml,
)
from acsnet_jax.clinical.findings import Findings, Regions, find
from acsnet_jax.clinical.gate import (
    GateLimits,
    Judgement,
    Signs,
    expected_dice,
    fit_gate,
    judge,
    measure_signs,
)
from acsnet_jax.clinical.insertions import (
    Insertions,
    Septum,
    find_insertions,
    find_septum,
    given_insertions,
)
from acsnet_jax.clinical.intervals import (
    COVERAGE,
    INTERVAL_FIELDS,
    Calibration,
    Interval,
    IntervalCase,
    Scale,
    calibration_from,
    draw_values,
    fit_calibration,
    interval_case,
    intervals,
    spread_of,
    with_fractions,
)
from acsnet_jax.clinical.no_reflow import find_no_reflow
from acsnet_jax.clinical.remote import Remote, find_remote
from acsnet_jax.clinical.scar import (
    Element,
    clean_enhancement,
    core_scar,
    fwhm_core,
    n_sd_core,
    scar_moved_mm3,
)
from acsnet_jax.clinical.scar_rule import (
    Burden,
    ScarRule,
    burden,
    clean_scar,
    mark_scar,
    told_no_reflow,
)
from acsnet_jax.clinical.segments import SEGMENT_NAMES, SegmentFeatures
from acsnet_jax.clinical.thresholds import RULE_NAMES, RULES, ScarByRule, scar_by_rules
from acsnet_jax.clinical.volumes import areas_mm2, mass_g, slice_extents_mm, volume_ml
from acsnet_jax.clinical.wall import WallLines, transmurality, wall_lines

__all__ = [
    "COVERAGE",
    "INTERVAL_FIELDS",
    "RULES",
    "RULE_NAMES",
    "SEGMENT_NAMES",
    "STUDY",
    "Assessment",
    "Burden",
    "Calibration",
    "Element",
    "Features",
    "Findings",
    "GateLimits",
    "Insertions",
    "Interval",
    "IntervalCase",
    "Judgement",
    "NotAvailable",
    "Regions",
    "Remote",
    "RuleFeatures",
    "RuleSpread",
    "Scale",
    "ScarByRule",
    "ScarRule",
    "SegmentFeatures",
    "Septum",
    "Signs",
    "SliceFeatures",
    "WallLines",
    "areas_mm2",
    "assess",
    "burden",
    "calibration_from",
    "clean_enhancement",
    "clean_scar",
    "core_scar",
    "draw_values",
    "expected_dice",
    "features",
    "find",
    "find_insertions",
    "find_no_reflow",
    "find_remote",
    "find_septum",
    "fit_calibration",
    "fit_gate",
    "fwhm_core",
    "given_insertions",
    "interval_case",
    "intervals",
    "json_of",
    "judge",
    "mark_scar",
    "mass_g",
    "measure_signs",
    "n_sd_core",
    "over_15_percent",
    "predicted_regions",
    "reference_features",
    "reference_no_reflow",
    "reference_regions",
    "scan_volume_ml",
    "scar_by_rules",
    "scar_moved_mm3",
    "slice_extents_mm",
    "spread_of",
    "told_no_reflow",
    "transmurality",
    "volume_ml",
    "wall_lines",
    "with_fractions",
]
