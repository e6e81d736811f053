"""What is compiled: once for all bundles of an architecture, all spacings and all stacks."""

import json
import os
import pathlib
import subprocess
import sys

import compilation
import pytest


@pytest.fixture(scope="module")
def counts():
    return compilation.compilations()


def test_twenty_scans_and_two_bundles_share_their_programs(counts):
    assert counts["first scan"] > 0
    assert counts["nineteen other scans"] == 0
    assert counts["another bundle"] == 0


def test_a_second_process_compiles_nothing(tmp_path):
    """Every program of the first scan is found in the cache that the first process left."""
    found = []
    for _ in range(2):
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
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
    first, second = found
    assert first["missed"] > 0
    assert second["missed"] == 0 and second["hit"] > 0
