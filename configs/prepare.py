"""Validate a cohort and write the uniform store, which --config.data.format=store reads.

    python -m experiments.prepare --config.data.root=DIR --config.data.format=emidec --workdir=STORE

Seconds a hundred scans. Without a root it writes phantoms.
"""

import ml_collections

from acsnet_jax.config import Config, section
from acsnet_jax.training.cohort import CohortOptions


def get_config() -> Config:
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/store",  # folder of the store that is written
            "modality": "",  # "lge" or "cine" where the files do not tell
            "as_dicom": False,  # phantoms only: write DICOM folders, to try the real reader
            "data": section(CohortOptions()),
        }
    ).lock()
