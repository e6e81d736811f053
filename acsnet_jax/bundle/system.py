"""A bundle written, and read as the callables that the cascade and its stage 3 take."""

import dataclasses
import functools
import logging
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import PyTree

from acsnet_jax import __version__
from acsnet_jax.anatomy import Thresholds, is_valid
from acsnet_jax.anatomy.cleanup import CleanupWeights
from acsnet_jax.bundle import manifest, record
from acsnet_jax.bundle.manifest import ArrayInfo
from acsnet_jax.bundle.record import FORMAT, NETWORKS, Record
from acsnet_jax.clinical import Calibration
from acsnet_jax.correction import CorrectionOptions, Corrector
from acsnet_jax.correction.check import as_leaves
from acsnet_jax.files import replacing_folder, write_arrays, write_json
from acsnet_jax.latent import Mixture
from acsnet_jax.lock import LOCK_FILE
from acsnet_jax.models import (
    Autoencoder,
    Decode,
    Delineate,
    Encode,
    Ensemble,
    Localise,
    ResUNet,
)
from acsnet_jax.pipeline import Bundle, Inference
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.prior import decoded_population
from acsnet_jax.types import InputError, Population

_SPEED = ("batch", "memory_mb", "spread")
"""Options that change no number; without a spread there are no intervals."""

_LOG = logging.getLogger(__name__)

_FLOATS = ("float16", "float32", "float64")


class Network(NamedTuple):
    """A network's constructor arguments and its variables."""

    sizes: dict[str, Any]
    variables: PyTree


class Latent(NamedTuple):
    """Stage 3's latent space."""

    thresholds: Thresholds
    mixture: Mixture
    population: Population


def save(
    folder: pathlib.Path,
    networks: dict[str, Network],
    latent: Latent,
    spec: InputSpec,
    inference: Inference,
    correction: CorrectionOptions,
    *,
    training: dict[str, Any],
    members: Sequence[Mapping[str, Network]] = (),
    calibration: Calibration | None = None,
    compact: bool = False,
) -> None:
    """Write a bundle; the folder appears complete or not at all.

    Args:
        folder: must not exist, or be empty.
        networks: "lv", "myo" and "autoencoder", or "autoencoder" alone.
        latent: thresholds, mixture and population.
        spec: sizes and scalings the networks were trained with.
        inference: how the cascade is to be used.
        correction: how masks are to be corrected.
        training: what it was trained on, as JSON values, ``seen`` the fingerprints of its scans; no
            patient's identity.
        members: further "lv" and "myo", of the same sizes, that make ensembles of both.
        calibration: of intervals, on patients whom the networks never saw.
        compact: whether variables and codes are kept in half precision, which has to hold them
            (`acsnet_jax.prior.half_precision`), and masks of the population not at all.

    Raises:
        InputError: the folder exists, compact form does not hold the bundle, or members of an
            ensemble differ in their sizes.
    """
    check_absent(folder)
    for number, member in enumerate(members, start=2):
        if any(network.sizes != networks[name].sizes for name, network in member.items()):
            raise InputError(f"member {number} of the ensemble has other sizes than the first")
    if compact and spec.myo_spacing_mm is None:
        raise InputError("compact form needs one spec.myo_spacing_mm, at which masks are checked")
    told = {
        "format": FORMAT,
        "version": __version__,
        "members": 1 + len(members),
        "networks": {name: network.sizes for name, network in networks.items()},
        "spec": dataclasses.asdict(spec),
        "inference": dataclasses.asdict(inference),
        "correction": dataclasses.asdict(correction),
        "cleanup": dataclasses.asdict(CleanupWeights()),
        "thresholds": {name: float(x) for name, x in latent.thresholds._asdict().items()},
        "calibration": None if calibration is None else calibration._asdict(),
        "training": training,
    }
    with replacing_folder(folder) as temporary:
        write_json(told, temporary / record.NAME)
        for number, member in enumerate((networks, *members), start=1):
            for name, network in member.items():
                flat = dict(traverse_util.flatten_dict(network.variables, sep="/"))
                file = f"{name}.npz" if number == 1 else f"{name}_{number}.npz"
                write_arrays(_halved(flat) if compact else flat, temporary / file)
        arrays = {**latent.mixture._asdict(), **latent.population._asdict()}
        if compact:
            arrays |= _halved({"codes": arrays["codes"]})
            del arrays["masks"]
        write_arrays(arrays, temporary / "latent.npz")
        manifest.write(temporary)


def check_absent(folder: pathlib.Path) -> None:
    """Refuse to write where something is; a folder that is empty, or held by this run, is nothing.

    Raises:
        InputError: the folder holds something, or is a file.
    """
    if folder.exists() and not (
        folder.is_dir() and {path.name for path in folder.iterdir()} <= {LOCK_FILE}
    ):
        raise InputError(f"{folder} exists already; remove it or choose another --workdir")


