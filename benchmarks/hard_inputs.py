"""What `benchmarks.fuzz` damages and reads: one sound input of each kind, and what reading may do.

Scans are made of a phantom, so that no data are needed; their free texts hold `mutations.MARK`. A
damaged input has to end in a result that is finite and whose geometry is sound, or in an
`InputError` of one line that names a file and quotes no text of a header.
"""

import pathlib
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from acsnet_jax.io import read_cohort, read_labels, read_scans, write_scan
from acsnet_jax.synthesis.phantom import make_scan, write_dicom
from acsnet_jax.types import InputError, Scan
from benchmarks import hard_folders
from benchmarks.mutations import MARK

_LONGEST = 1500  # characters of a message
_FREE = ("SeriesDescription", "ProtocolName", "StudyDescription", "InstitutionName")
_FREE += ("ImageComments", "PatientName", "PatientID", "StationName")
_CINE = {
    "RescaleSlope": 2,
    "RescaleIntercept": -50,
    "WindowCenter": 300,
    "WindowWidth": 400,
    "VOILUTFunction": "LINEAR_EXACT",
    "NominalInterval": 900,
    "InversionTime": 280,
    "CardiacNumberOfImages": 25,
    "NumberOfFrames": 1,
}


class Outcome(NamedTuple):
    """How reading ended.

    Attributes:
        kind: "read", "refused", or what went wrong: "traceback", "unsound", "message".
        said: cause of a refusal, or the details of what went wrong.
    """

    kind: str
    said: str = ""

    @property
    def failed(self) -> bool:
        """Whether a defect was found."""
        return self.kind not in ("read", "refused")


class Kind(NamedTuple):
    """A kind of input.

    Attributes:
        write: fills an empty folder with a sound input.
        read: reads such a folder, and gives what is wrong with the result.
    """

    write: Callable[[pathlib.Path], Any]
    read: Callable[[pathlib.Path], Iterable[str]]


def outcome(kind: str, folder: pathlib.Path) -> Outcome:
    """Read a folder of one of `KINDS`."""
    with _Caught() as caught:
        wrong = ", ".join(KINDS[kind].read(folder))
        return Outcome("unsound", wrong) if wrong else Outcome("read")
    if isinstance(caught.error, InputError):
        message = str(caught.error)
        wrong = wrong_message(message, folder)
        return Outcome("message", f"{wrong}: {message}") if wrong else Outcome("refused", message)
    return Outcome("traceback", "".join(traceback.format_exception(caught.error)))


class _Caught:
    """Keeps whatever is raised inside: all of it is reported."""

    error: BaseException | None = None

    def __enter__(self) -> "_Caught":
        return self

    def __exit__(self, kind, error, trace) -> bool:
        self.error = error
        return True


def wrong_message(message: str, folder: pathlib.Path) -> str:
    """What is wrong with a refusal; "" if nothing is."""
    if "\n" in message or not message.isprintable():
        return "no single printable line"
    if MARK.lower() in message.lower():
        return "quotes a free text"
    if str(folder) not in message:
        return "names no file"
    return "too long" if len(message) > _LONGEST else ""


def unsound(scan: Scan) -> list[str]:
    """What is wrong with a scan: numbers that are not finite, a geometry that cannot be."""
    slices, height, width = scan.image.shape
    per_slice = (scan.positions_mm, scan.labelled, scan.file_order)
    numbers = (scan.image, scan.spacing_mm, scan.positions_mm, scan.affine, scan.file_affine)
    if not all(np.isfinite(np.asarray(values)).all() for values in numbers):
        return ["not finite"]
    sound = {
        "empty": min(slices, height, width) > 0,
        "spacing": min(scan.spacing_mm) > 0,
        "slices": all(array.shape == (slices,) for array in per_slice),
        "positions": bool((np.diff(scan.positions_mm) > 0).all()),
        "order": sorted(scan.file_order.tolist()) == list(range(slices)),
        "affine": scan.affine.shape == (4, 4) and abs(np.linalg.det(scan.affine)) > 0,
        "labels": scan.labels is None or scan.labels.shape == scan.image.shape,
        "label values": scan.labels is None or int(scan.labels.max()) <= 4,
        "id": bool(scan.id) and "/" not in scan.id and MARK.lower() not in scan.id.lower(),
        "problems": MARK.lower() not in repr((scan.problems, scan.provenance)).lower(),
        "modality": scan.modality in ("lge", "cine"),
    }
    return [name for name, right in sound.items() if not right]


