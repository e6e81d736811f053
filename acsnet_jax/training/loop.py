"""`train_and_evaluate`: the only orchestrator of a training run."""

import contextlib
import dataclasses
import logging
import math
import pathlib
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, PyTree

from acsnet_jax.files import RESTORE, read_record, replacing, write_json
from acsnet_jax.lock import hold
from acsnet_jax.models import parameter_count
from acsnet_jax.training import cohort as cohorts
from acsnet_jax.training import datasets, progress
from acsnet_jax.training.checkpoint import Checkpoints
from acsnet_jax.training.distributed import is_first
from acsnet_jax.training.pictures import sample_picture
from acsnet_jax.training.record import Record
from acsnet_jax.training.same_run import check_samples, differences
from acsnet_jax.training.settings import (
    Config,
    RunSettings,
    course_of,
    input_shape,
    settings_of,
    task_of,
)
from acsnet_jax.training.sharding import (
    compiled_train_step,
    data_mesh,
    divided_batch,
    on_one_device,
    replicated,
)
from acsnet_jax.training.spill import Spill
from acsnet_jax.training.state import TrainState, create, started_from
from acsnet_jax.training.steps import as_batch, eval_step
from acsnet_jax.types import InputError, Label, Scan

_LOG = logging.getLogger(__name__)

DATASETS = {
    "lv": datasets.lv_dataset,
    "myo": datasets.myo_dataset,
    "autoencoder": datasets.mask_dataset,
}


def train_and_evaluate(
    config: Config,
    workdir: str | pathlib.Path,
    *,
    cohort: cohorts.Cohort | None = None,
    start: TrainState | None = None,
) -> TrainState:
    """Train one network for a fixed number of epochs; resume if `workdir` holds a checkpoint.

    Args:
        config: as in ``configs/lv.py``, ``configs/myo.py`` and ``configs/autoencoder.py``.
        workdir: gets ``config.json``, ``split.json``, ``samples.json``, ``checkpoints/``,
            ``metrics.jsonl``, ``held_out.json``, TensorBoard files and ``samples/``.
        cohort: already loaded scans, for a caller that trains several networks on them.
        start: of another run, whose parameters and batch statistics this one begins with; None for
            random ones.

    Returns:
        The state after the last epoch. Held-out patients never reach a step: they are named in
        ``split.json`` and looked at once, for ``held_out.json``.

    Raises:
        InputError: bad config or bad data, another run writes to `workdir`, or its run began with
            other samples.
        FloatingPointError: the loss is not finite; names the step. The last checkpoint stays.
    """
    workdir = pathlib.Path(workdir)
    # Also below the folder that a study holds, where another process may train one network.
    with hold(workdir) if is_first() else contextlib.nullcontext():
        return _train_and_evaluate(config, workdir, cohort, start)


