"""Check an installation: packages, devices, compiler, decoders, folders, a bundle, one tiny run."""

import contextlib
import logging
import os
import pathlib
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from acsnet_jax import bundle as bundles
from acsnet_jax import clinical, prior
from acsnet_jax.config import Config
from acsnet_jax.correction import Corrector, blood_pools, certify, correct_native
from acsnet_jax.files import write_json
from acsnet_jax.installation import Finding, check_packages, check_python
from acsnet_jax.io import read_scans
from acsnet_jax.io.dicom.parse import PYDICOM_ERRORS
from acsnet_jax.pipeline import Bundle, segment_or_nothing
from acsnet_jax.preprocess.grid import make_grid
from acsnet_jax.synthesis.phantom import make_scan, write_dicom
from acsnet_jax.types import InputError, Label, MaskStack, Scan, Segmentation

_LOG = logging.getLogger(__name__)

_ROWS = 32_769 + 64  # more than those from which jaxlib 0.10.2 goes wrong
_LITTLE, _MUCH = 200 * 2**20, 5 * 2**30  # bytes of a disk that is full, and of one that is not
_SIZE = 96  # pixels of the phantom

# One of pydicom's own pictures for each family of transfer syntaxes, and the one that it must equal
# where its compression loses nothing.
_PICTURES = {
    "implicit": ("MR_small_implicit.dcm", "MR_small.dcm"),
    "deflated": ("image_dfl.dcm", None),
    "big endian": ("MR_small_bigendian.dcm", "MR_small.dcm"),
    "RLE": ("MR_small_RLE.dcm", "MR_small.dcm"),
    "JPEG": ("SC_rgb_small_odd_jpeg.dcm", None),
    "JPEG lossless": ("SC_rgb_jpeg_gdcm.dcm", None),
    "JPEG-LS": ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
    "JPEG 2000": ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
}
_HTJ2K = UID("1.2.840.10008.1.2.4.201")  # pydicom has no picture of it


def doctor(config: Config, workdir: pathlib.Path) -> list[Finding]:
    """Check the installation, a line a check, and write ``doctor.json`` to `workdir`.

    Raises:
        InputError: at the end, if a check failed.
    """
    start = time.perf_counter()
    findings: list[Finding] = []
    for finding in _findings(config, workdir):
        print(finding.line, flush=True)
        findings.append(finding)
    failed = sum(one.verdict == "FAILED" for one in findings)
    seconds = time.perf_counter() - start
    if not any(one.check == "workdir" and one.verdict == "FAILED" for one in findings):
        report = {"seconds": seconds, "checks": [one._asdict() for one in findings]}
        write_json(report, workdir / "doctor.json")
    if failed:
        raise InputError(f"{failed} of {len(findings)} checks failed; each says what to do")
    _LOG.info("%d checks in %.0f s; nothing failed", len(findings), seconds)
    return findings


def _findings(config: Config, workdir: pathlib.Path) -> Iterator[Finding]:
    """Each check's word, as soon as there is one."""
    yield check_python()
    yield from check_packages()
    yield _guarded("devices", check_devices, "set JAX_PLATFORMS=cpu, or install jax anew")
    yield _guarded("compiler", check_compiler, "install jax and jaxlib anew")
    yield from check_decoders()
    yield check_cache()
    yield check_folder("workdir", workdir, "give another with --workdir=DIR")
    folder = pathlib.Path(config.bundle or prior.SHIPPED)
    loaded: list[Bundle | Corrector] = []
    yield _guarded("bundle", lambda: check_bundle(folder, loaded), "restore the bundle")
    if loaded:
        yield _guarded("run", lambda: check_run(loaded[0]), "install acsnet_jax anew")


def _guarded(check: str, run: Callable[[], Finding], fix: str) -> Finding:
    """A check whose error is its finding."""
    try:
        return run()
    except InputError as error:  # says what to do
        return Finding(check, "FAILED", str(error))
    except (ImportError, OSError, RuntimeError) as error:
        return Finding(check, "FAILED", f"{type(error).__name__}: {error}: {fix}")


