"""Everything in one run: cohort, three networks, latent space, evaluation, report."""

import logging
import pathlib

from tqdm import tqdm

from acsnet_jax import bundle as bundles
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.evaluation.headline import Targets
from acsnet_jax.jobs.evaluate import write_evaluation
from acsnet_jax.pipeline import Inference
from acsnet_jax.training import cohort as cohorts
from acsnet_jax.training.assembly import make_bundle
from acsnet_jax.training.folds import FoldNetworks, check_enhancement, deal, pretraining_cine
from acsnet_jax.training.latent_space import LatentOptions
from acsnet_jax.training.loop import beginning
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.training.study import check_pretraining, check_study, train_network

_LOG = logging.getLogger(__name__)


def reproduce(config: Config, workdir: pathlib.Path) -> None:
    """Train, fit, evaluate; a second run goes on where the first one stopped.

    Writes ``autoencoder/``, ``lv/``, ``myo/`` (training runs), ``bundle/`` and ``report/``. With
    ``config.folds`` stages 1 and 2 are trained once without each fold of the training patients:
    then there are ``stage3/`` (a bundle) and what `acsnet_jax.training.folds.FoldNetworks` writes
    instead of ``lv/`` and ``myo/``.

    Raises:
        InputError: bad data, or `workdir` holds a run of another config.
    """
    path = workdir / "report" / "report.html"
    check_study(config)
    data = from_config(cohorts.CohortOptions, config.data)
    with beginning(config, workdir):
        if path.exists():
            _LOG.info("nothing left to do; the report is %s", path)
            return
        _LOG.info("reading the cohort (%s)", data.format)
        cohort = cohorts.load(data, workdir)
        dealt: list[list[str]] = []
        if config.folds:
            lge = cohort.lge_alone().train
            check_pretraining(config, pretraining_cine(lge, cohort.cine))
            check_enhancement(lge)
            dealt = deal(lge, config.folds, config.seed)
        else:
            check_pretraining(config, cohort.cine)
    if dealt:
        runs = _fold_by_fold(config, workdir, cohort, dealt)
    else:
        runs = _at_once(config, workdir, cohort)
    write_evaluation(
        cohort,
        workdir / "bundle",
        workdir / "report",
        data=data,
        targets=from_config(Targets, config.targets),
        config=config.to_dict(),
        runs=runs,
    )
    _LOG.info("done; open %s", path)


Runs = dict[str, pathlib.Path]
"""A training run of each network, by its name."""


def _at_once(config: Config, workdir: pathlib.Path, cohort: cohorts.Cohort) -> Runs:
    """One network of each kind on all training patients, with the rule for scar of the config."""
    runs = {task: workdir / task for task in bundles.NETWORKS}
    for task, run in runs.items():
        train_network(config, task, run, cohort)
    if not (workdir / "bundle").exists():
        _make_bundle(config, workdir, workdir / "bundle", cohort)
    return runs


def _fold_by_fold(
    config: Config, workdir: pathlib.Path, cohort: cohorts.Cohort, dealt: list[list[str]]
) -> Runs:
    """An ensemble, and the rule for scar fitted to patients whom its members never saw."""
    train_network(config, "autoencoder", workdir / "autoencoder", cohort)
    stage3 = workdir / "stage3"
    if not stage3.exists():
        _make_bundle(config, workdir, stage3, cohort)
    networks = FoldNetworks(
        config,
        cohort.lge_alone().train,
        cohort.cine,
        bundles.load_corrector(stage3),
        dealt,
        workdir,
    )
    for member in tqdm(networks.singles, desc="networks", unit="fold", disable=None):
        networks.train(member)
    if not (workdir / "bundle").exists():
        told = bundles.provenance(stage3)["training"]
        networks.save_bundle(workdir / "bundle", networks.singles, told)
    stages = {task: networks.run(networks.singles[0], task) for task in ("lv", "myo")}
    return {**stages, "autoencoder": workdir / "autoencoder"}


def _make_bundle(
    config: Config, workdir: pathlib.Path, folder: pathlib.Path, cohort: cohorts.Cohort
) -> None:
    make_bundle(
        workdir,
        folder,
        cohort,
        from_config(LatentOptions, config.latent),
        from_config(Inference, config.inference),
        from_config(CorrectionOptions, config.correction),
    )
