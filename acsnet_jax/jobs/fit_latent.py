"""From training runs to a bundle, with figure 5 where the latent space is to be chosen."""

import dataclasses
import logging
import pathlib

from acsnet_jax import bundle, latent, report
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.files import write_json
from acsnet_jax.io.stack import patient_of
from acsnet_jax.pipeline import Inference
from acsnet_jax.training import cohort as cohorts
from acsnet_jax.training.assembly import coders, make_bundle, train_dimension
from acsnet_jax.training.latent_space import LatentOptions, Selection, select_latent
from acsnet_jax.training.runs import load_run
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)


def fit_latent(config: Config, workdir: pathlib.Path) -> None:
    """Write the bundle of the runs ``config.runs/{lv,myo,autoencoder}`` to `workdir`.

    ``config.autoencoder`` names another run of the autoencoder. Without runs of the two
    segmentation networks the bundle is stage 3 alone. The cohort, with its division, is that of the
    autoencoder's run. With ``config.select``, autoencoders of several latent dimensions are trained
    beside it, and ``selection/`` beside them gets figure 5, its numbers and the choice that the
    bundle is then made of.

    Raises:
        InputError: a run is missing or differs from the others, or `workdir` exists.
    """
    bundle.check_absent(workdir)
    runs = pathlib.Path(config.runs)
    autoencoder = pathlib.Path(config.autoencoder or runs / "autoencoder")
    settings, _ = load_run(autoencoder)
    division = cohorts.division_folder(autoencoder)
    cohort = cohorts.load(settings.data, autoencoder if division is None else division)
    options = from_config(LatentOptions, config.latent)
    if config.select:
        autoencoder, components = select(
            autoencoder, cohort, from_config(Selection, config.selection)
        )
        options = dataclasses.replace(options, components=components)
    make_bundle(
        runs,
        workdir,
        cohort,
        options,
        from_config(Inference, config.inference),
        from_config(CorrectionOptions, config.correction),
        autoencoder=autoencoder,
    )


def select(
    autoencoder: pathlib.Path, cohort: cohorts.Cohort, selection: Selection
) -> tuple[pathlib.Path, int]:
    """Train an autoencoder for each latent dimension, draw figure 5 and name the choice.

    Returns:
        The run of the chosen autoencoder, and the number of components.

    Raises:
        InputError: more folds than patients, before anything is trained.
    """
    patients = len({patient_of(scan.id) for scan in cohort.train})
    if not 2 <= selection.folds <= patients:
        raise InputError(
            f"config.selection.folds is {selection.folds}, and there are {patients} training "
            f"patients: give 2 to {patients}"
        )
    folders = {d: train_dimension(autoencoder, cohort, d) for d in selection.dimensions}
    loaded = {d: load_run(folder) for d, folder in folders.items()}
    spec = loaded[selection.dimensions[0]][0].spec
    networks = {d: coders(*run) for d, run in loaded.items()}
    scores, rebuilt = select_latent(networks, cohort.train, spec, selection)
    dimension, components = latent.choose(scores, rebuilt)
    folder = autoencoder.with_name("selection")
    folder.mkdir(exist_ok=True)
    report.figure5(scores, folder / "figure5.png", chosen=(dimension, components))
    record = {
        "chosen": {"dimension": dimension, "components": components},
        "reconstruction_dice": {str(d): dice for d, dice in rebuilt.items()},
        "scores": [score._asdict() for score in scores],
    }
    write_json(record, folder / "selection.json")
    for d, dice in rebuilt.items():
        best = min((s for s in scores if s.dimension == d), key=lambda s: s.adjusted_aic)
        _LOG.info(
            "d = %d: training masks rebuilt at Dice %.3f; lowest adjusted AIC at p = %d",
            d,
            dice,
            best.components,
        )
    _LOG.info("chosen: d = %d, p = %d; see %s", dimension, components, folder / "figure5.png")
    return folders[dimension], components
