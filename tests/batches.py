"""Measures and delta at one batch size, so that all tests of one mask size share two programs."""

import jax
import jax.numpy as jnp
import numpy as np

from acsnet_jax import anatomy

BATCH = 170


def in_batches(function, masks, spacing_mm, *others):
    """Runs a jitted function of masks [n, h, w] and their spacing, [2] or [n, 2]."""
    count = len(masks)
    spacing = np.broadcast_to(np.asarray(spacing_mm, np.float32), (count, 2))
    masks = np.pad(masks, ((0, -count % BATCH), (0, 0), (0, 0)))
    spacing = np.pad(spacing, ((0, -count % BATCH), (0, 0)), constant_values=1)
    parts = [
        jax.tree.map(np.asarray, function(masks[k : k + BATCH], spacing[k : k + BATCH], *others))
        for k in range(0, len(masks), BATCH)
    ]
    return jax.tree.map(lambda *part: np.concatenate(part)[:count], *parts)


def measure(masks, spacing_mm):
    """Measures of masks [n, h, w], or of one mask."""
    if masks.ndim == 2:
        return jax.tree.map(lambda x: x[0], measure(masks[None], spacing_mm))
    return in_batches(anatomy.measure, masks, spacing_mm)


def is_valid(masks, spacing_mm, thresholds):
    """Delta of masks [n, h, w]."""
    return in_batches(anatomy.is_valid, masks, spacing_mm, jax.tree.map(jnp.float32, thresholds))
