"""Validate a cohort, print one table, write the uniform store and a picture of it."""

import logging
import pathlib

import numpy as np

from acsnet_jax import report
from acsnet_jax.io import prepare as preparation
from acsnet_jax.io import read_scan, write_scan
from acsnet_jax.io.pseudonym import key_file
from acsnet_jax.io.stack import check_choice
from acsnet_jax.synthesis.phantom import make_cohort, write_dicom
from acsnet_jax.training.cohort import CohortOptions
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.types import InputError, Modality

_LOG = logging.getLogger(__name__)
_SHOWN = 4


def prepare(config: Config, workdir: pathlib.Path) -> None:
    """Write the store of the cohort ``config.data`` to `workdir`.

    Phantoms may be written as DICOM folders instead (``config.as_dicom``), one a patient, to be
    read like any other study.

    Raises:
        InputError: no scan can be read, or some were left out (after the others are written).
    """
    data = from_config(CohortOptions, config.data)
    if config.modality:
        check_choice("config.modality", config.modality, Modality)
    if data.format == "phantom":
        scans = make_cohort(
            data.patients, data.seed, modality=config.modality or "lge", size=data.image_size
        )
        if config.as_dicom:
            for scan in scans:
                write_dicom(scan, workdir / scan.id)
            _LOG.info("%d DICOM folders are in %s", len(scans), workdir)
            return
        for scan in scans:
            write_scan(scan, workdir)
        rows = preparation.describe(scans)
    else:
        if data.root is None:
            raise InputError("config.data.root is not set; give it with --config.data.root=DIR")
        rows = preparation.prepare(
            data.root,
            data.format,
            workdir,
            modality=config.modality or None,
            slice_order=data.slice_order,
            label_map=data.values_of(data.format),
            key=key_file(data.pseudonym_key, workdir),
            progress=True,
        )
    print(preparation.format_table(rows), end="")
    good = [row.id for row in rows if not row.error]
    shown = [good[index] for index in np.linspace(0, len(good) - 1, _SHOWN).round().astype(int)]
    picture = workdir / "cohort.png"
    report.cohort([read_scan(workdir / name) for name in dict.fromkeys(shown)], picture)
    _LOG.info("%d scans are in %s; %s shows some of them", len(good), workdir, picture)
    left_out = [row.id for row in rows if row.error]
    if left_out:
        raise InputError(
            f"{len(left_out)} of {len(rows)} scans were left out, for the reasons above"
        )
