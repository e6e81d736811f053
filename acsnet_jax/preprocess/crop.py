"""Crop or pad the image plane to a square around a centre, and put results back.

Centres are (row, column) in pixels of the larger array; the window's pixel ``size // 2`` lies on
the centre. Host side, numpy.
"""

import numpy as np
from jaxtyping import Bool, Shaped

Centre = tuple[int, int]


def crop_or_pad(
    stack: Shaped[np.ndarray, "*batch height width"], size: int, *, centre: Centre | None = None
) -> Shaped[np.ndarray, "*batch size size"]:
    """A `size` x `size` window; zeros where it reaches beyond the array (paper, Stage 1)."""
    window = np.zeros((*stack.shape[:-2], size, size), stack.dtype)
    source, target = _overlap(stack.shape[-2:], size, centre)
    window[(..., *target)] = stack[(..., *source)]
    return window


def uncrop(
    window: Shaped[np.ndarray, "*batch size size"],
    shape: tuple[int, int],
    *,
    centre: Centre | None = None,
) -> Shaped[np.ndarray, "*batch height width"]:
    """Put a window back where `crop_or_pad` took it; zeros elsewhere."""
    stack = np.zeros((*window.shape[:-2], *shape), window.dtype)
    source, target = _overlap(shape, window.shape[-1], centre)
    stack[(..., *source)] = window[(..., *target)]
    return stack


def inside(
    shape: tuple[int, int], size: int, *, centre: Centre | None = None
) -> Bool[np.ndarray, "size size"]:
    """Which pixels of the window come from the array rather than from padding."""
    return crop_or_pad(np.ones(shape, bool), size, centre=centre)


def _overlap(shape: tuple[int, ...], size: int, centre: Centre | None):
    """Slices of the array and of the window that hold the same pixels."""
    if centre is None:
        centre = (shape[0] // 2, shape[1] // 2)
    source, target = [], []
    for length, middle in zip(shape, centre, strict=True):
        start = middle - size // 2
        low, high = max(start, 0), max(min(start + size, length), 0)
        source.append(slice(low, max(high, low)))
        target.append(slice(low - start, max(high, low) - start))
    return tuple(source), tuple(target)
