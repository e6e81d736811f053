"""Label files of any tool, corrected: the same labels, on the same grid, with valid myocardium.

Labels are ``Integer[slices, height, width]`` in the file's own slice order.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Integer

from acsnet_jax.clinical import scar_moved_mm3
from acsnet_jax.correction.certificates import certify
from acsnet_jax.correction.check import kept_slices
from acsnet_jax.correction.corrector import Corrector
from acsnet_jax.correction.native import correct_native
from acsnet_jax.io.masks import LabelStack, mask_of
from acsnet_jax.ops.host import fill_holes, holes
from acsnet_jax.preprocess.grid import grid_over
from acsnet_jax.preprocess.orient import standard_turn
from acsnet_jax.types import Certificate, Route

Order = Literal["apex_first", "base_first"]


@dataclasses.dataclass(frozen=True)
class LabelFileOptions:
    """How label files are read and written.

    Attributes:
        labels: values that together make the myocardium; none for all above 0. Pixels that are
            added get the first of them, or 1.
        scar_labels: values that mark enhancement, to tell how much of it moved.
        axis: across the slices, 1 to 3; 0 to find out.
        trim: whether slices beyond apex and base are emptied.
        slice_order: of the files, for `trim`.
        max_change: of the area between slices, see `acsnet_jax.anatomy.trim_stack`.
    """

    labels: tuple[int, ...] = ()
    scar_labels: tuple[int, ...] = ()
    axis: int = 0
    trim: bool = False
    slice_order: Order = "apex_first"
    max_change: float = 0.6


class Corrected(NamedTuple):
    """A label file after the correction.

    Attributes:
        values: its labels.
        certificates: one a slice, in the file's own order.
    """

    values: Integer[np.ndarray, "slices height width"]
    certificates: tuple[Certificate, ...]


class FileSummary(NamedTuple):
    """What the correction did to one file; see `Certificate` for what the numbers mean.

    Attributes:
        file: its name.
        slices: number of slices.
        empty: slices without a mask.
        valid_before: slices whose mask satisfied delta.
        changed: slices whose mask was corrected, without those that were lost.
        left_out: slices emptied by the volume checks.
        lost: slices emptied because nothing valid was found for them.
        valid_after: slices whose mask in the output satisfies delta.
        volume_changed_mm3: of the myocardium, added and removed, in the corrected slices.
        scar_moved_mm3: of enhancement; None where it is not known.
    """

    file: str
    slices: int
    empty: int
    valid_before: int
    changed: int
    left_out: int
    lost: int
    valid_after: int
    volume_changed_mm3: float
    scar_moved_mm3: float | None


def correct_labels(
    stack: LabelStack, corrector: Corrector, settings: LabelFileOptions, *, name: str
) -> Corrected:
    """Correct the myocardium of one file on its own grid.

    Labels inside the corrected myocardium that belong to it keep their value, so that scar stays
    scar; added myocardium overwrites other labels. What the wall leaves becomes background or, in
    the cavity, what most of the cavity was.

    Args:
        stack: the file.
        corrector: stage 3.
        settings: how its labels are read and written.
        name: of the file.
    """
    before = mask_of(stack.values, settings.labels)
    turn = standard_turn(stack.affine) if stack.oriented else 0
    height, width = before.shape[1:]
    grid = grid_over((height, width), stack.spacing_mm, corrector.spacing_mm, turn=turn)
    corrected = correct_native(before, grid, corrector)
    kept = np.any(corrected.mask, axis=(1, 2))
    if settings.trim:
        upwards = slice(None) if settings.slice_order == "apex_first" else slice(None, None, -1)
        masks, lost = corrected.mask[upwards], (before & corrected.lost[:, None, None])[upwards]
        kept = kept & kept_slices(masks, settings.max_change, lost=lost)[upwards]
    moved = None
    if settings.scar_labels:
        scar = mask_of(stack.values, settings.scar_labels)
        extents = np.full(len(before), stack.distance_mm)
        moved = scar_moved_mm3(scar, before, corrected.mask, stack.spacing_mm, extents)
    after = corrected.mask & kept[:, None, None]
    values = relabelled(stack.values, before, after, settings.labels)
    return Corrected(
        values,
        certify(corrected, stack.spacing_mm, scan_id=name, kept=kept, scar_moved_mm3=moved),
    )


def relabelled(
    values: Integer[np.ndarray, "slices height width"],
    before: Bool[np.ndarray, "slices height width"],
    after: Bool[np.ndarray, "slices height width"],
    labels: tuple[int, ...],
) -> Integer[np.ndarray, "slices height width"]:
    """Labels whose myocardium is ``after`` instead of ``before``."""
    values = values.astype(np.int64)
    for one, old, new in zip(values, before, after, strict=True):
        left = old & ~new
        if not left.any():
            continue
        cavity = one[holes(old)]
        one[left] = 0
        if cavity.size:
            known, counts = np.unique(cavity, return_counts=True)
            one[left & fill_holes(new)] = known[np.argmax(counts)]
    values[after & ~before] = labels[0] if labels else 1
    return values


def summarise_file(
    name: str, certificates: Sequence[Certificate], distance_mm: float
) -> FileSummary:
    """What the certificates of one file come to.

    Args:
        name: of the file.
        certificates: one a slice.
        distance_mm: between slices.
    """
    drawn = [one for one in certificates if not one.empty]
    corrected = [one for one in drawn if one.pixels_changed and one.route is not Route.LOST]
    moved = [one.scar_moved_mm3 for one in certificates if one.scar_moved_mm3 is not None]
    return FileSummary(
        file=name,
        slices=len(certificates),
        empty=len(certificates) - len(drawn),
        valid_before=sum(one.valid_before for one in drawn),
        changed=len(corrected),
        left_out=sum(not one.kept and one.route is not Route.LOST for one in drawn),
        lost=sum(one.route is Route.LOST for one in drawn),
        valid_after=sum(one.valid_after and one.kept for one in drawn),
        volume_changed_mm3=sum(one.area_changed_mm2 for one in corrected) * distance_mm,
        scar_moved_mm3=sum(moved) if moved else None,
    )
