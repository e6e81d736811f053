import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hearts import heart, positions, radius, ring, sector

from acsnet_jax import clinical
from acsnet_jax.clinical.assessment import STUDY
from acsnet_jax.clinical.segments import SEGMENT_NAMES, segment_at
from acsnet_jax.types import InputError, Route

# In the standard view: anterior insertion up and left, inferior down and left.
STANDARD = (240.0, 120.0)


def assess(one, **options) -> Any:
    """Any of its numbers may be None; a test that computes with one fails if it is."""
    return clinical.assess(one, **options)


def features(one) -> Any:
    return clinical.features(one)


def complete(record):
    """Every field that is None has its reason, and no other has one."""
    values = record._asdict()
    reasons = values.pop("not_available")
    assert {name for name, value in values.items() if value is None} == set(reasons)
    assert all(reasons.values())
    json.dumps(values, allow_nan=False)


# Segments


@pytest.mark.parametrize(
    ("level", "directions"),
    [
        # right 0, down 90, left 180, up 270
        ("basal", {270: 1, 210: 2, 150: 3, 90: 4, 30: 5, 330: 6}),
        ("mid", {270: 7, 210: 8, 150: 9, 90: 10, 30: 11, 330: 12}),
        ("apical", {270: 13, 180: 14, 90: 15, 0: 16}),
        ("apex", {0: 17, 123: 17}),
    ],
)
def test_segments_lie_where_cardiologists_draw_them(level, directions):
    insertions = clinical.given_insertions(*STANDARD)
    angles = np.array(list(directions), float)
    assert segment_at(level, angles, insertions).tolist() == list(directions.values())
    # in a mirrored picture, left is right
    mirrored = clinical.given_insertions(*(180 - angle for angle in STANDARD))
    assert segment_at(level, 180 - angles, mirrored).tolist() == list(directions.values())


def test_each_segment_has_its_share_of_a_ring():
    result = assess(heart(scar=sector(60, 120)), insertions_deg=STANDARD)
    basal = np.pi * (30**2 - 20**2) * 20 / 1000 / 6  # two slices of 10 mm, six segments
    assert [one.name for one in result.segments] == list(SEGMENT_NAMES)
    for one in result.segments[:16]:
        complete(one)
        assert one.volume_ml == pytest.approx(basal * (1.5 if one.segment > 12 else 1), rel=0.04)
        assert one.mass_g == pytest.approx(1.05 * one.volume_ml)
        assert one.wall_mean_mm == pytest.approx(10, abs=0.2)
        scarred = {4: 1.0, 10: 1.0, 15: 2 / 3}.get(one.segment, 0.0)  # 60 to 120 degrees: inferior
        assert one.infarct_fraction == pytest.approx(scarred, abs=0.04)
        assert one.transmurality_mean == pytest.approx(scarred, abs=0.05)
        assert one.infarct_mass_g == pytest.approx(one.infarct_fraction * one.mass_g)
    apex = result.segments[16]
    complete(apex)
    assert apex.mass_g is None
    assert "true apex" in apex.not_available["mass_g"]


def test_myocardium_below_the_cavity_is_the_apex():
    one = heart()
    one.myocardium[0] |= one.blood_pool[0]
    one.blood_pool[0] = False
    result = assess(one, insertions_deg=STANDARD)
    assert result.slices[0].level == "apex"
    assert result.segments[16].volume_ml == pytest.approx(np.pi * 30**2 * 10 / 1000, rel=0.01)
    assert "encloses no cavity" in result.segments[16].not_available["wall_mean_mm"]
    assert [each.level for each in result.slices[1:]] == [
        "apical",
        "apical",
        "mid",
        "basal",
        "basal",
    ]


def test_an_unknown_orientation_leaves_segments_out_with_the_reason():
    result = assess(heart(scar=sector(0, 60)))
    for one in result.segments:
        complete(one)
        assert "give the insertions" in one.not_available["mass_g"]
    assert "give the insertions" in result.rules[0].not_available["segments_over_50"]
    assert result.features.infarct_mass_g is not None


# Slices and scans