def load(
    folder: str | pathlib.Path,
    *,
    inference: dict[str, Any] | None = None,
    correction: dict[str, Any] | None = None,
) -> Bundle:
    """Read a bundle and build its callables.

    Args:
        folder: written by `save`.
        inference: options of `Inference` to replace.
        correction: options of `CorrectionOptions` to replace.

    Returns:
        The system. Its calibration of intervals is left out, and the log says so, where an option
        is another than the one that it was made with, but for those that change speed alone.

    Raises:
        InputError: the folder is no bundle, of another format, damaged, or stage 3 alone; an option
            is out of range.
    """
    read = record.read(pathlib.Path(folder))
    missing = [name for name in NETWORKS if name not in read.networks]
    if missing:
        raise InputError(
            f"{folder} is stage 3 alone, without {' and '.join(missing)}: it checks and corrects "
            "masks (experiments.correct), and segments no scans"
        )
    lv, myo = ([*_read_members(read, name)] for name in NETWORKS[:2])
    used = dataclasses.replace(read.inference, **(inference or {}))
    corrector = _corrector(read, correction or {})
    return Bundle(
        localise=_averaged([Localise(*member) for member in lv]),
        delineate=_averaged([Delineate(*member) for member in myo]),
        corrector=corrector,
        spec=read.spec,
        inference=used,
        cleanup=read.cleanup,
        calibration=_calibration(read, used, corrector.options),
    )


def _calibration(
    read: Record, inference: Inference, correction: CorrectionOptions
) -> Calibration | None:
    """That of a bundle, if it is of the options that are used."""
    kept = {**dataclasses.asdict(read.inference), **dataclasses.asdict(read.correction)}
    used = {**dataclasses.asdict(inference), **dataclasses.asdict(correction)}
    others = [name for name in kept if name not in _SPEED and kept[name] != used[name]]
    if read.calibration is None or not others:
        return read.calibration
    _LOG.warning(
        "intervals were calibrated with another %s: they are those of the spread alone, and too "
        "narrow",
        ", ".join(others),
    )
    return None


def _averaged(members: Sequence[Localise] | Sequence[Delineate]) -> Callable:
    """One network as it is, several as their ensemble."""
    return members[0] if len(members) == 1 else Ensemble(tuple(members))


def load_corrector(
    folder: str | pathlib.Path, *, correction: dict[str, Any] | None = None
) -> Corrector:
    """Read stage 3 of a bundle.

    Args:
        folder: written by `save`, with or without the segmentation networks;
            `acsnet_jax.prior.SHIPPED` for the one that ships with the package.
        correction: options of `CorrectionOptions` to replace.

    Raises:
        InputError: the folder is no bundle, of another format, or damaged; an option is out of
            range.
    """
    return _corrector(record.read(pathlib.Path(folder)), correction or {})


def provenance(folder: str | pathlib.Path) -> dict[str, Any]:
    """What a bundle says of itself: version, networks, thresholds, training.

    Raises:
        InputError: the folder is no bundle, of another format, or damaged.
    """
    return record.read(pathlib.Path(folder)).told


def seal(folder: str | pathlib.Path) -> None:
    """Give a bundle of an older format its manifest, and with it the newest format.

    It is read whole before. Its arrays stay as they are, to the byte.

    Raises:
        InputError: the folder is no bundle, damaged, or has a manifest.
    """
    folder = pathlib.Path(folder)
    read = record.read(folder)
    if read.manifest is not None:
        raise InputError(f"{folder} has a {manifest.NAME} already; nothing is left to do")
    (load if len(read.networks) == len(NETWORKS) else load_corrector)(folder)
    with replacing_folder(folder) as temporary:
        write_json({**read.told, "format": FORMAT}, temporary / record.NAME)
        for path in (read.latent, *(path for name in read.networks for path in read.files(name))):
            shutil.copyfile(path, temporary / path.name)
        manifest.write(temporary)


def _corrector(read: Record, correction: Mapping[str, Any]) -> Corrector:
    """Stage 3 of a bundle."""
    model = read.networks["autoencoder"]
    assert isinstance(model, Autoencoder)
    (path,) = read.files("autoencoder")
    variables = _read_variables(read, path, _variable_shapes(model, read.spec))
    arrays = _read_checked(read, read.latent, functools.partial(_check_latent, read))
    decode = Decode(model, variables)
    spec = read.spec
    if "masks" in arrays:
        population = Population(*(jnp.asarray(arrays[name]) for name in Population._fields))
    else:
        spacing = as_leaves((spec.myo_spacing_mm,) * 2)
        delta = functools.partial(
            is_valid, spacing_mm=spacing, thresholds=as_leaves(read.thresholds)
        )
        try:
            population = decoded_population(arrays["codes"], decode, delta)
        except InputError as error:
            raise InputError(f"{read.latent}: {error}") from error
    options = dataclasses.replace(read.correction, **correction)
    if options.neighbours > len(population.codes):
        raise InputError(
            f"correction.neighbours is {options.neighbours}, and the population of {read.folder} "
            f"has {len(population.codes)} codes: give at most as many"
        )
    return Corrector(
        encode=Encode(model, variables),
        decode=decode,
        population=population,
        mixture=Mixture(*(jnp.asarray(arrays[name]) for name in Mixture._fields)),
        thresholds=read.thresholds,
        size=spec.mask_size,
        spacing_mm=spec.myo_spacing_mm,
        options=options,
    )


