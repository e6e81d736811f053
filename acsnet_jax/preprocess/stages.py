"""What each network sees of a scan: shared by training and prediction, so that they never differ.

Images leave here as float32 in [0, 255], ``[slices, size, size]``; with ``InputSpec.context`` as
``[slices, channels, size, size]``, the slice itself and its neighbours.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from acsnet_jax.preprocess.crop import Centre, crop_or_pad, inside
from acsnet_jax.preprocess.grid import Working, to_working
from acsnet_jax.preprocess.intensity import (
    Scaling,
    apply_window,
    clahe,
    inside_picture,
    scale_slice,
    scale_volume,
)
from acsnet_jax.types import NoVentricleError, Scan


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """Sizes and scalings of the cascade's inputs, and what stage 2 tells (paper, Stages 1 and 2).

    Attributes:
        lv_spacing_mm: in-plane spacing of stage 1; None keeps each scan's own.
        lv_size: height and width of stage 1's input, in pixels.
        myo_spacing_mm: in-plane spacing of stages 2 and 3; None keeps each scan's own.
        myo_size: height and width of stage 2's input.
        mask_size: height and width of the autoencoder's masks.
        margin_mm: added on each side of the LV's bounding square; stage 2 sees nothing beyond.
        scaling: of stage 2's intensities, see `acsnet_jax.preprocess.intensity.scale_volume`.
        window: whether the networks see intensities as the header's window shows them (paper, Data
            Source and Processing). Scans without a window look the same either way.
        context: how many neighbouring slices on each side stages 1 and 2 see beside the slice
            itself, as further channels. The paper's networks see one slice: 0.
        no_reflow: whether stage 2 has a third output, the no-reflow within the enhancement; for
            cohorts whose labels tell it (4) wherever they tell enhancement. The paper's has two.
    """

    lv_spacing_mm: float | None = 1.5
    lv_size: int = 192
    myo_spacing_mm: float | None = 1.5
    myo_size: int = 128
    mask_size: int = 128
    margin_mm: float = 15.0
    scaling: Scaling = "median"
    window: bool = True
    context: int = 0
    no_reflow: bool = False


Images = Float32[np.ndarray, "slices *channels size size"]


class Box(NamedTuple):
    """A square around the LV, the same through the stack.

    Attributes:
        centre: (row, column) in pixels of the working grid.
        half_side: half its side, in pixels.
    """

    centre: Centre
    half_side: int


def lv_working(scan: Scan, spec: InputSpec) -> Working:
    """A scan as stage 1 sees it: windowed, on stage 1's working grid."""
    return to_working(_shown(scan, spec), spec.lv_spacing_mm)


def myo_working(scan: Scan, spec: InputSpec) -> Working:
    """A scan as stage 2 sees it: windowed, on stage 2's working grid."""
    return to_working(_shown(scan, spec), spec.myo_spacing_mm)


def _shown(scan: Scan, spec: InputSpec) -> Scan:
    if not spec.window or scan.window is None:
        return scan
    return scan.replace(image=apply_window(scan.image, scan.window), window=None)


def lv_images(working: Working, spec: InputSpec) -> Images:
    """Stage 1's input: CLAHE, cropped or padded, each slice scaled by its own extremes."""
    window = crop_or_pad(clahe(working.image, inside=inside_picture(working.image)), spec.lv_size)
    inner = inside(working.grid.shape, spec.lv_size)
    scaled = np.stack([scale_slice(image, inner) for image in window]).astype(np.float32)
    return with_neighbours(scaled, spec.context)


def lv_box(
    lv: Bool[np.ndarray, "slices height width"], spacing_mm: tuple[float, float], margin_mm: float
) -> Box:
    """The smallest square, plus a margin, that holds the LV of every slice.

    Raises:
        InputError: no slice holds any LV.
    """
    rows, columns = (np.flatnonzero(lv.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if not rows.size:
        raise NoVentricleError("no left ventricle found in any slice; is this a short-axis stack?")
    centre = ((rows[0] + rows[-1] + 1) // 2, (columns[0] + columns[-1] + 1) // 2)
    half_side = max(rows[-1] - rows[0], columns[-1] - columns[0]) / 2 + 0.5
    return Box((int(centre[0]), int(centre[1])), round(half_side + margin_mm / min(spacing_mm)))


def myo_images(working: Working, box: Box, spec: InputSpec, *, size: int | None = None) -> Images:
    """Stage 2's input: a window on the box's centre, scaled by the whole volume inside the box.

    Black padding does not belong to the effective region: it would set the minimum.
    Pixels beyond the box are kept here; `null_outside` removes them, after any augmentation.
    """
    size = spec.myo_size if size is None else size
    region = np.zeros(working.grid.shape, bool)
    rows, columns = (
        slice(max(middle - box.half_side, 0), middle + box.half_side) for middle in box.centre
    )
    region[rows, columns] = True
    region = region & inside_picture(working.image)
    scaled = scale_volume(working.image, region, mode=spec.scaling)
    window = crop_or_pad(scaled, size, centre=box.centre).astype(np.float32)
    return with_neighbours(window, spec.context)


def with_neighbours(images: Float32[np.ndarray, "slices size size"], context: int) -> Images:
    """Each slice with those around it, ``[slices, 1 + 2 context, size, size]``; itself first.

    The order is 0, -1, +1, -2, +2 and so on, -1 towards the apex. At the ends of a stack the last
    slice stands for those that are missing. Without context the images stay as they are.
    """
    if not context:
        return images
    offsets = [0, *(sign * step for step in range(1, context + 1) for sign in (-1, 1))]
    index = np.arange(len(images))[:, None] + np.array(offsets)[None, :]
    return images[np.clip(index, 0, len(images) - 1)]


def null_outside(images: Images, half_side: int) -> Images:
    """Zero beyond the box: the networks see no remote signal (paper, Methods)."""
    offset = np.abs(np.arange(images.shape[-1]) - images.shape[-1] // 2)
    near = offset <= half_side
    return images * (near[:, None] & near[None, :])
