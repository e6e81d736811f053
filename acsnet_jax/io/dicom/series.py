"""Which planes of a folder are its short-axis stack, which phase of a cine, which modality.

A stack is ordered by position along row x column, in mm; that is its "file order".
"""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from acsnet_jax.io.dicom.geometry import along_heart, parallel, position
from acsnet_jax.io.dicom.headers import Frame, read_frames, text
from acsnet_jax.io.dicom.values import first_number, numbers
from acsnet_jax.io.stack import check_positions
from acsnet_jax.types import InputError, Modality

_SAME_POSITION_MM = 0.05
_EARLY_IN_CYCLE = 0.15
_SHORT_AXIS = 0.75
"""Cosine with the heart's usual axis; short axes of five patients have 0.92 and more."""

_LOCALIZER_WORDS = re.compile(r"locali[sz]er|scout|survey|(?<![a-z])loc(?![a-z])", re.IGNORECASE)
_CINE_WORDS = re.compile(r"cine|ssfp|trufi|fiesta|b-?tfe|bffe", re.IGNORECASE)
_LGE_WORDS = re.compile(
    r"lge|psir|late|delay|viab|enhanc|(?<![a-z])(de|mde|dhe|ir)(?![a-z])", re.IGNORECASE
)


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
        return sorted({_uid(frame) for frames in self.frames for frame in frames})

    @property
    def phases(self) -> int:
        """Number of temporal phases at a position; the lower median where positions differ."""
        counts = sorted(len(phases) for phases in self.frames)
        return counts[(len(counts) - 1) // 2]


def find_stack(path: str | pathlib.Path, *, series: int | str | None = None) -> FrameStack:
    """The short-axis stack at or below ``path``; arguments and errors as of `read_dicom`."""
    groups, unplaced = _group(read_frames(path))
    group = _choose_group(groups, unplaced, series, str(path))
    uids = {_uid(frame) for frame in group}
    for frame in unplaced:
        if _uid(frame) in uids:
            raise InputError(_unplaced_message(frame))
    _check_patient(group)
    stack = _stack(group, str(path))
    if along_heart(group[0]) <= _SHORT_AXIS:
        stack.problems.append("slices do not seem to lie across the heart: is this a short axis?")
    return stack


def _check_patient(group: Sequence[Frame]) -> None:
    """Refuses a stack of several patients; a file may tell none. Messages tell no PatientID."""
    named = [frame for frame in group if text(frame, "PatientID")]
    for frame in named:
        if text(frame, "PatientID") != text(named[0], "PatientID"):
            raise InputError(
                f"{frame.path}: PatientID is another than in {named[0].name} of the same stack: "
                "keep the files of one patient"
            )


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


def _group(frames: Sequence[Frame]) -> tuple[list[list[Frame]], list[Frame]]:
    """Frames of one series and orientation together; frames without a place apart."""
    groups: list[list[Frame]] = []
    unplaced = []
    for frame in frames:
        if frame.position is None or frame.orientation is None:
            unplaced.append(frame)
            continue
        for group in groups:
            if _uid(group[0]) == _uid(frame) and parallel(group[0], frame):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups, unplaced


def _by_position(group: Sequence[Frame]) -> list[list[Frame]]:
    """Frames of a group, one list a position, ascending."""
    slices: list[list[Frame]] = []
    last = -np.inf
    for frame in sorted(group, key=position):
        if position(frame) - last > _SAME_POSITION_MM:
            slices.append([])
        slices[-1].append(frame)
        last = position(frame)
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
    short_axis = [group for group in stacks if along_heart(group[0]) > _SHORT_AXIS]
    if len(stacks) > 1 and short_axis:
        stacks = short_axis
    if len(stacks) > 1:
        names = _series_names(groups, unplaced)
        found = " and ".join(f"series {names[_uid(group[0])]}" for group in stacks)
        raise InputError(
            f"{where}: {len(stacks)} short-axis stacks, {found}: "
            "choose one with series=NUMBER (or its SeriesInstanceUID)"
        )
    return stacks[0]


def _named_group(
    groups: list[list[Frame]], unplaced: list[Frame], series: int | str, where: str
) -> list[Frame]:
    names = _series_names(groups, unplaced)

    def matches(frame: Frame) -> bool:
        known = (text(frame, "SeriesNumber"), _uid(frame), names[_uid(frame)])
        return str(series).strip() in known

    for frame in unplaced:
        if matches(frame):
            raise InputError(_unplaced_message(frame))
    named = [group for group in groups if matches(group[0])]
    uids = {_uid(group[0]) for group in named}
    if not named:
        known = sorted({names[_uid(group[0])] for group in groups})
        raise InputError(f"{where}: no series {series}: the folder holds {', '.join(known)}")
    if len(uids) > 1:
        raise InputError(
            f"{where}: {len(uids)} series have the number {series}: choose one with "
            f"series={' or '.join(names[uid] for uid in sorted(uids))} (or its SeriesInstanceUID)"
        )
    return max(named, key=lambda group: len(_by_position(group)))


def _merge_singles(singles: list[list[Frame]]) -> list[list[Frame]]:
    """Joins series of one slice each, as some scanners export a stack, into parallel groups."""
    merged: list[list[Frame]] = []
    for group in singles:
        if _is_localizer(group[0]):
            continue
        for other in merged:
            same_kind = other[0].shape == group[0].shape and (
                text(other[0], "StudyInstanceUID") == text(group[0], "StudyInstanceUID")
            )
            if same_kind and parallel(other[0], group[0]):
                other.extend(group)
                break
        else:
            merged.append(list(group))
    return [group for group in merged if len(_by_position(group)) >= 3]


def _is_localizer(frame: Frame) -> bool:
    return "LOCALIZER" in text(frame, "ImageType").upper() or bool(
        _LOCALIZER_WORDS.search(text(frame, "SeriesDescription"))
    )


def _series_names(groups: list[list[Frame]], unplaced: list[Frame]) -> dict[str, str]:
    """What `series` may be given as in messages, by UID: the number, or ``7:2`` where two share 7.

    A description, free text, may name a person, and a UID tells whose study it is.
    """
    uids: dict[str, set[str]] = {}
    for frame in (*(group[0] for group in groups), *unplaced):
        uids.setdefault(_number(frame), set()).add(_uid(frame))
    return {
        uid: number if len(same) == 1 else f"{number}:{index}"
        for number, same in uids.items()
        for index, uid in enumerate(sorted(same), start=1)
    }


def _number(frame: Frame) -> str:
    number = text(frame, "SeriesNumber")
    return number if number.isdecimal() else "none"


def _uid(frame: Frame) -> str:
    return text(frame, "SeriesInstanceUID")


def _unplaced_message(frame: Frame) -> str:
    keyword = "ImagePositionPatient" if frame.position is None else "ImageOrientationPatient"
    return f"{frame.path}: {keyword} is missing: export the slice again with its geometry"


def _stack(group: list[Frame], where: str) -> FrameStack:
    """Orders one group, and checks sizes, phases and distances."""
    first = group[0]
    for frame in group[1:]:
        if frame.shape != first.shape:
            a, b = first.shape, frame.shape
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
    positions = np.array([position(frames[0]) for frames in slices])
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
    interval = numbers(frame.header, "NominalInterval", 1, frame.path)
    return float(interval[0]) if interval is not None and interval[0] > 0 else None


def phase_spread(frames: Sequence[Frame]) -> list[str]:
    """A problem if the chosen phases lie apart in the cycle."""
    cycle = _cycle_ms(frames[0])
    triggers = [frame.trigger for frame in frames if frame.trigger is not None]
    if cycle is None or not triggers or max(triggers) - min(triggers) <= 0.2 * cycle:
        return []
    return [f"phases differ between slices: trigger {min(triggers):g} to {max(triggers):g} ms"]


def guess_modality(stack: FrameStack, frames: Sequence[Frame]) -> tuple[Modality, str]:
    """The modality, and what it rests on."""
    if stack.phases > 1:
        return "cine", "several phases"
    description = " ".join(
        text(frames[0], keyword) for keyword in ("SeriesDescription", "ProtocolName")
    ).replace("_", " ")
    if _LGE_WORDS.search(description):
        return "lge", "series description"
    if _CINE_WORDS.search(description):
        return "cine", "series description"
    for keyword in ("InversionTime", "InversionTimes"):
        if keyword in frames[0].header:
            value = first_number(frames[0].header, keyword, frames[0].path)
            if value is not None and value > 0:
                return "lge", "inversion time"
    images = numbers(frames[0].header, "CardiacNumberOfImages", 1, frames[0].path)
    if images is not None and images[0] > 1:
        return "cine", "several phases"
    return "lge", "default"
