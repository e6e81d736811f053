"""Anatomical criteria of a short-axis myocardium mask: measures, thresholds, and delta.

Masks are ``Bool[*batch, height, width]`` of any batch shape and image size; ``spacing_mm`` is the
(row, column) distance of pixel centres, one pair for all masks or ``[*batch, 2]``. Foreground is
8-connected, background 4-connected, and everything outside the array is background. All functions
but `fit_thresholds` and `fit_bounds` may be traced by ``jit`` and ``vmap``; none calls back to the
host.

Criteria are data: `CRITERIA` names a measure, a bound and the masks to which it applies, and
`check` holds any named tuple of measures against any thresholds. Another shape needs another tuple
of measures and another list of criteria, nothing else.

References:
    ACSNet, Methods, stage 3: the function delta. Painchaud et al., "Cardiac MRI segmentation with
    strong anatomical guarantees", MICCAI 2019.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool

from acsnet_jax.anatomy.measures import measure, measure_plausible
from acsnet_jax.types import InputError, Mask, SpacingLike

T = TypeVar("T")

GAP_MIN_DEG = 5.0
"""An open mask has at least one empty bin."""


_MARGIN = 1e-5
_EXPERTS = {
    "all": "expert masks that are not empty",
    "ring": "expert masks with closed rings",
    "open": "open expert masks",
}


class Thresholds(NamedTuple):
    """Bounds fitted to expert masks: floats or scalar arrays.

    Attributes:
        circularity_epi: lower bound.
        circularity_endo: lower bound.
        convexity_defect_mm: upper bound.
        wall_min_mm: lower bound.
        wall_max_mm: upper bound.
        gap_max_deg: upper bound of the gap of an open mask; 0 forbids open masks.
    """

    circularity_epi: ArrayLike
    circularity_endo: ArrayLike
    convexity_defect_mm: ArrayLike
    wall_min_mm: ArrayLike
    wall_max_mm: ArrayLike
    gap_max_deg: ArrayLike = 100.0


class Criterion(NamedTuple):
    """One condition on one measure.

    Attributes:
        name: what tables call it.
        measure: field of the measures.
        bound: whether the measure must be equal to the limit, not below or not above it.
        limit: a number, or the field of the thresholds that holds it.
        applies: to all masks, or only to those of a kind (`Anatomy.is_ring`).
    """

    name: str
    measure: str
    bound: Literal["equal", "lower", "upper"]
    limit: str | float
    applies: Literal["all", "ring", "open"] = "all"


CRITERIA: tuple[Criterion, ...] = (
    Criterion("objects", "objects", "equal", 1.0),
    Criterion("extra holes", "extra_hole_area_mm2", "upper", 0.0),
    Criterion("epicardial circularity", "circularity_epi", "lower", "circularity_epi", "ring"),
    Criterion("endocardial circularity", "circularity_endo", "lower", "circularity_endo", "ring"),
    Criterion("convexity defect", "convexity_defect_mm", "upper", "convexity_defect_mm", "ring"),
    Criterion("thin wall", "wall_min_mm", "lower", "wall_min_mm", "ring"),
    Criterion("thick wall", "wall_max_mm", "upper", "wall_max_mm"),
    Criterion("closed gap", "gap_deg", "lower", GAP_MIN_DEG, "open"),
    Criterion("wide gap", "gap_deg", "upper", "gap_max_deg", "open"),
    Criterion("hollow", "hollow", "equal", 1.0, "open"),
)


@jax.jit
def is_valid(mask: Mask, spacing_mm: SpacingLike, thresholds: Thresholds) -> Bool[Array, "*batch"]:
    """Delta: whether masks satisfy every criterion. An empty mask does not.

    Faster than `failures`: a mask with several objects or holes is turned down without the
    measures that tell how else it fails.

    Args:
        mask: any batch shape and image size.
        spacing_mm: (row, column), ``[2]`` or ``[*batch, 2]``, above 0.
        thresholds: usually from `fit_thresholds`.

    Raises:
        InputError: masks are not of type bool, or spacing and mask do not fit together.
    """
    measured = measure_plausible if _one_object_alone(CRITERIA) else measure
    anatomy = measured(mask, spacing_mm)
    return ~jnp.any(check(anatomy, thresholds, CRITERIA), axis=-1)


def _one_object_alone(criteria: Sequence[Criterion]) -> bool:
    """Whether no criteria let several objects or holes pass, as those that are shipped do not."""
    rows = {(one.measure, one.bound, one.limit) for one in criteria}
    return {("objects", "equal", 1.0), ("extra_hole_area_mm2", "upper", 0.0)} <= rows


@jax.jit
def failures(
    mask: Mask, spacing_mm: SpacingLike, thresholds: Thresholds
) -> Bool[Array, "*batch criteria"]:
    """Which criteria masks fail, in the order of `CRITERIA`. An empty mask fails "objects".

    Args:
        mask: any batch shape and image size.
        spacing_mm: (row, column), ``[2]`` or ``[*batch, 2]``, above 0.
        thresholds: usually from `fit_thresholds`.

    Raises:
        InputError: masks are not of type bool, or spacing and mask do not fit together.
    """
    return check(measure(mask, spacing_mm), thresholds, CRITERIA)


def check(
    measures: Any, thresholds: Any, criteria: Sequence[Criterion]
) -> Bool[Array, "*batch criteria"]:
    """Holds measures against criteria; the rule behind `failures`, for shapes of any kind.

    Args:
        measures: named tuple of arrays; has ``is_ring`` if a criterion applies to one kind only.
        thresholds: named tuple with the limits that criteria name.
        criteria: what to check.

    Returns:
        True where a criterion applies and fails. A measure that applies but is NaN fails.
    """
    failed = []
    for criterion in criteria:
        value = getattr(measures, criterion.measure).astype(jnp.float32)
        limit = criterion.limit
        limit = getattr(thresholds, limit) if isinstance(limit, str) else limit
        limit = jnp.broadcast_to(jnp.asarray(limit, jnp.float32), value.shape)
        passed = {"equal": value == limit, "lower": value >= limit, "upper": value <= limit}
        fails = ~passed[criterion.bound]
        if criterion.applies != "all":
            ring = criterion.applies == "ring"
            fails = fails & (measures.is_ring if ring else ~measures.is_ring)
        failed.append(fails)
    return jnp.stack(failed, axis=-1)


def fit_thresholds(
    masks: Bool[Array | np.ndarray, "n height width"],
    spacing_mm: SpacingLike,
    coverage: float = 0.99,
    *,
    gap_max_deg: float = 100.0,
) -> Thresholds:
    """Sets each bound as tight as it can be while it alone accepts ``coverage`` of expert masks.

    Bounds are loosened by 1e-5 of their value (of 1, if that is more), the rounding that float32
    measures of one mask may show between batch shapes and devices. Runs on the host.

    Args:
        masks: expert masks; empty ones do not count.
        spacing_mm: (row, column), ``[2]`` or ``[n, 2]``.
        coverage: fraction in (0, 1] of the masks to which a criterion applies.
        gap_max_deg: largest gap of an open mask; 0 forbids open masks.

    Raises:
        InputError: if coverage is out of range, or no mask is a ring.
    """
    _check_coverage(coverage)
    anatomy = measure(jnp.asarray(masks), jnp.asarray(spacing_mm, jnp.float32))
    return fit_bounds(anatomy, CRITERIA, Thresholds, coverage=coverage, gap_max_deg=gap_max_deg)


def fit_bounds(
    measures: Any,
    criteria: Sequence[Criterion],
    thresholds: Callable[..., T],
    *,
    coverage: float = 0.99,
    **given: ArrayLike,
) -> T:
    """Sets each bound as `fit_thresholds` does; the rule behind it, for shapes of any kind.

    A bound is fitted for every limit that a lower or upper criterion names. Limits that are
    ``given`` stay so, and what no criterion names keeps its default. Runs on the host.

    Args:
        measures: named tuple of arrays, one entry an expert mask, NaN where a measure does not
            apply; has ``is_ring`` if a criterion applies to one kind only.
        criteria: what will be checked.
        thresholds: class of named tuples of the limits; ``dict`` does as well.
        coverage: fraction in (0, 1] of the masks to which a criterion applies.
        **given: limits that are not to be fitted.

    Raises:
        InputError: if coverage is out of range, or there is nothing to fit a bound to.
    """
    _check_coverage(coverage)
    bounds = dict(given)
    for criterion in criteria:
        name = criterion.limit
        if not isinstance(name, str) or name in given or criterion.bound == "equal":
            continue
        values = np.asarray(getattr(measures, criterion.measure), np.float64)
        if criterion.applies != "all":
            values = values[np.asarray(measures.is_ring) == (criterion.applies == "ring")]
        values = np.sort(values[~np.isnan(values)])
        if values.size == 0:
            raise InputError(f"no mask to fit {name} to: give {_EXPERTS[criterion.applies]}")
        spare = values.size - math.ceil(coverage * values.size - 1e-9)
        upper = criterion.bound == "upper"
        value = values[-1 - spare] if upper else values[spare]
        slack = _MARGIN * max(1.0, abs(value))
        bounds[name] = float(value + slack if upper else value - slack)
    return thresholds(**bounds)


def _check_coverage(coverage):
    if not 0 < coverage <= 1:
        raise InputError(f"coverage must lie in (0, 1], not {coverage}")
