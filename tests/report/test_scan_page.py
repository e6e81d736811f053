"""The report of one scan: what it says, and what it does in a browser.

The browser is headless Chromium, run once: a script at the end of the page acts as a reader would
and leaves what it saw in the page, which Chromium prints. Then it takes one picture.
"""

import base64
import dataclasses
import html
import html.parser
import io
import json
import pathlib
import re

import numpy as np
import pytest
from browser import CHROMIUM, browse
from PIL import Image
from skimage.draw import polygon2mask

from acsnet_jax.clinical import Calibration, Judgement, Scale, assess, features, measure_signs
from acsnet_jax.clinical.intervals import Group
from acsnet_jax.report import scan_pictures, unrolled, write_assessment, write_scan_page
from acsnet_jax.report.scan_numbers import (
    decision_words,
    feature_rows,
    headline,
    interval_words,
    no_segments,
    rule_rows,
    segment_rows,
    tops,
)
from acsnet_jax.report.scan_slices import svg_path
from acsnet_jax.report.scan_words import certificate_words, scan_facts
from acsnet_jax.types import Route, Window

ACTS = pathlib.Path(__file__).with_name("acts.js")


def with_gray_zone(segmentation):
    """The same, with half of the scar as gray zone."""
    right = np.arange(segmentation.core.shape[2]) >= 24
    return dataclasses.replace(segmentation, core=segmentation.core & right)


def write(path, segmentation):
    provenance = {"Bundle": "SHA-256 0123", "spec.<b>": "1"}
    write_scan_page(path, segmentation, assess(segmentation), provenance=provenance)
    return path.read_text(encoding="utf-8")


