"""Scar rules against an expert: the infarct that each marks inside of the expert's own wall.

What a rule is told beside the picture and the wall is one of three settings:

- ``near``: the expert's infarct, as a reader's rough outline of where to look (grown by 3 mm), for
  the peak, and to keep remote myocardium away from it;
- ``wall``: the same, but scar is marked in the whole wall;
- ``blind``: nothing; what exceeds remote myocardium by five deviations stands for the enhancement.

The no-reflow that is found in the picture is part of every rule's infarct, as the expert's is of
the infarct. Dice over the stack is 1 where both are empty and 0 where one is. Volumes are in mL.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from acsnet_jax.clinical import (
    NotAvailable,
    Regions,
    Remote,
    core_scar,
    find_no_reflow,
    find_remote,
    reference_no_reflow,
    reference_regions,
    scan_volume_ml,
    scar_by_rules,
)
from acsnet_jax.clinical.assessment import LARGE_INFARCT
from acsnet_jax.clinical.thresholds import NEAR_MM, without_specks
from acsnet_jax.evaluation.summary import Summary, summarise
from acsnet_jax.metrics import stack_dice
from acsnet_jax.types import InputError, MaskStack, Scan

Setting = Literal["near", "wall", "blind"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)

_SEED_SD = 5.0
_SPECK_MM2 = 10.0


class RuleRecord(NamedTuple):
    """One rule on one patient.

    Attributes:
        scan_id: the patient's pseudonymous id.
        rule: of `acsnet_jax.clinical.RULES`.
        dice: of the infarct over the stack; None where the rule cannot be used.
        rule_ml: its infarct; None likewise.
        truth_ml: the expert's infarct.
        wall_ml: the expert's myocardium.
    """

    scan_id: str
    rule: str
    dice: float | None
    rule_ml: float | None
    truth_ml: float
    wall_ml: float

    @property
    def bias_ml(self) -> float | None:
        """The rule's volume less the expert's."""
        return None if self.rule_ml is None else self.rule_ml - self.truth_ml

    @property
    def error_ml(self) -> float | None:
        """Its size."""
        return None if self.bias_ml is None else abs(self.bias_ml)

    @property
    def bias_share(self) -> float | None:
        """The bias over the myocardium."""
        return None if self.bias_ml is None else self.bias_ml / self.wall_ml

    @property
    def decides_alike(self) -> bool | None:
        """Whether rule and expert agree on more than 15% of the LV's mass."""
        if self.rule_ml is None:
            return None
        limit = LARGE_INFARCT * self.wall_ml
        return (self.rule_ml > limit) == (self.truth_ml > limit)


class RuleRow(NamedTuple):
    """One rule over the patients in whom the expert has an infarct.

    Attributes:
        rule: its name.
        dice: mean over patients.
        bias_ml: mean of rule less expert.
        spread_ml: standard deviation of the differences; None with fewer than two patients.
        error_ml: mean of their size.
        bias_share: mean bias as a share of the myocardium.
        decides_alike: patients in whom rule and expert agree on more than 15% of the LV's mass.
        healthy_ml: mean volume in the patients without infarct; nothing counted where the rule
            cannot be used in them.
    """

    rule: str
    dice: Summary
    bias_ml: Summary
    spread_ml: float | None
    error_ml: Summary
    bias_share: Summary
    decides_alike: int
    healthy_ml: Summary


