"""DICOM: a folder of mixed files -> the short-axis stack in it, as a `Scan`.

Intensities are the file's rescaled values (any range); its window comes along as a field. "File
order" of a DICOM stack is by position along row x column. Nothing of a header that names a person
is kept: the id is a keyed hash of study and series UID.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from acsnet_jax.io.dicom.geometry import common_spacing, drift, stack_affine
from acsnet_jax.io.dicom.headers import Frame, text
from acsnet_jax.io.dicom.pixels import intensities
from acsnet_jax.io.dicom.series import (
    FrameStack,
    choose_phase,
    find_stack,
    guess_modality,
    phase_spread,
)
from acsnet_jax.io.pseudonym import obtain_key, pseudonym
from acsnet_jax.io.stack import SliceOrder, build_scan, check_finite
from acsnet_jax.types import DicomPlane, Modality, Provenance, Scan


def read_dicom(
    path: str | pathlib.Path,
    *,
    series: int | str | None = None,
    modality: Modality | None = None,
    slice_order: SliceOrder = "auto",
    trigger_ms: int | float | None = None,
    key: str | pathlib.Path | None = None,
) -> Scan:
    """Reads the short-axis stack of a folder of DICOM files (searched with its subfolders).

    Other objects, localizers, single long-axis slices and files that are not DICOM are left out.
    Of a cine's phases the end-diastolic one is taken.

    Args:
        path: a folder, or one (multi-frame) file.
        series: SeriesNumber or SeriesInstanceUID, where a folder holds several short-axis stacks;
            "7:2" for the second one of number 7, by UID.
        modality: "lge" or "cine"; None to guess from phases, SeriesDescription and InversionTime.
        slice_order: order along row x column; "auto" to use the patient's orientation.
        trigger_ms: read the phase nearest to this trigger time; None for end-diastole.
        key: file of the key of the scan's id, made where there is none. Without one the id is a
            plain digest, which whoever knows the UIDs can repeat.

    Raises:
        InputError: no or several short-axis stacks; a missing or duplicated slice; a file that is
            truncated, or lacks its position, orientation, spacing or size, or holds an attribute
            that cannot be read; sizes, patients or what intensities mean that differ; a bad key.

    References:
        Paper, Data Source and Processing (window and rescale tags; windows are applied where the
        networks' inputs are made, see `acsnet_jax.preprocess.stages`).
    """
    secret = None if key is None else obtain_key(key)
    stack = find_stack(path, series=series)
    return load_stack(
        stack,
        choose_phase(stack, trigger_ms=trigger_ms),
        where=str(path),
        modality=modality,
        slice_order=slice_order,
        id=_pseudonym(stack, secret),
    )


def load_stack(
    stack: FrameStack,
    frames: Sequence[Frame],
    *,
    where: str,
    id: str,
    modality: Modality | None = None,
    slice_order: SliceOrder = "auto",
    labels: UInt8[np.ndarray, "slices height width"] | None = None,
) -> Scan:
    """Decodes the chosen ``frames``, one a position, into a `Scan`; other arguments as above.

    Args:
        stack: the stack that ``frames`` belong to.
        frames: one frame a position, in the stack's order.
        where: folder, for messages.
        id: the scan's id.
        modality: as of `read_dicom`.
        slice_order: as of `read_dicom`.
        labels: `Label` values in the stack's order.
    """
    spacing_mm = common_spacing(frames)
    found = intensities(frames)
    check_finite(found.image, where)
    problems = stack.problems + found.problems
    affine = stack_affine(frames, stack.positions_mm, spacing_mm)
    problems += drift(frames, affine, spacing_mm)
    if modality is None:
        modality, basis = guess_modality(stack, frames)
        if basis == "default":
            problems.append("modality unknown, taken as lge: set modality")
    else:
        basis = "as given"
    if stack.phases > 1:
        problems += phase_spread(frames)
    number = text(frames[0], "SeriesNumber")
    scan = build_scan(
        id=id,
        image=found.image,
        spacing_mm=spacing_mm,
        positions_mm=stack.positions_mm,
        affine=affine,
        file_affine=affine.copy(),
        oriented=True,
        modality=modality,
        labels=labels,
        has_enhancement=False,
        problems=problems,
        window=found.window,
        provenance=Provenance(
            format="dicom",
            modality_basis=basis,
            series_number=int(number) if number.isdecimal() else None,
            phases=stack.phases,
            trigger_ms=tuple(frame.trigger for frame in frames),
            rescale=found.rescale,
            inverted=found.inverted,
        ),
        slice_order=slice_order,
    )
    ordered = [frames[k] for k in scan.file_order]
    return scan.replace(planes=tuple(DicomPlane(f.path, f.index) for f in ordered))


def _pseudonym(stack: FrameStack, key: bytes | None) -> str:
    return pseudonym([text(stack.frames[0][0], "StudyInstanceUID"), *stack.series], key)
