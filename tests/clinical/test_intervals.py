import dataclasses
import functools
import json
import math

import numpy as np
import pytest
from hearts import heart, radius, sector
from scipy import stats

from acsnet_jax.clinical import (
    INTERVAL_FIELDS,
    Calibration,
    IntervalCase,
    assess,
    calibration_from,
    draw_values,
    features,
    fit_calibration,
    interval_case,
    intervals,
    json_of,
    over_15_percent,
    predicted_regions,
    spread_of,
)
from acsnet_jax.types import Label


def scarred_heart(degrees=90, **changes):
    return heart(scar=sector(0, degrees), **changes)


@functools.cache
def scarred_features():
    return features(scarred_heart())


def with_volume(numbers, ml):
    """Features of a scan whose infarct is as large as said."""
    return numbers._replace(infarct_volume_ml=ml, enhancement_volume_ml=ml)


def test_draws_have_the_numbers_of_the_features():
    segmentation = scarred_heart()
    numbers = features(segmentation)._asdict()
    drawn = draw_values(predicted_regions(segmentation), segmentation.scan)
    assert drawn == {name: pytest.approx(numbers[name]) for name in drawn}


def test_variances_of_independent_sources_add_up():
    networks = [{"lv_volume_ml": 99.0}, {"lv_volume_ml": 101.0}]
    turns = [{"lv_volume_ml": x} for x in (98.0, 102.0, 98.0, 102.0)]
    alone = [{"lv_volume_ml": 500.0}]
    assert spread_of([networks, turns, alone]) == {"lv_volume_ml": pytest.approx(math.sqrt(1 + 4))}
    assert spread_of([alone, []]) == {}


def made_cases(rng, patients, *, found=True):
    """Errors that are normal with 2 mL and three times the spread, which varies."""
    numbers = scarred_features()
    cases = []
    for _ in range(patients):
        spread = rng.uniform(0.5, 4.0) if found else 0.0
        truth = rng.uniform(20, 60)
        ours = max(truth + rng.normal(0, 2 + 3 * spread), 0.5) if found else 0.0
        truth = truth if found else rng.choice([0.0, 5.0], p=[0.8, 0.2])
        names = set(INTERVAL_FIELDS)
        cases.append(
            IntervalCase(
                with_volume(numbers, ours),
                with_volume(numbers, truth),
                dict.fromkeys(names, spread),
            )
        )
    return cases


def share_held(cases, calibration):
    held = []
    for case in cases:
        low, high, _ = intervals(case.ours, case.spread, calibration)["infarct_volume_ml"]
        held.append(low <= case.expert.infarct_volume_ml <= high)
    return np.mean(held)


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_calibrated_intervals_cover_new_patients_as_promised(coverage):
    rng = np.random.default_rng(0)
    shares, uncalibrated = [], []
    for _ in range(12):
        calibration = fit_calibration(made_cases(rng, 40), coverage=coverage)
        new = made_cases(rng, 100)
        shares.append(share_held(new, calibration))
        uncalibrated.append(share_held(new, Calibration(coverage, {})))
    assert np.mean(shares) == pytest.approx(coverage, abs=0.03)
    assert np.mean(uncalibrated) < coverage - 0.2  # the spread alone is three times too small


def test_scans_with_and_without_scar_are_calibrated_apart():
    rng = np.random.default_rng(1)
    cases = made_cases(rng, 30) + made_cases(rng, 30, found=False)
    scales = fit_calibration(cases).scales["infarct_volume_ml"]
    assert set(scales) == {"found", "none"}
    assert scales["found"].patients == scales["none"].patients == 30
    none = fit_calibration(made_cases(rng, 500, found=False))
    silent = with_volume(scarred_features(), 0.0)
    low, high, calibrated = intervals(silent, {"enhancement_volume_ml": 0.0}, none)[
        "infarct_volume_ml"
    ]
    # a fifth of those in whom nothing was found has 5 mL, so nine of ten lie within 5 mL
    assert (low, high, calibrated) == (0.0, pytest.approx(5.0), True)


def test_too_few_patients_promise_nothing():
    rng = np.random.default_rng(2)
    assert "found" not in fit_calibration(made_cases(rng, 8)).scales["infarct_volume_ml"]
    nine = fit_calibration(made_cases(rng, 9)).scales["infarct_volume_ml"]["found"]
    assert nine.patients == 9  # the largest of nine errors: rank 9 of 10


