"""The report of one segmented scan: one HTML file with every slice, its contours and its numbers.

Slices are gray PNGs of the scan's own pixels, contours are SVG paths in half pixels that run along
the pixel edges (`acsnet_jax.report.drawing.outline`), and both lie in one SVG in mm, row 0 on top,
so that pixels that are not square look as they are. The page needs no network and no file beside
it; without scripts it still shows all slices, and so does paper. The scan's pseudonym alone names
it.
"""

import base64
import io
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jinja2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from matplotlib.path import Path
from PIL import Image

from acsnet_jax import palette
from acsnet_jax.clinical import (
    Assessment,
    Judgement,
    NotAvailable,
    Regions,
    areas_mm2,
    over_15_percent,
    predicted_regions,
    reference_regions,
)
from acsnet_jax.files import write_text
from acsnet_jax.report import drawing
from acsnet_jax.report.html import Picture, embed_png
from acsnet_jax.types import Certificate, MaskStack, Route, Scan, Segmentation

_TEMPLATE = pathlib.Path(__file__).with_name("scan.html.j2")
_MOST_PIXELS = 2_400_000  # of all slices; a page of more would be slow to send
_MARGIN_MM = 35.0
_NOT_AVAILABLE = "not available"


class Layer(NamedTuple):
    """Something that is drawn over the slices, and may be hidden.

    Attributes:
        key: of the layer in the page.
        name: for readers.
        colour: ``#rrggbb``.
        style: "line", "dashes", "dots", "fill" or "hatch": colours are not all that tells them
            apart.
        shown: at first.
    """

    key: str
    name: str
    colour: str
    style: str
    shown: bool = True


_OURS = (
    Layer("myocardium", "Myocardium", palette.WALL, "line"),
    Layer("blood_pool", "Blood pool", palette.CAVITY, "fill", False),
    Layer("gray_zone", "Gray zone", palette.GRAY_ZONE, "hatch"),
    Layer("core", "Core scar", palette.CORE, "fill"),
)
_NO_REFLOW = Layer("no_reflow", "No-reflow", palette.NO_REFLOW, "fill")
_BEFORE = Layer("before", "Networks, before the correction", palette.BEFORE, "dots", False)
_EXPERTS = (
    Layer("expert_myocardium", "Expert: myocardium", palette.EXPERT, "dashes", False),
    Layer("expert_enhancement", "Expert: enhancement", palette.EXPERT_SCAR, "dots", False),
)
_LAYERS = (*_OURS, _NO_REFLOW, _BEFORE, *_EXPERTS)


class Bar(NamedTuple):
    """An interval around a number, in the unit of its row."""

    low: float
    value: float
    high: float
    digits: int

    @property
    def text(self) -> str:
        """Both ends, with the digits of the number."""
        return f"{self.low:.{self.digits}f} to {self.high:.{self.digits}f}"


class Row(NamedTuple):
    """A clinical number; ``value`` is text with its digits, or "not available"."""

    name: str
    value: str
    unit: str
    note: str = ""
    bar: Bar | None = None


class Quantity(NamedTuple):
    """A feature as a reader wants it: ``scale`` times its value, with so many digits."""

    field: str
    name: str
    unit: str
    digits: int = 1
    scale: float = 1.0
    note: str = ""


