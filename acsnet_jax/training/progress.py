"""How long a run will take, said before it starts, and how far it is, on a terminal or in a log."""

import logging
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from tqdm import tqdm

from acsnet_jax.training.state import TrainState
from acsnet_jax.training.steps import Batch

_LOG = logging.getLogger(__name__)

EVERY_S = 30.0
"""Between lines of a log."""

LONG_S = 3 * 3600.0
"""A run on a CPU that takes longer is likely to be one of full size."""


def step_seconds(step: Callable, state: TrainState, batch: Batch) -> float:
    """Seconds that a step takes once it is compiled.

    Args:
        step: a compiled train step.
        state: of which copies are trained, twice; it stays as it is.
        batch: of the size and layout of the run's.
    """
    started = time.perf_counter()
    for _ in range(2):  # the first one compiles
        started = time.perf_counter()
        jax.block_until_ready(step(jax.tree.map(jnp.copy, state), batch))
    return time.perf_counter() - started


def forecast(name: str, seconds: float, steps: int, epochs: int) -> str:
    """What to expect of a run, in one line.

    Args:
        name: of what is trained.
        seconds: that a step takes.
        steps: in an epoch.
        epochs: that are left.
    """
    epoch = seconds * steps
    text = (
        f"{name}: a step takes {duration(seconds)}, an epoch of {steps} {duration(epoch)}, and all "
        f"{epochs} epochs {duration(epoch * epochs)}"
    )
    if jax.default_backend() == "cpu" and epoch * epochs > LONG_S:
        text += (
            "; networks of full size are meant for a GPU, and configs/emidec_cpu.py has networks "
            "and pixels for two CPU cores (python -m experiments.reproduce "
            "--config=configs/emidec_cpu.py)"
        )
    return text


def ticking(count: int, name: str) -> Iterator[int]:
    """Counts steps: a bar on a terminal, elsewhere a line now and then.

    Args:
        count: how many there are.
        name: of what they are part of.

    Yields:
        0 to ``count - 1``.
    """
    bar = tqdm(range(count), desc=name, leave=False, disable=None)
    if not bar.disable:
        yield from bar
        return
    started = told = time.monotonic()
    for index in range(count):
        yield index
        now = time.monotonic()
        if now - told >= EVERY_S and index + 1 < count:
            told = now
            left = (now - started) / (index + 1) * (count - index - 1)
            _LOG.info("%s: step %d of %d, %s left", name, index + 1, count, duration(left))


def duration(seconds: float) -> str:
    """A time in words: "0.25 s", "40 s", "3 min", "2 h 5 min", "3 days 4 h"."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    days = hours // 24
    return f"{days} day{'s' if days > 1 else ''} {hours % 24} h"
