"""Training runs that take seconds: rings with noise as patients, networks of two filters."""

import numpy as np

from acsnet_jax.config import Config
from acsnet_jax.training.cohort import Cohort
from acsnet_jax.types import Label, Scan
from configs import autoencoder, lv, myo

SIZES = {
    "spec.lv_spacing_mm": None,
    "spec.lv_size": 16,
    "spec.myo_spacing_mm": None,
    "spec.myo_size": 16,
    "spec.mask_size": 16,
    "spec.margin_mm": 3.0,
    "optimisation.batch_size": 4,
    "optimisation.epochs": 2,
    "optimisation.learning_rate": 0.01,
    "optimisation.picture_every": 0,
}
UNET = {**SIZES, "model.filters": (2,), "model.bridge": 4}
MASKS = {**SIZES, "model.filters": (2, 4), "model.latent": 3}
TASKS = {"lv": (lv, UNET), "myo": (myo, UNET), "autoencoder": (autoencoder, MASKS)}


def make_config(task: str = "lv", /, **changes) -> Config:
    """The shipped config of a network, made small; changes have dots for keys of a section."""
    module, small = TASKS[task]
    config = module.get_config()
    config.update_from_flattened_dict({**small, **changes})
    return config


def make_scan(number: int, slices: int = 4) -> Scan:
    """A ring somewhere near the middle of each slice, a quarter of it scar."""
    rng = np.random.default_rng(number)
    rows, columns = np.indices((20, 20))
    labels = np.zeros((slices, 20, 20), np.uint8)
    for label in labels:
        row, column = rng.uniform(8.0, 12.0, 2)
        radius = np.hypot(rows - row, columns - column)
        label[radius < 6] = Label.MYOCARDIUM
        label[(radius < 6) & (rows < row) & (columns < column)] = Label.ENHANCEMENT
        label[radius < 3] = Label.BLOOD_POOL
    image = 60.0 * (labels > 0) + 60.0 * (labels == Label.ENHANCEMENT)
    return Scan(
        id=f"ring{number}",
        image=(image + rng.uniform(0, 40, labels.shape)).astype(np.float32),
        spacing_mm=(1.5, 1.5),
        positions_mm=8.0 * np.arange(slices),
        affine=np.eye(4),
        oriented=False,
        modality="lge",
        labels=labels,
        labelled=np.full(slices, True),
        has_enhancement=True,
        file_order=np.arange(slices),
        file_affine=np.eye(4),
    )


def make_cohort(train: int = 3, test: int = 1) -> Cohort:
    """Some patients to train on and others that are held out."""
    scans = [make_scan(number) for number in range(train + test)]
    return Cohort(scans[:train], scans[train:])
