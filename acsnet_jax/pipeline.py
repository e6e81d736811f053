"""The cascade: a scan goes in, a segmentation comes out (paper, figure 1).

Networks come in as callables on whole batches; nothing here knows how they were made.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage
from skimage.morphology import convex_hull_image

from acsnet_jax import anatomy, latent
from acsnet_jax.anatomy.cleanup import CleanupWeights, one_lv
from acsnet_jax.clinical.scar import clean_enhancement, core_scar
from acsnet_jax.preprocess.crop import centroid, crop_or_pad, uncrop
from acsnet_jax.preprocess.grid import Grid, Working, resample_mask, to_native, to_working
from acsnet_jax.preprocess.orient import apply_turn, invert_turn
from acsnet_jax.preprocess.stages import Spec, lv_box, lv_images, myo_images, null_outside
from acsnet_jax.types import Correction, InputError, Population, Scan, Segmentation, Spacing

# Shapes are padded to multiples of these, so that a new scan rarely needs a new compilation.
_SLICES = 16
_PIXELS = 128
_STAND_INS = 256  # members of the population that are tried on the scan's own grid
_SMOOTHING = (1.0, 0.6, 0.0)  # pixels; of outlines on their way to the scan's own grid

Stack = Bool[np.ndarray, "slices height width"]
NativeStack = Bool[np.ndarray, "slices native_height native_width"]
Probability = Float32[np.ndarray, "slices height width"]


@dataclasses.dataclass(frozen=True)
class Inference:
    """How a trained system is used.

    Attributes:
        turns: over how many turns of the picture predictions are averaged: 1, or 8 to be
            indifferent to quarter turns and mirrorings.
        batch: images that a network sees at once.
        scope: which masks are corrected, see `acsnet_jax.latent.correct`.
        alphas: number of grid points of the search.
        neighbours: number of neighbours to try.
        max_change: of the area between slices, see `acsnet_jax.anatomy.trim_stack`.
        trim: whether slices beyond apex and base are removed.
        erosions: of predicted enhancement, see `acsnet_jax.clinical.scar.clean_enhancement`.
        min_scar_mm2: smallest component of enhancement that is kept.
    """

    turns: Literal[1, 8] = 8
    batch: int = 16
    scope: Literal["invalid", "all"] = "invalid"
    alphas: int = 64
    neighbours: int = 1
    max_change: float = 0.6
    trim: bool = True
    erosions: int = 1
    min_scar_mm2: float = 10.0


@dataclasses.dataclass(frozen=True, eq=False)
class Bundle:
    """A trained system, as `acsnet_jax.bundle.load` gives it.

    Attributes:
        localise: images ``[n, size, size]`` in [0, 255] to LV probabilities of the same shape.
        delineate: images to probabilities ``[n, size, size, 2]`` of myocardium and enhancement.
        encode: masks ``[n, size, size]`` to codes.
        decode: codes to masks.
        population: valid codes with their masks.
        mixture: density of the codes of expert masks.
        thresholds: of delta.
        spec: sizes and scalings.
        inference: how it is used.
        cleanup: weights of the choice of one LV.
    """

    localise: Callable
    delineate: Callable
    encode: Callable
    decode: Callable
    population: Population
    mixture: latent.Mixture
    thresholds: anatomy.Thresholds
    spec: Spec
    inference: Inference
    cleanup: CleanupWeights = dataclasses.field(default_factory=CleanupWeights)

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


class Delineation(NamedTuple):
    """What the two segmentation networks say, on stage 2's working grid.

    Attributes:
        lv: stage 1's LV, one component a slice.
        myocardium: probability.
        enhancement: probability.
        grid: the working grid.
    """

    lv: Stack
    myocardium: Probability
    enhancement: Probability
    grid: Grid


def segment(scan: Scan, bundle: Bundle) -> Segmentation:
    """Segment one scan: find the LV, delineate, correct, trim, and go back to the scan's grid.

    Raises:
        InputError: no left ventricle was found; names the scan.
    """
    return assemble(scan, delineate(scan, bundle), bundle)


def delineate(scan: Scan, bundle: Bundle) -> Delineation:
    """Stages 1 and 2, without any anatomical correction.

    Raises:
        InputError: no left ventricle was found; names the scan.
    """
    lv, coarse = localise(scan, bundle)
    working = to_working(scan, bundle.spec.myo_spacing_mm)
    lv = resample_mask(lv, coarse, working.grid)
    try:
        box = lv_box(lv, working.grid.spacing_mm, bundle.spec.margin_mm)
    except InputError as error:
        raise InputError(f"scan {scan.id}: {error}") from error
    images = null_outside(myo_images(working, box, bundle.spec), box.half)
    probability = averaged(bundle.delineate, images, bundle.inference)
    myocardium, enhancement = (
        uncrop(
            np.ascontiguousarray(probability[..., output]), working.grid.shape, centre=box.centre
        )
        for output in (0, 1)
    )
    return Delineation(lv, myocardium, enhancement, working.grid)


def localise(scan: Scan, bundle: Bundle) -> tuple[Stack, Grid]:
    """Stage 1: one LV component a slice, on stage 1's working grid."""
    working = to_working(scan, bundle.spec.lv_spacing_mm)
    probability = lv_probability(working, bundle)
    return one_lv(probability, working.grid.spacing_mm, weights=bundle.cleanup), working.grid


