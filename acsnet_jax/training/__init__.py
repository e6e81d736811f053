"""Training: cohorts to arrays, steps, checkpoints and the loop.

- `Augment`: ranges of the random changes.
- `Cohort`: scans divided by patient.
- `CohortOptions`: where scans come from and how they are divided.
- `Dataset`: a cohort as arrays.
- `LatentOptions`: how the latent space is filled.
- `LatentSpace`: thresholds, mixture, population, and how good they are.
- `Selection`: what figure 5 compares.
- `fit_latent_space`: from a trained autoencoder and its cohort.
- `train_and_evaluate`: one training run, from config to checkpoint; resumes.
- `train_autoencoder`: stage 3's training on masks in memory, of any shape.
- `Record`: the scalars of a run: JSON lines and TensorBoard.
- `load_run`: a finished run, read back.
- `Optimisation`: how long and how fast to train.
- `RunSettings`: one training run, frozen.
- `settings_of`: the same, of a config.
"""

from acsnet_jax.training.augment import Augment
from acsnet_jax.training.cohort import Cohort, CohortOptions
from acsnet_jax.training.datasets import Dataset
from acsnet_jax.training.latent_space import LatentOptions, LatentSpace, Selection, fit_latent_space
from acsnet_jax.training.loop import train_and_evaluate
from acsnet_jax.training.masks import train_autoencoder
from acsnet_jax.training.record import Record
from acsnet_jax.training.runs import load_run
from acsnet_jax.training.settings import Optimisation, RunSettings, settings_of

__all__ = [
    "Augment",
    "Cohort",
    "CohortOptions",
    "Dataset",
    "LatentOptions",
    "LatentSpace",
    "Optimisation",
    "Record",
    "RunSettings",
    "Selection",
    "fit_latent_space",
    "load_run",
    "settings_of",
    "train_and_evaluate",
    "train_autoencoder",
]
