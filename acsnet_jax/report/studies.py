"""A folder of studies in one page: a table that sorts, worst first, each row opening its study.

Rows come from what lies in the studies' folders, so that those of an earlier run are there too.
"""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2

from acsnet_jax.clinical import Assessment, Judgement, json_of
from acsnet_jax.files import read_record, write_text
from acsnet_jax.report.tables import TextTable, aligned, plain, write_csv

_TEMPLATE = pathlib.Path(__file__).with_name("studies.html.j2")
_VERDICTS = ("rejected", "look at it", "accepted")
_WIDTH = 100
_FIX = "remove the study's folder, and predict it again"


class Study(NamedTuple):
    """One row.

    Attributes:
        scan_id: pseudonymous id.
        page: of the study, relative to the table's folder; "" if it has none.
        verdict: of the gate.
        reasons: of the verdict.
        infarct_g: mass; None where it is not available, as below.
        infarct_percent: of the LV's mass.
        interval_percent: around that share; None without.
        core_percent: core scar of the LV's mass.
        mass_g: of the myocardium.
        cavity_ml: blood pool.
        expected_dice: of the wall, as the gate expects it.
        wall_dice: in 3-D, where there is an expert.
        infarct_dice: in 3-D, where there is an expert who drew one.
    """

    scan_id: str
    page: str
    verdict: str
    reasons: tuple[str, ...]
    infarct_g: float | None
    infarct_percent: float | None
    interval_percent: tuple[float, float] | None
    core_percent: float | None
    mass_g: float | None
    cavity_ml: float | None
    expected_dice: float | None
    wall_dice: float | None = None
    infarct_dice: float | None = None


class Column(NamedTuple):
    """A column of numbers: a field of `Study`, its heading, and digits behind the point."""

    field: str
    name: str
    digits: int


_COLUMNS = (
    Column("infarct_g", "Infarct (g)", 1),
    Column("infarct_percent", "Infarct (% of LV mass)", 1),
    Column("core_percent", "Core (% of LV mass)", 1),
    Column("mass_g", "LV mass (g)", 0),
    Column("cavity_ml", "Blood pool (mL)", 0),
    Column("expected_dice", "Wall Dice, expected", 2),
    Column("wall_dice", "Wall Dice", 2),
    Column("infarct_dice", "Infarct Dice", 2),
)


def study_of(
    scan_id: str,
    assessment: Assessment,
    judgement: Judgement,
    *,
    page: str = "",
    wall_dice: float | None = None,
    infarct_dice: float | None = None,
) -> Study:
    """The row of a segmentation.

    Args:
        scan_id: pseudonymous id.
        assessment: of the segmentation.
        judgement: of the gate.
        page: of the study, relative to the table's folder.
        wall_dice: in 3-D, against an expert.
        infarct_dice: the same of the infarct.
    """
    gate = {**judgement._asdict(), "signs": judgement.signs._asdict()}
    row = _study(scan_id, page, json_of(assessment), gate)
    return row._replace(wall_dice=wall_dice, infarct_dice=infarct_dice)


def collect_studies(folder: pathlib.Path) -> list[Study]:
    """The rows of a folder of studies, worst first.

    Args:
        folder: with one folder a study, each with ``features.json``, ``gate.json`` and
            ``report.html``.

    Raises:
        InputError: a file of a study is missing or damaged.
    """
    paths = sorted(folder.glob("[!.]*/features.json"))  # hidden ones are of a run that was killed
    return ranked([_collected(path) for path in paths])


def _collected(path: pathlib.Path) -> Study:
    gate = read_record(path.with_name("gate.json"), _known, fix=_FIX)
    page = f"{path.parent.name}/report.html"
    return read_record(
        path, lambda numbers: _study(numbers["scan_id"], page, numbers, gate), fix=_FIX
    )