def lv_probability(working: Working, bundle: Bundle) -> Probability:
    """Stage 1's probabilities on its working grid."""
    images = lv_images(working, bundle.spec)
    return uncrop(averaged(bundle.localise, images, bundle.inference), working.grid.shape)


def averaged(
    network: Callable, images: Float32[np.ndarray, "slices size size"], inference: Inference
) -> Float32[np.ndarray, "slices size size *outputs"]:
    """A network's probabilities, averaged over turns of the picture; in batches of one shape."""
    turned = np.concatenate([apply_turn(images, turn) for turn in range(inference.turns)])
    padding = -len(turned) % inference.batch
    padded = np.concatenate([turned, np.zeros((padding, *turned.shape[1:]), turned.dtype)])
    parts = [
        np.asarray(network(jnp.asarray(part)))
        for part in np.split(padded, len(padded) // inference.batch)
    ]
    outputs = np.concatenate(parts)[: len(turned)]
    # [turns, slices, size, size, ...]; turns act on the last two axes
    outputs = np.moveaxis(
        outputs.reshape(inference.turns, len(images), *outputs.shape[1:]), (2, 3), (-2, -1)
    )
    mean = np.mean([invert_turn(part, turn) for turn, part in enumerate(outputs)], axis=0)
    return np.ascontiguousarray(np.moveaxis(mean, (-2, -1), (1, 2)))


def assemble(scan: Scan, found: Delineation, bundle: Bundle) -> Segmentation:
    """Stage 3 and the volume checks, and everything back on the scan's own grid."""
    masks = found.myocardium >= 0.5
    correction = correct_stack(masks, bundle, found.grid.spacing_mm)
    corrected = np.asarray(correction.mask)
    kept = np.ones(len(masks), bool)
    if bundle.inference.trim:
        kept = trimmed(corrected, bundle.inference.max_change)
    kept = kept & corrected.any(axis=(1, 2))
    myocardium = native_masks(corrected & kept[:, None, None], found.grid, scan, bundle)
    lv = to_native(found.lv.astype(np.float32), found.grid) >= 0.5
    blood_pool = blood_pools(myocardium, lv)
    enhancement = clean_enhancement(
        (to_native(found.enhancement, found.grid) >= 0.5) & myocardium,
        scan.spacing_mm,
        erosions=bundle.inference.erosions,
        min_area_mm2=bundle.inference.min_scar_mm2,
    )
    return Segmentation(
        scan=scan,
        myocardium=myocardium,
        blood_pool=blood_pool,
        enhancement=enhancement,
        core=core_scar(scan, enhancement),
        kept=kept,
        correction=correction,
        correction_spacing_mm=found.grid.spacing_mm,
    )


def correct_stack(masks: Stack, bundle: Bundle, spacing_mm: Spacing) -> Correction:
    """The latent correction of a stack of masks of any size, each centred for the autoencoder.

    Args:
        masks: one a slice.
        bundle: with a population drawn at this spacing.
        spacing_mm: of the masks.

    Returns:
        The correction, its masks put back where they were.
    """
    size = bundle.spec.mask_size
    centres = [centroid(mask) for mask in masks]
    windows = np.stack(
        [crop_or_pad(mask, size, centre=at) for mask, at in zip(masks, centres, strict=True)]
    )
    is_valid, failures = bundle.delta(spacing_mm)
    correction = latent.correct(
        _padded(windows),
        bundle.encode,
        bundle.decode,
        is_valid,
        bundle.population,
        jnp.linspace(0.0, 1.0, bundle.inference.alphas),
        failures=failures,
        scope=bundle.inference.scope,
        k=bundle.inference.neighbours,
    )
    correction = jax.tree.map(lambda leaf: np.asarray(leaf)[: len(masks)], correction)
    shape = masks.shape[1:]
    back = np.stack(
        [uncrop(mask, shape, centre=at) for mask, at in zip(correction.mask, centres, strict=True)]
    )
    changed = (back ^ masks).sum(axis=(1, 2)).astype(np.int32)
    return correction._replace(mask=back, pixels_changed=changed)


def native_masks(masks: Stack, grid: Grid, scan: Scan, bundle: Bundle) -> NativeStack:
    """Corrected masks on the scan's own grid, where delta is checked once more.

    Pixel stairs of one grid are dents on a finer one, so the outline is smoothed on its way; less
    where a mask fails for it. Where it fails all the same, the nearest member of the population
    that satisfies delta on the scan's grid stands in.

    Raises:
        InputError: no member near the mask does; the scan's resolution is then out of reach.
    """
    native = _on_native(masks, grid, _SMOOTHING[0])
    open_question = masks.any(axis=(1, 2)) & ~delta(native, scan.spacing_mm, bundle)
    for smoothing in _SMOOTHING[1:]:
        if open_question.any():
            other = _on_native(masks, grid, smoothing)
            better = open_question & delta(other, scan.spacing_mm, bundle)
            native[better] = other[better]
            open_question &= ~better
    for index in np.flatnonzero(open_question):
        native[index] = _stand_in(masks[index], grid, scan, bundle)
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
    mask: Bool[np.ndarray, "height width"], grid: Grid, scan: Scan, bundle: Bundle
) -> Bool[np.ndarray, "height2 width2"]:
    """The nearest member of the population that is valid on the scan's own grid."""
    at = centroid(mask)
    window = crop_or_pad(mask, bundle.spec.mask_size, centre=at)
    code = bundle.encode(jnp.asarray(window[None], jnp.float32))
    count = min(_STAND_INS, len(bundle.population.codes))
    indices, _ = latent.nearest(code, bundle.population, k=count)
    packed = np.asarray(bundle.population.masks)[np.asarray(indices)[0]]
    for start in range(0, count, _SLICES):
        members = np.asarray(latent.unpack_masks(jnp.asarray(packed[start : start + _SLICES])))
        native = _on_native(uncrop(members, mask.shape, centre=at), grid, _SMOOTHING[0])
        valid = delta(native, scan.spacing_mm, bundle)
        if valid.any():
            return native[int(np.argmax(valid))]
    raise InputError(
        f"scan {scan.id}: no plausible mask near the prediction is valid at its own spacing of "
        f"{scan.spacing_mm} mm; draw the population at a spacing closer to it"
    )


