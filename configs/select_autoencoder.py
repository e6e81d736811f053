"""Choose latent dimension, epochs and damage of the autoencoder, without the held-out patients.

    python -m experiments.select_autoencoder --config=configs/select_autoencoder.py \
        --config.run=RUNS/autoencoder --workdir=DIR

RUNS/autoencoder is a training run, finished or not, whose config and split.json say all else. Its
training patients are dealt into folds; every candidate is trained on the other folds and judged on
the masks of this one, after damage and correction. The last line names the flags to train with:
give them to experiments.train, then print figures of the held-out patients.

Takes hours on two CPU cores, or a day: the time is epochs x masks / throughput (samples/s in the
log of a training) of every training. The eight candidates in five folds are 7,200 epochs of four
fifths of the masks, as long as 24 trainings of 240 epochs on all of them; fitting and correcting
come on top. Stop it at any time: it goes on where it was. Have EMIDEC's experts in mind with
--config.latent.gap_max_deg=0.0, as in configs/emidec_cpu.py.
"""

import ml_collections

from acsnet_jax.config import Config, section
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.evaluation.autoencoders import CandidateGrid
from acsnet_jax.evaluation.cross_validation import CrossValidation
from acsnet_jax.training.latent_space import LatentOptions


def get_config() -> Config:
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/selection",  # folder for everything that is written
            "run": "runs/autoencoder",  # training run that gives cohort, division and all else
            "candidates": section(CandidateGrid()),
            "validation": section(CrossValidation()),
            "latent": section(LatentOptions(population=2_000)),  # drawn for each training
            "correction": section(CorrectionOptions()),
        }
    ).lock()
