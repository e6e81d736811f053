"""From three training runs to a bundle: fit the latent space and put everything in one folder."""

import dataclasses
import functools
import logging
import pathlib

from acsnet_jax import bundle
from acsnet_jax.pipeline import Inference
from acsnet_jax.training import cohort as cohorts
from acsnet_jax.training.latent_space import LatentOptions, LatentSpace, fit_latent_space
from acsnet_jax.training.runs import as_network, load_run
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)


def fit_latent(config: Config, workdir: pathlib.Path) -> None:
    """Write the bundle of the runs ``config.runs/{lv,myo,autoencoder}`` to `workdir`.

    The cohort, with its division, is that of the autoencoder's run.

    Raises:
        InputError: a run is missing or differs from the others, or `workdir` exists.
    """
    runs = pathlib.Path(config.runs)
    settings, _ = load_run(runs / "autoencoder")
    cohort = cohorts.load(settings.data, runs / "autoencoder")
    make_bundle(
        runs,
        workdir,
        cohort,
        from_config(LatentOptions, config.latent),
        from_config(Inference, config.inference),
    )


def make_bundle(
    runs: pathlib.Path,
    folder: pathlib.Path,
    cohort: cohorts.Cohort,
    options: LatentOptions,
    inference: Inference,
) -> LatentSpace:
    """Fit the latent space and write the bundle to `folder`."""
    loaded = {name: load_run(runs / name) for name in bundle.NETWORKS}
    specs = {settings.spec for settings, _ in loaded.values()}
    if len(specs) > 1:
        raise InputError(f"the runs in {runs} were trained with different config.spec; train anew")
    spec = specs.pop()
    settings, state = loaded["autoencoder"]
    space = fit_latent_space(
        cohort.train,
        cohort.test,
        spec,
        functools.partial(bundle.encode, settings.model, state.variables),
        functools.partial(bundle.decode, settings.model, state.variables),
        options,
    )
    _log_quality(space)
    bundle.save(
        folder,
        {name: as_network(*run) for name, run in loaded.items()},
        space.latent,
        spec,
        dataclasses.replace(inference, max_change=space.max_change),
        training=_training(space, cohort, settings.data),
    )
    return space


def _training(space: LatentSpace, cohort: cohorts.Cohort, data: cohorts.Data) -> dict:
    """What the bundle tells of its making."""
    return {
        "data": {"format": data.format, "cine_format": data.cine_format, "seed": data.seed},
        "scans": {
            "lge": sum(scan.modality == "lge" for scan in cohort.train),
            "cine": sum(scan.modality == "cine" for scan in cohort.train),
            "held_out": len(cohort.test),
        },
        "acceptance": space.acceptance,
        "train_masks": space.train._asdict(),
        "test_masks": None if space.test is None else space.test._asdict(),
    }


def _log_quality(space: LatentSpace) -> None:
    for name, quality in (("training", space.train), ("held-out", space.test)):
        if quality is not None:
            _LOG.info(
                "autoencoder on %d %s masks: Dice %.3f, %.1f%% of the reconstructions valid "
                "(%.1f%% of the experts' own)",
                quality.masks,
                name,
                quality.dice,
                100 * quality.valid_reconstructions,
                100 * quality.valid_experts,
            )
