"""Scar, volumes and clinical features in physical units."""

from acsnet_jax.clinical.features import (
    Features,
    Regions,
    features,
    predicted_regions,
    reference_features,
    reference_regions,
    scan_volume_ml,
)
from acsnet_jax.clinical.scar import (
    clean_enhancement,
    core_scar,
    fwhm_core,
    n_sd_core,
    scar_moved_mm3,
)
from acsnet_jax.clinical.volumes import areas_mm2, mass_g, slice_extents_mm, volume_ml

__all__ = [
    "Features",
    "Regions",
    "areas_mm2",
    "clean_enhancement",
    "core_scar",
    "features",
    "fwhm_core",
    "mass_g",
    "n_sd_core",
    "predicted_regions",
    "reference_features",
    "reference_regions",
    "scan_volume_ml",
    "scar_moved_mm3",
    "slice_extents_mm",
    "volume_ml",
]
