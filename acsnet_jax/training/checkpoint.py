"""Checkpoints of a training run. The only module that knows orbax."""

import pathlib

import jax
import orbax.checkpoint as ocp
from jax.sharding import Sharding
from orbax.checkpoint.checkpoint_managers import preservation_policy

from acsnet_jax.training.state import TrainState


class Checkpoints:
    """The latest state of a run, in ``workdir/checkpoints``; a run has a fixed number of epochs.

    Saving is atomic: a run that is killed leaves the checkpoints it had. Used as a context manager.
    """

    def __init__(self, workdir: pathlib.Path):
        policy = preservation_policy.LatestN(1)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy, enable_async_checkpointing=False
        )
        self._manager = ocp.CheckpointManager((workdir / "checkpoints").resolve(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        self._manager.close()

    def latest_step(self) -> int | None:
        """Step of the newest checkpoint; None if there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Keep a state in the place of the last one."""
        self._manager.save(int(state.step), args=ocp.args.StandardSave(state._asdict()))

    def restore(self, like: TrainState, sharding: Sharding) -> TrainState:
        """The newest state, laid out like `like` on the devices of `sharding`."""
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            like._asdict(),
        )
        step = self._manager.latest_step()
        return TrainState(**self._manager.restore(step, args=ocp.args.StandardRestore(abstract)))
