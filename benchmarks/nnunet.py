"""nnU-Net, trained and tested in the folds of a cross-validation of ours.

    python -m benchmarks.nnunet --folds=RUN/folds.json --format=emidec --root=EMIDEC --out=DIR

``folds.json`` is a list of folds, each a list of patients' ids; of every fold nnU-Net is trained on
the patients of the other folds and predicts its own, by its own plans and its own commands
(`pip install nnunetv2`). Its training is made for a GPU: 250,000 steps a fold, unless ``--trainer``
names a shorter one of nnU-Net's. Writes under DIR:

- ``raw``, ``preprocessed``, ``results``: nnU-Net's own folders. A fold whose validation is there
  is not trained again, one that stopped goes on from its last checkpoint.
- ``challenge.md`` and ``.csv``, ``challenge_patients.csv``, ``table1``, ``table2``, ``presence``:
  as of our own predictions, by the same code.
- ``settings.json``: what was asked for; another question needs another folder.

References:
    Isensee et al., Nature Methods 18, 2021.
"""

import logging
import pathlib

from absl import app, flags
from absl import logging as absl_logging

from benchmarks import cohorts, nnunet_folds, record

_FOLDS = flags.DEFINE_string("folds", None, "folds.json of a cross-validation.", required=True)
_FORMAT = flags.DEFINE_string("format", "phantom", "Of the cohort, as config.data.format.")
_ROOT = flags.DEFINE_string("root", None, "The cohort's folder.")
_PATIENTS = flags.DEFINE_integer("patients", 40, "Number of phantoms.")
flags.declare_key_flag("out")
_CONFIGURATION = flags.DEFINE_string("configuration", "2d", "2d or 3d_fullres.")
_TRAINER = flags.DEFINE_string("trainer", "nnUNetTrainer", "Or nnUNetTrainer_100epochs, ...")
_DEVICE = flags.DEFINE_enum("device", "cuda", ["cuda", "cpu", "mps"], "What nnU-Net trains on.")


def main(argv: list[str]) -> None:
    del argv
    absl_logging.use_absl_handler()
    absl_logging.set_verbosity(absl_logging.INFO)
    out = pathlib.Path(record.OUT.value or "runs/nnunet")
    scans = cohorts.read(_FORMAT.value, _ROOT.value, patients=_PATIENTS.value)
    found = nnunet_folds.run_folds(
        scans,
        pathlib.Path(_FOLDS.value),
        out,
        nnunet_folds.Options(configuration=_CONFIGURATION.value, trainer=_TRAINER.value),
        device=_DEVICE.value,
    )
    logging.info("%d patients; done: %s", len(found), out / "challenge.md")


if __name__ == "__main__":
    app.run(main)
