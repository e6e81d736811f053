"""Whether a folder holds a run of the same config and cohort: what may change, and what may not."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from acsnet_jax.config import Config
from acsnet_jax.files import RESTORE, read_record, write_json
from acsnet_jax.training.datasets import Dataset
from acsnet_jax.training.distributed import is_first
from acsnet_jax.types import InputError

FREE = {"checkpoint_every", "memory_gb", "picture_every", "pseudonym_key", "workdir"}
"""Keys, whatever their section, that say how, and change nothing of what comes out; ``split.json``
tells another key of pseudonyms.
"""

_LATER = {"pairs": "all"}
"""Keys outside of any section that came later, with what was done before there was a choice."""

_SAMPLES = "samples.json"


def differences(old: dict[str, Any], config: Config, *, prefix: str = "") -> list[str]:
    """Dotted keys whose values differ between an earlier run and a config.

    A field that the earlier run did not know yet counts as its default, which does what was done
    before there was a choice.

    Args:
        old: the run's ``config.json``.
        config: to go on with.
        prefix: of the keys.
    """
    defaults = _defaults(config)
    found = []
    for key in sorted(old.keys() | set(config)):
        before = old[key] if key in old else _plain(defaults.get(key, _LATER.get(key)))
        after = config.get(key)
        if isinstance(after, ml_collections.ConfigDict) and isinstance(before, dict | None):
            found += differences(before or {}, after, prefix=f"{prefix}{key}.")
        elif key not in FREE and before != _plain(after):
            found.append(prefix + key)
    return found


def check_samples(dataset: Dataset, workdir: pathlib.Path, seen: Sequence[str]) -> None:
    """Hold the samples against those that a run began with; write down which these are.

    A run of before there was ``samples.json`` goes on with what there is.

    Args:
        dataset: the samples.
        workdir: of the run.
        seen: fingerprints of the scans that they were made of, for `seen_by`.

    Raises:
        InputError: images, labels or who is among them changed since, or what prepares them.
    """
    path = workdir / _SAMPLES
    now = {"samples": dataset.size, "sha256": dataset.digest}
    if not path.exists():
        if is_first():
            write_json({**now, "seen": list(seen)}, path)
        return
    then = read_record(path, lambda old: {name: old[name] for name in now}, fix=RESTORE)
    if then != now:
        raise InputError(
            f"{workdir}: the run began with other training samples ({then['samples']} then, "
            f"{now['samples']} now): an image, a label or a scan of the cohort changed since, or a "
            "newer library prepares them otherwise; restore it, or use another --workdir"
        )


def check_inputs(inputs: Mapping[str, str], path: pathlib.Path) -> None:
    """Hold what a study works on against what it began with; write down what that is.

    A study of before there was this record goes on with what there is.

    Args:
        inputs: a digest of each, by its name.
        path: of the record.

    Raises:
        InputError: something changed, came or went since; names it.
    """
    if not path.exists():
        write_json(dict(inputs), path)
        return
    then = read_record(path, dict, fix=RESTORE)
    changed = [name for name in sorted({*then, *inputs}) if then.get(name) != inputs.get(name)]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise InputError(
            f"{path.parent} began with other data: {changed[0]}{more} changed since; restore what "
            "was, or use another --workdir"
        )


def seen_by(workdir: pathlib.Path) -> list[str]:
    """Fingerprints of the scans that a run was trained on; none if it is older than its record.

    Raises:
        InputError: the record is damaged.
    """
    path = workdir / _SAMPLES
    if not path.exists():
        return []
    return read_record(path, lambda told: list(map(str, told.get("seen", []))), fix=RESTORE)


def _defaults(node: ml_collections.ConfigDict) -> dict[str, Any]:
    """Of the dataclass that a section was made of; none elsewhere."""
    cls = node.__dict__.get("_cls")
    if cls is None or not dataclasses.is_dataclass(cls):
        return {}
    return {
        field.name: field.default
        for field in dataclasses.fields(cls)
        if field.default is not dataclasses.MISSING
    }


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    plain = value.to_dict() if isinstance(value, ml_collections.ConfigDict) else value
    return json.loads(json.dumps(plain))
