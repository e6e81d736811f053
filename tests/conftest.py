"""Strict by default: two fake devices, strict promotion, checked shapes; warnings are errors."""

import os
import pathlib
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
).strip()
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest
from jaxtyping import install_import_hook

# Several tests compile the same programs anew; one session compiles each once.
_CACHE = tempfile.TemporaryDirectory(prefix="acsnet-tests-")
jax.config.update("jax_compilation_cache_dir", _CACHE.name)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

_HOOK = install_import_hook("acsnet_jax", "beartype.beartype")


@pytest.fixture(scope="module")
def standard_promotion():
    """JAX's own promotion rules: optax and Flax mix dtypes in places."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="session")
def data_root() -> pathlib.Path:
    """The folder of real scans that ACSNET_DATA names; skips the test where there is none."""
    root = os.environ.get("ACSNET_DATA")
    if not root or not pathlib.Path(root).is_dir():
        pytest.skip("needs real scans: set ACSNET_DATA to a folder of emidec/, acdc/, sunnybrook/")
    return pathlib.Path(root)
