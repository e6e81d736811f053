"""Balanced cross-entropy, Tversky loss and their mean (paper, Training).

Logits and targets are ``[batch, height, width, outputs]``, targets in [0, 1]. A loss keeps the
batch and outputs axes, ``[batch, outputs]``, so that the caller weighs samples and skips outputs
that an expert did not draw; one that counts over the whole batch takes the weights itself.

References:
    Salehi et al. 2017, Tversky loss function for image segmentation using 3D fully convolutional
    deep networks.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch height width outputs"]
PerOutput = Float[Array, "batch outputs"]

_PIXELS = (1, 2)


def balanced_cross_entropy(logits: Images, targets: Images, *, beta: float) -> PerOutput:
    """Mean over pixels of ``-(beta p log q + (1 - beta)(1 - p) log(1 - q))``."""
    hit = targets * jax.nn.log_sigmoid(logits)
    miss = (1 - targets) * jax.nn.log_sigmoid(-logits)
    return -jnp.mean(beta * hit + (1 - beta) * miss, axis=_PIXELS)


def tversky(logits: Images, targets: Images, *, beta: float) -> PerOutput:
    """``1 - 2TP / (2TP + beta FP + (1 - beta) FN)`` with soft counts, as the paper prints it.

    An empty target gives loss 1, and 0 where the prediction is 0 as well; the gradient is finite.
    """
    probability = jax.nn.sigmoid(logits)
    hits = 2 * jnp.sum(probability * targets, axis=_PIXELS)
    false_positives = jnp.sum(probability * (1 - targets), axis=_PIXELS)
    false_negatives = jnp.sum((1 - probability) * targets, axis=_PIXELS)
    total = hits + beta * false_positives + (1 - beta) * false_negatives
    some = total > 0
    return jnp.where(some, 1 - hits / jnp.where(some, total, 1.0), 0.0)


def batch_tversky(
    logits: Images, targets: Images, weights: PerOutput, *, beta: float
) -> Float[Array, "outputs"]:
    """`tversky` with counts over all images of the batch together.

    An image without target gives the loss by image no gradient: its loss is 1 whatever is
    predicted. Counted with the others, what is predicted there is a false positive like any other.

    Args:
        logits: of the batch.
        targets: in [0, 1].
        weights: of each image and output in the counts.
        beta: weight of false positives; false negatives have the rest.

    References:
        Isensee et al., Nature Methods 18, 2021 (nnU-Net's batch Dice).
    """
    probability = jax.nn.sigmoid(logits)
    of_images = [
        jnp.sum(counted, axis=_PIXELS)
        for counted in (
            probability * targets,
            probability * (1 - targets),
            (1 - probability) * targets,
        )
    ]
    hits, false_positives, false_negatives = (jnp.sum(weights * x, axis=0) for x in of_images)
    total = 2 * hits + beta * false_positives + (1 - beta) * false_negatives
    some = total > 0
    return jnp.where(some, 1 - 2 * hits / jnp.where(some, total, 1.0), 0.0)


def segmentation_loss(logits: Images, targets: Images, *, beta: float) -> PerOutput:
    """Mean of the per-pixel and the per-image loss."""
    pixel = balanced_cross_entropy(logits, targets, beta=beta)
    return (pixel + tversky(logits, targets, beta=beta)) / 2


def reconstruction_loss(logits: Images, targets: Images) -> PerOutput:
    """Cross-entropy plus soft Dice loss: what the autoencoder minimises."""
    pixel = 2 * balanced_cross_entropy(logits, targets, beta=0.5)
    probability = jax.nn.sigmoid(logits)
    overlap = 2 * jnp.sum(probability * targets, axis=_PIXELS)
    total = jnp.sum(probability, axis=_PIXELS) + jnp.sum(targets, axis=_PIXELS)
    some = total > 0
    return pixel + jnp.where(some, 1 - overlap / jnp.where(some, total, 1.0), 0.0)


def weighted_mean(losses: PerOutput, weights: PerOutput) -> Float[Array, ""]:
    """Mean of the losses that count; 0 if none does."""
    total = jnp.sum(weights)
    some = total > 0
    return jnp.where(some, jnp.sum(losses * weights) / jnp.where(some, total, 1.0), 0.0)
