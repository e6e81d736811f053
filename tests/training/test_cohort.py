import dataclasses
import json

import numpy as np
import pytest

from acsnet_jax.io.stack import patient_of
from acsnet_jax.synthesis.phantom import make_cohort, make_scan
from acsnet_jax.training import cohort as cohorts
from acsnet_jax.training.cohort import (
    Cohort,
    CohortOptions,
    lge_like_by_phantoms,
    load,
    split,
)
from acsnet_jax.training.loop import train_and_evaluate
from acsnet_jax.training.spill import Spill
from acsnet_jax.types import InputError
from configs import lv

PHANTOMS = CohortOptions(patients=6, cine_format="phantom", cine_patients=3, image_size=96, seed=4)


def ids(scans):
    return [scan.id for scan in scans]


def reference(scan):
    """Id of the scan whose histogram a converted one has."""
    assert scan.provenance.cine_to_lge is not None
    return scan.provenance.cine_to_lge.reference


@pytest.fixture(scope="module")
def scans():
    """Four LGE and two cine patients."""
    lge = [make_scan(7, patient, size=80, spacing_mm=(1.7, 1.7)) for patient in range(4)]
    cine = [
        make_scan(7, patient, modality="cine", size=80, spacing_mm=(1.7, 1.7))
        for patient in range(2)
    ]
    return [lge[0], cine[0], lge[1], lge[2], cine[1], lge[3]]


@pytest.fixture
def read(monkeypatch):
    """Lets `load` find given scans in the cohort's folder, and others in the cine folder."""

    def give(scans, cine=()):
        found = {"here": list(scans), "cine": list(cine)}
        monkeypatch.setattr(cohorts, "read_cohort", lambda root, fmt, **_: found[root])
        return CohortOptions(
            format="nifti",
            root="here",
            cine_format="nifti" if cine else None,
            cine_root="cine" if cine else None,
        )

    return give


@pytest.mark.parametrize(
    ("patients", "fraction", "count"),
    [(40, 0.25, 10), (100, 0.25, 25), (10, 0.0, 1), (2, 0.25, 1), (3, 0.99, 2), (5, 0.5, 2)],
)
def test_the_held_out_share(patients, fraction, count):
    names = [f"p{index}" for index in range(patients)]
    held_out = split(names, fraction, seed=0)
    assert len(held_out) == count
    assert held_out < set(names)


def test_the_split_depends_on_names_and_seed_alone():
    names = [f"p{index:02d}" for index in range(20)]
    assert split(names, 0.25, seed=1) == split(names[::-1], 0.25, seed=1)
    assert split(names, 0.25, seed=1) != split(names, 0.25, seed=2)


def test_a_share_of_1_holds_out_everyone():
    assert split(["a"], 1.0, seed=0) == {"a"}
    assert split(["a", "b", "c"], 1.0, seed=0) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("sub-12", "sub-12"),
        ("sub-12_ses-1_acq-lge", "sub-12"),
        ("sub-1_ses-2", "sub-1"),
        ("sub-1-2_ses-1", "sub-1-2"),
        ("sub-12-b", "sub-12-b"),
        ("a_sub-12", "a_sub-12"),
        ("Case_P001", "Case_P001"),
    ],
)
def test_names_as_of_bids_tell_patients(name, patient):
    assert patient_of(name) == patient


def test_all_scans_of_a_patient_are_held_out_together():
    names = [f"sub-{index}_ses-{visit}" for index in range(8) for visit in range(1 + index % 3)]
    held_out = split(names, 0.5, seed=0)
    patients = {patient_of(name) for name in held_out}
    assert len(patients) == 4
    assert held_out == {name for name in names if patient_of(name) in patients}
    with pytest.raises(InputError, match="1 labelled patient"):
        split(["sub-1_ses-1", "sub-1_ses-2"], 0.5, seed=0)


@pytest.mark.parametrize("count", [0, 1])
def test_one_patient_cannot_be_divided(count):
    with pytest.raises(InputError, match=rf"{count} labelled patient.*at least 2"):
        split(["p"] * count, 0.25, seed=0)


def test_a_share_of_the_further_cine_cohort_is_held_out_too(tmp_path):
    data = CohortOptions(patients=4, cine_patients=8, image_size=80, cine_format="phantom")
    whole = load(data, tmp_path / "whole")
    some = load(dataclasses.replace(data, cine_test_fraction=0.25), tmp_path / "some")
    assert whole.cine_test == []
    assert len(some.cine_test) == 2
    held_out = {scan.id for scan in some.cine_test}
    trained = {scan.id for scan in some.train}
    assert not held_out & trained
    assert held_out | trained == {scan.id for scan in whole.train}
    assert [scan.id for scan in some.test] == [scan.id for scan in whole.test]


