"""Evaluate a bundle on held-out patients: tables 1 and 2, figures 2 and 3, certificates, report.

    python -m experiments.evaluate --config=configs/evaluate.py --config.bundle=BUNDLE \
        --config.split=RUN --config.data.format=emidec --config.data.root=DIR --workdir=OUT

RUN is a training run's folder, whose split.json says who was held out.
"""

import ml_collections

from acsnet_jax.jobs.evaluate import Targets
from acsnet_jax.training.cohort import CohortOptions
from configs import common


def get_config():
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/evaluation",
            "bundle": "runs/bundle",
            "split": "",
            "turn": 0,  # 1..7 stores every held-out scan turned or mirrored, to see what it changes
            "data": common.section(CohortOptions()),
            "inference": ml_collections.ConfigDict({}),
            "correction": ml_collections.ConfigDict({}),
            "targets": common.section(Targets()),
        }
    )
