"""Whole training runs, tiny ones. Optax's Adam needs standard dtype promotion."""

import contextvars
import dataclasses
import json
import logging
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

import acsnet_jax
from acsnet_jax.lock import hold
from acsnet_jax.synthesis.phantom import make_cohort
from acsnet_jax.training import loop
from acsnet_jax.training.checkpoint import Checkpoints
from acsnet_jax.training.cohort import Cohort
from acsnet_jax.training.record import read
from acsnet_jax.training.runs import as_network, load_run
from acsnet_jax.training.settings import settings_of
from acsnet_jax.training.sharding import data_mesh, replicated
from acsnet_jax.types import InputError, Label
from configs import autoencoder, lv, myo

REPOSITORY = pathlib.Path(acsnet_jax.__file__).resolve().parent.parent
TINY = {
    "data.patients": 3,
    "data.cine_patients": 0,
    "data.image_size": 96,
    "spec.lv_spacing_mm": 5.0,
    "spec.lv_size": 32,
    "spec.myo_spacing_mm": 4.0,
    "spec.myo_size": 32,
    "spec.mask_size": 32,
    "model.filters": (4,),
    "optimisation.batch_size": 4,
    "optimisation.epochs": 2,
    "optimisation.picture_every": 0,
}
UNET = {**TINY, "model.bridge": 8}
MASKS = {**TINY, "model.filters": (4, 4), "model.latent": 3}
RUNS = {
    "lv": (lv, {**UNET, "optimisation.picture_every": 2}),
    "myo": (myo, UNET),
    "autoencoder": (autoencoder, MASKS),
}


@pytest.fixture(scope="module", autouse=True)
def compile_once(tmp_path_factory):
    """Runs of one config share their compiled programs."""
    folder = tmp_path_factory.mktemp("xla")
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = [getattr(jax.config, name) for name in names]
    for name, value in zip(names, (str(folder), 0.0), strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    with jax.numpy_dtype_promotion("standard"):
        yield folder
    for name, value in zip(names, before, strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def cohort():
    scans = make_cohort(3, 0, size=80, spacing_mm=(1.7, 1.7))
    cine = make_cohort(1, 0, modality="cine", size=80, spacing_mm=(1.7, 1.7))
    return Cohort([*scans[:2], *cine], scans[2:])


def make_config(task, **changes):
    module, overrides = RUNS[task]
    config = module.get_config()
    config.update_from_flattened_dict({**overrides, **changes})
    return config


@pytest.fixture(scope="module")
def runs(cohort, tmp_path_factory):
    """Makes a finished run of a task once: its folder and its last state."""
    done = {}

    def run(task):
        if task not in done:
            workdir = tmp_path_factory.mktemp(task)
            done[task] = workdir, loop.train_and_evaluate(make_config(task), workdir, cohort=cohort)
        return done[task]

    return run


def assert_same_state(one, other):
    jax.tree.map(np.testing.assert_array_equal, one._asdict(), other._asdict())


@pytest.mark.parametrize("task", RUNS)
def test_a_run_writes_what_it_promises(task, runs, cohort):
    workdir, state = runs(task)
    config = make_config(task)
    samples = sum(int(scan.labelled.sum()) for scan in cohort.train)
    steps = samples // 4
    assert int(state.step) == 2 * steps
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.variables))
    assert json.loads((workdir / "config.json").read_text()) == json.loads(
        json.dumps(config.to_dict())
    )
    lines = read(workdir)
    assert [row["step"] for row in lines] == [steps, 2 * steps]
    assert [row["epoch"] for row in lines] == [1, 2]
    outputs = {"lv": 1, "myo": 2, "autoencoder": 1}[task]
    scores = {f"dice_{output}" for output in range(outputs)}
    assert set(lines[0]) == {"step", "epoch", "loss", "samples_per_second", *scores}
    held_out = json.loads((workdir / "held_out.json").read_text())
    assert held_out.keys() == {"slices", *scores}
    assert held_out["slices"] == cohort.test[0].labelled.sum()
    assert all(0 <= held_out[score] <= 1 for score in scores)
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest_step() == 2 * steps
        restored = checkpoints.restore(state, replicated(data_mesh(4)))
    assert_same_state(restored, state)
    assert not list(workdir.rglob("*tmp*"))


def test_pictures_of_samples_are_written(runs):
    workdir, _ = runs("lv")
    assert [path.name for path in (workdir / "samples").iterdir()] == ["epoch-0002.png"]
    picture = matplotlib.image.imread(workdir / "samples" / "epoch-0002.png")
    assert picture.shape[:2] == (6 * 32, 2 * 32)  # six samples; the image and its outlines
    assert np.ptp(picture) > 0.5
    assert not (runs("myo")[0] / "samples").exists()


def test_a_finished_run_is_not_trained_again(runs, cohort):
    workdir, state = runs("autoencoder")
    lines = read(workdir)
    again = loop.train_and_evaluate(make_config("autoencoder"), workdir, cohort=cohort)
    assert_same_state(again, state)
    assert read(workdir) == lines


