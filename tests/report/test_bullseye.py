import csv
import json

import matplotlib.image
import numpy as np
import pytest
from hearts import heart, sector
from matplotlib.figure import Figure

from acsnet_jax import clinical
from acsnet_jax.report import write_assessment
from acsnet_jax.report.bullseye import TARGETS, draw_bullseye

STANDARD = (240.0, 120.0)
FILES = {
    "features.json",
    "slices.csv",
    "segments.csv",
    "scar_rules.csv",
    "bullseye.png",
    "scar_rules.png",
}


@pytest.fixture(scope="module", params=["all", "no segments", "no scar", "one slice", "nothing"])
def written(request, tmp_path_factory):
    scar = None if request.param in ("no scar", "nothing") else sector(0, 70)
    one = heart(scar=scar, slices=1 if request.param == "one slice" else 3)
    if request.param == "nothing":
        one.myocardium[:] = one.blood_pool[:] = False
    given = None if request.param == "no segments" else STANDARD
    result = clinical.assess(one, insertions_deg=given)
    folder = tmp_path_factory.mktemp("written")
    write_assessment(result, one, folder)
    return result, folder


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_files_are_there(written):
    _, folder = written
    assert {path.name for path in folder.iterdir()} == FILES
    for path in folder.glob("*.png"):
        pixels = matplotlib.image.imread(path)
        assert min(pixels.shape[:2]) > 200
        assert pixels[..., :3].std() > 0.01


def test_json_says_its_schema_and_why_something_is_null(written):
    result, folder = written
    values = json.loads((folder / "features.json").read_text())
    assert values["schema"] == "acsnet_jax.features"
    assert values["schema_version"] == 2
    for record in (values, *values["segments"], *values["slice_features"], *values["scar_rules"]):
        missing = {name for name, value in record.items() if value is None}
        assert missing == set(record["not_available"])
    assert values["infarct_mass_g"] == result.features.infarct_mass_g
    assert len(values["segments"]) == 17


def test_tables_hold_the_same_numbers(written):
    result, folder = written
    slices, segments = rows(folder / "slices.csv"), rows(folder / "segments.csv")
    assert len(slices) == len(result.slices) and len(segments) == 17
    for row, record in zip((*slices, *segments), (*result.slices, *result.segments), strict=True):
        assert row["scan_id"] == "heart"
        for name, value in record._asdict().items():
            if value is None:
                assert row[name] == "" and f"{name}: " in row["not_available"]
            elif isinstance(value, float):
                assert float(row[name]) == pytest.approx(value, rel=1e-5)
    rules = rows(folder / "scar_rules.csv")
    assert [row["used"] for row in rules] == ["True"] + ["False"] * 10


def test_segments_stand_where_cardiologists_expect_them():
    result = clinical.assess(heart(scar=sector(60, 120)), insertions_deg=STANDARD)
    axes = Figure().subplots()
    draw_bullseye(axes, result.segments, TARGETS[0])
    places = {int(t.get_text()): t.get_position() for t in axes.texts if t.get_fontsize() == 5}
    assert set(places) == set(range(1, 18))
    angle = {number: np.rad2deg(np.arctan2(y + 0.07, x)) for number, (x, y) in places.items()}
    radius = {number: np.hypot(x, y + 0.07) for number, (x, y) in places.items()}
    # anterior on top, septum on the left, inferior below, lateral on the right
    for number, expected in {1: 90, 4: -90, 7: 90, 13: 90, 14: 180, 15: -90, 16: 0}.items():
        assert (angle[number] - expected + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    for number, expected in {2: 150, 3: -150, 5: -30, 6: 30, 8: 150, 12: 30}.items():
        assert angle[number] == pytest.approx(expected)
    assert radius[1] > radius[7] > radius[13] > radius[17] == pytest.approx(0)
    # the scar is in the inferior wall alone
    colours = [np.array(patch.get_facecolor()[:3]) for patch in axes.patches]
    darkest = np.argsort([colour.sum() for colour in colours[:12]])[:2]
    assert set(darkest + 1) == {4, 10}
    assert axes.patches[16].get_hatch() and "n/a" in {text.get_text() for text in axes.texts}
