"""EMIDEC: LGE with expert labels, in the owner's layout -> `Scan`.

``ROOT/Case_*/Images/Case_*.nii.gz`` with ``Contours/`` of the same name. Values are `Label`'s own.
The affine is a placeholder (nothing is known of the patient's orientation); pixdim holds the true
spacing. The owner stores the apex first with few exceptions (1 of 75): labelled areas decide.
Images are phase-sensitive, stored with an offset: no signal is 2048, the commonest value of each.

References:
    Lalande et al. 2020, doi 10.3390/data5040089.
"""

import dataclasses
import pathlib

from acsnet_jax.io.nifti import nifti_stem, read_nifti
from acsnet_jax.io.stack import SliceOrder
from acsnet_jax.types import InputError, Modality, Scan

_SIGNAL_ZERO = 2048.0
_PATHOLOGIES = {"N": "normal", "P": "infarct"}  # the letter of Case_N006


def emidec_cases(root: str | pathlib.Path) -> list[pathlib.Path]:
    """Case folders, by name.

    Raises:
        InputError: there is none.
    """
    cases = sorted(p.parent for p in pathlib.Path(root).glob("Case_*/Images"))
    if not cases:
        raise InputError(f"{root}: no Case_*/Images folder: give the root of the EMIDEC data")
    return cases


def read_emidec(
    case: str | pathlib.Path,
    *,
    modality: Modality = "lge",
    slice_order: SliceOrder = "auto",
) -> Scan:
    """Reads one ``Case_*`` folder; without ``Contours/`` it comes unlabelled.

    Healthy cases (N) have labels that could show enhancement and show none.

    Raises:
        InputError: no image, or as `read_nifti`.
    """
    case = pathlib.Path(case)
    images = sorted((case / "Images").glob("*.nii.gz"))
    if len(images) != 1:
        raise InputError(f"{case}: expected one Images/*.nii.gz, found {len(images)}")
    label = case / "Contours" / images[0].name
    scan = read_nifti(
        images[0],
        label if label.exists() else None,
        id=nifti_stem(images[0]),
        has_enhancement=label.exists(),
        modality=modality,
        slice_order=slice_order,
        usual_order="apex_first",
        placeholder=True,
    )
    pathology = _PATHOLOGIES.get(scan.id.removeprefix("Case_")[:1], "")
    return scan.replace(
        signal_zero=_SIGNAL_ZERO,
        provenance=dataclasses.replace(scan.provenance, format="emidec", pathology=pathology),
    )
