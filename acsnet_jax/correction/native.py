"""Stage 3 on the grid on which masks are written: the one flow of the cascade and of mask files.

Masks come in stacks, one a slice, ``Bool[slices, height, width]``. "Native" is the grid on which
they are written, the scan's or the file's own; "working" is the corrector's, of its own spacing.
What is returned is judged on the very array that is returned.
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from acsnet_jax import latent
from acsnet_jax.anatomy.cleanup import clean_components
from acsnet_jax.correction.check import measure_stack, parts, valid_stack
from acsnet_jax.correction.corrector import Corrector
from acsnet_jax.correction.windows import correct_stack
from acsnet_jax.ops.host import centroid, largest_component
from acsnet_jax.preprocess.crop import crop_or_pad, uncrop
from acsnet_jax.preprocess.grid import Grid, masks_to_working, to_native
from acsnet_jax.types import Correction, MaskStack, Route

_STAND_INS = 256  # members of the population that are tried on the native grid
_SMOOTHING = (1.0, 0.6, 0.0)  # pixels; of outlines on their way to the native grid

NativeStack = Bool[np.ndarray, "slices native_height native_width"]


class NativeCorrection(NamedTuple):
    """A stack of masks after stage 3, on the grid on which it is written.

    Attributes:
        given: the masks before the correction, on that grid.
        correction: masks, verdicts and pixels are those of that grid.
        route: how each mask came about.
        valid_after: delta of each returned mask; True but for empty ones.
    """

    given: NativeStack
    correction: Correction
    route: tuple[Route, ...]
    valid_after: Bool[np.ndarray, "slices"]

    @property
    def mask(self) -> NativeStack:
        """The masks after the correction."""
        return np.asarray(self.correction.mask)

    @property
    def lost(self) -> Bool[np.ndarray, "slices"]:
        """Slices that had a mask, and for which nothing valid was found."""
        return np.array([route is Route.LOST for route in self.route])


@dataclasses.dataclass
class _Moves:
    """What has become of each mask so far, one entry a slice."""

    mask: NativeStack
    alpha: Float32[np.ndarray, "slices"]
    neighbour: np.ndarray
    distance: Float32[np.ndarray, "slices"]
    route: list[Route]

    def move(self, index: int, mask: np.ndarray, route: Route, by: tuple = (0.0, -1, np.nan)):
        """One slice's mask, how it came about, and its alpha, neighbour and distance."""
        self.mask[index], self.route[index] = mask, route
        self.alpha[index], self.neighbour[index], self.distance[index] = by


def correct_native(
    masks: NativeStack, grid: Grid, corrector: Corrector, *, working: MaskStack | None = None
) -> NativeCorrection:
    """Corrects masks of any origin; what comes out was checked on their own grid.

    Under the scope "invalid" a mask that satisfies delta there is returned to the bit, and under
    "all" one whose correction does not satisfy it there. Of the others, the valid mask that changes
    the fewest pixels is taken: without islands and extra holes, or moved in the latent space on the
    working grid and brought back. Where what comes back fails delta on the finer grid, the nearest
    member of the population that satisfies it there stands in. Where none does, the mask is lost:
    it is empty, its route says so, and other slices stand.

    Args:
        masks: one a slice, on their own grid.
        grid: the working grid over them, at the corrector's spacing.
        corrector: stage 3.
        working: the same masks on the working grid, where they come from there, as predictions of
            the cascade do.
    """
    # a speck may vanish on its way from the working grid: it was a mask all the same
    empty = ~np.any(masks if working is None else working, axis=(1, 2))
    _, failed = measure_stack(masks, grid.native_spacing_mm, corrector.thresholds)
    valid = ~np.any(failed, axis=1)
    count = len(masks)
    moves = _Moves(
        masks.copy(),
        np.zeros(count, np.float32),
        np.full(count, -1, np.int32),
        np.full(count, np.nan, np.float32),
        [Route.UNTOUCHED] * count,
    )
    chosen = np.flatnonzero(~empty if corrector.options.scope == "all" else ~empty & ~valid)
    if chosen.size:
        if working is None:
            near = _within_reach(masks_to_working(masks[chosen], grid), corrector.size)
        else:
            near = working[chosen]
        _correct_chosen(moves, chosen, near, valid, grid, corrector)
        if corrector.options.scope == "invalid":
            _clean_chosen(moves, chosen, masks, grid, corrector)
    correction = Correction(
        mask=moves.mask,
        alpha=moves.alpha,
        neighbour=moves.neighbour,
        distance=moves.distance,
        valid_before=valid,
        failed_before=failed & ~empty[:, None],
        pixels_changed=np.count_nonzero(moves.mask ^ masks, axis=(1, 2)),
        empty=empty,
    )
    valid_after = valid_stack(moves.mask, grid.native_spacing_mm, corrector.thresholds)
    return NativeCorrection(masks, correction, tuple(moves.route), valid_after)


