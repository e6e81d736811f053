"""Evaluate a bundle on held-out patients: tables 1 and 2, figures 2 and 3, certificates, report.

    python -m experiments.evaluate --config=configs/evaluate.py --config.bundle=BUNDLE \
        --config.split=RUN --config.data.format=emidec --config.data.root=DIR --workdir=OUT

RUN is a training run's folder, whose split.json says who was held out. It takes a few seconds a
patient on two CPU cores; docs/training.md says what is written.
"""

import ml_collections

from acsnet_jax.config import Config, overrides, section
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.evaluation.headline import Targets
from acsnet_jax.pipeline import Inference
from acsnet_jax.training.cohort import CohortOptions


def get_config() -> Config:
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/evaluation",  # folder for everything that is written
            "bundle": "runs/bundle",  # folder of a trained system
            "split": "",  # a training run, whose split.json says who was held out
            "turn": 0,  # 1..7 stores every held-out scan turned or mirrored, to see what it changes
            "data": section(CohortOptions()),
            "inference": overrides(Inference),
            "correction": overrides(CorrectionOptions),
            "targets": section(Targets()),
        }
    ).lock()
