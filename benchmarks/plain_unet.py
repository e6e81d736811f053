"""A plain U-Net in PyTorch, trained and tested in the folds of a cross-validation of ours.

    python -m benchmarks.plain_unet --folds=RUN/folds.json --format=emidec --root=EMIDEC --out=DIR

``folds.json`` is a list of folds, each a list of patients' ids; of every fold a network is trained
on the patients of the other folds and predicts its own. One network sees whole slices: no cascade,
no correction, no neighbours. Writes under DIR:

- ``labels/fold_K/ID.nii.gz``: `acsnet_jax.types.Label` values on the scan's own grid, for
  ``experiments.check`` and ``experiments.correct``. A fold that is there is not trained again.
- ``challenge.md`` and ``.csv``, ``challenge_patients.csv``, ``table1``, ``table2``, ``presence``:
  as of our own predictions, by the same code.
- ``settings.json``: what was asked for; another question needs another folder.
"""

import logging
import os
import pathlib

from absl import app, flags
from absl import logging as absl_logging

from benchmarks import cohorts, plain_folds, record

_FOLDS = flags.DEFINE_string("folds", None, "folds.json of a cross-validation.", required=True)
_FORMAT = flags.DEFINE_string("format", "phantom", "Of the cohort, as config.data.format.")
_ROOT = flags.DEFINE_string("root", None, "The cohort's folder.")
_PATIENTS = flags.DEFINE_integer("patients", 40, "Number of phantoms.")
flags.declare_key_flag("out")
_EPOCHS = flags.DEFINE_integer("epochs", 70, "Passes over the training slices.")
_FILTERS = flags.DEFINE_list("filters", "12,24,48,96,192", "Of each level, finest first.")
_RATE = flags.DEFINE_float("learning_rate", 2e-3, "Of Adam, at first.")
_SPACING = flags.DEFINE_float("spacing", 1.5, "In-plane, in mm.")
_SIZE = flags.DEFINE_integer("size", 144, "Height and width of the network's input.")
_MIRROR = flags.DEFINE_bool("mirror", True, "Average over turned and mirrored pictures.")
_SEED = flags.DEFINE_integer("seed", 0, "Of parameters, order and augmentation.")


def main(argv: list[str]) -> None:
    del argv
    absl_logging.use_absl_handler()
    absl_logging.set_verbosity(absl_logging.INFO)
    out = pathlib.Path(record.OUT.value or "runs/plain_unet")
    plain_folds.torch_network().use_threads(len(os.sched_getaffinity(0)))
    options = plain_folds.Options(
        filters=tuple(int(count) for count in _FILTERS.value),
        epochs=_EPOCHS.value,
        learning_rate=_RATE.value,
        spacing_mm=_SPACING.value,
        size=_SIZE.value,
        mirror=_MIRROR.value,
        seed=_SEED.value,
    )
    scans = cohorts.read(_FORMAT.value, _ROOT.value, patients=_PATIENTS.value)
    found = plain_folds.run_folds(scans, pathlib.Path(_FOLDS.value), out, options)
    logging.info("%d patients; done: %s", len(found), out / "challenge.md")


if __name__ == "__main__":
    app.run(main)
