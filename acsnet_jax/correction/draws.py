"""Valid shapes near corrected ones: what else the wall could look like.

Stacks are ``[slices, height, width]`` on the corrector's working grid.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped

from acsnet_jax.correction.check import parts
from acsnet_jax.correction.corrector import Corrector
from acsnet_jax.latent import Mixture
from acsnet_jax.ops.host import centroid, holes
from acsnet_jax.preprocess.crop import crop_or_pad
from acsnet_jax.types import MaskStack, Spacing

_HALVINGS = 3
_BLOCK = 64  # codes that are decoded, and masks that are checked, at once


class ShapeChanges(NamedTuple):
    """By how much the areas of drawn shapes differ from the shape they are drawn around, in mm^2.

    Attributes:
        wall: of the myocardium.
        cavity: of what it encloses.
        marked: of what is marked within it.
    """

    wall: Float64[np.ndarray, "draws slices"]
    cavity: Float64[np.ndarray, "draws slices"]
    marked: Float64[np.ndarray, "draws slices"]


def shape_draws(
    masks: MaskStack,
    marked: MaskStack,
    corrector: Corrector,
    spacing_mm: Spacing,
    *,
    draws: int,
    step: float,
    seed: int = 0,
) -> ShapeChanges:
    """Draw valid shapes around those of a stack.

    A draw moves the codes of all slices by one step, since a wall that is drawn too thick is so
    from apex to base. A slice whose moved code decodes to an invalid mask moves by half of it, a
    quarter, an eighth, or not at all.

    Args:
        masks: corrected ones; empty slices stay empty.
        marked: whatever is to be marked wherever the wall comes to lie.
        corrector: stage 3.
        spacing_mm: of the masks.
        draws: how many.
        step: standard deviation of a draw, as a share of that of the mixture of experts' codes.
        seed: of the draws.
    """
    changes = ShapeChanges(*(np.zeros((draws, len(masks))) for _ in ShapeChanges._fields))
    occupied = np.flatnonzero(masks.any(axis=(1, 2)))
    if not occupied.size or not draws:
        return changes
    centres = [centroid(masks[index]) for index in occupied]
    windows, inside = (
        np.stack(
            [
                crop_or_pad(stack[index], corrector.size, centre=at)
                for index, at in zip(occupied, centres, strict=True)
            ]
        )
        for stack in (masks, marked)
    )
    codes = np.concatenate(
        [np.asarray(corrector.encode(jnp.asarray(x.astype(np.float32)))) for x in parts(windows)]
    )[: len(occupied)]
    steps = step * _deviations(corrector.mixture, draws, seed)
    around = _areas(_decode(codes, corrector), inside, spacing_mm)
    shapes = np.zeros((draws, len(occupied), corrector.size, corrector.size), bool)
    valid = np.zeros((draws, len(occupied)), bool)
    for halving in range(_HALVINGS + 1):
        draw, at = np.nonzero(~valid)
        if not draw.size:
            break
        shapes[draw, at], valid[draw, at] = _decoded(
            codes[at] + steps[draw] * 0.5**halving, corrector, spacing_mm
        )
    for draw, (masks_drawn, usable) in enumerate(zip(shapes, valid, strict=True)):
        found = _areas(masks_drawn, inside, spacing_mm)
        for change, area, unmoved in zip(changes, found, around, strict=True):
            change[draw, occupied] = np.where(usable, area - unmoved, 0.0)
    return changes


def _deviations(mixture: Mixture, draws: int, seed: int) -> Float32[np.ndarray, "draws latent"]:
    """Steps with the covariance of the whole mixture, as many forth as back."""
    weights, means = np.asarray(mixture.weights, np.float64), np.asarray(mixture.means, np.float64)
    apart = means - weights @ means
    covariance = np.einsum("c,cij->ij", weights, np.asarray(mixture.covariances, np.float64))
    covariance += np.einsum("c,ci,cj->ij", weights, apart, apart)
    values, vectors = np.linalg.eigh(covariance)
    half = np.random.default_rng(seed).standard_normal((-(-draws // 2), len(values)))
    steps = (half * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return np.concatenate([steps, -steps])[:draws].astype(np.float32)


def _decoded(
    codes: Float32[np.ndarray, "n latent"], corrector: Corrector, spacing_mm: Spacing
) -> tuple[Bool[np.ndarray, "n size size"], Bool[np.ndarray, " n"]]:
    """Shapes of codes, and whether each satisfies delta."""
    masks = _decode(codes, corrector)
    is_valid, _ = corrector.delta(spacing_mm)
    return masks, _in_blocks(is_valid, masks)


def _decode(
    codes: Float32[np.ndarray, "n latent"], corrector: Corrector
) -> Bool[np.ndarray, "n size size"]:
    return _in_blocks(corrector.decode, codes)


def _in_blocks(function: Callable, rows: Shaped[np.ndarray, "n ..."]) -> Any:
    """In blocks of one length, so that one program serves every stack."""
    filling = np.zeros((-len(rows) % _BLOCK, *rows.shape[1:]), rows.dtype)
    blocks = np.split(np.concatenate([rows, filling]), -(-len(rows) // _BLOCK))
    return np.concatenate([np.asarray(function(jnp.asarray(x))) for x in blocks])[: len(rows)]


def _areas(
    masks: Bool[np.ndarray, "slices size size"],
    inside: Bool[np.ndarray, "slices size size"],
    spacing_mm: Spacing,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Areas of wall, cavity and what is marked in the wall, in mm^2."""
    cavities = np.stack([holes(mask) for mask in masks])
    pixel = spacing_mm[0] * spacing_mm[1]
    wall, cavity, marked = (
        pixel * np.count_nonzero(x, axis=(1, 2)) for x in (masks, cavities, masks & inside)
    )
    return wall, cavity, marked
