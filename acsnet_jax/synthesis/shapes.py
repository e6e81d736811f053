"""Short-axis myocardium shapes that nobody's heart had: rings of many sizes, forms and walls.

Masks are ``Bool[n, size, size]`` of square pixels, each in the middle of its picture: its centroid
lies within half a pixel of pixel ``size // 2``. Lengths are in mm. A shape is two outlines around
one centre, the epicardium a near-ellipse of low harmonics, the endocardium a wall further in; the
wall varies smoothly around, is thinned where an infarct healed or thickened by hypertrophy. There
are no papillary muscles and no trabeculae: experts leave them in the cavity. Variety is the aim,
not the frequency of each form: the shapes teach what may occur. Host side, NumPy.

References:
    Kawel-Boehm et al. 2020, Reference ranges for cardiovascular magnetic resonance, JCMR 22, and
    Petersen et al. 2017, JCMR 19: diameters and walls of the healthy. Elliott et al. 2014, ESC
    guideline on hypertrophic cardiomyopathy, European Heart Journal 35: walls of 15 mm and more, at
    30 mm extreme. Shah et al. 2013, Prevalence of regional myocardial thinning, JAMA 309: a wall of
    5.5 mm or less counts as thinned.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Float32

from acsnet_jax.types import InputError

Outline = Float32[np.ndarray, "n angles"]
"""A length in mm in each of `_ANGLES` directions."""

_ANGLES = 720
_THETA = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False, dtype=np.float32)
_CHUNK = 500  # masks that are drawn at once
_BATCH = 1000  # masks that are checked at once
_TRIALS = 3  # batches after which
_HOPELESS = 0.1  # of the shapes are too few

# The largest cavity of a heart: small systolic ones to severe dilatation, which exceeds 80 mm.
_CAVITY_MM = (11.0, 38.0)
_SMALLEST_CAVITY_MM = 3.5  # radius: two pixels; an apex below it has no cavity to be seen
_WALL_MM = (4.0, 20.0)  # mean of a slice
_TYPICAL_WALL_MM = 9.0
_WALL_SPREAD = 0.33  # of its logarithm
_THINNEST_MM = 3.0  # an aneurysm's wall
_LARGEST_MM = 50.0  # epicardial radius
# Standard deviation of each harmonic: of the epicardial radius; of the wall's logarithm.
_OUTLINE_WAVES = {2: 0.05, 3: 0.018, 4: 0.01, 5: 0.006}
_WALL_WAVES = {1: 0.16, 2: 0.07, 3: 0.04, 4: 0.025}
_HAND_WAVES_MM = {5: 0.22, 6: 0.2, 7: 0.16, 8: 0.14, 9: 0.1}  # of a hand that draws either outline
_ROUNDNESS = 0.3  # of its radius, that the cavity's outline may leave its circle by


@dataclasses.dataclass(frozen=True)
class ShapeOptions:
    """Which shapes are drawn.

    Attributes:
        apical: share of the slices near the apex, where the cavity closes.
        thinned: share of the walls with a thinned sector, as infarcts leave behind.
        thickened: share of the walls with a thickened sector.
        open: share of the slices that are open, as at the outflow tract. An autoencoder that is
            trained with damage closes what is open.
    """

    apical: float = 0.3
    thinned: float = 0.35
    thickened: float = 0.2
    open: float = 0.0


def draw_shapes(
    rng: np.random.Generator,
    count: int,
    *,
    size: int,
    spacing_mm: float,
    options: ShapeOptions | None = None,
) -> Bool[np.ndarray, "n size size"]:
    """Draws masks, some thousands a second. Most, but not all, are plausible: check them.

    Args:
        rng: the only source of randomness.
        count: number of masks.
        size: height and width in pixels.
        spacing_mm: distance of pixel centres.
        options: which shapes; `ShapeOptions` by default.

    Raises:
        InputError: a share lies outside [0, 1], or the picture is too small for a large heart.
    """
    options = ShapeOptions() if options is None else options
    for name, share in dataclasses.asdict(options).items():
        if not 0 <= share <= 1:
            raise InputError(f"shapes.{name} is {share}: it is a share, in [0, 1]")
    if size * spacing_mm < 2.5 * _LARGEST_MM:
        raise InputError(
            f"{size} pixels of {spacing_mm} mm are too few for a large heart: ask for "
            f"{np.ceil(2.5 * _LARGEST_MM / spacing_mm):.0f} pixels"
        )
    masks = np.zeros((count, size, size), bool)
    for start in range(0, count, _CHUNK):
        part = masks[start : start + _CHUNK]
        outer, inner = _outlines(rng, len(part), options)
        part[:] = _rasterised(rng, outer, inner, size, spacing_mm)
    return masks


def draw_plausible(
    rng: np.random.Generator,
    count: int,
    is_valid: Callable,
    *,
    size: int,
    spacing_mm: float,
    options: ShapeOptions | None = None,
) -> Bool[np.ndarray, "n size size"]:
    """Draws masks until enough of them are plausible, and keeps those.

    Args:
        rng: the only source of randomness.
        count: number of plausible masks.
        is_valid: masks to ``Bool[n]``, called on 1000 at once.
        size: see `draw_shapes`.
        spacing_mm: see `draw_shapes`.
        options: see `draw_shapes`.

    Raises:
        InputError: hardly any mask is plausible; see also `draw_shapes`.
    """
    kept: list[np.ndarray] = []
    while (found := sum(map(len, kept))) < count:
        if len(kept) >= _TRIALS and found < _HOPELESS * len(kept) * _BATCH:
            raise InputError(
                f"only {found} of {len(kept) * _BATCH} shapes are plausible: loosen the thresholds"
            )
        masks = draw_shapes(rng, _BATCH, size=size, spacing_mm=spacing_mm, options=options)
        kept.append(masks[np.asarray(is_valid(masks))])
    return np.concatenate(kept)[:count] if kept else np.zeros((0, size, size), bool)


def _outlines(
    rng: np.random.Generator, count: int, options: ShapeOptions
) -> tuple[Outline, Outline]:
    """Epicardial and endocardial radii around a centre; equal where the ring is open."""
    cavity = rng.uniform(*_CAVITY_MM, (count, 1))
    # A cavity is about an ellipsoid: where it is cut above its apex sets its radius.
    height = np.where(_some(rng, count, options.apical), rng.uniform(0.0, 0.5, (count, 1)), 1.0)
    height = np.where(height == 1, rng.uniform(0.5, 1.0, (count, 1)), height)
    cavity = np.maximum(cavity * np.sqrt(height * (2 - height)), _SMALLEST_CAVITY_MM)
    wall = _TYPICAL_WALL_MM * np.exp(_WALL_SPREAD * rng.normal(size=(count, 1)))
    wall = np.minimum(np.clip(wall, *_WALL_MM), _LARGEST_MM - cavity)

    around = _waves(rng, count, _WALL_WAVES)
    thinning = _sector(rng, count, (25.0, 90.0)) * rng.uniform(0.25, 1.2, (count, 1))
    thickening = _sector(rng, count, (40.0, 110.0)) * rng.uniform(0.15, 0.7, (count, 1))
    around -= thinning * _some(rng, count, options.thinned)
    around += thickening * _some(rng, count, options.thickened)
    walls = _at_least(wall * np.exp(around), _THINNEST_MM)

    outer = (cavity + wall) * (1 + _waves(rng, count, _OUTLINE_WAVES))
    inner = outer - walls
    bulge = (inner - cavity) / (_ROUNDNESS * cavity)
    inner = cavity * (1 + _ROUNDNESS * np.tanh(bulge))  # small cavities are round
    inner = np.minimum(inner, outer - _THINNEST_MM)
    outer = outer + _waves(rng, count, _HAND_WAVES_MM)
    inner = inner + _waves(rng, count, _HAND_WAVES_MM) * np.minimum(1, cavity / 15.0)
    gap = _sector(rng, count, (8.0, 45.0), rim=0.0) * _some(rng, count, options.open)
    return outer.astype(np.float32), np.where(gap > 0, outer, inner).astype(np.float32)


def _some(rng: np.random.Generator, count: int, share: float) -> Bool[np.ndarray, "n 1"]:
    return rng.random((count, 1)) < share


def _waves(
    rng: np.random.Generator, count: int, deviations: dict[int, float]
) -> Float[np.ndarray, "n angles"]:
    """A sum of harmonics of random amplitude and phase."""
    orders = np.array(list(deviations))
    phases = orders[:, None] * _THETA
    scale = np.array(list(deviations.values()))
    cosines, sines = rng.normal(size=(2, count, len(orders))) * scale
    return cosines @ np.cos(phases) + sines @ np.sin(phases)


def _sector(
    rng: np.random.Generator, count: int, half_width_deg: tuple[float, float], *, rim: float = 1.0
) -> Float[np.ndarray, "n angles"]:
    """1 in the middle of a sector of random place and width, 0 beyond it.

    Args:
        rng: chooses it.
        count: number of sectors.
        half_width_deg: the least and the greatest.
        rim: share of the half width over which it falls to 0.
    """
    middle = rng.uniform(0, 2 * np.pi, (count, 1))
    half_width = np.deg2rad(rng.uniform(*half_width_deg, (count, 1)))
    away = np.abs((_THETA - middle + np.pi) % (2 * np.pi) - np.pi) / half_width
    ramp = np.clip((1 - away) / rim, 0, 1) if rim else (away < 1).astype(float)
    return ramp * ramp * (3 - 2 * ramp)


def _at_least(values: Float[np.ndarray, "n angles"], least: float) -> Float[np.ndarray, "n angles"]:
    """A smooth maximum of values and a bound, above both."""
    return (values + least + np.hypot(values - least, 1.0)) / 2


def _rasterised(
    rng: np.random.Generator, outer: Outline, inner: Outline, size: int, spacing_mm: float
) -> Bool[np.ndarray, "n size size"]:
    """Pixels between two outlines, the centroid of each mask in the middle of its picture."""
    row, column = _centroids(outer, inner) / spacing_mm
    jitter = rng.uniform(-0.5, 0.5, (2, len(outer)))
    pixels = np.arange(size, dtype=np.float32) - size // 2
    y = ((pixels + (row + jitter[0])[:, None]) * spacing_mm).astype(np.float32)[:, :, None]
    x = ((pixels + (column + jitter[1])[:, None]) * spacing_mm).astype(np.float32)[:, None, :]
    direction = np.rint(np.arctan2(y, x) * (_ANGLES / (2 * np.pi))).astype(np.int32) % _ANGLES
    direction = direction.reshape(len(outer), -1)
    radius = np.hypot(y, x).reshape(direction.shape)
    inside = radius <= np.take_along_axis(outer, direction, axis=1)
    hollow = radius <= np.take_along_axis(inner, direction, axis=1)
    return (inside & ~hollow).reshape(-1, size, size)


def _centroids(outer: Outline, inner: Outline) -> Float[np.ndarray, "2 n"]:
    """(y, x) of the wall's centroid in mm, from the outlines' centre, by integrals in polars."""
    area = ((outer**2 - inner**2) / 2).sum(axis=1)
    moment = (outer**3 - inner**3) / 3
    return np.stack([moment @ np.sin(_THETA), moment @ np.cos(_THETA)]) / area