_HEADLINE = (
    Quantity("infarct_mass_g", "Infarct mass", "g"),
    Quantity("infarct_fraction", "Infarct of LV mass", "%", scale=100.0),
    Quantity("core_fraction", "Core scar of LV mass", "%", scale=100.0),
    Quantity("myocardial_mass_g", "LV myocardial mass", "g", 0, note="no papillaries"),
    Quantity("blood_pool_volume_ml", "LV blood pool", "mL", 0, note="with papillaries"),
)
_QUANTITIES = (
    Quantity("infarct_mass_g", "Infarct, mass", "g", note="enhancement and no-reflow, 1.05 g/mL"),
    Quantity("infarct_volume_ml", "Infarct, volume", "mL"),
    Quantity("infarct_fraction", "Infarct of LV mass", "%", scale=100.0),
    Quantity("no_reflow_mass_g", "No-reflow, mass", "g", note="dark core of the infarct"),
    Quantity("core_scar_mass_g", "Core scar, mass", "g"),
    Quantity("core_scar_volume_ml", "Core scar, volume", "mL", note="FWHM: half of the maximum"),
    Quantity("core_fraction", "Core scar of LV mass", "%", scale=100.0),
    Quantity("gray_zone_mass_g", "Gray zone, mass", "g", note="enhancement, no core, no no-reflow"),
    Quantity("gray_zone_volume_ml", "Gray zone, volume", "mL"),
    Quantity("gray_zone_fraction", "Gray zone of LV mass", "%", scale=100.0),
    Quantity("myocardial_mass_g", "LV myocardium, mass", "g", note="at 1.05 g/mL"),
    Quantity("myocardial_volume_ml", "LV myocardium, volume", "mL"),
    Quantity("blood_pool_volume_ml", "LV blood pool, volume", "mL"),
    Quantity("lv_volume_ml", "LV with its wall, volume", "mL"),
    Quantity("wall_mean_mm", "Wall thickness, mean", "mm", note="along Laplace's field lines"),
    Quantity("wall_min_mm", "Wall thickness, least", "mm"),
    Quantity("wall_max_mm", "Wall thickness, greatest", "mm"),
    Quantity("transmurality_mean", "Transmurality, mean", "%", scale=100.0, note="over all wall"),
    Quantity("transmurality_max", "Transmurality, greatest", "%", scale=100.0),
)


class SlicePage(NamedTuple):
    """One slice of the page.

    Attributes:
        number: from 1, apex first.
        place: where it lies, in words.
        height_mm: distance from the first slice.
        picture: PNG as a data URL.
        paths: layer to SVG path, in half pixels.
        areas: layer to mm^2.
        scar_share: infarct of the slice's myocardium, in percent; None without any.
        route: how the mask came about, in a word or two.
        words: the certificate, in a sentence.
    """

    number: int
    place: str
    height_mm: float
    picture: str
    paths: dict[str, str]
    areas: dict[str, float]
    scar_share: float | None
    route: str
    words: str


class Canvas(NamedTuple):
    """What the SVGs of a page share; lengths in mm.

    Attributes:
        width: of the shown part of a slice.
        height: of the same.
        step_x: width of a pixel.
        step_y: height of a pixel.
        heart: (left, top, width, height) of the part around the LV.
        black: intensity of the PNGs' value 0.
        white: intensity of their value 255.
        low: intensity that is shown black at first.
        high: intensity that is shown white at first.
        cropped: whether less than the whole slice is in the page.
    """

    width: float
    height: float
    step_x: float
    step_y: float
    heart: tuple[float, float, float, float]
    black: float
    white: float
    low: float
    high: float
    cropped: bool


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
    box, canvas = _canvas(scan, ours, expert)
    masks = _masks(segmentation, assessment, expert)
    layers = [layer for layer in _LAYERS if layer.key in masks]
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
        slices=_slices(segmentation, masks, box, canvas),
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


def headline(assessment: Assessment) -> list[Row]:
    """The numbers that a reader of scar looks for first."""
    return [_row(assessment, quantity) for quantity in _HEADLINE]


def feature_rows(assessment: Assessment) -> list[Row]:
    """All clinical numbers of the scan, infarct first."""
    features = assessment.features
    return [
        *(_row(assessment, quantity) for quantity in _QUANTITIES),
        Row("Pieces of the infarct", _number(features.scar_components, 0), "pieces"),
        Row("Slices with LV", f"{features.slices_used} of {features.slices}", "slices"),
    ]


def _row(assessment: Assessment, quantity: Quantity) -> Row:
    value = getattr(assessment.features, quantity.field)
    interval = assessment.intervals.get(quantity.field)
    scale, digits = quantity.scale, quantity.digits
    note, features = quantity.note, assessment.features
    if value is None:
        note = features.not_available.get(quantity.field, note)
    elif quantity.field == "infarct_mass_g" and value and features.no_reflow_mass_g is None:
        note = "enhancement alone: no-reflow could not be looked for"
    return Row(
        quantity.name,
        _number(None if value is None else scale * value, digits),
        quantity.unit,
        note,
        None
        if interval is None or value is None
        else Bar(scale * interval.low, scale * value, scale * interval.high, digits),
    )


def tops(rows: Sequence[Row]) -> dict[str, float]:
    """Where the bars of each unit end, so that rows of one unit can be compared."""
    highest: dict[str, float] = {}
    for row in rows:
        if row.bar is not None:
            highest[row.unit] = max(highest.get(row.unit, 0.0), row.bar.high)
    return {unit: top or 1.0 for unit, top in highest.items()}