def _read_members(read: Record, name: str) -> Iterator[tuple[ResUNet, PyTree]]:
    """Architecture and variables of each member of stage 1 or 2."""
    model = read.networks[name]
    assert isinstance(model, ResUNet)
    wanted = _variable_shapes(model, read.spec)
    for path in read.files(name):
        yield model, _read_variables(read, path, wanted)


def _read_variables(
    read: Record, path: pathlib.Path, wanted: Mapping[str, tuple[int, ...]]
) -> PyTree:
    """A network's variables, of the names and shapes that its architecture has."""

    def check(infos: Mapping[str, ArrayInfo]) -> str | None:
        for name in wanted.keys() | infos.keys():
            info = infos.get(name)
            if info is None or info.shape != wanted.get(name) or info.dtype not in _FLOATS:
                return name
        return None

    arrays = {key: jnp.asarray(array) for key, array in _read_checked(read, path, check).items()}
    return traverse_util.unflatten_dict(arrays, sep="/")


def _variable_shapes(model: ResUNet | Autoencoder, spec: InputSpec) -> dict[str, tuple[int, ...]]:
    """The variables that an architecture has, by name; none is made."""
    unet = isinstance(model, ResUNet)
    side, channels = (model.step, 1 + 2 * spec.context) if unet else (model.size, 1)
    image = jnp.zeros((1, side, side, channels))
    made = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    flat: dict[str, Any] = {**traverse_util.flatten_dict(made, sep="/")}
    return {name: leaf.shape for name, leaf in flat.items()}


def _check_latent(read: Record, infos: Mapping[str, ArrayInfo]) -> str | None:
    """The name of an array of the latent space that does not fit; None if all do."""
    model = read.networks["autoencoder"]
    assert isinstance(model, Autoencoder)
    size, latent = model.size, model.latent
    components, population = (infos[x].shape[:1] if x in infos else () for x in ("means", "codes"))
    wanted: dict[str, tuple[tuple[int, ...], Sequence[str]]] = {
        "weights": (components, _FLOATS),
        "means": ((*components, latent), _FLOATS),
        "covariances": ((*components, latent, latent), _FLOATS),
        "cholesky": ((*components, latent, latent), _FLOATS),
        "codes": ((*population, latent), _FLOATS),
        "masks": ((*population, size, -(-size // 8)), ("uint8",)),
    }
    if "masks" not in infos and read.spec.myo_spacing_mm is not None:  # compact form
        del wanted["masks"]
    for name in wanted.keys() | infos.keys():
        info, (shape, dtypes) = infos.get(name), wanted.get(name, ((), ()))
        if info is None or info.shape != shape or info.dtype not in dtypes or 0 in shape:
            return name
    return None


def _read_checked(
    read: Record, path: pathlib.Path, check: Callable[[Mapping[str, ArrayInfo]], str | None]
) -> dict[str, np.ndarray]:
    """The arrays of a file, whose headers say that they are what they should be.

    Args:
        read: the bundle's record.
        path: of the file.
        check: headers to the name of one that does not fit; None if all do.

    Raises:
        InputError: the file is damaged, changed, or does not fit its manifest or the networks.
    """
    content = manifest.read_file(path, read.manifest)
    infos = manifest.array_infos(content, path)
    wrong = check(infos)
    if read.manifest is not None and infos != read.manifest[path.name].arrays:
        raise InputError(
            f"{path} holds other arrays than {manifest.NAME} lists: restore the bundle"
        )
    if wrong is not None:
        raise InputError(
            f"{path}: {wrong[:80]!r} is missing, unknown, or of a shape or dtype that does not fit "
            f"{record.NAME}: restore the bundle"
        )
    arrays = manifest.read_arrays(content, path)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{path}: {name[:80]!r} holds NaN or infinity: restore the bundle")
    return arrays


def _halved(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    halved = {name: np.asarray(array, np.float16) for name, array in arrays.items()}
    for name, array in arrays.items():
        if not np.array_equal(halved[name].astype(np.float32), array):
            raise InputError(
                f"half precision does not hold {name}: round it first, or keep it whole"
            )
    return halved
