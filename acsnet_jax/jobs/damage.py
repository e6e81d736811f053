"""Whether the latent correction earns its place: the study on held-out patients, written down."""

import logging
import pathlib

from acsnet_jax import bundle as bundles
from acsnet_jax import report
from acsnet_jax.evaluation.damage_study import compare, predict_slices
from acsnet_jax.evaluation.held_out import load_held_out
from acsnet_jax.training.cohort import CohortOptions
from acsnet_jax.training.settings import Config, from_config

_LOG = logging.getLogger(__name__)


def study_damage(config: Config, workdir: pathlib.Path) -> None:
    """Compare corrections on the held-out patients of ``config.data`` and write the study.

    Cohort and division are those of `acsnet_jax.evaluation.load_held_out`.

    Raises:
        InputError: bad bundle or data.
    """
    bundle = bundles.load(
        config.bundle,
        inference=config.inference.to_dict(),
        correction=config.correction.to_dict(),
    )
    data = from_config(CohortOptions, config.data)
    cohort = load_held_out(data, workdir, split=config.split, turn=config.turn)
    slices = predict_slices(cohort.test, bundle)
    study, examples = compare(slices, bundle.corrector, seed=config.seed)
    report.write_damage(study, examples, workdir)
    _LOG.info("%s", report.damage_summary(study))
    _LOG.info("see %s", workdir / "damage.md")
