"""Frozen settings out of locked ConfigDicts: a ConfigDict never reaches `jit` or a library call."""

import dataclasses
from typing import Literal, TypeVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from acsnet_jax.bundle.record import out_of_range
from acsnet_jax.config import Config
from acsnet_jax.files import tuples_for_lists
from acsnet_jax.models import Autoencoder, ResUNet
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.training.augment import Augment
from acsnet_jax.training.cohort import CohortOptions
from acsnet_jax.training.optimiser import Course, adam, muon
from acsnet_jax.training.steps import Task
from acsnet_jax.types import InputError, check_least

T = TypeVar("T")

OUTPUTS = {"lv": 1, "myo": 2, "autoencoder": 1}
"""The three networks, and how many masks each of them gives; stage 2 one more by option."""

_OPTIMISERS = {"adam": adam, "muon": muon}


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """How long and how fast to train (paper, Training: Adam, no early stopping).

    Attributes:
        batch_size: samples a step, over all devices.
        epochs: passes over the training samples.
        learning_rate: the highest; reached after `warmup` of all steps, then cosine decay to 0.
        warmup: share of all steps.
        optimiser: "adam", as in the paper, or "muon", which fits more in as many steps and takes an
            eighth longer for one on two cores; ``configs/emidec_cpu.py`` gives it twice the rate.
        beta: weight of the losses (0.6 for the LV, 0.4 for the myocardium).
        loss: "image": the Tversky loss of each image, as in the paper; "batch": of all images of a
            batch together, so that what is found where the expert drew nothing costs something.
        compute: what stages 1 and 2 compute in. Parameters, statistics and loss stay float32, and
            trained networks predict in float32; "bfloat16" is for accelerators that are fast in it.
        checkpoint_every: epochs between checkpoints; the last epoch always has one.
        picture_every: epochs between pictures of training samples; 0 for none.
    """

    batch_size: int = 16
    epochs: int = 100
    learning_rate: float = 1e-3
    warmup: float = 0.05
    optimiser: Literal["adam", "muon"] = "adam"
    beta: float = 0.6
    loss: Literal["image", "batch"] = "image"
    compute: Literal["float32", "bfloat16"] = "float32"
    checkpoint_every: int = 1
    picture_every: int = 10

    _fewest_epochs = 1

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that no run can have."""
        least = {"batch_size": 1, "checkpoint_every": 1, "picture_every": 0}
        check_least(self, "optimisation.", **least, epochs=self._fewest_epochs)
        if not 0 <= self.beta <= 1:
            raise InputError(f"optimisation.beta is {self.beta}: give 0 to 1")
        if self.learning_rate <= 0:
            raise InputError(f"optimisation.learning_rate is {self.learning_rate}: give above 0")


@dataclasses.dataclass(frozen=True)
class Pretraining(Optimisation):
    """`Optimisation` of a network of a study on cine alone, before it sees LGE.

    Attributes:
        epochs: passes over the cine samples; with 0 cine is mixed in, as in the paper.
    """

    epochs: int = 0

    _fewest_epochs = 0


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """One training run."""

    task: str
    seed: int
    data: CohortOptions
    spec: InputSpec
    augment: Augment
    optimisation: Optimisation
    model: nn.Module


def from_config(cls: type[T], node: Config) -> T:
    """A frozen dataclass from a ConfigDict that has exactly its fields; sequences become tuples."""
    return cls(**tuples_for_lists(node.to_dict()))


def settings_of(config: Config) -> RunSettings:
    """The settings of a training config.

    Raises:
        InputError: `config.task` names no network, or there is none: the config is a study's; or a
            number is none that a run can have.
    """
    if "task" not in config:
        raise InputError(
            "the config has no task, it is not of one network: give one such as lv, myo or "
            "autoencoder, or a study's to reproduce"
        )
    if config.task not in OUTPUTS:
        raise InputError(f"config.task is {config.task!r}; choose one of {', '.join(OUTPUTS)}")
    if config.seed < 0:
        raise InputError(f"config.seed is {config.seed}: give 0 or more")
    for section in ("spec", "model"):
        wrong = out_of_range(config[section].to_dict())
        if wrong:
            raise InputError(f"config.{section}.{wrong}")
    spec = from_config(InputSpec, config.spec)
    model = build_model(config.task, config.model.to_dict(), spec)
    _check_size(config.task, model.step, spec)
    return RunSettings(
        task=config.task,
        seed=config.seed,
        data=from_config(CohortOptions, config.data),
        spec=spec,
        augment=from_config(Augment, config.augment),
        optimisation=from_config(Optimisation, config.optimisation),
        model=model,
    )


def _check_size(task: str, step: int, spec: InputSpec) -> None:
    """Every level of a network halves its input, in patches if it takes these as one pixel.

    Raises:
        InputError: that leaves a rest.
    """
    size = input_size(task, spec)
    if size % step:
        key = {"lv": "lv_size", "myo": "myo_size", "autoencoder": "mask_size"}[task]
        raise InputError(
            f"config.spec.{key} is {size}, which the network cannot halve level by level: give a "
            f"multiple of {step}, such as {max(round(size / step), 1) * step}"
        )


def build_model(task: str, model: dict, spec: InputSpec) -> ResUNet | Autoencoder:
    """The network of a task from its config section."""
    sizes = tuples_for_lists(model)
    if task == "autoencoder":
        return Autoencoder(size=spec.mask_size, **sizes)
    return ResUNet(outputs=OUTPUTS[task] + (task == "myo" and spec.no_reflow), **sizes)


def input_size(task: str, spec: InputSpec) -> int:
    """Height and width of a network's input."""
    return {"lv": spec.lv_size, "myo": spec.myo_size, "autoencoder": spec.mask_size}[task]


