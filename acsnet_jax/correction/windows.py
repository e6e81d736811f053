"""The latent correction of a stack: each mask in a window of the autoencoder's size, and back.

Masks come in stacks, one a slice, ``Bool[slices, height, width]``, on the grid at whose spacing the
population was drawn, and leave on the same grid.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Bool

from acsnet_jax import latent
from acsnet_jax.anatomy.cleanup import clean_components
from acsnet_jax.correction.check import joined, measure_stack, parts
from acsnet_jax.correction.corrector import Corrector
from acsnet_jax.ops.host import centroid
from acsnet_jax.preprocess.crop import Centre, crop_or_pad, uncrop
from acsnet_jax.types import Correction, MaskStack, Spacing

CentreOf = Callable[[Bool[np.ndarray, "height width"]], Centre]


def correct_stack(masks: MaskStack, corrector: Corrector, spacing_mm: Spacing) -> Correction:
    """The latent correction of a stack of masks of any size, each centred for the autoencoder.

    What is missing from a mask moves its centroid off the heart's middle, where the circle through
    the rest still has its centre; what is added moves the circle's centre more; and islands lead
    the encoder astray. So a mask is tried in three poses: centred on its centroid, centred on its
    circle, and without islands and extra holes (if the options say so). The correction that changes
    the fewest pixels is taken, and any is better than none.

    Args:
        masks: one a slice.
        corrector: with a population drawn at this spacing.
        spacing_mm: of the masks.

    Returns:
        The correction, its masks put back where they were. A mask for which no pose found a valid
        one is empty, though ``Correction.empty`` is False.
    """
    circle = functools.partial(circle_centre, spacing_mm=spacing_mm)
    best = _correct_around(centroid, masks, corrector, spacing_mm)
    remaining = masks
    if corrector.options.scope == "invalid":
        remaining = masks & ~np.asarray(best.valid_before)[:, None, None]
    poses = [remaining]
    if corrector.options.cleaned_pose:
        poses.append(np.stack([clean_components(mask) for mask in remaining]))
    for pose in poses:
        other = _correct_around(circle, pose, corrector, spacing_mm)._replace(
            valid_before=best.valid_before, failed_before=best.failed_before, empty=best.empty
        )
        changed = _changed(np.asarray(other.mask), masks)
        found, other_found = (np.any(one.mask, axis=(1, 2)) for one in (best, other))
        better = np.asarray(other_found & (~found | (changed < best.pixels_changed)))
        other = other._replace(pixels_changed=changed)
        best = jax.tree.map(functools.partial(_where_rows, better), other, best)
    return best


def _where_rows(rows: Bool[np.ndarray, "slices"], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(rows.reshape(-1, *[1] * (x.ndim - 1)), x, y)


def _changed(masks: MaskStack, others: MaskStack) -> np.ndarray:
    return (masks ^ others).sum(axis=(1, 2)).astype(np.int32)


def _correct_around(
    centre_of: CentreOf, masks: MaskStack, corrector: Corrector, spacing_mm: Spacing
) -> Correction:
    """The correction of masks in windows around the centres that a function finds."""
    centres = [centre_of(mask) for mask in masks]
    size = corrector.size
    windows = np.stack(
        [crop_or_pad(mask, size, centre=at) for mask, at in zip(masks, centres, strict=True)]
    )
    correction = _correct_windows(windows, corrector, spacing_mm)
    back = np.stack(
        [
            _put_back(mask, masks.shape[1:], at)
            for mask, at in zip(correction.mask, centres, strict=True)
        ]
    )
    correction = correction._replace(mask=back, pixels_changed=_changed(back, masks))
    beyond = masks.sum(axis=(1, 2)) > windows.sum(axis=(1, 2))
    if not beyond.any():
        return correction
    # what lies beyond the window was judged without it
    _, whole = measure_stack(masks, spacing_mm, corrector.thresholds)
    failed = np.where(beyond[:, None], whole, correction.failed_before)
    valid = np.where(beyond, ~whole.any(axis=1), correction.valid_before)
    return correction._replace(valid_before=valid, failed_before=failed)


def _correct_windows(
    windows: Bool[np.ndarray, "slices size size"], corrector: Corrector, spacing_mm: Spacing
) -> Correction:
    is_valid, failures = corrector.delta(spacing_mm)
    found = [
        latent.correct(
            part,
            corrector.encode,
            corrector.decode,
            is_valid,
            corrector.population,
            np.linspace(0.0, 1.0, corrector.options.alphas, dtype=np.float32),
            failures=failures,
            scope=corrector.options.scope,
            k=corrector.options.neighbours,
            refine=corrector.options.refine,
            block=corrector.block,
        )
        for part in parts(windows)
    ]
    return joined(found, len(windows))


def _put_back(
    window: Bool[np.ndarray, "size size"], shape: tuple[int, ...], centre: Centre
) -> Bool[np.ndarray, "height width"]:
    """A window's mask where it was taken, moved by as little as keeps all of it on the array."""
    occupied = np.argwhere(window)
    if occupied.size:
        offset = np.subtract(centre, window.shape[-1] // 2)
        first, last = occupied.min(axis=0) + offset, occupied.max(axis=0) + offset
        shift = np.maximum(-first, 0) - np.maximum(last - np.subtract(shape, 1), 0)
        centre = (int(centre[0] + shift[0]), int(centre[1] + shift[1]))
    return uncrop(window, (shape[0], shape[1]), centre=centre)


def circle_centre(mask: Bool[np.ndarray, "height width"], *, spacing_mm: Spacing) -> Centre:
    """Pixel nearest to the centre of the circle through a mask, by least squares.

    Args:
        mask: one slice.
        spacing_mm: (row, column) distance of pixel centres.

    Returns:
        The centre; of a mask that no circle fits, or whose circle's centre lies outside its
        bounding box, the centroid.

    References:
        Kasa, "A circle fitting procedure and its error analysis", IEEE Trans. Instrumentation and
        Measurement 25, 1976.
    """
    pixels = np.argwhere(mask)
    if len(pixels) < 3:
        return centroid(mask)
    middle = pixels.mean(axis=0)
    offset = (pixels - middle) * spacing_mm
    # |p|^2 = 2 c.p + constant, and the offsets have mean 0
    squared = (offset**2).sum(axis=1)
    twice, _, rank, _ = np.linalg.lstsq(offset, squared - squared.mean(), rcond=1e-6)
    centre = middle + twice / 2 / spacing_mm
    inside = np.all((centre >= pixels.min(axis=0)) & (centre <= pixels.max(axis=0)))
    if rank < 2 or not inside:
        return centroid(mask)
    return round(centre[0]), round(centre[1])
