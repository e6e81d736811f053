"""Stage 1: find the left ventricle on whole slices (paper, Stage 1).

    python -m experiments.train --config=configs/lv.py

trains on the embedded phantom cohort. On your own scans:

    python -m experiments.train --config=configs/lv.py --workdir=runs/mine/lv \
        --config.data.format=emidec --config.data.root=DIR \
        --config.data.cine_format=acdc --config.data.cine_root=DIR

The phantoms would take some nine hours on two CPU cores, as the log says before the first step: the
sizes are the paper's and want a GPU. What comes out is a run for experiments.fit_latent; nobody has
trained it to the end yet, so that no result stands here.
"""

from acsnet_jax.config import Config
from acsnet_jax.jobs import defaults


def get_config() -> Config:
    return defaults.training(
        "lv",
        model={
            "filters": (32, 64, 128, 256),  # the paper's figure is not to be had: a usual U-Net's
            "bridge": 512,
            "dropout": 0.2,  # paper
        },
        optimisation={"beta": 0.6, "epochs": 100, "batch_size": 16},
    )