def interval_words(assessment: Assessment) -> str:
    """What the intervals are worth, in a sentence or two."""
    if not assessment.intervals:
        return "No intervals: nothing was drawn again."
    share = f"{assessment.coverage:.0%}"
    kinds = {one.calibrated for one in assessment.intervals.values()}
    if kinds == {True}:
        return (
            f"Intervals hold an expert's number in {share} of patients like those on whom they "
            "were calibrated, whom the networks had never seen."
        )
    told = "The intervals" if kinds == {False} else "Some intervals"
    return (
        f"{told} are not calibrated: they tell how far networks, turns of the picture and valid "
        f"shapes disagree ({share} of a normal distribution), which is less than how far an expert "
        "may lie from them."
    )


def decision_words(assessment: Assessment) -> str:
    """Whether the infarct is large, by its interval and by rule, in a sentence."""
    spread = assessment.spread
    decided = over_15_percent(assessment)
    words = {
        "yes": "Above 15% of the LV's mass over all of the interval",
        "no": "Not above 15% of the LV's mass over all of the interval",
        "open": "The interval holds 15% of the LV's mass: whether the infarct is large is open",
        None: "Without an interval it is open whether it is above 15% of the LV's mass",
    }[decided]
    if spread.lowest_fraction is None or spread.highest_fraction is None:
        return f"{words}; scar rules cannot be compared."
    low, high = 100 * spread.lowest_fraction, 100 * spread.highest_fraction
    flips = "rules lie on both sides of 15%" if spread.over_15_percent_flips else "all rules agree"
    return f"{words}; by rule the infarct is {low:.1f} to {high:.1f}% of that mass, and {flips}."


def rule_rows(assessment: Assessment) -> list[tuple[str, ...]]:
    """Scar by rule: name, mass, share, whether it is large, wall above 50% and 75%."""
    rows = []
    for one in assessment.rules:
        large = {None: _NOT_AVAILABLE, True: "yes", False: "no"}[one.over_15_percent]
        reason = one.not_available["mass_g"] if one.mass_g is None else ""
        rows.append(
            (
                one.name,
                _number(one.mass_g, 1),
                _percent(one.fraction),
                large,
                _percent(one.wall_over_50),
                _percent(one.wall_over_75),
                reason,
            )
        )
    return rows


def segment_rows(assessment: Assessment) -> list[tuple[str, ...]]:
    """The AHA's segments: number and name, mass, thickness, infarct, transmurality, why not."""
    return [
        (
            f"{one.segment} {one.name}",
            _number(one.mass_g, 1),
            _number(one.wall_mean_mm, 1),
            _percent(one.infarct_fraction),
            _percent(one.transmurality_mean),
            _percent(one.transmurality_max),
            next(iter(one.not_available.values()), ""),
        )
        for one in assessment.segments
    ]


def no_segments(assessment: Assessment) -> str:
    """Why no segment has anything to tell, if it is the same of all; else ""."""
    reasons = {next(iter(one.not_available.values()), "") for one in assessment.segments}
    untold = all(one.mass_g is None for one in assessment.segments)
    return reasons.pop() if untold and len(reasons) == 1 else ""


def scan_facts(scan: Scan) -> dict[str, str]:
    """What the scan is, name to text."""
    slices, height, width = scan.image.shape
    row_mm, column_mm = scan.spacing_mm
    facts = {
        "Modality": {"lge": "LGE", "cine": "cine"}[scan.modality],
        "Slices": f"{slices}, apex first ({scan.provenance.slice_order_basis or 'as given'})",
        "Matrix": f"{width} x {height} pixels",
        "Pixel": f"{column_mm:.2f} x {row_mm:.2f} mm (across x down)",
        "Slice distance": _distance(scan),
    }
    if scan.nominal_spacing:
        facts["Spacing"] = "nominal: lengths, volumes and masses are not measured"
    if scan.provenance.phases > 1:
        facts["Phase"] = f"one of {scan.provenance.phases}, end-diastole"
    facts["Read from"] = scan.provenance.format or "memory"
    if scan.provenance.modality_basis:
        facts["Modality known by"] = scan.provenance.modality_basis
    if scan.labelled.any():
        facts["Expert's contours"] = f"on {int(scan.labelled.sum())} of {slices} slices"
    return facts


