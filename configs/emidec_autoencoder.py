"""Stage 3 alone on the masks of EMIDEC and ACDC, a quarter of the patients of both held out.

    python -m experiments.train --config=configs/emidec_autoencoder.py --workdir=RUN/autoencoder \
        --config.data.root=EMIDEC --config.data.cine_root=ACDC

The autoencoder of configs/emidec_cpu.py, but for the ACDC patients held out.
"""

from acsnet_jax.config import Config, load
from acsnet_jax.jobs import defaults


def get_config() -> Config:
    study = load("emidec_cpu")
    network = study.networks.autoencoder
    config = defaults.training(
        "autoencoder",
        model=network.model.to_dict(),
        augment=network.augment.to_dict(),
        optimisation=network.optimisation.to_dict(),
        data={"format": "emidec", "cine_format": "acdc", "cine_test_fraction": 0.25},
    )
    config.spec = study.spec
    config.workdir = "runs/emidec_autoencoder"
    return config