def _correct_chosen(
    moves: _Moves,
    chosen: np.ndarray,
    working: MaskStack,
    sound: Bool[np.ndarray, "stack"],
    grid: Grid,
    corrector: Corrector,
) -> None:
    """The latent correction of some slices, brought to the native grid.

    One of the ``sound``, which satisfied delta before, stays as it was rather than to be replaced.
    """
    found = correct_stack(working, corrector, grid.spacing_mm)
    masks = np.asarray(found.mask)
    native, valid = render_native(masks, grid, corrector)
    for place, index in enumerate(chosen.tolist()):
        if valid[place]:
            route = _route(found, place, working[place], corrector)
            by = (found.alpha[place], found.neighbour[place], found.distance[place])
            moves.move(index, native[place], route, by)
            continue
        if sound[index]:
            continue
        near = masks[place] if masks[place].any() else working[place]
        stand_in = _stand_in(near, grid, corrector)
        if stand_in is None:
            moves.move(index, np.zeros_like(native[place]), Route.LOST)
        else:
            mask, neighbour, distance = stand_in
            moves.move(index, mask, Route.STAND_IN, (1.0, neighbour, distance))


def _route(
    found: Correction,
    place: int,
    working: Bool[np.ndarray, "height width"],
    corrector: Corrector,
) -> Route:
    """How one mask that had to be corrected came about on the working grid."""
    if found.neighbour[place] >= 0:
        return Route.MOVED
    if corrector.options.scope == "all":
        return Route.REDECODED
    if np.array_equal(found.mask[place], clean_components(working)):
        return Route.RESAMPLED
    return Route.REDECODED


def _clean_chosen(
    moves: _Moves,
    chosen: np.ndarray,
    masks: NativeStack,
    grid: Grid,
    corrector: Corrector,
) -> None:
    """Masks without islands and extra holes, where that alone suffices and changes less.

    Done on the native grid, it keeps the rest of the outline to the bit.
    """
    if not corrector.options.cleaned_pose:
        return
    cleaned = np.stack([clean_components(mask) for mask in masks[chosen]])
    valid = valid_stack(cleaned, grid.native_spacing_mm, corrector.thresholds)
    for place, index in enumerate(chosen.tolist()):
        changed, other = (
            np.count_nonzero(mask ^ masks[index]) for mask in (cleaned[place], moves.mask[index])
        )
        if valid[place] and (changed <= other or moves.route[index] is Route.LOST):
            moves.move(index, cleaned[place], Route.CLEANED)


def _within_reach(masks: MaskStack, size: int) -> MaskStack:
    """Without what lies beyond a window around the largest component of each mask.

    A window around the centroid of components far apart could miss them all.
    """
    reached = []
    for mask in masks:
        at = centroid(largest_component(mask))
        reached.append(uncrop(crop_or_pad(mask, size, centre=at), mask.shape, centre=at))
    return np.stack(reached)


def render_native(
    masks: MaskStack, grid: Grid, corrector: Corrector
) -> tuple[NativeStack, Bool[np.ndarray, "slices"]]:
    """Masks of the working grid on the native one, and whether each satisfies delta there.

    Pixel stairs of one grid are dents on a finer one, so the outline is smoothed on its way; less
    where a mask fails for it.

    Args:
        masks: on the working grid.
        grid: the working grid.
        corrector: stage 3.
    """
    native = on_native(masks, grid)
    valid = valid_stack(native, grid.native_spacing_mm, corrector.thresholds)
    for smoothing in _SMOOTHING[1:]:
        open_question = masks.any(axis=(1, 2)) & ~valid
        if open_question.any():
            other = on_native(masks, grid, smoothing=smoothing)
            better = open_question & valid_stack(
                other, grid.native_spacing_mm, corrector.thresholds
            )
            native[better] = other[better]
            valid |= better
    return native, valid


def on_native(masks: MaskStack, grid: Grid, *, smoothing: float = _SMOOTHING[0]) -> NativeStack:
    """Masks on the native grid, by linear interpolation of the distance to their outline.

    Args:
        masks: on the working grid.
        grid: the working grid.
        smoothing: standard deviation in pixels of the Gaussian that smooths the distance.
    """
    distance = np.stack([_signed_distance(mask) for mask in masks])
    distance = ndimage.gaussian_filter(distance, (0, smoothing, smoothing))
    return to_native(distance, grid) > 0


def _signed_distance(mask: Bool[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """Distance in pixels to the outline, positive inside."""
    if not mask.any():
        return np.full(mask.shape, -1.0, np.float32)
    inside = np.asarray(ndimage.distance_transform_edt(mask))
    outside = np.asarray(ndimage.distance_transform_edt(~mask))
    return (inside - outside).astype(np.float32)


def _stand_in(
    mask: Bool[np.ndarray, "height width"], grid: Grid, corrector: Corrector
) -> tuple[Bool[np.ndarray, "native_height native_width"], int, float] | None:
    """The nearest member of the population that is valid on the native grid.

    Returns:
        Its mask on that grid, its index, and its distance in latent space; None if there is none
        near the mask.
    """
    at = centroid(mask)
    window = crop_or_pad(mask, corrector.size, centre=at)
    # encoded in the company that `correct_stack` compiled for
    window = next(parts(window[None])).astype(np.float32)
    code = np.asarray(corrector.encode(jnp.asarray(window)))[:1]
    count = min(_STAND_INS, len(corrector.population.codes))
    nearest = latent.nearest(code, corrector.population, k=count)
    indices, distances = (np.asarray(found)[0] for found in nearest)
    for start in range(0, count, len(window)):
        tried = indices[start : start + len(window)]
        packed = np.asarray(corrector.population.masks)[tried]
        members = np.unpackbits(packed, axis=-1).astype(bool)
        native = on_native(uncrop(members, mask.shape, centre=at), grid)
        valid = valid_stack(native, grid.native_spacing_mm, corrector.thresholds)
        if valid.any():
            first = int(np.argmax(valid))
            return native[first], int(tried[first]), float(distances[start + first])
    return None
