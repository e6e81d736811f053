"""An autoencoder of masks in memory: stage 3's training for shapes of any kind."""

import jax
import numpy as np
from jaxtyping import Bool, PyTree

from acsnet_jax.models import Autoencoder
from acsnet_jax.training import loop
from acsnet_jax.training.augment import Augment
from acsnet_jax.training.datasets import dataset_of_masks
from acsnet_jax.training.record import Record
from acsnet_jax.training.settings import Optimisation, course_of, make_task
from acsnet_jax.training.sharding import compiled_train_step, data_mesh, replicated
from acsnet_jax.training.state import create
from acsnet_jax.types import InputError


def train_autoencoder(
    masks: Bool[np.ndarray, "n height width"],
    model: Autoencoder,
    *,
    augment: Augment,
    optimisation: Optimisation,
    seed: int = 0,
    record: Record | None = None,
) -> PyTree:
    """Trains an autoencoder on masks for a fixed number of epochs, without checkpoints.

    Args:
        masks: of the model's size.
        model: the network.
        augment: random changes; they must leave a mask one of its kind, and within the picture.
        optimisation: how long and how fast.
        seed: of the parameters, the order of the masks and the random changes.
        record: gets the mean loss and Dice of each epoch.

    Returns:
        The variables that the model's ``apply`` takes, on the first device.

    Raises:
        InputError: there are no masks, or their size is not the model's.
        FloatingPointError: the loss is not finite; names the step.
    """
    count, height, width = masks.shape
    if not count or (height, width) != (model.size, model.size):
        raise InputError(
            f"{count} masks of {height} x {width} pixels; give the autoencoder masks of "
            f"{model.size} x {model.size}"
        )
    dataset = dataset_of_masks(masks)
    steps = loop.steps_per_epoch(count, optimisation.batch_size)
    task = make_task(
        "autoencoder",
        model,
        model.size,
        augment=augment,
        optimisation=optimisation,
    )
    course = course_of(optimisation, steps * optimisation.epochs)
    mesh = data_mesh(optimisation.batch_size)
    step = compiled_train_step(task, course, mesh)
    state = create(model, task.optimiser, (1, height, width, 1), jax.random.key(seed))
    state = jax.device_put(state, replicated(mesh))
    for epoch in range(optimisation.epochs):
        state = loop.run_epoch(
            step,
            state,
            dataset,
            epoch=epoch,
            epochs=optimisation.epochs,
            batch_size=optimisation.batch_size,
            seed=seed,
            name=task.name,
            mesh=mesh,
            record=record,
        )
    loop.check_finite(task.name, state)
    return jax.device_put(state.variables, jax.devices()[0])
