"""Scar, volumes and clinical features in physical units.

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
- `reference_regions`: of an expert's labels.
- `scan_volume_ml`: of a mask on a scan.
- `Burden`: what a patient's marked scar amounts to.
- `Element`: of an erosion.
- `ScarRule`: what of a predicted enhancement is scar, and whether a patient has any.
- `burden`: of marked scar.
- `clean_scar`: a rule on single slices.
- `mark_scar`: a rule on a stack of probabilities.
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

from acsnet_jax.clinical.features import (
    Features,
    Regions,
    features,
    predicted_regions,
    reference_features,
    reference_regions,
    scan_volume_ml,
)
from acsnet_jax.clinical.gate import (
    GateLimits,
    Judgement,
    Signs,
    expected_dice,
    fit_gate,
    judge,
    measure_signs,
)
from acsnet_jax.clinical.scar import (
    Element,
    clean_enhancement,
    core_scar,
    fwhm_core,
    n_sd_core,
    scar_moved_mm3,
)
from acsnet_jax.clinical.scar_rule import Burden, ScarRule, burden, clean_scar, mark_scar
from acsnet_jax.clinical.volumes import areas_mm2, mass_g, slice_extents_mm, volume_ml

__all__ = [
    "Burden",
    "Element",
    "Features",
    "GateLimits",
    "Judgement",
    "Regions",
    "ScarRule",
    "Signs",
    "areas_mm2",
    "burden",
    "clean_enhancement",
    "clean_scar",
    "core_scar",
    "expected_dice",
    "features",
    "fit_gate",
    "fwhm_core",
    "judge",
    "mark_scar",
    "mass_g",
    "measure_signs",
    "n_sd_core",
    "predicted_regions",
    "reference_features",
    "reference_regions",
    "scan_volume_ml",
    "scar_moved_mm3",
    "slice_extents_mm",
    "volume_ml",
]
