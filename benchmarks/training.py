"""How fast training is: our step against PyTorch on the same network, batch and loss, in one run.

    python -m benchmarks.training [--shapes=lv_small,myo_small,lv,myo] [--batches=8,16,32,64,128]

Networks of stages 1 and 2, small as in configs/emidec_cpu.py and full as in configs/lv.py and
configs/myo.py, on phantoms. Contenders take turns, round by round, so that what else the machine
does meets all of them; a ratio is the median over rounds of the ratio in a round. Writes a table
and JSON under benchmarks/results; best on an idle machine. The contenders:

- *step*: `acsnet_jax.training.sharding.compiled_train_step` as training runs it, a new batch from
  the host every time: augmentation, dropout, forward, backward, Adam.
- *network*: the same without augmentation, on a batch that stays on the device.
- *eager*, *compiled*: PyTorch doing what *network* does (channels_last, all threads), where it is
  installed; compiled by ``torch.compile`` where that works.
- *step, no dropout* (of networks that have some) and *augmentation* alone: the parts of a step.

On a GPU each also in bfloat16 (``--bf16`` asks for it elsewhere), with model FLOP utilisation: the
multiplications and additions of the convolutions, three times the forward pass, over the peak of
the device. Memory is what the program plans (ours) or what the allocator held (PyTorch on a GPU),
and on Linux besides what the process holds more in its second step than before the first. Programs
compiled after a contender's first step are counted; there must be none.
"""

import dataclasses
import functools
import gc
import importlib
import importlib.util
import itertools
import os
import pathlib
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory too

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags, logging

from acsnet_jax import config as configs
from acsnet_jax.models import ResUNet, parameter_count
from acsnet_jax.synthesis.phantom import make_cohort
from acsnet_jax.training.datasets import Dataset
from acsnet_jax.training.loop import training_samples
from acsnet_jax.training.settings import (
    RunSettings,
    course_of,
    input_shape,
    settings_of,
    task_of,
)
from acsnet_jax.training.sharding import compiled_train_step, data_mesh, divided, replicated
from acsnet_jax.training.state import TrainState, create
from acsnet_jax.training.steps import Task, as_batch, batch_loss, prepare
from acsnet_jax.training.study import task_config
from benchmarks import record

SHAPES = ("lv_small", "myo_small", "lv", "myo")
_SHAPES = flags.DEFINE_list("shapes", ",".join(SHAPES), "Networks.")
_BATCHES = flags.DEFINE_list(
    "batches", None, "Samples a step; on a CPU 8,16,32 (full networks 8), else 8 to 128."
)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns that each contender takes.")
_SECONDS = flags.DEFINE_float("seconds", 2.0, "Least time of a turn; a turn is one step or more.")
_TORCH = flags.DEFINE_bool("torch", True, "Race against PyTorch, where it is installed.")
_COMPILE = flags.DEFINE_list(
    "compile", None, "Batches at which PyTorch is also compiled; on a CPU 16, else all."
)
_PARTS = flags.DEFINE_list("parts", "16", "Batches at which the parts of a step are timed.")
_BF16 = flags.DEFINE_bool("bf16", None, "Also compute in bfloat16; by default on a GPU.")
_PEAK = flags.DEFINE_float("peak_tflops", 0.0, "Of the device, in bfloat16, if it is not known.")
flags.declare_key_flag("out")

PHANTOMS = 12
STEPS = 1000  # of a pretended run, for the course of the learning rate
# Dense, without sparsity: (bfloat16, TF32) in TFLOP/s, as the makers print them.
PEAK_TFLOPS = {
    "H200": (989.0, 494.5),
    "H100": (989.0, 494.5),
    "A100": (312.0, 156.0),
    "L40S": (362.0, 183.0),
    "L4": (121.0, 60.0),
    "A10": (125.0, 62.5),
}
COMPILED = "/jax/core/compile/backend_compile_duration"


