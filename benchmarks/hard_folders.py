"""What `benchmarks.fuzz` damages besides scans and labels: a bundle, a training run, a config.

Each has a writer, which fills an empty folder, and a reader, which gives what is wrong with what it
read.
"""

import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np

from acsnet_jax import bundle, config, latent
from acsnet_jax.anatomy import Thresholds
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.files import write_json
from acsnet_jax.models import Autoencoder
from acsnet_jax.pipeline import Inference
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.training import record
from acsnet_jax.training.checkpoint import Checkpoints
from acsnet_jax.training.cohort import read_division
from acsnet_jax.training.record import Record
from acsnet_jax.training.runs import load_run
from acsnet_jax.training.settings import input_shape, settings_of, task_of
from acsnet_jax.training.sharding import one_device
from acsnet_jax.training.state import create
from acsnet_jax.types import Population
from configs import autoencoder

_SIZES = {"size": 16, "latent": 3, "filters": (2, 4)}


def write_bundle(folder: pathlib.Path) -> None:
    """Stage 3 alone, in the present format.

    Its masks have no fixed spacing, so that a population cannot be decoded where it is missing:
    compiling that takes longer than reading may.
    """
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(24, _SIZES["latent"])).astype(np.float32)
    masks = jnp.asarray(rng.random((24, _SIZES["size"], _SIZES["size"])) > 0.5)
    variables = jax.jit(Autoencoder(**_SIZES).init)(jax.random.key(0), jnp.zeros((1, 16, 16, 1)))
    bundle.save(
        folder / "bundle",
        {"autoencoder": bundle.Network(_SIZES, variables)},
        bundle.Latent(
            Thresholds(0.8, 0.7, 3.0, 2.0, 20.0),
            latent.fit_mixture(codes, 2, seed=0),
            Population(jnp.asarray(codes), latent.pack_masks(masks)),
        ),
        InputSpec(2.0, 32, None, 16, 16, 10.0),
        Inference(),
        CorrectionOptions(),
        training={"scans": 3},
    )


def write_old_bundle(folder: pathlib.Path) -> None:
    """The same in format 3, which no checksum guards: damage reaches the arrays' own readers."""
    write_bundle(folder)
    (folder / "bundle" / "manifest.json").unlink()
    path = folder / "bundle" / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 3}))


def read_bundle(folder: pathlib.Path) -> list[str]:
    """Load stage 3 and correct nothing."""
    corrector = bundle.load_corrector(folder / "bundle")
    latent_size = corrector.population.codes.shape[1]
    fits = corrector.mixture.means.shape[1] == latent_size
    leaves = jax.tree.leaves((corrector.population.codes, corrector.mixture, corrector.thresholds))
    finite = all(np.isfinite(np.asarray(leaf, np.float64)).all() for leaf in leaves)
    return ["not finite"] * (not finite) + ["sizes disagree"] * (not fits)


def write_run(folder: pathlib.Path) -> None:
    """A run with two checkpoints, as it is resumed and as `fit_latent` takes it."""
    run = autoencoder.get_config()
    run.spec.update(mask_size=_SIZES["size"])
    run.model.update(filters=_SIZES["filters"], latent=_SIZES["latent"])
    write_json(run.to_dict(), folder / "config.json")
    write_json({"seed": 0, "train": ["a", "b"], "test": ["c"]}, folder / "split.json")
    settings = settings_of(run)
    task = task_of(settings)
    shape = input_shape(settings.task, settings.spec)
    state = create(task.model, task.optimiser, shape, jax.random.key(0))
    state = jax.device_put(state, one_device())
    with Checkpoints(folder) as checkpoints, Record(folder) as lines:
        for step in (1, 2):
            lines.scalars(step, {"loss": 0.5 / step})
            checkpoints.save(state._replace(step=state.step + step))
    for board in folder.glob("events.out.*"):  # which nothing of ours reads
        board.unlink()


def read_run(folder: pathlib.Path) -> list[str]:
    """Division, metrics, and the newest whole state."""
    division, rows = read_division(folder / "split.json"), record.read(folder)
    _, state = load_run(folder)
    finite = all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(state.variables))
    sound = {
        "weights": finite,
        "step": int(state.step) in (1, 2),
        "division": all(isinstance(name, str) for part in division for name in part),
        "metrics": all("step" in row for row in rows),
    }
    return [name for name, right in sound.items() if not right]


def write_config(folder: pathlib.Path) -> None:
    """One that ships."""
    shutil.copy(config.find("emidec_cpu"), folder / "mine.py")


def read_config(folder: pathlib.Path) -> list[str]:
    """As the command line reads it."""
    settings = config.load(str(folder / "mine.py"))
    return [] if config.explain(settings, {}) is not None else ["no lines"]
