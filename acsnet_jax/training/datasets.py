"""Cohorts as arrays: what each of the three networks trains on.

Images and targets are stored as uint8 (a slice costs one byte a pixel) and become floats on the
device. Only labelled slices enter.
"""

import hashlib
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from acsnet_jax.ops.host import centroid
from acsnet_jax.preprocess.crop import crop_or_pad
from acsnet_jax.preprocess.grid import to_working
from acsnet_jax.preprocess.stages import (
    InputSpec,
    lv_box,
    lv_images,
    lv_working,
    myo_images,
    myo_working,
)
from acsnet_jax.types import InputError, Label, Scan

JITTER = 1.25
"""Stage 2's training windows are larger than its input, so that jittered boxes show no padding."""

_HASHED = 256  # samples in memory at a time


class Dataset(NamedTuple):
    """Samples along the first axis.

    Attributes:
        images: ``[samples, height, width]``, or ``[samples, channels, height, width]`` with the
            neighbours of each slice; intensities in 0..255 (for the autoencoder: the masks
            themselves, 0 or 1).
        targets: ``[samples, height, width, outputs]``, 0 or 1.
        weights: ``[samples, outputs]``, weight in the loss, of mean 1 once balanced; 0 where
            nobody told the output.
        half_side: ``[samples]``, half the side of stage 2's box in pixels; infinite where none
            applies.
        scans: ``[samples]``, index of the scan that each sample comes from.
    """

    images: UInt8[np.ndarray, "samples *channels height width"]
    targets: UInt8[np.ndarray, "samples height width outputs"]
    weights: Float32[np.ndarray, "samples outputs"]
    half_side: Float32[np.ndarray, "samples"]
    scans: np.ndarray

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.images)

    def take(self, indices: np.ndarray) -> "Dataset":
        """Some samples."""
        return Dataset(*(field[indices] for field in self))

    @property
    def digest(self) -> str:
        """SHA-256 of all samples, to tell a cohort from what it was when a run began."""
        hashed = hashlib.sha256()
        for start in range(0, self.size, _HASHED):  # the arrays may lie in files
            for field in self:
                hashed.update(field[start : start + _HASHED].tobytes())
        return hashed.hexdigest()


def lv_dataset(scans: list[Scan], spec: InputSpec) -> Dataset:
    """Stage 1: whole slices and the LV (myocardium and blood pool)."""
    parts = []
    for index, scan in enumerate(scans):
        working = lv_working(scan, spec)
        keep = scan.labelled
        images = lv_images(working, spec)[keep]
        labels = crop_or_pad(_labels(working.labels), spec.lv_size)[keep]
        targets = (labels != Label.BACKGROUND)[..., None]
        parts.append(_part(index, images, targets, np.ones(1), np.inf))
    return _join(parts, scans)


def myo_dataset(scans: list[Scan], spec: InputSpec) -> Dataset:
    """Stage 2: windows on the LV; myocardium, and enhancement where the expert drew it.

    With ``spec.no_reflow`` also no-reflow, where the expert drew enhancement on LGE: the
    pseudo-scar of cine has none.
    """
    size = 2 * math.ceil(spec.myo_size * JITTER / 2)  # even, as the input: one centre
    parts = []
    for index, scan in enumerate(scans):
        working = myo_working(scan, spec)
        labels = _labels(working.labels)
        keep = scan.labelled
        box = lv_box(labels[keep] != Label.BACKGROUND, working.grid.spacing_mm, spec.margin_mm)
        images = myo_images(working, box, spec, size=size)[keep]
        window = crop_or_pad(labels, size, centre=box.centre)[keep]
        targets = [window >= Label.MYOCARDIUM, window >= Label.ENHANCEMENT]
        weights = [1.0, float(scan.has_enhancement)]
        if spec.no_reflow:
            targets.append(window == Label.NO_REFLOW)
            weights.append(float(scan.has_enhancement and scan.modality == "lge"))
        parts.append(
            _part(index, images, np.stack(targets, axis=-1), np.array(weights), box.half_side)
        )
    return _join(parts, scans)


def mask_dataset(scans: list[Scan], spec: InputSpec) -> Dataset:
    """Stage 3: expert myocardium masks, each centred on its own centroid."""
    parts = []
    for index, scan in enumerate(scans):
        labels = _labels(to_working(scan, spec.myo_spacing_mm).labels)[scan.labelled]
        masks = labels >= Label.MYOCARDIUM
        masks = [centre_mask(mask, spec.mask_size) for mask in masks if mask.any()]
        if masks:
            parts.append(_masks_part(index, np.stack(masks)))
    return _join(parts, scans)


def dataset_of_masks(masks: Bool[np.ndarray, "masks size size"]) -> Dataset:
    """Stage 3 without scans: masks as they are, each its own target and all of one weight."""
    return _masks_part(np.arange(len(masks)), masks)


def centre_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """A `size` x `size` window centred on the mask's centroid."""
    return crop_or_pad(mask, size, centre=centroid(mask))


def balance_cine(dataset: Dataset, scans: list[Scan]) -> Dataset:
    """Weigh cine samples down so that they sum to no more than the LGE samples (paper, Training).

    Each output is balanced on its own, since fewer scans carry enhancement; without LGE all samples
    count alike. Then all weights are scaled so that their mean is 1: a step divides by the number
    of its samples and never by the weights that it happened to draw, or else cine would rule the
    batches in which it is many.
    """
    cine = np.array([scan.modality == "cine" for scan in scans])[dataset.scans]
    lge_total = dataset.weights[~cine].sum(axis=0)
    cine_total = dataset.weights[cine].sum(axis=0)
    factor = np.ones_like(lge_total)
    both = (lge_total > 0) & (cine_total > 0)
    factor[both] = np.minimum(1.0, lge_total[both] / cine_total[both])
    weights = np.where(cine[:, None], dataset.weights * factor, dataset.weights)
    return dataset._replace(weights=(weights / weights.mean()).astype(np.float32))


def _labels(labels: np.ndarray | None) -> np.ndarray:
    if labels is None:
        raise InputError("a scan without labels cannot be trained on")
    return labels


def _masks_part(index, masks) -> Dataset:
    return _part(index, masks, masks[..., None], np.ones(1), np.inf)


def _part(index, images, targets, weights, half_side) -> Dataset:
    count = len(images)
    return Dataset(
        np.rint(images).astype(np.uint8),
        targets.astype(np.uint8),
        np.tile(weights.astype(np.float32), (count, 1)),
        np.full(count, half_side, np.float32),
        np.full(count, index),
    )


def _join(parts: list[Dataset], scans: list[Scan]) -> Dataset:
    if not parts:
        raise InputError(f"none of the {len(scans)} scans has a labelled slice to train on")
    return Dataset(*(np.concatenate(field) for field in zip(*parts, strict=True)))
