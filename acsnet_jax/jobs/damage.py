"""Whether the latent correction earns its place: the study on held-out patients, written down."""

import logging
import pathlib

from acsnet_jax import bundle as bundles
from acsnet_jax import report
from acsnet_jax.evaluation.damage_study import compare, predict_slices
from acsnet_jax.jobs.evaluate import load_cohort
from acsnet_jax.training.settings import Config

_LOG = logging.getLogger(__name__)


def study_damage(config: Config, workdir: pathlib.Path) -> None:
    """Compare corrections on the held-out patients of ``config.data`` and write the study.

    Cohort and division are those of `acsnet_jax.jobs.evaluate.load_cohort`.

    Raises:
        InputError: bad bundle or data.
    """
    bundle = bundles.load(
        config.bundle,
        inference=config.inference.to_dict(),
        correction=config.correction.to_dict(),
    )
    slices = predict_slices(load_cohort(config, workdir).test, bundle)
    study, examples = compare(slices, bundle.corrector, seed=config.seed)
    report.write_damage(study, examples, workdir)
    _LOG.info("%s", report.damage_summary(study))
    _LOG.info("see %s", workdir / "damage.md")
