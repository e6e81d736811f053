"""Delta of label files: which slices of which files fail which criterion.

Masks are ``Bool[slices, height, width]`` in the file's own slice order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool

from acsnet_jax import anatomy
from acsnet_jax.correction.check import measure_stack
from acsnet_jax.io.masks import LabelStack, mask_of


class Checked(NamedTuple):
    """What delta says of one file, one entry a slice in the file's own order.

    Attributes:
        name: of the file.
        empty: slices without a mask; they count neither as valid nor as failing.
        failed: which criteria each mask fails, in the order of `acsnet_jax.anatomy.CRITERIA`.
        measures: of each mask.
    """

    name: str
    empty: Bool[np.ndarray, "slices"]
    failed: Bool[np.ndarray, "slices criteria"]
    measures: anatomy.Anatomy

    @property
    def valid(self) -> Bool[np.ndarray, "slices"]:
        """Slices whose mask satisfies delta."""
        return ~self.empty & ~self.invalid

    @property
    def invalid(self) -> Bool[np.ndarray, "slices"]:
        """Slices whose mask does not."""
        return np.any(self.failed, axis=1)


class CriterionCount(NamedTuple):
    """How many masks fail one criterion.

    Attributes:
        criterion: its name.
        demand: what it asks of a mask.
        applies: to which masks: all, ring or open.
        slices: that fail it.
        share: of all slices with a mask, in [0, 1]; None if there is none.
        files: with such a slice.
    """

    criterion: str
    demand: str
    applies: str
    slices: int
    share: float | None
    files: int


def check_labels(
    stack: LabelStack, labels: Sequence[int], thresholds: anatomy.Thresholds, *, name: str
) -> Checked:
    """Check the slices of one file on their own grid.

    Args:
        stack: the file.
        labels: together the myocardium; none for all values above 0.
        thresholds: of delta.
        name: of the file.

    Raises:
        InputError: masks too large to measure.
    """
    masks = mask_of(stack.values, labels)
    empty = ~np.any(masks, axis=(1, 2))
    measures, failed = measure_stack(masks, stack.spacing_mm, thresholds)
    return Checked(name, empty, failed & ~empty[:, None], measures)


def fit_to_files(checked: Sequence[Checked], *, coverage: float, gap_max_deg: float):
    """Thresholds fitted to all masks of label files; see `acsnet_jax.anatomy.fit_thresholds`.

    Args:
        checked: files of expert masks.
        coverage: share of the masks that each criterion alone accepts.
        gap_max_deg: largest gap of an open mask.

    Returns:
        The thresholds, and the number of masks that they were fitted to.

    Raises:
        InputError: coverage is out of range, or no mask is a ring.
    """
    parts = [jax.tree.map(lambda leaf, one=one: leaf[~one.empty], one.measures) for one in checked]
    measures = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    thresholds = anatomy.fit_bounds(
        measures,
        anatomy.CRITERIA,
        anatomy.Thresholds,
        coverage=coverage,
        gap_max_deg=gap_max_deg,
    )
    return thresholds, len(measures.objects)


def count_criteria(
    checked: Sequence[Checked], thresholds: anatomy.Thresholds
) -> list[CriterionCount]:
    """How many slices, and in how many files, fail each criterion."""
    drawn = sum(int((~one.empty).sum()) for one in checked)
    rows = []
    for index, criterion in enumerate(anatomy.CRITERIA):
        counts = [int(one.failed[:, index].sum()) for one in checked]
        rows.append(
            CriterionCount(
                criterion.name,
                _demand(criterion, thresholds),
                criterion.applies,
                sum(counts),
                sum(counts) / drawn if drawn else None,
                sum(count > 0 for count in counts),
            )
        )
    return rows


def _demand(criterion: anatomy.Criterion, thresholds: anatomy.Thresholds) -> str:
    sign = {"equal": "=", "lower": ">=", "upper": "<="}[criterion.bound]
    limit = criterion.limit
    limit = float(getattr(thresholds, limit)) if isinstance(limit, str) else limit
    return f"{criterion.measure} {sign} {limit:.4g}"


def failed_names(failed: Bool[np.ndarray, "criteria"]) -> list[str]:
    """Names of the criteria that a mask fails."""
    return [c.name for c, fails in zip(anatomy.CRITERIA, failed, strict=True) if fails]