def delta(masks: Stack, spacing_mm: Spacing, bundle: Bundle) -> Bool[np.ndarray, "slices"]:
    """Delta of masks on any grid, in windows of few different sizes.

    Args:
        masks: one a slice.
        spacing_mm: of the masks.
        bundle: its thresholds.
    """
    occupied = np.argwhere(masks.any(axis=0))
    if not occupied.size:
        return np.zeros(len(masks), bool)
    first, last = occupied.min(axis=0), occupied.max(axis=0)
    size = _PIXELS * -(-int((last - first).max() + 3) // _PIXELS)
    middle = (first + last + 1) // 2
    windows = crop_or_pad(masks, size, centre=(int(middle[0]), int(middle[1])))
    spacing = jnp.asarray(spacing_mm, jnp.float32)
    valid = anatomy.is_valid(jnp.asarray(_padded(windows)), spacing, bundle.thresholds)
    return np.asarray(valid)[: len(masks)]


def _padded(stack: np.ndarray) -> np.ndarray:
    """A stack with empty slices at its end."""
    return np.concatenate([stack, np.zeros((-len(stack) % _SLICES, *stack.shape[1:]), stack.dtype)])


def trimmed(myocardium: Stack, max_change: float) -> Bool[np.ndarray, "slices"]:
    """Slices between apex and base; see `acsnet_jax.anatomy.trim_stack`."""
    holes = np.stack([ndimage.binary_fill_holes(mask) & ~mask for mask in myocardium])
    kept = anatomy.trim_stack(
        jnp.asarray(_padded(myocardium)), jnp.asarray(_padded(holes)), max_change=max_change
    )
    return np.asarray(kept)[: len(myocardium)]


def _signed_distance(mask: Bool[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """Distance in pixels to the outline, positive inside."""
    if not mask.any():
        return np.full(mask.shape, -1.0, np.float32)
    inside = np.asarray(ndimage.distance_transform_edt(mask))
    outside = np.asarray(ndimage.distance_transform_edt(~mask))
    return (inside - outside).astype(np.float32)


def blood_pools(myocardium: Stack, lv: Stack) -> Stack:
    """The cavity of rings; in open slices what stage 1's LV and the wall's hull share."""
    cavities = np.stack([ndimage.binary_fill_holes(mask) & ~mask for mask in myocardium])
    for index, mask in enumerate(myocardium):
        if mask.any() and not cavities[index].any():
            cavities[index] = convex_hull_image(mask) & lv[index] & ~mask
    return cavities