def compare_rules(scan: Scan, setting: Setting) -> list[RuleRecord]:
    """Every rule on one patient, on labelled slices.

    Args:
        scan: with an expert's labels that tell enhancement.
        setting: what the rules are told.

    Raises:
        InputError: no labels, or such as do not tell enhancement; a single slice, or slices out of
            order.
    """
    drawn = reference_regions(scan)
    if drawn.enhancement is None:
        raise InputError(f"scan {scan.id}: the labels do not tell enhancement: give LGE labels")
    truth = drawn.enhancement
    told = None if setting == "blind" else truth
    remote = find_remote(scan.image, drawn.myocardium, scan.spacing_mm, enhancement=told)
    enhancement = _seed(scan, drawn, remote) if told is None else told
    no_reflow = np.zeros_like(truth)
    if not isinstance(remote, NotAvailable) and enhancement.any():
        no_reflow = find_no_reflow(
            scan.image, drawn.myocardium, enhancement, remote, scan.spacing_mm
        )
    found = scar_by_rules(
        scan,
        drawn.myocardium,
        enhancement,
        core_scar(scan, enhancement),
        remote,
        near_mm=NEAR_MM if setting == "near" else None,
    )
    volumes = scan_volume_ml(truth, scan), scan_volume_ml(drawn.myocardium, scan)
    records = []
    for rule, one in found.items():
        unseen = not isinstance(remote, NotAvailable) and not enhancement.any()
        if isinstance(one, NotAvailable) and setting == "blind" and unseen:
            marked = np.zeros_like(truth)  # nothing bright was seen: a rule's answer is no scar
        elif isinstance(one, NotAvailable):
            records.append(RuleRecord(scan.id, rule, None, None, *volumes))
            continue
        else:
            marked = one.mask | no_reflow
        dice = stack_dice(marked, truth)
        records.append(RuleRecord(scan.id, rule, dice, scan_volume_ml(marked, scan), *volumes))
    return records


def _seed(scan: Scan, drawn: Regions, remote: Remote | NotAvailable) -> MaskStack:
    """What is bright beyond doubt; nothing without remote myocardium to compare with."""
    if isinstance(remote, NotAvailable):
        return np.zeros_like(drawn.myocardium)
    bright = drawn.myocardium & (scan.image >= remote.mean + _SEED_SD * remote.sd)
    return without_specks(bright, scan.spacing_mm, _SPECK_MM2)


def rule_rows(records: Sequence[RuleRecord]) -> list[RuleRow]:
    """Means over patients, a row a rule."""
    rows = []
    for rule in dict.fromkeys(record.rule for record in records):
        own = [record for record in records if record.rule == rule]
        scarred = [record for record in own if record.truth_ml]
        healthy = [record for record in own if not record.truth_ml]
        biases = [record.bias_ml for record in scarred if record.bias_ml is not None]
        rows.append(
            RuleRow(
                rule=rule,
                dice=_mean(scarred, "dice"),
                bias_ml=_mean(scarred, "bias_ml"),
                spread_ml=float(np.std(biases, ddof=1)) if len(biases) > 1 else None,
                error_ml=_mean(scarred, "error_ml"),
                bias_share=_mean(scarred, "bias_share"),
                decides_alike=sum(record.decides_alike is True for record in scarred),
                healthy_ml=_mean(healthy, "rule_ml"),
            )
        )
    return rows


def _mean(records: Sequence[RuleRecord], name: str) -> Summary:
    return summarise((record.scan_id, getattr(record, name)) for record in records)


class NoReflowRecord(NamedTuple):
    """No-reflow of one patient, found in the picture given the expert's infarct.

    Attributes:
        scan_id: the patient's pseudonymous id.
        truth_ml: the expert's.
        found_ml: ours; None where it could not be looked for.
        shared_ml: of both.
    """

    scan_id: str
    truth_ml: float
    found_ml: float | None
    shared_ml: float | None


def compare_no_reflow(scan: Scan) -> NoReflowRecord:
    """No-reflow of one patient with an infarct.

    Raises:
        InputError: as `compare_rules`.
    """
    drawn = reference_regions(scan)
    truth = reference_no_reflow(scan)
    if drawn.enhancement is None or truth is None:
        raise InputError(f"scan {scan.id}: the labels do not tell enhancement: give LGE labels")
    truth_ml = scan_volume_ml(truth, scan)
    remote = find_remote(
        scan.image, drawn.myocardium, scan.spacing_mm, enhancement=drawn.enhancement
    )
    if isinstance(remote, NotAvailable):
        return NoReflowRecord(scan.id, truth_ml, None, None)
    found = find_no_reflow(scan.image, drawn.myocardium, drawn.enhancement, remote, scan.spacing_mm)
    both_ml = scan_volume_ml(found & truth, scan)
    return NoReflowRecord(scan.id, truth_ml, scan_volume_ml(found, scan), both_ml)