def test_the_ring_of_closed_form():
    result = assess(heart(scar=sector(0, 90), slices=6), insertions_deg=STANDARD)
    area = np.pi * (30**2 - 20**2)
    numbers = result.features
    complete(numbers)
    assert numbers.myocardial_mass_g == pytest.approx(1.05 * area * 60 / 1000, rel=0.01)
    assert numbers.infarct_fraction == pytest.approx(0.25, abs=0.005)
    assert numbers.infarct_mass_g == pytest.approx(0.25 * numbers.myocardial_mass_g, rel=0.02)
    assert numbers.scar_components == 1
    assert numbers.largest_scar_ml == pytest.approx(numbers.infarct_volume_ml)
    assert numbers.no_reflow_volume_ml == 0
    assert numbers.wall_mean_mm == pytest.approx(10, abs=0.1)
    assert numbers.wall_slices == 6
    assert numbers.transmurality_mean == pytest.approx(0.25, abs=0.01)
    assert numbers.transmurality_max == 1
    assert numbers.wall_share_76_100 == pytest.approx(0.25, abs=0.02)
    assert numbers.wall_share_none == pytest.approx(0.75, abs=0.02)
    for index, one in enumerate(result.slices):
        complete(one)
        assert one.position_mm == 10 * index
        assert one.extent_mm == 10
        assert one.myocardial_area_mm2 == pytest.approx(area, rel=0.01)
        assert one.infarct_fraction == pytest.approx(0.25, abs=0.005)
    total = sum(one.infarct_mass_g for one in result.slices)
    assert total == pytest.approx(numbers.infarct_mass_g)
    levels = [one.level for one in result.slices]
    assert levels == ["apical", "apical", "mid", "mid", "basal", "basal"]


@pytest.mark.parametrize(
    ("depth", "field"),
    [
        (0.2, "wall_share_1_25"),
        (0.4, "wall_share_26_50"),
        (0.6, "wall_share_51_75"),
        (0.9, "wall_share_76_100"),
    ],
)
def test_quarters_of_transmurality(depth, field):
    one = heart(scar=sector(0, 180) & (radius() < 20 + 10 * depth), slices=2)
    numbers = features(one)
    assert getattr(numbers, field) == pytest.approx(0.5, abs=0.07)
    assert numbers.transmurality_mean == pytest.approx(depth / 2, abs=0.02)
    shares = [value for name, value in numbers._asdict().items() if name.startswith("wall_share")]
    assert sum(shares) == pytest.approx(1)


def test_pieces_of_scar_are_counted_through_the_stack():
    one = heart(scar=sector(0, 40) | sector(100, 120), slices=4)
    one.enhancement[3] &= sector(0, 40)
    one.core[3] = one.enhancement[3]
    numbers = features(one)
    assert numbers.scar_components == 2
    assert numbers.scar_component_volumes_ml == tuple(
        sorted(numbers.scar_component_volumes_ml, reverse=True)
    )
    assert sum(numbers.scar_component_volumes_ml) == pytest.approx(numbers.infarct_volume_ml)


@pytest.mark.parametrize("marked", [True, False])
def test_no_reflow_belongs_to_the_infarct_and_not_to_the_gray_zone(marked):
    one = heart(scar=sector(0, 100))
    dark = np.stack([sector(30, 70) & (radius() < 25)] * 6) & one.enhancement
    one.scan.image[dark] -= 300
    one.core[dark] = False
    if not marked:
        one.enhancement[dark] = False
    numbers = features(one)
    core_ml = dark.sum() * 10 / 1000
    assert numbers.no_reflow_volume_ml == pytest.approx(core_ml, rel=0.05)
    assert numbers.infarct_volume_ml == pytest.approx(
        np.count_nonzero(one.enhancement | dark) * 10 / 1000, rel=0.01
    )
    assert numbers.gray_zone_volume_ml == pytest.approx(0, abs=0.05 * core_ml)


# Rules


def test_rules_stand_side_by_side_and_the_one_in_use_is_named():
    result = assess(heart(scar=sector(3, 65)), insertions_deg=STANDARD)
    assert result.rules[0].rule == STUDY
    assert [one.rule for one in result.rules if one.used] == [STUDY]
    assert [one.rule for one in result.rules[1:]] == list(clinical.RULES)
    for one in result.rules:
        complete(one)
        assert one.fraction == pytest.approx(62 / 360, abs=0.02)  # noise is far below the contrast
        assert one.over_15_percent
        assert one.wall_over_50 == pytest.approx(62 / 360, abs=0.03)
        assert {5, 11} <= set(one.segments_over_50)
    assert set(result.masks) == {STUDY, *clinical.RULES}
    complete(result.spread)
    assert result.spread.over_15_percent_flips is False
    assert result.spread.segments_flip_50 == ()


