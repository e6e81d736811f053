"""Whether the latent correction earns its place: the study on held-out patients, written down."""

import logging
import pathlib

from acsnet_jax import bundle as bundles
from acsnet_jax import prior, report
from acsnet_jax.evaluation.damage_study import compare, predict_slices
from acsnet_jax.evaluation.held_out import load_held_out, trained_on
from acsnet_jax.training.cohort import CohortOptions
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.types import InputError

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
    trained_on(cohort.test, bundles.provenance(config.bundle))
    slices = predict_slices(cohort.test, bundle)
    corrector = bundle.corrector
    if config.corrector:
        folder = prior.SHIPPED if config.corrector == "prior" else config.corrector
        corrector = bundles.load_corrector(folder, correction=config.correction.to_dict())
        if folder != prior.SHIPPED:
            trained_on(cohort.test, bundles.provenance(folder))
    if (corrector.size, corrector.spacing_mm) != (bundle.corrector.size, slices.spacing_mm[0]):
        raise InputError(
            f"stage 3 of {config.corrector or config.bundle} works on {corrector.size} pixels of "
            f"{corrector.spacing_mm} mm; the bundle's masks have {bundle.corrector.size} of "
            f"{slices.spacing_mm[0]} mm: choose one of the same size"
        )
    study, examples = compare(slices, corrector, seed=config.seed)
    report.write_damage(study, examples, workdir)
    _LOG.info("%s", report.damage_summary(study))
    _LOG.info("see %s", workdir / "damage.md")
