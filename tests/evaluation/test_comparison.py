import itertools
import math

import numpy as np
import pytest

from acsnet_jax.evaluation.challenge import ChallengeRecord
from acsnet_jax.evaluation.comparison import (
    Comparison,
    Unmatched,
    burdens,
    comparable,
    compared_rows,
    holm,
    match,
    signed_rank,
)
from acsnet_jax.types import InputError

NOBODY = Unmatched((), (), (), ())


def record(name, structure, dice, distance, truth_ml, ours_ml):
    return ChallengeRecord(
        name, structure, dice, distance, 1000.0 * truth_ml, 1000.0 * ours_ml, 100_000.0
    )


def comparison(a, b):
    return Comparison(("one", "other"), a, b, {}, NOBODY)


def by_name(rows):
    return {(row.structure, row.measure): row for row in rows}


def plain_signed_rank(differences):
    """All 2^n signs, one by one; of equal sizes none."""
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    found = min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    return min(1.0, 2 * sum(total <= found for total in sums) / len(sums))


@pytest.mark.parametrize("seed", range(4))
def test_the_signed_rank_test_by_all_signs(seed):
    differences = np.random.default_rng(seed).normal(0.6, 1, 9)
    assert signed_rank(differences) == pytest.approx(plain_signed_rank(differences))
    assert signed_rank(np.append(differences, [0, 1e-15])) == pytest.approx(
        plain_signed_rank(differences)
    )


def test_who_was_scanned_twice_counts_once():
    """The same tool twice would double what one patient says, and halve the p-value."""
    once = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    ours = [record(f"sub-{n}", "lv", 0.5 + x / 2, None, 9, 9) for n, x in enumerate(once)]
    theirs = [record(f"sub-{n}", "lv", 0.5, None, 9, 9) for n in range(6)]
    again = [
        [one._replace(scan_id=f"{one.scan_id}_ses-{k}") for one in side for k in (1, 2)]
        for side in (ours, theirs)
    ]
    # Of the two scans of patient 0 the tools differ by 0 and by 0.1: by 0.05, as in one scan.
    again[0][0] = again[0][0]._replace(dice=0.5)
    again[0][1] = again[0][1]._replace(dice=0.6)
    expected = by_name(compared_rows(comparison(ours, theirs)))["lv", "dice"]
    found = by_name(compared_rows(comparison(*again)))["lv", "dice"]
    assert (found.pairs, found.patients) == (6, 6)
    assert found.difference == pytest.approx(expected.difference)
    assert (found.a.mean, found.a.half_width) == pytest.approx(
        (expected.a.mean, expected.a.half_width)
    )
    assert found.p == expected.p == pytest.approx(2 / 2**6)


def test_equal_volumes_tie_whatever_their_last_digits():
    """Voxels of 0.017 mL: of volumes in floating point no two differences are equal."""
    voxels = np.array([1, 2, 0, 1, 3, 3, 2, 2, 1, -1, 1, 2])
    drawn = np.random.default_rng(0).uniform(5, 40, len(voxels))
    differences = (drawn + 0.0170138 * voxels) - drawn
    assert len(np.unique(np.abs(differences))) > 4
    assert signed_rank(differences) == signed_rank(voxels.astype(float))


def test_six_differences_of_one_sign():
    """The least p that six pairs can have is 2 / 2^6."""
    assert signed_rank(np.array([1.0, 2, 3, 4, 5, 6])) == pytest.approx(1 / 32)
    assert signed_rank(np.zeros(4)) is None
    assert signed_rank(np.zeros(0)) is None
    assert signed_rank(np.array([2.0])) == 1
    tied = signed_rank(np.array([1.0, 1, 1, -1, 1, 1, 1, 1]))
    assert tied is not None and 0 < tied < 0.2


