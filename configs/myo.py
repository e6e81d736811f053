"""Stage 2: myocardium and enhancement on crops around the LV (paper, Stage 2).

    python -m experiments.train --config=configs/myo.py

trains on the embedded phantom cohort. On your own scans:

    python -m experiments.train --config=configs/myo.py --workdir=runs/mine/myo \
        --config.data.format=emidec --config.data.root=DIR \
        --config.data.cine_format=acdc --config.data.cine_root=DIR

The phantoms would take some thirteen hours on two CPU cores, as the log says before the first step:
the sizes are the paper's and want a GPU. What comes out is a run for experiments.fit_latent; nobody
has trained it to the end yet, so that no result stands here.
"""

from acsnet_jax.config import Config
from acsnet_jax.jobs import defaults


def get_config() -> Config:
    return defaults.training(
        "myo",
        model={
            "filters": (64, 128, 256, 512),  # twice stage 1's: the images are smaller (paper)
            "bridge": 1024,
            "dropout": 0.2,
        },
        optimisation={"beta": 0.4, "epochs": 100, "batch_size": 16},
    )