def _known(gate: dict[str, Any]) -> dict[str, Any]:
    """A judgement whose parts are there; raises KeyError or ValueError otherwise."""
    _VERDICTS.index(gate["verdict"])
    return {name: gate[name] for name in ("verdict", "reasons", "signs")}


def _study(scan_id: str, page: str, numbers: Mapping[str, Any], gate: Mapping[str, Any]) -> Study:
    interval = numbers.get("intervals", {}).get("infarct_fraction")

    def percent(name: str) -> float | None:
        return None if numbers[name] is None else 100 * numbers[name]

    return Study(
        scan_id,
        page,
        gate["verdict"],
        tuple(gate["reasons"]),
        numbers["infarct_mass_g"],
        percent("infarct_fraction"),
        None if interval is None else (100 * interval["low"], 100 * interval["high"]),
        percent("core_fraction"),
        numbers["myocardial_mass_g"],
        numbers["blood_pool_volume_ml"],
        gate["signs"]["wall_confidence"],
    )


def ranked(studies: Sequence[Study]) -> list[Study]:
    """Worst first: by Dice where there is an expert, else by verdict and by the expected Dice."""

    def badness(study: Study) -> tuple[float, ...]:
        dice = [one for one in (study.infarct_dice, study.wall_dice) if one is not None]
        measured = (min(dice),) if dice else (math.inf,)
        expected = study.expected_dice
        verdict = float(_VERDICTS.index(study.verdict))
        return (*measured, verdict, math.inf if expected is None else expected)

    return sorted(studies, key=badness)


def write_studies(
    studies: Sequence[Study],
    path: pathlib.Path,
    *,
    title: str,
    provenance: Mapping[str, str],
) -> None:
    """Write the page, and the same as CSV beside it.

    Args:
        studies: rows, in the order in which they are shown first.
        path: HTML file to write.
        title: heading.
        provenance: versions, bundle and settings, name to text.
    """
    columns = [
        column
        for column in _COLUMNS
        if any(getattr(study, column.field) is not None for study in studies)
    ]
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    ).from_string(_TEMPLATE.read_text(encoding="utf-8"))
    counts = {
        verdict: count
        for verdict in _VERDICTS
        if (count := sum(study.verdict == verdict for study in studies))
    }
    text = template.render(
        title=title,
        studies=studies,
        columns=columns,
        counts=counts,
        number=_number,
        provenance=provenance,
    )
    write_text(text, path)
    write_csv(_csv(studies), path.with_suffix(".csv"))


def _number(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def _csv(studies: Sequence[Study]) -> TextTable:
    fields = [name for name in Study._fields if name not in ("page", "interval_percent", "reasons")]
    header = (*fields, "infarct_percent_low", "infarct_percent_high", "reasons")
    rows = []
    for study in studies:
        low, high = study.interval_percent or (None, None)
        values = [plain(getattr(study, name)) for name in fields]
        rows.append((*values, plain(low), plain(high), "; ".join(study.reasons)))
    return TextTable(header, rows)


def studies_text(studies: Sequence[Study]) -> str:
    """The rows for a terminal of 100 columns; long names are cut."""
    header = ("Study", "Verdict", "Infarct g", "% of LV", "interval", "LV mass g", "Cavity mL")
    rows = [
        (
            study.scan_id,
            study.verdict,
            _number(study.infarct_g, 1),
            _number(study.infarct_percent, 1),
            "n/a"
            if study.interval_percent is None
            else "{:.0f} to {:.0f}".format(*study.interval_percent),
            _number(study.mass_g, 0),
            _number(study.cavity_ml, 0),
        )
        for study in studies
    ]
    wide = aligned(TextTable(header, rows))
    over = max(len(line) for line in wide.splitlines()) - _WIDTH
    if over <= 0:
        return wide
    longest = max(len(row[0]) for row in rows) - over - 1
    return aligned(
        TextTable(
            header,
            [
                (name if len(name) <= longest else f"{name[:longest]}…", *rest)
                for name, *rest in rows
            ],
        )
    )
