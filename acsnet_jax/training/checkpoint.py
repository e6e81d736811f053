"""Checkpoints of a training run. The only module that knows orbax."""

import gc
import logging
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import Sharding
from orbax.checkpoint.checkpoint_managers import preservation_policy

from acsnet_jax.files import read_record, sha256, write_json
from acsnet_jax.training.distributed import is_first
from acsnet_jax.training.state import TrainState
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)

KEPT = 2
"""The newest, and the one before in case that the newest is damaged."""

_UNCHECKED = "remove it, and checkpoints are taken as they are"

_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, OSError)
"""What orbax raises for what no checksum guards."""

_REFUSED = ("Error writing", "Failed writing", "RESOURCE_EXHAUSTED")
"""What TensorStore says, in a ValueError, when the disk does not take what it is given."""


class Checkpoints:
    """The latest states of a run, in ``workdir/checkpoints``; a run has a fixed number of epochs.

    Saving is atomic: a run that is killed leaves the checkpoints it had. Used as a context manager.
    ``checksums.json`` beside them holds the SHA-256 of every file of each, since not every damaged
    file is noticed when arrays are read; a checkpoint that it does not name is taken as it is.

    All processes of a run call the same methods in the same order; the first one writes. Whoever
    only reads says so (``read_only``): a run that is going on may be writing a checkpoint just
    then, which is not to be cleaned up as if it had been left behind.
    """

    def __init__(self, workdir: pathlib.Path, *, read_only: bool = False):
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.LatestN(KEPT),
            enable_async_checkpointing=False,
            cleanup_tmp_directories=not read_only,
        )
        self._folder = (workdir / "checkpoints").resolve()
        handler = ocp.StandardCheckpointHandler()
        self._manager = ocp.CheckpointManager(self._folder, options=options, item_handlers=handler)
        self._damaged: list[int] = []

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        self._manager.close()

    def latest_step(self) -> int | None:
        """Step of the newest checkpoint, whole or not; None if there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Keep a state, and the one before it.

        Raises:
            InputError: the disk does not take it; the checkpoints that there were stay.
        """
        step = int(state.step)
        try:
            while self._damaged:
                self._manager.delete(self._damaged.pop())
            self._write_checksums()
            self._manager.save(step, args=ocp.args.StandardSave(state._asdict()))
            self._write_checksums(step)
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) and not any(word in str(error) for word in _REFUSED):
                raise
            reason = str(error).rpartition(": ")[2]
            raise InputError(
                f"{self._folder}: the checkpoint of step {step} cannot be written ({reason}); make "
                "room and give the same command again, it goes on from the checkpoint before"
            ) from error

    def restore(self, like: TrainState, sharding: Sharding) -> TrainState:
        """The newest whole state, laid out like `like` on the devices of `sharding`.

        A warning names a newer one that is damaged; it goes when the next one is saved.

        Raises:
            InputError: none is whole, or the newest is of another network.
        """
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            like._asdict(),
        )
        self._damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            if self._is_whole(step):
                break
            self._damaged.append(step)
        else:
            raise InputError(
                f"{self._folder}: no checkpoint is whole (damaged: step "
                f"{', '.join(map(str, self._damaged))}); remove the folder to train from the start"
            )
        for bad in self._damaged:
            text = "%s: the checkpoint of step %d is damaged, that of step %d is used"
            _LOG.warning(text, self._folder, bad, step)
        # Asked before an array is read: of those that orbax had begun to read, it goes on to tell.
        if self._arrays_of(step) != _arrays(abstract):
            raise InputError(
                f"{self._folder}: the checkpoint of step {step} is of another network than that of "
                "config.json; restore it, or use another --workdir"
            )
        try:
            found = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        except _UNREADABLE as error:
            raise InputError(f"{self._folder}: {_unreadable(step)}") from error
        return TrainState(**found)

    def _arrays_of(self, step: int) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Shape and type of each array of a checkpoint.

        Raises:
            InputError: orbax cannot tell.
        """
        try:
            found = _arrays(self._manager.item_metadata(step))
        except _UNREADABLE as error:
            raise InputError(f"{self._folder}: {_unreadable(step)}") from error
        gc.collect()  # orbax leaves threads behind, which end with the loop that they belong to
        return found

    def _write_checksums(self, *new: int) -> None:
        """Those of new steps beside those of the steps that are still kept."""
        if not is_first():
            return
        steps, known = map(str, self._manager.all_steps()), self._checksums()
        kept = {step: known[step] for step in steps if step in known}
        kept.update({str(step): _digests(self._folder / str(step)) for step in new})
        write_json(kept, self._folder / "checksums.json")

    def _checksums(self) -> dict[str, dict[str, str]]:
        """Digests of files by step."""
        path = self._folder / "checksums.json"
        return read_record(path, _parse, fix=_UNCHECKED) if path.exists() else {}

    def _is_whole(self, step: int) -> bool:
        """Whether the files of a step are as they were written, as far as is known."""
        known = self._checksums().get(str(step))
        return known is None or known == _digests(self._folder / str(step))


def _parse(values: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What ``checksums.json`` holds; raises AttributeError for anything else."""
    return {
        step: {name: str(digest) for name, digest in files.items()}
        for step, files in values.items()
    }


def _unreadable(step: int) -> str:
    return (
        f"the checkpoint of step {step} cannot be read; restore it, or remove the folder to train "
        "from the start"
    )


def _arrays(state: Any) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape and type of each array by its place, in a state or in what orbax tells of one."""
    return {
        jax.tree_util.keystr(place, simple=True, separator="/"): (leaf.shape, leaf.dtype)
        for place, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def _digests(folder: pathlib.Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