def test_a_finished_run_is_read_back(runs):
    workdir, state = runs("myo")
    settings, restored = load_run(workdir)
    assert settings.task == "myo"
    assert_same_state(restored, state)
    network = as_network(settings, restored)
    assert network.sizes == {"filters": (4,), "bridge": 8, "outputs": 2, "dropout": 0.2, "patch": 1}
    assert set(network.variables) == {"params", "batch_stats"}


def test_a_folder_without_a_run_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="holds no training run"):
        load_run(tmp_path)
    loop.write_config(make_config("lv"), tmp_path)
    with pytest.raises(InputError, match="no checkpoint yet"):
        load_run(tmp_path)


def test_a_damaged_number_of_epochs_is_bad_input(tmp_path):
    config = json.loads(make_config("lv").to_json())
    config["optimisation"]["epochs"] = {"a": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.json"):
        load_run(tmp_path)


def test_stage_2_learns_no_reflow_by_option(cohort, tmp_path):
    config = make_config("myo", **{"spec.no_reflow": True, "optimisation.epochs": 1})
    loop.train_and_evaluate(config, tmp_path, cohort=cohort)
    held_out = json.loads((tmp_path / "held_out.json").read_text())
    assert held_out.keys() == {"slices", "dice_0", "dice_1", "dice_2"}
    assert as_network(*load_run(tmp_path)).sizes["outputs"] == 3


def test_labels_that_hold_no_no_reflow_are_told_of(cohort, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    lge = [scan for scan in cohort.train if scan.modality == "lge"]
    assert any(np.any(scan.labels == Label.NO_REFLOW) for scan in lge)

    def check(scans, no_reflow):
        settings = settings_of(make_config("myo", **{"spec.no_reflow": no_reflow}))
        loop._check_told(settings, loop.training_samples(settings, scans), scans)

    plain = [
        scan.replace(labels=np.minimum(scan.labels, Label.ENHANCEMENT).astype(np.uint8))
        for scan in lge
    ]
    check(lge, no_reflow=True)
    check(plain, no_reflow=False)
    assert not caplog.records
    check(plain, no_reflow=True)
    assert "leave out config.spec.no_reflow" in caplog.text


def test_held_out_patients_are_looked_at_in_full_precision(cohort, tmp_path, monkeypatch):
    used = []
    monkeypatch.setattr(loop, "_evaluate", lambda settings, task, *_: used.append(task.model.dtype))
    changes = {"optimisation.compute": "bfloat16", "optimisation.epochs": 1}
    loop.train_and_evaluate(make_config("lv", **changes), tmp_path, cohort=cohort)
    assert used == [jnp.float32]


def test_an_unfinished_run_is_read_with_a_warning(runs, tmp_path, caplog, monkeypatch):
    workdir, _ = runs("lv")
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    load_run(workdir)
    assert not caplog.records
    shutil.copytree(workdir, tmp_path / "lv")
    config = json.loads((workdir / "config.json").read_text())
    config["optimisation"]["epochs"] = 50
    (tmp_path / "lv" / "config.json").write_text(json.dumps(config))
    load_run(tmp_path / "lv")
    (record,) = caplog.records
    assert "lv is not finished: its checkpoint is of epoch 2 of 50" in record.getMessage()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data.format": "nifti", "data.root": "nowhere"}, "no such folder"),
        ({"data.patients": 1}, "at least 2"),
    ],
)
def test_bad_input_leaves_no_run_behind(tmp_path, change, message):
    """The same command with its mistake mended is no run of another config."""
    with pytest.raises(InputError, match=message):
        loop.train_and_evaluate(make_config("lv", **change), tmp_path)
    assert not list(tmp_path.iterdir())