def _read_any(folder: pathlib.Path) -> list[str]:
    return [wrong for scan in read_scans(folder) for wrong in unsound(scan)]


def _read_sunnybrook(folder: pathlib.Path) -> list[str]:
    return [wrong for scan in read_cohort(folder, "sunnybrook") for wrong in unsound(scan)]


def _read_labels(folder: pathlib.Path) -> list[str]:
    stack = read_labels(folder / "labels.nii.gz")
    numbers = (*stack.spacing_mm, stack.distance_mm, *stack.affine.ravel())
    sound = np.isfinite(numbers).all() and min(numbers[:3]) > 0 and stack.values.ndim == 3
    return [] if sound else ["geometry"]


def _phantom() -> Scan:
    return make_scan(0, 1, size=48, spacing_mm=(2.9, 2.9), slice_distance_mm=14.0)


def _slices(folder: pathlib.Path, **attributes: Any) -> list[Dataset]:
    """The phantom's files, with a mark in their free texts, read back and still to be saved."""
    datasets = []
    for path in write_dicom(_phantom(), folder):
        dataset = pydicom.dcmread(path)
        for keyword in _FREE:
            setattr(dataset, keyword, f"{MARK} lge")
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        dataset.private_block(0x0029, f"{MARK} 1.0", create=True).add_new(1, "LO", MARK)
        datasets.append(dataset)
        path.unlink()
    return datasets


def _write_plain(folder: pathlib.Path) -> None:
    for k, dataset in enumerate(_slices(folder)):
        dataset.save_as(folder / f"{k}.dcm")


def _write_as(syntax: UID, *, suffix: str = ".dcm") -> Callable[[pathlib.Path], None]:
    """The slices in an encoding that is no compression of pixels."""

    def write(folder: pathlib.Path) -> None:
        big, implicit = syntax == ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
        for k, dataset in enumerate(_slices(folder)[:4]):
            fresh = Dataset()  # of no encoding yet
            fresh.update({element.tag: element for element in dataset})
            if big:
                fresh.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
            fresh.file_meta, fresh.preamble = dataset.file_meta, dataset.preamble
            fresh.file_meta.TransferSyntaxUID = syntax
            fresh.save_as(folder / f"{k}{suffix}", implicit_vr=implicit, little_endian=not big)

    return write


def _write_compressed(syntax: str) -> Callable[[pathlib.Path], None]:
    def write(folder: pathlib.Path) -> None:
        for k, dataset in enumerate(_slices(folder)[:3]):
            dataset.compress(syntax)
            dataset.save_as(folder / f"{k}.dcm")

    return write


def _write_cine(folder: pathlib.Path) -> None:
    """Two phases a position, and a further series of one slice."""
    slices = _slices(folder, **_CINE)[:3]
    for k, dataset in enumerate(slices):
        for phase in range(2):
            dataset.TriggerTime = 20 + 300 * phase
            dataset.save_as(folder / f"{k}-{phase}.dcm")
    other = slices[0].copy()
    other.SeriesInstanceUID, other.SeriesNumber = "1.2.3", 9
    other.save_as(folder / "other.dcm")


def _write_enhanced(folder: pathlib.Path) -> None:
    """One multi-frame file, its sequences without a length, so that damage within stays within."""
    datasets = _slices(folder)
    first = datasets[0]
    many = Dataset()
    many.update({element.tag: element for element in first if element.keyword != "PixelData"})
    many.SOPClassUID = EnhancedMRImageStorage
    many.NumberOfFrames = len(datasets)
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(first, "PixelSpacing", "SliceThickness")]
    shared.PlaneOrientationSequence = [_item(first, "ImageOrientationPatient")]
    many.SharedFunctionalGroupsSequence = [shared]
    many.PerFrameFunctionalGroupsSequence = []
    for dataset in datasets:
        frame = Dataset()
        frame.PlanePositionSequence = [_item(dataset, "ImagePositionPatient")]
        frame.PixelValueTransformationSequence = [
            _item(dataset, "RescaleSlope", "RescaleIntercept", "RescaleType")
        ]
        many.PerFrameFunctionalGroupsSequence.append(frame)
    for keyword in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"):
        del many[keyword]
    many.PixelData = b"".join(dataset.PixelData for dataset in datasets)
    many["PixelData"].VR = "OW"
    _without_lengths(many)
    many.file_meta = FileMetaDataset()
    many.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    many.save_as(folder / "enhanced.dcm", enforce_file_format=True)


