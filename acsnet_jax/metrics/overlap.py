"""Overlap of two masks, jitted JAX, one number a mask; all values lie in [0, 1].

Masks are ``Bool[*batch, height, width]``: every leading axis is a batch.

No measure is ever NaN. Where a rate has nothing to count (sensitivity of an empty reference,
specificity of a full one) it is 1 if the prediction agrees and 0 if it does not. That is Dice's own
policy: a false alarm on an empty slice scores Dice 0 and balanced accuracy of at most 1/2. (It
differs from scikit-learn, which drops the absent class and would reward the false alarm with 1.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from acsnet_jax.types import check_bool

MaskLike = Bool[Array | np.ndarray, "*batch height width"]


class Overlap(NamedTuple):
    """Overlap measures of a batch of masks, each in [0, 1].

    Attributes:
        dice: 2 TP / (2 TP + FP + FN).
        balanced_accuracy: mean of sensitivity and specificity.
        sensitivity: TP / (TP + FN).
        specificity: TN / (TN + FP).
    """

    dice: Float[Array, "*batch"]
    balanced_accuracy: Float[Array, "*batch"]
    sensitivity: Float[Array, "*batch"]
    specificity: Float[Array, "*batch"]


def _count(mask: Bool[Array, "*batch height width"]) -> Float[Array, "*batch"]:
    return jnp.sum(mask, axis=(-2, -1)).astype(jnp.float32)


def _ratio(
    numerator: Float[Array, "*batch"],
    denominator: Float[Array, "*batch"],
    otherwise: Float[Array, "*batch"],
) -> Float[Array, "*batch"]:
    """``numerator / denominator``, and ``otherwise`` where there is nothing to count."""
    countable = denominator > 0
    return jnp.where(countable, numerator / jnp.where(countable, denominator, 1.0), otherwise)


@jax.jit
def overlap(prediction: MaskLike, truth: MaskLike) -> Overlap:
    """All overlap measures of a prediction with its reference.

    Args:
        prediction: predicted masks.
        truth: reference masks.

    Returns:
        One number of each measure per mask.

    Raises:
        InputError: masks are not of type bool.
    """
    prediction, truth = jnp.asarray(prediction), jnp.asarray(truth)
    check_bool(prediction, truth)
    true_positive = _count(prediction & truth)
    false_positive = _count(prediction & ~truth)
    false_negative = _count(~prediction & truth)
    true_negative = _count(~prediction & ~truth)
    # Each fallback applies only where its class is absent from the reference.
    sensitivity = _ratio(
        true_positive,
        true_positive + false_negative,
        (false_positive == 0).astype(jnp.float32),
    )
    specificity = _ratio(
        true_negative,
        true_negative + false_positive,
        (false_negative == 0).astype(jnp.float32),
    )
    dice = _ratio(
        2.0 * true_positive,
        2.0 * true_positive + false_positive + false_negative,
        jnp.ones_like(true_positive),
    )
    return Overlap(dice, 0.5 * (sensitivity + specificity), sensitivity, specificity)


def dice(prediction: MaskLike, truth: MaskLike) -> Float[Array, "*batch"]:
    """Dice coefficient: 1 if both masks are empty, 0 if one is."""
    return overlap(prediction, truth).dice


def balanced_accuracy(prediction: MaskLike, truth: MaskLike) -> Float[Array, "*batch"]:
    """Mean of sensitivity and specificity; empty and full references as the module says."""
    return overlap(prediction, truth).balanced_accuracy


def sensitivity(prediction: MaskLike, truth: MaskLike) -> Float[Array, "*batch"]:
    """Share of the reference that was found; with an empty reference 1 if nothing was predicted."""
    return overlap(prediction, truth).sensitivity


def specificity(prediction: MaskLike, truth: MaskLike) -> Float[Array, "*batch"]:
    """Share of the background that was left alone; with a full reference 1 if all was predicted."""
    return overlap(prediction, truth).specificity


def stack_dice(
    prediction: Bool[np.ndarray, "slices height width"],
    truth: Bool[np.ndarray, "slices height width"],
) -> float:
    """Dice over all slices together, on the host: 1 if both masks are empty, 0 if one is.

    Raises:
        InputError: masks are not of type bool.
    """
    check_bool(prediction, truth)
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(prediction & truth) / total if total else 1.0
