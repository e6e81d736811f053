"""Cohorts of the benchmarks: phantoms, or whatever a reader reads."""

from typing import Any

from acsnet_jax.io import read_cohort
from acsnet_jax.synthesis.phantom import make_cohort
from acsnet_jax.types import InputError, Scan


def read(layout: str, root: str | None, *, patients: int) -> list[Scan]:
    """The LGE scans of a cohort.

    Args:
        layout: "phantom", or a reader's name as of ``config.data.format``.
        root: the cohort's folder; ignored for phantoms.
        patients: number of phantoms.

    Raises:
        InputError: no folder, or no such layout.
    """
    if layout == "phantom":
        return make_cohort(patients, 0, modality="lge", size=160)
    if root is None:
        raise InputError(f"--format={layout} needs the cohort's folder: --root=DIR")
    known: Any = layout  # a wrong one is told by the reader
    return read_cohort(root, known)