def test_holm_in_closed_form():
    """Of 0.01, 0.04, 0.03: 3 x 0.01, then 2 x 0.03, and no less for the largest."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_differences_are_of_pairs():
    """A's Dice is 0.1, 0.2 and 0.3 above B's; A reads 1, 2 and 3 mL more."""
    a = [record(n, "lv", 0.5 + 0.1 * k, 2.0, 10, 12 + k) for k, n in enumerate("xyz")]
    b = [record(n, "lv", 0.4, 3.0 + k, 10, 11) for k, n in enumerate("xyz")]
    rows = by_name(compared_rows(comparison(a, b)))
    dice = rows["lv", "dice"]
    assert dice.difference.value == pytest.approx(0.2)
    assert (dice.a.mean, dice.b.mean) == pytest.approx((0.6, 0.4))
    assert dice.difference.low == pytest.approx(0.1, abs=0.03)
    assert dice.difference.high == pytest.approx(0.3, abs=0.03)
    assert dice.p == dice.p_holm == pytest.approx(2 / 2**3)
    assert rows["lv", "hausdorff_mm"].difference.value == pytest.approx(-2)
    for measure in ("volume_ml", "bias_ml", "error_ml"):
        assert rows["lv", measure].difference.value == pytest.approx(2)
    volume = rows["lv", "volume_ml"]
    assert volume.expert is not None and volume.expert.mean == pytest.approx(10)
    assert rows["lv", "bias_ml"].a.mean == pytest.approx(3)
    assert not [row for row in rows if "share" in row[1]]  # of the infarct alone


def test_too_little_and_too_much_are_errors_alike():
    a = [record(n, "lv", 1.0, 0.0, 10, 10 + s) for n, s in (("x", 2), ("y", -2))]
    b = [record(n, "lv", 1.0, 0.0, 10, 10) for n in "xy"]
    rows = by_name(compared_rows(comparison(a, b)))
    assert rows["lv", "bias_ml"].difference.value == pytest.approx(0)
    assert rows["lv", "error_ml"].difference.value == pytest.approx(2)


def test_what_one_tool_makes_up_costs_it_a_distance():
    """Neither the expert nor A has y, which B makes up; of z there is nothing at all."""
    a = [record("x", "lv", 0.5, 4.0, 10, 9)]
    a += [record(name, "lv", 1.0, None, 0, 0) for name in "yz"]
    b = [record("x", "lv", 0.5, 3.0, 10, 9), record("y", "lv", 0.0, 99.0, 0, 9), a[2]]
    rows = by_name(compared_rows(comparison(a, b)))
    distance = rows["lv", "hausdorff_mm"]
    assert (distance.pairs, distance.patients) == (2, 3)
    assert (distance.a.mean, distance.b.mean, distance.difference.value) == (2, 51, -49)
    assert rows["lv", "dice"].pairs == 3


def test_the_same_twice_is_no_difference():
    own = [
        record(n, s, 0.8, 2.0, 10 + k, 9)
        for k, n in enumerate("xyz")
        for s in ("enhancement", "myocardium")
    ]
    for row in compared_rows(comparison(own, list(own))):
        assert row.difference == (0, 0, 0)
        assert row.p is None and row.p_holm is None and row.a == row.b


def test_p_values_are_adjusted_over_the_structures_of_a_measure():
    def side(shift):
        return [
            record(n, s, 0.5 + scale * shift * (k + 1) / 10, 1.0, 10, 10)
            for s, scale in (("myocardium", 1), ("lv", 1))
            for k, n in enumerate("uvwxyz")
        ]

    rows = by_name(compared_rows(comparison(side(0.5), side(0.0))))
    for structure in ("myocardium", "lv"):
        row = rows[structure, "dice"]
        assert row.p == pytest.approx(1 / 32) and row.p_holm == pytest.approx(1 / 16)


def test_shares_of_the_wall():
    def side(scar, wall):
        return [
            record("x", "enhancement", 0.5, 1.0, 20, scar),
            record("x", "myocardium", 0.5, 1.0, 100, wall),
        ]

    a, b = side(10.0, 50.0), side(30.0, 100.0)
    assert burdens(a, {"x": "infarct"})["x"] == ("x", "infarct", 0.2, 0.2)
    rows = by_name(compared_rows(comparison(a, b)))
    assert rows["enhancement", "share_bias"].difference.value == pytest.approx(-0.1)
    assert rows["enhancement", "share_error"].b.mean == pytest.approx(0.1)
    assert math.isclose(burdens(b, {})["x"].bias or 0, 0.1)


def test_patients_are_matched_and_nobody_is_dropped_silently():
    common, left = match(["a", "b", "x"], ["b", "a", "y"], ["c", "b", "a", "x"])
    assert common == ["a", "b"]
    assert left == ((), ("y",), ("c",), ("c", "x"), ())
    with pytest.raises(InputError, match=r"no patient.*a has p1, b has p1, the reference has q"):
        match(["p1", "p2"], ["p1"], ["q"])


def test_structures_are_compared_as_far_as_everybody_tells_them():
    full = frozenset({0, 1, 2, 3})
    assert comparable([full, full, full | {4}]) == ["enhancement", "myocardium", "blood_pool", "lv"]
    assert comparable([full, frozenset({0, 2}), full]) == ["myocardium"]
    assert comparable([full, frozenset({0, 1, 2}), full]) == ["myocardium", "blood_pool", "lv"]
    assert comparable([full, frozenset({0, 3}), full]) == ["enhancement"]  # no wall of scar
    with pytest.raises(InputError, match="no structure in common"):
        comparable([full, frozenset({0}), full])
