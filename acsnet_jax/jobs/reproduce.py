"""Everything in one run: cohort, three networks, latent space, evaluation, report."""

import logging
import pathlib

from acsnet_jax import bundle
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.evaluation.headline import Targets
from acsnet_jax.jobs.evaluate import write_evaluation
from acsnet_jax.pipeline import Inference
from acsnet_jax.training import cohort as cohorts
from acsnet_jax.training.assembly import make_bundle
from acsnet_jax.training.latent_space import LatentOptions
from acsnet_jax.training.loop import write_config
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.training.study import train_network

_LOG = logging.getLogger(__name__)


def reproduce(config: Config, workdir: pathlib.Path) -> None:
    """Train, fit, evaluate; a second run goes on where the first one stopped.

    Writes ``lv/``, ``myo/``, ``autoencoder/`` (training runs), ``bundle/`` and ``report/``.

    Raises:
        InputError: bad data, or `workdir` holds a run of another config.
    """
    path = workdir / "report" / "report.html"
    workdir.mkdir(parents=True, exist_ok=True)
    write_config(config, workdir)
    if path.exists():
        _LOG.info("nothing left to do; the report is %s", path)
        return
    data = from_config(cohorts.CohortOptions, config.data)
    _LOG.info("reading the cohort (%s)", data.format)
    cohort = cohorts.load(data, workdir)
    for task in bundle.NETWORKS:
        train_network(config, task, workdir / task, cohort)
    folder = workdir / "bundle"
    if not folder.exists():
        make_bundle(
            workdir,
            folder,
            cohort,
            from_config(LatentOptions, config.latent),
            from_config(Inference, config.inference),
            from_config(CorrectionOptions, config.correction),
        )
    write_evaluation(
        cohort,
        folder,
        workdir / "report",
        data=data,
        targets=from_config(Targets, config.targets),
        config=config.to_dict(),
        runs=workdir,
    )
    _LOG.info("done; open %s", path)
