import itertools
import math

import numpy as np
import pytest

from acsnet_jax.evaluation.summary import (
    Location,
    Presence,
    SliceRecord,
    Structure,
    VolumeRecord,
    locations,
    patient_presence,
    presence,
    scar_shares,
    slice_presence,
    summarise,
    table1,
    table2,
    volume_tertiles,
    worst_scan,
)


def record(
    scan_id,
    index,
    *,
    structure: Structure = "lv",
    location: Location = "apex",
    dice=0.5,
    hausdorff_mm: float | None = 1.0,
    truth_mm2=100.0,
    predicted_mm2=90.0,
):
    scores = (dice, 0.9, 0.9, 0.9, hausdorff_mm, 1.0)
    return SliceRecord(
        scan_id, index, structure, location, *scores, truth_mm2=truth_mm2,
        predicted_mm2=predicted_mm2
    )  # fmt: skip


def volumes(scan_id, lv, myocardium=(50.0, 50.0), enhancement=None):
    result = [VolumeRecord(scan_id, "lv", *lv), VolumeRecord(scan_id, "myocardium", *myocardium)]
    if enhancement is not None:
        result += [VolumeRecord(scan_id, name, *enhancement) for name in ("enhancement", "core")]
    return result


def test_a_patient_counts_once_however_many_slices():
    """Patient means are 0.6 and 0.9: mean 0.75, SE = sd / sqrt 2 = 0.3 / sqrt 2 / sqrt 2.

    With one degree of freedom Student's t is Cauchy's: its 97.5th percentile is tan(0.475 pi).
    """
    summary = summarise([("a", 0.5), ("a", 0.6), ("a", 0.7), ("b", 0.9)])
    assert summary.mean == pytest.approx(0.75)
    assert summary.half_width == pytest.approx(math.tan(0.475 * math.pi) * 0.15)
    assert (summary.low, summary.high) == (pytest.approx(0.6), pytest.approx(0.9))
    assert (summary.patients, summary.counted, summary.n) == (2, 4, 4)


def test_scans_of_one_patient_count_once():
    summary = summarise([("sub-1_ses-1", 0.5), ("sub-1_ses-2", 0.7), ("sub-2", 0.9)])
    assert summary.mean == pytest.approx(0.75)
    assert (summary.patients, summary.counted) == (2, 3)


