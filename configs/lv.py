"""Stage 1: find the left ventricle on whole slices (paper, Stage 1).

    python -m experiments.train --config=configs/lv.py

trains on the embedded phantom cohort. On your own scans:

    python -m experiments.train --config=configs/lv.py --workdir=runs/mine/lv \
        --config.data.format=emidec --config.data.root=DIR \
        --config.data.cine_format=acdc --config.data.cine_root=DIR
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
