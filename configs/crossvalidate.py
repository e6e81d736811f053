"""The system of a study config on every patient of its cohort, each held out once.

    python -m experiments.crossvalidate --config=configs/crossvalidate.py:emidec_cpu \
        --config.data.root=EMIDEC --config.data.cine_root=ACDC --workdir=runs/crossvalidate

After the colon stands the study config; emidec_cpu without one. Networks are trained for every pair
of folds, so that the rule for scar is fitted to patients whom its networks never saw, and to none
of the fold that is held out (acsnet_jax.evaluation.nested). Stage 3 is given, and must not have
seen the patients: config.data.test_fraction, config.latent and networks.autoencoder are not used.
Hours it took, and what came out, stand in docs/results.md.
"""

from acsnet_jax.config import Config, load
from acsnet_jax.types import InputError


def get_config(study: str = "emidec_cpu") -> Config:
    config = load(study)
    if "networks" not in config:
        raise InputError(f"{study} is no study config, as emidec_cpu is: it lacks networks")
    config.unlock()
    config.update(
        {
            "workdir": "runs/crossvalidate",  # folder for everything that is written
            "folds": 5,  # into which the patients are dealt, at least 3
            # Which folds are left out two at a time; "neighbours" of five are ten trainings in all
            # instead of fifteen, see acsnet_jax.evaluation.nested.
            "pairs": "all",
            # Bundle whose stage 3 corrects, made without these patients; "" for the prior that
            # ships.
            "corrector": "",
        }
    )
    for network in config.networks.values():
        network.optimisation.picture_every = 0  # nobody looks at so many
    return config.lock()
