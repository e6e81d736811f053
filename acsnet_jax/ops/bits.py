"""Bit-packed masks in two layouts, and how to reach single pixels in them.

Every mask stands on a padded grid: one background pixel on each side, so that the outside of the
array is a real background pixel of the grid. Pixel (row, column) of the mask is (row + 1,
column + 1) of the grid. The batch is always the last axis, padded with empty masks to a multiple of
32, because element-wise code then runs over it without shuffles.

- *rows*: ``UInt32[grid rows, words, masks]``, 32 neighbouring pixels of one row a word, least
  significant bit first. Local work and counting: a shift reaches the neighbours of 32 pixels.
- *lanes*: ``UInt32[grid rows, grid columns, masks / 32]``, one pixel of 32 masks a word. Scans
  along rows and columns: one operation advances 32 masks. Mask ``l * masks / 32 + j`` is bit ``l``
  of word ``j``.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32, UInt32

LANES = 32
"""Bits of a word."""

Rows = UInt32[Array, "grid_rows words masks"]
Lanes = UInt32[Array, "grid_rows grid_columns lane_words"]

_BUTTERFLY = ((16, 0x0000FFFF), (8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555))


def pack_rows(mask: Bool[Array, "n height width"]) -> Rows:
    """Packs masks on their padded grid, 32 pixels of a row a word, batch last.

    Args:
        mask: any number of masks.

    Returns:
        ``[height + 2, ceil((width + 2) / 32), n rounded up to 32]``.
    """
    count, _, width = mask.shape
    words = -(-(width + 2) // LANES)
    padded = jnp.pad(mask, ((0, -count % LANES), (1, 1), (1, LANES * words - width - 1)))
    # [n, rows, words, 8 nibbles, 4 pixels]: the multiplication gathers four bytes into four bits
    four = padded.reshape(*padded.shape[:2], words, 8, 4).astype(jnp.uint8)
    nibbles = (lax.bitcast_convert_type(four, jnp.uint32) * jnp.uint32(0x01020408)) >> 24
    shifts = jnp.arange(0, LANES, 4, dtype=jnp.uint32).reshape(1, 1, 1, 8)
    packed = jnp.sum((nibbles & 15) << shifts, axis=-1, dtype=jnp.uint32)
    return jnp.moveaxis(packed, 0, -1)


def unpack_rows(
    rows: Rows, count: int, height: int, width: int
) -> Bool[Array, "{count} {height} {width}"]:
    """Inverse of `pack_rows`; drops the padding of grid and batch."""
    bits = jnp.moveaxis(rows, -1, 0)[:count, 1 : height + 1, :, None]
    shifts = jnp.arange(LANES, dtype=jnp.uint32).reshape(1, 1, 1, LANES)
    pixels = ((bits >> shifts) & 1) == 1
    return pixels.reshape(count, height, -1)[:, :, 1 : width + 1]


def grid(rows: Rows, columns: int) -> Bool[Array, "grid_rows {columns} masks"]:
    """Unpacks the padded grid, batch last.

    Args:
        rows: packed masks.
        columns: number of grid columns, the mask's width + 2.
    """
    shifts = jnp.arange(LANES, dtype=jnp.uint32).reshape(1, 1, LANES, 1)
    pixels = ((rows[:, :, None, :] >> shifts) & 1) == 1
    return pixels.reshape(rows.shape[0], -1, rows.shape[-1])[:, :columns]


def pack_grid(pixels: Bool[Array, "grid_rows grid_columns masks"]) -> Rows:
    """Inverse of `grid`."""
    height, columns, masks = pixels.shape
    words = -(-columns // LANES)
    padded = jnp.pad(pixels, ((0, 0), (0, words * LANES - columns), (0, 0))).astype(jnp.uint32)
    shifts = jnp.arange(LANES, dtype=jnp.uint32).reshape(1, 1, LANES, 1)
    split = padded.reshape(height, words, LANES, masks) << shifts
    return jnp.sum(split, axis=2, dtype=jnp.uint32)


def lanes_from_rows(rows: Rows, columns: int) -> Lanes:
    """Turns 32 pixels a word into 32 masks a word.

    Args:
        rows: packed masks.
        columns: number of grid columns to keep, the mask's width + 2.
    """
    height, words, masks = rows.shape
    blocks = _transpose_bits(rows.reshape(height, words, LANES, masks // LANES))
    return blocks.reshape(height, words * LANES, masks // LANES)[:, :columns]


def rows_from_lanes(lanes: Lanes) -> Rows:
    """Inverse of `lanes_from_rows`; columns past the grid are background."""
    height, columns, lane_words = lanes.shape
    words = -(-columns // LANES)
    padded = jnp.pad(lanes, ((0, 0), (0, words * LANES - columns), (0, 0)))
    blocks = _transpose_bits(padded.reshape(height, words, LANES, lane_words))
    return blocks.reshape(height, words, LANES * lane_words)


def _transpose_bits(blocks):
    """Transposes the 32 x 32 bit matrices ``[..., 32, n]``: bit b of word l to bit l of word b."""
    shape = blocks.shape
    for shift, low in _BUTTERFLY:
        split = blocks.reshape(*shape[:-2], LANES // (2 * shift), 2, shift, shape[-1])
        first, second = split[..., 0, :, :], split[..., 1, :, :]
        swap = ((first >> shift) ^ second) & jnp.uint32(low)
        blocks = jnp.stack([first ^ (swap << shift), second ^ swap], axis=-3)
    return blocks.reshape(shape)


def any_lane(lanes: Lanes) -> Bool[Array, " masks"]:
    """Which masks have any pixel."""
    words = lax.reduce(lanes, jnp.uint32(0), lax.bitwise_or, (0, 1))
    shifts = jnp.arange(LANES, dtype=jnp.uint32)
    return (((words[None, :] >> shifts[:, None]) & 1) == 1).reshape(-1)


def count(rows: Rows) -> Int32[Array, " masks"]:
    """Number of pixels of each mask."""
    return jnp.sum(lax.population_count(rows).astype(jnp.int32), axis=(0, 1))


class Pixels(NamedTuple):
    """The set pixels of masks, numbered in raster order from 0.

    Attributes:
        words: ``[grid rows * words, masks]``.
        ends: number of pixels up to and with each word.
        count: number of pixels of each mask.
        words_per_row: static.
    """

    words: UInt32[Array, "length masks"]
    ends: Int32[Array, "length masks"]
    count: Int32[Array, " masks"]  # pyright: ignore[reportIncompatibleMethodOverride]
    words_per_row: int


def number_pixels(rows: Rows) -> Pixels:
    """Numbers the set pixels, so that `locate` finds the k-th of each mask."""
    height, per_row, masks = rows.shape
    words = rows.reshape(height * per_row, masks)
    ends = _running_sum(_ones(words))
    return Pixels(words, ends, ends[-1], per_row)


def locate(
    pixels: Pixels, first: Int32[Array, ""], size: int
) -> tuple[Int32[Array, "{size} masks"], Int32[Array, "{size} masks"], Bool[Array, "{size} masks"]]:
    """Grid coordinates of pixels ``first`` to ``first + size - 1`` of each mask.

    Args:
        pixels: from `number_pixels`.
        first: number of the first pixel wanted.
        size: how many.

    Returns:
        Grid row, grid column, and whether the mask has so many pixels; coordinates of pixels that
        do not exist are meaningless.
    """
    length, masks = pixels.words.shape
    rank = jnp.broadcast_to((first + jnp.arange(size, dtype=jnp.int32))[:, None], (size, masks))
    widest = 1 << (length.bit_length() - 1)

    def halve(k, word):
        step = widest >> k
        last = jnp.minimum(word + (step - 1), length - 1)
        passed = jnp.take_along_axis(pixels.ends, last, axis=0) <= rank
        return jnp.where(passed & (word + step <= length), word + step, word)

    word = lax.fori_loop(0, length.bit_length(), halve, jnp.zeros_like(rank))
    word = jnp.minimum(word, length - 1)
    value = jnp.take_along_axis(pixels.words, word, axis=0)
    before = jnp.take_along_axis(pixels.ends, word, axis=0) - _ones(value)
    bit = _select(value, rank - before)
    row = word // pixels.words_per_row
    column = LANES * (word - row * pixels.words_per_row) + bit
    return row, column, rank < pixels.count[None, :]


def _running_sum(counts):
    """Cumulative sum along axis 0; on a CPU a plain loop, several times faster than XLA's own."""

    def loop(counts):
        def step(total, here):
            total = total + here
            return total, total

        return lax.scan(step, jnp.zeros_like(counts[0]), counts)[1]

    def whole(counts):
        return jnp.cumsum(counts, axis=0)

    return lax.platform_dependent(counts, cpu=loop, default=whole)


def _ones(words):
    return lax.population_count(words).astype(jnp.int32)


def _select(word, rank):
    """Position of the set bit number ``rank`` of each word, by halving."""

    def halve(k, state):
        position, rank = state
        step = 16 >> k
        below = (jnp.uint32(1) << step.astype(jnp.uint32)) - 1
        low = _ones((word >> position.astype(jnp.uint32)) & below)
        up = rank >= low
        return jnp.where(up, position + step, position), jnp.where(up, rank - low, rank)

    return lax.fori_loop(0, 5, halve, (jnp.zeros_like(rank), rank))[0]
