"""Segmentations against expert labels: the records that tables and figures are made of.

Only labelled slices are judged, for volumes too. Enhancement and core scar are judged only where
the expert told enhancement from viable myocardium; the expert's core is the FWHM of what was drawn,
the gray zone the rest. A prediction's enhancement was eroded and cleaned before, the expert's was
not, so a predicted rim is thinner: volumes are also told against the expert's enhancement treated
exactly alike, with its core taken anew.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from acsnet_jax.clinical import (
    Regions,
    areas_mm2,
    clean_scar,
    core_scar,
    predicted_regions,
    reference_regions,
    scan_volume_ml,
)
from acsnet_jax.evaluation.summary import (
    STRUCTURES,
    VOLUMES,
    Location,
    SliceRecord,
    Structure,
    VolumeRecord,
    VolumeStructure,
    locations,
)
from acsnet_jax.metrics import overlap, surface_distance
from acsnet_jax.pipeline import Inference
from acsnet_jax.types import MaskStack, Scan, Segmentation


class Evaluation(NamedTuple):
    """Records of one or more scans.

    Attributes:
        slices: one record a labelled slice and structure.
        volumes: one record a scan, structure and treatment of the expert's mask.
    """

    slices: list[SliceRecord]
    volumes: list[VolumeRecord]


def evaluate_scan(segmentation: Segmentation, inference: Inference) -> Evaluation:
    """Judge one segmentation on the labelled slices of its scan.

    Args:
        segmentation: a segmentation of a scan with labels.
        inference: what the segmentation was made with: how its enhancement was cleaned.

    Returns:
        Records for the LV and the myocardium, and for enhancement, core scar and gray zone if
        labelled.

    Raises:
        InputError: no slice is labelled, or the stack has a single slice and so no volume.
    """
    scan = segmentation.scan
    drawn, ours = reference_regions(scan), predicted_regions(segmentation)
    theirs = {"drawn": drawn, "cleaned": _cleaned(scan, drawn, inference)}
    where = locations(scan.labelled)
    records = Evaluation([], [])
    for structure in STRUCTURES:
        truth, prediction = _mask(drawn, structure), _mask(ours, structure)
        if truth is not None and prediction is not None:
            prediction = prediction & scan.labelled[:, None, None]
            records.slices.extend(_slices(scan, structure, truth, prediction, where))
    for structure, reference in VOLUMES:
        truth, prediction = _mask(theirs[reference], structure), _mask(ours, structure)
        if truth is not None and prediction is not None:
            prediction = prediction & scan.labelled[:, None, None]
            volumes = scan_volume_ml(truth, scan), scan_volume_ml(prediction, scan)
            records.volumes.append(VolumeRecord(scan.id, structure, *volumes, reference))
    return records


def evaluate(segmentations: Iterable[Segmentation], inference: Inference) -> Evaluation:
    """Records of several scans together; see `evaluate_scan`."""
    return merged(evaluate_scan(segmentation, inference) for segmentation in segmentations)


def merged(parts: Iterable[Evaluation]) -> Evaluation:
    """Records of several evaluations in one, such as those of the folds of a cross-validation."""
    records = Evaluation([], [])
    for part in parts:
        records.slices.extend(part.slices)
        records.volumes.extend(part.volumes)
    return records


def _cleaned(scan: Scan, drawn: Regions, inference: Inference) -> Regions:
    """What the expert drew, its enhancement treated as a prediction's."""
    if drawn.enhancement is None:
        return drawn
    enhancement = clean_scar(drawn.enhancement, scan.spacing_mm, inference)
    return drawn._replace(enhancement=enhancement, core=core_scar(scan, enhancement))


def _mask(regions: Regions, structure: VolumeStructure) -> MaskStack | None:
    """One structure; None if it was not assessed."""
    if structure != "gray_zone":
        return getattr(regions, structure)
    if regions.enhancement is None or regions.core is None:
        return None
    return regions.enhancement & ~regions.core


def _slices(
    scan: Scan,
    structure: Structure,
    truth: MaskStack,
    prediction: MaskStack,
    where: Mapping[int, Location],
) -> list[SliceRecord]:
    """One record a labelled slice."""
    scores = [np.asarray(score, np.float64) for score in overlap(prediction, truth)]
    areas = [areas_mm2(mask, scan.spacing_mm) for mask in (truth, prediction)]
    records = []
    for index, location in where.items():
        distance = surface_distance(prediction[index], truth[index], scan.spacing_mm)
        records.append(
            SliceRecord(
                scan.id,
                index,
                structure,
                location,
                *(float(score[index]) for score in scores),
                hausdorff_mm=None if distance is None else distance.hausdorff_mm,
                mean_surface_mm=None if distance is None else distance.mean_mm,
                truth_mm2=float(areas[0][index]),
                predicted_mm2=float(areas[1][index]),
            )
        )
    return records
