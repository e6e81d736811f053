"""Checkpoints that are damaged, or that the disk does not take."""

import json
import logging
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from acsnet_jax.training.checkpoint import Checkpoints
from acsnet_jax.training.sharding import data_mesh, replicated
from acsnet_jax.training.state import TrainState
from acsnet_jax.types import InputError


def make_state(step):
    rng = np.random.default_rng(step)
    state = TrainState(
        step=jax.numpy.int32(step),
        params={"layer": {"kernel": rng.normal(size=(64, 64)).astype(np.float32)}},
        batch_stats={},
        opt_state=(np.float32(step),),
        key_data=jax.numpy.array([1, 2], jax.numpy.uint32),
    )
    return jax.device_put(state, replicated(data_mesh(2)))


def restore(checkpoints):
    return checkpoints.restore(make_state(0), replicated(data_mesh(2)))


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one._asdict(), other._asdict())


@pytest.fixture
def saved(tmp_path):
    """A run of three checkpoints, of which two are kept."""
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() is None
        for step in (1, 2, 3):
            checkpoints.save(make_state(step))
    return tmp_path


@pytest.fixture
def warnings_of(caplog, monkeypatch):
    """What the package warned of."""
    monkeypatch.setattr(logging.getLogger("acsnet_jax"), "propagate", True)
    return lambda: [r.getMessage() for r in caplog.records if r.name.startswith("acsnet_jax")]


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def cut(folder):
    path = largest_file(folder)
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(folder):
    path = largest_file(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_a_file(folder):
    largest_file(folder).unlink()


def lose_all(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def test_the_latest_two_are_kept_with_their_checksums(saved, warnings_of):
    folder = saved / "checkpoints"
    assert {path.name for path in folder.iterdir()} == {"2", "3", "checksums.json"}
    assert json.loads((folder / "checksums.json").read_text()).keys() == {"2", "3"}
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.latest_step() == 3
        assert_same(restore(checkpoints), make_state(3))
    assert not warnings_of()


@pytest.mark.parametrize("damage", [cut, flip_a_bit, lose_a_file, lose_all])
def test_the_one_before_a_damaged_one_is_used_and_it_says_so(saved, damage, warnings_of):
    damage(saved / "checkpoints" / "3")
    with Checkpoints(saved) as checkpoints:
        assert_same(restore(checkpoints), make_state(2))
        (warning,) = warnings_of()
        assert (
            f"{saved}/checkpoints: the checkpoint of step 3 is damaged, that of step 2" in warning
        )
        checkpoints.save(make_state(3))
        assert_same(restore(checkpoints), make_state(3))
    assert len(warnings_of()) == 1


def test_a_reader_removes_nothing(saved):
    flip_a_bit(saved / "checkpoints" / "3")
    with Checkpoints(saved) as checkpoints:
        restore(checkpoints)
    assert (saved / "checkpoints" / "3").is_dir()


def test_nothing_whole_is_an_error_that_says_what_to_do(saved):
    cut(saved / "checkpoints" / "3")
    lose_a_file(saved / "checkpoints" / "2")
    with (
        Checkpoints(saved) as checkpoints,
        pytest.raises(InputError, match=r"no checkpoint is whole .*step 3, 2\); remove the folder"),
    ):
        restore(checkpoints)


def test_a_checkpoint_of_another_network_is_an_error(saved):
    like = make_state(0)
    like.params["layer"]["kernel"] = like.params["layer"]["kernel"][:32]
    with Checkpoints(saved) as checkpoints, pytest.raises(InputError, match="another network"):
        checkpoints.restore(like, replicated(data_mesh(2)))


def test_damaged_checksums_are_an_error_that_says_what_to_do(saved):
    (saved / "checkpoints" / "checksums.json").write_text("[1]")
    with (
        Checkpoints(saved) as checkpoints,
        pytest.raises(InputError, match=r"checksums\.json: .*remove it"),
    ):
        restore(checkpoints)


def test_a_run_without_checksums_is_read(saved):
    (saved / "checkpoints" / "checksums.json").unlink()
    with Checkpoints(saved) as checkpoints:
        assert_same(restore(checkpoints), make_state(3))
        checkpoints.save(make_state(4))
    known = json.loads((saved / "checkpoints" / "checksums.json").read_text())
    assert known.keys() == {"4"}


FULL = """
import pathlib, resource, sys
from test_checkpoint import Checkpoints, InputError, make_state

soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in map(int, sys.argv[2:]):
    with Checkpoints(pathlib.Path(sys.argv[1])) as checkpoints:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            checkpoints.save(make_state(4))
        except InputError as error:
            print(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
"""


def test_whoever_reads_leaves_a_checkpoint_that_is_being_written(saved):
    writing = saved / "checkpoints" / "4.orbax-checkpoint-tmp"
    writing.mkdir()
    with Checkpoints(saved, read_only=True) as checkpoints:
        assert_same(restore(checkpoints), make_state(3))
    assert writing.exists()
    with Checkpoints(saved) as checkpoints:  # of a run that was killed
        checkpoints.save(make_state(5))
    assert not writing.exists()


def test_a_full_disk_leaves_the_checkpoints_that_there_were(saved):
    """No file may grow beyond a limit: the system refuses a write as it does on a full disk.

    The array is written in halves of 8 kB, sometimes to one file and sometimes to two.
    """
    process = subprocess.run(
        [sys.executable, "-c", FULL, str(saved), "0", "300", "5000"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert [line.partition(" (")[0] for line in process.stdout.splitlines()] == 3 * [
        f"{saved}/checkpoints: the checkpoint of step 4 cannot be written"
    ]
    assert process.stdout.count("File too large") == 3
    with Checkpoints(saved) as checkpoints:
        assert_same(restore(checkpoints), make_state(3))
        checkpoints.save(make_state(4))
        assert_same(restore(checkpoints), make_state(4))
    left = {path.name for path in (saved / "checkpoints").iterdir()}
    assert left == {"3", "4", "checksums.json"}
