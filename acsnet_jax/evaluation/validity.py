"""Whether what was returned is plausible, and what was not returned at all.

Delta alone can be had for nothing, by returning no masks: so the share of valid slices always
stands beside the number of slices on which the expert has myocardium and the output has none.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

import numpy as np

from acsnet_jax.clinical import reference_regions
from acsnet_jax.correction import Corrector, lost_slices, valid_stack
from acsnet_jax.types import Route, Segmentation

Loss = Literal["never found", "lost by the correction", "cut by the volume checks"]
LOSSES: tuple[Loss, ...] = get_args(Loss)


class Validity(NamedTuple):
    """Output slices against delta, and expert slices against the output.

    Attributes:
        returned: number of output slices with myocardium.
        valid: of these, how many satisfy delta on the scan's own grid.
        given_up: number of slices that are left out because the correction found nothing valid for
            them, with an expert's label or without; each counts as a violation.
        unlabelled: of those returned, how many the expert did not label, so that nobody judges them
            further.
        expert: number of labelled slices on which the expert has myocardium.
        lost: of these, those on which the output has none: (scan id, slice index) to the reason.
    """

    returned: int
    valid: int
    given_up: int
    unlabelled: int
    expert: int
    lost: dict[tuple[str, int], Loss]

    @property
    def share(self) -> float | None:
        """Of the slices that were returned or given up, how many satisfy delta; in [0, 1]."""
        judged = self.returned + self.given_up
        return self.valid / judged if judged else None

    def text(self) -> str:
        """What delta does not tell, in words."""
        reasons = list(self.lost.values())
        told = ", ".join(f"{reasons.count(why)} {why}" for why in LOSSES if why in reasons)
        counts = f"expert slices lost: {len(self.lost)} of {self.expert}"
        counts = f"{counts} ({told})" if told else counts
        return f"{counts}; {self.unlabelled} of {self.returned} output slices have no expert label"


def validity_of(segmentations: Iterable[Segmentation], corrector: Corrector) -> Validity:
    """Delta of every output slice that is not empty, and the expert slices that came back empty.

    Args:
        segmentations: of scans with labels.
        corrector: its thresholds.

    Raises:
        InputError: a scan has no labelled slice.
    """
    returned = valid = given_up = unlabelled = expert = 0
    lost: dict[tuple[str, int], Loss] = {}
    for segmentation in segmentations:
        scan = segmentation.scan
        ours = np.any(segmentation.myocardium, axis=(1, 2))
        theirs = np.any(reference_regions(scan).myocardium, axis=(1, 2))
        judged = valid_stack(segmentation.myocardium, scan.spacing_mm, corrector.thresholds)
        returned += int(ours.sum())
        valid += int((judged & ours).sum())
        given_up += len(lost_slices(segmentation.certificates))
        unlabelled += int((ours & ~scan.labelled).sum())
        expert += int(theirs.sum())
        for index in np.flatnonzero(theirs & ~ours):
            lost[scan.id, int(index)] = why_lost(segmentation, int(index))
    return Validity(returned, valid, given_up, unlabelled, expert, lost)


def why_lost(segmentation: Segmentation, index: int) -> Loss:
    """Why an output slice is empty.

    Args:
        segmentation: without myocardium on that slice.
        index: of the slice, apex first.
    """
    if not segmentation.certificates or segmentation.certificates[index].empty:
        return "never found"
    if segmentation.certificates[index].route is Route.LOST:
        return "lost by the correction"
    return "cut by the volume checks"
