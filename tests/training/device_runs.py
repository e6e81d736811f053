"""Runs on 1, 2 and 8 of eight fake devices: ``python device_runs.py WORKDIR``.

Prints, by name, the losses of every epoch: of a run on 1, 2 and 8 devices throughout, and of one
that is stopped after its first and second epoch and goes from 8 devices to 1, and back to 8.
"""

import json
import pathlib
import sys
from unittest import mock

import jax
import tiny

from acsnet_jax.training import loop
from acsnet_jax.training.record import read
from acsnet_jax.training.sharding import data_mesh

EPOCHS = 5


def main() -> None:
    workdir = pathlib.Path(sys.argv[1])
    for count in (1, 2, 8):
        train(workdir / str(count), count)
    moved = workdir / "8, 1, 8"
    train(moved, 8, stop_after=1)
    train(moved, 1, stop_after=2)
    train(moved, 8)
    curves = {path.name: [row["loss"] for row in read(path)] for path in workdir.iterdir()}
    print(json.dumps(curves))


def train(workdir: pathlib.Path, count: int, *, stop_after: int | None = None) -> None:
    """A run on some devices, stopped right after the checkpoint of an epoch."""
    config = tiny.make_config(**{"optimisation.epochs": EPOCHS, "optimisation.batch_size": 8})

    def some(batch_size):
        return data_mesh(batch_size, devices=jax.devices()[:count])

    def run_epoch(*arguments, epoch, **options):
        if epoch == stop_after:
            raise KeyboardInterrupt
        return whole(*arguments, epoch=epoch, **options)

    whole = loop.run_epoch
    with mock.patch.multiple(loop, data_mesh=some, run_epoch=run_epoch):
        try:
            state = loop.train_and_evaluate(config, workdir, cohort=tiny.make_cohort(train=6))
        except KeyboardInterrupt:
            return
    assert len(jax.tree.leaves(state.params)[0].sharding.device_set) == count


if __name__ == "__main__":
    main()
