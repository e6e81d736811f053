"""Folds of patients, and masks judged by a latent space of closed form."""

import dataclasses

import numpy as np
import pytest
import rings

from acsnet_jax.evaluation.cross_validation import CrossValidation, divide, judge
from acsnet_jax.io.stack import patient_of
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.synthesis.phantom import make_cohort
from acsnet_jax.types import InputError, Label

SPEC = InputSpec(myo_spacing_mm=rings.SPACING, mask_size=rings.SIZE)
(TEMPLATE,) = make_cohort(1, 0, size=80)


def scan(scan_id, modality="lge", radii=(30.0, 21.0), slices=3):
    """Rings on a grid of the closed form's spacing."""
    mask = np.asarray(rings.decode(np.tile(np.asarray(radii, np.float32), (slices, 1))))
    labels = np.where(mask, Label.MYOCARDIUM, Label.BACKGROUND).astype(np.uint8)
    return dataclasses.replace(
        TEMPLATE,
        id=scan_id,
        image=mask.astype(np.float32),
        spacing_mm=(rings.SPACING, rings.SPACING),
        positions_mm=8.0 * np.arange(slices),
        oriented=False,
        modality=modality,
        labels=labels,
        labelled=np.ones(slices, bool),
        file_order=np.arange(slices),
    )


def cohort(lge, cine):
    return [scan(f"lge{k}") for k in range(lge)] + [scan(f"cine{k}", "cine") for k in range(cine)]


def ids(scans):
    return [one.id for one in scans]


@pytest.mark.parametrize(("lge", "cine", "folds"), [(7, 5, 3), (4, 4, 4), (6, 0, 2), (0, 5, 2)])
def test_each_patient_is_judged_once_by_what_never_saw_it(lge, cine, folds):
    scans = cohort(lge, cine)
    found = divide(scans, CrossValidation(folds=folds))
    assert len(found) == folds
    assert sorted(name for fold in found for name in ids(fold.judged)) == sorted(ids(scans))
    for fold in found:
        assert sorted(ids(fold.train) + ids(fold.judged)) == sorted(ids(scans))
    for kind in ("lge", "cine"):
        counts = [sum(one.modality == kind for one in fold.judged) for fold in found]
        assert max(counts) - min(counts) <= 1
    sizes = [len(fold.judged) for fold in found]
    assert max(sizes) - min(sizes) <= 1


def test_folds_are_seeded_and_do_not_ask_for_an_order():
    scans = cohort(9, 6)
    found = divide(scans, CrossValidation(folds=3))
    again = divide(scans[::-1], CrossValidation(folds=3))
    other = divide(scans, CrossValidation(folds=3, seed=1))
    judged = [set(ids(fold.judged)) for fold in found]
    assert judged == [set(ids(fold.judged)) for fold in again]
    assert judged != [set(ids(fold.judged)) for fold in other]


@pytest.mark.parametrize(("cine", "judged"), [(2, "all"), (6, "lge")])
def test_cine_patients_that_cannot_be_spared_train_in_every_fold(cine, judged):
    for fold in divide(cohort(6, cine), CrossValidation(folds=3, judged=judged)):
        assert sum(one.modality == "cine" for one in fold.train) == cine
        assert {one.modality for one in fold.judged} == {"lge"}


def test_a_patient_of_two_scans_is_in_one_fold():
    same = [scan("lge0", "cine"), scan("sub-1_ses-1"), scan("sub-1_ses-2"), scan("sub-1", "cine")]
    for judged in ("all", "lge"):
        for fold in divide([*cohort(4, 4), *same], CrossValidation(folds=2, judged=judged)):
            trained, held_out = ({patient_of(x.id) for x in part} for part in fold)
            assert not trained & held_out


def test_fewer_patients_than_folds_are_bad_input():
    with pytest.raises(InputError, match=r"2 lge training patient\(s\) for 3 folds; lower"):
        divide(cohort(2, 9), CrossValidation(folds=3))
    with pytest.raises(InputError, match=r"config\.validation\.folds is 1"):
        divide(cohort(2, 0), CrossValidation(folds=1))


@pytest.fixture(scope="module")
def scores():
    scans = [scan("a"), scan("b", "cine", radii=(24.0, 16.0), slices=2)]
    return judge(scans, SPEC, rings.make_corrector(), strengths=(1, 4), seed=[0, 1])


def test_expert_masks_are_rebuilt_and_damaged_in_every_way(scores):
    assert [(one.scan_id, one.modality, one.masks) for one in scores] == [
        ("a", "lge", 3),
        ("b", "cine", 2),
    ]
    for one in scores:
        assert one.damaged == one.masks * 6 * 2
        assert one.rebuilt_dice == pytest.approx(1.0, abs=0.02)  # rings are what the codes mean
        assert one.rebuilt_valid == one.masks
        assert one.lost == 0
        assert one.valid == one.damaged
        assert one.damaged_dice < one.corrected_dice <= 1


def test_the_same_seed_damages_alike(scores):
    scans = [scan("a"), scan("b", "cine", radii=(24.0, 16.0), slices=2)]
    corrector = rings.make_corrector()
    assert judge(scans, SPEC, corrector, strengths=(1, 4), seed=[0, 1]) == scores
    other = judge(scans, SPEC, None, strengths=(1, 4), seed=[0, 2])
    assert [one.damaged_dice for one in other] != [one.damaged_dice for one in scores]


def test_without_a_population_all_is_lost_and_damage_is_the_same(scores):
    scans = [scan("a"), scan("b", "cine", radii=(24.0, 16.0), slices=2)]
    for one, mended in zip(
        judge(scans, SPEC, None, strengths=(1, 4), seed=[0, 1]), scores, strict=True
    ):
        assert one.damaged_dice == mended.damaged_dice
        assert (one.corrected_dice, one.valid, one.lost) == (0, 0, one.damaged)
        assert one.rebuilt_dice is None
        assert one.rebuilt_valid is None


def test_scans_keep_their_own_spacing_where_the_spec_names_none(scores):
    native = dataclasses.replace(SPEC, myo_spacing_mm=None)
    wide = scan("wide").replace(spacing_mm=(1.6, 1.6))
    scans = [scan("a"), wide, scan("b", "cine", radii=(24.0, 16.0), slices=2)]
    found = judge(scans, native, rings.make_corrector(), strengths=(1,), seed=[0, 1])
    assert [one.scan_id for one in found] == ["a", "wide", "b"]
    assert all(one.damaged == 6 * one.masks for one in found)
