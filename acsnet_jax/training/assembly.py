"""From training runs to a bundle: the latent space is fitted, and everything put in one folder."""

import dataclasses
import itertools
import logging
import pathlib
import shutil
from collections.abc import Callable, Iterable

from acsnet_jax import bundle
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.files import write_text
from acsnet_jax.models import Autoencoder, Decode, Encode
from acsnet_jax.pipeline import Inference
from acsnet_jax.training import cohort as cohorts
from acsnet_jax.training.latent_space import LatentOptions, LatentSpace, fit_latent_space
from acsnet_jax.training.loop import train_and_evaluate
from acsnet_jax.training.runs import as_network, load_run, run_config
from acsnet_jax.training.same_run import seen_by
from acsnet_jax.training.settings import RunSettings
from acsnet_jax.training.state import TrainState
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)


def make_bundle(
    runs: pathlib.Path,
    folder: pathlib.Path,
    cohort: cohorts.Cohort,
    options: LatentOptions,
    inference: Inference,
    correction: CorrectionOptions,
    *,
    autoencoder: pathlib.Path | None = None,
) -> LatentSpace:
    """Fit the latent space and write the bundle to `folder`.

    Args:
        runs: has the runs ``lv/`` and ``myo/``, or neither: then the bundle is stage 3 alone.
        folder: of the bundle.
        cohort: what the autoencoder was trained on.
        options: of the latent space.
        inference: how the cascade is to be used.
        correction: how masks are to be corrected.
        autoencoder: its run; None for ``autoencoder/`` in `runs`.

    Raises:
        InputError: a run is missing, or runs differ in their config.spec or in who is held out.
    """
    folders = {"autoencoder": autoencoder or runs / "autoencoder"}
    if any((runs / name).exists() for name in ("lv", "myo")):
        folders = {name: runs / name for name in ("lv", "myo")} | folders
    else:
        _LOG.info("no runs lv/ and myo/ in %s: the bundle is stage 3 alone", runs)
    _check_divisions(folders.values())
    loaded = {name: load_run(run) for name, run in folders.items()}
    specs = {settings.spec for settings, _ in loaded.values()}
    if len(specs) > 1:
        raise InputError(f"the runs in {runs} were trained with different config.spec; train anew")
    spec = specs.pop()
    draws = folder.with_name(f"{folder.name}.draws")
    space = fit_latent_space(
        cohort,
        spec,
        *coders(*loaded["autoencoder"]),
        options,
        draws=draws,
    )
    _log_quality(space)
    bundle.save(
        folder,
        {name: as_network(*run) for name, run in loaded.items()},
        space.latent,
        spec,
        dataclasses.replace(inference, max_change=space.max_change),
        correction,
        training=_training(space, cohort, loaded["autoencoder"][0].data, folders.values()),
    )
    shutil.rmtree(draws)
    return space


def _check_divisions(folders: Iterable[pathlib.Path]) -> None:
    """Whoever one network saw must not be held out of another.

    Raises:
        InputError: the runs hold out different patients.
    """
    found = [(run, cohorts.division_folder(run)) for run in folders]
    known = [
        (run, cohorts.read_division(folder / "split.json"))
        for run, folder in found
        if folder is not None
    ]
    for (run, division), (other, another) in itertools.pairwise(known):
        if division != another:
            raise InputError(
                f"{run} and {other} hold out different patients: train them with the same "
                "config.data"
            )


def coders(settings: RunSettings, state: TrainState) -> tuple[Callable, Callable]:
    """Encoder and decoder of a run of the autoencoder."""
    assert isinstance(settings.model, Autoencoder)
    return Encode(settings.model, state.variables), Decode(settings.model, state.variables)


def _training(
    space: LatentSpace,
    cohort: cohorts.Cohort,
    data: cohorts.CohortOptions,
    runs: Iterable[pathlib.Path],
) -> dict:
    """What the bundle tells of its making."""
    seen = set(cohort.seen).union(*map(seen_by, runs))
    return {
        "data": {"format": data.format, "cine_format": data.cine_format, "seed": data.seed},
        "scans": {
            "lge": sum(scan.modality == "lge" for scan in cohort.train),
            "cine": sum(scan.modality == "cine" for scan in cohort.train),
            "held_out": len(cohort.test),
        },
        "seen": sorted(seen),
        "acceptance": space.acceptance,
        "masks": {name: quality._asdict() for name, quality in space.quality.items()},
    }


def _log_quality(space: LatentSpace) -> None:
    for name, quality in space.quality.items():
        _LOG.info(
            "autoencoder on %d %s masks: Dice %.3f, %.1f%% of the reconstructions valid "
            "(%.1f%% of the experts' own)",
            quality.masks,
            name,
            quality.dice,
            100 * quality.valid_reconstructions,
            100 * quality.valid_experts,
        )


def train_dimension(
    autoencoder: pathlib.Path, cohort: cohorts.Cohort, dimension: int
) -> pathlib.Path:
    """The run of one latent dimension, beside the given run and like it in everything else."""
    config = run_config(autoencoder)
    if config.model.latent == dimension:
        return autoencoder
    config.model.latent = dimension
    folder = autoencoder.with_name(f"{autoencoder.name}_d{dimension}")
    divided = cohorts.division_folder(autoencoder)
    if divided is not None:  # it is a run of the same division, by itself too
        write_text((divided / "split.json").read_text(encoding="utf-8"), folder / "split.json")
    train_and_evaluate(config, folder, cohort=cohort)
    return folder