def check_devices() -> Finding:
    """What jax computes on."""
    devices = jax.devices()
    kinds = ", ".join(sorted({device.device_kind for device in devices}))
    cores = len(os.sched_getaffinity(0))
    text = f"{len(devices)} x {kinds} ({jax.default_backend()}), {cores} cores"
    if jax.default_backend() == "cpu" and pathlib.Path("/dev/nvidia0").exists():
        text += "; the NVIDIA GPU is not used: pip install -e '.[cuda]'"
        return Finding("devices", "warning", text)
    return Finding("devices", "ok", text)


def check_compiler() -> Finding:
    """The reduction that jaxlib 0.10.2 gets wrong, against float64 (see `acsnet_jax.xla`)."""
    rows = np.random.default_rng(0).normal(size=(_ROWS, 16)).astype(np.float32)
    matrix = np.random.default_rng(1).normal(size=(16, 16)).astype(np.float32)
    found = jax.jit(jax.vmap(lambda m, row: jnp.sum((m @ row) ** 2), (None, 0)))(matrix, rows)
    expected = np.sum((rows.astype(np.float64) @ matrix.T.astype(np.float64)) ** 2, axis=1)
    error = np.max(np.abs(np.asarray(found, np.float64) - expected) / expected.max())
    tolerance = 1e-5 if jax.default_backend() == "cpu" else 1e-2  # accelerators round products
    if not error < tolerance:
        text = "sums are compiled wrong: import acsnet_jax before jax starts, leave XLA_FLAGS alone"
        return Finding("compiler", "FAILED", text)
    return Finding("compiler", "ok", f"sums of {_ROWS} rows are right to {error:.0e}")


def check_decoders() -> list[Finding]:
    """A line for each family of transfer syntaxes that cannot be decoded; one for all if none."""
    with _quiet("pydicom"):  # it logs each attempt
        wrong = [one for family, names in _PICTURES.items() if (one := _decoded(family, *names))]
    if not get_decoder(_HTJ2K).is_available:
        wrong.append(Finding("decoders", "warning", f"HTJ2K: {_missing(_HTJ2K)}"))
    families = ", ".join([*_PICTURES, "HTJ2K"])
    return wrong or [Finding("decoders", "ok", families)]


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Of what a library logs, nothing."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _decoded(family: str, name: str, reference: str | None) -> Finding | None:
    """None for a picture that is decoded, and right."""
    paths = [get_testdata_file(one, download=False) for one in (name, reference or name)]
    if None in paths:  # a pydicom that comes without its pictures
        return Finding("decoders", "warning", f"{family}: pydicom has no picture to try")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels, expected = (pydicom.dcmread(str(path)).pixel_array for path in paths)
    except PYDICOM_ERRORS as error:
        text = " ".join(str(error).split())[:160]
        fix = "pip install --force-reinstall pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
        return Finding("decoders", "FAILED", f"{family} cannot be decoded ({text}): {fix}")
    if not np.array_equal(pixels, expected):
        text = f"{family} is decoded wrong: install pydicom and pylibjpeg anew"
        return Finding("decoders", "FAILED", text)
    return None


def _missing(syntax: UID) -> str:
    return "needs one of " + ", ".join(get_decoder(syntax).missing_dependencies)


def check_cache() -> Finding:
    """Where compiled programs are kept."""
    kept = jax.config.values["jax_compilation_cache_dir"]
    if not kept:
        text = "every process compiles anew: set JAX_COMPILATION_CACHE_DIR to a folder"
        return Finding("cache", "warning", text)
    return check_folder("cache", pathlib.Path(kept), "set JAX_COMPILATION_CACHE_DIR to another")


