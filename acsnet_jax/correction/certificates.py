"""What stage 3 did to each slice of a stack, in words and numbers, for the report and for JSON."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from acsnet_jax import anatomy
from acsnet_jax.correction.native import NativeCorrection
from acsnet_jax.types import Certificate, Route, Spacing


def certify(
    corrected: NativeCorrection,
    spacing_mm: Spacing,
    *,
    scan_id: str,
    kept: Bool[np.ndarray, "slices"],
    scar_moved_mm3: Float64[np.ndarray, "slices"] | None = None,
) -> tuple[Certificate, ...]:
    """One certificate a slice, of the very masks that are delivered.

    Args:
        corrected: stage 3's result on the grid on which it is written.
        spacing_mm: (row, column) distance of pixel centres of that grid.
        scan_id: pseudonymous id.
        kept: which slices are in the output.
        scar_moved_mm3: see `Certificate`.
    """
    names = np.array([criterion.name for criterion in anatomy.CRITERIA], object)
    correction = corrected.correction
    certificates = []
    for index, route in enumerate(corrected.route):
        used = correction.neighbour[index] >= 0
        changed = int(correction.pixels_changed[index])
        certificates.append(
            Certificate(
                scan_id=scan_id,
                slice_index=index,
                route=route,
                empty=bool(correction.empty[index]),
                valid_before=bool(correction.valid_before[index]),
                valid_after=bool(corrected.valid_after[index]),
                failed_before=tuple(names[np.asarray(correction.failed_before[index])]),
                neighbour=int(correction.neighbour[index]) if used else None,
                latent_distance=float(correction.distance[index]) if used else None,
                alpha=float(correction.alpha[index]),
                pixels_changed=changed,
                area_changed_mm2=changed * spacing_mm[0] * spacing_mm[1],
                scar_moved_mm3=None if scar_moved_mm3 is None else float(scar_moved_mm3[index]),
                kept=bool(kept[index]),
            )
        )
    return tuple(certificates)


def lost_slices(certificates: Sequence[Certificate]) -> list[int]:
    """Indices of the slices that had a mask for which nothing valid was found."""
    return [one.slice_index for one in certificates if one.route is Route.LOST]


def lost_message(slices: Sequence[int]) -> str:
    """What is told of slices for which stage 3 found nothing valid."""
    listed = ", ".join(str(index + 1) for index in slices)
    return (
        f"lost slice{'s' if len(slices) > 1 else ''} {listed} (from 1): no plausible mask near the "
        "prediction is valid on this grid, the slice is left out; draw a larger population, or one "
        "at a spacing closer to the scan's"
    )
