"""Measures of short-axis myocardium masks, exactly as defined, on packed bits.

Masks are ``Bool[*batch, height, width]`` of any batch shape and image size; ``spacing_mm`` is the
(row, column) distance of pixel centres, one pair for all masks or ``[*batch, 2]``. Foreground is
8-connected, background 4-connected, and everything outside the array is background. Everything may
be traced by ``jit`` and ``vmap``, and nothing calls back to the host.

Below, masks of a chunk are packed along their batch (`acsnet_jax.ops.bits`): ``rows`` are words of
pixels, masks last, ``lanes`` words of masks.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Float32, Int32

from acsnet_jax.ops import bits, components, distance, flood, hull, morphology, polar, quads
from acsnet_jax.ops.subset import on_subset
from acsnet_jax.types import InputError, Mask, SpacingLike, check_bool


class _Sizes(NamedTuple):
    """How many masks are taken at once: by all stages, as rings, as grids of numbers, as lanes.

    A CPU keeps a block in its cache and groups masks of like cost; an accelerator wants few steps.
    """

    chunk: int
    ring: int
    grid: int
    lanes: int


_SIZES = {"cpu": _Sizes(chunk=256, ring=32, grid=32, lanes=64)}
_ACCELERATOR_SIZES = _Sizes(chunk=8192, ring=1024, grid=256, lanes=256)
_TRIES = 12  # holes taken out one by one before a mask is labelled
_LARGEST = 2**30  # bound of coordinate sums: twice a sum must fit an int32


class Anatomy(NamedTuple):
    """Measures of masks. What does not apply to a mask's kind is NaN (`hollow`: False).

    A mask with a hole is a ring; a mask without is open, "C"-shaped. An empty mask is open, with no
    objects, and all its real measures but the areas are NaN.

    Attributes:
        objects: number of 8-connected components.
        holes: number of 4-connected background components that do not reach the outside.
        extra_hole_area_mm2: area of all holes but the largest, which is the cavity.
        is_ring: whether there is a hole.
        circularity_epi: ring only. 4 pi area / perimeter^2 of the filled mask, in about [0, 1.1];
            Crofton perimeter in 4 directions, on the pixel grid.
        circularity_endo: ring only. The same of the cavity.
        convexity_defect_mm: ring only. How deep the outline of the filled mask dents below its
            hull, >= 0.
        wall_min_mm: ring only. Smallest distance between the centres of a cavity pixel and a pixel
            outside the filled mask, less one pixel.
        wall_max_mm: ring: largest distance from a pixel that 4-touches the filled mask from outside
            to the cavity, less one pixel. Open: twice the largest distance from a mask pixel to the
            nearest pixel off the mask, less one pixel. One pixel is sqrt(s_y s_x).
        gap_deg: open only. 5 degrees times the longest circular run of empty 5-degree bins around
            the centroid.
        hollow: open only. Whether the pixel nearest to the centroid is off the mask; of pixels
            equally near, the first in raster order.
        area_mm2: area of the mask.
    """

    objects: Int32[Array, "*batch"]
    holes: Int32[Array, "*batch"]
    extra_hole_area_mm2: Float32[Array, "*batch"]
    is_ring: Bool[Array, "*batch"]
    circularity_epi: Float32[Array, "*batch"]
    circularity_endo: Float32[Array, "*batch"]
    convexity_defect_mm: Float32[Array, "*batch"]
    wall_min_mm: Float32[Array, "*batch"]
    wall_max_mm: Float32[Array, "*batch"]
    gap_deg: Float32[Array, "*batch"]
    hollow: Bool[Array, "*batch"]
    area_mm2: Float32[Array, "*batch"]


@jax.jit
def measure(mask: Mask, spacing_mm: SpacingLike) -> Anatomy:
    """Measures masks, exactly as defined.

    Args:
        mask: any batch shape and image size up to 1000 x 1000.
        spacing_mm: (row, column), ``[2]`` or ``[*batch, 2]``, above 0.

    Returns:
        One entry a mask.

    Raises:
        InputError: masks are not of type bool, or spacing and mask do not fit together.
    """
    return _measured(mask, spacing_mm, _exact)


@jax.jit
def measure_plausible(mask: Mask, spacing_mm: SpacingLike) -> Anatomy:
    """Measures what delta needs: of masks with several objects or holes, little more than that.

    Counts of such masks are lower bounds above 1, and their other measures NaN.

    Args:
        mask: any batch shape and image size up to 1000 x 1000.
        spacing_mm: (row, column), ``[2]`` or ``[*batch, 2]``, above 0.

    Raises:
        InputError: masks are not of type bool, or spacing and mask do not fit together.
    """
    return _measured(mask, spacing_mm, _of_plausible)


@jax.jit
def regions(mask: Mask) -> tuple[Mask, Mask]:
    """The epicardial region and the cavity of masks.

    Args:
        mask: any batch shape and image size.

    Returns:
        The mask with all its holes filled, and its largest hole (on a tie the first in raster
        order), empty where the mask is open.

    Raises:
        InputError: masks are not of type bool.
    """
    check_bool(mask)
    return _regions(mask)


@custom_vmap
def _regions(mask: Mask) -> tuple[Mask, Mask]:
    height, width = mask.shape[-2:]

    def chunk(masks):
        rows = bits.pack_rows(masks)
        scene = _fill(rows, width)
        _, _, cavity = _count_and_choose(scene, width)
        return tuple(
            bits.unpack_rows(r, masks.shape[0], height, width) for r in (scene.filled, cavity)
        )

    return jax.tree.map(
        lambda x: x.reshape(mask.shape), _in_chunks(chunk, (mask.reshape(-1, height, width),))
    )


@_regions.def_vmap
def _regions_vmap(axis_size, in_batched, mask):
    del axis_size, in_batched
    return _regions(mask), (True, True)


def _measured(mask: Mask, spacing_mm: SpacingLike, counts: Callable) -> Anatomy:
    """Checks the masks, checks and broadcasts the spacing, then measures."""
    check_bool(mask)
    batch, (height, width) = mask.shape[:-2], mask.shape[-2:]
    spacing = jnp.asarray(spacing_mm, jnp.float32)
    if spacing.shape not in ((2,), (*batch, 2)):
        raise InputError(
            f"spacing_mm has shape {spacing.shape}; give (2,) or {(*batch, 2)} for masks"
            f" {mask.shape}"
        )
    if height * width * (max(height, width) + 1) >= _LARGEST:
        raise InputError(f"masks of {height} x {width} pixels are too large: crop to 1000 x 1000")
    if spacing.ndim == 1:
        spacing = jnp.broadcast_to(spacing.reshape((1,) * len(batch) + (2,)), (*batch, 2))
    return _MEASURE[counts](mask, spacing)


def _batched(counts: Callable) -> Callable[[Mask, Float32[Array, "*batch 2"]], Anatomy]:
    """The measures of any batch shape; ``vmap`` adds a batch axis instead of wrapping loops."""

    @custom_vmap
    def measured(mask, spacing):
        *batch, height, width = mask.shape
        chunk = functools.partial(_measure_chunk, counts=counts)
        flat = _in_chunks(chunk, (mask.reshape(-1, height, width), spacing.reshape(-1, 2)))
        return jax.tree.map(lambda x: x.reshape(batch), flat)

    @measured.def_vmap
    def measured_vmap(axis_size, in_batched, mask, spacing):
        mask, spacing = (
            x if batched else jnp.broadcast_to(x[None], (axis_size, *x.shape))
            for x, batched in zip((mask, spacing), in_batched, strict=True)
        )
        anatomy = measured(mask, spacing)
        return anatomy, jax.tree.map(lambda _: True, anatomy)

    return measured


def _sizes() -> _Sizes:
    return _SIZES.get(jax.default_backend(), _ACCELERATOR_SIZES)


def _in_chunks(function: Callable, arrays: tuple[Any, ...]) -> Any:
    """Runs a function of arrays ``[n, ...]`` chunk by chunk, so that memory stays bounded."""
    n = arrays[0].shape[0]
    if n == 0:
        one = jax.eval_shape(
            function, *(jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype) for x in arrays)
        )
        return jax.tree.map(lambda x: jnp.zeros((0, *x.shape[1:]), x.dtype), one)
    size = _sizes().chunk
    if n <= size:
        return function(*arrays)
    chunks = -(-n // size)

    def split(x):
        padded = jnp.pad(x, [(0, chunks * size - n)] + [(0, 0)] * (x.ndim - 1))
        return padded.reshape(chunks, size, *x.shape[1:])

    results = lax.map(lambda part: function(*part), tuple(split(x) for x in arrays))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], results)


class _Scene(NamedTuple):
    """Masks in rows, the same with all holes filled, and which have an object within a hole."""

    rows: bits.Rows
    filled: bits.Rows
    nested: Bool[Array, "masks"]


class _Counts(NamedTuple):
    """Objects and holes of each mask, its cavity, and whether it is to be measured further."""

    objects: Int32[Array, "masks"]
    holes: Int32[Array, "masks"]
    cavity: bits.Rows
    measured: Bool[Array, "masks"]


def _fill(rows: bits.Rows, width: int) -> _Scene:
    lanes = bits.lanes_from_rows(rows, width + 2)
    outside = flood.outside(lanes)
    outermost = flood.flood(flood.grow(outside), lanes, diagonal=True)
    return _Scene(rows, bits.rows_from_lanes(~outside), bits.any_lane(lanes & ~outermost))


def _count_and_choose(
    scene: _Scene, width: int
) -> tuple[Int32[Array, "masks"], Int32[Array, "masks"], bits.Rows]:
    """Objects, holes and cavity; floods once more for the masks that this takes."""
    inner = on_subset(
        lambda pair: components.object_count(*(bits.lanes_from_rows(r, width + 2) for r in pair)),
        scene.nested,
        (scene.rows, scene.filled),
        block=_sizes().lanes,
        fill=0,
    )
    objects = jnp.where(scene.nested, inner, quads.euler_number(scene.filled))
    holes = objects - quads.euler_number(scene.rows)
    within = scene.filled & ~scene.rows
    return objects, holes, _largest_hole(within, holes, width)


def _largest_hole(within: bits.Rows, holes: Int32[Array, "masks"], width: int) -> bits.Rows:
    """The largest component of all holes."""

    def extract(rows):
        best, sure = components.extract_largest(bits.lanes_from_rows(rows, width + 2), tries=_TRIES)
        return bits.rows_from_lanes(best), sure

    several = holes > 1
    largest, sure = on_subset(
        extract, several, within, block=_sizes().lanes, fill=(0, True), cost=holes
    )
    unsure = several & ~sure
    labelled = on_subset(
        lambda rows: bits.pack_grid(components.label_largest(bits.grid(rows, width + 2))),
        unsure,
        within,
        block=_sizes().grid,
        fill=0,
        cost=holes,
    )
    largest = jnp.where(unsure[None, None, :], labelled, largest)
    return jnp.where(several[None, None, :], largest, within)


def _exact(scene: _Scene, width: int) -> _Counts:
    """All masks, with exact counts and the true cavity."""
    objects, holes, cavity = _count_and_choose(scene, width)
    return _Counts(objects, holes, cavity, objects > 0)


def _of_plausible(scene: _Scene, width: int) -> _Counts:
    """Only masks of one object and at most one hole; counts of others are lower bounds above 1."""
    del width
    nested = scene.nested.astype(jnp.int32)
    objects = quads.euler_number(scene.filled) + nested
    holes = objects - quads.euler_number(scene.rows)
    plausible = (objects == 1) & (holes <= 1)
    return _Counts(objects, holes, scene.filled & ~scene.rows, plausible)


def _measure_chunk(
    mask: Bool[Array, "n height width"],
    spacing: Float32[Array, "n 2"],
    *,
    counts: Callable[[_Scene, int], _Counts],
) -> Anatomy:
    """Measures ``[n, height, width]`` masks; ``counts`` settles objects, holes and the cavity."""
    n, _, width = mask.shape
    rows = bits.pack_rows(mask)
    spacing = jnp.pad(spacing, ((0, rows.shape[-1] - n), (0, 0)), constant_values=1).T
    scene = _fill(rows, width)
    objects, holes, cavity, measured = counts(scene, width)
    is_ring = holes > 0
    ring = on_subset(
        _ring_measures,
        measured & is_ring,
        (scene.filled, cavity, spacing),
        block=_sizes().ring,
        fill=_RingMeasures(*[math.nan] * len(_RingMeasures._fields)),
        cost=bits.count(morphology.outer_contour(scene.filled)),
    )
    opened = on_subset(
        functools.partial(_open_measures, width=width),
        measured & ~is_ring,
        (rows, spacing),
        block=_sizes().grid,
        fill=_OpenMeasures(math.nan, math.nan, False),
        cost=bits.count(rows),
    )
    pixel_mm2 = spacing[0] * spacing[1]
    within = bits.count(scene.filled) - bits.count(rows)
    extra = jnp.where(measured, within - bits.count(cavity), jnp.maximum(holes - 1, 0))
    anatomy = Anatomy(
        objects=objects,
        holes=holes,
        extra_hole_area_mm2=extra.astype(jnp.float32) * pixel_mm2,
        is_ring=is_ring,
        circularity_epi=ring.circularity_epi,
        circularity_endo=ring.circularity_endo,
        convexity_defect_mm=ring.convexity_defect_mm,
        wall_min_mm=ring.wall_min_mm,
        wall_max_mm=jnp.where(is_ring, ring.wall_max_mm, opened.wall_max_mm),
        gap_deg=opened.gap_deg,
        hollow=opened.hollow,
        area_mm2=bits.count(rows).astype(jnp.float32) * pixel_mm2,
    )
    return jax.tree.map(lambda x: x[:n], anatomy)


class _RingMeasures(NamedTuple):
    """What only rings have: ``Float32[masks]`` each."""

    circularity_epi: Any
    circularity_endo: Any
    convexity_defect_mm: Any
    wall_min_mm: Any
    wall_max_mm: Any


def _ring_measures(
    arrays: tuple[bits.Rows, bits.Rows, Float32[Array, "2 masks"]],
) -> _RingMeasures:
    """Of masks with all holes filled, their cavities and their spacing."""
    filled, cavity, spacing = arrays
    around = bits.number_pixels(morphology.outer_contour(filled))
    endo = bits.number_pixels(morphology.inner_contour(cavity))
    epi = bits.number_pixels(morphology.inner_contour(filled))
    # the pixel outside that is nearest to the cavity 4-touches the filled mask, because a step
    # towards the cavity leaves the outside; likewise the nearest cavity pixel is on its contour
    thin, thick = distance.nearest_distance_range(around, endo, spacing)
    pixel_mm = jnp.sqrt(spacing[0] * spacing[1])
    return _RingMeasures(
        circularity_epi=quads.circularity(filled),
        circularity_endo=quads.circularity(cavity),
        convexity_defect_mm=hull.convexity_defect(epi, spacing),
        wall_min_mm=thin - pixel_mm,
        wall_max_mm=thick - pixel_mm,
    )


class _OpenMeasures(NamedTuple):
    """What only open masks have: ``Float32[masks]``, but ``hollow``, which is ``Bool[masks]``."""

    wall_max_mm: Any
    gap_deg: Any
    hollow: Any


def _open_measures(
    arrays: tuple[bits.Rows, Float32[Array, "2 masks"]], *, width: int
) -> _OpenMeasures:
    """Of masks and their spacing."""
    rows, spacing = arrays
    pixels = bits.number_pixels(rows)
    deepest = distance.largest_depth(bits.grid(rows, width + 2), spacing)
    row_sum, column_sum = polar.coordinate_sums(rows)
    return _OpenMeasures(
        wall_max_mm=2 * deepest - jnp.sqrt(spacing[0] * spacing[1]),
        gap_deg=polar.longest_gap_deg(pixels, row_sum, column_sum, spacing),
        hollow=~_pixel_at(
            rows, _nearest(row_sum, pixels.count), _nearest(column_sum, pixels.count)
        ),
    )


def _nearest(total: Int32[Array, "masks"], count: Int32[Array, "masks"]) -> Int32[Array, "masks"]:
    """Integer nearest to total / count, the smaller on a tie; 0 if nothing is counted."""
    return -((count - 2 * total) // jnp.maximum(2 * count, 1))


def _pixel_at(
    rows: bits.Rows, row: Int32[Array, "masks"], column: Int32[Array, "masks"]
) -> Bool[Array, "masks"]:
    """The value of one pixel of each mask."""
    word = rows[row, column // bits.LANES, jnp.arange(rows.shape[-1])]
    return (word >> (column % bits.LANES).astype(jnp.uint32)) & 1 == 1


_MEASURE = {counts: _batched(counts) for counts in (_exact, _of_plausible)}
