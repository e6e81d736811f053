"""The whole system on every patient of a cohort, each held out once."""

import logging
import pathlib
from typing import NamedTuple

from acsnet_jax import bundle as bundles
from acsnet_jax import evaluation, prior
from acsnet_jax.correction import Corrector
from acsnet_jax.evaluation.headline import Targets
from acsnet_jax.evaluation.held_out import scans_seen, trained_on
from acsnet_jax.evaluation.nested import check_pairs, cross_validate_system, save_system
from acsnet_jax.jobs.evaluate import write_study
from acsnet_jax.training.cohort import Cohort, CohortOptions, read_labelled
from acsnet_jax.training.folds import FoldNetworks, check_enhancement, deal, pretraining_cine
from acsnet_jax.training.loop import beginning
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.training.spill import Spill
from acsnet_jax.training.study import check_pretraining, check_study
from acsnet_jax.types import InputError, Scan

_LOG = logging.getLogger(__name__)


def crossvalidate(config: Config, workdir: pathlib.Path) -> None:
    """Train, fit, segment and judge fold by fold, then report on all patients together.

    A second run goes on where the first one stopped.

    Raises:
        InputError: bad data, too few patients, or `workdir` holds a run of another config.
    """
    check_study(config)
    check_pairs(config.pairs)
    with beginning(config, workdir):
        scans, cine, corrector = read_inputs(config, workdir)
        check_pretraining(config, pretraining_cine(scans, cine))
        check_enhancement(scans)
        dealt = deal(scans, config.folds, config.seed, least=3)
        networks = FoldNetworks(config, scans, cine, corrector, dealt, workdir)
    folds = cross_validate_system(networks)
    records = evaluation.merged(
        evaluation.evaluate(fold.segmentations, fold.inference) for fold in folds
    )
    segmentations = [one for fold in folds for one in fold.segmentations]
    calibrations = [fold.calibration for fold in folds for _ in fold.segmentations]
    path = write_study(
        segmentations,
        records,
        corrector,
        calibrations,
        Cohort([], [one.scan for one in segmentations], cine=cine),
        workdir / "report",
        title=f"ACSNet: every patient held out once, in {config.folds} folds",
        data=from_config(CohortOptions, config.data),
        targets=from_config(Targets, config.targets),
        config=config.to_dict(),
    )
    _LOG.info("open %s; what is left is the bundle with its intervals", path)
    # the prior that ships has seen phantoms alone
    seen = scans_seen(bundles.provenance(config.corrector)) if config.corrector else []
    save_system(networks, seen=seen)
    _LOG.info("done")


class Inputs(NamedTuple):
    """What a cross-validation works on.

    Attributes:
        scans: labelled LGE scans of all patients.
        cine: labelled cine scans, for training alone.
        corrector: stage 3.
    """

    scans: list[Scan]
    cine: list[Scan]
    corrector: Corrector


def read_inputs(config: Config, workdir: pathlib.Path) -> Inputs:
    """The cohort and stage 3 of a cross-validation.

    Args:
        config: of the cross-validation.
        workdir: where pixels go that memory is not to hold, and the key of names if there is one.

    Raises:
        InputError: bad data, a bad bundle, or one whose stage 3 has seen some of the patients.
    """
    data = from_config(CohortOptions, config.data)
    scans, cine = read_labelled(data, workdir, Spill(workdir, data.memory_gb))
    corrector = bundles.load_corrector(
        config.corrector or prior.SHIPPED, correction=config.correction.to_dict()
    )
    if config.corrector:
        known = trained_on(scans, bundles.provenance(config.corrector))
        if known:
            raise InputError(
                f"config.corrector: {config.corrector} was trained on {len(known)} of the "
                f"{len(scans)} patients ({', '.join(known[:5])}), none of whom it may have seen; "
                "give one of others, or none for the prior that ships"
            )
    lge, more = ([x for x in scans if x.modality == kind] for kind in ("lge", "cine"))
    return Inputs(lge, [*cine, *more], corrector)
