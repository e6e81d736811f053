import dataclasses

import pytest

from acsnet_jax.evaluation import (
    Burden,
    agreement,
    decisions,
    evaluate,
    evaluate_challenge,
    gate_records,
    patient_records,
)
from acsnet_jax.evaluation.burden import BURDEN_LIMITS, EVERYBODY, by_pathology
from acsnet_jax.evaluation.estimates import share
from acsnet_jax.pipeline import Inference


@pytest.fixture(scope="module")
def cohort(make_segmentation):
    """Scar found, scar missed, scar made up; of the last the owner says that it is normal."""
    found, missed, normal = (
        make_segmentation(name, scar=scar)
        for name, scar in (("a", True), ("bb", True), ("ccc", False))
    )
    missed = dataclasses.replace(missed, enhancement=normal.enhancement, core=normal.core)
    alarm = dataclasses.replace(
        normal,
        scan=normal.scan.replace(
            provenance=dataclasses.replace(normal.scan.provenance, pathology="normal")
        ),
        enhancement=found.enhancement,
    )
    return [found, missed, alarm]


@pytest.fixture(scope="module")
def patients(cohort):
    in_3d = evaluate_challenge(cohort)
    volumes = evaluate(cohort, Inference()).volumes
    return patient_records(cohort, in_3d, volumes, gate_records(cohort, in_3d))


def test_a_patient_has_its_share_its_volumes_and_a_verdict(cohort, patients):
    one = patients[0]
    scar, wall = (int(x.sum()) for x in (cohort[0].enhancement, cohort[0].myocardium))
    assert one.burden.scan_id == "a" and one.burden.pathology == "scar"
    assert one.burden.truth == one.burden.predicted == pytest.approx(scar / wall)
    assert one.burden.bias == 0
    assert one.volumes["lv"].truth_ml == pytest.approx(
        cohort[0].lv.sum() * 1.5 * 1.25 * 8 / 1000, rel=1e-6
    )
    assert {"core", "gray_zone", "enhancement"} <= set(one.volumes)
    assert one.judged["lv"].dice == 1
    assert one.verdict in ("accepted", "look at it", "rejected")
    assert [p.burden.pathology for p in patients] == ["scar", "scar", "normal"]


def test_decisions_count_who_is_above_a_share():
    shares = [(0.0, 0.0), (0.0, 0.04), (0.04, 0.0), (0.10, 0.20), (0.20, 0.16), (0.15, 0.15)]
    burdens = [Burden(str(k), "x", *pair) for k, pair in enumerate(shares)]
    burdens.append(Burden("unknown", "x", None, 0.5))
    found = {one.limit: one for one in decisions(burdens) if one.group == EVERYBODY}
    assert list(found) == [*BURDEN_LIMITS] == [0, 0.05, 0.15]
    assert found[0].presence == (4, 1, 2, 1)
    assert found[0.05].presence == (3, 0, 3, 0)
    assert found[0.15].presence == (1, 0, 5, 1)  # 15% exactly is not above
    assert found[0.15].sensitivity == share(1, 1)
    assert found[0].sensitivity == share(3, 4)
    assert found[0].specificity == share(1, 2)


def test_decisions_are_also_told_by_pathology(patients):
    found = decisions([one.burden for one in patients])
    assert [one.group for one in found[::3]] == [EVERYBODY, "normal", "scar"]
    normal = found[3]
    assert normal.presence == (0, 0, 1, 1)
    assert normal.sensitivity == (None, None, None) and normal.specificity.value == 0
    assert decisions([Burden("a", "", None, None)]) == []


def test_rows_by_pathology(patients):
    rows = {row.group: row for row in by_pathology(patients)}
    assert [(name, row.patients) for name, row in rows.items()] == [
        *((EVERYBODY, 3), ("normal", 1), ("scar", 2))
    ]
    assert rows["scar"].infarct_dice.mean == 0.5
    assert rows["normal"].infarct_dice.mean is None  # the expert has none
    drawn = patients[0].volumes["enhancement"].truth_ml
    assert rows["normal"].infarct_bias_ml.mean == pytest.approx(drawn)
    assert rows[EVERYBODY].infarct_bias_ml.mean == pytest.approx(0)
    assert rows["scar"].lv_dice.mean == rows["scar"].myocardium_dice.mean == 1


def test_scans_without_enhancement_have_no_share(make_segmentation):
    segmentation = make_segmentation()
    scan = segmentation.scan.replace(has_enhancement=False)
    cine = [dataclasses.replace(segmentation, scan=scan)]
    in_3d = evaluate_challenge(cine)
    (one,) = patient_records(cine, in_3d, evaluate(cine, Inference()).volumes, [])
    assert one.burden == ("one", "", None, None) and one.burden.bias is None
    assert one.verdict is None and "enhancement" not in one.volumes
    assert [row.group for row in by_pathology([one])] == [EVERYBODY]
    assert {x.structure for x in agreement(in_3d)} == {"myocardium", "blood_pool", "lv"}
