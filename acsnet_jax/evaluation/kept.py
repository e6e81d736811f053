"""Segmentations on disk, whole, for a study that goes on where it stopped."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from acsnet_jax.files import AGAIN, read_arrays, write_arrays
from acsnet_jax.types import Certificate, Route, Scan, Segmentation

_MASKS = ("myocardium", "blood_pool", "enhancement", "core")
_PROBABILITIES = ("scar_probability", "myocardium_probability")


def write_segmentation(segmentation: Segmentation, path: pathlib.Path) -> None:
    """Write a segmentation into one ``.npz`` file, in one step.

    Probabilities are kept in half precision; the scan is not kept, nor ``marked_no_reflow``, which
    only a rule is fitted to.
    """
    arrays: dict[str, Any] = {name: np.packbits(getattr(segmentation, name)) for name in _MASKS}
    if segmentation.no_reflow is not None:
        arrays["no_reflow"] = np.packbits(segmentation.no_reflow)
    arrays["kept"] = segmentation.kept
    for name in _PROBABILITIES:
        if (probability := getattr(segmentation, name)) is not None:
            arrays[name] = probability.astype(np.float16)
    arrays["spread"] = np.array(json.dumps(dict(segmentation.spread)))
    certificates = [one._asdict() for one in segmentation.certificates]
    arrays["certificates"] = np.array(json.dumps(certificates))
    write_arrays(arrays, path)


def read_segmentation(scan: Scan, path: pathlib.Path) -> Segmentation:
    """What `write_segmentation` wrote of a scan.

    Raises:
        InputError: it is damaged.
    """

    def parse(arrays: Mapping[str, np.ndarray]) -> Segmentation:
        shape = scan.image.shape
        masks = {
            name: np.unpackbits(arrays[name], count=int(np.prod(shape))).astype(bool).reshape(shape)
            for name in (*_MASKS, *(["no_reflow"] if "no_reflow" in arrays else []))
        }
        kept = [name for name in _PROBABILITIES if name in arrays]
        probabilities = {name: arrays[name].astype(np.float32) for name in kept}
        return Segmentation(
            scan=scan,
            **masks,
            kept=arrays["kept"],
            certificates=tuple(map(_certificate, json.loads(str(arrays["certificates"])))),
            **probabilities,
            spread=json.loads(str(arrays["spread"])) if "spread" in arrays else {},
        )

    return read_arrays(path, parse, fix=AGAIN)


def _certificate(values: dict) -> Certificate:
    failed, route = tuple(values["failed_before"]), Route(values["route"])
    return Certificate(**{**values, "failed_before": failed, "route": route})
