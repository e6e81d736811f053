"""Where `jit`, donation and sharding are applied: parameters on every device, batches divided.

Under `jit` with a divided batch, Linen's batch statistics are already those of the whole batch.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from jaxtyping import Int

from acsnet_jax.training.datasets import Dataset
from acsnet_jax.training.optimiser import Course
from acsnet_jax.training.state import TrainState
from acsnet_jax.training.steps import Batch, Task, as_batch, train_step
from acsnet_jax.types import InputError


def data_mesh(batch_size: int, *, devices: Sequence[Any] | None = None) -> Mesh:
    """Devices along one data axis, each with an equal share of a batch.

    Args:
        batch_size: samples a step, over all devices.
        devices: None for all there are, over all processes.

    Raises:
        InputError: the devices do not divide the batch; names the nearest sizes that they divide.
    """
    devices = jax.devices() if devices is None else devices
    count, left = len(devices), batch_size % len(devices)
    if left:
        sizes = [size for size in (batch_size - left, batch_size - left + count) if size]
        raise InputError(
            f"a batch of {batch_size} cannot be divided among {count} devices; set "
            f"optimisation.batch_size to {' or '.join(map(str, sizes))}, or to any other multiple "
            f"of {count}"
        )
    return Mesh(np.array(devices), ("data",))


def one_device() -> Sharding:
    """Everything on the first device of this process."""
    return SingleDeviceSharding(jax.local_devices()[0])


def on_one_device(state: TrainState) -> TrainState:
    """A copy of a replicated state that this process computes with alone."""
    return jax.device_put(jax.device_get(state), one_device())


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def divided(mesh: Mesh) -> NamedSharding:
    """Divided along the batch."""
    return NamedSharding(mesh, PartitionSpec("data"))


def divided_batch(dataset: Dataset, chosen: Int[np.ndarray, "batch"], mesh: Mesh) -> Batch:
    """Some samples, divided among the devices; each process reads those of its own devices alone.

    Args:
        dataset: the same in all processes.
        chosen: the same indices of samples in all processes, as many as the devices divide.
        mesh: of `data_mesh`.
    """
    sharding = divided(mesh)
    shares = sharding.addressable_devices_indices_map(chosen.shape).values()
    mine = np.concatenate([chosen[share] for share in sorted(shares, key=_start)])
    return jax.tree.map(
        lambda part: jax.make_array_from_process_local_data(
            sharding, part, (len(chosen), *part.shape[1:])
        ),
        as_batch(dataset.take(mine)),
    )


def _start(share: Any) -> int:
    """Where a device's part of a batch begins; the whole batch begins at None."""
    return share[0].start or 0


def compiled_train_step(task: Task, course: Course, mesh: Mesh) -> functools.partial:
    """`train_step` of state and batch for one mesh; donates the state that goes in.

    Runs of one task and mesh share the program, whatever their course.
    """
    return functools.partial(_jitted_train_step(task, mesh), course)


@functools.lru_cache(maxsize=8)
def _jitted_train_step(task: Task, mesh: Mesh) -> Callable:
    same, parts = replicated(mesh), divided(mesh)
    batch: Any = (parts,) * len(Batch._fields)
    return jax.jit(
        functools.partial(train_step, task),
        in_shardings=(same, same, Batch(*batch)),
        out_shardings=(same, same),
        donate_argnums=1,
    )
