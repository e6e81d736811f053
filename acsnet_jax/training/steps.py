"""One training step and one evaluation step, pure; `jit` and sharding are applied in `sharding`."""

import dataclasses
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt8

from acsnet_jax.losses import (
    balanced_cross_entropy,
    batch_tversky,
    reconstruction_loss,
    segmentation_loss,
    weighted_mean,
)
from acsnet_jax.metrics.overlap import dice
from acsnet_jax.models.networks import channels_last
from acsnet_jax.training.augment import (
    NOTHING,
    Augment,
    damage_masks,
    jitter_intensity,
    null_outside_box,
    warp,
)
from acsnet_jax.training.datasets import Dataset
from acsnet_jax.training.optimiser import Course
from acsnet_jax.training.state import TrainState


class Batch(NamedTuple):
    """Samples as `datasets.Dataset` holds them, on the device."""

    images: UInt8[Array, "batch *channels height width"]
    targets: UInt8[Array, "batch height width outputs"]
    weights: Float[Array, "batch outputs"]
    half_side: Float[Array, "batch"]


def as_batch(samples: Dataset) -> Batch:
    """Some samples of a dataset, without what the device does not need."""
    fields: Any = samples[: len(Batch._fields)]
    return Batch(*fields)


@dataclasses.dataclass(frozen=True)
class Task:
    """What a step needs besides state and batch; hashable, so that `jit` may close over it.

    Attributes:
        name: "lv", "myo" or "autoencoder".
        model: the network.
        optimiser: of its parameters; its ``update`` may take ``course``.
        size: height and width of the network's input.
        augment: random changes.
        beta: weight of the losses of stages 1 and 2.
        loss: whether their Tversky loss is that of each image or of the whole batch.
    """

    name: str
    model: nn.Module
    optimiser: optax.GradientTransformation
    size: int
    augment: Augment
    beta: float
    loss: Literal["image", "batch"] = "image"


def train_step(
    task: Task, course: Course, state: TrainState, batch: Batch
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """Augment, descend once. Metrics: loss, and the mean Dice of each output ("dice_0", ...)."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key_data), state.step)
    augment_key, dropout_key = jax.random.split(key)
    images, targets = prepare(task, augment_key, batch)

    def objective(params):
        variables = {**state.variables, "params": params}
        logits, updates = task.model.apply(
            variables, images, train=True, mutable=["batch_stats"], rngs={"dropout": dropout_key}
        )
        return batch_loss(task, logits, targets, batch.weights), (logits, updates)

    (loss, (logits, updates)), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
    optimiser = optax.with_extra_args_support(task.optimiser)
    changes, opt_state = optimiser.update(gradients, state.opt_state, state.params, course=course)
    state = state._replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, changes),
        batch_stats=updates.get("batch_stats", state.batch_stats),
        opt_state=opt_state,
    )
    return state, {"loss": loss, **_scores(logits, targets, batch.weights)}


def eval_step(
    task: Task, state: TrainState, batch: Batch
) -> tuple[Float[Array, "batch outputs"], Bool[Array, "batch outputs"]]:
    """Dice of each sample and output without augmentation, and which of them count."""
    still = dataclasses.replace(task, augment=NOTHING)
    images, targets = prepare(still, jax.random.wrap_key_data(state.key_data), batch)
    logits = task.model.apply(state.variables, images, train=False)
    return _dice(logits, targets), batch.weights > 0


def prepare(
    task: Task, key: PRNGKeyArray, batch: Batch
) -> tuple[Float[Array, "batch size size channels"], Float[Array, "batch size size outputs"]]:
    """Augmented network input and targets."""
    warp_key, intensity_key, box_key = jax.random.split(key, 3)
    images = channels_last(batch.images).astype(jnp.float32)
    targets = batch.targets.astype(jnp.float32)
    warped = warp(warp_key, jnp.concatenate([images, targets], -1), task.size, task.augment)
    images, targets = jnp.split(warped, [images.shape[-1]], axis=-1)
    targets = (targets >= 0.5).astype(jnp.float32)
    if task.name == "autoencoder":
        if not task.augment.damage:
            return targets, targets
        return damage_masks(intensity_key, targets[..., 0], task.augment)[..., None], targets
    images = jitter_intensity(intensity_key, images, task.augment)
    return null_outside_box(box_key, images, batch.half_side, task.augment), targets


def batch_loss(
    task: Task,
    logits: Float[Array, "batch size size outputs"],
    targets: Float[Array, "batch size size outputs"],
    weights: Float[Array, "batch outputs"],
) -> Float[Array, ""]:
    """What a step descends on."""
    if task.name == "autoencoder":
        return jnp.mean(reconstruction_loss(logits, targets) * weights)
    if task.loss == "image":
        return jnp.mean(segmentation_loss(logits, targets, beta=task.beta) * weights)
    pixel = balanced_cross_entropy(logits, targets, beta=task.beta)
    whole = batch_tversky(logits, targets, weights, beta=task.beta)
    return (jnp.mean(pixel * weights) + jnp.mean(whole)) / 2


def _scores(logits: Any, targets: Any, weights: Any) -> dict[str, Float[Array, ""]]:
    """Mean Dice of each output over the samples that count."""
    scores = _dice(logits, targets)
    counted = (weights > 0).astype(jnp.float32)
    return {
        f"dice_{output}": weighted_mean(scores[:, output, None], counted[:, output, None])
        for output in range(targets.shape[-1])
    }


def _dice(logits: Any, targets: Any) -> Float[Array, "batch outputs"]:
    return dice(jnp.moveaxis(logits > 0, -1, 1), jnp.moveaxis(targets > 0.5, -1, 1))
