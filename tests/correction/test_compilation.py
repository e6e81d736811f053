"""What is compiled: once for all bundles of an architecture, all spacings and all stacks."""

import json
import os
import pathlib
import subprocess
import sys

import compilation
import pytest


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What one process counts, and another that finds the cache of the first."""
    found = []
    cache = tmp_path_factory.mktemp("cache")
    for _ in range(2):
        environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        run = subprocess.run(
            [sys.executable, pathlib.Path(compilation.__file__).name],
            cwd=pathlib.Path(compilation.__file__).parent,
            env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(run.stdout.splitlines()[-1]))
    return found


@pytest.mark.slow
def test_twenty_scans_and_two_bundles_share_their_programs(processes):
    counts, _ = processes
    assert counts["first scan"] > 0
    assert counts["nineteen other scans"] == 0
    assert counts["another bundle"] == 0


@pytest.mark.slow
def test_a_second_process_compiles_nothing(processes):
    """Every program of the first is found in the cache that it left."""
    first, second = processes
    assert first["missed"] > 0
    assert second["missed"] == 0 and second["hit"] > 0
