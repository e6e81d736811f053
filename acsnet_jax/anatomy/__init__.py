"""Anatomical criteria of slices and stacks."""

from acsnet_jax.anatomy.criteria import (
    CRITERIA,
    Criterion,
    Thresholds,
    check,
    failures,
    fit_bounds,
    fit_thresholds,
    is_valid,
)
from acsnet_jax.anatomy.measures import Anatomy, measure, regions
from acsnet_jax.anatomy.volume import fit_max_change, trim_areas, trim_stack

__all__ = [
    "CRITERIA",
    "Anatomy",
    "Criterion",
    "Thresholds",
    "check",
    "failures",
    "fit_bounds",
    "fit_max_change",
    "fit_thresholds",
    "is_valid",
    "measure",
    "regions",
    "trim_areas",
    "trim_stack",
]
