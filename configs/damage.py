"""Does the latent correction earn its place? Held-out masks, clean and damaged, mended five ways.

    python -m experiments.damage --config=configs/damage.py --config.bundle=BUNDLE \
        --config.split=RUN --config.data.format=emidec --config.data.root=DIR --workdir=OUT

RUN is a training run's folder, whose split.json says who was held out. The predicted myocardium of
every slice is taken as it is and damaged in six ways at five strengths
(acsnet_jax.evaluation.damage); nothing, the cleaning of components, and the latent correction of
invalid masks (without its cleaned pose and with it) or of all masks mend it. Writes damage.md,
.csv, .json and .png, and examples.png.
"""

import ml_collections

from acsnet_jax.config import Config, overrides, section
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.pipeline import Inference
from acsnet_jax.training.cohort import CohortOptions


def get_config() -> Config:
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/damage",  # folder for everything that is written
            "bundle": "runs/bundle",  # folder of a trained system
            # Stage 3 of another bundle, or "prior" for the one that ships; "" for the bundle's own.
            "corrector": "",
            "split": "",  # a training run, whose split.json says who was held out
            "turn": 0,  # 1..7 stores every held-out scan turned or mirrored, as in evaluate.py
            "seed": 0,  # of the damage
            "data": section(CohortOptions()),
            "inference": overrides(Inference),
            "correction": overrides(CorrectionOptions),  # scope and cleaned_pose are not used
        }
    ).lock()
