"""A folder of studies in one page."""

import csv
import html.parser
import json
import re
import shutil

import pytest
from browser import CHROMIUM, browse
from hearts import heart, sector

from acsnet_jax.clinical import Judgement, assess, json_of, measure_signs
from acsnet_jax.report import Study, collect_studies, ranked, studies_text, study_of, write_studies
from acsnet_jax.types import InputError


def row(name, verdict="accepted", **changes):
    numbers = {
        "page": f"{name}/report.html",
        "reasons": () if verdict == "accepted" else ("the LV <jumps>",),
        "infarct_g": 12.34,
        "infarct_percent": 10.0,
        "interval_percent": (6.0, 15.5),
        "core_percent": 5.0,
        "mass_g": 120.4,
        "cavity_ml": 99.6,
        "expected_dice": 0.8,
        **changes,
    }
    return Study(name, verdict=verdict, **numbers)


ROWS = [
    row("good"),
    row("doubted", "look at it", infarct_g=None, infarct_percent=None, interval_percent=None),
    row("bad", "rejected", expected_dice=None),
    row("unsure", expected_dice=0.6, infarct_g=2.0),
]


class Cells(html.parser.HTMLParser):
    """The rows of a page's table as lists of texts, and its links."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.links, self.open = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        self.open = tag in ("td", "th", "a", "span", "button")
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "a":
            self.links.append(dict(attrs)["href"])

    def handle_data(self, data):
        if self.open and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_the_worst_come_first():
    assert [study.scan_id for study in ranked(ROWS)] == ["bad", "doubted", "unsure", "good"]
    judged = [
        row("a", wall_dice=0.9),
        row("b", wall_dice=0.8),
        row("c", wall_dice=0.95, infarct_dice=0.1),
    ]
    assert [study.scan_id for study in ranked(judged)] == ["c", "b", "a"]


def test_each_row_opens_its_study_and_what_it_says_is_escaped(tmp_path):
    path = tmp_path / "index.html"
    write_studies(ranked(ROWS), path, title="Studies", provenance={"Bundle": "<b>"})
    text = path.read_text(encoding="utf-8")
    page = Cells(text)
    assert page.links == [f"{name}/report.html" for name in ("bad", "doubted", "unsure", "good")]
    assert page.rows[0][:3] == ["Study", "Verdict", "Infarct (g)"]
    assert "Wall Dice" not in page.rows[0]  # nobody has an expert
    assert page.rows[4][2:4] == ["12.3", "10.0(6 to 16)"]
    assert page.rows[2][2] == "n/a"
    assert "<jumps>" not in text and "the LV &lt;jumps&gt;" in text and "<dd><b>" not in text
    assert "1 rejected, 1 look at it, 2 accepted" in text
    with path.with_suffix(".csv").open() as file:
        records = list(csv.DictReader(file))
    assert [record["scan_id"] for record in records] == ["bad", "doubted", "unsure", "good"]
    assert records[3]["infarct_percent_high"] == "15.5" and records[1]["infarct_g"] == ""


def test_rows_are_those_of_the_folders(tmp_path):
    segmentation = heart(scar=sector(0, 90))
    assessment = assess(segmentation)
    judgement = Judgement("look at it", ("why",), measure_signs(segmentation))
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        numbers = {"scan_id": name, **json_of(assessment)}
        (tmp_path / name / "features.json").write_text(json.dumps(numbers))
        gate = {**judgement._asdict(), "signs": judgement.signs._asdict()}
        (tmp_path / name / "gate.json").write_text(json.dumps(gate))
    (tmp_path / ".0123.c").mkdir()  # of a run that was killed while it wrote
    shutil.copy(tmp_path / "a" / "features.json", tmp_path / ".0123.c")
    studies = collect_studies(tmp_path)
    assert [study.scan_id for study in studies] == ["a", "b"]
    expected = study_of("a", assessment, judgement, page="a/report.html")
    assert studies[0] == expected
    fraction = assessment.features.infarct_fraction
    assert fraction is not None and expected.infarct_percent == pytest.approx(100 * fraction)
    assert collect_studies(tmp_path / "a") == []
    for name, text in (("features.json", "{}"), ("gate.json", '{"verdict": "new"}')):
        path = tmp_path / "b" / name
        whole = path.read_text()
        path.write_text(text)
        with pytest.raises(InputError, match=f"b/{name}: .*predict it again"):
            collect_studies(tmp_path)
        path.write_text(whole)


def test_the_terminal_gets_a_hundred_columns():
    table = studies_text([row("x" * 120), row("short")])
    assert max(len(line) for line in table.splitlines()) <= 100
    assert "…" in table and "6 to 16" in table
    assert "short" in studies_text([row("short")])


@pytest.mark.skipif(CHROMIUM is None, reason="needs headless Chromium: apt-get install chromium")
def test_headings_sort_and_what_is_missing_stays_last(tmp_path):
    assert CHROMIUM is not None
    path = tmp_path / "index.html"
    write_studies(ranked(ROWS), path, title="Studies", provenance={})
    acts = """<script>addEventListener("DOMContentLoaded", () => {
      const names = () =>
        [...document.querySelectorAll("tbody th")].map((cell) => cell.textContent);
      const press = (k) => document.querySelectorAll("thead button")[k].click();
      const seen = [];
      press(2); seen.push(names()); press(2); seen.push(names()); press(0); seen.push(names());
      const note = document.createElement("pre"); note.id = "seen";
      note.textContent = JSON.stringify(seen); document.body.append(note);
    });</script>"""
    text = path.read_text(encoding="utf-8").replace("<head>", f"<head>{acts}")
    (tmp_path / "acts.html").write_text(text, encoding="utf-8")
    done = browse(tmp_path / "acts.html", patience_ms=1000)
    (seen,) = re.findall(r'<pre id="seen">(.*?)</pre>', done.stdout)
    up, down, by_name = json.loads(html.unescape(seen))
    assert up[0] == "unsure" and up[-1] == "doubted"
    assert down[-2:] == ["unsure", "doubted"]
    assert by_name == ["bad", "doubted", "good", "unsure"]
