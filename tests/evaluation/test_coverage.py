import dataclasses

import numpy as np
import pytest
from hearts import heart, sector
from scipy import stats

from acsnet_jax.clinical import Calibration, Scale
from acsnet_jax.evaluation import coverage_records, coverage_rows
from acsnet_jax.report import write_coverage
from acsnet_jax.types import Label


def patient(name, *, drawn_deg, found_deg, spread):
    """A heart in which the expert drew one sector of scar, and we found another."""
    segmentation = heart(scar=sector(0, found_deg))
    labels = np.zeros(segmentation.scan.image.shape, np.uint8)
    labels[segmentation.blood_pool] = Label.BLOOD_POOL
    labels[segmentation.myocardium] = Label.MYOCARDIUM
    labels[segmentation.myocardium & sector(0, drawn_deg)[None]] = Label.ENHANCEMENT
    scan = segmentation.scan.replace(
        id=name, labels=labels, labelled=np.ones(len(labels), bool), has_enhancement=True
    )
    return dataclasses.replace(segmentation, scan=scan, spread=spread)


SPREAD = {"scar_fraction": 0.05, "lv_volume_ml": 1.0}


def cohort():
    """Errors of the fraction: 0, 0.1 and 0.25; in the last the expert drew none."""
    return [
        patient("right", drawn_deg=90, found_deg=90, spread=SPREAD),
        patient("near", drawn_deg=126, found_deg=90, spread=SPREAD),
        patient("wrong", drawn_deg=0, found_deg=90, spread=SPREAD),
        patient("silent", drawn_deg=90, found_deg=90, spread={}),
    ]


def test_intervals_are_counted_that_hold_the_experts_number():
    # floor 0.05 and factor 1.5 reach 0.15 to each side
    calibration = Calibration(0.9, {"infarct_fraction": {"found": Scale(0.05, 1.5, 20)}})
    records = coverage_records(cohort(), [calibration] * 4)
    assert {record.scan_id for record in records} == {"right", "near", "wrong"}
    rows = {row.field: row for row in coverage_rows(records)}
    assert set(rows) == {"lv_volume_ml", "infarct_fraction", "scar_fraction"}
    row = rows["infarct_fraction"]
    assert (row.patients, row.calibrated) == (3, 3)
    assert row.held == pytest.approx(2 / 3)
    assert row.held_scarred == 1.0
    assert row.width == pytest.approx(0.3)
    # without: 1.645 * 0.05 reaches 0.08, and misses what lies 0.1 away
    assert row.held_normal == pytest.approx(1 / 3)
    # Clopper and Pearson by their definition, quantiles of beta distributions
    assert row.low == pytest.approx(stats.beta.ppf(0.025, 2, 2))
    assert row.high == pytest.approx(stats.beta.ppf(0.975, 3, 1))
    assert rows["scar_fraction"].calibrated == 0
    assert rows["lv_volume_ml"].held == 1.0


def test_without_scarred_patients_nothing_is_said_of_them():
    healthy = [patient("a", drawn_deg=0, found_deg=90, spread=SPREAD)]
    rows = coverage_rows(coverage_records(healthy, [None]))
    (row,) = [row for row in rows if "infarct" in row.field]
    assert row.held_scarred is None and row.calibrated == 0


def test_tables_are_written_for_readers_and_for_programs(tmp_path):
    records = coverage_records(cohort(), [None] * 4)
    write_coverage(records, tmp_path)
    lines = (tmp_path / "intervals.csv").read_text().splitlines()
    assert lines[0].startswith("scan_id,field,expert,ours,low,high,calibrated")
    assert len(lines) == 1 + len(records)
    text = (tmp_path / "intervals.md").read_text()
    assert "Infarct of the LV's mass (%)" in text and "33%" in text and "nine of ten" in text
    write_coverage([], tmp_path)
    assert not list(tmp_path.iterdir())
