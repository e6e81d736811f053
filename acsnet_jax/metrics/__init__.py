"""How well two masks agree: overlap (jitted) and distance of outlines (host)."""

from acsnet_jax.metrics.overlap import (
    Overlap,
    balanced_accuracy,
    dice,
    overlap,
    sensitivity,
    specificity,
)
from acsnet_jax.metrics.surface import (
    SurfaceDistance,
    hausdorff_mm,
    mean_surface_distance_mm,
    surface_distance,
)

__all__ = [
    "Overlap",
    "SurfaceDistance",
    "balanced_accuracy",
    "dice",
    "hausdorff_mm",
    "mean_surface_distance_mm",
    "overlap",
    "sensitivity",
    "specificity",
    "surface_distance",
]
