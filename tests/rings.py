"""A latent space that needs no training: codes are the two radii of a ring."""

import jax.numpy as jnp
import numpy as np

from acsnet_jax import anatomy, latent
from acsnet_jax.correction import CorrectionOptions, Corrector
from acsnet_jax.types import Population

SIZE = 64
SPACING = 1.5
THRESHOLDS = anatomy.Thresholds(
    circularity_epi=0.75,
    circularity_endo=0.7,
    convexity_defect_mm=4.0,
    wall_min_mm=3.0,
    wall_max_mm=25.0,
    gap_max_deg=100.0,
)
_OFFSET = jnp.arange(SIZE, dtype=jnp.float32) - SIZE // 2
_RADIUS_MM = SPACING * jnp.hypot(_OFFSET[:, None], _OFFSET[None, :])


def encode(masks):
    """(outer, inner) radius in mm of the disc and the hole of the same areas."""
    pixel = SPACING**2
    area = masks.sum(axis=(1, 2)) * pixel
    moment = (masks * _RADIUS_MM[None] ** 2).sum(axis=(1, 2)) * pixel
    # For a ring: area = pi (R^2 - r^2), moment = pi (R^4 - r^4) / 2.
    total = 2 * moment / jnp.maximum(area, 1.0)
    difference = area / jnp.pi
    outer = jnp.sqrt(jnp.maximum(total + difference, 0.0) / 2)
    inner = jnp.sqrt(jnp.maximum(total - difference, 0.0) / 2)
    return jnp.stack([outer, inner], axis=-1)


def decode(codes):
    outer, inner = codes[:, 0, None, None], codes[:, 1, None, None]
    return (_RADIUS_MM[None] <= outer) & (_RADIUS_MM[None] > inner)


def make_corrector():
    outer, wall = np.meshgrid(np.arange(18, 40, 2.0), np.arange(6, 14, 2.0))
    codes = jnp.asarray(np.stack([outer.ravel(), (outer - wall).ravel()], -1), jnp.float32)
    masks = decode(codes)
    valid = anatomy.is_valid(masks, (SPACING, SPACING), THRESHOLDS)
    codes, masks = codes[valid], masks[valid]
    return Corrector(
        encode=encode,
        decode=decode,
        population=Population(codes, latent.pack_masks(masks)),
        mixture=latent.fit_mixture(np.asarray(codes), 1, seed=0),
        thresholds=THRESHOLDS,
        size=SIZE,
        spacing_mm=SPACING,
        options=CorrectionOptions(alphas=16),
    )
