import itertools

import numpy as np
import pytest

from acsnet_jax.evaluation.summary import (
    SliceRecord,
    VolumeRecord,
    locations,
    scar_fraction,
    summarise,
    table1,
    table2,
    volume_tertiles,
    worst_scan,
)


def record(scan_id, index, *, structure="lv", location="apex", dice=0.5, hausdorff_mm=1.0):
    return SliceRecord(scan_id, index, structure, location, dice, 0.9, 0.9, 0.9, hausdorff_mm, 1.0)


def volumes(scan_id, lv, myocardium=(50.0, 50.0), enhancement=None):
    result = [VolumeRecord(scan_id, "lv", *lv), VolumeRecord(scan_id, "myocardium", *myocardium)]
    if enhancement is not None:
        result += [VolumeRecord(scan_id, name, *enhancement) for name in ("enhancement", "core")]
    return result


def test_a_patient_counts_once_however_many_slices():
    """Patient means are 0.6 and 0.9: mean 0.75, SE = sd / sqrt 2 = 0.3 / sqrt 2 / sqrt 2."""
    summary = summarise([("a", 0.5), ("a", 0.6), ("a", 0.7), ("b", 0.9)])
    assert summary.mean == pytest.approx(0.75)
    assert summary.half_width == pytest.approx(1.96 * 0.15)
    assert (summary.low, summary.high) == (pytest.approx(0.6), pytest.approx(0.9))
    assert (summary.patients, summary.counted, summary.n) == (2, 4, 4)


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
    assert len(rows) == 4 * 3
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
    by_name = {(row.structure, row.measure): row for row in rows}
    error = by_name["lv", "relative_error"]
    assert error.total.mean == pytest.approx((0.1 + 0.1 + 0.0) / 3)
    assert [cell.mean for cell in error[2:5]] == [pytest.approx(v) for v in (0.1, 0.1, 0.0)]
    scar = by_name["enhancement", "relative_error"].total
    assert scar.mean == pytest.approx(0.5)
    assert (scar.counted, scar.n) == (2, 3)
    assert by_name["enhancement", "truth_ml"].total.mean == pytest.approx(10.0)


def test_tertiles_follow_the_experts_lv_volume():
    records = [
        r for i, ml in enumerate((5.0, 1.0, 4.0, 2.0, 3.0)) for r in volumes(str(i), (ml, 9.0))
    ]
    assert volume_tertiles(records) == ({"1", "3"}, {"4", "2"}, {"0"})


def test_scar_fraction_needs_expert_enhancement():
    fraction = scar_fraction(
        [
            *volumes("a", (9.0, 9.0), (40.0, 50.0), (10.0, 10.0)),
            *volumes("b", (9.0, 9.0), (40.0, 40.0)),
            *volumes("c", (9.0, 9.0), (40.0, 0.0), (10.0, 0.0)),
        ]
    )
    assert fraction.truth.mean == pytest.approx(0.25)
    assert fraction.predicted.mean == pytest.approx(0.2)
    assert fraction.error.mean == pytest.approx(0.05)
    assert (fraction.error.counted, fraction.error.n) == (1, 2)


def test_worst_scan():
    records = [
        record("a", 0, structure="myocardium", dice=0.1),
        record("a", 1, structure="myocardium", dice=0.9),
        record("b", 0, structure="myocardium", dice=0.4),
        record("c", 0, structure="lv", dice=0.0),
    ]
    assert worst_scan(records) == "b"
    assert worst_scan(records, structure="lv") == "c"
