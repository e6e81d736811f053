"""ACDC: cine with expert labels, in the owner's layout -> `Scan` of the end-diastolic frame.

``ROOT/patient*/patient*_frameNN.nii.gz`` and ``*_gt.nii.gz``, ROOT also with ``training/`` and
``testing/``. The owner's values are 1 RV cavity, 2 myocardium, 3 LV cavity. The affine is a
placeholder; the owner stores the base first.

References:
    Bernard et al. 2018, doi 10.1109/TMI.2018.2837502.
"""

import dataclasses
import pathlib
import re

from acsnet_jax.files import read_text
from acsnet_jax.io.nifti import read_nifti
from acsnet_jax.io.stack import SliceOrder
from acsnet_jax.types import InputError, Label, Modality, Scan

LABEL_MAP = {
    0: int(Label.BACKGROUND),
    1: int(Label.BACKGROUND),
    2: int(Label.MYOCARDIUM),
    3: int(Label.BLOOD_POOL),
}
_PATHOLOGIES = {
    "NOR": "normal",
    "MINF": "infarct",
    "DCM": "dilated cardiomyopathy",
    "HCM": "hypertrophic cardiomyopathy",
    "RV": "abnormal right ventricle",
}
_NOMINAL_MM = (1.5, 1.5, 10.0)


def acdc_patients(root: str | pathlib.Path) -> list[pathlib.Path]:
    """Patient folders, by name.

    Raises:
        InputError: there is none.
    """
    root = pathlib.Path(root)
    found = {p.parent for p in root.glob("patient*/patient*_frame*.nii*")}
    found |= {p.parent for p in root.glob("*/patient*/patient*_frame*.nii*")}
    if not found:
        raise InputError(f"{root}: no patient*/patient*_frame*.nii.gz: give the root of ACDC")
    return sorted(found, key=lambda p: (p.name, str(p)))


def read_acdc(
    patient: str | pathlib.Path,
    *,
    modality: Modality = "cine",
    slice_order: SliceOrder = "auto",
) -> Scan:
    """Reads the end-diastolic frame of one patient folder.

    It is the one that ``Info.cfg`` calls ED; without that file the first labelled frame, and
    without labels the first frame.

    Raises:
        InputError: no frame, no such ED frame, or as `read_nifti`.
    """
    patient = pathlib.Path(patient)
    frames = {
        int(match.group(1)): path
        for path in sorted(patient.glob("*_frame*.nii*"))
        if (match := re.search(r"_frame(\d+)\.nii(\.gz)?$", path.name))
    }
    if not frames:
        raise InputError(f"{patient}: no *_frameNN.nii.gz: give a patient's folder of ACDC")
    labels = {number: path for number, path in _labels(frames).items() if path.exists()}
    info = patient / "Info.cfg"
    if info.exists():
        frame = _end_diastole(info)
        if frame not in frames:
            raise InputError(f"{info}: names ED frame {frame}, which is not in the folder")
    else:
        frame = min(labels or frames)
    scan = read_nifti(
        frames[frame],
        labels.get(frame),
        id=patient.name,
        label_map=LABEL_MAP,
        has_enhancement=False,
        modality=modality,
        slice_order=slice_order,
        usual_order="base_first",
        placeholder=True,
    )
    provenance = dataclasses.replace(
        scan.provenance,
        format="acdc",
        frame=frame,
        pathology=_pathology(info) if info.exists() else "",
    )
    scan = scan.replace(provenance=provenance)
    distance = float(abs(scan.affine[2, 2]))
    if (scan.spacing_mm[1], scan.spacing_mm[0], distance) == _NOMINAL_MM:
        note = "spacing is nominal (1.5 x 1.5 x 10 mm), quote no mm figure"
        scan = scan.replace(nominal_spacing=True, problems=(*scan.problems, note))
    return scan


def _labels(frames: dict[int, pathlib.Path]) -> dict[int, pathlib.Path]:
    return {
        number: path.with_name(path.name.replace(".nii", "_gt.nii", 1))
        for number, path in frames.items()
    }


def _end_diastole(info: pathlib.Path) -> int:
    match = re.search(
        r"^\s*ED\s*:\s*(\d+)", read_text(info, fix="correct it or remove it"), re.MULTILINE
    )
    if match is None:
        raise InputError(f"{info}: has no line 'ED: NUMBER': correct it or remove the file")
    return int(match.group(1))


def _pathology(info: pathlib.Path) -> str:
    """What ``Info.cfg`` calls the patient's group; empty where it names none that is known."""
    text = read_text(info, fix="correct it or remove it")
    match = re.search(r"^\s*Group\s*:\s*(\w+)", text, re.MULTILINE)
    return "" if match is None else _PATHOLOGIES.get(match.group(1), "")
