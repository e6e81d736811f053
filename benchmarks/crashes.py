"""Kill commands at random moments, give them again, and compare with a run that nobody disturbed.

    python -m benchmarks.crashes --kills=50 --moments_seed=0

Six commands on phantoms, with networks of a few filters: prepare, train, fit_latent, predict,
evaluate and correct. Each is run twice without a kill; then, for each kill, started in an empty
folder, ended by SIGKILL at a moment drawn from its whole time, and given again. After the kill
every visible file has to be whole; the second run has to end well, and its files have to equal
those of the undisturbed run: arrays of .npz and .nii.gz, bytes of all others. What differs between
the two undisturbed runs (times, identifiers) is not compared, and named. The exit status is 1 if
anything broke.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import matplotlib.image
import numpy as np
import pydicom
from absl import app, flags

from acsnet_jax.app import use_compilation_cache
from acsnet_jax.config import Config
from acsnet_jax.files import read_json, write_arrays
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
flags.declare_key_flag("out")

_DAMAGE = (*PYDICOM_ERRORS, AssertionError, EOFError, OSError, SyntaxError, ValueError)

Run = Callable[[pathlib.Path], Any]


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


def study(name: str, run: Run, root: pathlib.Path, kills: int, rng: np.random.Generator) -> dict:
    """A command's row of the table."""
    expected: list[dict[str, str]] = []
    seconds = []
    for number in range(2):
        folder = root / name / f"whole_{number}"
        folder.parent.mkdir(exist_ok=True)
        ended = in_process(lambda: run(folder), root / f"{name}.log")  # noqa: B023
        if ended.status:
            raise RuntimeError(f"{name} fails undisturbed: {(root / f'{name}.log').read_text()}")
        expected.append(contents(folder))
        seconds.append(ended.seconds)
    same = {key for key, value in expected[0].items() if expected[1].get(key) == value}
    row: dict[str, Any] = {"command": name, "kills": 0, "late": 0}
    row |= {"whole": 0, "completed": 0, "equal": 0}
    row |= {"seconds": min(seconds), "compared": len(same)}
    row["not_compared"] = sorted(expected[0].keys() - same)
    row["wrong"] = []
    for number in range(kills):
        folder = root / name / str(number)
        moment = rng.uniform(0, min(seconds))
        first = in_process(lambda: run(folder), root / f"{name}.log", most_s=moment)  # noqa: B023
        row["kills"] += 1
        row["late"] += first.status != -signal.SIGKILL  # it had ended
        damaged = broken(folder)
        row["whole"] += not damaged
        row["wrong"] += [f"kill {number} after {moment:.2f} s left {one}" for one in damaged]
        if first.status != -signal.SIGKILL and name == "fit_latent":
            again = Ended(0, 0.0)  # a bundle that is there is refused, as it should be
        else:
            again = in_process(lambda: run(folder), root / f"{name}.log")  # noqa: B023
        row["completed"] += again.status == 0
        if again.status:
            last = (root / f"{name}.log").read_text().strip().splitlines()[-1:]
            row["wrong"].append(f"kill {number} after {moment:.2f} s: the re-run says {last}")
            continue
        found = contents(folder)
        differ = sorted(key for key in same if found.get(key) != expected[0][key])
        differ += sorted(found.keys() - expected[0].keys())
        row["equal"] += not differ
        row["wrong"] += [f"kill {number} after {moment:.2f} s: {differ[:5]} differ"] * bool(differ)
    return row


def main(argv: list[str]) -> None:
    del argv
    warnings.simplefilter("ignore")  # JAX warns of forks, though nothing of it has started
    logging.disable()
    rng = np.random.default_rng(_SEED.value)
    rows = []
    with tempfile.TemporaryDirectory(prefix="acsnet-crashes-") as folder:
        root = pathlib.Path(folder)
        asked = {name: run for name, run in commands(root).items() if name in _COMMANDS.value}
        if asked.keys() - {"prepare", "train"}:
            ended = in_process(lambda: set_up(root), root / "set_up.log")
            if ended.status:
                raise RuntimeError((root / "set_up.log").read_text())
        for name, run in asked.items():
            rows.append(study(name, run, root, _KILLS.value, rng))
            print(f"{name}: {rows[-1]['equal']} of {rows[-1]['kills']} equal", flush=True)
    shown = ["command", "kills", "late", "whole", "completed", "equal", "compared", "seconds"]
    record.print_table(shown, [[row[key] for key in shown] for row in rows])
    wrong = [f"{row['command']}: {one}" for row in rows for one in row["wrong"]]
    print("\n".join(wrong) or "nothing was lost, nothing was half")
    record.write("crashes", {"seed": _SEED.value, "rows": rows}, folder=record.OUT.value)
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
