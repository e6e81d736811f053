from typing import Any

import numpy as np
import pytest
from hearts import heart, radius, sector

from acsnet_jax.clinical import RULES
from acsnet_jax.evaluation import scar_rules
from acsnet_jax.evaluation.scar_rules import SETTINGS, rule_rows
from acsnet_jax.types import InputError, Label


def compare_rules(scan, setting) -> Any:
    return scar_rules.compare_rules(scan, setting)


def compare_no_reflow(scan) -> Any:
    return scar_rules.compare_no_reflow(scan)


def labelled(scar, *, dark=None, scan_id="heart"):
    one = heart(scar=scar)
    labels = np.zeros(one.scan.image.shape, np.uint8)
    labels[one.blood_pool], labels[one.myocardium] = Label.BLOOD_POOL, Label.MYOCARDIUM
    labels[one.enhancement] = Label.ENHANCEMENT
    if dark is not None:
        core = np.stack([dark] * 6) & one.enhancement
        labels[core] = Label.NO_REFLOW
        one.scan.image[core] -= 300
    return one.scan.replace(
        labels=labels, labelled=np.ones(6, bool), has_enhancement=True, id=scan_id
    )


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_scar_that_stands_out_is_found_by_every_rule(setting):
    records = compare_rules(labelled(sector(0, 80)), setting)
    assert [record.rule for record in records] == list(RULES)
    for record in records:
        if record.rule == "sd_2" and setting != "near":
            assert record.rule_ml >= record.truth_ml  # noise of the whole wall, in specks
            continue
        assert record.dice > 0.97
        assert record.bias_ml == pytest.approx(0, abs=0.05 * record.truth_ml)
        assert record.decides_alike


def test_no_reflow_belongs_to_every_rule_and_is_compared_itself():
    scan = labelled(sector(0, 100), dark=sector(30, 70) & (radius() < 25))
    for record in compare_rules(scan, "near"):
        assert record.dice > 0.96
    core = compare_no_reflow(scan)
    assert core.found_ml == pytest.approx(core.truth_ml, rel=0.05)
    assert core.shared_ml == pytest.approx(core.truth_ml, rel=0.05)


def test_means_over_patients_and_what_is_made_up_in_the_healthy():
    records = [
        record
        for name, scar in (("a", sector(0, 80)), ("b", sector(0, 40)), ("healthy", None))
        for record in compare_rules(labelled(scar, scan_id=name), "blind")
    ]
    rows = {row.rule: row for row in rule_rows(records)}
    sd = rows["sd_5"]
    assert sd.dice.patients == 2 and sd.healthy_ml.patients == 1
    assert sd.bias_ml.mean == pytest.approx(0, abs=0.5)
    assert sd.decides_alike == 2
    assert sd.healthy_ml.mean == 0
    near = compare_rules(labelled(None), "near")
    assert all(record.dice is None and record.decides_alike is None for record in near)
    assert rule_rows(near)[0].healthy_ml.counted == 0


def test_without_remote_myocardium_a_rule_has_no_answer():
    scan = labelled(None)
    assert scan.labels is not None
    scan.image[scan.labels >= Label.MYOCARDIUM] = 100  # of one intensity
    records = compare_rules(scan, "blind")
    assert all(record.dice is None and record.rule_ml is None for record in records)


def test_labels_that_do_not_tell_enhancement_are_refused():
    with pytest.raises(InputError, match="enhancement"):
        compare_rules(labelled(None).replace(has_enhancement=False), "near")
