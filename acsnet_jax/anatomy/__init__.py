"""Anatomical criteria of slices and stacks.

- `CRITERIA`: the rows that delta checks.
- `Criterion`: one of them: a measure, a bound, a limit.
- `Thresholds`: the limits that are fitted to experts.
- `check`: any measures against any criteria.
- `failures`: which criteria masks fail.
- `fit_bounds`: limits of any criteria, from any measures.
- `fit_thresholds`: those of hearts, from expert masks.
- `is_valid`: delta.
- `Anatomy`: everything that is measured of a mask.
- `measure`: measures it.
- `regions`: the region within the epicardium, and the cavity.
- `fit_max_change`: the threshold of the stack checks, from experts.
- `trim_areas`: the same of a stack whose areas are known.
- `trim_stack`: the slices between apex and base.
"""

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
