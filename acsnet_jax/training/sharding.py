"""Where `jit`, donation and sharding are applied: parameters on every device, batches divided.

Under `jit` with a divided batch, Linen's batch statistics are already those of the whole batch.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from acsnet_jax.training.steps import Batch, Task, train_step


def data_mesh(batch_size: int) -> Mesh:
    """All devices along one data axis; as many of them as divide the batch."""
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    return Mesh(np.array(devices[:count]), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def divided(mesh: Mesh) -> NamedSharding:
    """Divided along the batch."""
    return NamedSharding(mesh, PartitionSpec("data"))


def compiled_train_step(task: Task, mesh: Mesh) -> Callable:
    """`train_step` for one mesh; donates the state that goes in."""
    same, parts = replicated(mesh), divided(mesh)
    batch: Any = (parts,) * len(Batch._fields)
    return jax.jit(
        functools.partial(train_step, task),
        in_shardings=(same, Batch(*batch)),
        out_shardings=(same, same),
        donate_argnums=0,
    )