class Shape(NamedTuple):
    """One network with samples for it."""

    name: str
    settings: RunSettings
    samples: Dataset
    state: TrainState


class Still(NamedTuple):
    """One batch as the network sees it, channels last."""

    images: jax.Array
    targets: jax.Array
    weights: jax.Array


@dataclasses.dataclass
class Contender:
    """Something that takes steps, and what is known of it.

    Attributes:
        run: starts one step; gives what to wait for.
        wait: until that is done.
        plan: MiB that its program takes, once it is compiled; None where nothing plans.
        first: seconds of the first step, which compiles.
        times: seconds a step, one a round.
        memory_mib: planned by the program, or held by PyTorch's allocator on a GPU.
        growth_mib: what the process holds more in its second step than before the first.
        late: programs compiled after the first step.
    """

    run: Callable[[], Any]
    wait: Callable[[Any], object] = jax.block_until_ready
    plan: Callable[[], float | None] | None = None
    first: float = 0.0
    times: list[float] = dataclasses.field(default_factory=list)
    memory_mib: float | None = None
    growth_mib: float | None = None
    late: int = 0


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are to be measured
    rival = torch_rival() if _TORCH.value else None
    results: dict[str, Any] = {"rounds": _ROUNDS.value, "torch": "not raced"}
    failure = ""
    if rival is not None:
        results |= rival.environment(len(os.sched_getaffinity(0)))
        failure = rival.compiler_fails() if compile_batches() else "not asked for"
        results["torch_compile"] = failure or "works"
    results["networks"] = []
    for name in _SHAPES.value:
        shape = make_shape(name, settings_by(name))
        for batch in batches(name):
            found = race(shape, batch, rival, compiled=not failure and batch in compile_batches())
            results["networks"].append(found)
            show(found)
    print(record.write("training", results, folder=record.OUT.value))


def torch_rival() -> Any:
    """`benchmarks.torch_resunet`; None without PyTorch."""
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: ours alone")
        return None
    return importlib.import_module("benchmarks.torch_resunet")


def on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def batches(name: str) -> list[int]:
    if _BATCHES.value is not None:
        return [int(batch) for batch in _BATCHES.value]
    if not on_cpu():
        return [8, 16, 32, 64, 128]
    return [8, 16, 32] if name.endswith("_small") else [8]


def compile_batches() -> list[int]:
    if _COMPILE.value is not None:
        return [int(batch) for batch in _COMPILE.value if batch]
    return [16] if on_cpu() else [8, 16, 32, 64, 128]


def settings_by(name: str) -> RunSettings:
    """Of one of `SHAPES`."""
    task = name.removesuffix("_small")
    small = name != task
    config: configs.Config = (
        task_config(configs.load("emidec_cpu"), task) if small else configs.load(task)
    )
    config.optimisation.optimiser = "adam"  # as the rival's
    return settings_of(config)


def make_shape(name: str, settings: RunSettings) -> Shape:
    """A network before any step, and the samples of a few phantoms."""
    scans = make_cohort(PHANTOMS, 0, modality="lge", size=160)
    task, size = task_of(settings), input_shape(settings.task, settings.spec)
    state = create(task.model, task.optimiser, size, jax.random.key(0))
    return Shape(name, settings, training_samples(settings, scans), state)


def race(shape: Shape, batch: int, rival: Any, *, compiled: bool) -> dict[str, Any]:
    """All contenders on one network and batch."""
    built = [0]

    def listen(event: str, duration_secs: float, **_) -> None:
        del duration_secs
        built[0] += event == COMPILED

    jax.monitoring.register_event_duration_secs_listener(listen)
    contenders: dict[str, Contender] = {}
    failed: dict[str, str] = {}
    still = fixed(shape, task_of(shape.settings), batch)
    makers = ours(shape, batch, still, parts=str(batch) in _PARTS.value)
    if rival is not None:
        makers |= theirs(shape, still, rival, compiled=compiled)
    for name, make in makers.items():
        try:
            contenders[name] = started(make, rival)
        except RuntimeError as error:
            if not re.search("RESOURCE_EXHAUSTED|out of memory", str(error)):
                raise
            failed[name] = "out of memory"
    for _ in range(_ROUNDS.value):
        for contender in contenders.values():
            before = built[0]
            turn(contender)
            contender.late += built[0] - before
    jax.monitoring.unregister_event_duration_listener(listen)
    return summary(shape, batch, contenders) | {"failed": failed}


