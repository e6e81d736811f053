"""Whether the latent correction earns its place: masks as predicted and damaged, mended five ways.

Masks are ``Bool[slices, height, width]`` on stage 2's working grid, the slices of all patients in
one stack. Nothing is mended, or the usual cleaning of components is done, or ours with the scope
"invalid", once without its cleaned pose and once whole, or ours with the scope "all"; delta and the
expert judge what comes out. Who returns nothing has not mended: an empty mask is a violation, since
the expert has myocardium on every slice. Dice, shares and relative errors lie in [0, 1], distances
are in mm. Clean predictions have the kind "clean" and strength 0. Means are over patients, with 95%
confidence intervals by Student's t; shares count slices.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64
from tqdm import tqdm

from acsnet_jax.anatomy.cleanup import clean_components
from acsnet_jax.clinical import slice_extents_mm
from acsnet_jax.correction import Corrector, correct_stack, valid_stack
from acsnet_jax.evaluation.damage import KINDS, STRENGTHS, Kind, damage
from acsnet_jax.evaluation.summary import Summary, summarise
from acsnet_jax.metrics import dice, hausdorff_mm
from acsnet_jax.pipeline import Bundle, delineate
from acsnet_jax.preprocess.crop import crop_or_pad
from acsnet_jax.preprocess.stages import lv_box, myo_working
from acsnet_jax.types import InputError, Label, MaskStack, NoVentricleError, Scan, Spacing

_LOG = logging.getLogger(__name__)

_SHOWN = 4  # strength of the examples

METHODS = {
    "none": "no correction",
    "components": "components",
    "latent": "ours, latent part alone",
    "invalid": "ours, invalid",
    "all": "ours, all",
}
"""What mends masks, and how tables and pictures call it."""

_OURS: dict[str, dict[str, Any]] = {
    "latent": {"scope": "invalid", "cleaned_pose": False},
    "invalid": {"scope": "invalid", "cleaned_pose": True},
    "all": {"scope": "all", "cleaned_pose": True},
}
"""Options of the correction that make each of our methods."""


class Slices(NamedTuple):
    """What is compared: slices of one size and spacing, on which the expert has myocardium.

    Attributes:
        scan_ids: the patient of each.
        images: on the grid of the masks.
        predicted: myocardium.
        expert: myocardium.
        extents_mm: how much of the stack each stands for, for volumes.
        spacing_mm: (row, column) distance of pixel centres in mm.
    """

    scan_ids: tuple[str, ...]
    images: Float32[np.ndarray, "slices height width"]
    predicted: MaskStack
    expert: MaskStack
    extents_mm: Float64[np.ndarray, "slices"]
    spacing_mm: Spacing


class DamageScore(NamedTuple):
    """How one method fares under one condition.

    Attributes:
        kind: of damage, or "clean".
        strength: of the damage; 0 for clean, None for all strengths together.
        method: what corrected the masks.
        slices: number of slices, on all of which the expert has myocardium.
        masks: number of given masks that are not empty.
        violations: share of the slices whose returned mask fails delta or is empty.
        lost: number of given masks, empty ones aside, that come back empty.
        untouched: share of the given masks, empty ones aside, that come back as they were; None if
            all are empty.
        dice: with the expert.
        hausdorff_mm: to the expert's outline; the picture's diagonal if the mask is empty.
        volume_error: of the myocardium, ``|mask - expert| / expert`` over a patient's slices.
    """

    kind: str
    strength: int | None
    method: str
    slices: int
    masks: int
    violations: float
    lost: int
    untouched: float | None
    dice: Summary
    hausdorff_mm: Summary
    volume_error: Summary


class DamageGain(NamedTuple):
    """Dice of ours (invalid) less that of another method, slice by slice, all strengths together.

    Attributes:
        kind: of damage, or "clean".
        over: the other method.
        dice: the difference; above 0 where ours is better.
    """

    kind: str
    over: str
    dice: Summary


class AlreadyValid(NamedTuple):
    """What the correction does to clean predictions that satisfy delta.

    Attributes:
        slices: how many there are.
        unchanged: how many of them the scope "invalid" returns bit for bit.
        before: their Dice.
        invalid: their Dice after the scope "invalid".
        all: their Dice after the scope "all".
        cost: Dice after the scope "all" less Dice before, slice by slice.
    """

    slices: int
    unchanged: int
    before: Summary
    invalid: Summary
    all: Summary
    cost: Summary


class DamageStudy(NamedTuple):
    """All numbers of the study.

    Attributes:
        patients: number of patients.
        slices: number of slices on which the expert has myocardium.
        seed: of the damage.
        spacing_mm: of the masks.
        scores: every condition by every method.
        means: clean and each kind, all strengths together, by every method.
        gains: ours (invalid) against each other method.
        already_valid: clean predictions that need no correction.
    """

    patients: int
    slices: int
    seed: int
    spacing_mm: Spacing
    scores: list[DamageScore]
    means: list[DamageScore]
    gains: list[DamageGain]
    already_valid: AlreadyValid


class DamageExample(NamedTuple):
    """One slice before and after.

    Attributes:
        kind: of the damage.
        strength: of the damage.
        scan_id: the patient's pseudonymous id.
        image: the slice on the masks' grid.
        expert: what the expert drew.
        masks: what each method returns; "none" is the damaged mask.
        dice: of each with the expert.
        valid: whether each satisfies delta.
    """

    kind: str
    strength: int
    scan_id: str
    image: Float32[np.ndarray, "height width"]
    expert: Bool[np.ndarray, "height width"]
    masks: Mapping[str, Bool[np.ndarray, "height width"]]
    dice: Mapping[str, float]
    valid: Mapping[str, bool]


def predict_slices(scans: Sequence[Scan], bundle: Bundle) -> Slices:
    """Stage 2's myocardium beside the expert's, in windows that stand where stage 2's stood.

    Args:
        scans: with labels.
        bundle: of one working spacing; its autoencoder's size is that of the windows.

    Raises:
        InputError: no expert mask, no LV found, a single slice, or no one working spacing.
    """
    spacing_mm = bundle.spec.myo_spacing_mm
    if spacing_mm is None:
        raise InputError(
            "the bundle works at each scan's own spacing; the study needs one for all: train with "
            "config.spec.myo_spacing_mm"
        )
    parts = [
        _of_scan(scan, bundle) for scan in tqdm(scans, desc="delineate", unit="scan", disable=None)
    ]
    if not any(part.scan_ids for part in parts):
        raise InputError("no held-out slice has expert myocardium to compare with: add labels")
    return Slices(
        tuple(scan_id for part in parts for scan_id in part.scan_ids),
        *(np.concatenate(field) for field in zip(*(part[1:-1] for part in parts), strict=True)),
        spacing_mm=(spacing_mm, spacing_mm),
    )


def _of_scan(scan: Scan, bundle: Bundle) -> Slices:
    """Slices with expert myocardium; where no ventricle is found, the prediction is empty."""
    working = myo_working(scan, bundle.spec)
    reference = drawn = np.zeros(working.image.shape, bool)
    if working.labels is not None:
        reference, drawn = working.labels >= Label.MYOCARDIUM, working.labels > 0
    try:
        found = delineate(scan, bundle)
        lv, myocardium = found.lv, found.myocardium >= 0.5
    except NoVentricleError as error:
        _LOG.warning("%s", error)
        if not drawn.any():
            raise
        lv, myocardium = drawn, np.zeros_like(drawn)
    size = bundle.corrector.size
    centre = lv_box(lv, working.grid.spacing_mm, bundle.spec.margin_mm).centre
    if crop_or_pad(reference, size, centre=centre).sum() < reference.sum():
        # what stage 1 missed counts all the same
        centre = lv_box(drawn, working.grid.spacing_mm, bundle.spec.margin_mm).centre
    images, predicted, expert = (
        crop_or_pad(stack, size, centre=centre) for stack in (working.image, myocardium, reference)
    )
    judged = np.flatnonzero(scan.labelled & expert.any(axis=(1, 2)))
    try:
        extents_mm = slice_extents_mm(scan.positions_mm)
    except InputError as error:
        raise InputError(f"scan {scan.id}: {error}") from error
    return Slices(
        (scan.id,) * len(judged),
        images[judged],
        predicted[judged],
        expert[judged],
        extents_mm[judged],
        working.grid.spacing_mm,
    )


class _Outcome(NamedTuple):
    """What one method makes of one condition, one entry a slice; volume errors by patient."""

    kind: str
    strength: int
    method: str
    given: Bool[np.ndarray, "slices"]  # whether the mask that was given is not empty
    left: Bool[np.ndarray, "slices"]  # whether the mask that was returned is not empty
    valid: Bool[np.ndarray, "slices"]
    untouched: Bool[np.ndarray, "slices"]
    dice: Float64[np.ndarray, "slices"]
    hausdorff_mm: list[float | None]
    volume_error: dict[str, float]


def compare(
    slices: Slices, corrector: Corrector, *, seed: int = 0
) -> tuple[DamageStudy, list[DamageExample]]:
    """Every method on the masks as predicted and damaged in every way.

    A slice is damaged at much the same places by all strengths of one kind.

    Args:
        slices: what is compared.
        corrector: with a population drawn at this spacing; its scope and its ``cleaned_pose`` are
            not used.
        seed: of the damage.

    Returns:
        All numbers, and one example a kind: of the masks that fail delta only since they were
        damaged, the one in which ours gains or loses the median Dice over components.
    """
    ours: dict[str, Corrector] = {
        method: dataclasses.replace(
            corrector, options=dataclasses.replace(corrector.options, **options)
        )
        for method, options in _OURS.items()
    }
    conditions: list[tuple[Kind | None, int]] = [(None, 0)]
    conditions.extend((kind, strength) for kind in KINDS for strength in STRENGTHS)
    outcomes: list[_Outcome] = []
    examples: list[DamageExample] = []
    for kind, strength in tqdm(conditions, desc="compare", unit="condition", disable=None):
        masks = slices.predicted if kind is None else _damaged(slices, kind, strength, seed)
        mended = {method: _mend(masks, method, ours, slices.spacing_mm) for method in METHODS}
        found = _judge(kind or "clean", strength, mended, slices, corrector)
        if strength == _SHOWN:
            examples.append(_example(found, mended, slices, sound=outcomes[0].valid))
        outcomes += found
    return _study(outcomes, slices, seed), examples


def _damaged(slices: Slices, kind: Kind, strength: int, seed: int) -> MaskStack:
    return np.stack(
        [
            damage(
                np.random.default_rng([seed, KINDS.index(kind), index]),
                mask,
                slices.spacing_mm,
                kind,
                strength,
            )
            for index, mask in enumerate(slices.predicted)
        ]
    )


def _mend(
    masks: MaskStack, method: str, ours: Mapping[str, Corrector], spacing_mm: Spacing
) -> MaskStack:
    if method == "none":
        return masks
    if method == "components":
        return np.stack([clean_components(mask) for mask in masks])
    return np.asarray(correct_stack(masks, ours[method], spacing_mm).mask)


def _judge(
    kind: str,
    strength: int,
    mended: Mapping[str, MaskStack],
    slices: Slices,
    corrector: Corrector,
) -> list[_Outcome]:
    """One outcome a method, the given masks being those of "none"."""
    given = mended["none"]
    return [
        _Outcome(
            kind,
            strength,
            method,
            given=np.any(given, axis=(1, 2)),
            left=np.any(masks, axis=(1, 2)),
            valid=valid_stack(masks, slices.spacing_mm, corrector.thresholds),
            untouched=np.all(masks == given, axis=(1, 2)),
            dice=np.asarray(dice(masks, slices.expert), np.float64),
            hausdorff_mm=[
                hausdorff_mm(mask, truth, slices.spacing_mm)
                for mask, truth in zip(masks, slices.expert, strict=True)
            ],
            volume_error=_volume_errors(masks, slices),
        )
        for method, masks in mended.items()
    ]


def _volume_errors(masks: MaskStack, slices: Slices) -> dict[str, float]:
    """``|mask - expert| / expert`` of each patient's volume."""
    ids = np.asarray(slices.scan_ids)
    ours, theirs = (
        np.count_nonzero(stack, axis=(1, 2)) * slices.extents_mm for stack in (masks, slices.expert)
    )
    return {
        scan_id: float(abs(ours[own].sum() - theirs[own].sum()) / theirs[own].sum())
        for scan_id in dict.fromkeys(slices.scan_ids)
        for own in (ids == scan_id,)
    }


