"""Kill commands at random moments, give them again, and compare with a run that nobody disturbed.

    python -m benchmarks.crashes --kills=50 --processes=2 --work=DIR

Six commands on phantoms, with networks of a few filters: prepare, train, fit_latent, predict,
evaluate and correct. Each is run at least twice without a kill; then, for each kill, started in an
empty folder, ended by SIGKILL at a moment drawn from its whole time, and given again. After the
kill every visible file has to be whole; the second run has to end well, and its files have to equal
those of the undisturbed run: arrays of .npz and .nii.gz, bytes of all others. What differs between
undisturbed runs (times, identifiers) is not compared, and named. The exit status is 1 if anything
broke. What a kill broke stays in the folder ``--work``, from which a run that was stopped goes on.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import multiprocessing
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, NoReturn, TypeVar

import jax
import matplotlib.image
import numpy as np
import pydicom
from absl import app, flags

from acsnet_jax.app import use_compilation_cache
from acsnet_jax.config import Config
from acsnet_jax.files import read_json, write_arrays, write_json
from acsnet_jax.io import read_scan, write_segmentation
from acsnet_jax.io.dicom.parse import PYDICOM_ERRORS
from acsnet_jax.io.nifti import open_nifti
from acsnet_jax.io.pseudonym import KEY_FILE, obtain_key
from acsnet_jax.io.store import stored_scans
from acsnet_jax.jobs.correct import correct
from acsnet_jax.jobs.evaluate import evaluate
from acsnet_jax.jobs.fit_latent import fit_latent
from acsnet_jax.jobs.predict import predict
from acsnet_jax.jobs.prepare import prepare
from acsnet_jax.jobs.reproduce import reproduce
from acsnet_jax.training.loop import train_and_evaluate
from benchmarks import record
from configs import correct as correct_config
from configs import evaluate as evaluate_config
from configs import fit_latent as fit_latent_config
from configs import lv as lv_config
from configs import predict as predict_config
from configs import prepare as prepare_config
from configs import quickstart

_NAMES = ("prepare", "train", "fit_latent", "predict", "evaluate", "correct")

_KILLS = flags.DEFINE_integer("kills", 3, "Of each command.")
_SEED = flags.DEFINE_integer("moments_seed", 0, "Of the moments.")
_COMMANDS = flags.DEFINE_list("commands", [*_NAMES], "Which of the six.")
_WORK = flags.DEFINE_string("work", "", "Folder to go on from; by default one that is removed.")
flags.declare_key_flag("processes")
flags.declare_key_flag("out")

_DAMAGE = (*PYDICOM_ERRORS, AssertionError, EOFError, OSError, SyntaxError, ValueError)

Run = Callable[[pathlib.Path], Any]
T = TypeVar("T")


def tiny_study() -> Config:
    """The quickstart in seconds."""
    config = quickstart.get_config()
    config.data.update(patients=5, cine_patients=3, image_size=80)
    config.spec.update(lv_size=48, lv_spacing_mm=5.0)
    for task, epochs in (("lv", 12), ("myo", 4), ("autoencoder", 120)):
        network = config.networks[task]
        network.optimisation.update(
            epochs=epochs, picture_every=epochs, checkpoint_every=max(epochs // 4, 1)
        )
        if task == "autoencoder":
            network.model.filters = (8, 16, 16, 16)
        else:
            network.model.update(filters=(4, 8), bridge=8)
    config.latent.update(components=2, population=300, batch=128)
    config.correction.alphas = 16
    return config


def commands(root: pathlib.Path) -> dict[str, Run]:
    """The six commands; what they read lies in ``root``."""
    small = tiny_study()

    def preparing() -> Config:
        config = prepare_config.get_config()
        config.data.update(patients=3, image_size=80)
        return config

    def training() -> Config:
        config = lv_config.get_config()
        config.data.update(format="phantom", patients=5, cine_patients=3, image_size=80)
        config.spec.update(small.spec.to_dict())
        config.model.update(filters=(4, 8), bridge=8)
        config.optimisation.update(small.networks.lv.optimisation.to_dict())
        return config

    def fitting() -> Config:
        config = fit_latent_config.get_config()
        config.runs = str(root / "study")
        config.latent.update(small.latent.to_dict())
        config.inference.update(small.inference.to_dict())
        config.correction.update(small.correction.to_dict())
        return config

    def predicting() -> Config:
        config = predict_config.get_config()
        config.bundle, config.input = str(root / "study" / "bundle"), str(root / "dicom")
        config.pseudonym_key = str(root / KEY_FILE)  # so that runs give scans the same names
        return config

    def evaluating() -> Config:
        config = evaluate_config.get_config()
        config.bundle, config.split = str(root / "study" / "bundle"), str(root / "study")
        for name, value in small.data.items():
            config.data[name] = value
        return config

    def correcting() -> Config:
        config = correct_config.get_config()
        config.bundle, config.input = str(root / "study" / "bundle"), str(root / "labels")
        config.labels = "2,3"
        return config

    return {
        "prepare": lambda folder: prepare(preparing(), folder),
        "train": lambda folder: trained(training(), folder),
        "fit_latent": lambda folder: fit_latent(fitting(), folder),
        "predict": lambda folder: predict(predicting(), folder),
        "evaluate": lambda folder: evaluate(evaluating(), folder),
        "correct": lambda folder: correct(correcting(), folder),
    }


def trained(config: Config, folder: pathlib.Path) -> None:
    """Train, and write beside the checkpoints what they end with, to be compared."""
    state = train_and_evaluate(config, folder)
    leaves = jax.tree.leaves((state.variables, state.opt_state, state.step))
    write_arrays({f"{k:04d}": leaf for k, leaf in enumerate(leaves)}, folder / "state.npz")


def set_up(root: pathlib.Path) -> None:
    """What the commands read: a study, phantoms as DICOM, and label files of phantoms."""
    reproduce(tiny_study(), root / "study")
    config = prepare_config.get_config()
    config.data.update(patients=3, image_size=80, seed=7)
    prepare(config, root / "store")
    for folder in stored_scans(root / "store"):
        scan = read_scan(folder)
        assert scan.labels is not None
        labels = scan.labels.copy()
        labels[len(labels) // 2, 2:6, 2:6] = 2  # an island to take away
        write_segmentation(root / "labels" / f"{scan.id}.nii.gz", labels, scan)
    config.as_dicom = True
    prepare(config, root / "dicom")
    obtain_key(root / KEY_FILE)


@dataclasses.dataclass
class Ended:
    """A process that ended: its status, 0 if all is well, and its seconds."""

    status: int
    seconds: float


def in_process(run: Callable[[], Any], log: pathlib.Path, *, most_s: float = np.inf) -> Ended:
    """Run something in a process of its own, which is killed after some seconds.

    Nothing of jax has started here, so that forking is safe.
    """
    start = time.perf_counter()
    child = os.fork()
    if not child:
        _run_child(run, log)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        seconds = time.perf_counter() - start
        if done:
            return Ended(os.waitstatus_to_exitcode(status), seconds)
        if seconds > most_s:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Ended(-signal.SIGKILL, seconds)
        time.sleep(0.002)


def _run_child(run: Callable[[], Any], log: pathlib.Path) -> NoReturn:
    """What the child does; its words, and those of its libraries, go to a file."""
    status = 1
    with log.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            use_compilation_cache()
            run()
            status = 0
        finally:
            if status:
                traceback.print_exc()
            file.flush()
            os._exit(status)  # what the parent would do at its end is not the child's


def visible(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Files by name, of what a user reads.

    Hidden ones are nobody's, checkpoints have checksums of their own, and events are a log whose
    names hold the time.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith((".", "events.out.")) for part in parts)
        if path.is_file() and not hidden and "checkpoints" not in parts:
            found["/".join(parts)] = path
    return found


def content(path: pathlib.Path) -> str:
    """A digest of what a file holds.

    Raises:
        ValueError: or whatever its reader raises, if it is not whole.
    """
    digest = hashlib.sha256()
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            for name in sorted(arrays):
                digest.update(name.encode() + arrays[name].tobytes())
    elif path.name.endswith(".nii.gz"):
        image, header = open_nifti(path)
        digest.update(image.tobytes() + np.asarray(header.get_best_affine()).tobytes())
    else:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def check_whole(path: pathlib.Path) -> None:
    """Read a file as its users do.

    Raises:
        ValueError: or whatever its reader raises, if it is not whole.
    """
    content(path)
    if path.suffix == ".json":
        read_json(path)
    elif path.suffix == ".jsonl":
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # the end of a log may be on its way
                json.loads(line)
    elif path.suffix == ".png":
        matplotlib.image.imread(path)
    elif path.suffix == ".dcm":
        assert "SOPInstanceUID" in pydicom.dcmread(path)
    elif path.suffix == ".html" and not path.read_text().rstrip().endswith("</html>"):
        raise ValueError("no end")


def broken(folder: pathlib.Path) -> list[str]:
    """Visible files that are not whole."""
    found = []
    for name, path in visible(folder).items():
        try:
            check_whole(path)
        except _DAMAGE as no:
            found.append(f"{name}: {type(no).__name__}")
    return found


def contents(folder: pathlib.Path) -> dict[str, str]:
    """What each visible file holds."""
    return {name: content(path) for name, path in visible(folder).items()}


def side_by_side(do: Callable[[int], T], numbers: Sequence[int], count: int) -> Iterator[T]:
    """What ``do`` makes of each number, in the order in which they end.

    Args:
        do: done in processes that are forked here; its results are sent back.
        numbers: the processes take turns.
        count: how many processes.

    Raises:
        RuntimeError: one of them died.
    """
    context = multiprocessing.get_context("fork")
    pipes, workers = [], []
    for first in range(count):
        ours, theirs = context.Pipe(duplex=False)
        work = (theirs, do, numbers[first::count])
        workers.append(context.Process(target=_send, args=work, daemon=True))
        workers[-1].start()
        theirs.close()
        pipes.append(ours)
    while pipes:
        for pipe in wait(pipes):
            assert isinstance(pipe, Connection)
            try:
                result = pipe.recv()
            except EOFError:
                pipes.remove(pipe)
            else:
                yield result
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise RuntimeError("a process that disturbs commands died: its words stand above")


def _send(pipe: Connection, do: Callable[[int], Any], numbers: Sequence[int]) -> None:
    for number in numbers:
        pipe.send(do(number))


class Undisturbed(NamedTuple):
    """What runs without a kill have in common.

    Attributes:
        seconds: of the fastest.
        same: digests of files that are equal in all, by name.
        differ: names of files that are not.
    """

    seconds: float
    same: dict[str, str]
    differ: list[str]


def undisturbed(run: Run, folder: pathlib.Path, processes: int) -> Undisturbed:
    """Run a command twice, or twice as often as runs go on side by side; the first may compile.

    Raises:
        RuntimeError: it fails; says what it said.
    """

    def once(number: int) -> tuple[Ended, str, dict[str, str]]:
        place, log = folder / f"whole_{number}", folder / f"whole_{number}.log"
        shutil.rmtree(place, ignore_errors=True)  # of a benchmark that was stopped
        ended = in_process(lambda: run(place), log)
        return ended, log.read_text(), {} if ended.status else contents(place)

    folder.mkdir(parents=True, exist_ok=True)
    seconds, found = [], []
    for beginning in (0, processes):
        numbers = range(beginning, beginning + processes)
        for ended, words, files in side_by_side(once, numbers, processes):
            if ended.status:
                raise RuntimeError(f"{folder.name} fails undisturbed: {words}")
            seconds.append(ended.seconds)
            found.append(files)
    same = dict(set.intersection(*(set(files.items()) for files in found)))
    differ = sorted({name for files in found for name in files} - same.keys())
    return Undisturbed(min(seconds), same, differ)


class Trial(NamedTuple):
    """One kill and what came after it.

    Attributes:
        command: its name.
        number: from 0, of the command.
        moment: of the kill, in seconds.
        late: the command had ended.
        damaged: files that were not whole then, and why.
        failed: the last words of the second run, if it failed.
        differ: files that do not equal those of an undisturbed run.
    """

    command: str
    number: int
    moment: float
    late: bool
    damaged: list[str]
    failed: str
    differ: list[str]

    def wrong(self) -> list[str]:
        """What broke, in lines."""
        which = f"{self.command}, kill {self.number} after {self.moment:.2f} s"
        found = [f"{which} left {one}" for one in self.damaged]
        if self.failed:
            found.append(f"{which}: the second run says {self.failed}")
        if self.differ:
            found.append(f"{which}: {self.differ[:5]} differ")
        return found


def attempt(
    run: Run, folder: pathlib.Path, number: int, moment: float, expected: Undisturbed
) -> Trial:
    """Kill a command after some seconds, and give it again.

    Args:
        run: the command.
        folder: bears its name; what a kill broke is left there.
        number: of the kill.
        moment: in seconds.
        expected: what its files hold if nobody disturbs it.
    """
    place, log = folder / str(number), folder / f"{number}.log"
    shutil.rmtree(place, ignore_errors=True)  # of a benchmark that was stopped
    first = in_process(lambda: run(place), log, most_s=moment)
    late = first.status != -signal.SIGKILL
    damaged, failed, differ = broken(place), "", []
    # A bundle that is there is refused, as it should be.
    refused = late and folder.name == "fit_latent"
    if not refused and in_process(lambda: run(place), log).status:
        failed = (log.read_text().strip().splitlines() or ["nothing"])[-1]
    else:
        found = contents(place)
        differ = [name for name, held in expected.same.items() if found.get(name) != held]
        differ += found.keys() - expected.same.keys() - {*expected.differ}
    trial = Trial(folder.name, number, moment, late, damaged, failed, sorted(differ))
    if not trial.wrong():
        shutil.rmtree(place, ignore_errors=True)
        log.unlink()
    return trial


def study(
    run: Run, folder: pathlib.Path, moments: Sequence[float], *, processes: int = 1
) -> tuple[dict[str, Any], list[str]]:
    """A command's row of the table, and what broke.

    Args:
        run: the command.
        folder: bears its name; undisturbed runs and trials that are there are not made again.
        moments: of the kills, as shares of its whole time.
        processes: how many runs go on side by side.

    Raises:
        InputError: trials that are there are of other moments.
        RuntimeError: the command fails undisturbed.
    """
    name = folder.name
    if (folder / "undisturbed.json").exists():
        expected = Undisturbed(*read_json(folder / "undisturbed.json"))
    else:
        expected = undisturbed(run, folder, processes)
        write_json([*expected], folder / "undisturbed.json")
    kept = record.Kept(folder / "trials.jsonl", {"moments": [*moments]})
    trials = [Trial(*row) for row in kept.rows]
    done = {trial.number for trial in trials}
    left = [number for number in range(len(moments)) if number not in done]

    def disturb(number: int) -> Trial:
        return attempt(run, folder, number, moments[number] * expected.seconds, expected)

    for trial in side_by_side(disturb, left, processes):
        kept.add(trial)
        trials.append(trial)
        print(*(trial.wrong() or [f"{name}, kill {trial.number}: equal"]), sep="\n", flush=True)
    row = {
        "command": name,
        "kills": len(trials),
        "late": sum(trial.late for trial in trials),
        "whole": sum(not trial.damaged for trial in trials),
        "completed": sum(not trial.failed for trial in trials),
        "equal": sum(not trial.failed and not trial.differ for trial in trials),
        "compared": len(expected.same),
        "seconds": expected.seconds,
        "not_compared": expected.differ,
    }
    return row, [line for trial in sorted(trials) for line in trial.wrong()]


def main(argv: list[str]) -> None:
    del argv
    warnings.simplefilter("ignore")  # JAX warns of forks, though nothing of it has started
    logging.disable()
    rows, wrong = [], []
    with tempfile.TemporaryDirectory(prefix="acsnet-crashes-") as temporary:
        root = pathlib.Path(_WORK.value or temporary).absolute()
        root.mkdir(parents=True, exist_ok=True)
        asked = {name: run for name, run in commands(root).items() if name in _COMMANDS.value}
        if asked.keys() - {"prepare", "train"}:
            ended = in_process(lambda: set_up(root), root / "set_up.log")
            if ended.status:
                raise RuntimeError((root / "set_up.log").read_text())
        for name, run in asked.items():
            drawn = np.random.default_rng([_SEED.value, _NAMES.index(name)])
            moments = drawn.uniform(size=_KILLS.value).tolist()
            row, broke = study(run, root / "runs" / name, moments, processes=record.PROCESSES.value)
            rows.append(row)
            wrong += broke
    shown = ["command", "kills", "late", "whole", "completed", "equal", "compared", "seconds"]
    record.print_table(shown, [[row[key] for key in shown] for row in rows])
    print("\n".join(wrong) or "nothing was lost, nothing was half")
    results = {
        "seed": _SEED.value,
        "processes": record.PROCESSES.value,
        "rows": rows,
        "wrong": wrong,
    }
    record.write("crashes", results, folder=record.OUT.value)
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
