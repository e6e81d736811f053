"""Headers of DICOM files: which files are MR images, and one flat header a plane.

DICOM's patient space is LPS, in mm; it stays LPS here. Nothing is decoded. Of a multi-frame file
the functional groups are copied to the top level, so that a plane looks the same whatever its file.
Only the attributes listed here are kept, and each is understood when the file is read: what cannot
be is an error that names file and attribute.
"""

import contextlib
import dataclasses
import logging
import pathlib
import warnings
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64
from pydicom import DataElement, Dataset, config

from acsnet_jax.io.dicom.parse import PYDICOM_ERRORS, check_nesting, parse
from acsnet_jax.io.dicom.values import numbers, whole_number
from acsnet_jax.io.stack import MOST_PIXELS, check_size, one_line
from acsnet_jax.types import InputError

_MR_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image Storage
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image Storage
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image Storage
)
_ATTRIBUTES = (
    "SOPClassUID",
    "Modality",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "ProtocolName",
    "ImageType",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "TemporalPositionIndex",
    "TemporalPositionIdentifier",
    "NominalInterval",
    "CardiacNumberOfImages",
    "InversionTime",
    "InversionTimes",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
_FARTHEST_MM = 1e6
_MOST_IN_PLANE = 2**24  # pixels; 4096 x 4096


@dataclasses.dataclass(frozen=True)
class Frame:
    """One image plane: a file, or one frame of a multi-frame file.

    Attributes:
        path: the file.
        index: frame within the file, from 0.
        frames: number of frames in the file.
        shape: (height, width) in pixels.
        header: the plane's attributes, functional groups flattened; no pixels.
        position: ImagePositionPatient, LPS mm, or None.
        orientation: ``[2, 3]``, unit vectors along a row and along a column (LPS), or None.
        trigger: what orders the temporal phases: trigger time in ms (or a temporal index), or None.
    """

    path: pathlib.Path
    index: int
    frames: int
    shape: tuple[int, int]
    header: Dataset
    position: Float64[np.ndarray, "3"] | None
    orientation: Float64[np.ndarray, "2 3"] | None
    trigger: float | None

    @property
    def name(self) -> str:
        """File name, with the frame's number in a multi-frame file."""
        multiple = self.frames > 1
        return f"{self.path.name} frame {self.index + 1}" if multiple else self.path.name


def is_dicom(path: pathlib.Path) -> bool:
    """Whether a file begins as DICOM does, with or without the 128-byte preamble."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return True
    # Old files start with an element of group 0008 (or 0002) at once: a VR in capitals follows, or
    # in the implicit encoding a length of at most two bytes.
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    implicit = len(start) > 8 and start[6:8] == b"\0\0"
    return start[:2] in (b"\x08\x00", b"\x02\x00") and (explicit or implicit)


def dicom_files(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """DICOM files at or below ``path``, in name order; hidden files are left out.

    Raises:
        InputError: a file is named .dcm and is not DICOM.
    """
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    for file in files:
        if any(part.startswith(".") for part in file.relative_to(path).parts):
            continue
        if is_dicom(file):
            yield file
        elif file.suffix.lower() == ".dcm":
            raise InputError(f"{file}: not a DICOM file, truncated? Copy it again or remove it")


def read_header(path: pathlib.Path) -> Dataset:
    """The attributes of a file that readers ask for.

    Raises:
        InputError: the file is truncated, or cannot be parsed, or one of the attributes cannot.
    """
    # Validation warnings would quote header values, names among them.
    with warnings.catch_warnings(record=True) as caught, no_validation():
        warnings.simplefilter("always")
        try:
            dataset = parse(path, _ATTRIBUTES)
            header = _understood(dataset, path)
        except PYDICOM_ERRORS as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: cannot read the DICOM header: copy it again") from error
    if any("end of file" in str(warning.message).lower() for warning in caught):
        raise InputError(f"{path}: truncated DICOM file: copy it again")
    return header


def _understood(dataset: Dataset, path: pathlib.Path) -> Dataset:
    """The attributes that are kept, each converted now: pydicom waits until one is asked for."""
    header = Dataset()
    for keyword in _ATTRIBUTES:
        try:
            if keyword in dataset:
                header.add(dataset[keyword])
                _convert(header[keyword], nested=keyword.endswith("Sequence"))
        except PYDICOM_ERRORS as error:
            raise InputError(
                f"{path}: {keyword} cannot be read: correct the header or export the file again"
            ) from error
    if not header.get("SOPClassUID"):
        meta = getattr(dataset, "file_meta", Dataset())
        header.SOPClassUID = str(meta.get("MediaStorageSOPClassUID") or "")
    return header


def _convert(element: DataElement, *, nested: bool) -> None:
    if nested and element.VR != "SQ":
        raise ValueError("not a sequence")
    if element.VR == "SQ":
        for item in element.value:
            for inner in item:
                check_nesting(inner)
                _convert(inner, nested=False)


def study_uid(path: pathlib.Path) -> str | None:
    """StudyInstanceUID of the first DICOM file at or below ``path``; None without such a file."""
    first = next(dicom_files(path), None)
    if first is None:
        return None
    header = read_header(first)
    with no_validation():
        return str(header.get("StudyInstanceUID") or first)


def read_frames(path: str | pathlib.Path) -> list[Frame]:
    """Image planes of all MR files at or below ``path``.

    Raises:
        InputError: there is none, or a file is truncated.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    frames, others = [], 0
    for file in dicom_files(path):
        dataset = read_header(file)
        if _is_mr_image(dataset, file):
            with no_validation():
                frames += _frames(dataset, file)
        else:
            others += 1
    if not frames:
        found = f"{others} DICOM objects, none an MR image" if others else "no DICOM file"
        raise InputError(f"{path}: {found}: give a folder that holds a short-axis MR stack")
    return frames


@contextlib.contextmanager
def no_validation() -> Iterator[None]:
    """A context in which pydicom reads values that break the standard, and logs none of them."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)  # its messages quote values
    try:
        with config.disable_value_validation():
            yield
    finally:
        logger.setLevel(level)


def text(frame: Frame, keyword: str) -> str:
    """An attribute on one line; "" where it is absent or empty."""
    with no_validation():
        value = frame.header.get(keyword)
    return "" if value is None else one_line(value)


def _is_mr_image(dataset: Dataset, path: pathlib.Path) -> bool:
    with no_validation():
        sop_class = str(dataset.get("SOPClassUID") or "")
        known = sop_class in _MR_CLASSES
        if not sop_class or (known and "Rows" not in dataset):
            raise InputError(f"{path}: truncated DICOM file, its header is cut: copy it again")
        secondary = sop_class.startswith("1.2.840.10008.5.1.4.1.1.7")
        mr = known or (dataset.get("Modality", "MR") == "MR" and not secondary)
        return mr and "Rows" in dataset and whole_number(dataset, "SamplesPerPixel", path) == 1


def _frames(dataset: Dataset, path: pathlib.Path) -> list[Frame]:
    count = max(whole_number(dataset, "NumberOfFrames", path), 1)
    shape = _shape(dataset, path)
    check_size(shape, str(path))
    if shape[0] * shape[1] > _MOST_IN_PLANE:
        raise InputError(
            f"{path}: the header claims {shape[0]} x {shape[1]} pixels, more than {_MOST_IN_PLANE} "
            "in a slice: correct Rows and Columns"
        )
    if count > MOST_PIXELS:
        raise InputError(
            f"{path}: the header claims {count} frames, more than {MOST_PIXELS}: correct "
            "NumberOfFrames"
        )
    headers = flat_headers(dataset, count)
    if len(headers) < count:
        raise InputError(
            f"{path}: NumberOfFrames is {count}, and {len(headers)} have functional groups: export "
            "the file again"
        )
    frames = []
    for index, header in enumerate(headers):
        position = numbers(header, "ImagePositionPatient", 3, path)
        if position is not None and np.abs(position).max() > _FARTHEST_MM:
            raise InputError(f"{path}: ImagePositionPatient is kilometres away: correct the header")
        orientation = numbers(header, "ImageOrientationPatient", 6, path)
        frames.append(
            Frame(
                path=path,
                index=index,
                frames=count,
                shape=shape,
                header=header,
                position=position,
                orientation=_unit_axes(orientation, path),
                trigger=_trigger(header, path),
            )
        )
    return frames


def _shape(dataset: Dataset, path: pathlib.Path) -> tuple[int, int]:
    height, width = (
        whole_number(dataset, keyword, path, default=0) for keyword in ("Rows", "Columns")
    )
    if not height or not width:
        raise InputError(f"{path}: Rows or Columns is missing or 0: export the file again")
    return height, width


def flat_headers(dataset: Dataset, count: int) -> list[Dataset]:
    """One header a frame; functional groups of a multi-frame file are copied to the top level.

    Private sequences stay where they are: some vendors repeat position and rescaling in them, with
    other values. Of frames without a group of their own there is no header.
    """
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        return [dataset] * count
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    common = Dataset()
    common.update(
        {
            element.tag: element
            for element in dataset
            if not element.keyword.endswith("FunctionalGroupsSequence")
        }
    )
    headers = []
    for group in list(groups)[:count]:
        header = Dataset()
        header.update(common)
        for item in (*shared, group):
            for element in item:
                if element.VR == "SQ" and element.value and not element.tag.is_private:
                    header.update(element.value[0])
        headers.append(header)
    return headers


def _unit_axes(
    orientation: Float64[np.ndarray, "6"] | None, path: pathlib.Path
) -> Float64[np.ndarray, "2 3"] | None:
    if orientation is None:
        return None
    axes = orientation.reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if (np.abs(lengths - 1) > 0.05).any() or abs(axes[0] @ axes[1]) > 0.05:
        raise InputError(
            f"{path}: ImageOrientationPatient is no pair of perpendicular unit vectors: "
            "correct the header"
        )
    return axes / lengths[:, None]


def _trigger(header: Dataset, path: pathlib.Path) -> float | None:
    keywords = (
        "TriggerTime",
        "NominalCardiacTriggerDelayTime",
        "TemporalPositionIndex",
        "TemporalPositionIdentifier",
    )
    for keyword in keywords:
        value = numbers(header, keyword, 1, path)
        if value is not None:
            return float(value[0])
    return None