def _example(
    found: Sequence[_Outcome], mended: Mapping[str, MaskStack], slices: Slices, *, sound: np.ndarray
) -> DamageExample:
    """The slice of median gain; see `compare`."""
    by_method = {outcome.method: outcome for outcome in found}
    broken = by_method["none"].given & ~by_method["none"].valid
    gain = by_method["invalid"].dice - by_method["components"].dice
    choice = next(which for which in (broken & sound, broken, np.ones_like(broken)) if which.any())
    ranked = np.flatnonzero(choice)[np.argsort(gain[choice], kind="stable")]
    index = int(ranked[len(ranked) // 2])
    return DamageExample(
        found[0].kind,
        found[0].strength,
        slices.scan_ids[index],
        slices.images[index],
        slices.expert[index],
        {method: masks[index] for method, masks in mended.items()},
        {method: float(outcome.dice[index]) for method, outcome in by_method.items()},
        {method: bool(outcome.valid[index]) for method, outcome in by_method.items()},
    )


def _study(outcomes: Sequence[_Outcome], slices: Slices, seed: int) -> DamageStudy:
    ids = slices.scan_ids
    pooled = {
        (kind, method): [one for one in outcomes if (one.kind, one.method) == (kind, method)]
        for kind in ("clean", *KINDS)
        for method in METHODS
    }
    gains = [
        DamageGain(
            kind,
            other,
            summarise(
                (scan_id, float(gain))
                for mine, theirs in zip(pooled[kind, "invalid"], pooled[kind, other], strict=True)
                for scan_id, gain in zip(ids, mine.dice - theirs.dice, strict=True)
            ),
        )
        for kind, other in pooled
        if other != "invalid"
    ]
    clean = {method: pooled["clean", method][0] for method in METHODS}
    return DamageStudy(
        patients=len(set(ids)),
        slices=len(ids),
        seed=seed,
        spacing_mm=slices.spacing_mm,
        scores=[_score([outcome], outcome.strength, ids) for outcome in outcomes],
        means=[_score(group, None, ids) for group in pooled.values()],
        gains=gains,
        already_valid=_already_valid(clean, ids),
    )


def _score(group: Sequence[_Outcome], strength: int | None, ids: Sequence[str]) -> DamageScore:
    """One method over one or more strengths of one kind."""
    given, left, valid, untouched = (
        np.concatenate([getattr(one, name) for one in group])
        for name in ("given", "left", "valid", "untouched")
    )
    return DamageScore(
        group[0].kind,
        strength,
        group[0].method,
        slices=len(given),
        masks=int(given.sum()),
        violations=float(1 - (valid & left).mean()),
        lost=int((given & ~left).sum()),
        untouched=float(untouched[given].mean()) if given.any() else None,
        dice=summarise(
            (scan_id, float(value))
            for one in group
            for scan_id, value in zip(ids, one.dice, strict=True)
        ),
        hausdorff_mm=summarise(
            (scan_id, value)
            for one in group
            for scan_id, value in zip(ids, one.hausdorff_mm, strict=True)
        ),
        volume_error=summarise(item for one in group for item in one.volume_error.items()),
    )


def _already_valid(clean: Mapping[str, _Outcome], ids: Sequence[str]) -> AlreadyValid:
    """Clean predictions that satisfy delta, before and after."""
    valid = clean["none"].valid

    def over(values: Float64[np.ndarray, "slices"]):
        return summarise((ids[int(k)], float(values[k])) for k in np.flatnonzero(valid))

    return AlreadyValid(
        slices=int(valid.sum()),
        unchanged=int((clean["invalid"].untouched & valid).sum()),
        before=over(clean["none"].dice),
        invalid=over(clean["invalid"].dice),
        all=over(clean["all"].dice),
        cost=over(clean["all"].dice - clean["none"].dice),
    )