def _train_and_evaluate(
    config: Config,
    workdir: pathlib.Path,
    cohort: cohorts.Cohort | None,
    start: TrainState | None,
) -> TrainState:
    settings = settings_of(config)
    mesh = data_mesh(settings.optimisation.batch_size)
    with beginning(config, workdir):
        if cohort is None:
            cohort = cohorts.load(settings.data, workdir)
        cohorts.check_images([*cohort.train, *cohort.test])
        spill = Spill(workdir, settings.data.memory_gb)
        dataset = training_samples(settings, cohort.train, spill=spill)
        _check_told(settings, dataset, cohort.train)
        check_samples(dataset, workdir, cohort.seen)
    steps = steps_per_epoch(dataset.size, settings.optimisation.batch_size)
    task = task_of(settings)
    course = course_of(settings.optimisation, steps * settings.optimisation.epochs)
    shape = input_shape(settings.task, settings.spec)
    state = create(task.model, task.optimiser, shape, jax.random.key(settings.seed))
    if start is not None:
        state = started_from(state, start)
    _announce(settings, cohort, dataset, state, len(mesh.devices))

    with Checkpoints(workdir) as checkpoints:
        state = jax.device_put(jax.device_get(state), replicated(mesh))
        if checkpoints.latest_step() is not None:
            state = checkpoints.restore(state, replicated(mesh))
            _LOG.info("resumed at step %d", int(state.step))
        step = compiled_train_step(task, course, mesh)
        epochs = range(int(state.step) // steps, settings.optimisation.epochs)
        if epochs:
            batch = divided_batch(dataset, np.resize(0, settings.optimisation.batch_size), mesh)
            seconds = progress.step_seconds(step, state, batch)
            _LOG.info(progress.forecast(settings.task, seconds, steps, len(epochs)))
        with _record(workdir, int(state.step)) as record:
            for epoch in epochs:
                state = run_epoch(
                    step,
                    state,
                    dataset,
                    epoch=epoch,
                    epochs=settings.optimisation.epochs,
                    batch_size=settings.optimisation.batch_size,
                    seed=settings.seed,
                    name=settings.task,
                    mesh=mesh,
                    record=record,
                )
                _picture(settings, epoch, dataset, state, record, workdir)
                if _is_due(epoch, settings.optimisation):
                    check_finite(settings.task, state)
                    checkpoints.save(state)
    if cohort.test:
        exact = dataclasses.replace(task, model=settings.model)  # whatever it was trained in
        _evaluate(settings, exact, on_one_device(state), cohort.test, workdir)
    return state


def _check_told(settings: RunSettings, dataset: datasets.Dataset, scans: list[Scan]) -> None:
    """Refuse an output of stage 2 of which no sample tells: it would stay as it began, random.

    Where enhancement was drawn and no-reflow nowhere, the output learns to stay silent: a warning.

    Raises:
        InputError: no expert told enhancement, or none on LGE for no-reflow.
    """
    if settings.task != "myo":
        return
    told = np.any(dataset.weights, axis=0).tolist()  # an output each
    if not told[1]:
        raise InputError(
            "no label of the training cohort holds enhancement (3 or 4), which stage 2 learns: say "
            "what the values mean with config.data.label_map, or add a cohort that has it"
        )
    lge = [scan for scan in scans if scan.modality == "lge"]
    if not (lge and settings.spec.no_reflow):
        return
    if not told[2]:
        raise InputError(
            "no label of the training LGE holds enhancement, and so none tells no-reflow: leave "
            "out config.spec.no_reflow"
        )
    if not any(np.any(scan.labels == Label.NO_REFLOW) for scan in lge):
        _LOG.warning(
            "no label of the training LGE holds no-reflow (4): stage 2 learns never to tell it; "
            "leave out config.spec.no_reflow"
        )


def training_samples(
    settings: RunSettings, scans: list[Scan], *, spill: Spill | None = None
) -> datasets.Dataset:
    """The samples of a run, cine weighted down; with `spill`, not all have to fit in memory."""

    def make(some: list[Scan]) -> datasets.Dataset:
        return DATASETS[settings.task](some, settings.spec)

    if spill is None or settings.task == "autoencoder":  # masks are small
        return datasets.balance_cine(make(scans), scans)
    return datasets.balance_cine(spill.dataset(make, scans), scans)


def _record(workdir: pathlib.Path, step: int) -> contextlib.AbstractContextManager[Record | None]:
    """Where a run writes its scalars down; None in all processes but the first."""
    return Record(workdir, resume_step=step) if is_first() else contextlib.nullcontext()


def run_epoch(
    step: Callable,
    state: TrainState,
    dataset: datasets.Dataset,
    *,
    epoch: int,
    epochs: int,
    batch_size: int,
    seed: int,
    name: str,
    mesh: Mesh,
    record: Record | None = None,
) -> TrainState:
    """One pass; gives the state after it.

    The order depends on seed and epoch alone, so that a resumed run sees the same batches.

    Args:
        step: a compiled train step for this mesh.
        state: before the pass; it is donated.
        dataset: what is trained on.
        epoch: its number, from 0.
        epochs: of the run, for the log.
        batch_size: samples a step, over all devices.
        seed: of the order.
        name: of what is trained, for the log.
        mesh: devices.
        record: gets the mean loss and Dice.

    Raises:
        FloatingPointError: a loss is not finite; names the step.
    """
    order = np.random.default_rng([seed, epoch]).permutation(dataset.size)
    count = steps_per_epoch(dataset.size, batch_size)
    history = []
    started = time.perf_counter()
    for index in progress.ticking(count, f"{name} epoch {epoch + 1}/{epochs}"):
        # The last batch wraps around in a set smaller than one batch; elsewhere it is left out.
        chosen = np.resize(order, count * batch_size)[index * batch_size : (index + 1) * batch_size]
        state, metrics = step(state, divided_batch(dataset, chosen, mesh))
        history.append(metrics)
        jax.block_until_ready(history[-2:][0])  # no more than one step ahead of the device
    history = jax.device_get(history)
    first = int(state.step) - count + 1
    for offset, metrics in enumerate(history):
        if not math.isfinite(metrics["loss"]):
            raise FloatingPointError(
                f"{name}: the loss is {metrics['loss']} at step {first + offset}; lower "
                "optimisation.learning_rate, or look at the batch of that step"
            )
    means = {key: float(np.mean([row[key] for row in history])) for key in history[0]}
    rate = count * batch_size / (time.perf_counter() - started)
    if record is not None:
        record.scalars(int(state.step), {"epoch": epoch + 1, **means, "samples_per_second": rate})
    scores = " ".join(f"{key} {value:.4f}" for key, value in means.items())
    _LOG.info("%s epoch %d/%d: %s (%.1f samples/s)", name, epoch + 1, epochs, scores, rate)
    return state


def _picture(settings, epoch, dataset, state, record, workdir) -> None:
    """A few training samples with targets and predictions, to look at while training."""
    every = settings.optimisation.picture_every
    if not every or (epoch + 1) % every:
        return
    chosen = np.random.default_rng(settings.seed).choice(dataset.size, min(6, dataset.size), False)
    picture = sample_picture(settings, on_one_device(state), dataset.take(chosen))
    if record is None:
        return
    record.picture(int(state.step), "samples", picture)
    with replacing(workdir / "samples" / f"epoch-{epoch + 1:04d}.png") as path:
        matplotlib.image.imsave(path, picture)


def check_finite(name: str, state: TrainState) -> None:
    """The loss of a step tells of the parameters before it: look at them before they are kept.

    Raises:
        FloatingPointError: a parameter is not finite; names the step.
    """
    if not _all_finite(state.params):
        raise FloatingPointError(
            f"{name}: step {int(state.step)} left parameters that are not finite; lower "
            "optimisation.learning_rate"
        )


@jax.jit
def _all_finite(tree: PyTree) -> Bool[Array, ""]:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


_eval_step = jax.jit(eval_step, static_argnums=0)


def _evaluate(settings, task, state, scans, workdir) -> None:
    """Dice of this network alone on held-out patients, once, after the last epoch."""
    samples = DATASETS[settings.task](scans, settings.spec)
    size = settings.optimisation.batch_size
    # The last batch is filled up with the first samples, which do not count twice.
    order = np.resize(np.arange(samples.size), -(-samples.size // size) * size)
    parts = []
    for chosen in np.split(order, len(order) // size):
        parts.append(_eval_step(task, state, jax.device_put(as_batch(samples.take(chosen)))))
    scores, counted = (
        np.concatenate([np.asarray(part[field]) for part in parts])[: samples.size]
        for field in (0, 1)
    )
    means = {
        f"dice_{output}": float(scores[counted[:, output], output].mean())
        for output in range(scores.shape[1])
        if counted[:, output].any()
    }
    if is_first():
        write_json({"slices": samples.size, **means}, workdir / "held_out.json")
    text = " ".join(f"{name} {value:.4f}" for name, value in means.items())
    _LOG.info("%s on %d held-out slices: %s", settings.task, samples.size, text)


def _is_due(epoch: int, optimisation) -> bool:
    last = epoch + 1 == optimisation.epochs
    return last or (epoch + 1) % optimisation.checkpoint_every == 0


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """How many whole batches there are, at least one."""
    return max(samples // batch_size, 1)


@contextlib.contextmanager
def beginning(config: Config, workdir: pathlib.Path) -> Iterator[None]:
    """Keep the config beside its results while a run reads what it works on.

    Bad input takes the config and the division away again, if both are new: there is no run yet
    that another command would disturb.

    Args:
        config: of the run.
        workdir: its folder, made if need be.

    Raises:
        InputError: `workdir` holds a run of another config.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    new = [path for path in (workdir / "config.json", workdir / "split.json") if not path.exists()]
    write_config(config, workdir)
    try:
        yield
    except InputError:
        if is_first() and workdir / "config.json" in new:
            for path in new:
                path.unlink(missing_ok=True)
        raise


def write_config(config: Config, workdir: pathlib.Path) -> None:
    """Keep the config beside its results; refuse to resume another one."""
    path = workdir / "config.json"
    if not path.exists():
        if is_first():
            write_json(config.to_dict(), path)
        return
    changed = read_record(path, lambda old: differences(old, config), fix=RESTORE)
    if changed:
        raise InputError(
            f"{path} is of another run ({', '.join(changed)} differ); use another --workdir"
        )


def _announce(settings, cohort, dataset, state, devices) -> None:
    """What is trained on what."""
    kinds = {scan.modality for scan in cohort.train}
    counts = ", ".join(
        f"{sum(scan.modality == kind for scan in cohort.train)} {kind}" for kind in sorted(kinds)
    )
    _LOG.info(
        "%s: %s parameters; %d %s device(s); %d samples of %s training scans, %d scans held out",
        settings.task,
        f"{parameter_count(state.params):,}",
        devices,
        jax.default_backend(),
        dataset.size,
        counts,
        len(cohort.test),
    )
