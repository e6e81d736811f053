"""DICOM: a folder of mixed files -> the short-axis stack in it, as a `Scan`.

Intensities are the file's rescaled and windowed values (any range). DICOM's patient space is LPS;
it is turned into RAS+ here. "File order" of a DICOM stack is by position along row x column.
Nothing of a header that names a person is kept: the id is a digest of study and series UID.
"""

import dataclasses
import hashlib
import itertools
import pathlib
import re
import struct
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pydicom
from jaxtyping import Float32, Float64, UInt8
from pydicom import Dataset, config
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from acsnet_jax.io.stack import (
    APEX_DIRECTION,
    SliceOrder,
    build_scan,
    check_finite,
    check_positions,
    check_spacing,
    one_line,
)
from acsnet_jax.types import InputError, Modality, Scan

_MR_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image Storage
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image Storage
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image Storage
)
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_SAME_ORIENTATION = 0.01
_SAME_POSITION_MM = 0.05
_EARLY_IN_CYCLE = 0.15
_PYDICOM_ERRORS = (
    AttributeError,
    EOFError,
    InvalidDicomError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)

_LOCALIZER_WORDS = re.compile(r"locali[sz]er|scout|survey|(?<![a-z])loc(?![a-z])", re.IGNORECASE)
_CINE_WORDS = re.compile(r"cine|ssfp|trufi|fiesta|b-?tfe|bffe", re.IGNORECASE)
_LGE_WORDS = re.compile(
    r"lge|psir|late|delay|viab|enhanc|(?<![a-z])(de|mde|dhe|ir)(?![a-z])", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Frame:
    """One image plane: a file, or one frame of a multi-frame file.

    Attributes:
        path: the file.
        index: frame within the file, from 0.
        header: the plane's attributes, functional groups flattened; no pixels.
        position: ImagePositionPatient, LPS mm, or None.
        orientation: ``[2, 3]``, unit vectors along a row and along a column (LPS), or None.
        trigger: what orders the temporal phases: trigger time in ms (or a temporal index), or None.
    """

    path: pathlib.Path
    index: int
    header: Dataset
    position: Float64[np.ndarray, "3"] | None
    orientation: Float64[np.ndarray, "2 3"] | None
    trigger: float | None

    @property
    def name(self) -> str:
        """File name, with the frame's number in a multi-frame file."""
        frames = int(self.header.get("NumberOfFrames") or 1)
        return self.path.name if frames == 1 else f"{self.path.name} frame {self.index + 1}"


@dataclasses.dataclass(frozen=True)
class FrameStack:
    """Parallel planes of one series, ordered by position along row x column.

    Attributes:
        frames: for each position, its temporal phases, earliest first.
        positions_mm: ``[slices]`` ascending.
        problems: what a user should know.
    """

    frames: list[list[Frame]]
    positions_mm: Float64[np.ndarray, "slices"]
    problems: list[str]

    @property
    def series(self) -> list[str]:
        """SeriesInstanceUIDs."""
        return sorted(
            {_text(frame, "SeriesInstanceUID") for frames in self.frames for frame in frames}
        )

    @property
    def phases(self) -> int:
        """Number of temporal phases at a position; the lower median where positions differ."""
        counts = sorted(len(phases) for phases in self.frames)
        return counts[(len(counts) - 1) // 2]


def read_dicom(
    path: str | pathlib.Path,
    *,
    series: int | str | None = None,
    modality: Modality | None = None,
    slice_order: SliceOrder = "auto",
    window: bool = True,
    trigger_ms: int | float | None = None,
) -> Scan:
    """Reads the short-axis stack of a folder of DICOM files (searched with its subfolders).

    Other objects, localizers, single long-axis slices and files that are not DICOM are left out.
    Of a cine's phases the end-diastolic one is taken.

    Args:
        path: a folder, or one (multi-frame) file.
        series: SeriesNumber or SeriesInstanceUID, where a folder holds several short-axis stacks.
        modality: "lge" or "cine"; None to guess from phases, SeriesDescription and InversionTime.
        slice_order: order along row x column; "auto" to use the patient's orientation.
        window: whether to apply WindowCenter and WindowWidth; values then lie in 0 to
            2^BitsStored - 1. Slices whose windows differ share one that spans them all, so that
            intensities stay comparable through the stack.
        trigger_ms: read the phase nearest to this trigger time; None for end-diastole.

    Raises:
        InputError: no or several short-axis stacks; a missing or duplicated slice; a file that is
            truncated, or lacks its position, orientation or spacing; sizes that differ.

    References:
        Paper, Data Source and Processing (window and rescale tags).
    """
    stack = find_stack(path, series=series)
    return load_stack(
        stack,
        choose_phase(stack, trigger_ms=trigger_ms),
        where=str(path),
        modality=modality,
        slice_order=slice_order,
        window=window,
    )


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
    """A file's header without pixels.

    Raises:
        InputError: the file is truncated or cannot be parsed.
    """
    # Validation warnings would quote header values, names among them.
    with warnings.catch_warnings(record=True) as caught, _no_validation():
        warnings.simplefilter("always")
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        except _PYDICOM_ERRORS as error:
            raise InputError(f"{path}: cannot read the DICOM header: copy it again") from error
    if any("end of file" in str(warning.message).lower() for warning in caught):
        raise InputError(f"{path}: truncated DICOM file: copy it again")
    return dataset


def study_uid(path: pathlib.Path) -> str | None:
    """StudyInstanceUID of the first DICOM file at or below ``path``; None without such a file."""
    first = next(dicom_files(path), None)
    if first is None:
        return None
    header = read_header(first)
    with _no_validation():
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
            with _no_validation():
                frames += _frames(dataset, file)
        else:
            others += 1
    if not frames:
        found = f"{others} DICOM objects, none an MR image" if others else "no DICOM file"
        raise InputError(f"{path}: {found}: give a folder that holds a short-axis MR stack")
    return frames


def find_stack(path: str | pathlib.Path, *, series: int | str | None = None) -> FrameStack:
    """The short-axis stack at or below ``path``; arguments and errors as of `read_dicom`."""
    groups, unplaced = _group(read_frames(path))
    group = _choose_group(groups, unplaced, series, str(path))
    uids = {_text(frame, "SeriesInstanceUID") for frame in group}
    for frame in unplaced:
        if _text(frame, "SeriesInstanceUID") in uids:
            raise InputError(_unplaced_message(frame))
    return _stack(group, str(path))


def choose_phase(stack: FrameStack, *, trigger_ms: int | float | None = None) -> list[Frame]:
    """One frame a position: end-diastole, or the phase nearest to ``trigger_ms``.

    End-diastole is the phase of the smallest trigger time. Where none is early in the cycle (only
    some phases were exported) it is the one nearest to the R wave on either side of it, given the
    cycle's length in NominalInterval.
    """
    return [
        min(phases, key=lambda frame: _phase_distance(frame, phases, trigger_ms))
        for phases in stack.frames
    ]


def load_stack(
    stack: FrameStack,
    frames: Sequence[Frame],
    *,
    where: str,
    modality: Modality | None = None,
    slice_order: SliceOrder = "auto",
    window: bool = True,
    id: str | None = None,
    labels: UInt8[np.ndarray, "slices height width"] | None = None,
    source: dict | None = None,
) -> Scan:
    """Decodes the chosen ``frames``, one a position, into a `Scan`; other arguments as above.

    Args:
        stack: the stack that ``frames`` belong to.
        frames: one frame a position, in the stack's order.
        where: folder, for messages.
        modality: as of `read_dicom`.
        slice_order: as of `read_dicom`.
        window: as of `read_dicom`.
        id: the scan's id; None for the digest of the UIDs.
        labels: `Label` values in the stack's order.
        source: more entries of the scan's source.
    """
    spacing_mm = _common_spacing(frames)
    image, intensity = _intensities(frames, window=window)
    check_finite(image, where)
    problems = stack.problems + intensity.pop("problems")
    affine = _affine(frames, stack.positions_mm, spacing_mm)
    problems += _drift(frames, affine, spacing_mm)
    if modality is None:
        modality, basis = _guess_modality(stack, frames)
        if basis == "default":
            problems.append("modality unknown, taken as lge: set modality")
    else:
        basis = "as given"
    if stack.phases > 1:
        problems += _phase_spread(frames)
    number = _text(frames[0], "SeriesNumber")
    return build_scan(
        id=id or _pseudonym(stack),
        image=image,
        spacing_mm=spacing_mm,
        positions_mm=stack.positions_mm,
        affine=affine,
        file_affine=affine.copy(),
        oriented=True,
        modality=modality,
        labels=labels,
        has_enhancement=False,
        source={
            "format": "dicom",
            "series_number": int(number) if number.isdigit() else None,
            "modality": basis,
            "phases": stack.phases,
            "trigger": [frame.trigger for frame in frames],
            "intensity": intensity,
            "problems": problems,
            **(source or {}),
        },
        slice_order=slice_order,
    )


def _no_validation():
    return config.disable_value_validation()


def _text(frame: Frame, keyword: str) -> str:
    with _no_validation():
        value = frame.header.get(keyword)
    return "" if value is None else one_line(value)


def _is_mr_image(dataset: Dataset, path: pathlib.Path) -> bool:
    with _no_validation():
        meta = getattr(dataset, "file_meta", Dataset())
        sop_class = str(dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")
        known = sop_class in _MR_CLASSES
        if not sop_class or (known and "Rows" not in dataset):
            raise InputError(f"{path}: truncated DICOM file, its header is cut: copy it again")
        secondary = sop_class.startswith("1.2.840.10008.5.1.4.1.1.7")
        mr = known or (dataset.get("Modality", "MR") == "MR" and not secondary)
        return mr and "Rows" in dataset and int(dataset.get("SamplesPerPixel", 1) or 1) == 1


def _frames(dataset: Dataset, path: pathlib.Path) -> list[Frame]:
    headers = _flat_headers(dataset)
    frames = []
    for index, header in enumerate(headers):
        position = _numbers(header, "ImagePositionPatient", 3, path)
        orientation = _numbers(header, "ImageOrientationPatient", 6, path)
        frames.append(
            Frame(
                path=path,
                index=index,
                header=header,
                position=position,
                orientation=_unit_axes(orientation, path),
                trigger=_trigger(header, path),
            )
        )
    return frames


def _flat_headers(dataset: Dataset) -> list[Dataset]:
    """One header a frame; functional groups of a multi-frame file are copied to the top level."""
    count = int(dataset.get("NumberOfFrames") or 1)
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
                if element.VR == "SQ" and element.value:
                    header.update(element.value[0])
        headers.append(header)
    return headers


def _numbers(
    header: Dataset, keyword: str, count: int, path: pathlib.Path
) -> Float64[np.ndarray, "count"] | None:
    """A numeric attribute as an array; None where it is absent or empty."""
    try:
        value = header.get(keyword)
        if value is None or value == "":
            return None
        numbers = np.atleast_1d(np.asarray(value, float))
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {keyword} is not a number: correct the header") from error
    if numbers.size == 0:
        return None
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise InputError(f"{path}: {keyword} needs {count} finite numbers: correct the header")
    return numbers


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
        value = _numbers(header, keyword, 1, path)
        if value is not None:
            return float(value[0])
    return None


def _position(frame: Frame) -> float:
    assert frame.position is not None and frame.orientation is not None
    return float(frame.position @ np.cross(*frame.orientation))


def _group(frames: Sequence[Frame]) -> tuple[list[list[Frame]], list[Frame]]:
    """Frames of one series and orientation together; frames without a place apart."""
    groups: list[list[Frame]] = []
    unplaced = []
    for frame in frames:
        if frame.position is None or frame.orientation is None:
            unplaced.append(frame)
            continue
        for group in groups:
            if _text(group[0], "SeriesInstanceUID") == _text(
                frame, "SeriesInstanceUID"
            ) and _parallel(group[0], frame):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups, unplaced


def _parallel(a: Frame, b: Frame) -> bool:
    assert a.orientation is not None and b.orientation is not None
    return bool(np.abs(a.orientation - b.orientation).max() < _SAME_ORIENTATION)


def _by_position(group: Sequence[Frame]) -> list[list[Frame]]:
    """Frames of a group, one list a position, ascending."""
    slices: list[list[Frame]] = []
    last = -np.inf
    for frame in sorted(group, key=_position):
        if _position(frame) - last > _SAME_POSITION_MM:
            slices.append([])
        slices[-1].append(frame)
        last = _position(frame)
    return slices


def _choose_group(
    groups: list[list[Frame]], unplaced: list[Frame], series: int | str | None, where: str
) -> list[Frame]:
    if series is not None:
        return _named_group(groups, unplaced, series, where)
    singles = [group for group in groups if len(_by_position(group)) == 1]
    candidates = [group for group in groups if len(group) > 1 and group not in singles]
    candidates += _merge_singles(singles)
    candidates = [group for group in candidates if not _is_localizer(group[0])]
    # A couple of parallel long-axis views is no stack where a longer one is at hand.
    for at_least in (3, 2):
        stacks = [group for group in candidates if len(_by_position(group)) >= at_least]
        if stacks:
            break
    else:
        if unplaced:
            raise InputError(_unplaced_message(unplaced[0]))
        raise InputError(
            f"{where}: no short-axis stack, {len(groups)} single slices or localizers only: give "
            "a folder with several parallel slices, or name one with series="
        )
    short_axis = [group for group in stacks if _along_heart(group[0]) > 0.75]
    if len(stacks) > 1 and short_axis:
        stacks = short_axis
    if len(stacks) > 1:
        names = " and ".join(_series_name(group[0], stacks) for group in stacks)
        raise InputError(
            f"{where}: {len(stacks)} short-axis stacks, {names}: "
            "choose one with series=NUMBER (or its SeriesInstanceUID)"
        )
    return stacks[0]


def _named_group(
    groups: list[list[Frame]], unplaced: list[Frame], series: int | str, where: str
) -> list[Frame]:
    def matches(frame: Frame) -> bool:
        wanted = str(series).strip()
        return wanted in (_text(frame, "SeriesNumber"), _text(frame, "SeriesInstanceUID"))

    for frame in unplaced:
        if matches(frame):
            raise InputError(_unplaced_message(frame))
    named = [group for group in groups if matches(group[0])]
    uids = {_text(group[0], "SeriesInstanceUID") for group in named}
    if not named:
        numbers = sorted({_text(group[0], "SeriesNumber") for group in groups})
        raise InputError(f"{where}: no series {series}: the folder holds {', '.join(numbers)}")
    if len(uids) > 1:
        raise InputError(
            f"{where}: {len(uids)} series have the number {series}: choose one by its "
            f"SeriesInstanceUID, {' or '.join(sorted(uids))}"
        )
    return max(named, key=lambda group: len(_by_position(group)))


def _merge_singles(singles: list[list[Frame]]) -> list[list[Frame]]:
    """Joins series of one slice each, as some scanners export a stack, into parallel groups."""
    merged: list[list[Frame]] = []
    for group in singles:
        if _is_localizer(group[0]):
            continue
        for other in merged:
            same_kind = _size(other[0]) == _size(group[0]) and (
                _text(other[0], "StudyInstanceUID") == _text(group[0], "StudyInstanceUID")
            )
            if same_kind and _parallel(other[0], group[0]):
                other.extend(group)
                break
        else:
            merged.append(list(group))
    return [group for group in merged if len(_by_position(group)) >= 3]


def _is_localizer(frame: Frame) -> bool:
    return "LOCALIZER" in _text(frame, "ImageType").upper() or bool(
        _LOCALIZER_WORDS.search(_text(frame, "SeriesDescription"))
    )


def _along_heart(frame: Frame) -> float:
    """Cosine between the plane's normal and the heart's long axis: short-axis planes are near 1."""
    assert frame.orientation is not None
    return float(abs((_LPS_TO_RAS @ np.cross(*frame.orientation)) @ APEX_DIRECTION))


def _series_name(frame: Frame, stacks: list[list[Frame]]) -> str:
    number = _text(frame, "SeriesNumber") or "without number"
    description = _text(frame, "SeriesDescription") or "no description"
    numbers = [_text(group[0], "SeriesNumber") for group in stacks]
    uid = f", UID {_text(frame, 'SeriesInstanceUID')}" if numbers.count(number) != 1 else ""
    return f"series {number} ({description}{uid})"


def _unplaced_message(frame: Frame) -> str:
    keyword = "ImagePositionPatient" if frame.position is None else "ImageOrientationPatient"
    return f"{frame.path}: {keyword} is missing: export the slice again with its geometry"


def _size(frame: Frame) -> tuple[int, int]:
    return int(frame.header.Rows), int(frame.header.Columns)


def _stack(group: list[Frame], where: str) -> FrameStack:
    """Orders one group, and checks sizes, phases and distances."""
    first = group[0]
    for frame in group[1:]:
        if _size(frame) != _size(first):
            a, b = _size(first), _size(frame)
            raise InputError(
                f"{where}: sizes differ in one stack: {first.name} is {a[0]} x {a[1]}, "
                f"{frame.name} is {b[0]} x {b[1]}: keep slices of one size"
            )
    slices = [
        sorted(frames, key=lambda f: np.inf if f.trigger is None else f.trigger)
        for frames in _by_position(group)
    ]
    for frames in slices:
        for a, b in itertools.pairwise(frames):
            if b.trigger is None or a.trigger == b.trigger:
                when = "" if a.trigger is None else f" and trigger time {a.trigger:g} ms"
                names = (a.name, b.name) if a.name != b.name else (a.path, b.path)
                raise InputError(
                    f"{where}: duplicated slice: {names[0]} and {names[1]} have the same position"
                    f"{when}: keep one of them"
                )
    positions = np.array([_position(frames[0]) for frames in slices])
    names = [frames[0].name for frames in slices]
    problems = check_positions(positions, names, where)
    counts = {len(frames) for frames in slices}
    if len(counts) > 1:
        problems.append(
            f"{min(counts)} to {max(counts)} images a position, told apart by trigger time: "
            "a slice may have been acquired twice"
        )
    return FrameStack(slices, positions, problems)


def _phase_distance(
    frame: Frame, phases: Sequence[Frame], trigger_ms: int | float | None
) -> tuple[float, float]:
    """Sort key: distance from the wanted phase, then the trigger time itself."""
    trigger = 0.0 if frame.trigger is None else frame.trigger
    if trigger_ms is not None:
        return abs(trigger - trigger_ms), trigger
    cycle = _cycle_ms(frame)
    earliest = min(0.0 if f.trigger is None else f.trigger for f in phases)
    if cycle is None or earliest <= _EARLY_IN_CYCLE * cycle:
        return trigger, trigger
    return min(trigger, abs(cycle - trigger)), trigger


def _cycle_ms(frame: Frame) -> float | None:
    interval = _numbers(frame.header, "NominalInterval", 1, frame.path)
    return float(interval[0]) if interval is not None and interval[0] > 0 else None


def _phase_spread(frames: Sequence[Frame]) -> list[str]:
    """A problem if the chosen phases lie apart in the cycle."""
    cycle = _cycle_ms(frames[0])
    triggers = [frame.trigger for frame in frames if frame.trigger is not None]
    if cycle is None or not triggers or max(triggers) - min(triggers) <= 0.2 * cycle:
        return []
    return [f"phases differ between slices: trigger {min(triggers):g} to {max(triggers):g} ms"]


def _common_spacing(frames: Sequence[Frame]) -> tuple[float, float]:
    first = None
    for frame in frames:
        spacing = _numbers(frame.header, "PixelSpacing", 2, frame.path)
        if spacing is None:
            raise InputError(f"{frame.path}: PixelSpacing is missing: correct the header")
        check_spacing(spacing.tolist(), str(frame.path))
        if first is None:
            first = spacing
        elif not np.allclose(spacing, first, rtol=1e-3):
            raise InputError(
                f"{frame.path}: PixelSpacing differs from {frames[0].name} in the same stack: "
                "keep slices of one spacing"
            )
    assert first is not None
    return float(first[0]), float(first[1])


def _intensities(
    frames: Sequence[Frame], *, window: bool
) -> tuple[Float32[np.ndarray, "slices height width"], dict]:
    """Rescaled and windowed intensities, and what was done to them."""
    values = []
    for frame in frames:
        stored = _decode(frame)
        with _no_validation():
            if "ModalityLUTSequence" in frame.header:
                values.append(np.asarray(apply_modality_lut(stored, frame.header), np.float64))
                continue
        slope, intercept = _rescale(frame)
        values.append(stored * slope + intercept)
    image = np.stack(values)
    pairs = sorted({_rescale(frame) for frame in frames})
    done: dict = {"rescale": [list(pair) for pair in pairs], "window": None, "problems": []}
    if window:
        image = _windowed(image, frames, done)
    if _text(frames[0], "PhotometricInterpretation") == "MONOCHROME1":
        image = image.max() + image.min() - image
        done["inverted"] = True
    with np.errstate(over="ignore"):  # What overflows is refused as infinite.
        return image.astype(np.float32), done


def _rescale(frame: Frame) -> tuple[float, float]:
    """Slope and intercept; (1, 0) where the header has none."""
    slope, intercept = _pair(frame, "RescaleSlope", "RescaleIntercept", (1.0, 0.0))
    if slope == 0:
        raise InputError(f"{frame.path}: RescaleSlope is 0, which wipes out the image: correct it")
    return slope, intercept


def _windowed(
    image: Float64[np.ndarray, "slices height width"], frames: Sequence[Frame], done: dict
) -> Float64[np.ndarray, "slices height width"]:
    windows = [_pair(frame, "WindowCenter", "WindowWidth", (0.0, 0.0)) for frame in frames]
    windows = [(centre, width) for centre, width in windows if width > 1]
    if not windows:
        return image
    if len(windows) < len(frames):
        done["problems"].append(f"{len(frames) - len(windows)} slices tell no usable window")
    # DICOM PS3.3 C.11.2.1.2: a linear window spans centre - 0.5 -+ (width - 1) / 2.
    low = min(centre - 0.5 - (width - 1) / 2 for centre, width in windows)
    high = max(centre - 0.5 + (width - 1) / 2 for centre, width in windows)
    display = Dataset()
    with _no_validation():
        for keyword in ("BitsStored", "PhotometricInterpretation", "VOILUTFunction"):
            if keyword in frames[0].header:
                setattr(display, keyword, frames[0].header[keyword].value)
        # Display values start at 0 whatever the sign of the stored ones: half of the maximum must
        # mean something to whoever thresholds there.
        display.PixelRepresentation = 0
        width = high - low + 1
        display.WindowWidth = width
        display.WindowCenter = low + 0.5 + (width - 1) / 2
        done["window"] = [float(display.WindowCenter), float(display.WindowWidth)]
        return np.asarray(apply_voi_lut(image, display, prefer_lut=False), np.float64)


def _pair(
    frame: Frame, first: str, second: str, default: tuple[float, float]
) -> tuple[float, float]:
    """The first value of two attributes that belong together."""
    if first not in frame.header or second not in frame.header:
        return default
    try:
        a = np.atleast_1d(np.asarray(frame.header.get(first), float))
        b = np.atleast_1d(np.asarray(frame.header.get(second), float))
    except (TypeError, ValueError) as error:
        raise InputError(f"{frame.path}: {first} is not a number: correct the header") from error
    if not (a.size and b.size and np.isfinite(a[0]) and np.isfinite(b[0])):
        return default
    return float(a[0]), float(b[0])


def _decode(frame: Frame) -> np.ndarray:
    """Stored pixel values, ``[height, width]``."""
    with warnings.catch_warnings(), _no_validation():
        warnings.simplefilter("ignore")
        try:
            stored = pixel_array(_pixel_source(frame.path), index=frame.index)
        except _PYDICOM_ERRORS as error:
            raise InputError(
                f"{frame.path}: cannot decode the pixels: truncated file, unsupported compression "
                "or incomplete header: copy it again or export it uncompressed"
            ) from error
    if stored.shape != _size(frame):
        raise InputError(f"{frame.path}: pixels do not fit Rows x Columns: export it again")
    return stored


def _pixel_source(path: pathlib.Path) -> pathlib.Path | Dataset:
    """The file or, if it does not tell its encoding, its data set with the encoding filled in."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    if "TransferSyntaxUID" in dataset.file_meta:
        return path
    dataset = pydicom.dcmread(path, force=True)
    implicit, _ = dataset.original_encoding
    dataset.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )
    return dataset


def _affine(
    frames: Sequence[Frame],
    positions_mm: Float64[np.ndarray, "slices"],
    spacing_mm: tuple[float, float],
) -> Float64[np.ndarray, "4 4"]:
    """Voxel (column, row, slice) to RAS+ mm; the slice step is the mean one."""
    first, last = frames[0], frames[-1]
    assert first.position is not None and last.position is not None
    assert first.orientation is not None
    if len(frames) > 1:
        step = (last.position - first.position) / (len(frames) - 1)
    else:
        thickness = _numbers(first.header, "SliceThickness", 1, first.path)
        distance = 0.0 if thickness is None else float(thickness[0])
        step = np.cross(*first.orientation) * (distance if distance > 0 else 1.0)
    affine = np.eye(4)
    affine[:3, 0] = _LPS_TO_RAS @ first.orientation[0] * spacing_mm[1]
    affine[:3, 1] = _LPS_TO_RAS @ first.orientation[1] * spacing_mm[0]
    affine[:3, 2] = _LPS_TO_RAS @ step
    affine[:3, 3] = _LPS_TO_RAS @ first.position
    return affine


def _drift(
    frames: Sequence[Frame], affine: Float64[np.ndarray, "4 4"], spacing_mm: tuple[float, float]
) -> list[str]:
    """A problem if slices are shifted in plane against the straight stack of the affine."""
    axes = affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0)
    shift = 0.0
    for k, frame in enumerate(frames):
        assert frame.position is not None
        offset = _LPS_TO_RAS @ frame.position - (affine[:3, 3] + k * affine[:3, 2])
        shift = max(shift, float(np.abs(offset @ axes).max()))
    slant = float(np.abs(affine[:3, 2] @ axes).max())
    if shift <= 0.5 * min(spacing_mm) and slant <= 0.5 * min(spacing_mm):
        return []
    return [f"slices are shifted in plane, by up to {max(shift, slant):.1f} mm a slice"]


def _guess_modality(stack: FrameStack, frames: Sequence[Frame]) -> tuple[Modality, str]:
    """The modality, and what it rests on."""
    if stack.phases > 1:
        return "cine", "several phases"
    description = " ".join(
        _text(frames[0], keyword) for keyword in ("SeriesDescription", "ProtocolName")
    ).replace("_", " ")
    if _LGE_WORDS.search(description):
        return "lge", "series description"
    if _CINE_WORDS.search(description):
        return "cine", "series description"
    for keyword in ("InversionTime", "InversionTimes"):
        if keyword in frames[0].header:
            value = _text(frames[0], keyword).strip("[]").split(",")[0]
            if value and float(value) > 0:
                return "lge", "inversion time"
    images = _numbers(frames[0].header, "CardiacNumberOfImages", 1, frames[0].path)
    if images is not None and images[0] > 1:
        return "cine", "several phases"
    return "lge", "default"


def _pseudonym(stack: FrameStack) -> str:
    """``scan-`` and ten hexadecimal digits of a SHA-256 of study and series UID."""
    study = _text(stack.frames[0][0], "StudyInstanceUID")
    digest = hashlib.sha256((study + "".join(stack.series)).encode()).hexdigest()
    return f"scan-{digest[:10]}"
