"""Finished training runs, read back from their folders."""

import logging
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

import flax.linen as nn
import jax
import ml_collections
from jaxtyping import PyTree

from acsnet_jax.bundle import Network
from acsnet_jax.files import RESTORE, read_record
from acsnet_jax.training.checkpoint import Checkpoints
from acsnet_jax.training.record import read
from acsnet_jax.training.settings import Config, RunSettings, input_shape, settings_of, task_of
from acsnet_jax.training.sharding import one_device
from acsnet_jax.training.state import TrainState, outlined
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


def run_config(folder: pathlib.Path) -> Config:
    """The config of a training run, finished or not.

    Raises:
        InputError: the folder holds no run, or its config is damaged.
    """
    return _read(folder, ml_collections.ConfigDict)


def load_run(folder: pathlib.Path) -> tuple[RunSettings, TrainState]:
    """Settings and last state of a training run; a warning says if it is not finished.

    Raises:
        InputError: the folder holds no run, one without a checkpoint, or what it holds is damaged.
    """
    settings, like = _read(folder, _begun)
    with Checkpoints(folder, read_only=True) as checkpoints:
        if checkpoints.latest_step() is None:
            raise InputError(f"{folder} has no checkpoint yet; finish that training first")
        state = checkpoints.restore(like, one_device())
    done = [row.get("epoch", 0) for row in read(folder) if row.get("step") == int(state.step)]
    if done and done[-1] < settings.optimisation.epochs:
        _LOG.warning(
            "%s is not finished: its checkpoint is of epoch %d of %d",
            folder,
            done[-1],
            settings.optimisation.epochs,
        )
    return settings, state


def _read(folder: pathlib.Path, parse: Callable[[Any], T]) -> T:
    """What ``config.json`` of a run says, as `parse` makes it of it."""
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder} holds no training run (no config.json); train there first")
    return read_record(path, parse, fix=RESTORE)


def _begun(values: dict[str, Any]) -> tuple[RunSettings, TrainState]:
    """Settings of a run, and shapes and dtypes of its state."""
    settings = settings_of(ml_collections.ConfigDict(values))
    task = task_of(settings)
    shape = input_shape(settings.task, settings.spec)
    return settings, outlined(task.model, task.optimiser, shape)


def as_network(settings: RunSettings, state: TrainState) -> Network:
    """The network of a run, as a bundle keeps it."""
    return as_network_of(settings.model, state.variables)


def as_network_of(model: nn.Module, variables: PyTree) -> Network:
    """A network and its variables, as a bundle keeps it."""
    fields = ("filters", "bridge", "outputs", "dropout", "patch", "size", "latent")
    sizes = {name: getattr(model, name) for name in fields if hasattr(model, name)}
    return Network(sizes, jax.device_get(variables))