def started(make: Callable[[], Contender], rival: Any) -> Contender:
    """A contender after its first two steps, of which the first compiles."""
    gc.collect()
    before = reset_peak()
    if rival is not None:
        rival.reset_peak()
    contender = make()
    start = time.perf_counter()
    contender.wait(contender.run())
    contender.first = time.perf_counter() - start
    if contender.plan is not None:
        contender.memory_mib = contender.plan()
    reset_peak()  # what the compiler took does not count
    contender.wait(contender.run())
    after = peak_mib()
    if before is not None and after is not None:
        contender.growth_mib = after - before
    if contender.memory_mib is None and rival is not None:
        contender.memory_mib = rival.peak_mib()
    return contender


def turn(contender: Contender) -> None:
    """Steps for at least so many seconds, one after the other."""
    start = time.perf_counter()
    for count in itertools.count(1):
        contender.wait(contender.run())
        seconds = time.perf_counter() - start
        if seconds >= _SECONDS.value:
            contender.times.append(seconds / count)
            return


def ours(
    shape: Shape, batch: int, still: Still, *, parts: bool
) -> dict[str, Callable[[], Contender]]:
    """Makers of our contenders by name."""
    task = task_of(shape.settings)
    makers: dict[str, Callable[[], Contender]] = {
        "step": functools.partial(whole_step, shape, task, batch),
        "network": functools.partial(network_step, shape, task, still),
    }
    if in_half():
        half = dataclasses.replace(task, model=task.model.clone(dtype=jnp.bfloat16))
        makers["step, bf16"] = functools.partial(whole_step, shape, half, batch)
        makers["network, bf16"] = functools.partial(network_step, shape, half, still)
    if parts and task.model.dropout:
        kept = dataclasses.replace(task, model=task.model.clone(dropout=0.0))
        makers["step, no dropout"] = functools.partial(whole_step, shape, kept, batch)
    if parts:
        makers["augmentation"] = functools.partial(augmentation, shape, task, batch)
    return makers


def in_half() -> bool:
    return not on_cpu() if _BF16.value is None else _BF16.value


def whole_step(shape: Shape, task: Task, batch: int) -> Contender:
    """Training as the loop runs it: every step another batch from the host."""
    mesh = data_mesh(batch)
    step = compiled_train_step(task, course_of(shape.settings.optimisation, STEPS), mesh)
    holder = [jax.device_put(fresh(shape), replicated(mesh))]
    draws = (numbers(shape, batch, draw) for draw in itertools.count())

    def run():
        samples = as_batch(shape.samples.take(next(draws)))
        holder[0], metrics = step(holder[0], jax.device_put(samples, divided(mesh)))
        return metrics

    sample = jax.device_put(as_batch(shape.samples.take(numbers(shape, batch, 0))), divided(mesh))
    return Contender(run, plan=lambda: planned_mib(step.func, *step.args, holder[0], sample))


def network_step(shape: Shape, task: Task, still: Still) -> Contender:
    """Forward, backward and Adam on one batch that lies on the device."""
    images, targets, weights = still
    course = course_of(shape.settings.optimisation, STEPS)
    optimiser = optax.with_extra_args_support(task.optimiser)

    def descend(state: TrainState) -> tuple[TrainState, jax.Array]:
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key_data), state.step)

        def objective(params):
            logits, updates = task.model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                images,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            return batch_loss(task, logits, targets, weights), updates["batch_stats"]

        (loss, statistics), slopes = jax.value_and_grad(objective, has_aux=True)(state.params)
        changes, opt_state = optimiser.update(slopes, state.opt_state, state.params, course=course)
        return state._replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, changes),
            batch_stats=statistics,
            opt_state=opt_state,
        ), loss

    step = jax.jit(descend, donate_argnums=0)
    holder = [jax.device_put(fresh(shape))]

    def run():
        holder[0], loss = step(holder[0])
        return loss

    return Contender(run, plan=lambda: planned_mib(step, holder[0]))


