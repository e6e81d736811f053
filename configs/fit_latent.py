"""Fit the latent space to a trained autoencoder, and write the bundle of three runs.

    python -m experiments.fit_latent --config=configs/fit_latent.py \
        --config.runs=DIR --workdir=BUNDLE

DIR holds the training runs lv/, myo/ and autoencoder/, of one cohort and one config.spec. With
autoencoder/ alone, the bundle is stage 3 alone, for experiments.check and experiments.correct.
With --config.select=True, autoencoders of four latent dimensions are trained and figure 5 decides.
"""

import ml_collections

from acsnet_jax.config import Config, section
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.pipeline import Inference
from acsnet_jax.training.latent_space import LatentOptions, Selection


def get_config() -> Config:
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/bundle",  # the bundle's folder
            "runs": "runs",  # folder of the training runs lv/, myo/ and autoencoder/
            "autoencoder": "",  # its run, if it is not in config.runs
            "select": False,  # whether to choose latent dimension and mixture by figure 5
            "selection": section(Selection()),
            "latent": section(LatentOptions()),
            "inference": section(Inference()),
            "correction": section(CorrectionOptions()),
        }
    ).lock()
