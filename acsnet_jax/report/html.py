"""The report of a study: one HTML file that holds its pictures, needs no network and prints well.

Only pseudonymous ids reach it. All text is escaped; pictures are embedded as base64 PNG.
"""

import base64
import dataclasses
import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jinja2

import acsnet_jax
from acsnet_jax.evaluation.challenge import ChallengeRecord
from acsnet_jax.evaluation.gate_study import GateRecord
from acsnet_jax.evaluation.headline import Number
from acsnet_jax.evaluation.summary import Table1Row, Table2Row
from acsnet_jax.evaluation.validity import Validity
from acsnet_jax.files import write_text
from acsnet_jax.report import tables
from acsnet_jax.report.challenge import challenge_tables
from acsnet_jax.report.gate import gate_tables
from acsnet_jax.types import Certificate, InputError

_TEMPLATE = pathlib.Path(__file__).with_name("report.html.j2")

PAPER_CITATION = (
    "Abramson HG, Popescu DM, Yu R, Lai C, Shade JK, Wu KC, Maggioni M, Trayanova NA. "
    "Anatomically-Informed Deep Learning on Contrast-Enhanced Cardiac MRI for Scar Segmentation "
    "and Clinical Feature Extraction."
)
DATASET_CITATIONS = {
    "emidec": "EMIDEC: Lalande A, et al. Emidec: a database usable for the automatic evaluation "
    "of myocardial infarction from delayed-enhancement cardiac MRI. Data 2020;5(4):89. "
    "doi:10.3390/data5040089. CC BY-NC-SA 4.0: weights trained on it carry NC-SA.",
    "acdc": "ACDC: Bernard O, et al. IEEE Trans Med Imaging 2018;37(11):2514-2525. "
    "doi:10.1109/TMI.2018.2837502. CC BY-NC-SA 4.0.",
    "sunnybrook": "Sunnybrook: Radau P, et al. The MIDAS Journal, 2009. hdl:10380/3070. CC0 1.0.",
}


class Section(NamedTuple):
    """A table of the report.

    Attributes:
        id: of its heading, for links.
        title: heading.
        caption: what is counted, and how.
        table: ready to print; without rows it is left out.
    """

    id: str
    title: str
    caption: str
    table: tables.TextTable


class Picture(NamedTuple):
    """A picture of the report.

    Attributes:
        title: heading.
        caption: what is seen, in a sentence.
        path: a PNG file.
    """

    title: str
    caption: str
    path: pathlib.Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What a report says; any part may be empty and is then left out.

    Attributes:
        title: heading.
        lead: what was done, in a sentence or two below it.
        summary: the study in a few numbers, scar first.
        table1: rows of `acsnet_jax.evaluation.table1`.
        table2: rows of `acsnet_jax.evaluation.table2`.
        challenge: records of `acsnet_jax.evaluation.evaluate_challenge`.
        gate: records of `acsnet_jax.evaluation.gate_records`.
        sections: further tables, in order.
        pictures: figures, in order.
        worst: overlays of the worst patients.
        certificates: one a corrected slice.
        validity: of what was returned and what was not, beside the certificates.
        patients: page that opens each patient's, relative to the report.
        data: summary of the cohort, name to text.
        config: the configuration, name to text.
        environment: versions and hardware, name to text; see `environment`.
        datasets: keys of `DATASET_CITATIONS`.
    """

    title: str
    lead: str = (
        "Left ventricle and scar on LGE cardiac MR: a cascade of two ResU-Nets and an anatomical "
        "latent correction."
    )
    summary: Sequence[Number] = ()
    table1: Sequence[Table1Row] = ()
    table2: Sequence[Table2Row] = ()
    challenge: Sequence[ChallengeRecord] = ()
    gate: Sequence[GateRecord] = ()
    sections: Sequence[Section] = ()
    pictures: Sequence[Picture] = ()
    worst: Sequence[Picture] = ()
    certificates: Sequence[Certificate] = ()
    validity: Validity | None = None
    patients: str = ""
    data: Mapping[str, str] = dataclasses.field(default_factory=dict)
    config: Mapping[str, str] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    datasets: Sequence[str] = ()


def environment() -> dict[str, str]:
    """Versions of what numbers depend on, and the devices they were computed on."""
    packages = ("jax", "jaxlib", "flax", "numpy", "scipy", "scikit-image", "scikit-learn")
    devices = jax.devices()
    kinds = sorted({device.device_kind for device in devices})
    return {
        "acsnet_jax": acsnet_jax.__version__,
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "Devices": f"{len(devices)} x {', '.join(kinds)} ({jax.default_backend()})",
        "Host": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def write_report(workdir: pathlib.Path, report: Report) -> pathlib.Path:
    """Write ``report.html``.

    Args:
        workdir: folder to write to.
        report: what it says.

    Returns:
        The path of the file.

    Raises:
        InputError: a picture is missing, or a data set has no citation.
    """
    unknown = [name for name in report.datasets if name not in DATASET_CITATIONS]
    if unknown:
        known = ", ".join(DATASET_CITATIONS)
        raise InputError(f"report: no citation for data set {unknown[0]}: choose from {known}")
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    ).from_string(_TEMPLATE.read_text(encoding="utf-8"))
    text = template.render(
        report=report,
        presence=(tables.PRESENCE_CAPTION, tables.presence_text(report.table1, report.table2)),
        table1=(tables.TABLE1_CAPTION, tables.table1_text(report.table1)),
        table2=(tables.TABLE2_CAPTION, tables.table2_text(report.table2)),
        challenge=challenge_tables(report.challenge),
        gate=gate_tables(report.gate),
        embed=embed_png,
        citations=[PAPER_CITATION, *(DATASET_CITATIONS[name] for name in report.datasets)],
    )
    path = workdir / "report.html"
    write_text(text, path)
    return path


def embed_png(path: pathlib.Path) -> str:
    """A PNG as a data URL.

    Raises:
        InputError: there is none.
    """
    if not path.is_file():
        raise InputError(f"report: {path} is missing: draw it before writing the report")
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
