"""Stage 3 as an object: what corrects masks of any scan, on any grid (paper, Stage 3).

A `Corrector` is callables and arrays; nothing here knows how its networks were made. Masks come in
stacks, one a slice, ``Bool[slices, height, width]``, and leave on the grid they came on.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from acsnet_jax import anatomy, latent
from acsnet_jax.preprocess.crop import centroid, crop_or_pad, uncrop
from acsnet_jax.preprocess.grid import Grid, to_native
from acsnet_jax.types import Correction, InputError, Population, Spacing

SLICES = 16
"""Stacks are padded to multiples of this, so that a new scan rarely needs a new compilation."""

_PIXELS = 128
_STAND_INS = 256  # members of the population that are tried on the scan's own grid
_SMOOTHING = (1.0, 0.6, 0.0)  # pixels; of outlines on their way to the scan's own grid

Stack = Bool[np.ndarray, "slices height width"]
NativeStack = Bool[np.ndarray, "slices native_height native_width"]


@dataclasses.dataclass(frozen=True)
class Options:
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
    options: Options = Options()

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


def correct_stack(masks: Stack, corrector: Corrector, spacing_mm: Spacing) -> Correction:
    """The latent correction of a stack of masks of any size, each centred for the autoencoder.

    Args:
        masks: one a slice.
        corrector: with a population drawn at this spacing.
        spacing_mm: of the masks.

    Returns:
        The correction, its masks put back where they were.
    """
    size = corrector.size
    centres = [centroid(mask) for mask in masks]
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
    shape = masks.shape[1:]
    back = np.stack(
        [uncrop(mask, shape, centre=at) for mask, at in zip(correction.mask, centres, strict=True)]
    )
    changed = (back ^ masks).sum(axis=(1, 2)).astype(np.int32)
    correction = correction._replace(mask=back, pixels_changed=changed)
    beyond = masks.sum(axis=(1, 2)) > windows.sum(axis=(1, 2))
    if not beyond.any():
        return correction
    # what lies beyond the window was judged without it
    whole = np.asarray(failures(jnp.asarray(padded(_window(masks)))))[: len(masks)]
    failed = np.where(beyond[:, None], whole, correction.failed_before)
    return correction._replace(valid_before=~failed.any(axis=1), failed_before=failed)


def native_masks(masks: Stack, grid: Grid, corrector: Corrector) -> NativeStack:
    """Corrected masks on the scan's own grid, where delta is checked once more.

    Pixel stairs of one grid are dents on a finer one, so the outline is smoothed on its way; less
    where a mask fails for it. Where it fails all the same, the nearest member of the population
    that satisfies delta on the scan's grid stands in.

    Raises:
        InputError: no member near the mask does; the scan's resolution is then out of reach.
    """
    native = _on_native(masks, grid, _SMOOTHING[0])
    open_question = masks.any(axis=(1, 2)) & ~delta(native, grid.native_spacing_mm, corrector)
    for smoothing in _SMOOTHING[1:]:
        if open_question.any():
            other = _on_native(masks, grid, smoothing)
            better = open_question & delta(other, grid.native_spacing_mm, corrector)
            native[better] = other[better]
            open_question &= ~better
    for index in np.flatnonzero(open_question):
        native[index] = _stand_in(masks[index], grid, corrector)
    return native


def _on_native(masks: Stack, grid: Grid, smoothing: float) -> NativeStack:
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
) -> Bool[np.ndarray, "height2 width2"]:
    """The nearest member of the population that is valid on the scan's own grid."""
    at = centroid(mask)
    window = crop_or_pad(mask, corrector.size, centre=at)
    code = corrector.encode(jnp.asarray(window[None], jnp.float32))
    count = min(_STAND_INS, len(corrector.population.codes))
    indices, _ = latent.nearest(code, corrector.population, k=count)
    packed = np.asarray(corrector.population.masks)[np.asarray(indices)[0]]
    for start in range(0, count, SLICES):
        members = np.asarray(latent.unpack_masks(jnp.asarray(packed[start : start + SLICES])))
        native = _on_native(uncrop(members, mask.shape, centre=at), grid, _SMOOTHING[0])
        valid = delta(native, grid.native_spacing_mm, corrector)
        if valid.any():
            return native[int(np.argmax(valid))]
    raise InputError(
        "no plausible mask near the prediction is valid at the scan's own spacing of "
        f"{grid.native_spacing_mm} mm; draw the population at a spacing closer to it"
    )


def delta(masks: Stack, spacing_mm: Spacing, corrector: Corrector) -> Bool[np.ndarray, "slices"]:
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


def _window(masks: Stack) -> np.ndarray:
    """The part of a stack that holds all masks, in one of few sizes."""
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
