"""The slices of a scan's report: gray PNGs of its pixels, and contours as SVG paths above them.

Contours run along the pixel edges (`acsnet_jax.report.drawing.outline`) and are told in half
pixels; picture and contours lie in one SVG in mm, row 0 on top, so that pixels that are not square
look as they are.
"""

import base64
import io
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from matplotlib.path import Path
from PIL import Image

from acsnet_jax import palette
from acsnet_jax.clinical import Assessment, NotAvailable, Regions, areas_mm2
from acsnet_jax.report import drawing
from acsnet_jax.report.scan_words import route_words, slice_words
from acsnet_jax.types import MaskStack, Scan, Segmentation

_MOST_PIXELS = 2_400_000  # of all slices; a page of more would be slow to send
_MARGIN_MM = 35.0


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
LAYERS = (*_OURS, _NO_REFLOW, _BEFORE, *_EXPERTS)


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


def canvas_of(scan: Scan, ours: Regions, expert: Regions | None) -> tuple[drawing.Extent, Canvas]:
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


def masks_of(
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


def slice_pages(
    segmentation: Segmentation,
    masks: Mapping[str, MaskStack],
    box: drawing.Extent,
    canvas: Canvas,
) -> list[SlicePage]:
    """Every slice of the page, with its contours, its areas and what is said of it."""
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
                route=route_words(segmentation, k),
                words=slice_words(segmentation, k),
            )
        )
    return pages


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