def check_folder(check: str, folder: pathlib.Path, fix: str) -> Finding:
    """Whether a folder can be written to, and has room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**20))
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(check, "FAILED", f"{folder} cannot be written to ({error.strerror}): {fix}")
    text = f"{folder}, {free / 2**30:.1f} GiB free"
    if free < _MUCH:
        return Finding(check, "FAILED" if free < _LITTLE else "warning", f"{text}: make room")
    return Finding(check, "ok", text)


def check_bundle(folder: pathlib.Path, loaded: list[Bundle | Corrector]) -> Finding:
    """Whether a bundle is whole; appends what it holds."""
    told = bundles.provenance(folder)
    whole = set(bundles.NETWORKS) <= told["networks"].keys()
    loaded.append(bundles.load(folder) if whole else bundles.load_corrector(folder))
    what = "a whole cascade" if whole else "stage 3 alone"
    text = f"{folder}: {what}, format {told['format']}, SHA-256 {bundles.digest(folder)}"
    if told["format"] < bundles.FORMAT:
        text += f"; without checksums: acsnet_jax.bundle.seal({str(folder)!r}) gives it some"
        return Finding("bundle", "warning", text)
    return Finding("bundle", "ok", text)


def check_run(system: Bundle | Corrector) -> Finding:
    """A phantom as DICOM, read, its damaged outline corrected and measured; or all of the cascade.

    Args:
        system: what to run; with a cascade, the phantom is segmented too.
    """
    phantom = make_scan(0, 0, size=_SIZE)
    with tempfile.TemporaryDirectory() as folder:
        write_dicom(phantom, pathlib.Path(folder) / "phantom")
        (scan,) = read_scans(folder)
    corrector = system if isinstance(system, Corrector) else system.corrector
    corrected = _corrected(scan, _damaged(phantom), corrector)
    volume_ml = clinical.features(corrected).lv_volume_ml
    if volume_ml is None or not 0 < volume_ml < np.inf:
        raise RuntimeError("the corrected phantom has no volume")
    text = f"a phantom corrected, LV {volume_ml:.0f} mL"
    if isinstance(system, Bundle):
        found = segment_or_nothing(scan, system)
        if found.scar_probability is None or not np.isfinite(found.scar_probability).all():
            raise RuntimeError("the networks give no numbers")
        volume_ml = clinical.features(found).lv_volume_ml or 0.0
        text += f"; and segmented, LV {volume_ml:.0f} mL"
    return Finding("run", "ok", text)


def _damaged(phantom: Scan) -> MaskStack:
    """The expert's wall, with an island in one slice and a gap in the next."""
    assert phantom.labels is not None
    masks = (phantom.labels >= Label.MYOCARDIUM) & phantom.labelled[:, None, None]
    first, second = np.flatnonzero(masks.any(axis=(1, 2)))[2:4]
    masks[first, 2:6, 2:6] = True
    rows = np.flatnonzero(masks[second].any(axis=1))
    masks[second, : rows[0] + len(rows) // 2, masks.shape[2] // 2 :] = False
    return masks


def _corrected(scan: Scan, masks: MaskStack, corrector: Corrector) -> Segmentation:
    """The scan with corrected outlines.

    Raises:
        RuntimeError: a mask that is written does not satisfy delta, which is impossible.
    """
    found = correct_native(masks, make_grid(scan, corrector.spacing_mm), corrector)
    kept = np.any(found.mask, axis=(1, 2))
    if not kept.any() or not found.valid_after[kept].all():
        raise RuntimeError("the correction wrote implausible masks, or none")
    nothing = np.zeros_like(found.mask)
    return Segmentation(
        scan=scan,
        myocardium=found.mask,
        blood_pool=blood_pools(found.mask, nothing),
        enhancement=nothing,
        core=nothing,
        kept=kept,
        certificates=certify(
            found, scan.spacing_mm, scan_id=scan.id, kept=kept, scar_moved_mm3=None
        ),
    )