def augmentation(shape: Shape, task: Task, batch: int) -> Contender:
    """Turning, scaling, shifting and jittering alone."""
    samples = jax.device_put(as_batch(shape.samples.take(numbers(shape, batch, 0))))
    change = jax.jit(functools.partial(prepare, task))
    keys = (jax.random.key(draw) for draw in itertools.count())
    return Contender(lambda: change(next(keys), samples))


def theirs(
    shape: Shape, still: Still, rival: Any, *, compiled: bool
) -> dict[str, Callable[[], Contender]]:
    """Makers of PyTorch's contenders by name."""

    def make(half: bool, through_compiler: bool) -> Contender:
        step = rival.training_step(
            rival_model(shape, rival),
            *map(np.array, still),
            beta=shape.settings.optimisation.beta,
            learning_rate=shape.settings.optimisation.learning_rate,
            half=half,
            compiled=through_compiler,
        )
        return Contender(step, wait=rival.wait)

    return {
        name + (", bf16" if half else ""): functools.partial(make, half, through_compiler)
        for half in ([False, True] if in_half() else [False])
        for name, through_compiler in (("eager", False), ("compiled", True))
        if compiled or not through_compiler
    }


def rival_model(shape: Shape, rival: Any) -> Any:
    """The same network in PyTorch."""
    model = shape.settings.model
    assert isinstance(model, ResUNet)
    channels = input_shape(shape.settings.task, shape.settings.spec)[-1]
    return rival.ResUNet(
        channels, model.filters, model.bridge, model.outputs, model.dropout, model.patch
    )


def fresh(shape: Shape) -> TrainState:
    """The first state, to be donated to a step."""
    return jax.tree.map(jnp.copy, shape.state)


def numbers(shape: Shape, batch: int, draw: int) -> np.ndarray:
    """Which samples make a batch."""
    return np.random.default_rng(draw).integers(0, shape.samples.size, batch)


def fixed(shape: Shape, task: Task, batch: int) -> Still:
    """One batch, augmented once."""
    samples = as_batch(shape.samples.take(numbers(shape, batch, 0)))
    images, targets = jax.jit(functools.partial(prepare, task))(jax.random.key(1), samples)
    return Still(images, targets, jnp.asarray(samples.weights))


def planned_mib(step: Any, *arguments: Any) -> float | None:
    """MiB that a compiled program takes at its peak."""
    memory = step.lower(*arguments).compile().memory_analysis()
    if memory is None:
        return None
    taken = memory.argument_size_in_bytes + memory.output_size_in_bytes
    taken += memory.temp_size_in_bytes - memory.alias_size_in_bytes
    return taken / 2**20


