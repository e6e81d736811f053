"""Fit the latent space to a trained autoencoder, and write the bundle of three runs.

    python -m experiments.fit_latent --config=configs/fit_latent.py \
        --config.runs=DIR --workdir=BUNDLE

DIR holds the training runs lv/, myo/ and autoencoder/, of one cohort and one config.spec.
"""

import ml_collections

from acsnet_jax.pipeline import Inference
from acsnet_jax.training.latent_space import LatentOptions
from configs import common


def get_config():
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/bundle",
            "runs": "runs",
            "latent": common.section(LatentOptions()),
            "inference": common.section(Inference()),
        }
    )
