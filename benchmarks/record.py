"""What every benchmark states and writes: hardware, versions, best times, one JSON file."""

import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
from absl import flags

from acsnet_jax.files import write_json
from acsnet_jax.types import InputError

OUT = flags.DEFINE_string(
    "out", "", "Folder of the results; benchmarks/results for JSON, runs/NAME for what is large."
)
"""Defined once: a test imports several benchmarks."""

PROCESSES = flags.DEFINE_integer("processes", 1, "That work side by side.")

RESULTS = pathlib.Path(__file__).parent / "results"
_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "scipy", "scikit-image", "opencv-python-headless")


def best_seconds(run: Callable[[], Any], *, repeats: int = 4) -> float:
    """The shortest of several runs, after one that compiles. Waits for the device."""
    jax.block_until_ready(run())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return min(times)


def timed_process(module: str, options: Sequence[str], cache: str | pathlib.Path) -> dict[str, Any]:
    """One process of a benchmark from its start to its end, with what it says of itself.

    Args:
        module: its name; prints one line of JSON last, and takes ``--started``, when it began.
        options: further flags.
        cache: folder of compiled programs.
    """
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    start = time.time()
    command = [sys.executable, "-m", module, *options, f"--started={start}"]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.time() - start
    return {"seconds": seconds, **json.loads(run.stdout.splitlines()[-1])}


class Kept:
    """Results of a long run, a line of JSON each, so that one that was stopped goes on.

    Attributes:
        rows: those that are there.
    """

    def __init__(self, path: pathlib.Path, options: dict[str, Any]):
        """Open what an earlier run left; of its last line there may be half.

        Args:
            path: of the file, made if it is not there.
            options: what the results depend on.

        Raises:
            InputError: the file is of other options.
        """
        self._path = path
        self.rows: list[list[Any]] = []
        if not path.exists():
            path.write_text(json.dumps(options) + "\n", encoding="utf-8")
            return
        first, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if json.loads(first) != options:
            raise InputError(f"{path}: of other options than now: remove it, or name another file")
        whole = [line for line in lines if line.endswith("\n")]
        path.write_text(first + "".join(whole), encoding="utf-8")
        self.rows = [json.loads(line) for line in whole]

    def add(self, row: Sequence[Any]) -> None:
        """Write one more."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([*row]) + "\n")

    def remove(self) -> None:
        """The run has ended, and what it found is written elsewhere."""
        self._path.unlink(missing_ok=True)


def program_mib(function: Callable, *arguments: Any) -> float:
    """MiB that a compiled program takes at its peak: arguments, results and what lies between."""
    memory = jax.jit(function).lower(*arguments).compile().memory_analysis()
    if memory is None:
        return float("nan")
    sizes = (
        memory.argument_size_in_bytes,
        memory.output_size_in_bytes,
        memory.temp_size_in_bytes,
    )
    return sum(sizes) / 2**20


def memory_mib(name: str, *, process: int | str = "self") -> float:
    """MiB that a process has, by a name in ``/proc/PROCESS/status``; Linux alone."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    return 0.0 if found is None else int(found.group(1)) / 1024


def family_mib(process: int | str) -> float:
    """MiB that a process and all that it started hold now; Linux alone."""
    try:
        held = memory_mib("VmRSS", process=process)
        tasks = [*pathlib.Path(f"/proc/{process}/task").iterdir()]
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0.0
    return held + sum(map(family_mib, children))


def hardware() -> str:
    """The accelerator, or the processor with the number of cores that may be used."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    name = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())
        name = found.group(1).strip() if found else name
    return f"{len(os.sched_getaffinity(0))}-core {name}"


def environment() -> dict[str, str]:
    """Hardware and versions."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {"hardware": hardware(), **versions}


def write(name: str, results: dict[str, Any], *, folder: str) -> pathlib.Path:
    """Write ``NAME_HARDWARE.json``; returns its path."""
    slug = re.sub(r"[^a-z0-9]+", "_", hardware().lower()).strip("_")
    path = pathlib.Path(folder or RESULTS) / f"{name}_{slug}.json"
    write_json({"environment": environment(), **results}, path)
    return path


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns, right-aligned; numbers with three significant digits."""
    text = [[*header], *([_short(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in text) for column in range(len(header))]
    for line in text:
        print("  ".join(value.rjust(width) for value, width in zip(line, widths, strict=True)))


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
