"""``bundle.json``: read, and held against what its fields may be before anything is made of it."""

import logging
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, get_type_hints

from acsnet_jax import __version__
from acsnet_jax.anatomy import Thresholds
from acsnet_jax.anatomy.cleanup import CleanupWeights
from acsnet_jax.bundle import manifest
from acsnet_jax.bundle.manifest import Manifest
from acsnet_jax.clinical import Calibration, calibration_from
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.files import fits, from_json, read_json, tuples_for_lists
from acsnet_jax.models import Autoencoder, ResUNet
from acsnet_jax.pipeline import Inference
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT = 4
"""Raised whenever what is written can no longer be read by an older version."""

NETWORKS = ("lv", "myo", "autoencoder")
"""A whole cascade; stage 3 alone has the last one only."""

NAME = "bundle.json"
_READABLE = range(2, FORMAT + 1)  # 2 knew no ensembles, 3 no manifest
_OUTPUTS = {"lv": 1, "myo": 2}
_SIZES = {Autoencoder: ("size", "latent", "filters"), ResUNet: ("filters", "bridge", "outputs")}
_FIX = "restore the bundle"

_RANGES: dict[str, tuple[float, float]] = {
    "members": (1, 100),
    "lv_size": (4, 4096),
    "myo_size": (4, 4096),
    "mask_size": (4, 4096),
    "lv_spacing_mm": (0.01, 100),
    "myo_spacing_mm": (0.01, 100),
    "margin_mm": (0, 1000),
    "context": (0, 16),
    "filters": (1, 16384),
    "bridge": (1, 16384),
    "latent": (1, 16384),
    "dropout": (0, 0.999),
    "patch": (1, 16),
    "batch": (1, 65536),
    "erosions": (0, 100),
    "max_scar_components": (1, 10**6),
    "max_change": (0, 1e6),
    "alphas": (2, 65536),
    "neighbours": (1, 65536),
    "refine": (1, 65536),
    "memory_mb": (0, 2**20),
    "max_candidates": (1, 4096),
    "reach_mm": (1e-3, 1e6),
    "shapes": (0, 4096),
    "shape_step": (0, 100),
}
"""Smallest and largest of a number, where others ask for absurd memory or make no sense."""

_MOST_LEVELS = 12


class Record(NamedTuple):
    """What ``bundle.json`` says, in the types that the library takes.

    Attributes:
        folder: of the bundle.
        manifest: of its files; None for older formats.
        members: networks of each of stages 1 and 2.
        networks: the architecture of each.
        spec: sizes and scalings of their inputs.
        inference: how the cascade is used.
        correction: how masks are corrected.
        cleanup: weights of the choice of one LV.
        thresholds: of delta.
        calibration: of intervals; None if the bundle has none.
        told: all of it as it stands there.
    """

    folder: pathlib.Path
    manifest: Manifest | None
    members: int
    networks: dict[str, ResUNet | Autoencoder]
    spec: InputSpec
    inference: Inference
    correction: CorrectionOptions
    cleanup: CleanupWeights
    thresholds: Thresholds
    calibration: Calibration | None
    told: dict[str, Any]

    def files(self, name: str) -> list[pathlib.Path]:
        """Where the variables of a network lie, of each member of an ensemble."""
        further = [] if name == "autoencoder" else range(2, self.members + 1)
        names = [name, *(f"{name}_{number}" for number in further)]
        return [self.folder / f"{one}.npz" for one in names]

    @property
    def latent(self) -> pathlib.Path:
        """Where mixture and population lie."""
        return self.folder / "latent.npz"


def read(folder: pathlib.Path) -> Record:
    """The record of a bundle whose files are those of its manifest.

    Raises:
        InputError: the folder is no bundle, of a format that is not readable, or damaged.
    """
    path = folder / NAME
    if not path.is_file():
        raise InputError(
            f"{folder} is no bundle (it has no {NAME}); make one with "
            "python -m experiments.fit_latent or experiments.reproduce"
        )
    told = read_json(path, fix=_FIX)
    if not isinstance(told, dict):
        raise InputError(f"{path} holds no record of a bundle: {_FIX}")
    _check_format(told, path)
    files = manifest.read(folder)
    if files is not None:
        manifest.read_file(path, files)
    elif told["format"] >= FORMAT:
        raise InputError(f"{folder / manifest.NAME} is missing: {_FIX}")
    else:
        _LOG.info("%s is of format %d, without checksums of its files", folder, told["format"])
    record = _parse(told, folder, files)
    if files is not None:
        _check_names(record, files)
    return record


def _check_names(record: Record, files: Manifest) -> None:
    """The manifest lists what the record speaks of, and nothing else."""
    paths = [record.latent, *(path for name in record.networks for path in record.files(name))]
    named = {NAME, *(path.name for path in paths)}
    if missing := sorted(named - files.keys()):
        raise InputError(
            f"{record.folder / missing[0]} is missing, also in {manifest.NAME}: {_FIX}"
        )
    if extra := sorted(files.keys() - named):
        raise InputError(
            f"{record.folder / extra[0]} belongs to no network of {NAME}: remove it and {_FIX}"
        )