def reset_peak() -> float | None:
    """Let Linux forget what the process held at most; gives the MiB it holds, None elsewhere."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return peak_mib()


def peak_mib() -> float | None:
    """MiB that the process held at most since; None where nothing tells."""
    status = pathlib.Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found.group(1)) / 1024 if found else None


def forward_flops(model: ResUNet, height: int, width: int, channels: int) -> int:
    """Multiplications and additions of the convolutions for one image."""

    def block(before: int, after: int, pixels: int) -> int:
        return 2 * pixels * (9 * before * after + 9 * after * after + before * after)

    squares = model.patch**2
    total, pixels, before = 0, height * width // squares, channels * squares
    for features in model.filters:
        total += block(before, features, pixels)
        pixels, before = pixels // 4, features
    total += block(before, model.bridge, pixels)
    before = model.bridge
    for features in reversed(model.filters):
        pixels *= 4
        total += 2 * pixels * before * features  # one of the four kernel positions each
        total += block(2 * features, features, pixels)
        before = features
    return total + 2 * pixels * before * model.outputs * squares


def peak_flops(half: bool) -> float | None:
    """Of the device, in FLOP/s; None if it is not known."""
    if _PEAK.value:
        return _PEAK.value * (1e12 if half else 0.5e12)
    for name, (bf16, tf32) in PEAK_TFLOPS.items():
        if name in record.hardware():
            return (bf16 if half else tf32) * 1e12
    return None


def ratio(one: Contender, other: Contender) -> float:
    """How many times as long the second takes, by rounds."""
    return float(np.median(np.divide(other.times, one.times)))


def summary(shape: Shape, batch: int, contenders: dict[str, Contender]) -> dict[str, Any]:
    """What was measured, as JSON keeps it."""
    model = shape.settings.model
    assert isinstance(model, ResUNet)
    _, height, width, channels = input_shape(shape.settings.task, shape.settings.spec)
    flops = 3 * forward_flops(model, height, width, channels) * batch
    rows = {}
    for name, own in contenders.items():
        seconds = float(np.median(own.times))
        rows[name] = {
            "images_per_second": batch / seconds,
            "seconds": seconds,
            "best_seconds": min(own.times),
            "compile_seconds": max(own.first - seconds, 0.0),
            "memory_mib": own.memory_mib,
            "growth_mib": own.growth_mib,
            "compiled_after_first_step": own.late,
        }
        if name != "augmentation":
            peak = peak_flops(name.endswith("bf16"))
            rows[name]["gflops"] = flops / seconds / 1e9
            rows[name]["utilisation"] = flops / seconds / peak if peak else None
    pairs = {
        "network over eager": ("network", "eager"),
        "network over compiled": ("network", "compiled"),
        "step over eager": ("step", "eager"),
        "step over compiled": ("step", "compiled"),
        "network, bf16 over eager, bf16": ("network, bf16", "eager, bf16"),
        "network, bf16 over compiled, bf16": ("network, bf16", "compiled, bf16"),
    }
    shares = {}
    if "augmentation" in contenders:
        shares["augmentation"] = ratio(contenders["step"], contenders["augmentation"])
    if "step, no dropout" in contenders:
        shares["dropout"] = 1 - ratio(contenders["step"], contenders["step, no dropout"])
    return {
        "network": shape.name,
        "batch": batch,
        "size": [height, width, channels],
        "parameters": parameter_count(shape.state.params),
        "gflop_a_step": flops / 1e9,
        "contenders": rows,
        "times_as_fast": {
            name: ratio(contenders[one], contenders[other])
            for name, (one, other) in pairs.items()
            if one in contenders and other in contenders
        },
        "share_of_step": shares,
    }


def show(found: dict[str, Any]) -> None:
    height, width, _ = found["size"]
    print(
        f"\n{found['network']}, batch {found['batch']}, {height} x {width} pixels, "
        f"{found['parameters']:,} parameters, {found['gflop_a_step']:.3g} GFLOP a step"
    )
    header = ("contender", "images/s", "step (s)", "best (s)", "compile (s)", "memory (MiB)")
    header += ("growth (MiB)", "late programs", "GFLOP/s", "MFU")
    keys = ("images_per_second", "seconds", "best_seconds", "compile_seconds", "memory_mib")
    keys += ("growth_mib", "compiled_after_first_step", "gflops", "utilisation")
    record.print_table(
        header,
        [
            (name, *("" if row.get(key) is None else row[key] for key in keys))
            for name, row in found["contenders"].items()
        ],
    )
    for title in ("times_as_fast", "share_of_step", "failed"):
        if found[title]:
            words = ", ".join(
                f"{name} {value if isinstance(value, str) else f'{value:.3g}'}"
                for name, value in found[title].items()
            )
            print(f"{title.replace('_', ' ')}: {words}")


if __name__ == "__main__":
    app.run(main)