def test_the_factor_is_the_conformal_rank():
    numbers = scarred_features()
    errors = np.arange(1.0, 20.0)  # median 10
    cases = [
        IntervalCase(
            with_volume(numbers, 50.0),
            with_volume(numbers, 50.0 + error),
            dict.fromkeys(INTERVAL_FIELDS, 0.0),
        )
        for error in errors
    ]
    scale = fit_calibration(cases).scales["infarct_volume_ml"]["found"]
    # rank ceil(20 * 0.9) = 18 of 19
    assert scale.factor == pytest.approx(1.8)
    assert (scale.floor, scale.patients) == (10.0, 19)


def test_without_calibration_an_interval_is_normal_and_says_so():
    segmentation = dataclasses.replace(
        scarred_heart(), spread={"enhancement_volume_ml": 2.0, "scar_fraction": 0.5}
    )
    numbers = features(segmentation)
    found = intervals(numbers, segmentation.spread, None)
    low, high, calibrated = found["infarct_volume_ml"]
    assert numbers.infarct_volume_ml is not None
    assert high - numbers.infarct_volume_ml == pytest.approx(2 * stats.norm.ppf(0.95))
    assert numbers.infarct_volume_ml - low == pytest.approx(2 * stats.norm.ppf(0.95))
    assert not calibrated
    assert found["infarct_mass_g"].high == pytest.approx(1.05 * high)
    assert (found["infarct_fraction"].low, found["infarct_fraction"].high) == (
        0.0,
        pytest.approx(min(1.0, 0.25 + 0.5 * stats.norm.ppf(0.95)), abs=0.01),
    )
    assert "lv_volume_ml" not in found  # nothing was drawn of it


def test_what_is_not_available_has_no_interval():
    one = scarred_heart(slices=2)
    numbers = features(one)._replace(infarct_volume_ml=None)
    assert "infarct_volume_ml" not in intervals(numbers, {"enhancement_volume_ml": 1.0}, None)


def test_a_calibration_survives_json():
    rng = np.random.default_rng(3)
    calibration = fit_calibration(made_cases(rng, 20))
    record = json.loads(json.dumps(calibration._asdict()))
    assert calibration_from(record) == calibration


@pytest.mark.parametrize(("spread", "decided"), [(0.001, "yes"), (0.2, "open"), (None, None)])
def test_an_interval_decides_whether_the_infarct_is_large(spread, decided):
    given = {} if spread is None else {"scar_fraction": spread, "enhancement_volume_ml": 1.0}
    assessment = assess(dataclasses.replace(scarred_heart(), spread=given))
    assert over_15_percent(assessment) == decided
    record = json_of(assessment)
    assert record["infarct_over_15_percent"] == decided
    told = record["not_available"].get("infarct_over_15_percent")
    assert told == (None if decided else "no interval")
    assert ("infarct_fraction" in record["intervals"]) is (spread is not None)


def test_a_small_infarct_is_not_large():
    assessment = assess(dataclasses.replace(scarred_heart(20), spread={"scar_fraction": 0.01}))
    assert over_15_percent(assessment) == "no"


@pytest.mark.parametrize("dark", [False, True])
def test_patients_are_judged_on_labelled_slices(dark):
    segmentation = scarred_heart()
    labels = np.zeros(segmentation.scan.image.shape, np.uint8)
    labels[segmentation.blood_pool] = Label.BLOOD_POOL
    labels[segmentation.myocardium] = Label.MYOCARDIUM
    labels[segmentation.enhancement] = Label.ENHANCEMENT
    labelled = np.arange(6) < 3
    scan = segmentation.scan.replace(labels=labels, labelled=labelled, has_enhancement=True)
    segmentation = dataclasses.replace(segmentation, scan=scan, spread={"a": 1.0})
    if dark:  # as a network says it, of all slices
        core = segmentation.enhancement & (radius() < 23)
        labels[core] = Label.NO_REFLOW
        segmentation = dataclasses.replace(segmentation, no_reflow=core)
    case = interval_case(segmentation)
    assert case.ours.no_reflow_volume_ml == pytest.approx(case.expert.no_reflow_volume_ml)
    assert case.ours.infarct_volume_ml == pytest.approx(case.expert.infarct_volume_ml)
    assert case.ours.lv_volume_ml == pytest.approx(case.expert.lv_volume_ml)
    assert case.spread == {"a": 1.0}