def _check_format(told: dict[str, Any], path: pathlib.Path) -> None:
    form = told.get("format")
    if not isinstance(form, int) or form not in _READABLE or isinstance(form, bool):
        newer = isinstance(form, int) and form > FORMAT
        fix = "newer than this version: update acsnet_jax" if newer else "train it anew"
        raise InputError(
            f"{path} has format {_short(form)} (acsnet_jax {_short(told.get('version'))}); "
            f"this acsnet_jax {__version__} reads formats {_READABLE[0]} to {FORMAT}: {fix}"
        )


def _short(value: Any) -> str:
    """The start of a value, in printable characters of one line."""
    return ascii(value).strip("'")[:20]


def _parse(told: dict[str, Any], folder: pathlib.Path, files: Manifest | None) -> Record:
    path = folder / NAME
    members = told.get("members", 1)
    if not fits(members, int):
        raise InputError(f"{path}: members is no number: {_FIX}")
    _check_ranges({"members": members}, path)
    thresholds = _section(told, "thresholds", path)
    if not thresholds.keys() <= set(Thresholds._fields) or not all(
        fits(value, float) for value in thresholds.values()
    ):
        raise InputError(f"{path}: thresholds are not finite numbers by their names: {_FIX}")
    if missing := set(Thresholds._fields[:-1]) - thresholds.keys():
        raise InputError(f"{path}: thresholds lack {sorted(missing)[0]}: {_FIX}")
    spec = _typed(InputSpec, told, "spec", path)
    return Record(
        folder=folder,
        manifest=files,
        members=members,
        networks=_networks(_section(told, "networks", path), spec, path),
        spec=spec,
        inference=_typed(Inference, told, "inference", path),
        correction=_typed(CorrectionOptions, told, "correction", path),
        cleanup=_typed(CleanupWeights, told, "cleanup", path),
        thresholds=Thresholds(**thresholds),
        calibration=_calibration(told, path),
        told=told,
    )


def _calibration(told: dict[str, Any], path: pathlib.Path) -> Calibration | None:
    """None in a bundle that has none, or that is older than intervals."""
    kept = told.get("calibration")
    if kept is None:
        return None
    try:
        return calibration_from(kept)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: calibration is none of intervals: {_FIX}") from error


def _section(values: dict[str, Any], name: str, path: pathlib.Path) -> dict[str, Any]:
    section = values.get(name)
    if not isinstance(section, dict):
        raise InputError(f"{path} has no section {name}: {_FIX}")
    return section


def _typed(cls: type[T], told: dict[str, Any], name: str, path: pathlib.Path) -> T:
    """A section as the dataclass that it was."""
    section = _section(told, name, path)
    try:
        typed = from_json(cls, section)
    except TypeError as error:
        wrong = str(error)[:80]
        raise InputError(f"{path}: {wrong} is none of its values: {_FIX}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}: {_FIX}") from error
    _check_ranges(section, path)
    return typed


def out_of_range(values: Mapping[str, Any]) -> str | None:
    """The first number of a section that no system can have, with its bounds; None without one."""
    for name, (low, high) in _RANGES.items():
        given = values.get(name)
        numbers = given if isinstance(given, list | tuple) else [given]
        if not all(one is None or low <= one <= high for one in numbers):
            return f"{name} is not within {low:g} and {high:g}"
    return None


def _check_ranges(values: Mapping[str, Any], path: pathlib.Path) -> None:
    wrong = out_of_range(values)
    if wrong:
        raise InputError(f"{path}: {wrong}: {_FIX}")


def _networks(
    sections: dict[str, Any], spec: InputSpec, path: pathlib.Path
) -> dict[str, ResUNet | Autoencoder]:
    """The architectures, as far as a bundle has them; unknown ones are refused."""
    if "autoencoder" not in sections or not sections.keys() <= set(NETWORKS):
        raise InputError(f"{path}: networks are not some of {', '.join(NETWORKS)}: {_FIX}")
    return {name: _network(sections, name, spec, path) for name in sections}


def _network(
    sections: dict[str, Any], name: str, spec: InputSpec, path: pathlib.Path
) -> ResUNet | Autoencoder:
    sizes = tuples_for_lists(_section(sections, name, path))
    cls = Autoencoder if name == "autoencoder" else ResUNet
    hints = get_type_hints(cls)
    known = {*_SIZES[cls], *(("dropout", "patch") if cls is ResUNet else ())}
    wrong = [key for key in sizes if key not in known or not fits(sizes[key], hints[key])]
    wrong += [key for key in _SIZES[cls] if key not in sizes]
    if wrong:
        raise InputError(f"{path}: networks.{name} has no valid {wrong[0][:80]}: {_FIX}")
    _check_ranges(sizes, path)
    network = cls(**sizes)
    side = {"lv": spec.lv_size, "myo": spec.myo_size, "autoencoder": spec.mask_size}[name]
    sound = 0 < len(network.filters) <= _MOST_LEVELS and not side % network.step
    if cls is Autoencoder:
        sound = sound and sizes["size"] == side
    else:
        sound = sound and sizes["outputs"] == _OUTPUTS[name] + (name == "myo" and spec.no_reflow)
    if not sound:
        raise InputError(f"{path}: networks.{name} does not fit its input of {side} pixels: {_FIX}")
    return network
