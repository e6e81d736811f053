"""The owner's DICOM objects behind a scan, for objects that are written beside them.

What is derived from images belongs to their study. It refers to them by UID, and repeats what
identifies patient and study: the standard's attributes of type 1 and 2 in the modules Patient and
General Study, and no other. They are read for that purpose only, and reach nothing but DICOM.

References:
    DICOM PS3.3, C.7.1.1 (Patient), C.7.2.1 (General Study), C.7.4.1 (Frame of Reference).
"""

import contextlib
import pathlib
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydicom import DataElement, Dataset
from pydicom.charset import python_encoding
from pydicom.uid import generate_uid

from acsnet_jax.io.dicom.headers import flat_headers, no_validation
from acsnet_jax.io.dicom.parse import PYDICOM_ERRORS, parse
from acsnet_jax.io.dicom.values import numbers
from acsnet_jax.types import DicomPlane, InputError, Scan

_IDENTITY = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_REQUIRED = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_UID = re.compile(r"[0-9.]{1,64}")
_GEOMETRY = {  # attributes and their numbers of values
    "ImagePositionPatient": 3,
    "ImageOrientationPatient": 6,
    "PixelSpacing": 2,
    "SliceThickness": 1,
}
_READ = (
    *_IDENTITY,
    *_REQUIRED,
    *_GEOMETRY,
    "SOPClassUID",
    "SeriesNumber",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


class SourcePlane(NamedTuple):
    """One slice in the owner's files.

    Attributes:
        sop_class: UID of the object's class.
        sop_instance: UID of the object.
        series: UID of its series.
        frame: its number in a multi-frame object, from 1; None in a single-frame one.
        geometry: position, orientation, pixel spacing and thickness of the plane.
    """

    sop_class: str
    sop_instance: str
    series: str
    frame: int | None
    geometry: Dataset


class Sources(NamedTuple):
    """What the slices of a scan were read from.

    Attributes:
        planes: one a slice, apex first.
        identity: what identifies patient and study.
        study: UID.
        frame_of_reference: UID.
        series_number: of the first plane; 0 where it has none.
    """

    planes: tuple[SourcePlane, ...]
    identity: Dataset
    study: str
    frame_of_reference: str
    series_number: int

    def instances(self) -> list[SourcePlane]:
        """The first plane of each object."""
        return list({plane.sop_instance: plane for plane in reversed(self.planes)}.values())[::-1]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A context in which nothing warns: pydicom and highdicom would quote values of headers."""
    with warnings.catch_warnings(), no_validation():
        warnings.simplefilter("ignore")
        yield


def read_sources(scan: Scan) -> Sources:
    """Reads again the headers of the files that a scan came from.

    Args:
        scan: a scan that was read from DICOM.

    Raises:
        InputError: it was not; or a file is gone, or lacks a UID, or its geometry is no numbers, or
            slices are of several studies or frames of reference.
    """
    if len(scan.planes) != len(scan.image):
        raise InputError(f"scan {scan.id}: its slices are not those of DICOM files")
    headers = {}
    for plane in scan.planes:
        if plane.path not in headers:
            headers[plane.path] = _read(plane.path)
    first = headers[scan.planes[0].path]
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        for path, header in headers.items():
            if header[keyword].value != first[keyword].value:
                raise InputError(
                    f"{path}: {keyword} differs from that of {scan.planes[0].path}: objects that "
                    "refer to both would be wrong"
                )
    with no_validation():
        flat = {path: flat_headers(header, _frames(header)) for path, header in headers.items()}
        planes = tuple(_plane(headers[p.path], flat[p.path][p.frame], p) for p in scan.planes)
        number = str(first.get("SeriesNumber") or "")
    return Sources(
        planes=planes,
        identity=_identity(first),
        study=str(first.StudyInstanceUID),
        frame_of_reference=str(first.FrameOfReferenceUID),
        series_number=int(number) if number.isdecimal() else 0,
    )


def _read(path: pathlib.Path) -> Dataset:
    with quiet():
        try:
            header = parse(path, _READ)
            values = {keyword: header.get(keyword) for keyword in _READ}  # each converted now
        except PYDICOM_ERRORS as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: cannot read the DICOM header again") from error
    missing = [keyword for keyword in _REQUIRED if not _UID.fullmatch(str(values[keyword]))]
    if missing:
        raise InputError(
            f"{path}: {missing[0]} is missing or no UID, and nothing can refer to an image "
            "without it: export the series again"
        )
    return header


def _frames(header: Dataset) -> int:
    return int(header.get("NumberOfFrames") or 1)


def _plane(header: Dataset, flat: Dataset, plane: DicomPlane) -> SourcePlane:
    geometry = Dataset()
    for keyword, count in _GEOMETRY.items():
        if keyword in flat:
            numbers(flat, keyword, count, plane.path)  # text would be copied, too
            geometry.add(flat[keyword])
    return SourcePlane(
        sop_class=str(header.get("SOPClassUID") or header.file_meta.MediaStorageSOPClassUID),
        sop_instance=str(header.SOPInstanceUID),
        series=str(header.SeriesInstanceUID),
        frame=plane.frame + 1 if "NumberOfFrames" in header else None,
        geometry=geometry,
    )


def _identity(header: Dataset) -> Dataset:
    """The identifying elements; empty ones where the source has none."""
    identity = Dataset()
    with no_validation():
        for keyword in _IDENTITY:
            if keyword in header and _is_plain(header[keyword]):
                identity.add(header[keyword])
            elif keyword != "SpecificCharacterSet":
                setattr(identity, keyword, None)
    return identity


def _is_plain(element: DataElement) -> bool:
    """Whether an element is no character set that does not exist: it would be any text."""
    if element.keyword != "SpecificCharacterSet":
        return True
    names = [element.value] if isinstance(element.value, str) else element.value or []
    return set(names) <= python_encoding.keys()


def identify(dataset: Dataset, sources: Sources) -> None:
    """Gives a new object the identity of its sources, in place."""
    with no_validation():
        for element in sources.identity:
            dataset.add(element)


def nobody(sources: Sources) -> Dataset:
    """The study without anybody's identity: what highdicom needs until `identify` is called.

    highdicom would copy all that a header says of patient and study, and stop at values that break
    the standard.
    """
    empty = Dataset()
    for keyword in _IDENTITY[1:]:
        setattr(empty, keyword, "")
    empty.StudyInstanceUID = sources.study
    return empty


def derived_uid(*parts: str) -> str:
    """A UID that follows from ``parts``: the same content has the same one, a second run too."""
    return generate_uid(entropy_srcs=list(parts))


def reference(plane: SourcePlane, *, frames: Sequence[int] = ()) -> Dataset:
    """An item that refers to the object of a plane.

    Args:
        plane: any of its planes.
        frames: numbers of the frames that are meant, from 1; none for all.
    """
    item = Dataset()
    item.ReferencedSOPClassUID = plane.sop_class
    item.ReferencedSOPInstanceUID = plane.sop_instance
    if frames:
        item.ReferencedFrameNumber = list(frames)
    return item
