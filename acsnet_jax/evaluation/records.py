"""Segmentations against expert labels: the records that tables and figures are made of.

Only labelled slices are judged, for volumes too. Enhancement and core scar are judged only where
the expert told enhancement from viable myocardium; the expert's core is the FWHM of what was drawn.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from acsnet_jax.clinical import predicted_regions, reference_regions, scan_volume_ml
from acsnet_jax.evaluation.summary import STRUCTURES, SliceRecord, VolumeRecord, locations
from acsnet_jax.metrics import overlap, surface_distance
from acsnet_jax.types import Segmentation


class Evaluation(NamedTuple):
    """Records of one or more scans.

    Attributes:
        slices: one record a labelled slice and structure.
        volumes: one record a scan and structure.
    """

    slices: list[SliceRecord]
    volumes: list[VolumeRecord]


def evaluate_scan(segmentation: Segmentation) -> Evaluation:
    """Judge one segmentation on the labelled slices of its scan.

    Args:
        segmentation: a segmentation of a scan with labels.

    Returns:
        Records for the LV and the myocardium, and for enhancement and core scar if labelled.

    Raises:
        InputError: no slice is labelled, or the stack has a single slice and so no volume.
    """
    scan = segmentation.scan
    theirs, ours = reference_regions(scan), predicted_regions(segmentation)
    where = locations(scan.labelled)
    indices = list(where)
    records = Evaluation([], [])
    for structure in STRUCTURES:
        truth, prediction = getattr(theirs, structure), getattr(ours, structure)
        if truth is None:
            continue
        prediction = prediction & scan.labelled[:, None, None]
        scores = [np.asarray(score, np.float64) for score in overlap(prediction, truth)]
        for index in indices:
            distance = surface_distance(prediction[index], truth[index], scan.spacing_mm)
            records.slices.append(
                SliceRecord(
                    scan.id,
                    index,
                    structure,
                    where[index],
                    *(float(score[index]) for score in scores),
                    hausdorff_mm=None if distance is None else distance.hausdorff_mm,
                    mean_surface_mm=None if distance is None else distance.mean_mm,
                )
            )
        records.volumes.append(
            VolumeRecord(
                scan.id, structure, scan_volume_ml(truth, scan), scan_volume_ml(prediction, scan)
            )
        )
    return records


def evaluate(segmentations: Iterable[Segmentation]) -> Evaluation:
    """Records of several scans together; see `evaluate_scan`."""
    records = Evaluation([], [])
    for segmentation in segmentations:
        one = evaluate_scan(segmentation)
        records.slices.extend(one.slices)
        records.volumes.extend(one.volumes)
    return records
