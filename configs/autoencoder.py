"""Stage 3: the autoencoder of expert myocardium masks (paper, Stage 3).

    python -m experiments.train --config=configs/autoencoder.py

trains on the masks of the embedded phantom cohort. On your own scans:

    python -m experiments.train --config=configs/autoencoder.py --workdir=runs/mine/autoencoder \
        --config.data.format=emidec --config.data.root=DIR \
        --config.data.cine_format=acdc --config.data.cine_root=DIR

The phantoms take some ten minutes on two CPU cores. What comes out is a run for
experiments.fit_latent, which prints how well it rebuilds masks.
"""

from acsnet_jax.config import Config
from acsnet_jax.jobs import defaults


def get_config() -> Config:
    return defaults.training(
        "autoencoder",
        model={
            "latent": 16,  # paper, figure 5
            "filters": (16, 32, 32, 64, 64, 64),
        },
        optimisation={"epochs": 100, "batch_size": 8},  # many small steps: walls are thin
    )