def corrections_text(segmentation: Segmentation) -> str:
    """The anatomical correction of the whole stack in a sentence."""
    masks = [one for one in segmentation.certificates if not one.empty]
    if not segmentation.certificates:
        return "The anatomical correction was not run: masks are as the networks drew them."
    counts = {route: sum(one.route is route for one in masks) for route in Route}
    told = ", ".join(f"{count} {route}" for route, count in counts.items() if count)
    valid = sum(one.valid_after for one in masks)
    left_out = sum(not one.kept and one.route is not Route.LOST for one in masks)
    text = f"{len(masks)} slices with a mask: {told or 'none'}; {valid} satisfy every criterion"
    return text + (f"; {left_out} left out as beyond apex or base." if left_out else ".")


def certificate_words(certificate: Certificate) -> str:
    """What became of a slice's mask, in a sentence or two."""
    if certificate.empty:
        return "No myocardium was found on this slice."
    failed = ", ".join(name.replace("_", " ") for name in certificate.failed_before)
    reason = f" (failed: {failed})" if failed else ""
    words = {
        Route.UNTOUCHED: "As the network drew it.",
        Route.CLEANED: f"Islands or extra holes were dropped{reason}.",
        Route.RESAMPLED: f"Drawn again on the grid of the correction{reason}.",
        Route.REDECODED: f"Replaced by the autoencoder's reconstruction{reason}.",
        Route.MOVED: f"Moved {certificate.alpha:.0%} of the way to a plausible shape{reason}.",
        Route.STAND_IN: f"Replaced by the nearest plausible shape that fits this grid{reason}.",
        Route.LOST: f"Lost: nothing plausible was found{reason}. The slice is left out.",
    }[certificate.route]
    if certificate.pixels_changed:
        words += f" {certificate.area_changed_mm2:.0f} mm² changed"
        if certificate.scar_moved_mm3:
            words += f", {certificate.scar_moved_mm3 / 1000:.2f} mL of scar crossed the wall's edge"
        words += "."
    if not certificate.kept and certificate.route is not Route.LOST:
        words += " Left out of the result: beyond apex or base."
    elif certificate.valid_after:
        words += " It satisfies every anatomical criterion."
    elif certificate.route is not Route.LOST:
        words += " It does not satisfy every anatomical criterion."
    return words


def _distance(scan: Scan) -> str:
    gaps = np.diff(scan.positions_mm)
    if not len(gaps):
        return "one slice: no distance, and no volume"
    if np.ptp(gaps) < 0.05 * gaps.mean():
        return f"{gaps.mean():.1f} mm"
    return f"{gaps.min():.1f} to {gaps.max():.1f} mm"


def _canvas(scan: Scan, ours: Regions, expert: Regions | None) -> tuple[drawing.Extent, Canvas]:
    """The part of the slices that the page holds, and how it is shown."""
    regions = [ours] if expert is None else [ours, expert]
    _, height, width = scan.image.shape
    row_mm, column_mm = scan.spacing_mm
    box = drawing.Extent(slice(0, height), slice(0, width))
    cropped = scan.image.size > _MOST_PIXELS
    if cropped:
        box = drawing.crop_box([r.lv for r in regions], scan.spacing_mm, margin_mm=_MARGIN_MM)
    view = drawing.view_of(scan, regions)
    heart = view.box
    shown = scan.image[:, box.rows, box.columns]
    # One pixel far out, as padding is, would leave the heart few of the levels.
    black = min(float(np.percentile(shown, 0.05)), view.black)
    white = max(float(np.percentile(shown, 99.95)), view.white)
    return box, Canvas(
        width=(box.columns.stop - box.columns.start) * column_mm,
        height=(box.rows.stop - box.rows.start) * row_mm,
        step_x=column_mm,
        step_y=row_mm,
        heart=(
            (heart.columns.start - box.columns.start) * column_mm,
            (heart.rows.start - box.rows.start) * row_mm,
            (heart.columns.stop - heart.columns.start) * column_mm,
            (heart.rows.stop - heart.rows.start) * row_mm,
        ),
        black=black,
        white=white,
        low=view.black,
        high=view.white,
        cropped=cropped,
    )


