"""What a trained system is, in one folder: JSON and NumPy arrays, never pickle.

``bundle.json`` holds the version, the networks' sizes, the input spec, delta's thresholds and how
the system is used; ``lv.npz``, ``myo.npz`` and ``autoencoder.npz`` the networks' variables;
``latent.npz`` mixture and population. Stages 1 and 2 may be ensembles, whose further members are
``lv_2.npz``, ``myo_2.npz`` and so on. A bundle without the two segmentation networks is stage 3
alone, which checks and corrects masks from anywhere. In compact form a bundle keeps half of the
precision, and of the population the codes only.
"""

import dataclasses
import functools
import json
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import PyTree

from acsnet_jax import __version__
from acsnet_jax.anatomy import Thresholds, is_valid
from acsnet_jax.anatomy.cleanup import CleanupWeights
from acsnet_jax.correction import CorrectionOptions, Corrector
from acsnet_jax.files import replacing_folder, tuples_for_lists, write_arrays, write_json
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

FORMAT = 3
"""Raised whenever what is written can no longer be read by an older version."""

_READABLE = (2, 3)  # 2 knew no ensembles

NETWORKS = ("lv", "myo", "autoencoder")
"""A whole cascade; stage 3 alone has the last one only."""


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
        training: what it was trained on, as JSON values; no patient's identity.
        members: further "lv" and "myo", of the same sizes, that make ensembles of both.
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
    record = {
        "format": FORMAT,
        "version": __version__,
        "members": 1 + len(members),
        "networks": {name: network.sizes for name, network in networks.items()},
        "spec": dataclasses.asdict(spec),
        "inference": dataclasses.asdict(inference),
        "correction": dataclasses.asdict(correction),
        "cleanup": dataclasses.asdict(CleanupWeights()),
        "thresholds": {name: float(x) for name, x in latent.thresholds._asdict().items()},
        "training": training,
    }
    with replacing_folder(folder) as temporary:
        write_json(record, temporary / "bundle.json")
        for number, member in enumerate((networks, *members), start=1):
            for name, network in member.items():
                flat = dict(traverse_util.flatten_dict(network.variables, sep="/"))
                path = temporary / f"{_member(name, number)}.npz"
                write_arrays(_halved(flat) if compact else flat, path)
        arrays = {**latent.mixture._asdict(), **latent.population._asdict()}
        if compact:
            arrays |= _halved({"codes": arrays["codes"]})
            del arrays["masks"]
        write_arrays(arrays, temporary / "latent.npz")


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

    Raises:
        InputError: the folder is no bundle, of another format, damaged, or stage 3 alone.
    """
    folder = pathlib.Path(folder)
    record = _read_record(folder)
    missing = [name for name in NETWORKS if name not in record["networks"]]
    if missing:
        raise InputError(
            f"{folder} is stage 3 alone, without {' and '.join(missing)}: it checks and corrects "
            "masks (experiments.correct), and segments no scans"
        )
    lv, myo = ([*_read_members(folder, record, name)] for name in NETWORKS[:2])
    return Bundle(
        localise=_averaged([Localise(*member) for member in lv]),
        delineate=_averaged([Delineate(*member) for member in myo]),
        corrector=load_corrector(folder, correction=correction),
        spec=InputSpec(**record["spec"]),
        inference=Inference(**{**record["inference"], **(inference or {})}),
        cleanup=CleanupWeights(**tuples_for_lists(record["cleanup"])),
    )


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
        InputError: the folder is no bundle, of another format, or damaged.
    """
    folder = pathlib.Path(folder)
    record = _read_record(folder)
    network = _read_network(folder, record, "autoencoder")
    arrays = _read_arrays(folder / "latent.npz")
    model = Autoencoder(**network.sizes)
    spec = InputSpec(**record["spec"])
    decode = Decode(model, network.variables)
    thresholds = Thresholds(**record["thresholds"])
    if "masks" in arrays:
        population = Population(*(jnp.asarray(arrays[name]) for name in Population._fields))
    else:
        delta = functools.partial(
            is_valid, spacing_mm=(spec.myo_spacing_mm,) * 2, thresholds=thresholds
        )
        population = decoded_population(arrays["codes"], decode, delta)
    return Corrector(
        encode=Encode(model, network.variables),
        decode=decode,
        population=population,
        mixture=Mixture(*(jnp.asarray(arrays[name]) for name in Mixture._fields)),
        thresholds=thresholds,
        size=spec.mask_size,
        spacing_mm=spec.myo_spacing_mm,
        options=CorrectionOptions(**{**record["correction"], **(correction or {})}),
    )


def provenance(folder: str | pathlib.Path) -> dict[str, Any]:
    """What a bundle says of itself: version, networks, thresholds, training."""
    return _read_record(pathlib.Path(folder))


def _read_record(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / "bundle.json"
    if not path.is_file():
        raise InputError(
            f"{folder} is no bundle (it has no bundle.json); make one with "
            "python -m experiments.fit_latent or experiments.reproduce"
        )
    try:
        record = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is damaged: {error}; restore the bundle") from error
    if record.get("format") not in _READABLE:
        raise InputError(
            f"{path} has format {record.get('format')} (acsnet_jax {record.get('version')}); this "
            f"acsnet_jax {__version__} reads formats {_READABLE[0]} to {_READABLE[-1]}: train it "
            "anew or install that version"
        )
    return record


def _member(name: str, number: int) -> str:
    """File name of a network, of the first member of an ensemble or of a further one."""
    return name if number == 1 else f"{name}_{number}"


def _read_members(
    folder: pathlib.Path, record: dict[str, Any], name: str
) -> Iterator[tuple[ResUNet, PyTree]]:
    """Architecture and variables of each member of stage 1 or 2."""
    for number in range(1, record.get("members", 1) + 1):
        network = _read_network(folder, record, name, file=_member(name, number))
        yield ResUNet(**network.sizes), network.variables


def _read_network(
    folder: pathlib.Path, record: dict[str, Any], name: str, *, file: str | None = None
) -> Network:
    path = folder / f"{file or name}.npz"
    arrays = {key: jnp.asarray(array) for key, array in _read_arrays(path).items()}
    variables = traverse_util.unflatten_dict(arrays, sep="/")
    return Network(tuples_for_lists(record["networks"][name]), variables)


def _halved(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    halved = {name: np.asarray(array, np.float16) for name, array in arrays.items()}
    for name, array in arrays.items():
        if not np.array_equal(halved[name].astype(np.float32), array):
            raise InputError(
                f"half precision does not hold {name}: round it first, or keep it whole"
            )
    return halved


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {
                name: array.astype(np.float32) if array.dtype == np.float16 else array
                for name, array in arrays.items()
            }
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is missing or damaged: {error}; restore the bundle") from error
