"""The report of one segmented scan: one HTML file with every slice, its contours and its numbers.

The page needs no network and no file beside it; without scripts it still shows all slices, and so
does paper. The scan's pseudonym alone names it.
"""

import pathlib
from collections.abc import Mapping, Sequence

import jinja2

from acsnet_jax.clinical import Assessment, Judgement, predicted_regions, reference_regions
from acsnet_jax.files import write_text
from acsnet_jax.report.html import Picture, embed_png
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
from acsnet_jax.report.scan_slices import LAYERS, canvas_of, masks_of, slice_pages
from acsnet_jax.report.scan_words import corrections_text, scan_facts
from acsnet_jax.types import Segmentation

_TEMPLATE = pathlib.Path(__file__).with_name("scan.html.j2")


def write_scan_page(
    path: pathlib.Path,
    segmentation: Segmentation,
    assessment: Assessment,
    *,
    provenance: Mapping[str, str],
    judgement: Judgement | None = None,
    pictures: Sequence[Picture] = (),
) -> None:
    """Write the report of one scan.

    Args:
        path: HTML file to write.
        segmentation: what was found; experts' contours come along where the scan has labels.
        assessment: of the same.
        provenance: versions, bundle and settings, name to text; no path of the user's.
        judgement: what the gate says of it.
        pictures: of the same, such as bull's-eyes, which come into the page.
    """
    scan = segmentation.scan
    ours = predicted_regions(segmentation)
    expert = reference_regions(scan) if scan.labelled.any() else None
    box, canvas = canvas_of(scan, ours, expert)
    masks = masks_of(segmentation, assessment, expert)
    layers = [layer for layer in LAYERS if layer.key in masks]
    rows = feature_rows(assessment)
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    ).from_string(_TEMPLATE.read_text(encoding="utf-8"))
    text = template.render(
        scan=scan,
        notes=[*scan.problems, *assessment.features.notes],
        canvas=canvas,
        layers=layers,
        keys=[layer.key for layer in layers],
        slices=slice_pages(segmentation, masks, box, canvas),
        headline=headline(assessment),
        rows=rows,
        tops=tops(rows),
        coverage=f"{assessment.coverage:.0%}",
        interval_words=interval_words(assessment),
        decision=decision_words(assessment),
        rules=rule_rows(assessment),
        segments=segment_rows(assessment),
        no_segments=no_segments(assessment),
        pictures=pictures,
        embed=embed_png,
        facts=scan_facts(scan),
        corrections=corrections_text(segmentation),
        judgement=judgement,
        provenance=provenance,
    )
    write_text(text, path)


def scan_pictures(folder: pathlib.Path, assessment: Assessment) -> list[Picture]:
    """The pictures of a scan's folder that come into its report.

    Args:
        folder: with ``scar_rules.png``, ``bullseye.png`` and ``ring.png``.
        assessment: of the scan; bull's-eyes without any segment stay out.
    """
    return [
        Picture(title, caption, folder / name)
        for name, title, caption in (
            (
                "scar_rules.png",
                "Scar by rule, in the picture",
                "The slice with the most infarct once a rule; scar red, wall cyan.",
            ),
            (
                "bullseye.png",
                "Bull's-eyes",
                "Infarct, transmurality, wall thickness and mass of the AHA's segments.",
            ),
            (
                "ring.png",
                "The wall unrolled",
                "Infarct through the wall, and the wall's thickness, along the ring of each slice.",
            ),
        )
        if name != "bullseye.png" or not no_segments(assessment)
    ]