def test_a_gray_scar_makes_decisions_flip():
    one = heart(scar=sector(3, 65))
    gray = one.enhancement & np.stack([sector(20, 65)] * 6)
    one.scan.image[gray] = 118  # 3 to 4 deviations above remote
    one.core[gray] = False
    result = assess(one, insertions_deg=STANDARD)
    assert result.spread.over_15_percent_flips is True
    assert set(result.spread.segments_flip_50) & {5, 11}
    assert result.spread.lowest_fraction < 0.08
    assert result.spread.highest_fraction > 0.15


def test_remote_myocardium_can_be_given():
    one = heart(scar=sector(0, 60))
    drawn = one.myocardium & np.stack([sector(170, 190)] * 6)
    assert assess(one, remote=drawn).findings.remote.basis == "given"
    with pytest.raises(InputError, match="own grid"):
        assess(one, remote=drawn[:2])


# Bad input


def test_without_enhancement_what_needs_it_says_so():
    result = assess(heart(), insertions_deg=STANDARD)
    numbers = result.features
    complete(numbers)
    assert numbers.infarct_volume_ml == 0 and numbers.scar_components == 0
    for name in ("transmurality_mean", "no_reflow_volume_ml", "largest_scar_ml"):
        assert "no enhancement" in numbers.not_available[name]
    for one in result.rules[1:]:
        complete(one)
        assert one.fraction is None
        assert "no enhancement" in one.not_available["fraction"]
    assert result.spread.lowest_fraction is None
    complete(result.spread)


def test_a_single_slice_has_areas_and_a_wall_but_no_volume():
    result = assess(heart(scar=sector(0, 60), slices=1), insertions_deg=STANDARD)
    numbers = result.features
    complete(numbers)
    assert numbers.lv_volume_ml is None and numbers.infarct_mass_g is None
    assert "single slice" in numbers.not_available["lv_volume_ml"]
    assert numbers.wall_mean_mm == pytest.approx(10, abs=0.1)
    assert result.slices[0].infarct_area_mm2 > 0
    assert "single slice" in result.segments[0].not_available["mass_g"]


def test_myocardium_without_cavity_has_no_thickness():
    one = heart(scar=sector(0, 60))
    one.myocardium[:] |= one.blood_pool
    one.blood_pool[:] = False
    numbers = assess(one, insertions_deg=STANDARD).features
    complete(numbers)
    assert numbers.wall_mean_mm is None and numbers.myocardial_mass_g > 0
    assert "encloses a cavity" in numbers.not_available["transmurality_mean"]


def test_an_open_ring_is_left_out_of_the_wall_and_named():
    one = heart(scar=sector(0, 60))
    one.myocardium[5] &= ~sector(100, 140)
    result = assess(one, insertions_deg=STANDARD)
    assert result.features.wall_slices == 5
    assert "open ring" in result.slices[5].not_available["wall_mean_mm"]
    assert result.slices[5].infarct_area_mm2 > 0


def test_segments_of_which_nothing_is_known_are_not_below_a_limit():
    one = heart(scar=sector(0, 60))
    one.myocardium[:] &= ~sector(100, 140)
    study = assess(one, insertions_deg=STANDARD).rules[0]
    assert study.segments_over_50 is None
    assert "encloses no cavity" in study.not_available["segments_over_50"]
    assert assess(heart(), insertions_deg=STANDARD).rules[0].segments_over_50 == ()


def test_a_remote_region_of_one_intensity_is_no_reference():
    one = heart(scar=sector(0, 60))
    one.scan.image[one.myocardium & ~one.enhancement] = 100
    result = assess(one)
    numbers = result.features
    complete(numbers)
    assert "spread is 0" in numbers.not_available["no_reflow_volume_ml"]
    assert any("no-reflow is not in the infarct" in note for note in numbers.notes)
    rules = {each.rule: each for each in result.rules}
    assert "spread is 0" in rules["sd_5"].not_available["volume_ml"]
    assert rules["fwhm_brightest"].volume_ml > 0


