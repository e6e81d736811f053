"""Random masks of many kinds, for comparisons with the oracle."""

import numpy as np
from scipy import ndimage


def polar_grid(shape, centre):
    row, column = np.indices(shape, dtype=np.float64)
    y, x = row - centre[0], column - centre[1]
    return np.hypot(y, x), np.arctan2(y, x)


def wave(rng: np.random.Generator, angle, strength):
    """A smooth periodic perturbation."""
    total = np.zeros_like(angle)
    for k in range(1, 6):
        total += rng.normal() / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    return strength * total


def ring(rng: np.random.Generator, shape, *, strength=None, centre=None):
    size = min(shape)
    strength = rng.uniform(0, 3) if strength is None else strength
    if centre is None:
        centre = [s / 2 + rng.uniform(-s / 8, s / 8) for s in shape]
    radius, angle = polar_grid(shape, centre)
    outer = rng.uniform(0.15, 0.35) * size
    inner = outer * rng.uniform(0.3, 0.85)
    return (radius <= outer + wave(rng, angle, strength)) & (
        radius >= inner + wave(rng, angle, strength)
    )


def open_ring(rng: np.random.Generator, shape):
    centre = [s / 2 + rng.uniform(-3, 3) for s in shape]
    _, angle = polar_grid(shape, centre)
    away = np.abs((angle - rng.uniform(-np.pi, np.pi) + np.pi) % (2 * np.pi) - np.pi)
    mask = ring(rng, shape, centre=centre, strength=rng.uniform(0, 1))
    return mask & (away > np.radians(rng.uniform(2, 80)))


def symmetric_arc(rng: np.random.Generator, shape):
    """Symmetric about an axis, so that pixels lie exactly on edges between angular bins."""
    mask = open_ring(rng, (shape[0], shape[0]))
    mask = mask | mask[::-1] if rng.random() < 0.5 else mask & mask[::-1]
    if rng.random() < 0.3:
        mask = mask | mask.T
    out = np.zeros(shape, bool)
    width = min(shape)
    out[:, :width] = mask[:, :width]
    return out


def disc(rng: np.random.Generator, shape):
    centre = [rng.uniform(0, s) for s in shape]
    return polar_grid(shape, centre)[0] <= rng.uniform(0, 0.4) * min(shape)


def with_islands(rng: np.random.Generator, shape):
    mask = ring(rng, shape)
    for _ in range(rng.integers(1, 6)):
        mask = mask | disc(rng, shape) & (rng.random(shape) < rng.choice([0.3, 1.0]))
    return mask


def with_specks(rng: np.random.Generator, shape):
    return ring(rng, shape) ^ (rng.random(shape) < 10 ** rng.uniform(-4, -1.5))


def with_holes(rng: np.random.Generator, shape):
    mask = ring(rng, shape)
    for _ in range(rng.integers(1, 6)):
        row, column = (rng.integers(0, s) for s in shape)
        size = rng.integers(1, 6)
        mask[row : row + size, column : column + size] = False
    return mask


def noise(rng: np.random.Generator, shape):
    return rng.random(shape) < rng.uniform(0.02, 0.98)


def blobs(rng: np.random.Generator, shape):
    field = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(1, 6))
    return field > np.quantile(field, rng.uniform(0.1, 0.9))


def spiral(rng: np.random.Generator, shape):
    radius, angle = polar_grid(shape, [s / 2 for s in shape])
    pitch = rng.uniform(3, 12)
    mask = (radius / pitch - rng.choice([-1, 1]) * angle / (2 * np.pi)) % 1 < rng.uniform(0.3, 0.8)
    return mask & (radius < rng.uniform(0.2, 0.6) * min(shape))


def square_spiral(rng: np.random.Generator, shape):
    """The longest way in: one pixel wide, one pixel apart."""
    mask = np.zeros(shape, bool)
    top, left, bottom, right = 0, 0, shape[0] - 1, shape[1] - 1
    while bottom - top > 3 and right - left > 3:
        mask[top, left : right + 1] = True
        mask[top : bottom + 1, right] = True
        mask[bottom, left : right + 1] = True
        mask[top + 2 : bottom + 1, left] = True
        mask[top + 2, left : left + 2] = True
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
        if rng.random() < 0.02:
            break
    return mask if rng.random() < 0.5 else ~mask


def touching_border(rng: np.random.Generator, shape):
    centre = [rng.choice([0, s - 1]) + rng.uniform(-8, 8) for s in shape]
    return ring(rng, shape, centre=centre)


def lines(rng: np.random.Generator, shape):
    mask = np.zeros(shape, bool)
    for _ in range(rng.integers(1, 8)):
        start, stop = (rng.uniform(0, [s - 1 for s in shape]) for _ in range(2))
        for t in np.linspace(0, 1, 300):
            mask[tuple(np.rint(start + t * (stop - start)).astype(int))] = True
    return mask


def nested(rng: np.random.Generator, shape):
    radius, _ = polar_grid(shape, [s / 2 + rng.uniform(-2, 2) for s in shape])
    mask = (radius / rng.uniform(2, 10)) % 1 < rng.uniform(0.3, 0.8)
    return mask & (radius < rng.uniform(0.2, 0.5) * min(shape))


def rectangles(rng: np.random.Generator, shape):
    mask = np.zeros(shape, bool)
    for _ in range(rng.integers(1, 6)):
        row, column = (rng.integers(0, s) for s in shape)
        height, width = rng.integers(1, 50, 2)
        mask[row : row + height, column : column + width] ^= True
    return mask


def tied_holes(rng: np.random.Generator, shape):
    """Equal holes."""
    mask = np.zeros(shape, bool)
    mask[5:55, 5:55] = True
    size = rng.integers(1, 6)
    for row, column in rng.permutation([(10, 30), (30, 10), (30, 30), (10, 10)])[
        : rng.integers(1, 5)
    ]:
        mask[row : row + size, column : column + size] = False
    return mask


def corner_case(rng: np.random.Generator, shape):
    mask = np.zeros(shape, bool)
    kind = rng.integers(0, 5)
    if kind == 1:
        mask[:] = True
    elif kind == 2:
        mask[tuple(rng.integers(0, s) for s in shape)] = True
    elif kind == 3:
        mask[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    elif kind == 4:
        mask[:] = True
        mask[tuple(rng.integers(0, s) for s in shape)] = False
    return mask


KINDS = (
    ring,
    open_ring,
    symmetric_arc,
    disc,
    with_islands,
    with_specks,
    with_holes,
    noise,
    blobs,
    spiral,
    square_spiral,
    touching_border,
    lines,
    nested,
    rectangles,
    tied_holes,
    corner_case,
)


def random_masks(seed, count, shape):
    """``[count, *shape]``, all kinds in turn."""
    rng = np.random.default_rng(seed)
    return np.stack([KINDS[k % len(KINDS)](rng, shape) for k in range(count)])
