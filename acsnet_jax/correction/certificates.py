"""What the latent correction did to each slice, in words and numbers, for the report and for JSON.

Masks and pixels are those of the correction's grid: the cascade's own
(``Segmentation.correction_spacing_mm``), or that of a mask file from elsewhere.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from acsnet_jax.types import Correction, Segmentation, Spacing


class Certificate(NamedTuple):
    """The record of one slice; ``_asdict()`` is ready for JSON.

    Attributes:
        scan_id: pseudonymous id.
        slice_index: index in the stack, apex first; of a mask file, in its own order.
        empty: there was no mask to correct.
        valid_before: whether the predicted mask satisfied every criterion.
        failed_before: names of the criteria that it failed.
        neighbour: index in the population; None where none was used.
        latent_distance: Euclidean distance to the neighbour; None where none was used.
        alpha: step towards the neighbour, in [0, 1].
        pixels_changed: on the correction's grid.
        area_changed_mm2: the same in mm^2.
        scar_moved_mm3: volume of enhancement, as it was before the correction, that left the
            myocardium or came into it through the correction, on the scan's own grid; None where
            no enhancement is known.
        valid_after: whether the corrected mask satisfies every criterion, checked anew.
        kept: whether the mask is in the output: not empty, and not left out by the volume checks
            as a slice beyond apex or base.
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
    scar_moved_mm3: float | None
    valid_after: bool
    kept: bool


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
    return certificates_of(
        correction,
        criteria,
        spacing_mm,
        scan_id=segmentation.scan.id,
        valid_after=np.asarray(is_valid(np.asarray(correction.mask), spacing_mm)),
        kept=segmentation.kept,
        scar_moved_mm3=segmentation.scar_moved_mm3,
    )


def certificates_of(
    correction: Correction,
    criteria: Sequence[str],
    spacing_mm: Spacing,
    *,
    scan_id: str,
    valid_after: Bool[np.ndarray, "slices"],
    kept: Bool[np.ndarray, "slices"],
    scar_moved_mm3: Float64[np.ndarray, "slices"] | None = None,
) -> list[Certificate]:
    """One certificate a mask of a correction.

    Args:
        correction: of a stack of masks.
        criteria: names in the order of ``Correction.failed_before``.
        spacing_mm: of the correction's grid.
        scan_id: pseudonymous id.
        valid_after: delta of the corrected masks.
        kept: which of them are in the output.
        scar_moved_mm3: see `Certificate`.

    Returns:
        Certificates in the order of the masks.
    """
    failed = np.asarray(correction.failed_before)
    alpha, neighbour = np.asarray(correction.alpha), np.asarray(correction.neighbour)
    distance, changed = np.asarray(correction.distance), np.asarray(correction.pixels_changed)
    empty, valid_before = np.asarray(correction.empty), np.asarray(correction.valid_before)
    result = []
    for index in range(len(alpha)):
        used = neighbour[index] >= 0
        result.append(
            Certificate(
                scan_id=scan_id,
                slice_index=index,
                empty=bool(empty[index]),
                valid_before=bool(valid_before[index]),
                failed_before=tuple(np.asarray(criteria, object)[failed[index]].tolist()),
                neighbour=int(neighbour[index]) if used else None,
                latent_distance=float(distance[index]) if used else None,
                alpha=float(alpha[index]),
                pixels_changed=int(changed[index]),
                area_changed_mm2=float(changed[index] * spacing_mm[0] * spacing_mm[1]),
                scar_moved_mm3=None if scar_moved_mm3 is None else float(scar_moved_mm3[index]),
                valid_after=bool(valid_after[index]),
                kept=bool(kept[index]),
            )
        )
    return result
