"""The table of crashes counts what it should, on commands of a few lines."""

import json
import time

import numpy as np
import pytest

from acsnet_jax.files import write_arrays, write_json
from benchmarks import crashes

pytestmark = pytest.mark.filterwarnings("ignore")  # of forks where jax has started

HALF_WAY = (0.5, 0.5)
"""Moments of death; a command that sleeps is asleep then, however long its start takes."""

ASLEEP_S = 1.5


def sound(folder):
    """Goes on where it was, and writes each file whole; one of them tells the time."""
    for number in range(4):
        path = folder / f"{number}.json"
        if not path.exists():
            time.sleep(0.03)
            write_json({"number": number}, path)
    write_arrays({"x": np.arange(3)}, folder / "x.npz")
    write_json(time.time_ns(), folder / "time.json")


def careless(folder):
    """Leaves half of a file while it sleeps."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "0.json").open("w") as file:
        file.write('{"number"')
        file.flush()
        time.sleep(ASLEEP_S)
        file.write(": 0}")


def forgetful(folder):
    """Takes what is there for all there is to do."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        write_json(0, folder / "0.json")
        time.sleep(ASLEEP_S)
        write_json(1, folder / "1.json")


def row_of(run, root, *, moments=HALF_WAY, **options):
    return crashes.study(run, root / run.__name__, list(moments), **options)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_sound_command(tmp_path, processes):
    moments = np.random.default_rng(0).uniform(size=4)
    row, wrong = row_of(sound, tmp_path, moments=moments, processes=processes)
    assert (row["kills"], row["whole"], row["completed"], row["equal"]) == (4, 4, 4, 4)
    assert row["compared"] == 5 and row["not_compared"] == ["time.json"] and not wrong


def test_half_a_file_is_seen_and_kept(tmp_path):
    row, wrong = row_of(careless, tmp_path)
    assert (row["kills"], row["whole"], row["completed"], row["equal"]) == (2, 0, 2, 2)
    assert "left 0.json: InputError" in wrong[0]
    kept = [path for path in (tmp_path / "careless").iterdir() if path.name.isdecimal()]
    assert len(kept) == 2


def test_a_result_that_differs_is_seen(tmp_path):
    row, wrong = row_of(forgetful, tmp_path)
    assert (row["kills"], row["whole"], row["completed"], row["equal"]) == (2, 2, 2, 0)
    assert "['1.json'] differ" in wrong[0]


def fail(folder):
    raise ValueError(f"not in {folder.name}")


def test_a_command_that_fails_undisturbed_is_told(tmp_path):
    with pytest.raises(RuntimeError, match="not in whole_0"):
        row_of(fail, tmp_path)


def test_a_second_run_that_fails_is_told(tmp_path):
    write_json([0.1, {"0.json": "0"}, []], tmp_path / "fail" / "undisturbed.json")
    row, wrong = row_of(fail, tmp_path)
    assert row["completed"] == row["equal"] == 0 and row["whole"] == 2
    assert "the second run says ValueError: not in 0" in wrong[0]


def test_trials_that_are_there_are_not_made_again(tmp_path):
    row, wrong = row_of(forgetful, tmp_path)
    trials = (tmp_path / "forgetful" / "trials.jsonl").read_text()
    assert row_of(forgetful, tmp_path) == (row, wrong)
    assert (tmp_path / "forgetful" / "trials.jsonl").read_text() == trials


def test_a_process_that_dies_is_told():
    def die(number):
        raise ValueError(number)

    with pytest.raises(RuntimeError, match="died"):
        list(crashes.side_by_side(die, range(3), 2))


@pytest.mark.parametrize("name", ["a.json", "a.npz", "a.png", "a.dcm", "a.html", "a.nii.gz"])
def test_what_is_half_is_not_whole(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x93half")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / name).write_bytes(b"\x93half")
    (one,) = crashes.broken(tmp_path)
    assert one.startswith(f"{name}: ")


def test_a_log_may_end_in_half_a_line(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"a": 1}) + '\n{"b"')
    assert crashes.broken(tmp_path) == []
