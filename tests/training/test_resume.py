"""What a run that was stopped goes on with: its state to the bit, its config, its place."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import dying_runs
import jax
import numpy as np
import pytest
import tiny

from acsnet_jax.config import section
from acsnet_jax.training import loop
from acsnet_jax.training.augment import Augment
from acsnet_jax.training.record import read
from acsnet_jax.training.same_run import seen_by
from acsnet_jax.training.settings import settings_of
from acsnet_jax.training.spill import Spill
from acsnet_jax.types import InputError, Label

pytestmark = pytest.mark.usefixtures("standard_promotion")

MOMENTS = {
    "its arrays are being written": r"open=checkpoints/\d+\.orbax.*/_METADATA",
    "it is written but has no name": r"os.rename=checkpoints/\d+",
    "the one before the last is half removed": r"os.rmdir=checkpoints/\d+",
    "it has no checksums yet": r"os.rename=checkpoints/checksums.json",
}
"""Of the second checkpoint of a process."""


@pytest.mark.slow
def test_a_run_killed_at_every_moment_of_a_save_ends_as_if_nothing_had_been(tmp_path):
    """Weights, optimiser, batch statistics and key, and what every epoch recorded, to the bit."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.run(
        [sys.executable, dying_runs.__file__, killed, *MOMENTS.values()],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "xla"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    steps = 12 // 4
    # Each process saves once, then dies in its second save: before it has its name, or after.
    saved = [json.loads(line) for line in process.stdout.splitlines()]
    assert [found[-1] for found in saved] == [steps, 2 * steps, 4 * steps, 5 * steps]

    config = tiny.make_config(**{"optimisation.epochs": dying_runs.EPOCHS})
    cohort = tiny.make_cohort()
    resumed = loop.train_and_evaluate(config, killed, cohort=cohort)
    expected = loop.train_and_evaluate(config, whole, cohort=cohort)
    assert list(killed.glob("checkpoints/*tmp*")) == []
    assert int(resumed.step) == dying_runs.EPOCHS * steps
    jax.tree.map(np.testing.assert_array_equal, resumed._asdict(), expected._asdict())

    def numbers(folder):
        return [{**row, "samples_per_second": 0} for row in read(folder)]

    assert numbers(killed) == numbers(whole)
    for name in ("config.json", "held_out.json"):
        assert (killed / name).read_text() == (whole / name).read_text()


def test_a_picture_is_whole_or_absent(tmp_path, monkeypatch):
    def break_off(path, _):
        pathlib.Path(path).write_bytes(b"half a pict")
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.matplotlib.image, "imsave", break_off)
    with pytest.raises(KeyboardInterrupt):
        loop.train_and_evaluate(
            tiny.make_config(**{"optimisation.picture_every": 1}),
            tmp_path,
            cohort=tiny.make_cohort(),
        )
    assert list((tmp_path / "samples").iterdir()) == []


def test_a_field_that_a_run_did_not_know_counts_as_its_default(tmp_path):
    """Also a whole section of them; another value is named."""
    config = tiny.make_config()
    loop.write_config(config, tmp_path)
    path = tmp_path / "config.json"
    old = json.loads(path.read_text())
    del old["spec"]["margin_mm"], old["augment"], old["optimisation"]["warmup"]
    path.write_text(json.dumps(old))
    new = {"spec.margin_mm": 15.0, "augment": section(Augment())}
    config.update_from_flattened_dict(new)
    loop.write_config(config, tmp_path)
    assert json.loads(path.read_text()) == old

    config.update_from_flattened_dict({"spec.margin_mm": 14.0, "augment.damage": 0.5})
    with pytest.raises(InputError, match=r"\(augment.damage, spec.margin_mm differ\)"):
        loop.write_config(config, tmp_path)


def test_a_field_that_a_run_had_and_there_is_no_more_is_named(tmp_path):
    config = tiny.make_config()
    (tmp_path / "config.json").write_text(
        json.dumps({**config.to_dict(), "beam": {"width": 3}, "seed": {"of": 1}})
    )
    with pytest.raises(InputError, match=r"\(beam, seed differ\)"):
        loop.write_config(config, tmp_path)


def test_how_much_memory_there_is_and_when_a_run_is_kept_may_change(tmp_path):
    config = tiny.make_config()
    loop.write_config(config, tmp_path)
    config.data.memory_gb = 0.5
    config.optimisation.checkpoint_every += 1
    config.optimisation.picture_every += 1
    loop.write_config(config, tmp_path)
    config.optimisation.batch_size += 1
    with pytest.raises(InputError, match=r"\(optimisation.batch_size differ\)"):
        loop.write_config(config, tmp_path)


def test_a_run_of_before_a_field_goes_on(tmp_path):
    """From config and checkpoints as they were, without the field and without checksums."""
    config = tiny.make_config()
    cohort = tiny.make_cohort()
    expected = loop.train_and_evaluate(config, tmp_path, cohort=cohort)
    old = json.loads((tmp_path / "config.json").read_text())
    del old["data"]["memory_gb"]
    (tmp_path / "config.json").write_text(json.dumps(old))
    (tmp_path / "checkpoints" / "checksums.json").unlink()
    resumed = loop.train_and_evaluate(config, tmp_path, cohort=cohort)
    jax.tree.map(np.testing.assert_array_equal, resumed._asdict(), expected._asdict())


def test_a_cohort_that_changed_since_is_refused(tmp_path):
    """One pixel of a label, which no id tells; the run stays, and goes on with its own cohort."""
    config, cohort = tiny.make_config(), tiny.make_cohort()
    expected = loop.train_and_evaluate(config, tmp_path, cohort=cohort)
    assert seen_by(tmp_path) == sorted(scan.fingerprint for scan in cohort.train)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    first, *others = cohort.train
    assert first.labels is not None
    labels = first.labels.copy()
    labels[0, 10, 10] = Label.BACKGROUND
    changed = dataclasses.replace(cohort, train=[first.replace(labels=labels), *others])
    with pytest.raises(InputError, match=r"other training samples \((\d+) then, \1 now\)"):
        loop.train_and_evaluate(config, tmp_path, cohort=changed)
    fewer = dataclasses.replace(cohort, train=others)
    with pytest.raises(InputError, match="restore it, or use another --workdir"):
        loop.train_and_evaluate(config, tmp_path, cohort=fewer)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    resumed = loop.train_and_evaluate(config, tmp_path, cohort=cohort)
    jax.tree.map(np.testing.assert_array_equal, resumed._asdict(), expected._asdict())


def test_samples_beyond_memory_have_the_same_digest(tmp_path):
    config, cohort = tiny.make_config(), tiny.make_cohort()
    settings = settings_of(config)
    held = loop.training_samples(settings, cohort.train)
    mapped = loop.training_samples(settings, cohort.train, spill=Spill(tmp_path, 0.0))
    assert isinstance(mapped.images.base, np.memmap)
    assert held.digest == mapped.digest
    assert held.digest != held.take(np.arange(held.size)[::-1]).digest