def test_the_interval_covers_the_mean_of_small_groups_as_often_as_it_says():
    """Over many groups of five normal patients: 95% of the intervals hold the mean, 0."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(4000):
        found = summarise((str(k), float(x)) for k, x in enumerate(rng.standard_normal(5)))
        assert found.mean is not None and found.half_width is not None
        held += abs(found.mean) <= found.half_width
    assert held / 4000 == pytest.approx(0.95, abs=0.01)


def test_what_does_not_apply_is_left_out_and_counted():
    summary = summarise([("a", None), ("a", 2.0), ("b", None)])
    assert (summary.mean, summary.half_width) == (2.0, None)
    assert (summary.patients, summary.counted, summary.n) == (1, 1, 3)
    assert summarise([("a", None)]) == (None, None, None, None, 0, 0, 1)
    assert summarise([]) == (None, None, None, None, 0, 0, 0)


@pytest.mark.parametrize("count", range(1, 14))
def test_locations_are_thirds_from_apex_to_base(count):
    where = locations(np.array([False, *[True] * count, False]))
    assert list(where) == list(range(1, count + 1))
    sizes = [len(third) for third in np.array_split(np.arange(count), 3)]
    names = zip(("apex", "middle", "base"), sizes, strict=True)
    assert list(where.values()) == list(
        itertools.chain.from_iterable([name] * size for name, size in names)
    )


def test_table1_by_location():
    rows = table1(
        [
            record("a", 0, location="apex", dice=0.4),
            record("a", 1, location="base", dice=0.8, hausdorff_mm=None),
            record("b", 0, location="apex", dice=0.6, hausdorff_mm=3.0),
        ]
    )
    assert len(rows) == 4 * 4 + 2  # Dice where drawn is of scar only
    dice_row = next(row for row in rows if (row.structure, row.measure) == ("lv", "dice"))
    assert dice_row.apex.mean == pytest.approx(0.5)
    assert dice_row.middle.mean is None
    assert dice_row.base.mean == pytest.approx(0.8)
    assert dice_row.total.mean == pytest.approx((0.6 + 0.6) / 2)  # means of the patients' means
    distance = next(row for row in rows if (row.structure, row.measure) == ("lv", "hausdorff_mm"))
    assert (distance.total.counted, distance.total.n) == (2, 3)


def test_relative_error_is_a_mean_over_patients_with_something_to_find():
    rows = table2(
        [
            *volumes("a", (100.0, 110.0), enhancement=(10.0, 5.0)),
            *volumes("b", (200.0, 180.0), enhancement=(0.0, 3.0)),
            *volumes("c", (300.0, 300.0), enhancement=(20.0, 30.0)),
        ]
    )
    by_name = {(row.structure, row.measure): row for row in rows if row.reference == "drawn"}
    error = by_name["lv", "relative_error"]
    assert error.total.mean == pytest.approx((0.1 + 0.1 + 0.0) / 3)
    assert [cell.mean for cell in error.cells[:3]] == [pytest.approx(v) for v in (0.1, 0.1, 0.0)]
    scar = by_name["enhancement", "relative_error"].total
    assert scar.mean == pytest.approx(0.5)
    assert (scar.counted, scar.n) == (2, 3)
    assert by_name["enhancement", "truth_ml"].total.mean == pytest.approx(10.0)


def test_tertiles_follow_the_experts_lv_volume():
    records = [
        r for i, ml in enumerate((5.0, 1.0, 4.0, 2.0, 3.0)) for r in volumes(str(i), (ml, 9.0))
    ]
    assert volume_tertiles(records) == ({"1", "3"}, {"4", "2"}, {"0"})


def test_bias_is_signed_and_counts_every_patient():
    rows = table2(
        [
            *volumes("a", (100.0, 110.0), enhancement=(10.0, 4.0)),
            *volumes("b", (200.0, 180.0), enhancement=(0.0, 3.0)),
        ]
    )
    by_name = {(row.structure, row.reference, row.measure): row for row in rows}
    bias = by_name["enhancement", "drawn", "bias_ml"]
    assert bias.total.mean == pytest.approx((-6 + 3) / 2)
    assert bias.total.half_width == pytest.approx(math.tan(0.475 * math.pi) * 4.5)
    assert bias.presence == Presence(present=1, missed=0, absent=1, false_alarms=1)
    assert by_name["lv", "drawn", "bias_ml"].total.mean == pytest.approx(-5.0)
    assert by_name["enhancement", "cleaned", "bias_ml"].total == summarise([])


def test_a_missed_scar_and_a_lost_heart_count_with_a_share_of_zero():
    records = [
        *volumes("a", (9.0, 9.0), (40.0, 50.0), (10.0, 10.0)),
        *volumes("b", (9.0, 9.0), (40.0, 40.0)),  # not assessed
        *volumes("c", (9.0, 9.0), (40.0, 0.0), (10.0, 0.0)),  # no wall found
        *volumes("d", (9.0, 9.0), (40.0, 40.0), (20.0, 0.0)),  # scar missed
    ]
    shares = {share.scan_id: share for share in scar_shares(records)}
    assert set(shares) == {"a", "c", "d"}
    assert [shares[k].truth for k in "acd"] == [pytest.approx(x) for x in (0.25, 0.25, 0.5)]
    assert [shares[k].predicted for k in "acd"] == [pytest.approx(x) for x in (0.2, 0.0, 0.0)]
    rows = {row.measure: row for row in table2(records) if row.structure == "scar_share"
            and row.reference == "drawn"}  # fmt: skip
    assert rows["error"].total.mean == pytest.approx((0.05 + 0.25 + 0.5) / 3)
    assert rows["bias"].total.mean == pytest.approx(-(0.05 + 0.25 + 0.5) / 3)
    assert (rows["error"].total.counted, rows["error"].total.n) == (3, 3)


def test_a_share_of_no_wall_is_offered_and_not_counted():
    (share,) = scar_shares(volumes("a", (9.0, 9.0), (0.0, 5.0), (0.0, 1.0)))
    assert (share.truth, share.error, share.bias) == (None, None, None)
    assert share.predicted == pytest.approx(0.2)


def test_presence_counts_what_is_missed_and_what_is_made_up():
    assert presence([(1.0, 2.0), (1.0, 0.0), (0.0, 0.0), (0.0, 3.0), (0.0, 0.1)]) == (2, 1, 3, 2)
    assert presence([]) == (0, 0, 0, 0)
    slices = [
        record("a", 0, structure="core", truth_mm2=0.0),
        record("a", 1, structure="core", predicted_mm2=0.0),
        record("a", 1, structure="lv", predicted_mm2=0.0),
    ]
    assert slice_presence(slices, "core") == (1, 1, 1, 1)
    scans = [*volumes("a", (1.0, 1.0), enhancement=(2.0, 0.0)), *volumes("b", (1.0, 0.0))]
    assert patient_presence(scans, "enhancement") == (1, 1, 0, 0)
    assert patient_presence(scans, "enhancement", reference="cleaned") == (0, 0, 0, 0)
    assert patient_presence(scans, "lv") == (2, 1, 0, 0)


def test_empty_slices_do_not_raise_the_dice_of_scar():
    rows = table1(
        [
            record("a", 0, structure="core", dice=0.2),
            record("a", 1, structure="core", dice=1.0, truth_mm2=0.0, predicted_mm2=0.0),
        ]
    )
    by_name = {(row.structure, row.measure): row.total for row in rows}
    assert by_name["core", "dice"].mean == pytest.approx(0.6)
    assert by_name["core", "dice_where_drawn"].mean == pytest.approx(0.2)
    assert (by_name["core", "dice_where_drawn"].counted, by_name["core", "dice"].counted) == (1, 2)


def test_worst_scan():
    records = [
        record("a", 0, structure="myocardium", dice=0.1),
        record("a", 1, structure="myocardium", dice=0.9),
        record("b", 0, structure="myocardium", dice=0.4),
        record("c", 0, structure="lv", dice=0.0),
        record("d", 0, structure="core", dice=0.0, truth_mm2=0.0),
        record("e", 0, structure="core", dice=0.3),
    ]
    assert worst_scan(records) == ("b", 0.4)
    assert worst_scan(records, structure="lv") == ("c", 0.0)
    assert worst_scan(records, structure="core") == ("d", 0.0)
    assert worst_scan(records, structure="core", measure="dice_where_drawn") == ("e", 0.3)
    assert worst_scan(records, structure="enhancement") is None
