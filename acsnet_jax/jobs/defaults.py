"""What several configs share: sections, from the defaults of the frozen dataclasses they become."""

from typing import Any

import ml_collections

from acsnet_jax.config import Config, described, section
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.evaluation.headline import Targets
from acsnet_jax.models import Autoencoder, ResUNet
from acsnet_jax.pipeline import Inference
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.training.augment import Augment
from acsnet_jax.training.cohort import CohortOptions
from acsnet_jax.training.latent_space import LatentOptions
from acsnet_jax.training.scar_fit import RuleGrid
from acsnet_jax.training.settings import Optimisation, Pretraining

# Intensities vary between scanners, and poses beyond the quarter turns.
_PICTURE = {
    "rotation_deg": 20.0,
    "scale": 0.15,
    "contrast": 0.2,
    "brightness": 0.1,
    "gamma": 0.3,
    "noise": 0.05,
}
AUGMENT: dict[str, dict[str, Any]] = {
    "lv": {**_PICTURE, "shift_px": 12.0},  # the heart is not always in the middle
    "myo": {**_PICTURE, "shift_px": 4.0, "box": 0.15},  # stage 1's boxes are off by a few pixels
    # A slice may lie in any direction; masks are centred, but a predicted one not exactly.
    "autoencoder": {"rotation_deg": 180.0, "scale": 0.15, "shift_px": 2.0},
}


def network(task: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The sections of one network."""
    cls = Autoencoder if task == "autoencoder" else ResUNet
    model = changes["model"] if task == "autoencoder" else {"patch": 1, **changes["model"]}
    return {
        "model": described(ml_collections.ConfigDict(model), cls),
        "augment": section(Augment(**{**AUGMENT[task], **changes.get("augment", {})})),
        "optimisation": section(Optimisation(**changes.get("optimisation", {}))),
    }


def training(task: str, **changes: Any) -> Config:
    """The config of one training run; `changes` replace defaults of a section by name."""
    return ml_collections.ConfigDict(
        {
            "task": task,  # the network: "lv", "myo" or "autoencoder"
            "seed": 0,  # of weights, order of samples and augmentation
            "workdir": f"runs/{task}",  # folder for everything that is written
            "data": section(CohortOptions(**{"cine_format": "phantom", **changes.get("data", {})})),
            "spec": section(InputSpec(**changes.get("spec", {}))),
            **network(task, changes),
        }
    ).lock()


def of_study(task: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The sections of one network of a study: stages 1 and 2 may be pretrained on cine."""
    sections = network(task, changes)
    if task != "autoencoder":
        # Like the training itself, such as its beta, in all that is not said.
        ours = {"epochs": 0, **changes.get("pretraining", {})}
        sections["pretraining"] = section(
            Pretraining(**{**changes.get("optimisation", {}), **ours})
        )
    return sections


def study(
    *,
    workdir: str,
    data: dict[str, Any],
    spec: dict[str, Any],
    networks: dict[str, dict[str, Any]],
    latent: dict[str, Any],
    inference: dict[str, Any],
    correction: dict[str, Any],
    targets: dict[str, float],
    folds: int = 0,
) -> Config:
    """The config of a whole study; arguments replace defaults of the section of that name."""
    return ml_collections.ConfigDict(
        {
            "seed": 0,  # of weights, order of samples and augmentation
            "workdir": workdir,  # folder for everything that is written
            # Of the training patients: stages 1 and 2 are trained once without each, make an
            # ensemble, and the rule for scar is fitted to what each says of its fold. 0 for one
            # network of each on all of them, and the rule of config.inference.
            "folds": folds,
            "data": section(CohortOptions(**data)),
            "spec": section(InputSpec(**spec)),
            # The three networks, each with its model, augmentation and optimisation. With epochs of
            # pretraining, cine trains a network before LGE does, and is not mixed in.
            "networks": {task: of_study(task, changes) for task, changes in networks.items()},
            "latent": section(LatentOptions(**latent)),
            "inference": section(Inference(**inference)),
            "rule": section(RuleGrid()),  # what is tried as a rule for scar, with folds
            "correction": section(CorrectionOptions(**correction)),
            "targets": section(Targets(**targets)),
        }
    ).lock()
