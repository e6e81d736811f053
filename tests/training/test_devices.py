"""The same training on any number of devices."""

import json
import os
import subprocess
import sys

import device_runs
import jax
import numpy as np
import pytest
import tiny

from acsnet_jax.training import loop
from acsnet_jax.training.sharding import data_mesh
from acsnet_jax.types import InputError

TOLERANCE = 1e-5
"""Of losses after fifteen steps, relative: sums over a batch are taken in another order."""


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    """Losses by epoch of `device_runs`, which need more devices than there are here."""
    process = subprocess.run(
        [sys.executable, device_runs.__file__, tmp_path_factory.mktemp("devices")],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("device_count=2", "device_count=8"),
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("xla")),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("run", ["2", "8", "8, 1, 8"])
def test_the_loss_does_not_depend_on_the_number_of_devices(curves, run):
    """Nor on a change of it: a checkpoint of eight devices restores on one, and back."""
    alone = curves["1"]
    assert len(alone) == device_runs.EPOCHS
    assert alone[-1] < 0.95 * alone[0]
    np.testing.assert_allclose(curves[run], alone, rtol=TOLERANCE)


def test_a_mesh_has_all_devices_along_one_axis():
    mesh = data_mesh(4)
    assert list(mesh.devices) == jax.devices()
    assert mesh.axis_names == ("data",)
    assert data_mesh(3, devices=jax.devices()[:1]).devices.size == 1


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [(2, 5, "4 or 6"), (8, 20, "16 or 24"), (8, 4, "8"), (3, 16, "15 or 18")],
)
def test_a_batch_that_the_devices_do_not_divide_is_refused(count, batch_size, sizes):
    message = (
        f"a batch of {batch_size} cannot be divided among {count} devices; set "
        f"optimisation.batch_size to {sizes}, or"
    )
    with pytest.raises(InputError, match=message):
        data_mesh(batch_size, devices=(jax.devices() * count)[:count])


def test_it_is_refused_before_anything_is_written(tmp_path):
    config = tiny.make_config(**{"optimisation.batch_size": 3})
    with pytest.raises(InputError, match=r"set optimisation.batch_size to 2 or 4"):
        loop.train_and_evaluate(config, tmp_path / "run", cohort=tiny.make_cohort())
    assert not (tmp_path / "run").exists()
