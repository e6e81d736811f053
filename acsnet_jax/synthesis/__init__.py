"""Scans that nobody acquired: the phantom cohort, and cine scans made LGE-like.

- `ConversionOptions`: ranges of the conversion.
- `ConversionSteps`: its steps, for a picture.
- `cine_to_lge`: an LGE-like scan from a labelled cine scan.
- `conversion_steps`: the same, step by step.
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

__all__ = [
    "ConversionOptions",
    "ConversionSteps",
    "cine_to_lge",
    "conversion_steps",
    "make_cohort",
    "make_scan",
    "write_dicom",
]
