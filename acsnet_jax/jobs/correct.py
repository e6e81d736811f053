"""Correct the masks of any tool: the same label files, on the same grid, with valid myocardium."""

import logging
import pathlib
from collections.abc import Mapping

from tqdm import tqdm

from acsnet_jax import bundle as bundles
from acsnet_jax import prior, report
from acsnet_jax.correction import Corrector, lost_message, lost_slices
from acsnet_jax.correction.labels import FileSummary, LabelFileOptions, Order, correct_labels
from acsnet_jax.correction.results import Results, total_text
from acsnet_jax.files import sha256
from acsnet_jax.io.masks import find_masks, geometry_notes, parse_labels, read_labels
from acsnet_jax.io.stack import check_choice
from acsnet_jax.training.settings import Config
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)


def correct(config: Config, workdir: pathlib.Path) -> list[FileSummary]:
    """Correct the masks at ``config.input`` with ``config.bundle``, and write them to `workdir`.

    Without a bundle, the prior that ships with the package corrects them.

    Raises:
        InputError: no input or labels; see `correct_files`.
    """
    if not config.bundle:
        _LOG.info("no bundle given: %s", prior.SHIPPED_NAME)
    if not config.input:
        raise InputError("config.input is not set; give it with --config.input=PATH")
    labels = parse_labels(config.labels)
    files = find_masks(config.input, labels, pattern=config.pattern, axis=config.axis)
    if config.trim:
        check_choice("config.trim needs config.slice_order, which", config.slice_order, Order)
    options = LabelFileOptions(
        labels=labels,
        scar_labels=parse_labels(config.scar_labels),
        axis=config.axis,
        trim=config.trim,
        slice_order=config.slice_order or LabelFileOptions.slice_order,
        max_change=max_change_of(config),
    )
    corrector = bundles.load_corrector(
        config.bundle or prior.SHIPPED, correction=config.correction.to_dict()
    )
    results = Results.of(workdir, options, corrector)
    results.check_apart(pathlib.Path(config.input), files)
    return correct_files(files, corrector, options, results)


def max_change_of(config: Config) -> float:
    """For the volume checks: what is given, or what was fitted to the experts of the bundle.

    Raises:
        InputError: the bundle is none.
    """
    if config.max_change is not None:
        return config.max_change
    if not config.trim:
        return LabelFileOptions.max_change
    told = bundles.provenance(config.bundle or prior.SHIPPED)["inference"]
    return told.get("max_change", LabelFileOptions.max_change)


def correct_files(
    files: Mapping[str, pathlib.Path],
    corrector: Corrector,
    options: LabelFileOptions,
    results: Results,
) -> list[FileSummary]:
    """Write ``NAME.nii.gz`` and ``NAME.json`` of each file, and ``corrections.csv`` of all these.

    A file that was corrected before, with the same settings, is passed over unless it has changed.
    A bad file does not stop the others.

    Args:
        files: label files by name.
        corrector: stage 3.
        options: how they are read and written.
        results: where to write.

    Returns:
        One entry a file that was given, those that earlier runs corrected included.

    Raises:
        InputError: at the end, if a file could not be corrected.
    """
    summaries: list[FileSummary] = []
    failed = []
    for name, path in tqdm(files.items(), desc="correct", unit="file", disable=None):
        try:
            digest = sha256(path)
            summary = results.find(name, digest=digest)
            if summary is None:
                stack = read_labels(path, axis=options.axis)
                for note in geometry_notes(stack, asked=options.axis):
                    _LOG.warning("%s: %s", name, note)
                corrected = correct_labels(stack, corrector, options, name=name)
                summary = results.write(name, corrected, stack, digest=digest)
                if lost := lost_slices(corrected.certificates):
                    _LOG.warning("%s: %s", name, lost_message(lost))
            else:
                _LOG.info("%s: %s is there already", name, results.masks(name))
        except InputError as error:
            _LOG.error("%s: %s", name, error)
            failed.append(name)
            continue
        summaries.append(summary)
    report.write_csv(report.corrections_table(summaries), results.folder / "corrections.csv")
    _LOG.info("%s; see %s", total_text(summaries), results.folder)
    if failed:
        raise InputError(
            f"{len(failed)} of {len(files)} files could not be corrected, for the reasons above: "
            + ", ".join(failed)
        )
    return summaries
