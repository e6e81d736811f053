"""How well two masks agree: overlap (jitted) and distance of outlines (host).

- `Overlap`: all of the below at once.
- `balanced_accuracy`: mean of sensitivity and specificity.
- `dice`: overlap over mean size.
- `overlap`: all of them.
- `sensitivity`: share of the truth that is found.
- `specificity`: share of the rest that is left alone.
- `stack_dice`: overlap of two stacks, on the host.
- `SurfaceDistance`: both distances.
- `hausdorff_mm`: the largest.
- `mean_surface_distance_mm`: the mean.
- `surface_distance`: both.
"""

from acsnet_jax.metrics.overlap import (
    Overlap,
    balanced_accuracy,
    dice,
    overlap,
    sensitivity,
    specificity,
    stack_dice,
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
    "stack_dice",
    "surface_distance",
]