class Page(html.parser.HTMLParser):
    """Tags of a page, and its words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def corners(path):
    """Closed curves of path data, as arrays of (x, y)."""
    curves = []
    for part in path.rstrip("z").split("z"):
        start, steps = part.removeprefix("M").split("l")
        points = np.array([start, *re.findall(r"-?\d+ -?\d+", steps)])
        curves.append(np.cumsum([np.fromstring(point, int, sep=" ") for point in points], axis=0))
    return curves


def inside(path, shape):
    """Pixels whose centre, at odd half pixels, lies inside a path by the even-odd rule."""
    if not path:
        return np.zeros(shape, bool)
    curves = [(curve[:, ::-1] - 1) / 2 for curve in corners(path)]
    return np.logical_xor.reduce([polygon2mask(shape, curve) for curve in curves])


def test_paths_enclose_the_pixels_of_the_mask():
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.random((9, 8)) < 0.5, np.ones((3, 3))).astype(bool)
    np.testing.assert_array_equal(inside(svg_path(blocks), blocks.shape), blocks)
    assert svg_path(np.zeros((3, 4), bool)) == ""
    (curve,) = corners(svg_path(np.eye(1, dtype=bool)))
    assert curve.min() == 0 and curve.max() == 2  # one pixel is two half pixels wide


def test_slices_and_contours_are_those_of_the_scan(make_segmentation, tmp_path):
    segmentation = with_gray_zone(make_segmentation(shift=(3, 5)))
    page = Page(write(tmp_path / "report.html", segmentation))
    pictures = [a["href"] for a in page.all("image") if "href" in a]
    image = segmentation.scan.image
    assert len(pictures) == len(image)
    for picture, values in zip(pictures, image, strict=True):
        encoded = picture.removeprefix("data:image/png;base64,")
        levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))).astype(float)
        assert levels.shape == values.shape
        # Straight from intensity to level, but for what is clipped as the brightest of all.
        unclipped = (levels > 0) & (levels < 255)
        slope = np.polyfit(values[unclipped], levels[unclipped], 1)[0]
        np.testing.assert_allclose(
            levels[unclipped] - slope * values[unclipped],
            np.median(levels[unclipped] - slope * values[unclipped]),
            atol=1,
        )
    masks = {
        "myocardium": segmentation.myocardium,
        "blood_pool": segmentation.blood_pool,
        "gray_zone": segmentation.enhancement & ~segmentation.core,
        "core": segmentation.core,
        "expert_myocardium": segmentation.scan.labels >= 2,
        "expert_enhancement": segmentation.scan.labels >= 3,
    }
    drawn = [a for a in page.all("path") if "data-layer" in a and a["d"] != "M0 0h20v10h-20z"]
    expected = [(name, k) for k in range(len(image)) for name in masks if masks[name][k].any()]
    assert {name for name, _ in expected} == set(masks)
    assert [attributes["data-layer"] for attributes in drawn] == [name for name, _ in expected]
    for attributes, (name, k) in zip(drawn, expected, strict=True):
        mask = masks[name][k]
        np.testing.assert_array_equal(inside(attributes["d"], mask.shape), mask)


def test_it_needs_nothing_beside_it_and_escapes_what_it_shows(make_segmentation, tmp_path):
    segmentation = make_segmentation()
    scan = segmentation.scan.replace(
        problems=("slices <i>far</i> apart",), window=Window(90.0, 60.0)
    )
    text = write(tmp_path / "report.html", dataclasses.replace(segmentation, scan=scan))
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "http" not in text.replace("http-equiv", "")
    assert "<i>" not in text and "spec.<b>" not in text and "spec.&lt;b&gt;" in text
    page = Page(text)
    assert "slices <i>far</i> apart" in "".join(page.words)
    (window,) = [a for a in page.all("button") if a.get("id") == "header"]
    assert (window["data-low"], window["data-high"]) == ("60.0", "119.0")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_every_control_has_a_name(make_segmentation, tmp_path):
    page = Page(write(tmp_path / "report.html", make_segmentation()))
    labelled = {a.get("for") for a in page.all("label")}
    for attributes in page.all("input"):
        named = "aria-label" in attributes or attributes["id"] in labelled
        assert named or attributes["type"] == "checkbox"  # whose label is around it
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert page.all("html") == [{"lang": "en"}]
    assert all(a.get("scope") or a.get("class") for a in page.all("th"))


def test_numbers_are_the_features_with_units(make_segmentation):
    assessment = assess(make_segmentation())
    found = assessment.features
    rows = {row.name: row for row in feature_rows(assessment)}
    infarct = found.infarct_volume_ml
    assert infarct is not None and found.infarct_fraction is not None
    assert rows["Infarct, mass"][1:3] == (f"{1.05 * infarct:.1f}", "g")
    assert rows["Infarct, volume"][1:3] == (f"{infarct:.1f}", "mL")
    assert rows["Infarct of LV mass"][1:3] == (f"{100 * found.infarct_fraction:.1f}", "%")
    assert rows["Slices with LV"].value == "4 of 4"
    assert all(row.unit for row in (*rows.values(), *headline(assessment)))
    missing = assessment._replace(
        features=found._replace(infarct_mass_g=None, not_available={"infarct_mass_g": "why not"})
    )
    assert headline(missing)[0][1:4] == ("not available", "g", "why not")


def spread_out(segmentation, **spread):
    """The same, with numbers that spread over draws."""
    return dataclasses.replace(segmentation, spread=spread)


def test_intervals_stand_beside_their_numbers_and_say_what_they_are_worth(make_segmentation):
    segmentation = spread_out(make_segmentation(), enhancement_volume_ml=0.1, lv_volume_ml=1.0)
    drawn = assess(segmentation)
    rows = {row.name: row for row in feature_rows(drawn)}
    bar, lv = rows["Infarct, volume"].bar, rows["LV with its wall, volume"].bar
    assert bar is not None and lv is not None
    assert bar.high - bar.value == pytest.approx(0.1645, abs=1e-3)
    assert rows["Infarct of LV mass"].bar is None  # whose spread is not known
    assert tops([*rows.values()])["mL"] == lv.high
    assert "not calibrated" in interval_words(drawn)
    scales: dict[str, dict[Group, Scale]] = {"lv_volume_ml": {"all": Scale(1.0, 2.0, 30)}}
    half = assess(segmentation, calibration=Calibration(0.9, scales))
    assert "Some intervals are not calibrated" in interval_words(half)
    whole = assess(spread_out(segmentation, lv_volume_ml=1.0), calibration=Calibration(0.8, scales))
    assert "in 80% of patients" in interval_words(whole)
    interval = whole.intervals["lv_volume_ml"]
    assert interval.high - interval.low == pytest.approx(2 * 2.0 * (1.0 + 1.0))
    assert "nothing was drawn" in interval_words(assess(make_segmentation()))


@pytest.mark.parametrize(
    ("spread", "words"),
    [
        (None, "Without an interval"),
        (1e-4, "over all of the interval"),
        (0.5, "is open"),
    ],
)
def test_the_page_says_whether_the_infarct_is_large(make_segmentation, spread, words):
    given = {} if spread is None else {"scar_fraction": spread}
    assert words in decision_words(assess(spread_out(make_segmentation(), **given)))


def test_rules_and_segments_are_told_or_the_reason_is(make_segmentation, tmp_path):
    segmentation = make_segmentation()
    assessment = assess(segmentation)
    assert len(rule_rows(assessment)) == len(assessment.rules)
    assert len(segment_rows(assessment)) == 17
    text = html.unescape(write(tmp_path / "report.html", segmentation))
    for one in assessment.rules:
        assert one.name in text
    # How the patient lies is not told: one reason for all, and no bull's-eyes.
    assert {one.mass_g for one in assessment.segments} == {None}
    assert text.count(no_segments(assessment)) == 1
    assert "mid anteroseptal" not in text
    assert [one.path.name for one in scan_pictures(tmp_path, assessment)] == [
        "scar_rules.png",
        "ring.png",
    ]


def test_segments_are_told_where_the_insertions_are_known(make_segmentation, tmp_path):
    segmentation = make_segmentation()
    assessment = assess(segmentation, insertions_deg=(240.0, 120.0))
    assert no_segments(assessment) == ""
    path = tmp_path / "report.html"
    write_scan_page(path, segmentation, assessment, provenance={})
    text = html.unescape(path.read_text(encoding="utf-8"))
    for one in assessment.segments:
        assert one.name in text
        assert one.mass_g is not None or next(iter(one.not_available.values())) in text
    assert "bullseye.png" in {one.path.name for one in scan_pictures(tmp_path, assessment)}


def test_pictures_of_the_scans_folder_come_into_the_page(make_segmentation, tmp_path):
    segmentation = make_segmentation()
    assessment = assess(segmentation)
    write_assessment(assessment, segmentation, tmp_path)
    unrolled(assessment, tmp_path / "ring.png", title="scan")
    path = tmp_path / "report.html"
    pictures = scan_pictures(tmp_path, assessment)
    write_scan_page(path, segmentation, assessment, provenance={}, pictures=pictures)
    page = Page(path.read_text(encoding="utf-8"))
    assert [a["alt"] for a in page.all("img")] == [picture.caption for picture in pictures]
    for attributes, picture in zip(page.all("img"), pictures, strict=True):
        encoded = attributes["src"].removeprefix("data:image/png;base64,")
        assert base64.b64decode(encoded) == picture.path.read_bytes()


def test_the_wall_before_the_correction_can_be_shown(make_segmentation, certificates, tmp_path):
    segmentation = make_segmentation(slices=3)
    before = np.roll(segmentation.myocardium, 2, axis=1)
    cascade = dataclasses.replace(
        segmentation,
        certificates=certificates,
        myocardium_probability=before.astype(np.float32),
    )
    page = Page(write(tmp_path / "report.html", cascade))
    paths = [a["d"] for a in page.all("path") if a.get("data-layer") == "before"][1:]
    # the first one stands beside the switch
    for path, mask in zip(paths[-3:], before, strict=True):
        np.testing.assert_array_equal(inside(path, mask.shape), mask)
    assert "before the correction" in "".join(page.words)


def test_an_expert_is_shown_where_there_is_one(make_segmentation, tmp_path):
    assert "Expert: enhancement" in write(tmp_path / "a.html", make_segmentation())
    text = write(tmp_path / "b.html", make_segmentation(labelled=False))
    assert "Expert" not in text and "the expert" not in text


def test_certificates_are_told_in_words(certificates):
    untouched, moved, empty = certificates
    assert "beyond apex or base" in certificate_words(untouched)
    words = certificate_words(moved)
    assert words == (
        "Moved 25% of the way to a plausible shape (failed: objects, holes). 9 mm² changed, 0.12 "
        "mL of scar crossed the wall's edge. It satisfies every anatomical criterion."
    )
    assert certificate_words(empty) == "No myocardium was found on this slice."
    lost = certificate_words(moved._replace(route=Route.LOST, kept=False, valid_after=False))
    assert "Lost" in lost and "satisfy" not in lost
    for route in Route:
        assert certificate_words(moved._replace(route=route))


def test_slices_with_certificates_say_what_became_of_them(
    make_segmentation, certificates, tmp_path
):
    segmentation = dataclasses.replace(make_segmentation(slices=3), certificates=certificates)
    text = html.unescape(write(tmp_path / "report.html", segmentation))
    assert "2 slices with a mask: 1 untouched, 1 moved; 2 satisfy every criterion; 1 left" in text
    for certificate in certificates:
        assert certificate_words(certificate) in text


def test_an_empty_segmentation_and_nominal_distances_are_said(make_segmentation, tmp_path):
    segmentation = make_segmentation(labelled=False)
    nothing = np.zeros_like(segmentation.core)
    empty = dataclasses.replace(
        segmentation,
        scan=segmentation.scan.replace(nominal_spacing=True),
        myocardium=nothing,
        blood_pool=nothing,
        enhancement=nothing,
        core=nothing,
    )
    assert "no wall" in write(tmp_path / "report.html", empty)
    assert "not measured" in scan_facts(empty.scan)["Spacing"]
    assert features(empty).scar_fraction is None


def test_what_a_reader_should_know_is_on_the_page(make_segmentation, tmp_path):
    """All of the wall is scar: nothing tells what is dark in it."""
    segmentation = make_segmentation(labelled=False)
    wall = segmentation.myocardium
    one = dataclasses.replace(segmentation, enhancement=wall.copy(), core=wall.copy())
    notes = features(one).notes
    assert any("no-reflow is not in the infarct" in note for note in notes)
    text = html.unescape(write(tmp_path / "report.html", one))
    assert all(note in text for note in notes)
    infarct, *_, dark = (
        row for row in feature_rows(assess(one)) if row.name in ("Infarct, mass", "No-reflow, mass")
    )
    assert infarct.note.startswith("enhancement alone") and dark.value == "not available"


def test_one_dark_pixel_leaves_the_heart_its_levels(make_segmentation, tmp_path):
    """As padding does, or the floor of signed phase-sensitive images."""

    def levels(scan):
        write(tmp_path / "report.html", dataclasses.replace(segmentation, scan=scan))
        url = re.search(r"data:image/png;base64,([^\"]+)", (tmp_path / "report.html").read_text())
        assert url is not None
        picture = Image.open(io.BytesIO(base64.b64decode(url[1])))
        return len(np.unique(np.asarray(picture)))

    segmentation = make_segmentation(labelled=False)
    noise = np.random.default_rng(0).uniform(0, 400, segmentation.scan.image.shape)
    noise = noise.astype(np.float32)
    padded = noise.copy()
    padded[:, 0, 0] = -32768
    whole, dark = (segmentation.scan.replace(image=image) for image in (noise, padded))
    assert levels(dark) > 0.9 * levels(whole) > 100


def test_twenty_large_slices_stay_below_five_megabytes(make_segmentation, tmp_path):
    segmentation = make_segmentation(slices=20)
    rng = np.random.default_rng(2)

    def placed(stack, fill):
        large = fill((20, 512, 512))
        large[:, 200:248, 200:248] = stack
        return large

    def noise(shape):
        return rng.uniform(0, 4000, shape).astype(np.float32)

    scan = segmentation.scan.replace(
        image=placed(segmentation.scan.image, noise),
        labels=placed(segmentation.scan.labels, lambda shape: np.zeros(shape, np.uint8)),
    )
    masks = {
        name: placed(getattr(segmentation, name), lambda shape: np.zeros(shape, bool))
        for name in ("myocardium", "blood_pool", "enhancement", "core")
    }
    text = write(tmp_path / "report.html", dataclasses.replace(segmentation, scan=scan, **masks))
    assert len(text) < 5e6
    assert "Slices are cropped around the LV" in text


@pytest.fixture(scope="module")
def browsed(tmp_path_factory, make_segmentation):
    """What a reader sees: (JSON of the acts, picture, console, segmentation)."""
    if CHROMIUM is None:
        pytest.skip("needs headless Chromium: apt-get install chromium")
    folder = tmp_path_factory.mktemp("browser")
    segmentation = with_gray_zone(make_segmentation(shift=(3, 5)))
    text = write(folder / "report.html", segmentation)
    acts = f"<head><script>{ACTS.read_text(encoding='utf-8')}</script>"
    (folder / "acts.html").write_text(text.replace("<head>", acts), encoding="utf-8")
    done = browse(
        folder / "acts.html",
        *("--hide-scrollbars", "--enable-logging=stderr", "--window-size=1200,1400"),
        f"--screenshot={folder / 'page.png'}",
        patience_ms=2000,
    )
    found = re.findall(r'<pre id="seen"[^>]*>(.*?)</pre>', done.stdout)
    assert found, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    picture = np.asarray(Image.open(folder / "page.png").convert("RGB"))
    return json.loads(html.unescape(found[0])), picture, console, segmentation


def test_the_browser_has_nothing_to_complain_of(browsed):
    seen, _, console, _ = browsed
    assert seen["errors"] == [] and console == []
    assert seen["wide"] <= 0


def test_slider_wheel_keys_and_buttons_turn_slices(browsed):
    seen = browsed[0]
    numbers = {
        name: int(re.findall(r"Slice (\d)", seen[name])[0])
        for name in ("first", "slider", "right", "home", "end", "wheel", "button")
    }
    expected = {"slider": 2, "right": 3, "home": 1, "end": 4, "wheel": 3, "button": 2}
    assert {name: numbers[name] for name in expected} == expected
    assert "mm²" in seen["now"]


def test_toggles_window_and_theme_act(browsed):
    seen = browsed[0]
    assert seen["core"] == [False, True, False]
    assert seen["fromSlider"] is True
    assert seen["all"] == [True, True, True]
    assert seen["level"] != seen["reset"]
    assert seen["theme"] == "dark"


def test_the_contour_on_the_screen_is_where_the_mask_is(browsed):
    seen, picture, _, segmentation = browsed
    left, top, width, height = seen["view"]
    mask = segmentation.myocardium[seen["slice"] - 1]
    rows, columns = np.indices(mask.shape)
    x = np.rint(left + (columns + 0.5) / mask.shape[1] * width).astype(int)
    y = np.rint(top + (rows + 0.5) / mask.shape[0] * height).astype(int)
    green = (picture[y, x] == [0, 255, 0]).all(axis=-1)
    np.testing.assert_array_equal(green, mask)
    # 48 x 48 pixels of 1.25 x 1.5 mm: the picture is as broad as they are.
    assert width / height == pytest.approx(1.25 / 1.5, abs=0.01)


def test_the_gate_says_its_verdict_and_reasons(make_segmentation, tmp_path):
    segmentation = make_segmentation()
    judgement = Judgement("look at it", ("the LV jumps <12 mm>",), measure_signs(segmentation))
    path = tmp_path / "report.html"
    write_scan_page(path, segmentation, assess(segmentation), provenance={}, judgement=judgement)
    text = path.read_text(encoding="utf-8")
    assert "The gate: look at it." in text and "The LV jumps &lt;12 mm&gt;." in text
