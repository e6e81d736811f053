"""Seconds from the start of a process to its first corrected stack: first process, second process.

    python -m benchmarks.first_result [--bundle=DIR]

The first process finds an empty compilation cache, the second what the first left there. Each loads
stage 3 of a bundle (the prior that ships, by default) and corrects one stack of twelve slices on a
grid of its own; it tells how long it took to import, to load, and to correct, and how many programs
the compiler had to build.
"""

import collections
import json
import tempfile
import time

import jax
import numpy as np
from absl import app, flags

from acsnet_jax import bundle, prior
from acsnet_jax.app import use_compilation_cache
from acsnet_jax.correction import correct_native
from acsnet_jax.preprocess.grid import grid_over
from benchmarks import record

_BUNDLE = flags.DEFINE_string("bundle", str(prior.SHIPPED), "A trained stage 3; else the prior.")
flags.declare_key_flag("out")
_STARTED = flags.DEFINE_float("started", 0.0, "Be a process that is timed; it began then.")

_SLICES, _PIXELS, _SPACING_MM = 12, (200, 180), (1.3, 1.3)


def main(_) -> None:
    if _STARTED.value:
        print(json.dumps(one_process(time.time())))
        return
    with tempfile.TemporaryDirectory() as cache:
        options = [f"--bundle={_BUNDLE.value}"]
        first, second = (
            record.timed_process("benchmarks.first_result", options, cache) for _ in range(2)
        )
    rows = [(name, *process.values()) for name, process in (("first", first), ("second", second))]
    record.print_table(("process", *first), rows)
    results = {"slices": _SLICES, "pixels": _PIXELS, "first": first, "second": second}
    results["seconds_ratio"] = first["seconds"] / second["seconds"]
    print(record.write("first_result", results, folder=record.OUT.value))


def one_process(imported: float) -> dict[str, float]:
    """Load, correct, and tell."""
    use_compilation_cache()
    events = collections.Counter()
    jax.monitoring.register_event_listener(lambda event, **_: events.update([event]))
    corrector = bundle.load_corrector(_BUNDLE.value)
    loaded = time.time()
    grid = grid_over(_PIXELS, _SPACING_MM, corrector.spacing_mm)
    found = correct_native(cut_rings(), grid, corrector)
    assert found.valid_after.all()
    return {
        "import": imported - _STARTED.value,
        "load": loaded - imported,
        "correct": time.time() - loaded,
        "compiled": events["/jax/compilation_cache/cache_misses"],
    }


def cut_rings() -> np.ndarray:
    """Rings of a heart's sizes, half of them cut through."""
    rows, columns = np.indices(_PIXELS)
    y, x = (rows - 96.0) * _SPACING_MM[0], (columns - 92.0) * _SPACING_MM[1]
    outer = np.linspace(20, 34, _SLICES)[:, None, None]
    rings = (np.hypot(y, x) <= outer) & (np.hypot(y, x) > outer - 9)
    rings[::2] &= ~((np.abs(x) < 4) & (y > 0))
    return rings


if __name__ == "__main__":
    app.run(main)
