"""Stage 3 as an object: what corrects masks of any scan, on any grid (paper, Stage 3).

A `Corrector` is callables and arrays; nothing here knows how its networks were made. Masks come in
stacks, one a slice, ``Bool[slices, height, width]``, and leave on the grid they came on.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from acsnet_jax import anatomy, latent
from acsnet_jax.anatomy.cleanup import clean_components
from acsnet_jax.preprocess.crop import Centre, centroid, crop_or_pad, uncrop
from acsnet_jax.preprocess.grid import Grid, masks_to_working, to_native
from acsnet_jax.types import Correction, InputError, MaskStack, Population, Spacing

SLICES = 16
"""Stacks are padded to multiples of this, so that a new scan rarely needs a new compilation."""

_PIXELS = 128
_STAND_INS = 256  # members of the population that are tried on the scan's own grid
_SMOOTHING = (1.0, 0.6, 0.0)  # pixels; of outlines on their way to the scan's own grid

NativeStack = Bool[np.ndarray, "slices native_height native_width"]
StandIns = dict[int, tuple[int, float]]
"""(Index in the population, latent distance) of each slice that a member of it stands in for."""


@dataclasses.dataclass(frozen=True)
class CorrectionOptions:
    """How masks are corrected; see `acsnet_jax.latent.correct`.

    Attributes:
        scope: "invalid" keeps a mask that satisfies delta; "all" corrects every one.
        alphas: number of grid points of the search.
        neighbours: number of neighbours to try; the least change wins.
        refine: steps between the last failing and the first passing grid point.
        memory_mb: what a block of masks may take while it is decoded and checked; 0 for blocks of
            64 masks on a CPU and of 1024 on an accelerator.
    """

    scope: Literal["invalid", "all"] = "invalid"
    alphas: int = 64
    neighbours: int = 1
    refine: int = 16
    memory_mb: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Corrector:
    """A trained stage 3, as `acsnet_jax.bundle.load_corrector` gives it.

    Attributes:
        encode: masks ``[n, size, size]`` to codes.
        decode: codes to masks.
        population: valid codes with their masks.
        mixture: density of the codes of expert masks.
        thresholds: of delta.
        size: height and width of the autoencoder's masks.
        spacing_mm: in-plane spacing at which it was trained; None for each scan's own.
        options: how masks are corrected.
    """

    encode: Callable
    decode: Callable
    population: Population
    mixture: latent.Mixture
    thresholds: anatomy.Thresholds
    size: int
    spacing_mm: float | None
    options: CorrectionOptions = CorrectionOptions()

    @functools.cached_property
    def _deltas(self) -> dict[Spacing, tuple[Callable, Callable]]:
        return {}

    def delta(self, spacing_mm: Spacing) -> tuple[Callable, Callable]:
        """`is_valid` and `failures` at one spacing; the same objects each time."""
        if spacing_mm not in self._deltas:
            self._deltas[spacing_mm] = (
                functools.partial(
                    anatomy.is_valid, spacing_mm=spacing_mm, thresholds=self.thresholds
                ),
                functools.partial(
                    anatomy.failures, spacing_mm=spacing_mm, thresholds=self.thresholds
                ),
            )
        return self._deltas[spacing_mm]

    @functools.cached_property
    def _blocks(self) -> dict[Spacing, int | None]:
        return {}

    def block(self, spacing_mm: Spacing) -> int | None:
        """Masks taken at once under ``options.memory_mb``; None for the default."""
        if not self.options.memory_mb:
            return None
        if spacing_mm not in self._blocks:
            self._blocks[spacing_mm] = latent.block_within(
                self.options.memory_mb * 2**20,
                self.decode,
                self.delta(spacing_mm)[0],
                self.population.codes.shape[1],
            )
        return self._blocks[spacing_mm]


def correct_native(masks: NativeStack, grid: Grid, corrector: Corrector) -> Correction:
    """The latent correction of masks of any origin, checked and returned on their own grid.

    Under the scope "invalid" a mask that satisfies delta on its own grid is returned to the bit.

    Args:
        masks: one a slice.
        grid: the working grid over them, at the corrector's spacing.
        corrector: stage 3.

    Returns:
        The correction; its masks, verdicts and pixels are those of the masks' own grid. A slice
        that cannot be made valid there is empty.

    Raises:
        InputError: see `native_masks`.
    """
    empty = ~np.any(masks, axis=(1, 2))
    _, failed = check_stack(masks, grid.native_spacing_mm, corrector.thresholds)
    valid = ~np.any(failed, axis=1)
    count = len(masks)
    moves: dict[str, np.ndarray] = {
        "mask": masks.copy(),
        "alpha": np.zeros(count, np.float32),
        "neighbour": np.full(count, -1, np.int32),
        "distance": np.full(count, np.nan, np.float32),
    }
    chosen = ~empty if corrector.options.scope == "all" else ~empty & ~valid
    if chosen.any():
        working = _within_reach(masks_to_working(masks[chosen], grid), corrector.size)
        found = correct_stack(working, corrector, grid.spacing_mm)
        native, stand_ins = native_masks(np.asarray(found.mask), grid, corrector)
        found = with_stand_ins(found, stand_ins)._replace(mask=native)
        for name, values in moves.items():
            values[chosen] = getattr(found, name)
    fields: dict[str, Any] = {
        **moves,
        "valid_before": valid,
        "failed_before": failed & ~empty[:, None],
        "pixels_changed": np.count_nonzero(moves["mask"] ^ masks, axis=(1, 2)),
        "empty": empty,
    }
    return Correction(**fields)


def _within_reach(masks: MaskStack, size: int) -> MaskStack:
    """Without what lies beyond a window around the largest component of each mask.

    A window around the centroid of components far apart could miss them all.
    """
    reached = []
    for mask in masks:
        components = np.zeros(mask.shape, np.int32)
        ndimage.label(mask, np.ones((3, 3), bool), output=components)
        at = centroid(components == 1 + np.argmax(np.bincount(components.ravel())[1:]))
        reached.append(uncrop(crop_or_pad(mask, size, centre=at), mask.shape, centre=at))
    return np.stack(reached)


def correct_stack(masks: MaskStack, corrector: Corrector, spacing_mm: Spacing) -> Correction:
    """The latent correction of a stack of masks of any size, each centred for the autoencoder.

    What is missing from a mask moves its centroid off the heart's middle, where the circle through
    the rest still has its centre; what is added moves the circle's centre more; and islands lead
    the encoder astray. So a mask is tried centred on its centroid, centred on its circle, and
    without islands and extra holes. The correction that changes the fewest pixels is taken.

    Args:
        masks: one a slice.
        corrector: with a population drawn at this spacing.
        spacing_mm: of the masks.

    Returns:
        The correction, its masks put back where they were.
    """
    circle = functools.partial(circle_centre, spacing_mm=spacing_mm)
    found = _seen_from(centroid, masks, corrector, spacing_mm)
    needy = masks
    if corrector.options.scope == "invalid":
        needy = masks & ~found.valid_before[:, None, None]
    for tried in (needy, np.stack([clean_components(mask) for mask in needy])):
        other = _seen_from(circle, tried, corrector, spacing_mm)._replace(
            valid_before=found.valid_before, failed_before=found.failed_before, empty=found.empty
        )
        changed = (other.mask ^ masks).sum(axis=(1, 2)).astype(np.int32)
        better = other.mask.any(axis=(1, 2)) & (changed < found.pixels_changed)
        other = other._replace(pixels_changed=changed)
        found = jax.tree.map(functools.partial(_where, better), other, found)
    return found


def _where(rows, x, y):
    return np.where(rows.reshape(-1, *[1] * (x.ndim - 1)), x, y)


def _seen_from(centre, masks, corrector, spacing_mm) -> Correction:
    """The correction of masks in windows around the centres that a function finds."""
    centres = [centre(mask) for mask in masks]
    size = corrector.size
    windows = np.stack(
        [crop_or_pad(mask, size, centre=at) for mask, at in zip(masks, centres, strict=True)]
    )
    is_valid, failures = corrector.delta(spacing_mm)
    correction = latent.correct(
        padded(windows),
        corrector.encode,
        corrector.decode,
        is_valid,
        corrector.population,
        jnp.linspace(0.0, 1.0, corrector.options.alphas),
        failures=failures,
        scope=corrector.options.scope,
        k=corrector.options.neighbours,
        refine=corrector.options.refine,
        block=corrector.block(spacing_mm),
    )
    correction = jax.tree.map(lambda leaf: np.asarray(leaf)[: len(masks)], correction)
    back = np.stack(
        [
            _put_back(mask, masks.shape[1:], at)
            for mask, at in zip(correction.mask, centres, strict=True)
        ]
    )
    changed = (back ^ masks).sum(axis=(1, 2)).astype(np.int32)
    correction = correction._replace(mask=back, pixels_changed=changed)
    beyond = masks.sum(axis=(1, 2)) > windows.sum(axis=(1, 2))
    if not beyond.any():
        return correction
    # what lies beyond the window was judged without it
    whole = np.asarray(failures(jnp.asarray(padded(_window(masks)))))[: len(masks)]
    failed = np.where(beyond[:, None], whole, correction.failed_before)
    valid = np.where(beyond, ~whole.any(axis=1), correction.valid_before)
    return correction._replace(valid_before=valid, failed_before=failed)


def _put_back(window, shape, centre):
    """A window's mask where it was taken, moved by as little as keeps all of it on the array."""
    occupied = np.argwhere(window)
    if occupied.size:
        offset = np.subtract(centre, np.shape(window)[-1] // 2)
        first, last = occupied.min(axis=0) + offset, occupied.max(axis=0) + offset
        shift = np.maximum(-first, 0) - np.maximum(last - np.subtract(shape, 1), 0)
        centre = (int(centre[0] + shift[0]), int(centre[1] + shift[1]))
    return uncrop(window, shape, centre=centre)


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


def native_masks(
    masks: MaskStack, grid: Grid, corrector: Corrector
) -> tuple[NativeStack, StandIns]:
    """Corrected masks on the scan's own grid, where delta is checked once more.

    Pixel stairs of one grid are dents on a finer one, so the outline is smoothed on its way; less
    where a mask fails for it. Where it fails all the same, the nearest member of the population
    that satisfies delta on the scan's grid stands in.

    Returns:
        The masks, and the stand-ins among them.

    Raises:
        InputError: no member near the mask does; the scan's resolution is then out of reach.
    """
    native = on_native(masks, grid)
    open_question = masks.any(axis=(1, 2)) & ~delta(native, grid.native_spacing_mm, corrector)
    for smoothing in _SMOOTHING[1:]:
        if open_question.any():
            other = on_native(masks, grid, smoothing=smoothing)
            better = open_question & delta(other, grid.native_spacing_mm, corrector)
            native[better] = other[better]
            open_question &= ~better
    stand_ins: StandIns = {}
    for index in np.flatnonzero(open_question):
        native[index], neighbour, distance = _stand_in(masks[index], grid, corrector)
        stand_ins[int(index)] = (neighbour, distance)
    return native, stand_ins


def with_stand_ins(correction: Correction, stand_ins: StandIns) -> Correction:
    """The correction with the neighbours that stand in for some of its masks, at alpha = 1."""
    alpha, neighbour, distance = (
        np.array(values) for values in (correction.alpha, correction.neighbour, correction.distance)
    )
    for index, (member, apart) in stand_ins.items():
        alpha[index], neighbour[index], distance[index] = 1.0, member, apart
    moves: dict[str, Any] = {"alpha": alpha, "neighbour": neighbour, "distance": distance}
    return correction._replace(**moves)


def on_native(masks: MaskStack, grid: Grid, *, smoothing: float = _SMOOTHING[0]) -> NativeStack:
    """Masks on the scan's own grid, by linear interpolation of the distance to their outline.

    Args:
        masks: on the working grid.
        grid: the working grid.
        smoothing: standard deviation in pixels of the Gaussian that smooths the distance.
    """
    distance = np.stack([_signed_distance(mask) for mask in masks])
    distance = ndimage.gaussian_filter(distance, (0, smoothing, smoothing))
    return to_native(distance, grid) > 0


def _stand_in(
    mask: Bool[np.ndarray, "height width"], grid: Grid, corrector: Corrector
) -> tuple[Bool[np.ndarray, "height2 width2"], int, float]:
    """The nearest member of the population that is valid on the scan's own grid.

    Returns:
        Its mask on that grid, its index, and its distance in latent space.
    """
    at = centroid(mask)
    window = crop_or_pad(mask, corrector.size, centre=at)
    code = corrector.encode(jnp.asarray(window[None], jnp.float32))
    count = min(_STAND_INS, len(corrector.population.codes))
    nearest = latent.nearest(code, corrector.population, k=count)
    indices, distances = (np.asarray(found)[0] for found in nearest)
    packed = np.asarray(corrector.population.masks)[indices]
    for start in range(0, count, SLICES):
        members = np.asarray(latent.unpack_masks(jnp.asarray(packed[start : start + SLICES])))
        native = on_native(uncrop(members, mask.shape, centre=at), grid)
        valid = delta(native, grid.native_spacing_mm, corrector)
        if valid.any():
            first = int(np.argmax(valid))
            return native[first], int(indices[start + first]), float(distances[start + first])
    raise InputError(
        "no plausible mask near the prediction is valid at the scan's own spacing of "
        f"{grid.native_spacing_mm} mm; draw the population at a spacing closer to it"
    )


def delta(
    masks: MaskStack, spacing_mm: Spacing, corrector: Corrector
) -> Bool[np.ndarray, "slices"]:
    """Delta of masks on any grid, in windows of few different sizes.

    Args:
        masks: one a slice.
        spacing_mm: of the masks.
        corrector: its thresholds.
    """
    if not masks.any():
        return np.zeros(len(masks), bool)
    spacing = jnp.asarray(spacing_mm, jnp.float32)
    valid = anatomy.is_valid(jnp.asarray(padded(_window(masks))), spacing, corrector.thresholds)
    return np.asarray(valid)[: len(masks)]


def check_stack(
    masks: MaskStack, spacing_mm: Spacing, thresholds: anatomy.Thresholds
) -> tuple[anatomy.Anatomy, Bool[np.ndarray, "slices criteria"]]:
    """Measures of masks on any grid, and which criteria each of them fails.

    Args:
        masks: one a slice; an empty one fails.
        spacing_mm: of the masks.
        thresholds: of delta.

    Returns:
        Measures, one entry a slice, and failures in the order of `acsnet_jax.anatomy.CRITERIA`.
    """
    spacing = jnp.asarray(spacing_mm, jnp.float32)
    windows = padded(_window(masks))
    parts = [
        _judged(jnp.asarray(part), spacing, thresholds)
        for part in np.split(windows, len(windows) // SLICES)
    ]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(masks)], *parts)


