"""Several processes on this machine; each has one device, and the first one writes."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import together

from acsnet_jax import lock
from acsnet_jax.training import distributed
from acsnet_jax.training.record import read
from acsnet_jax.types import InputError

SCRIPT = together.__file__


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("device_count=2", "device_count=1"),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def two_of(port, number):
    return {
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": str(number),
    }


def finish(process):
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The same run of one process, and of two: their folder, and what each process tells."""
    alone, both = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("both")
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("xla")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    told = [finish(start(alone, **cache))]
    port = free_port()
    pair = [start(both, "--distributed=300", **two_of(port, one), **cache) for one in (0, 1)]
    told += [finish(one) for one in pair]
    return alone, both, told


@pytest.mark.slow
def test_two_processes_train_what_one_does(trained):
    alone, both, (one, first, second) = trained
    assert first["devices"] == second["devices"] == 2 * one["devices"] == 2
    assert first["step"] == second["step"] == one["step"] > 0
    assert first["weights"] == second["weights"]
    np.testing.assert_allclose(first["weights"], one["weights"], rtol=1e-4, atol=1e-5)
    losses = [[row["loss"] for row in read(folder)] for folder in (alone, both)]
    assert len(losses[0]) == together.EPOCHS
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    assert json.loads((both / "held_out.json").read_text()) == pytest.approx(
        json.loads((alone / "held_out.json").read_text()), abs=0.01
    )


@pytest.mark.slow
def test_each_process_reads_its_share_of_every_batch(trained):
    """Together what one process reads, in halves."""
    _, _, (one, first, second) = trained
    assert len(first["read"]) == len(second["read"]) == len(one["read"])
    for whole, *halves in zip(one["read"], first["read"], second["read"], strict=True):
        assert len(halves[0]) == len(halves[1])
        assert [*halves[0], *halves[1]] == whole


@pytest.mark.slow
def test_the_first_process_alone_writes(trained):
    alone, both, (one, first, second) = trained
    names = {"config.json", "metrics.jsonl", "held_out.json", "samples", "checkpoints"}
    assert names <= set(first["written"]) and names <= set(one["written"])
    assert set(second["written"]) <= {"checkpoints"}  # where orbax does as it needs
    assert {path.name for path in (both / "checkpoints").iterdir()} == {
        path.name for path in (alone / "checkpoints").iterdir()
    }


@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_never_comes_is_one_error(tmp_path, number):
    process = start(tmp_path / "run", "--distributed=3", **two_of(free_port(), number))
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert line.startswith("error: not all processes came within 3 s; start each with --distribut")
    assert "127.0.0.1:" in line
    assert not output and not (tmp_path / "run").exists()


def test_a_folder_that_another_run_holds_is_refused_to_all(tmp_path):
    port = free_port()
    with lock.hold(tmp_path / "run"):
        pair = [start(tmp_path / "run", "--distributed=120", **two_of(port, one)) for one in (0, 1)]
        first, second = (process.communicate(timeout=120)[1] for process in pair)
    assert [process.returncode for process in pair] == [1, 1]
    assert f"error: {tmp_path / 'run'}: another run writes there (process {os.getpid()} on" in first
    assert "error: the first process was refused; it says why" in second
    assert not (tmp_path / "run").exists()


def test_nothing_says_who_the_others_are(tmp_path):
    process = start(tmp_path / "run", "--distributed")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert "set JAX_COORDINATOR_ADDRESS=HOST:PORT, JAX_NUM_PROCESSES and JAX_PROCESS_ID" in line


def test_a_number_of_processes_that_is_none(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(InputError, match="JAX_NUM_PROCESSES is 'two'; give a whole number"):
        distributed.join(1, lambda: None)
