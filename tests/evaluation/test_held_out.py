import dataclasses
import json
import logging

import numpy as np
import pytest

from acsnet_jax.evaluation.held_out import load_held_out, trained_on
from acsnet_jax.preprocess.orient import apply_turn, turned_scan
from acsnet_jax.synthesis.phantom import make_cohort
from acsnet_jax.training.cohort import CohortOptions, fingerprints
from acsnet_jax.types import InputError

DATA = CohortOptions(patients=4, image_size=64)


@pytest.fixture
def run(tmp_path):
    ids = [scan.id for scan in make_cohort(4, 0, modality="lge", size=64)]
    (tmp_path / "run").mkdir()
    split = {"seed": 0, "train": ids[:3], "test": ids[3:]}
    (tmp_path / "run" / "split.json").write_text(json.dumps(split))
    return tmp_path / "run", ids


def test_the_division_is_that_of_the_training_run(run, tmp_path):
    folder, ids = run
    cohort = load_held_out(DATA, tmp_path / "out", split=str(folder))
    assert [scan.id for scan in cohort.test] == ids[3:]
    assert (tmp_path / "out" / "split.json").read_text() == (folder / "split.json").read_text()


def test_another_division_than_the_one_that_is_there_is_refused(run, tmp_path):
    folder, ids = run
    other = tmp_path / "other"
    other.mkdir()
    split = {"seed": 0, "train": ids[1:], "test": ids[:1]}
    (other / "split.json").write_text(json.dumps(split))
    load_held_out(DATA, tmp_path / "out", split=str(folder))
    load_held_out(DATA, tmp_path / "out", split=str(folder))
    with pytest.raises(InputError, match=r"out/split\.json holds out other patients than"):
        load_held_out(DATA, tmp_path / "out", split=str(other))


def test_a_division_that_is_there_is_that_of_the_config(run, tmp_path):
    folder, ids = run
    everyone = dataclasses.replace(DATA, test_fraction=1.0)
    with pytest.raises(InputError, match=r"test_fraction and seed.*--config\.split="):
        load_held_out(everyone, folder)
    assert [scan.id for scan in load_held_out(DATA, folder, split=str(folder)).test] == ids[3:]
    for _ in range(2):
        assert len(load_held_out(everyone, tmp_path / "all").test) == 4


@pytest.mark.parametrize("turn", [-1, 8])
def test_there_are_eight_turns(tmp_path, turn):
    with pytest.raises(InputError, match=r"config\.turn is .*0 to 7"):
        load_held_out(DATA, tmp_path / "out", turn=turn)
    assert not (tmp_path / "out").exists()


def test_held_out_scans_may_be_turned(run, tmp_path):
    folder, _ = run
    (plain,) = load_held_out(DATA, tmp_path / "one", split=str(folder)).test
    (turned,) = load_held_out(DATA, tmp_path / "two", split=str(folder), turn=3).test
    np.testing.assert_array_equal(turned.image, apply_turn(plain.image, 3))


def test_a_folder_without_a_division_is_named(tmp_path):
    with pytest.raises(InputError, match=r"split\.json is missing"):
        load_held_out(DATA, tmp_path / "out", split=str(tmp_path))


def test_what_a_system_was_trained_on_is_told(monkeypatch, caplog):
    """Also where it is stored in another orientation, or has another name."""
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    scans = make_cohort(3, 0, modality="lge", size=64)
    told = {"training": {"seen": fingerprints(scans[:2], [])}}
    assert trained_on(scans[2:], told) == []
    assert not caplog.text
    again = [turned_scan(scans[1], 5).replace(id="another name"), scans[2]]
    assert trained_on(again, told) == ["another name"]
    assert "trained on 1 of these 2 scans (another name): figures of them are too" in caplog.text
    caplog.clear()
    assert trained_on(scans, {"training": {}}) == []
    assert "does not tell what it was trained on" in caplog.text