def _masks(
    segmentation: Segmentation, assessment: Assessment, expert: Regions | None
) -> dict[str, MaskStack]:
    """What is drawn or measured slice by slice, by the key of its layer."""
    masks = {
        "myocardium": segmentation.myocardium,
        "blood_pool": segmentation.blood_pool,
        "enhancement": segmentation.enhancement,
        "gray_zone": segmentation.enhancement & ~segmentation.core,
        "core": segmentation.core,
    }
    no_reflow = assessment.findings.no_reflow
    if not isinstance(no_reflow, NotAvailable) and no_reflow.any():
        masks["no_reflow"] = no_reflow
        masks["gray_zone"] = masks["gray_zone"] & ~no_reflow
        masks["infarct"] = segmentation.enhancement | no_reflow
    if segmentation.certificates and segmentation.myocardium_probability is not None:
        masks["before"] = segmentation.myocardium_probability >= 0.5
    if expert is not None:
        masks["expert_myocardium"] = expert.myocardium
        if expert.enhancement is not None:
            masks["expert_enhancement"] = expert.enhancement
    return masks


def _slices(
    segmentation: Segmentation,
    masks: Mapping[str, MaskStack],
    box: drawing.Extent,
    canvas: Canvas,
) -> list[SlicePage]:
    scan = segmentation.scan
    areas = {name: areas_mm2(mask, scan.spacing_mm) for name, mask in masks.items()}
    pages = []
    for k in range(len(scan.image)):
        here = {name: float(area[k]) for name, area in areas.items()}
        wall = here["myocardium"]
        pages.append(
            SlicePage(
                number=k + 1,
                place=drawing.end_of_stack(k, len(scan.image)),
                height_mm=float(scan.positions_mm[k] - scan.positions_mm[0]),
                picture=_png(gray_levels(scan.image[k][box], canvas)),
                paths={
                    name: svg_path(mask[k][box])
                    for name, mask in masks.items()
                    if name not in ("enhancement", "infarct")
                },
                areas=here,
                scar_share=100 * here.get("infarct", here["enhancement"]) / wall if wall else None,
                route=_route(segmentation, k),
                words=_words(segmentation, k),
            )
        )
    return pages


def _route(segmentation: Segmentation, index: int) -> str:
    if not segmentation.certificates:
        return "as drawn" if segmentation.kept[index] else "left out"
    certificate = segmentation.certificates[index]
    if certificate.empty:
        return "no LV"
    if not certificate.kept and certificate.route is not Route.LOST:
        return "left out"
    return str(certificate.route)


def _words(segmentation: Segmentation, index: int) -> str:
    if segmentation.certificates:
        return certificate_words(segmentation.certificates[index])
    return "The anatomical correction was not run."


def gray_levels(
    image: Float32[np.ndarray, "height width"], canvas: Canvas
) -> UInt8[np.ndarray, "height width"]:
    """Intensities as the levels of a PNG, from ``canvas.black`` to ``canvas.white``."""
    scaled = (image - canvas.black) / (canvas.white - canvas.black)
    return np.rint(255 * np.clip(scaled, 0.0, 1.0)).astype(np.uint8)


def _png(levels: UInt8[np.ndarray, "height width"]) -> str:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def svg_path(mask: Bool[np.ndarray, "height width"]) -> str:
    """The outlines of a mask as SVG path data, in half pixels from the outer corner of pixel 0.

    Args:
        mask: one slice.

    Returns:
        Closed curves, holes wound the other way; "" for an empty mask.
    """
    path = drawing.outline(mask)
    if path is None:
        return ""
    assert path.codes is not None
    codes = np.asarray(path.codes)
    corners = np.asarray(path.vertices) * 2 + 1  # pixel centres stand at whole numbers
    parts: list[str] = []
    last = np.zeros(2, int)
    for corner, code in zip(np.rint(corners).astype(int), codes, strict=True):
        if code == Path.MOVETO:
            parts.append(f"M{corner[0]} {corner[1]}l")
        elif code == Path.CLOSEPOLY:
            parts.append("z")
            continue
        elif (corner != last).any():
            parts.append(f"{corner[0] - last[0]} {corner[1] - last[1]} ")
        last = corner
    return "".join(parts).replace(" z", "z")


def _number(value: float | int | None, digits: int) -> str:
    if value is None or not math.isfinite(value):
        return _NOT_AVAILABLE
    return f"{value:.{digits}f}"


def _percent(fraction: float | None) -> str:
    return _number(None if fraction is None else 100 * fraction, 1)
