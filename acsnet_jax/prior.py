"""The stage 3 that ships with the package: what it knows of hearts before it has seen one.

`SHIPPED` is a bundle without segmentation networks in compact form, under 1 MB: variables and
population codes in half precision, and no masks, which are decoded and held against delta again
when it is loaded. It was made of phantom shapes alone (`acsnet_jax.synthesis.shapes`), so no
patient's data are in it and no licence of a data set binds it.
"""

import logging
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from acsnet_jax.latent import pack_masks
from acsnet_jax.types import InputError, Population

SHIPPED = pathlib.Path(__file__).parent / "priors" / "shapes"
"""Folder of the prior that is used where no bundle is given."""

SHIPPED_NAME = "the prior that ships with acsnet_jax, trained on phantom shapes"
"""What it is called where a command says that it is used."""

_LOG = logging.getLogger(__name__)
_BLOCK = 500  # codes decoded and checked at once


def half_precision(variables: PyTree) -> PyTree:
    """Variables in float32 with values that float16 holds, so that compact form loses nothing.

    Raises:
        InputError: a value is too large for float16.
    """
    with np.errstate(over="ignore"):
        rounded = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), variables)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(rounded)):
        raise InputError("a variable is beyond the 65504 of half precision: keep the bundle whole")
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), rounded)


def decoded_population(
    codes: Float[Array | np.ndarray, "size latent"], decode: Callable, is_valid: Callable
) -> Population:
    """The population of codes that are stored without their masks.

    Rounding differs between processors, so every mask is checked; codes that fail are left out.

    Args:
        codes: of masks that satisfied delta where they were drawn.
        decode: codes to masks.
        is_valid: masks to delta.

    Raises:
        InputError: fewer than half of them decode to valid masks.
    """
    codes = np.asarray(codes, np.float32)
    padded = np.concatenate([codes, np.zeros((-len(codes) % _BLOCK, codes.shape[1]), np.float32)])
    packed, valid = [], []
    for block in np.split(padded, len(padded) // _BLOCK):
        masks = decode(jnp.asarray(block))
        packed.append(np.asarray(pack_masks(masks)))
        valid.append(np.asarray(is_valid(masks)))
    kept = np.concatenate(valid)[: len(codes)]
    if kept.sum() < len(codes) / 2:
        raise InputError(
            f"only {kept.sum()} of {len(codes)} codes decode to valid masks: the bundle is "
            "damaged, restore it or install acsnet_jax anew"
        )
    if not kept.all():
        _LOG.warning("%d of %d codes decode to invalid masks here", (~kept).sum(), len(codes))
    masks = np.concatenate(packed)[: len(codes)][kept]
    return Population(jnp.asarray(codes[kept]), jnp.asarray(masks))
