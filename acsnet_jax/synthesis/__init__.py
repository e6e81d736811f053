"""Scans that nobody acquired: the phantom cohort, and cine scans made LGE-like."""

from acsnet_jax.synthesis.cine_to_lge import (
    ConversionOptions,
    ConversionSteps,
    cine_to_lge,
    conversion_steps,
)
from acsnet_jax.synthesis.phantom import make_cohort, make_scan

__all__ = [
    "ConversionOptions",
    "ConversionSteps",
    "cine_to_lge",
    "conversion_steps",
    "make_cohort",
    "make_scan",
]
