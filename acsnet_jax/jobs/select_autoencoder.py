"""Latent dimension, epochs and damage of the autoencoder, chosen inside the training patients."""

import logging
import pathlib

import ml_collections

from acsnet_jax import report
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.evaluation.autoencoders import CandidateGrid
from acsnet_jax.evaluation.cross_validation import CrossValidation, cross_validate, divide
from acsnet_jax.training import cohort as cohorts
from acsnet_jax.training.latent_space import LatentOptions
from acsnet_jax.training.loop import beginning
from acsnet_jax.training.runs import run_config
from acsnet_jax.training.same_run import check_inputs
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)


def select_autoencoder(config: Config, workdir: pathlib.Path) -> None:
    """Compare ``config.candidates`` on the training patients of ``config.run`` and name the choice.

    The run gives cohort, division, and all of the training that the candidates do not name; it need
    not be finished. `workdir` gets ``selection.json``, ``.csv`` and ``.md``, and ``results/``, from
    which a comparison that stopped goes on.

    Raises:
        InputError: no run of an autoencoder with its division, too few patients, or `workdir` holds
            a comparison of another config, run, division or data.
    """
    run = pathlib.Path(config.run)
    trained = run_config(run)
    if trained.get("task") != "autoencoder":
        raise InputError(
            f"{run} is no run of an autoencoder: give one, such as autoencoder/ in a study's folder"
        )
    division = cohorts.division_folder(run)
    if division is None:
        raise InputError(
            f"{run} has no split.json, in which a run writes down who is held out; start that "
            "training"
        )
    held_out = [*cohorts.read_division(division / "split.json").test]
    candidates = from_config(CandidateGrid, config.candidates).candidates()
    validation = from_config(CrossValidation, config.validation)
    latent = from_config(LatentOptions, config.latent)
    kept = {**config.to_dict(), "trained": trained.to_dict(), "held_out": held_out}
    with beginning(ml_collections.ConfigDict(kept), workdir):
        cohort = cohorts.load(from_config(cohorts.CohortOptions, trained.data), division)
        folds = divide(cohort.train, validation)
        check_inputs(cohorts.digests(cohort.train), workdir / "inputs.json")
    study = cross_validate(
        trained,
        folds,
        candidates,
        validation,
        latent=latent,
        correction=from_config(CorrectionOptions, config.correction),
        folder=workdir,
    )
    report.write_autoencoders(study, workdir)
    _LOG.info("see %s", workdir / "selection.md")
    _LOG.info("%s", report.autoencoders_summary(study))
