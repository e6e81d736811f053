"""Pages under axe, in headless Chromium: light and dark, on a desk and on a phone."""

import html
import importlib.util
import json
import pathlib
import re

import pytest
from browser import CHROMIUM, browse

from acsnet_jax.clinical import assess, judge, measure_signs
from acsnet_jax.evaluation.headline import Number
from acsnet_jax.evaluation.records import evaluate
from acsnet_jax.evaluation.summary import table1, table2
from acsnet_jax.pipeline import Inference
from acsnet_jax.report import Report, study_of, write_report, write_scan_page, write_studies

AXE = importlib.util.find_spec("axe_core_python")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or AXE is None,
    reason="needs headless Chromium and axe: pip install axe-core-python",
)

RUN = """
addEventListener("load", () => {
  document.documentElement.dataset.theme = "THEME";
  axe.run().then((found) => {
    const told = found.violations.map((one) => [one.id, one.impact, one.nodes[0].html]);
    const note = document.createElement("pre");
    note.id = "axe"; note.textContent = JSON.stringify(told); document.body.append(note);
  });
});
"""


@pytest.fixture
def pages(tmp_path, make_segmentation, certificates):
    """The three kinds of page by name."""
    folder = tmp_path / "pages"
    folder.mkdir()
    segmentation = make_segmentation("a")
    assessment, judgement = assess(segmentation), judge(measure_signs(segmentation))
    told = {"Bundle": "0"}
    scan = folder / "scan.html"
    write_scan_page(scan, segmentation, assessment, judgement=judgement, provenance=told)
    studies = [study_of("a", assessment, judgement, page="scan.html")]
    write_studies(studies, folder / "studies.html", title="Studies", provenance=told)
    records = evaluate([segmentation], Inference())
    report = write_report(
        folder / "study",
        Report(
            title="A study",
            summary=[Number("LV Dice", 0.9, 0.88, half_width=0.02, note="4 of 4 slices")],
            table1=table1(records.slices),
            table2=table2(records.volumes),
            certificates=list(certificates),
            data={"Patients": "1"},
            config={"seed": "0"},
        ),
    )
    return {"scan": scan, "studies": folder / "studies.html", "study": report}


@pytest.mark.parametrize("width", [1200, 420])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", ["scan", "studies", "study"])
def test_axe_finds_no_fault(pages, page, theme, width, tmp_path):
    assert AXE is not None and CHROMIUM is not None
    place = next(iter(AXE.submodule_search_locations or ()))
    axe = (pathlib.Path(place) / "axe.min.js").read_text(encoding="utf-8")
    script = f"<script>{axe}</script><script>{RUN.replace('THEME', theme)}</script>"
    text = pages[page].read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(text.replace("</body>", f"{script}</body>"), "utf-8")
    done = browse(tmp_path / "page.html", f"--window-size={width},900", patience_ms=20_000)
    found = re.search(r'<pre id="axe">(.*?)</pre>', done.stdout)
    assert found, done.stderr
    assert json.loads(html.unescape(found[1])) == []
