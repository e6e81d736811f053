"""Check the masks of any tool against the anatomical criteria: tables and a picture."""

import logging
import pathlib
from collections.abc import Sequence

from tqdm import tqdm

from acsnet_jax import anatomy, prior, report
from acsnet_jax import bundle as bundles
from acsnet_jax.evaluation.label_files import Checked, check_labels, fit_to_files
from acsnet_jax.io.masks import find_masks, geometry_notes, mask_of, parse_labels, read_labels
from acsnet_jax.training.settings import Config
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)


def check(config: Config, workdir: pathlib.Path) -> list[Checked]:
    """Check the masks at ``config.input``; print one table, write it, its slices and a picture.

    A bad file does not stop the others.

    Returns:
        One entry a file.

    Raises:
        InputError: no input, labels or thresholds, or at the end, if a file could not be read.
    """
    if not config.input:
        raise InputError("config.input is not set; give it with --config.input=PATH")
    labels = parse_labels(config.labels)
    files = find_masks(config.input, labels, pattern=config.pattern, axis=config.axis)
    thresholds = thresholds_of(config, labels)
    checked: list[Checked] = []
    kept: list[report.Violation] = []
    failed = []
    for name, path in tqdm(files.items(), desc="check", unit="file", disable=None):
        try:
            stack = read_labels(path, axis=config.axis)
            for note in geometry_notes(stack, asked=config.axis):
                _LOG.warning("%s: %s", name, note)
            found = check_labels(stack, labels, thresholds, name=name)
        except InputError as error:
            _LOG.error("%s: %s", name, error)
            failed.append(name)
            continue
        checked.append(found)
        report.collect_violations(kept, found, mask_of(stack.values, labels), stack)
    if checked:
        print(report.validity_text(checked, thresholds), end="")
        report.write_validity(checked, kept, thresholds, workdir)
        _LOG.info("%s has every slice%s", workdir, "; violations.png some" if kept else "")
    if failed:
        raise InputError(
            f"{len(failed)} of {len(files)} files could not be checked, for the reasons above: "
            + ", ".join(failed)
        )
    return checked


def thresholds_of(config: Config, labels: Sequence[int]) -> anatomy.Thresholds:
    """Those of a bundle, fitted to expert masks, or as given; logs which.

    Raises:
        InputError: both a bundle and expert masks are given, or one of them is bad.
    """
    given = anatomy.Thresholds(**config.thresholds.to_dict())
    if config.bundle and config.experts:
        raise InputError("config.bundle and config.experts are both set; give one of them")
    if config.bundle:
        _LOG.info("thresholds: those of %s", config.bundle)
        return anatomy.Thresholds(**bundles.provenance(config.bundle)["thresholds"])
    if not config.experts:
        shipped = anatomy.Thresholds(**bundles.provenance(prior.SHIPPED)["thresholds"])
        ours = f"no bundle given: {prior.SHIPPED_NAME}"
        _LOG.info("thresholds: %s", ours if given == shipped else "config.thresholds")
        return given
    files = find_masks(config.experts, labels, pattern=config.pattern, axis=config.axis)
    checked = [
        check_labels(read_labels(path, axis=config.axis), labels, given, name=name)
        for name, path in tqdm(files.items(), desc="fit", unit="file", disable=None)
    ]
    thresholds, count = fit_to_files(
        checked, coverage=config.coverage, gap_max_deg=config.thresholds.gap_max_deg
    )
    _LOG.info("thresholds: fitted to %d slices of %s", count, config.experts)
    return thresholds