def _item(dataset: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    item.update({dataset[keyword].tag: dataset[keyword] for keyword in keywords})
    return item


def _without_lengths(dataset: Dataset) -> None:
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                _without_lengths(item)


def _write_sunnybrook(folder: pathlib.Path) -> None:
    table = f"PatientID,OriginalID,Pathology\nSCD01,SC-HF-I-1,{MARK}\n"
    drawn = folder / "SCD_ManualContours" / "SC-HF-I-01" / "contours-manual" / "IRCCI-expert"
    drawn.mkdir(parents=True)
    images = folder / "SCD_IMAGES_01" / "SCD01" / "CINESAX_300"
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    for k, dataset in enumerate(_slices(images)[:4], start=1):
        dataset.save_as(images / f"IM-0001-{k:04d}.dcm")
        for kind, radius in (("i", 8), ("o", 12)):
            points = np.stack([24 + radius * np.cos(angle), 24 + radius * np.sin(angle)], axis=1)
            name = f"IM-0001-{k:04d}-{kind}contour-manual.txt"
            np.savetxt(drawn / name, points, fmt="%.2f")
    (folder / "scd_patientdata.csv").write_text(table)


def _write_nifti(name: str, *, labels: str = "") -> Callable[[pathlib.Path], None]:
    def write(folder: pathlib.Path) -> None:
        scan = _phantom()
        assert scan.labels is not None
        arrays = {name: scan.image.astype(np.int16), labels: scan.labels}
        for path, array in arrays.items():
            if path:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                image = nibabel.Nifti1Image(array.transpose(2, 1, 0), scan.affine)
                image.header["descrip"] = MARK
                nibabel.save(image, folder / path)

    return write


def _write_labels(folder: pathlib.Path) -> None:
    scan = _phantom()
    assert scan.labels is not None
    image = nibabel.Nifti1Image(scan.labels.transpose(2, 1, 0), scan.affine)
    nibabel.save(image, folder / "labels.nii.gz")


def _write_acdc(folder: pathlib.Path) -> None:
    patient = "patient001"
    frame = f"{patient}/{patient}_frame01"
    _write_nifti(f"{frame}.nii.gz", labels=f"{frame}_gt.nii.gz")(folder)
    for path in folder.rglob("*_gt.nii.gz"):
        path.unlink()
    (folder / patient / "Info.cfg").write_text(f"ED: 1\nES: 9\nGroup: {MARK}\n")


def _write_store(folder: pathlib.Path) -> None:
    write_scan(_phantom(), folder)


_CASE = "Case_P001/{}/Case_P001.nii.gz"

KINDS = {
    "dicom": Kind(_write_plain, _read_any),
    "implicit": Kind(_write_as(ImplicitVRLittleEndian), _read_any),
    "big endian": Kind(_write_as(ExplicitVRBigEndian), _read_any),
    "deflated": Kind(_write_as(DeflatedExplicitVRLittleEndian, suffix=".deflated"), _read_any),
    "rle": Kind(_write_compressed(RLELossless), _read_any),
    "jpeg 2000": Kind(_write_compressed(JPEG2000Lossless), _read_any),
    "enhanced": Kind(_write_enhanced, _read_any),
    "cine": Kind(_write_cine, _read_any),
    "sunnybrook": Kind(_write_sunnybrook, _read_sunnybrook),
    "nifti": Kind(_write_nifti("scan.nii"), _read_any),
    "gzip": Kind(_write_nifti("scan.nii.gz"), _read_any),
    "emidec": Kind(
        _write_nifti(_CASE.format("Images"), labels=_CASE.format("Contours")), _read_any
    ),
    "acdc": Kind(_write_acdc, _read_any),
    "store": Kind(_write_store, _read_any),
    "labels": Kind(_write_labels, _read_labels),
    "bundle": Kind(hard_folders.write_bundle, hard_folders.read_bundle),
    "old bundle": Kind(hard_folders.write_old_bundle, hard_folders.read_bundle),
    "run": Kind(hard_folders.write_run, hard_folders.read_run),
    "config": Kind(hard_folders.write_config, hard_folders.read_config),
}
"""By name; every kind gets the same share of the inputs."""


def write_sound(folder: pathlib.Path, kinds: Sequence[str]) -> dict[str, pathlib.Path]:
    """Sound inputs, one folder a kind."""
    folders = {kind: folder / kind.replace(" ", "_") for kind in kinds}
    for kind, path in folders.items():
        path.mkdir(parents=True)
        KINDS[kind].write(path)
    return folders