def test_a_phantom_cohort_is_divided_by_patient_and_written_down(tmp_path):
    cohort = load(PHANTOMS, tmp_path)
    train = [scan for scan in cohort.train if scan.modality == "lge"]
    cine = [scan for scan in cohort.train if scan.modality == "cine"]
    assert (len(train), len(cine), len(cohort.test)) == (4, 3, 2)
    assert not set(ids(cohort.train)) & set(ids(cohort.test))
    record = json.loads((tmp_path / "split.json").read_text())
    assert record == {"seed": 4, "train": sorted(ids(train)), "test": sorted(ids(cohort.test))}
    assert {scan.modality for scan in cohort.test} == {"lge"}
    assert [path.name for path in tmp_path.iterdir()] == ["split.json"]
    for scan in cine:
        assert reference(scan) in ids(train)
        assert scan.has_enhancement

    again = load(PHANTOMS, tmp_path)
    assert ids(again.train) == ids(cohort.train)
    for one, other in zip(cohort.train, again.train, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_no_held_out_patient_lends_its_histogram(read, scans, tmp_path):
    data = read(scans)
    for seed in range(6):
        workdir = tmp_path / str(seed)
        workdir.mkdir()
        cohort = load(CohortOptions(**{**vars(data), "seed": seed}), workdir)
        train = {scan.id for scan in cohort.train if scan.modality == "lge"}
        references = {reference(scan) for scan in cohort.train if scan.modality == "cine"}
        assert references <= train
        assert {scan.modality for scan in cohort.test} == {"lge"}
        assert len(cohort.test) == 1
        assert len(cohort.train) == 5  # every cine scan is for training


def test_a_patient_who_is_held_out_has_no_cine_in_training(read, scans, tmp_path):
    lge = [scan for scan in scans if scan.modality == "lge"]
    cine = [scan for scan in scans if scan.modality == "cine"]
    (held_out,) = load(read(lge), tmp_path).test
    same = cine[0].replace(id=held_out.id)
    cohort = load(read(lge, [same, cine[1]]), tmp_path)
    assert ids(cohort.cine) == [cine[1].id]
    assert held_out.id not in ids(cohort.train)


def test_whose_scans_they_are_is_told_by_names_of_bids(read, scans, tmp_path):
    lge = [
        scan.replace(id=f"sub-{index // 2}_ses-{index % 2}_acq-lge")
        for index, scan in enumerate([scan for scan in scans if scan.modality == "lge"] * 2)
    ]
    cine = [lge[0].replace(id=f"sub-{index}_acq-cine", modality="cine") for index in range(9)]
    cohort = load(read(lge, cine), tmp_path)
    held_out = {patient_of(scan.id) for scan in cohort.test}
    assert held_out and not held_out & {patient_of(scan.id) for scan in cohort.train}
    assert len(cohort.test) == 2 * len(held_out)
    assert len(cohort.cine) == 9 - len(held_out)


def test_a_patient_of_the_held_out_cine_has_no_lge_in_training(read, scans, tmp_path):
    lge = [scan for scan in scans if scan.modality == "lge"]
    cine = [scan for scan in scans if scan.modality == "cine"]
    trained = load(read(lge), tmp_path / "alone").train
    same = [one.replace(id=two.id) for one, two in zip(cine, trained, strict=False)]
    data = dataclasses.replace(read(lge, same), cine_test_fraction=0.5)
    cohort = load(data, tmp_path / "both")
    assert cohort.cine_test and not {*ids(cohort.cine_test)} & {*ids(cohort.train)}


def test_a_cohort_of_cine_scans_has_no_lge(read, scans, tmp_path):
    with pytest.raises(InputError, match=rf"cine: scan {scans[2].id} is late enhancement"):
        load(read(scans[:2], scans[1:3]), tmp_path)


def test_phantoms_that_lend_histograms_are_none_of_the_cohort(scans, tmp_path):
    cine = [scan for scan in scans if scan.modality == "cine"]
    lent = {reference(one) for one in lge_like_by_phantoms(cine, 7, Spill(tmp_path, None))}
    assert not lent & {scan.id for scan in make_cohort(20, 7, modality="lge")}


def test_a_cohort_of_cine_alone_is_divided_as_it_is(read, scans, tmp_path):
    cine = [scan for scan in scans if scan.modality == "cine"]
    cohort = load(read(cine), tmp_path)
    assert (len(cohort.train), len(cohort.test)) == (1, 1)
    assert not cohort.train[0].has_enhancement  # nothing to convert it by


def test_scans_without_outlines_are_left_out(read, scans, tmp_path):
    lge = [scan for scan in scans if scan.modality == "lge"]
    cine = [scan for scan in scans if scan.modality == "cine"]
    none = np.zeros(len(lge[0].labelled), bool)
    bare = [
        lge[0].replace(id="bare", labels=None, labelled=none),
        cine[0].replace(id="bare-cine", labelled=np.zeros_like(cine[0].labelled)),
    ]
    cohort = load(read([*lge, bare[0]], [*cine, bare[1]]), tmp_path)
    found = ids(cohort.train + cohort.test)
    assert not {"bare", "bare-cine"} & set(found)
    assert len(found) == 6


def test_an_existing_split_is_obeyed(read, scans, tmp_path):
    lge = [scan for scan in scans if scan.modality == "lge"]
    names = ids(lge)
    record = {"seed": 0, "train": names[:1], "test": names[1:]}
    (tmp_path / "split.json").write_text(json.dumps(record))
    cohort = load(read(lge), tmp_path)
    assert ids(cohort.train) == names[:1]
    assert ids(cohort.test) == names[1:]
    assert json.loads((tmp_path / "split.json").read_text()) == record


def test_a_split_with_one_patient_on_both_sides_is_refused(read, scans, tmp_path):
    lge = [scan for scan in scans if scan.modality == "lge"]
    names = [f"sub-{index // 2}_ses-{index % 2}" for index in range(4)]
    named = [scan.replace(id=name) for scan, name in zip(lge, names, strict=True)]
    record = {"seed": 0, "train": names[:1], "test": names[1:]}
    (tmp_path / "split.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"trains on one scan of sub-0 and holds out.*--workdir"):
        load(read(named), tmp_path)


def test_the_split_of_another_cohort_is_refused(read, scans, tmp_path):
    load(read(scans), tmp_path)
    with pytest.raises(InputError, match=r"split\.json divides another cohort.*workdir"):
        load(read(scans[:-1]), tmp_path)


def test_networks_are_not_judged_by_a_division_drawn_after_them(read, scans, tmp_path):
    load(read(scans), tmp_path)
    (tmp_path / "checkpoints").mkdir()
    load(read(scans), tmp_path)
    (tmp_path / "split.json").unlink()
    with pytest.raises(InputError, match=r"split\.json is missing.*checkpoints.*--workdir"):
        load(read(scans), tmp_path)
    assert not (tmp_path / "split.json").exists()


def test_a_single_labelled_slice_is_refused_before_anything_is_trained(read, scans, tmp_path):
    one = scans[0]
    parts = {name: getattr(one, name)[:1] for name in ("image", "labels", "labelled")}
    parts["labelled"] = np.ones(1, bool)
    alone = one.replace(**parts, positions_mm=one.positions_mm[:1], file_order=np.arange(1))
    with pytest.raises(InputError, match=f"scan {one.id} is a single slice"):
        load(read([alone, *scans[1:]]), tmp_path)


@pytest.mark.parametrize("prefix", ["", "cine_"])
def test_a_format_needs_its_folder(prefix, tmp_path):
    phantoms = CohortOptions(patients=2, image_size=96)
    with pytest.raises(InputError, match=rf"--config\.data\.{prefix}root=DIR"):
        load(dataclasses.replace(phantoms, **{f"{prefix}format": "emidec"}), tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"root": "mine"}, r"data\.root is mine.*--config\.data\.format=FORMAT"),
        ({"cine_root": "mine"}, r"data\.cine_root is mine.*data\.cine_format=FORMAT"),
        ({"cine_root": "mine", "cine_format": "phantom"}, r"data\.cine_root"),
        ({"patients": 0}, r"data\.patients is 0: give 1 or more"),
        ({"seed": -1}, r"data\.seed is -1"),
        ({"test_fraction": 25.0}, r"data\.test_fraction is 25\.0: give above 0 and at most 1"),
        ({"test_fraction": 0.0}, r"data\.test_fraction"),
        ({"cine_test_fraction": -0.5}, r"data\.cine_test_fraction"),
        ({"memory_gb": -1.0}, r"data\.memory_gb"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        CohortOptions(**options)


def test_a_missing_folder_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        load(CohortOptions(format="emidec", root=str(tmp_path / "nowhere")), tmp_path)
    assert not (tmp_path / "split.json").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_named_before_anything_is_trained(scans, tmp_path, value):
    image = scans[2].image.copy()
    image[1, 3, 4] = value
    broken = [*scans[:2], scans[2].replace(image=image)]
    message = f"scan {scans[2].id}: slice 2 of {len(image)} .*NaN or infinite"
    with pytest.raises(InputError, match=message):
        cohorts.check_images(broken)
    cohorts.check_images(scans)
    for cohort in (Cohort(broken, scans[3:]), Cohort(scans[3:], broken)):
        with pytest.raises(InputError, match=message):
            train_and_evaluate(lv.get_config(), tmp_path, cohort=cohort)
    assert not (tmp_path / "checkpoints").exists()
