"""The EMIDEC challenge's own numbers: one record a patient and structure, in 3-D.

Dice over the whole stack (1 where both are empty, 0 where one is), the difference of volumes in
mm^3 and as a share of the expert's volume, for scar as a share of the expert's myocardium too
(AVDR), and the Hausdorff distance in mm. The infarct holds its no-reflow, as in the challenge's
script. Only labelled slices are judged. Distances run between the centres of boundary voxels
(those with one of their six neighbours outside), each slice at its own position; a structure that
is missed or made up costs the diagonal of the stack, and one that is empty on both sides is not
counted. Shares lie in [0, 1]. Masks are ``Bool[slices, height, width]``.

One difference to the challenge's script: it hands the spacing of (column, row, slice) to an array
of (slice, row, column), so that its Hausdorff distances measure each axis with another's step.

References:
    Lalande et al., Medical Image Analysis 79, 2022, "Deep learning methods for automatic evaluation
    of delayed enhancement-MRI"; github.com/EMIDEC-Challenge/Evaluation-metrics, ``main.py``.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float
from scipy import ndimage, spatial

from acsnet_jax.clinical import (
    Regions,
    predicted_regions,
    reference_no_reflow,
    reference_regions,
    scan_volume_ml,
)
from acsnet_jax.clinical.volumes import MM3_PER_ML, slice_extents_mm
from acsnet_jax.evaluation.summary import Presence, Summary, presence, summarise
from acsnet_jax.metrics import stack_dice
from acsnet_jax.types import InputError, MaskStack, Scan, Segmentation

ChallengeStructure = Literal["enhancement", "no_reflow", "myocardium", "blood_pool", "lv"]
ChallengeMeasure = Literal[
    "dice",
    "hausdorff_mm",
    "truth_mm3",
    "predicted_mm3",
    "difference_mm3",
    "relative_difference",
    "share_difference",
    "bias_mm3",
    "relative_bias",
]
Group = Literal["all", "affected"]
"""All patients, or those in whom the expert has the structure."""

CHALLENGE_STRUCTURES: tuple[ChallengeStructure, ...] = get_args(ChallengeStructure)
_SCAR: tuple[ChallengeStructure, ...] = ("enhancement", "no_reflow")
_MEASURES: tuple[ChallengeMeasure, ...] = get_args(ChallengeMeasure)


class ChallengeRecord(NamedTuple):
    """How well one structure of one patient was segmented.

    Attributes:
        scan_id: the patient's pseudonymous id.
        structure: what was segmented.
        dice: over the whole stack, in [0, 1].
        hausdorff_mm: the stack's diagonal where one mask is empty; None where both are.
        truth_mm3: volume of the expert's mask.
        predicted_mm3: volume of ours.
        myocardium_mm3: volume of the expert's myocardium.
    """

    scan_id: str
    structure: ChallengeStructure
    dice: float
    hausdorff_mm: float | None
    truth_mm3: float
    predicted_mm3: float
    myocardium_mm3: float

    @property
    def bias_mm3(self) -> float:
        """``predicted - truth``."""
        return self.predicted_mm3 - self.truth_mm3

    @property
    def difference_mm3(self) -> float:
        """``|predicted - truth|`` (AVD)."""
        return abs(self.bias_mm3)

    @property
    def relative_bias(self) -> float | None:
        """``(predicted - truth) / truth``; None where the expert saw nothing."""
        return self.bias_mm3 / self.truth_mm3 if self.truth_mm3 else None

    @property
    def relative_difference(self) -> float | None:
        """``|predicted - truth| / truth``; None where the expert saw nothing."""
        return self.difference_mm3 / self.truth_mm3 if self.truth_mm3 else None

    @property
    def share_difference(self) -> float | None:
        """``|predicted - truth| / myocardium`` (AVDR); None but for scar, and without a wall."""
        if self.structure not in _SCAR or not self.myocardium_mm3:
            return None
        return self.difference_mm3 / self.myocardium_mm3


class ChallengeRow(NamedTuple):
    """One measure of one structure over patients; presence counts all patients."""

    structure: ChallengeStructure
    group: Group
    measure: ChallengeMeasure
    summary: Summary
    presence: Presence


def challenge_records(
    scan: Scan, prediction: Regions, *, no_reflow: MaskStack | None = None
) -> list[ChallengeRecord]:
    """Judge one prediction on the labelled slices of its scan.

    Args:
        scan: a scan with labels.
        prediction: what was found on its grid (`predicted_regions`; of an array of `Label` values,
            `reference_regions` of the scan with these labels).
        no_reflow: where a prediction tells it, the dark part of its enhancement.

    Returns:
        Records of the LV, the blood pool and the myocardium, of enhancement if both sides assessed
        it, and of no-reflow if it was also predicted.

    Raises:
        InputError: masks of another shape; no slice is labelled, the stack has a single slice, or
            slices out of order.
    """
    drawn = reference_regions(scan)
    if prediction.lv.shape != drawn.lv.shape:
        raise InputError(
            f"scan {scan.id}: a prediction of shape {prediction.lv.shape} was given for a scan of "
            f"{drawn.lv.shape}: predict on the scan's own grid"
        )
    pairs: dict[ChallengeStructure, tuple[MaskStack | None, MaskStack | None]] = {
        "enhancement": (drawn.enhancement, prediction.enhancement),
        "no_reflow": (reference_no_reflow(scan), no_reflow),
        "myocardium": (drawn.myocardium, prediction.myocardium),
        "blood_pool": (drawn.blood_pool, prediction.blood_pool),
        "lv": (drawn.lv, prediction.lv),
    }
    wall_mm3 = MM3_PER_ML * scan_volume_ml(drawn.myocardium, scan)
    records = []
    for structure in CHALLENGE_STRUCTURES:
        truth, ours = pairs[structure]
        if truth is None or ours is None:
            continue
        ours = ours & scan.labelled[:, None, None]
        records.append(
            ChallengeRecord(
                scan.id,
                structure,
                dice=stack_dice(ours, truth),
                hausdorff_mm=stack_hausdorff_mm(ours, truth, scan),
                truth_mm3=MM3_PER_ML * scan_volume_ml(truth, scan),
                predicted_mm3=MM3_PER_ML * scan_volume_ml(ours, scan),
                myocardium_mm3=wall_mm3,
            )
        )
    return records


def evaluate_challenge(segmentations: Iterable[Segmentation]) -> list[ChallengeRecord]:
    """Records of several segmented scans; see `challenge_records`."""
    return [
        record
        for segmentation in segmentations
        for record in challenge_records(
            segmentation.scan,
            predicted_regions(segmentation),
            no_reflow=segmentation.no_reflow,
        )
    ]


def stack_hausdorff_mm(prediction: MaskStack, truth: MaskStack, scan: Scan) -> float | None:
    """Symmetric Hausdorff distance of two surfaces in 3-D.

    Args:
        prediction: one structure.
        truth: the same of the expert.
        scan: whose grid the masks are on.

    Returns:
        The largest distance in mm from a boundary voxel of either to the other's nearest; the
        diagonal of the whole stack if one is empty; None if both are.
    """
    if not prediction.any() and not truth.any():
        return None
    if not prediction.any() or not truth.any():
        depth_mm = float(slice_extents_mm(scan.positions_mm).sum())
        in_plane_mm = np.multiply(truth.shape[1:], scan.spacing_mm)
        return math.hypot(depth_mm, *in_plane_mm)
    ours, theirs = (_surface_mm(mask, scan) for mask in (prediction, truth))
    return max(
        float(spatial.KDTree(end).query(start)[0].max())
        for start, end in ((ours, theirs), (theirs, ours))
    )


def _surface_mm(mask: MaskStack, scan: Scan) -> Float[np.ndarray, "points 3"]:
    """Centres of the boundary voxels in mm: along the stack, down the rows, along the columns."""
    surface = mask & ~np.asarray(ndimage.binary_erosion(mask), bool)
    slices, rows, columns = np.nonzero(surface)
    row_mm, column_mm = scan.spacing_mm
    return np.stack([scan.positions_mm[slices], rows * row_mm, columns * column_mm], axis=-1)


def challenge_rows(records: Sequence[ChallengeRecord]) -> list[ChallengeRow]:
    """Every measure over patients, scar first.

    Args:
        records: of several patients.

    Returns:
        Rows of the structures that there are records of; of scar also over affected patients alone.
    """
    rows = []
    for structure, own in _by_structure(records):
        groups: tuple[Group, ...] = ("all", "affected") if structure in _SCAR else ("all",)
        found = presence((r.truth_mm3, r.predicted_mm3) for r in own)
        rows += [
            ChallengeRow(
                structure,
                group,
                measure,
                summarise(
                    (r.scan_id, getattr(r, measure))
                    for r in own
                    if group == "all" or r.truth_mm3 > 0
                ),
                found,
            )
            for group in groups
            for measure in _MEASURES
            if measure != "share_difference" or structure in _SCAR
        ]
    return rows


def _by_structure(
    records: Sequence[ChallengeRecord],
) -> list[tuple[ChallengeStructure, list[ChallengeRecord]]]:
    """The records of each structure that has any, one a patient."""
    return [
        (structure, own)
        for structure in CHALLENGE_STRUCTURES
        if (own := [r for r in records if r.structure == structure])
    ]
