import html.parser

import pytest

from acsnet_jax.evaluation.headline import Number
from acsnet_jax.evaluation.records import evaluate
from acsnet_jax.evaluation.summary import table1, table2
from acsnet_jax.evaluation.validity import Validity
from acsnet_jax.pipeline import Inference
from acsnet_jax.report import Picture, Report, environment, training_curves, write_report
from acsnet_jax.types import InputError

VOID = {"meta", "img", "br"}


class Checker(html.parser.HTMLParser):
    """Collects ids and sources; fails on tags that do not match."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids.append(attributes.get("id"))
        self.links += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(path):
    checker = Checker()
    checker.feed(path.read_text(encoding="utf-8"))
    assert not checker.open
    return checker


def test_the_report_is_one_file_that_needs_no_other(make_segmentation, certificates, tmp_path):
    training_curves({"lv": [{"step": 0, "loss": 1.0}]}, tmp_path / "curves.png")
    records = evaluate([make_segmentation(slices=3)], Inference())
    picture = Picture("Curves", "Loss against steps.", tmp_path / "curves.png")
    path = write_report(
        tmp_path / "out",
        Report(
            title="A study",
            summary=[Number("LV Dice", 0.9, 0.88, half_width=0.02, note="7 of 9 slices")],
            table1=table1(records.slices),
            table2=table2(records.volumes),
            pictures=[picture],
            worst=[picture],
            certificates=list(certificates),
            validity=Validity(2, 2, 0, 0, 3, {("one", 2): "never found"}),
            data={"Patients": "1"},
            config={"seed": "0"},
            environment=environment(),
            datasets=["emidec"],
        ),
    )
    page = parse(path)
    sections = {
        "summary",
        "presence",
        "table1",
        "table2",
        "worst",
        "figures",
        "certificates",
        "methods",
    }
    assert sections <= set(page.ids)
    for link in page.links:
        assert link.startswith(("#", "data:image/png;base64,"))
        assert not link.startswith("#") or link[1:] in page.ids
    text = " ".join(" ".join(page.text).split())
    for expected in ("0.79 ± 0.02", "objects, holes", "10.3390/data5040089", "aim ≥ 0.88: met"):
        assert expected in text
    assert "0.90 ± 0.02" in text and "7 of 9 slices" in text
    assert text.index("Enhancement") < text.index("MYO")
    assert "expert slices lost: 1 of 3 (1 never found)" in text
    assert "2 slices with a mask: 1 valid as predicted, 2 valid as returned; 1 left out by" in text
    assert "Scar moved, mm³" in text and "4 9 123 yes" in text and "0 0 0 left out" in text
    assert "objects, holes moved 7 2.50" in text and "none untouched" in text


def test_an_empty_report_has_no_empty_sections(tmp_path):
    page = parse(write_report(tmp_path, Report(title="Nothing")))
    assert set(page.ids) == {None, "methods"}


def test_text_is_escaped(tmp_path):
    path = write_report(tmp_path, Report(title="<script>", data={"a<b": "c & <i>d</i>"}))
    text = path.read_text(encoding="utf-8")
    assert "<script>" not in text and "<i>" not in text
    assert "c & <i>d</i>" in "".join(parse(path).text)


def test_missing_parts_are_named_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png"):
        write_report(
            tmp_path, Report(title="x", pictures=[Picture("x", "", tmp_path / "gone.png")])
        )
    with pytest.raises(InputError, match="atlas"):
        write_report(tmp_path, Report(title="x", datasets=["atlas"]))
    assert not list(tmp_path.iterdir())
