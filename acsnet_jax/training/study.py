"""Networks of a whole study: one config for all three, with or without pretraining on cine."""

import pathlib
from collections.abc import Sequence

import ml_collections

from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.pipeline import Inference
from acsnet_jax.training.cohort import Cohort, lge_like_by_phantoms
from acsnet_jax.training.latent_space import LatentOptions
from acsnet_jax.training.loop import train_and_evaluate
from acsnet_jax.training.scar_fit import RuleGrid
from acsnet_jax.training.settings import (
    Config,
    Pretraining,
    course_of,
    from_config,
    settings_of,
    task_of,
)
from acsnet_jax.training.spill import Spill
from acsnet_jax.training.state import TrainState
from acsnet_jax.types import InputError, Scan


def check_study(config: Config) -> None:
    """Look at the settings of all that is trained and fitted before the first network is trained.

    Raises:
        InputError: the config has no networks, or a number is none that a run can have.
    """
    if "networks" not in config:
        raise InputError(
            "the config has no networks, it is not of a study: give one such as quickstart or "
            "emidec_cpu, or that of one network to train"
        )
    for task, network in config.networks.items():
        try:
            settings = settings_of(task_config(config, task))
            task_of(settings)
            course_of(settings.optimisation, 1)
            if pretrains(config, task):
                course_of(from_config(Pretraining, network.pretraining), 1)
        except InputError as error:
            raise InputError(f"config.networks.{task}: {error}") from error
    sections = {
        "rule": RuleGrid,
        "latent": LatentOptions,
        "inference": Inference,
        "correction": CorrectionOptions,
    }
    for name, options in sections.items():
        if name in config:
            from_config(options, config[name])


def train_network(
    config: Config,
    task: str,
    workdir: pathlib.Path,
    cohort: Cohort,
    *,
    pretrained: TrainState | None = None,
) -> TrainState:
    """Train one network of a study, or go on with it.

    Without pretraining, cine scans made LGE-like are mixed in, as in the paper. With it, the
    network is trained on cine alone first, in a folder beside `workdir`, and then on LGE alone.

    Args:
        config: of the study, as ``configs/emidec_cpu.py``.
        task: "lv", "myo" or "autoencoder".
        workdir: folder of the run.
        cohort: what is trained on.
        pretrained: the state after a pretraining that is shared; None to do it here.
    """
    run = task_config(config, task)
    if not pretrains(config, task):
        return train_and_evaluate(run, workdir, cohort=cohort)
    if pretrained is None:
        folder = workdir.with_name(f"{workdir.name}_pretraining")
        pretrained = pretrain(config, task, folder, cohort)
    return train_and_evaluate(run, workdir, cohort=cohort.lge_alone(), start=pretrained)


def pretrain(config: Config, task: str, workdir: pathlib.Path, cohort: Cohort) -> TrainState:
    """Train one network of a study on cine scans made LGE-like by phantoms.

    Raises:
        InputError: the cohort has no cine scans.
    """
    check_pretraining(config, cohort.cine)
    run = task_config(config, task)
    run.optimisation = config.networks[task].pretraining
    spill = Spill(workdir, config.data.memory_gb)
    scans = lge_like_by_phantoms(cohort.cine, config.data.seed, spill)
    return train_and_evaluate(run, workdir, cohort=Cohort(scans, []))


def check_pretraining(config: Config, cine: Sequence[Scan]) -> None:
    """Ask for cine scans before anything is trained.

    Raises:
        InputError: a network is to be pretrained on cine, and there is none.
    """
    asking = [task for task in config.networks if pretrains(config, task)]
    if asking and not cine:
        keys = [f"config.networks.{task}.pretraining.epochs" for task in asking]
        raise InputError(
            f"{keys[0]} asks for cine scans of patients who are never held out, and there are "
            "none: name a cohort with --config.data.cine_format and cine_root, or give "
            f"--{'=0 --'.join(keys)}=0 and another --workdir"
        )


def pretrains(config: Config, task: str) -> bool:
    """Whether a study pretrains a network on cine."""
    return task != "autoencoder" and config.networks[task].pretraining.epochs > 0


def task_config(config: Config, task: str) -> ml_collections.ConfigDict:
    """The config of one training run out of that of the whole."""
    network = config.networks[task]
    return ml_collections.ConfigDict(
        {
            "task": task,
            "seed": config.seed,
            "data": config.data,
            "spec": config.spec,
            "model": network.model,
            "augment": network.augment,
            "optimisation": network.optimisation,
        }
    )
