"""A study in a few numbers, scar first: what the report, its log and ``summary.json`` begin with.

Percentages are of 100, volumes in mL. Means are over patients, with 95% confidence intervals by
Student's t.
"""

import dataclasses
from typing import NamedTuple

from acsnet_jax.evaluation.records import Evaluation
from acsnet_jax.evaluation.summary import (
    SliceMeasure,
    Structure,
    Summary,
    VolumeMeasure,
    VolumeStructure,
    patient_presence,
    slice_presence,
    summarise,
)
from acsnet_jax.evaluation.validity import Validity


@dataclasses.dataclass(frozen=True)
class Targets:
    """What a study aims at; 0 for no aim.

    Attributes:
        scar_dice: mean Dice of enhancement on slices where the expert drew some.
        scar_volume_error: mean of ``|ours - expert| / expert`` of the enhancement's volume.
        scar_missed: largest share of scarred patients in whom no enhancement is found.
        scar_false_alarms: largest share of patients without scar in whom some is found.
        lv_dice: mean Dice of the LV.
        myocardium_dice: mean Dice of the myocardium.
        lv_volume_error: mean of ``|ours - expert| / expert`` of the LV's volume.
    """

    scar_dice: float = 0.0
    scar_volume_error: float = 0.0
    scar_missed: float = 0.0
    scar_false_alarms: float = 0.0
    lv_dice: float = 0.0
    myocardium_dice: float = 0.0
    lv_volume_error: float = 0.0


class Number(NamedTuple):
    """A number of the study beside what was aimed at.

    Attributes:
        name: what it is.
        value: as measured; None if nothing could be counted.
        target: the aim; None for a number without one.
        unit: printed after both, such as "%"; may be empty.
        higher_is_better: whether the aim is a floor.
        digits: decimals to print.
        half_width: half the 95% confidence interval; None where there is none.
        note: of what it is taken, and what must be read with it.
        signed: whether a value above 0 is printed with its sign.
    """

    name: str
    value: float | None
    target: float | None = None
    unit: str = ""
    higher_is_better: bool = True
    digits: int = 2
    half_width: float | None = None
    note: str = ""
    signed: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached; None without an aim."""
        if self.target is None:
            return None
        if self.value is None:
            return False
        if self.higher_is_better:
            return self.value >= self.target
        return self.value <= self.target

    @property
    def shown(self) -> str:
        """The value with its interval."""
        if self.value is None:
            return self.text(None)
        sign = "+" if self.signed and self.value > 0 else ""
        if self.half_width is None:
            return f"{sign}{self.text(self.value)}"
        return f"{sign}{self.value:.{self.digits}f} ± {self.text(self.half_width)}"

    @property
    def aim(self) -> str:
        """The aim and whether it is met; empty without an aim."""
        if self.target is None:
            return ""
        relation = "≥" if self.higher_is_better else "≤"
        return f"aim {relation} {self.text(self.target)}: {'met' if self.met else 'missed'}"

    def text(self, number: float | None) -> str:
        """A number with the decimals and the unit of this one."""
        if number is None:
            return "n/a"
        return f"{number:.{self.digits}f}{' ' if self.unit else ''}{self.unit}"

    def record(self) -> dict[str, float | str | bool | None]:
        """What JSON keeps."""
        return {
            "value": self.value,
            "half_width_95": self.half_width,
            "unit": self.unit,
            "target": self.target,
            "met": self.met,
            "note": self.note,
        }

    def line(self) -> str:
        """Everything in one line."""
        return f"{self.name}: {'; '.join(x for x in (self.shown, self.aim, self.note) if x)}"


def headline_numbers(records: Evaluation, validity: Validity, targets: Targets) -> list[Number]:
    """The study in a few numbers.

    Args:
        records: of the held-out patients.
        validity: of the same.
        targets: what was aimed at.
    """
    infarct = "enhancement"
    patients = patient_presence(records.volumes, infarct)
    slices = slice_presence(records.slices, infarct)
    bias = _volume(records, infarct, "bias_ml")
    return [
        _error(
            "Infarct volume error",
            _volume(records, infarct, "relative_error"),
            targets.scar_volume_error,
            note=", those with scar",
        ),
        Number(
            "Infarct volume bias",
            bias.mean,
            unit="mL",
            digits=1,
            half_width=bias.half_width,
            note=f"ours less the expert's, {bias.counted} of {bias.n} patients",
            signed=True,
        ),
        _scar_dice(records, targets.scar_dice),
        _share(
            "Infarct missed",
            (patients.missed, patients.present),
            targets.scar_missed,
            note="patients with scar; "
            f"{slices.missed} of {slices.present} slices with scar have none of it",
        ),
        _share(
            "Infarct false alarms",
            (patients.false_alarms, patients.absent),
            targets.scar_false_alarms,
            note="patients without scar; "
            f"{slices.false_alarms} of {slices.absent} slices without scar have some",
        ),
        _mean_dice(
            "Myocardium Dice", _dice(records, "myocardium", "dice"), targets.myocardium_dice
        ),
        _mean_dice("LV Dice", _dice(records, "lv", "dice"), targets.lv_dice),
        _error(
            "LV volume error", _volume(records, "lv", "relative_error"), targets.lv_volume_error
        ),
        Number(
            "Output slices that satisfy delta",
            _percent(validity.share),
            100.0,
            unit="%",
            digits=1,
            note=f"{validity.valid} of {validity.returned + validity.given_up}; {validity.text()}",
        ),
    ]


def _error(name: str, error: Summary, target: float, *, note: str = "") -> Number:
    return Number(
        name,
        _percent(error.mean),
        _percent(target) or None,
        unit="%",
        higher_is_better=False,
        digits=1,
        half_width=_percent(error.half_width),
        note=f"{error.counted} of {error.n} patients{note}",
    )


def _mean_dice(name: str, dice: Summary, target: float) -> Number:
    return Number(
        name,
        dice.mean,
        target or None,
        digits=3,
        half_width=dice.half_width,
        note=f"{dice.counted} of {dice.n} slices of {dice.patients} patients",
    )


def _scar_dice(records: Evaluation, target: float) -> Number:
    """On slices with scar; the mean over all counts every empty pair as 1."""
    number = _mean_dice("Infarct Dice", _dice(records, "enhancement", "dice_where_drawn"), target)
    everywhere = _mean_dice("", _dice(records, "enhancement", "dice"), 0.0).shown
    return number._replace(note=f"{number.note}, those with scar; {everywhere} over all")


def _share(name: str, counts: tuple[int, int], target: float, *, note: str) -> Number:
    """A share of patients that should be small."""
    count, of = counts
    return Number(
        name,
        100 * count / of if of else None,
        _percent(target) or None,
        unit="%",
        higher_is_better=False,
        digits=1,
        note=f"{count} of {of} {note}",
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _dice(records: Evaluation, structure: Structure, measure: SliceMeasure) -> Summary:
    return summarise(
        (r.scan_id, getattr(r, measure)) for r in records.slices if r.structure == structure
    )


def _volume(records: Evaluation, structure: VolumeStructure, measure: VolumeMeasure) -> Summary:
    return summarise(
        (r.scan_id, getattr(r, measure))
        for r in records.volumes
        if (r.structure, r.reference) == (structure, "drawn")
    )
