"""Strict by default: two fake devices, strict promotion, checked shapes; warnings are errors."""

import logging
import os
import pathlib
import tempfile
from importlib.metadata import version

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Programs are run a few times at most: they are compiled with as little care as there is, and into
# fewer kernels, in a third of the time. Each flag once, also in the workers of pytest-xdist, which
# inherit them: they are a part of the names of programs in JAX's cache.
os.environ["XLA_FLAGS"] = " ".join(
    dict.fromkeys(
        [
            "--xla_force_host_platform_device_count=2",
            "--xla_backend_optimization_level=0",
            "--xla_disable_hlo_passes=tree_reduction_rewriter",
            # A later XLA has no choice, and ends at a flag that it does not know.
            *["--xla_cpu_use_fusion_emitters=false"] * version("jaxlib").startswith("0.10."),
            *os.environ.get("XLA_FLAGS", "").split(),
        ]
    )
)
os.environ.setdefault("MPLBACKEND", "Agg")

import jax  # does not start here, so that acsnet_jax can still add to XLA_FLAGS
import numpy as np
import pytest
from jaxtyping import install_import_hook

# Several tests compile the same programs anew; one session, with the workers of pytest-xdist, which
# inherit the environment, compiles each once.
_CACHE = tempfile.TemporaryDirectory(prefix="acsnet-tests-")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # set it to keep programs between sessions
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name
    jax.config.update("jax_compilation_cache_dir", _CACHE.name)
if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

_MANY_MAPS = 20_000

_HOOK = install_import_hook("acsnet_jax", "beartype.beartype")

from acsnet_jax.types import Certificate, Label, Route, Scan, Segmentation  # noqa: E402


def pytest_collection_modifyitems(items):
    """Puts long files first: begun last, one keeps a worker while the other has none."""
    long = {"jobs", "training", "anatomy", "correction"}
    items.sort(key=lambda item: item.path.parent.name not in long)


@pytest.fixture(scope="module")
def standard_promotion():
    """JAX's own promotion rules: optax and Flax mix dtypes in places."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module", autouse=True)
def room_for_programs():
    """Lets compiled programs go before they fill the process's map of memory.

    XLA maps some fifty areas a program, Linux allows 65,530 a process, and beyond them the compiler
    crashes.
    """
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.is_file() and len(maps.read_text().splitlines()) > _MANY_MAPS:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def own_logger():
    """Gives the package's logger back as it was: an entry point takes it over for its process."""
    logger = logging.getLogger("acsnet_jax")
    before = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate, level = before
    logger.setLevel(level)


@pytest.fixture(scope="session")
def data_root() -> pathlib.Path:
    """The folder of real scans that ACSNET_DATA names; skips the test where there is none."""
    root = os.environ.get("ACSNET_DATA")
    if not root or not pathlib.Path(root).is_dir():
        pytest.skip("needs real scans: set ACSNET_DATA to a folder of emidec/, acdc/, sunnybrook/")
    return pathlib.Path(root)


def _annulus(size, centre, inner, outer):
    rows, columns = np.indices((size, size))
    radius = np.hypot(rows - centre[0], columns - centre[1])
    return (radius >= inner) & (radius < outer), radius < inner


@pytest.fixture(scope="session")
def make_segmentation():
    """A scan of four slices with a ring and a scar in each, and the same shifted as prediction."""

    def make(scan_id="one", *, shift=(0, 0), labelled=True, slices=4, scar=True):
        rng = np.random.default_rng(len(scan_id))
        wall, cavity = (np.stack([mask] * slices) for mask in _annulus(48, (24.0, 20.0), 6.0, 10.0))
        enhancement = wall & (np.arange(48) < 20)[:, None] if scar else np.zeros_like(wall)
        labels = np.zeros(wall.shape, np.uint8)
        labels[wall], labels[cavity] = Label.MYOCARDIUM, Label.BLOOD_POOL
        labels[enhancement] = Label.ENHANCEMENT
        image = rng.uniform(0, 100, wall.shape) + 100 * enhancement
        core = enhancement & (image >= 0.5 * image[enhancement].max()) if scar else enhancement
        scan = Scan(
            id=scan_id,
            image=image.astype(np.float32),
            spacing_mm=(1.5, 1.25),
            positions_mm=np.arange(slices) * 8.0,
            affine=np.eye(4),
            oriented=False,
            modality="lge",
            labels=labels if labelled else None,
            labelled=np.full(slices, labelled),
            has_enhancement=labelled,
            file_order=np.arange(slices),
            file_affine=np.eye(4),
        )
        wall, cavity, enhancement, core = (
            np.roll(mask, shift, (1, 2)) for mask in (wall, cavity, enhancement, core)
        )
        return Segmentation(scan, wall, cavity, enhancement, core, np.full(slices, True))

    return make


@pytest.fixture
def certificates():
    """Of three slices: valid as it was and beyond the base, moved, empty."""
    untouched = Certificate(
        scan_id="one",
        slice_index=0,
        route=Route.UNTOUCHED,
        empty=False,
        valid_before=True,
        valid_after=True,
        failed_before=(),
        neighbour=None,
        latent_distance=None,
        alpha=0.0,
        pixels_changed=0,
        area_changed_mm2=0.0,
        scar_moved_mm3=0.0,
        kept=False,
    )
    moved = untouched._replace(
        slice_index=1,
        route=Route.MOVED,
        valid_before=False,
        failed_before=("objects", "holes"),
        neighbour=7,
        latent_distance=2.5,
        alpha=0.25,
        pixels_changed=4,
        area_changed_mm2=9.0,
        scar_moved_mm3=123.4,
        kept=True,
    )
    empty = untouched._replace(slice_index=2, empty=True, valid_before=False, valid_after=False)
    return untouched, moved, empty
