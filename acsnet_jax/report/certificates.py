"""What the latent correction did to each slice, in words and numbers, for the report and for JSON.

Masks and pixels are those of the correction's grid (``Segmentation.correction_spacing_mm``).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from acsnet_jax.types import Segmentation, Spacing


class Certificate(NamedTuple):
    """The record of one slice; ``_asdict()`` is ready for JSON.

    Attributes:
        scan_id: pseudonymous id.
        slice_index: index in the stack, apex first.
        empty: there was no mask to correct.
        valid_before: whether the predicted mask satisfied every criterion.
        failed_before: names of the criteria that it failed.
        neighbour: index in the population; None where none was used.
        latent_distance: Euclidean distance to the neighbour; None where none was used.
        alpha: step towards the neighbour, in [0, 1].
        pixels_changed: on the correction's grid.
        area_changed_mm2: the same in mm^2.
        valid_after: whether the output satisfies every criterion, checked anew.
    """

    scan_id: str
    slice_index: int
    empty: bool
    valid_before: bool
    failed_before: tuple[str, ...]
    neighbour: int | None
    latent_distance: float | None
    alpha: float
    pixels_changed: int
    area_changed_mm2: float
    valid_after: bool


def certificates(
    segmentation: Segmentation,
    criteria: Sequence[str],
    is_valid: Callable[[np.ndarray, Spacing], Bool[np.ndarray, "slices"]],
) -> list[Certificate]:
    """One certificate a slice; none if the cascade ran without correction.

    Args:
        segmentation: with its `Correction`.
        criteria: names in the order of ``Correction.failed_before``.
        is_valid: delta with its thresholds: masks and their spacing in mm to one verdict each.

    Returns:
        Certificates, apex first.
    """
    correction = segmentation.correction
    if correction is None:
        return []
    spacing_mm = segmentation.correction_spacing_mm
    valid_after = np.asarray(is_valid(np.asarray(correction.mask), spacing_mm))
    failed = np.asarray(correction.failed_before)
    alpha, neighbour = np.asarray(correction.alpha), np.asarray(correction.neighbour)
    distance, changed = np.asarray(correction.distance), np.asarray(correction.pixels_changed)
    empty, valid_before = np.asarray(correction.empty), np.asarray(correction.valid_before)
    result = []
    for index in range(len(alpha)):
        used = neighbour[index] >= 0
        result.append(
            Certificate(
                scan_id=segmentation.scan.id,
                slice_index=index,
                empty=bool(empty[index]),
                valid_before=bool(valid_before[index]),
                failed_before=tuple(np.asarray(criteria, object)[failed[index]].tolist()),
                neighbour=int(neighbour[index]) if used else None,
                latent_distance=float(distance[index]) if used else None,
                alpha=float(alpha[index]),
                pixels_changed=int(changed[index]),
                area_changed_mm2=float(changed[index] * spacing_mm[0] * spacing_mm[1]),
                valid_after=bool(valid_after[index]),
            )
        )
    return result
