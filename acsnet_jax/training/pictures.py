"""Pictures of training samples: what the network sees, should say and says."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, UInt8

from acsnet_jax.training.augment import NOTHING
from acsnet_jax.training.datasets import Dataset
from acsnet_jax.training.settings import RunSettings, task_of
from acsnet_jax.training.state import TrainState
from acsnet_jax.training.steps import Task, as_batch, prepare

_TARGET = np.array([0.2, 0.9, 0.3], np.float32)
_PREDICTION = np.array([1.0, 0.25, 0.2], np.float32)


def sample_picture(
    settings: RunSettings, state: TrainState, samples: Dataset
) -> UInt8[np.ndarray, "height width 3"]:
    """One row a sample: the image, the target's outline (green), the prediction's (red)."""
    task = task_of(settings)
    batch = jax.device_put(as_batch(samples))
    still = dataclasses.replace(task, augment=NOTHING)
    images, targets = _prepare(still, jax.random.key(0), batch)
    logits = _logits(task, state, images)
    images, targets, logits = (np.asarray(array) for array in (images, targets, logits))
    top = 1.0 if settings.task == "autoencoder" else 255.0
    rows = []
    for image, target, logit in zip(images, targets, logits, strict=True):
        gray = np.repeat(image[..., :1] / top, 3, axis=-1)
        panels = [gray]
        for output in range(target.shape[-1]):
            panel = _outline(gray, target[..., output] > 0.5, _TARGET)
            panels.append(_outline(panel, logit[..., output] > 0, _PREDICTION))
        rows.append(np.concatenate(panels, axis=1))
    return np.rint(255 * np.concatenate(rows)).astype(np.uint8)


_prepare = jax.jit(prepare, static_argnums=0)


@functools.partial(jax.jit, static_argnums=0)
def _logits(task: Task, state: TrainState, images: Array) -> Any:
    return task.model.apply(state.variables, images, train=False)


def _outline(image: np.ndarray, mask: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Colour the mask's pixels that touch its outside."""
    inner = np.pad(mask, 1)
    inner = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:] & mask
    return np.where((mask & ~inner)[..., None], colour, image)