def input_shape(task: str, spec: InputSpec) -> tuple[int, int, int, int]:
    """Shape of one image as a network takes it: (1, height, width, channels)."""
    size = input_size(task, spec)
    return 1, size, size, 1 if task == "autoencoder" else 1 + 2 * spec.context


def task_of(settings: RunSettings) -> Task:
    """What a train step of a run closes over."""
    return make_task(
        settings.task,
        settings.model,
        input_size(settings.task, settings.spec),
        augment=settings.augment,
        optimisation=settings.optimisation,
    )


def make_task(
    name: str,
    model: nn.Module,
    size: int,
    *,
    augment: Augment,
    optimisation: Optimisation,
) -> Task:
    """What a train step closes over.

    Args:
        name: one of `OUTPUTS`.
        model: the network.
        size: height and width of its input.
        augment: random changes.
        optimisation: loss, its weight, the optimiser, and what is computed in.

    Raises:
        InputError: the network does not compute in what the options ask for.
    """
    return Task(
        name=name,
        model=_computing(model, optimisation.compute),
        optimiser=_OPTIMISERS[optimisation.optimiser](),
        size=size,
        augment=augment,
        beta=optimisation.beta,
        loss=optimisation.loss,
    )


def course_of(optimisation: Optimisation, steps: int) -> Course:
    """The learning rate of a run of so many steps.

    Raises:
        InputError: the warm-up is no share of them.
    """
    if not 0 <= optimisation.warmup < 1:
        raise InputError(
            f"optimisation.warmup is {optimisation.warmup}: give a share of all steps, from 0 to "
            "below 1"
        )
    warmup = max(round(optimisation.warmup * steps), 1)
    return Course(
        peak=np.float32(optimisation.learning_rate),
        warmup=np.int32(warmup),
        steps=np.int32(max(steps, warmup + 1)),
    )


def _computing(model: nn.Module, compute: str) -> nn.Module:
    """The network, computing in bfloat16 if asked to."""
    if compute == "float32":
        return model
    if not isinstance(model, ResUNet):
        raise InputError(
            "optimisation.compute=bfloat16 is for stages 1 and 2: their masks bear its rounding, "
            "codes do not; leave the autoencoder at float32"
        )
    return model.clone(dtype=jnp.bfloat16)