def test_bad_input_leaves_a_run_as_it_was(runs, tmp_path):
    workdir, _ = runs("lv")
    shutil.copytree(workdir, tmp_path / "lv")
    with (
        pytest.raises(InputError, match="no such folder"),
        loop.beginning(make_config("lv"), tmp_path / "lv"),
    ):
        raise InputError("no such folder")
    assert (tmp_path / "lv" / "config.json").read_text() == (workdir / "config.json").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spec.lv_size": 33}, r"config\.spec\.lv_size is 33, .* multiple of 2, such as 32"),
        ({"spec.lv_size": 66, "model.patch": 2}, r"lv_size is 66.* multiple of 4, such as 64"),
        ({"model.patch": 0}, r"config\.model\.patch is not within 1 and 16"),
        ({"optimisation.batch_size": 0}, r"optimisation\.batch_size is 0: give at least 1"),
        ({"optimisation.epochs": 0}, r"optimisation\.epochs is 0: give at least 1"),
        ({"optimisation.checkpoint_every": 0}, r"optimisation\.checkpoint_every is 0"),
        ({"optimisation.beta": 4.0}, r"optimisation\.beta is 4\.0: give 0 to 1"),
        ({"optimisation.learning_rate": -1.0}, r"optimisation\.learning_rate is -1"),
        ({"seed": -1}, r"config\.seed is -1: give 0 or more"),
        ({"spec.context": -1}, r"config\.spec\.context is not within 0 and 16"),
        ({"spec.lv_spacing_mm": 0.0}, r"config\.spec\.lv_spacing_mm is not within 0\.01 and 100"),
        ({"model.dropout": 1.0}, r"config\.model\.dropout is not within 0 and 0\.999"),
        ({"model.filters": (4, 0)}, r"config\.model\.filters is not within 1"),
        ({"augment.noise": -0.1}, r"augment\.noise is -0\.1: give 0 or more"),
        ({"augment.scale": 1.0}, r"augment\.scale is 1\.0: give 0 to 0\.9"),
    ],
)
def test_numbers_that_no_run_can_have(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        loop.train_and_evaluate(make_config("lv", **change), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_an_interrupted_run_goes_on_as_if_nothing_had_been(runs, cohort, tmp_path, monkeypatch):
    """Batch statistics, optimiser, dropout, augmentation and order of samples: all to the bit."""
    workdir, expected = runs("lv")

    def interrupt(settings, epoch, *_):
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_picture", interrupt)  # after the second epoch, before it is saved
        with pytest.raises(KeyboardInterrupt):
            loop.train_and_evaluate(make_config("lv"), tmp_path, cohort=cohort)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == int(expected.step) // 2
    resumed = loop.train_and_evaluate(make_config("lv"), tmp_path, cohort=cohort)
    assert_same_state(resumed, expected)

    def numbers(folder):
        return [{**row, "samples_per_second": 0} for row in read(folder)]

    assert numbers(tmp_path) == numbers(workdir)


def saved_steps(workdir):
    return [path for path in workdir.glob("checkpoints/*") if path.name.isdigit()]


def test_a_folder_in_which_another_run_trains_is_refused(tmp_path):
    """A study holds its own folder, and each network's while that trains."""
    elsewhere, other = contextvars.Context(), hold(tmp_path / "lv")
    elsewhere.run(other.__enter__)
    with pytest.raises(InputError, match="lv: another run writes there"):
        loop.train_and_evaluate(lv.get_config(), tmp_path / "lv", cohort=Cohort([], []))
    elsewhere.run(other.__exit__, None, None, None)


def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path, compile_once):
    overrides = {**MASKS, "optimisation.epochs": 25}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    flags = [f"--config.{name}={value}" for name, value in overrides.items()]
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(compile_once),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [
        *(sys.executable, "-m", "experiments.train", "--config=configs/autoencoder.py"),
        *(f"--workdir={killed}", *flags),
    ]
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            while not saved_steps(killed) and process.poll() is None:
                time.sleep(0.01)
        finally:
            process.kill()
        output = process.communicate()[0].decode()
    assert process.returncode == -signal.SIGKILL, output
    before = len(read(killed))
    assert 1 <= before < 25

    config = make_config("autoencoder", **{"optimisation.epochs": 25})
    resumed = loop.train_and_evaluate(config, killed)
    expected = loop.train_and_evaluate(config, whole)
    assert_same_state(resumed, expected)
    assert [row["epoch"] for row in read(killed)] == list(range(1, 26))
    for one, other in zip(read(killed), read(whole), strict=True):
        assert one["loss"] == other["loss"]
    assert (killed / "split.json").read_text() == (whole / "split.json").read_text()
    assert not list(killed.glob("checkpoints/*tmp*"))


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(cohort, tmp_path):
    # The first step of warm-up has rate 0, the second throws the parameters away.
    config = make_config("autoencoder", **{"optimisation.learning_rate": 1e30})
    with pytest.raises(FloatingPointError, match=r"autoencoder: the loss is \w+ at step 3;"):
        loop.train_and_evaluate(config, tmp_path, cohort=cohort)
    assert not saved_steps(tmp_path)
    assert read(tmp_path) == []


def test_the_run_of_another_config_is_refused(runs, cohort):
    workdir, _ = runs("lv")
    before = (workdir / "config.json").read_text()
    config = make_config("lv", **{"optimisation.beta": 0.3, "seed": 1})
    with pytest.raises(
        InputError, match=r"another run \(optimisation.beta, seed differ\).*workdir"
    ):
        loop.train_and_evaluate(config, workdir, cohort=cohort)
    assert (workdir / "config.json").read_text() == before


@pytest.mark.parametrize("no_reflow", [False, True])
def test_stage_2_is_not_trained_on_what_no_label_tells(cohort, tmp_path, no_reflow):
    def untold(scans):
        return [
            scan.replace(has_enhancement=no_reflow and scan.modality == "cine") for scan in scans
        ]

    bare = dataclasses.replace(cohort, train=untold(cohort.train))
    if no_reflow:  # cine made LGE-like tells enhancement, and never no-reflow
        cine = bare.train[0].replace(id="cine", modality="cine", has_enhancement=True)
        bare.train.append(cine)
    config = make_config("myo", **{"spec.no_reflow": no_reflow})
    with pytest.raises(InputError, match="no_reflow" if no_reflow else "holds enhancement"):
        loop.train_and_evaluate(config, tmp_path / "run", cohort=bare)
    assert not (tmp_path / "run" / "config.json").exists()
