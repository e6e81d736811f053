import numpy as np
import pytest

from acsnet_jax.clinical import Judgement, Signs
from acsnet_jax.evaluation import evaluate_challenge
from acsnet_jax.evaluation.gate_study import GateRecord, gate_records, rankings


def record(name, wall_confidence, shift_mm, dice, scar=None):
    signs = Signs(wall_confidence, None, None, None, None, shift_mm, None)
    return GateRecord(name, Judgement("accepted", (), signs), dice, scar)


def by_sign(found):
    return {(one.sign, one.structure): one for one in found}


def test_a_sign_that_orders_as_dice_does_catches_the_worst():
    dice = np.linspace(0.5, 0.9, 20)
    found = by_sign(rankings([record(str(k), x, 10 * (1 - x), x) for k, x in enumerate(dice)]))
    assert set(found) == {("wall_confidence", "myocardium"), ("shift_mm", "myocardium")}
    for one in found.values():  # less shift is more trust
        assert (one.correlation, one.patients) == (pytest.approx(1), 20)
        assert one.caught == one.worst == 2


def test_a_sign_that_orders_the_other_way_catches_none():
    dice = np.linspace(0.5, 0.9, 20)
    (one,) = rankings([record(str(k), -x, None, x) for k, x in enumerate(dice)])
    assert (one.correlation, one.caught) == (pytest.approx(-1), 0)


def test_a_sign_that_is_the_same_for_all_says_nothing():
    (one,) = rankings([record(str(k), 0.5, None, k / 10) for k in range(9)])
    assert one.correlation is None
    assert one.caught == pytest.approx(2 / 9)  # two of nine are looked at, one of them is the worst


def test_the_order_of_patients_who_tie_decides_nothing():
    """Five of thirty stand out; one more of the rest belongs to the least trusted fifth."""
    dice = np.linspace(0.3, 0.9, 30)
    confidence = np.where(np.arange(30) % 6 == 1, 0.1, 0.5)
    given = [
        record(str(k), x, None, d) for k, (x, d) in enumerate(zip(confidence, dice, strict=True))
    ]
    (one,), (other,) = rankings(given), rankings(given[::-1])
    assert one.caught == other.caught == pytest.approx(1 + 2 * 1 / 25)


def test_dice_is_that_of_the_challenge_and_scar_counts_where_it_was_drawn(make_segmentation):
    given = [make_segmentation("a", shift=(1, 0)), make_segmentation("bb", scar=False)]
    records = gate_records(given, evaluate_challenge(given))
    assert [one.scan_id for one in records] == ["a", "bb"]
    assert records[1].myocardium == 1 and records[1].enhancement is None
    assert 0 < records[0].myocardium < 1
    assert records[0].enhancement is not None and 0 < records[0].enhancement < 1
