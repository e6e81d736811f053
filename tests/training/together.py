"""A tiny run as one process of several: ``python together.py WORKDIR [--distributed=SECONDS]``.

Prints what it read, where it wrote and what came out.
"""

import json
import pathlib
import sys
from unittest import mock

import jax
import numpy as np
import tiny

from acsnet_jax import app
from acsnet_jax.training import datasets, distributed
from acsnet_jax.training.loop import train_and_evaluate

EPOCHS = 3


def main() -> None:
    """As an entry point does it, with the options after the folder."""
    workdir = pathlib.Path(sys.argv.pop(1))
    sys.argv.append(f"--workdir={workdir}")
    app.run(train, "lv", join=distributed.join)


def train(_, workdir: pathlib.Path) -> None:
    """Train, and tell."""
    read, written = [], set()
    take = datasets.Dataset.take

    def watched(dataset, indices):
        read.append(np.asarray(indices).tolist())
        return take(dataset, indices)

    def watch(event, arguments):
        if event == "open" and str(arguments[1])[0] in "wa":
            path = str(arguments[0])
        elif event == "os.rename":
            path = str(arguments[1])
        else:
            return
        if path.startswith(f"{workdir}/"):
            written.add(path.removeprefix(f"{workdir}/").split("/")[0])

    sys.addaudithook(watch)
    config = tiny.make_config(
        **{"optimisation.epochs": EPOCHS, "optimisation.picture_every": EPOCHS}
    )
    with mock.patch.object(datasets.Dataset, "take", watched):
        state = train_and_evaluate(config, workdir, cohort=tiny.make_cohort())
    told = {
        "devices": len(jax.devices()),
        "read": [indices for indices in read if len(indices) <= 4][:-1],  # the last is held out
        "written": sorted(name for name in written if not name.startswith(".")),
        "step": int(state.step),
        "weights": [float(np.sum(leaf)) for leaf in jax.tree.leaves(jax.device_get(state.params))],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
