"""Scans and shapes that nobody acquired: phantoms, cine made LGE-like, outlines of hearts.

- `ConversionOptions`: ranges of the conversion.
- `ConversionSteps`: its steps, for a picture.
- `ShapeOptions`: which shapes are drawn.
- `cine_to_lge`: an LGE-like scan from a labelled cine scan.
- `conversion_steps`: the same, step by step.
- `draw_plausible`: shapes that satisfy delta.
- `draw_shapes`: masks of the myocardium in short-axis slices.
- `make_cohort`: phantoms, from a seed.
- `make_scan`: one of them.
- `write_dicom`: one as a DICOM folder.
"""

from acsnet_jax.synthesis.cine_to_lge import (
    ConversionOptions,
    ConversionSteps,
    cine_to_lge,
    conversion_steps,
)
from acsnet_jax.synthesis.phantom import make_cohort, make_scan, write_dicom
from acsnet_jax.synthesis.shapes import ShapeOptions, draw_plausible, draw_shapes

__all__ = [
    "ConversionOptions",
    "ConversionSteps",
    "ShapeOptions",
    "cine_to_lge",
    "conversion_steps",
    "draw_plausible",
    "draw_shapes",
    "make_cohort",
    "make_scan",
    "write_dicom",
]