def test_a_stack_that_is_cut_has_no_length_and_says_so():
    one = heart()
    numbers = features(one)
    assert numbers.lv_length_mm is None
    assert "base is not covered" in numbers.not_available["lv_length_mm"]
    assert len(numbers.notes) == 2
    for mask in (one.myocardium, one.blood_pool):
        mask[0] = mask[5] = False
    whole = features(one)
    assert whole.lv_length_mm == 40 and whole.notes == ()
    one.myocardium[2] = one.blood_pool[2] = False  # a lost slice makes no heart shorter
    assert features(one).lv_length_mm == 40


def without(one, *slices, certificate):
    """A heart that begins and ends within its stack, of which slices were lost."""
    for mask in (one.myocardium, one.blood_pool, one.enhancement, one.core):
        mask[[0, -1, *slices]] = False
    lost = tuple(certificate._replace(slice_index=k, route=Route.LOST) for k in slices)
    return dataclasses.replace(one, certificates=lost)


@pytest.mark.parametrize("lost", [(), (3,), (1,), (6,), (5, 6)])
def test_a_lost_slice_is_unknown_and_moves_no_other(lost, certificates):
    one = without(heart(slices=8, scar=sector(0, 60)), *lost, certificate=certificates[0])
    result = assess(one, insertions_deg=STANDARD)
    expected = [None, "apical", "apical", "mid", "mid", "basal", "basal", None]
    for index, (record, level) in enumerate(zip(result.slices, expected, strict=True)):
        complete(record)
        if index not in lost:
            assert record.level == level
            continue
        assert record.level is record.lv_area_mm2 is record.infarct_mass_g is None
        assert "lost" in record.not_available["level"]
        assert record.not_available["wall_mean_mm"] == record.not_available["level"]
    length = result.features.lv_length_mm
    assert length is None if {1, 6} & {*lost} else length == 60


def test_thirds_are_those_of_the_part_that_slices_stand_for():
    """Beside a wide gap a slice reaches further to one side than to the other."""
    positions_mm = np.array([0.0, 30, 38, 46, 54, 62, 70])
    one = heart(slices=7, positions_mm=positions_mm)
    for mask in (one.myocardium, one.blood_pool):
        mask[0] = False
    found = [record.level for record in assess(one, insertions_deg=STANDARD).slices]
    assert found == [None, "apical", "mid", "mid", "mid", "basal", "basal"]  # of 15 to 74 mm


def test_nothing_at_all():
    one = heart()
    for mask in (one.myocardium, one.blood_pool):
        mask[:] = False
    result = assess(one, insertions_deg=STANDARD)
    for record in (result.features, *result.slices, *result.segments, *result.rules):
        complete(record)
    numbers = result.features
    measured = {name: value for name, value in numbers._asdict().items() if name.endswith("_ml")}
    assert not any(value == 0 for value in measured.values())
    assert numbers.scar_fraction is numbers.scar_components is None
    assert all(one.volume_ml is None for one in result.rules)


@pytest.mark.parametrize("spacing", [(1.5, 0.75), (0.8, 1.6)])
def test_pixels_need_not_be_square(spacing):
    wall, _ = ring(30, 20, spacing)
    assert wall.shape == positions(spacing)[0].shape
    one = heart(scar=sector(60, 120, spacing), spacing_mm=spacing)
    result = assess(one, insertions_deg=STANDARD)
    assert result.features.infarct_fraction == pytest.approx(1 / 6, abs=0.01)
    assert result.features.wall_mean_mm == pytest.approx(10, abs=0.2)
    assert result.segments[3].infarct_fraction == pytest.approx(1, abs=0.05)
    assert result.segments[0].infarct_fraction == pytest.approx(0, abs=0.05)


def test_everything_goes_into_json():
    for options in ({}, {"insertions_deg": STANDARD}):
        result = clinical.json_of(assess(heart(scar=sector(0, 60)), **options))
        text = json.dumps(result, allow_nan=False)
        assert json.loads(text)["scar_rules"][0]["used"] is True
    assert result["rv_insertions"]["basis"] == "given"
    assert result["remote_myocardium"]["pixels"] > 0
