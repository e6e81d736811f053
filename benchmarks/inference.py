"""Seconds from a folder of DICOM files to all files of a study: first process, second, and warm.

    python -m benchmarks.inference --bundle=DIR [--studies=20] [--steps=20]

Phantoms of about twelve slices are written as DICOM and predicted as `experiments.predict` does it,
in processes of their own: the first one finds an empty compilation cache, the second what the first
left there, and the third takes the first so many (``--steps``) in a row. Each tells how long it
took to import, to load the bundle, and for every study to read, segment, assess and write it, and
how much memory it held after it. Two more run the job itself over all studies, once alone and once
with a process each that reads and that writes beside it, and tell studies a minute and the memory
of all of them together.
"""

import json
import logging
import pathlib
import shutil
import tempfile
import threading
import time
from typing import Any

import numpy as np
from absl import app, flags

from acsnet_jax import bundle as bundles
from acsnet_jax import clinical
from acsnet_jax.app import use_compilation_cache
from acsnet_jax.io import discover
from acsnet_jax.jobs.predict import predict, write_folder
from acsnet_jax.pipeline import segment
from acsnet_jax.synthesis.phantom import make_scan, write_dicom
from benchmarks import record
from configs import predict as predict_config

_BUNDLE = flags.DEFINE_string("bundle", "", "Folder of a trained bundle.")
_STUDIES = flags.DEFINE_integer("studies", 20, "How many are predicted in a row.")
_BY_STEP = flags.DEFINE_integer("steps", 20, "Of these, how many are timed step by step.")
flags.declare_key_flag("out")
_STARTED = flags.DEFINE_float("started", 0.0, "Be a process that is timed; it began then.")
_JOB = flags.DEFINE_enum("job", "", ["", "alone", "overlap"], "Run the job over all studies.")
_INPUT = flags.DEFINE_string("input", "", "Folder of the studies of a process that is timed.")

_TENTHS = 10
"""The time of a job is divided so, to see whether it takes more memory the longer it runs."""

_SIZE, _SPACING_MM, _DISTANCE_MM = 192, (1.4, 1.4), 8.0
_LOOK_EVERY_S = 0.2
_STEPS = ("read", "segment", "assess", "write")


def main(_) -> None:
    logging.disable(logging.INFO)  # of libraries
    if _STARTED.value:
        imported = time.time()
        bundle, studies = pathlib.Path(_BUNDLE.value), pathlib.Path(_INPUT.value)
        told = in_a_row(bundle, studies) if _JOB.value else one_process(bundle, studies)
        print(json.dumps({"import": imported - _STARTED.value, **told}))
        return
    if not _BUNDLE.value:
        raise app.UsageError("--bundle=DIR is needed: a whole one, such as the quickstart leaves")
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for patient in range(_STUDIES.value):
            scan = make_scan(
                0, patient, size=_SIZE, spacing_mm=_SPACING_MM, slice_distance_mm=_DISTANCE_MM
            )
            write_dicom(scan, root / "all" / str(patient))
            if patient < _BY_STEP.value:
                shutil.copytree(root / "all" / str(patient), root / "some" / str(patient))
        shutil.copytree(root / "all" / "0", root / "one" / "0")
        first, second, many = (
            _timed(root / name, root / "cache") for name in ("one", "one", "some")
        )
        jobs = {job: _timed(root / "all", root / "cache", job=job) for job in ("alone", "overlap")}
    rows = [_row(name, one) for name, one in (("first", first), ("second", second))]
    warm = {**many, "studies": many["studies"][1:]}
    rows.append(("warm", "", "", *(_median(warm, step) for step in _STEPS), _study_seconds(warm)))
    record.print_table(("process", "import", "load", *_STEPS, "all"), rows)
    rates = {job: 60 * _STUDIES.value / one["job"] for job, one in jobs.items()}
    results = {
        "studies": _STUDIES.value,
        "slices": [one["slices"] for one in many["studies"]],
        "pixels": _SIZE,
        "first": first,
        "second": second,
        "second_startup_seconds": second["import"] + second["load"],
        "warm_seconds": {step: _median(warm, step) for step in _STEPS},
        "memory_mib": [one["mib"] for one in many["studies"]],
        "jobs": jobs,
        "studies_a_minute": rates,
    }
    header = ("job", "studies a minute", *(f"MiB, tenth {k + 1}" for k in range(_TENTHS)))
    lines = [(job, rates[job], *one["mib_of_tenths"]) for job, one in jobs.items()]
    record.print_table(header, lines)
    print(record.write("inference", results, folder=record.OUT.value))


def _timed(studies: pathlib.Path, cache: pathlib.Path, *, job: str = "") -> dict[str, Any]:
    options = [f"--bundle={_BUNDLE.value}", f"--input={studies}", f"--job={job}"]
    return record.timed_process("benchmarks.inference", options, cache)


def one_process(bundle_folder: pathlib.Path, root: pathlib.Path) -> dict[str, Any]:
    """Predict all studies of a folder, and tell the seconds of each step.

    Args:
        bundle_folder: of a whole bundle.
        root: with one folder of DICOM files a study.
    """
    start = time.perf_counter()
    use_compilation_cache()
    bundle = bundles.load(bundle_folder)
    loaders = discover(root, modality="lge")
    loaded = time.perf_counter() - start
    studies = []
    with tempfile.TemporaryDirectory() as folder:
        for name, load in loaders:
            times = [time.perf_counter()]
            scan = load()
            times.append(time.perf_counter())
            segmentation = segment(scan, bundle)
            times.append(time.perf_counter())
            assessment = clinical.assess(segmentation, calibration=bundle.calibration)
            judgement = clinical.judge(clinical.measure_signs(segmentation))
            times.append(time.perf_counter())
            write_folder(
                segmentation,
                assessment,
                judgement,
                pathlib.Path(folder) / scan.id,
                dicom=True,
                provenance={"Bundle": name},
            )
            times.append(time.perf_counter())
            study: dict[str, Any] = dict(zip(_STEPS, np.diff(times).tolist(), strict=True))
            studies.append({**study, "slices": len(scan.image), "mib": record.memory_mib("VmRSS")})
    return {"load": loaded, "studies": studies}


def in_a_row(bundle_folder: pathlib.Path, root: pathlib.Path) -> dict[str, Any]:
    """Run the job over all studies of a folder, and tell its seconds and memory.

    Args:
        bundle_folder: of a whole bundle.
        root: with one folder of DICOM files a study.
    """
    use_compilation_cache()
    config = predict_config.get_config()
    config.bundle, config.input = str(bundle_folder), str(root)
    config.modality, config.overlap = "lge", _JOB.value == "overlap"
    held: list[float] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            held.append(record.family_mib("self"))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        predict(config, pathlib.Path(folder))
    seconds = time.perf_counter() - start
    ended.set()
    looking.join()
    tenths = np.array_split(held, _TENTHS)
    return {"job": seconds, "mib_of_tenths": [float(np.max(part, initial=0)) for part in tenths]}


def _row(name: str, process: dict[str, Any]) -> tuple:
    steps = [_median(process, step) for step in _STEPS]
    return (name, process["import"], process["load"], *steps, process["seconds"])


def _median(process: dict[str, Any], step: str) -> float:
    return float(np.median([one[step] for one in process["studies"]]))


def _study_seconds(process: dict[str, Any]) -> float:
    """Mean of all steps together."""
    return float(np.mean([sum(one[step] for step in _STEPS) for one in process["studies"]]))


if __name__ == "__main__":
    app.run(main)
