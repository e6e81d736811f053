"""Damaged and hostile input by the thousand: what reading it ends in, how long it takes, how much.

    python -m benchmarks.fuzz --inputs=100000 --seed=1 [--output=FILE.json]
    python -m benchmarks.fuzz --kinds=deflated --seed=1 --only=17 --keep=DIR

Every input is read in a process of its own making, which may take 10 s and 1 GiB. It has to end in
a sound result or in a refusal of one line. Prints a table and each new kind of failure with the
command that reproduces it; exits with status 1 if there was any. A run that was stopped goes on
from what stands in ``FILE.trials.jsonl``.
"""

import collections
import concurrent.futures
import logging
import multiprocessing
import os
import pathlib
import queue
import re
import resource
import shlex
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np
from absl import app, flags
from tqdm import tqdm

from acsnet_jax.files import write_json
from benchmarks import hard_inputs, record
from benchmarks.mutations import damage

_INPUTS = flags.DEFINE_integer("inputs", 2000, "Number of damaged inputs, over all kinds.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the damage.")
_KINDS = flags.DEFINE_list("kinds", [*hard_inputs.KINDS], "Kinds of input.")
_ONLY = flags.DEFINE_integer("only", -1, "One input by its number; as many kinds as in the run.")
flags.declare_key_flag("processes")
_KEEP = flags.DEFINE_string("keep", "", "Folder that inputs which failed are copied to.")
_OUTPUT = flags.DEFINE_string("output", "", "JSON file of the results.")

SECONDS = 10.0
MEMORY_MIB = 1024
"""What reading one input may take; of memory, beyond what the process had before."""

_PATIENCE = 30  # seconds of the clock for each of the processor

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\w+)')


class Trial(NamedTuple):
    """One input and how reading it ended.

    Attributes:
        number: from 0.
        kind: of input.
        outcome: as of `hard_inputs.Outcome`, or "time" or "killed".
        said: cause or details.
        seconds: of the processor, for reading.
        mib: peak of memory beyond what the process had before.
    """

    number: int
    kind: str
    outcome: str
    said: str
    seconds: float
    mib: float

    @property
    def failed(self) -> bool:
        """Whether it shows a defect."""
        return self.outcome not in ("read", "refused")


def main(_) -> None:
    logging.disable()  # of libraries, and of checkpoints that are passed over
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        sound = hard_inputs.write_sound(folder / "sound", _KINDS.value)
        indices = range(_INPUTS.value) if _ONLY.value < 0 else [_ONLY.value]
        options = {"seed": _SEED.value, "kinds": _KINDS.value}
        output = pathlib.Path(_OUTPUT.value or folder / "results.json")
        kept = record.Kept(output.with_suffix(".trials.jsonl"), options)
        trials = [trial for trial in (Trial(*row) for row in kept.rows) if trial.number in indices]
        left = sorted(set(indices) - {trial.number for trial in trials})
        for trial in tqdm(
            side_by_side(
                lambda part: run(sound, part, _SEED.value, folder / "work", keep=_KEEP.value),
                left,
                record.PROCESSES.value,
            ),
            initial=len(indices) - len(left),
            total=len(indices),
            unit="input",
            mininterval=5,
        ):
            trials.append(trial)
            kept.add(trial)
            if trial.failed and signature(trial) not in {signature(one) for one in trials[:-1]}:
                tqdm.write(f"--- {reproduce(trial)}\n{trial.outcome}: {trial.said}")
        trials.sort()
        results = summary(trials)
        write_json(results, output)
        kept.remove()
    record.print_table(("kind", "inputs", "read", "refused", "failed", "s", "MiB"), rows(trials))
    print(f"worst: {results['worst_seconds']:.2f} s, {results['worst_mib']:.0f} MiB")
    sys.exit(int(bool(results["failures"])))


def side_by_side(
    read: Callable[[Sequence[int]], Iterator[Trial]], indices: Sequence[int], count: int
) -> Iterator[Trial]:
    """Trials in the order in which they end.

    Args:
        read: as `run`, of some of the inputs.
        indices: numbers of the inputs.
        count: how many reads go on at once.
    """
    found: queue.SimpleQueue[Trial] = queue.SimpleQueue()

    over = threading.Event()

    def work(part: Sequence[int]) -> None:
        for trial in read(part):
            found.put(trial)
            if over.is_set():
                break

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        working = {pool.submit(work, indices[first::count]) for first in range(count)}
        try:
            while working:
                done, working = concurrent.futures.wait(working, timeout=0.1)
                while not found.empty():
                    yield found.get()
                for one in done:
                    one.result()  # raises what stopped it
        finally:
            over.set()  # whoever waits for the pool waits for one input, not for a whole share


def run(
    sound: dict[str, pathlib.Path],
    indices: Sequence[int],
    seed: int,
    folder: pathlib.Path,
    *,
    keep: str = "",
) -> Iterator[Trial]:
    """Damage and read inputs in a process that is replaced whenever it hangs or dies.

    Args:
        sound: folders by kind.
        indices: numbers of the inputs; the kinds take turns.
        seed: of the damage.
        folder: for the damaged copies.
        keep: folder that those which failed are copied to.
    """
    kinds = list(sound)
    worker = None
    for index in indices:
        kind = kinds[index % len(kinds)]
        damaged = folder / f"input_{index}"
        damage(sound[kind], damaged, np.random.default_rng([seed, index]))
        worker = worker or _Worker(sound)
        trial = worker.read(index, kind, damaged)
        if trial.outcome in ("time", "killed"):
            worker.stop()
            worker = None
        if trial.failed and keep:
            shutil.copytree(damaged, pathlib.Path(keep) / f"{kind}_{seed}_{index}", symlinks=True)
        shutil.rmtree(damaged)
        yield trial
    if worker is not None:
        worker.stop()


