"""The angular gap of a set of pixels around its centroid.

Where float32 angles do not tell in which of 72 bins a pixel falls, the sign of a cross product with
the nearest bin edge does. Offsets from the centroid are scaled by the pixel count, so that they are
integers, and all products are exact: a pixel that lies on an edge, as pixels of symmetric masks do,
falls to the bin above it, and no pixel close to an edge is misplaced by rounding.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float32, Float64, Int32, UInt32

from acsnet_jax.ops.bits import LANES, Pixels, Rows, locate

BINS = 72
BIN_DEG = 360 // BINS
_BLOCK = 128
_WORDS = 3
_BINS_PER_WORD = BINS // _WORDS
_UNSURE = 1e-3  # bins; float32 angles err by less than a tenth of it
_HIGH_BITS = 0xFFFFF000  # of a float32: sign, exponent and the upper 12 of 24 significant bits

Words = UInt32[Array, "3 masks"]
"""One bit a bin, 24 bins a word."""


def coordinate_sums(rows: Rows) -> tuple[Int32[Array, " masks"], Int32[Array, " masks"]]:
    """Sums of the grid rows and of the grid columns of all pixels of each mask."""
    height, words, _ = rows.shape
    per_word = lax.population_count(rows).astype(jnp.int32)
    row_index = jnp.arange(height, dtype=jnp.int32)[:, None]
    row_sum = jnp.sum(row_index * jnp.sum(per_word, axis=1), axis=0)
    word_index = LANES * jnp.arange(words, dtype=jnp.int32)[:, None]
    column_sum = jnp.sum(word_index * jnp.sum(per_word, axis=0), axis=0)
    for bit in range(5):
        # bit positions with this binary digit set
        digit = sum(1 << k for k in range(LANES) if k >> bit & 1)
        ones = lax.population_count(rows & jnp.uint32(digit)).astype(jnp.int32)
        column_sum = column_sum + (jnp.sum(ones, axis=(0, 1)) << bit)
    return row_sum, column_sum


def longest_gap_deg(
    pixels: Pixels,
    row_sum: Int32[Array, " masks"],
    column_sum: Int32[Array, " masks"],
    spacing_mm: Float32[Array, "2 masks"],
) -> Float32[Array, " masks"]:
    """5 degrees times the longest circular run of empty bins seen from the centroid.

    A float32 angle settles the bin of all but the pixels next to an edge, and these matter only
    where a bin on one side of that edge is empty without them. Masks with such pixels are gone
    through once more, exactly.

    Args:
        pixels: all pixels of each mask.
        row_sum: from `coordinate_sums`; must stay below 2^30.
        column_sum: likewise.
        spacing_mm: pixel size of each mask.

    Returns:
        A multiple of 5 in [0, 355]; 360 for an empty mask.
    """
    sums = (row_sum, column_sum)
    seen, near = _occupied(pixels, sums, spacing_mm, _bin_and_edge)
    bins = _as_bins(seen)
    unsettled = jnp.any(_as_bins(near) & ~(bins & jnp.roll(bins, 1, axis=0)), axis=0)
    rest = pixels._replace(count=jnp.where(unsettled, pixels.count, 0))
    exact, _ = _occupied(rest, sums, spacing_mm, _exact_bin)
    return _longest_run_deg(_as_bins(seen | exact))


def _occupied(
    pixels: Pixels,
    sums: tuple[Int32[Array, " masks"], Int32[Array, " masks"]],
    spacing_mm: Float32[Array, "2 masks"],
    place: Callable,
) -> tuple[Words, Words]:
    """Which bins hold a pixel, and which edges have one near, as bits ``[words, masks]``."""
    masks = pixels.count.shape[0]
    row_sum, column_sum = sums
    most = jnp.max(pixels.count)

    def block(state):
        first, seen, near = state
        row, column, exists = locate(pixels, first, _BLOCK)
        number = pixels.count[None, :]
        rows, columns = number * row - row_sum[None, :], number * column - column_sum[None, :]
        bins, sure, edges = place(rows, columns, spacing_mm)
        seen = seen | _marks(bins, exists & sure)
        return first + _BLOCK, seen, near | _marks(edges, exists & ~sure)

    none = jnp.zeros((_WORDS, masks), jnp.uint32)
    start = (jnp.int32(0), none, none)
    _, seen, near = lax.while_loop(lambda state: state[0] < most, block, start)
    return seen, near


def _marks(bins: Int32[Array, "size masks"], where: Bool[Array, "size masks"]) -> Words:
    """Bits of the bins ``[size, masks]`` that are marked, ``[words, masks]``."""
    word = bins // _BINS_PER_WORD
    mark = jnp.uint32(1) << (bins - word * _BINS_PER_WORD).astype(jnp.uint32)
    none = jnp.uint32(0)
    return jnp.stack(
        [
            lax.reduce(jnp.where(where & (word == w), mark, none), none, lax.bitwise_or, (0,))
            for w in range(_WORDS)
        ]
    )


def _as_bins(words: Words) -> Bool[Array, "bins masks"]:
    """Bits ``[words, masks]`` as flags ``[bins, masks]``."""
    shifts = jnp.arange(_BINS_PER_WORD, dtype=jnp.uint32).reshape(1, -1, 1)
    return (((words[:, None, :] >> shifts) & 1) == 1).reshape(BINS, -1)


def _longest_run_deg(bins: Bool[Array, "bins masks"]) -> Float32[Array, " masks"]:
    """5 degrees times the longest circular run of empty bins."""

    def extend(k, state):
        run, longest = state
        run = jnp.where(bins[k % BINS], 0, run + 1)
        return run, jnp.maximum(longest, run)

    none = jnp.zeros(bins.shape[1], jnp.int32)
    _, longest = lax.fori_loop(0, 2 * BINS, extend, (none, none))
    return (BIN_DEG * jnp.minimum(longest, BINS)).astype(jnp.float32)


def _bin_and_edge(
    rows: Int32[Array, "size masks"],
    columns: Int32[Array, "size masks"],
    spacing_mm: Float32[Array, "2 masks"],
) -> tuple[Int32[Array, "size masks"], Bool[Array, "size masks"], Int32[Array, "size masks"]]:
    """The bin of each offset, whether float32 can tell it, and the nearest edge."""
    y = rows.astype(jnp.float32) * spacing_mm[0:1]
    x = columns.astype(jnp.float32) * spacing_mm[1:2]
    turn = jnp.arctan2(y, x) * (BINS / (2 * math.pi))
    edge = jnp.round(turn)
    sure = jnp.abs(turn - edge) > _UNSURE
    bins = jnp.floor(turn).astype(jnp.int32)
    edge = edge.astype(jnp.int32)
    return (
        jnp.where(bins < 0, bins + BINS, bins),
        sure,
        jnp.where(edge < 0, edge + BINS, edge) % BINS,
    )


def _exact_bin(
    rows: Int32[Array, "size masks"],
    columns: Int32[Array, "size masks"],
    spacing_mm: Float32[Array, "2 masks"],
) -> tuple[Int32[Array, "size masks"], Bool[Array, "size masks"], Int32[Array, "size masks"]]:
    """As `_bin_and_edge`, sure of every bin."""
    bins = bin_of(rows, columns, spacing_mm)
    return bins, jnp.ones(bins.shape, bool), bins


def bin_of(
    rows: Int32[Array, "size masks"],
    columns: Int32[Array, "size masks"],
    spacing_mm: Float32[Array, "2 masks"],
) -> Int32[Array, "size masks"]:
    """The bin of each offset, floor(atan2(y, x) / 5 degrees) mod 72; 0 for no offset.

    Args:
        rows: offset in rows, times any positive number.
        columns: offset in columns, times the same.
        spacing_mm: pixel size of each mask.
    """
    y, x = _scaled(rows, spacing_mm[0:1]), _scaled(columns, spacing_mm[1:2])
    guess = jnp.arctan2(y[0] + y[1], x[0] + x[1]) * (180 / math.pi)
    edge = jnp.round(guess / BIN_DEG).astype(jnp.int32) % BINS
    cosine = [jnp.take(jnp.asarray(part), edge) for part in _COSINES]
    sine = [jnp.take(jnp.asarray(part), edge) for part in _SINES]
    high = low = jnp.zeros_like(guess)
    for i, j in sorted(_PRODUCTS, key=sum, reverse=True):
        high, error = _two_sum(high, y[i] * cosine[j])
        low = low + error
        high, error = _two_sum(high, -(x[i] * sine[j]))
        low = low + error
    return jnp.where(high + low >= 0, edge, (edge + BINS - 1) % BINS)


def _scaled(
    offset: Int32[Array, "size masks"], spacing_mm: Float32[Array, "1 masks"]
) -> tuple[Float32[Array, "size masks"], ...]:
    """Integer offset times spacing as four float32 of at most 12 significant bits each.

    Products of two such parts are exact in float32, whether or not the compiler fuses them with an
    addition.
    """
    high = low = jnp.zeros_like(spacing_mm * offset.astype(jnp.float32))
    coarse, fine = _halves(spacing_mm)
    for shift in (0, 12, 24):
        digit = offset >> shift if shift == 24 else (offset >> shift) & 0xFFF
        digit = digit.astype(jnp.float32) * float(1 << shift)
        for part in (fine, coarse):
            high, error = _two_sum(high, digit * part)
            low = low + error
    high, low = _two_sum(high, low)
    return (*_halves(high), *_halves(low))


def _halves(x: Float32[Array, "..."]) -> tuple[Float32[Array, "..."], Float32[Array, "..."]]:
    """The upper 12 significant bits, and the rest."""
    bits = lax.bitcast_convert_type(x, jnp.uint32) & jnp.uint32(_HIGH_BITS)
    high = lax.bitcast_convert_type(bits, jnp.float32)
    return high, x - high


def _two_sum(
    a: Float32[Array, "..."], b: Float32[Array, "..."]
) -> tuple[Float32[Array, "..."], Float32[Array, "..."]]:
    """Rounded sum and its exact error (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _parts(values: Float64[np.ndarray, "bins"]) -> list[Float32[np.ndarray, "bins"]]:
    """Float64 values as four float32 arrays of at most 12 significant bits."""
    parts = []
    for _ in range(4):
        high = (values.astype(np.float32).view(np.uint32) & np.uint32(_HIGH_BITS)).view(np.float32)
        parts.append(high)
        values = values - high
    return parts


def _circle() -> Float64[np.ndarray, "bins"]:
    """Cosines of the bin edges, exactly symmetric under reflection."""
    eighth = [math.cos(math.radians(BIN_DEG * k)) for k in range(BINS // 8 + 1)]
    quarter = eighth + [math.sin(math.radians(BIN_DEG * k)) for k in range(BINS // 8 - 1, -1, -1)]
    half = quarter + [-value for value in quarter[-2::-1]]
    return np.array(half + half[-2:0:-1])


_COSINES = _parts(_circle())
_SINES = _parts(np.roll(_circle(), BINS // 4))
_PRODUCTS = [(i, j) for i in range(4) for j in range(4) if i + j <= 3]