@jax.jit
def _judged(masks, spacing_mm, thresholds):
    measures = anatomy.measure(masks, spacing_mm)
    return measures, anatomy.check(measures, thresholds, anatomy.CRITERIA)


def _window(masks: MaskStack) -> np.ndarray:
    """The part of a stack that holds all masks, in one of few sizes."""
    if not masks.any():
        return crop_or_pad(masks, _PIXELS)
    occupied = np.argwhere(masks.any(axis=0))
    first, last = occupied.min(axis=0), occupied.max(axis=0)
    size = _PIXELS * -(-int((last - first).max() + 3) // _PIXELS)
    middle = (first + last + 1) // 2
    return crop_or_pad(masks, size, centre=(int(middle[0]), int(middle[1])))


def padded(stack: np.ndarray) -> np.ndarray:
    """A stack with empty slices at its end."""
    return np.concatenate([stack, np.zeros((-len(stack) % SLICES, *stack.shape[1:]), stack.dtype)])


def _signed_distance(mask: Bool[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """Distance in pixels to the outline, positive inside."""
    if not mask.any():
        return np.full(mask.shape, -1.0, np.float32)
    inside = np.asarray(ndimage.distance_transform_edt(mask))
    outside = np.asarray(ndimage.distance_transform_edt(~mask))
    return (inside - outside).astype(np.float32)