class _Worker:
    """A process that reads what it is told to."""

    def __init__(self, sound: dict[str, pathlib.Path]):
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, sound), daemon=True)
        self._process.start()
        self._ours.recv()

    def read(self, index: int, kind: str, folder: pathlib.Path) -> Trial:
        """Give it one folder, and wait as long as reading may take."""
        self._ours.send((kind, str(folder)))
        start = self._cpu_seconds()
        for _ in range(int(_PATIENCE * SECONDS)):
            if self._ours.poll(1.0):
                break
            if self._cpu_seconds() - start > SECONDS:
                return Trial(index, kind, "time", f"more than {SECONDS:g} s", SECONDS, 0.0)
        else:
            return Trial(index, kind, "time", "hangs", SECONDS, 0.0)
        try:
            return Trial(index, kind, *self._ours.recv())
        except EOFError:
            return Trial(index, kind, "killed", "the process died", 0.0, 0.0)

    def _cpu_seconds(self) -> float:
        """Of the process; what other work takes of the machine does not count."""
        stat = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2]
        return sum(map(int, stat.split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, sound: dict[str, pathlib.Path]) -> None:
    warnings.simplefilter("error")  # a warning may quote a header
    logging.disable()
    for kind, folder in sound.items():  # whatever libraries keep or start is no input's memory
        found = hard_inputs.outcome(kind, folder)
        if found.kind != "read":
            raise RuntimeError(f"the sound input of {kind} ends in {found.kind}: {found.said}")
    limit = int((record.memory_mib("VmSize") + MEMORY_MIB) * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pipe.send(None)
    while True:
        kind, folder = pipe.recv()
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
        before, start = record.memory_mib("VmRSS"), time.process_time()
        found = hard_inputs.outcome(kind, pathlib.Path(folder))
        seconds = time.process_time() - start
        pipe.send((*found, seconds, max(record.memory_mib("VmHWM") - before, 0.0)))


def signature(trial: Trial) -> str:
    """What tells one defect from another: the innermost line of a traceback, the words else."""
    frames = _FRAME.findall(trial.said)
    ours = [frame for frame in frames if "acsnet_jax" in frame[0]]
    if not frames:
        return f"{trial.outcome}: {re.sub(r'[0-9]+', 'N', trial.said.rpartition('/')[2])}"
    return f"{trial.outcome}: {ours[-1] if ours else ''} {frames[-1]} {trial.said.split()[-1]}"


def reproduce(trial: Trial) -> str:
    """The command that reads this input again."""
    kinds = ",".join(_KINDS.value)
    command = ["python", "-m", "benchmarks.fuzz", f"--kinds={kinds}", f"--seed={_SEED.value}"]
    return shlex.join([*command, f"--only={trial.number}"])


def without_places(trial: Trial) -> str:
    """What was said, without the folders of this machine."""
    root = f"{pathlib.Path(__file__).resolve().parent.parent}{os.sep}"
    text = re.sub(rf"[^\s\"']*(input_{trial.number}\b)", r"\1", trial.said.replace(root, ""))
    return re.sub(r"[^\s\"']*(site-packages|lib/python[0-9.]+)/", "", text)


def cause(trial: Trial) -> str:
    """A refusal without its names and numbers."""
    text = trial.said.rpartition("/")[2].partition(": ")[2]
    return re.sub(r"[0-9.+-]*[0-9][0-9.e+-]*", "N", text)[:90]


def rows(trials: Sequence[Trial]) -> list[tuple]:
    """Counts and worst cases by kind, then of all."""
    kinds = dict.fromkeys(trial.kind for trial in trials)
    parts = {kind: [trial for trial in trials if trial.kind == kind] for kind in kinds}
    return [_row(kind, part) for kind, part in [*parts.items(), ("all", list(trials))]]


def _row(name: str, trials: Sequence[Trial]) -> tuple:
    counts = collections.Counter(trial.outcome for trial in trials)
    failed = sum(trial.failed for trial in trials)
    seconds, mib = max(t.seconds for t in trials), max(t.mib for t in trials)
    return (name, len(trials), counts["read"], counts["refused"], failed, seconds, mib)


def summary(trials: Sequence[Trial]) -> dict:
    """What the JSON holds: counts, causes of refusals, worst cases, failures."""
    failures: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.failed:
            failures.setdefault(signature(trial), []).append(trial)
    refused = collections.Counter(cause(t) for t in trials if t.outcome == "refused")
    return {
        "environment": record.environment(),
        "seed": _SEED.value,
        "inputs": len(trials),
        "outcomes": dict(collections.Counter(trial.outcome for trial in trials)),
        "kinds": {
            kind: {"inputs": inputs, "read": read, "refused": refused}
            for kind, inputs, read, refused, *_ in rows(trials)
        },
        "worst_seconds": max(trial.seconds for trial in trials),
        "worst_mib": max(trial.mib for trial in trials),
        "refusals": dict(refused.most_common()),
        "failures": [
            {
                "reproduce": reproduce(found[0]),
                "times": len(found),
                "said": without_places(found[0]),
            }
            for found in failures.values()
        ],
    }


if __name__ == "__main__":
    app.run(main)
