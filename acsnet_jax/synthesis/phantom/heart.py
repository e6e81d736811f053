"""Shape of one synthetic heart: signed distances of its parts at any point of a short-axis stack.

Points are (x, y, z) in mm: x to the right of the image, y down, z from apex to base, 0 at the
epicardial apex. Distances are in mm and negative inside. Angles are in degrees, from x towards y;
the septal angle is 0 in the middle of the septum and grows towards the anterior wall.

References:
    Wall 6-13 mm, LV diameter and length: Petersen et al. 2017, Reference ranges for cardiac
    structure and function using CMR, JCMR 19.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from acsnet_jax.synthesis.infarct import Scar, sample_scar

Field = Float[np.ndarray, "..."]

_WIDEST = 0.8  # level at which the LV is widest
_NOWHERE = 1e3  # distance in mm to what does not exist
_INSERTION_STEP_DEG = 0.5
_THINNEST_MM = 3.0  # a wall thinner than a pixel would fall apart in the labels
_SURROUNDINGS_MM = 26.0  # fat, drift of the axis, great vessels


@dataclasses.dataclass(frozen=True)
class Heart:
    """One patient's heart.

    Attributes:
        length_mm: from the epicardial apex to the last plane whose myocardium is closed.
        outflow_mm: thickness of the outflow tract above it, where the myocardium is open.
        radius_mm: greatest epicardial radius.
        wall_mm: mean wall thickness at the middle level.
        wall_waves: (amplitude, phase) of the first and second harmonic of the wall around.
        outline_waves: (amplitude, phase) of harmonics 2, 3 and 4 of the epicardial outline.
        septum_deg: direction of the middle of the septum, seen from the LV's centre.
        tilt: shift (x, y) of the LV's centre for each mm along z.
        bend_mm: shift (x, y) of the apex off the straight axis.
        rv_width_mm: how far the RV reaches beyond the LV.
        rv_span: half length of the RV along the septum, over the LV's radius.
        rv_wall_mm: thickness of the RV's free wall.
        papillary_deg: septal angles of the two papillary muscles.
        papillary_mm: their greatest radii.
        gap_deg: septal angle of the middle of the gap towards the aorta.
        gap_width_deg: width of the gap at the bottom and at the top of the outflow tract.
        root_mm: radius of the aortic root.
        scars: infarcts; empty in a patient without.
        no_reflow: whether the scars hold a dark core.
    """

    length_mm: float
    outflow_mm: float
    radius_mm: float
    wall_mm: float
    wall_waves: tuple[tuple[float, float], ...]
    outline_waves: tuple[tuple[float, float], ...]
    septum_deg: float
    tilt: tuple[float, float]
    bend_mm: tuple[float, float]
    rv_width_mm: float
    rv_span: float
    rv_wall_mm: float
    papillary_deg: tuple[float, float]
    papillary_mm: tuple[float, float]
    gap_deg: float
    gap_width_deg: tuple[float, float]
    root_mm: float
    scars: tuple[Scar, ...]
    no_reflow: bool

    @property
    def insertions_deg(self) -> tuple[float, float]:
        """Anterior and inferior insertion of the RV, as angles in the image, at the middle level.

        Where the RV's outline leaves the LV's epicardium, found on a grid of half a degree.
        """
        turns = np.arange(0, 180, _INSERTION_STEP_DEG)
        found = []
        for side in (1, -1):
            angle_deg = self.septum_deg + side * turns
            radius = self.epicardium(np.deg2rad(angle_deg), np.array([0.5]))
            x = radius * np.cos(np.deg2rad(angle_deg))
            y = radius * np.sin(np.deg2rad(angle_deg))
            beyond = self._right_ventricle(x, y, np.array([0.5]), self.rv_wall_mm) > 0
            found.append(float(angle_deg[np.argmax(beyond)] % 360))
        return found[0], found[1]

    def centre(self, z: Field) -> tuple[Field, Field]:
        """(x, y) of the LV's axis at a height z; (0, 0) half way up."""
        level = z / self.length_mm
        bend = np.square(np.clip(1 - level, 0, 1.5))
        along = z - 0.5 * self.length_mm
        x = self.tilt[0] * along + self.bend_mm[0] * (bend - 0.25)
        y = self.tilt[1] * along + self.bend_mm[1] * (bend - 0.25)
        return x, y

    def axial_radius(self, level: Field) -> Field:
        """Mean epicardial radius in mm: a truncated ellipsoid; negative below the apex."""
        away = np.square((_WIDEST - level) / _WIDEST)
        below = np.where(level <= 0, -_NOWHERE, 0)
        narrowing = np.where(level > _WIDEST, 0.3 * away, away)
        return self.radius_mm * np.sqrt(np.clip(1 - narrowing, 0, 1)) + below

    def epicardium(self, angle: Field, level: Field) -> Field:
        """Epicardial radius in mm at an image angle in radians."""
        shape = np.ones_like(angle)
        for k, (amplitude, phase) in enumerate(self.outline_waves, start=2):
            shape = shape + amplitude * np.cos(k * angle + phase)
        return self.axial_radius(level) * shape

    def wall(self, angle: Field, level: Field) -> Field:
        """Wall thickness in mm at an image angle in radians; thinner at the apex."""
        shape = np.ones_like(angle)
        for k, (amplitude, phase) in enumerate(self.wall_waves, start=1):
            shape = shape + amplitude * np.cos(k * angle + phase)
        thickness = self.wall_mm * shape * (0.65 + 0.35 * np.clip(level / 0.4, 0, 1))
        return np.maximum(thickness, _THINNEST_MM)

    def gap_width(self, z: Field) -> Field:
        """Width of the gap in degrees; negative where the myocardium is closed."""
        up = (z - self.length_mm) / self.outflow_mm
        width = self.gap_width_deg[0] + (self.gap_width_deg[1] - self.gap_width_deg[0]) * up
        return np.where(up > 0, width, -60.0)

    def _right_ventricle(self, x: Field, y: Field, level: Field, grown_mm: float) -> Field:
        """Distance to the RV's outline, an ellipse behind the LV, for points off the LV's axis."""
        away, across = turn(x, y, self.septum_deg)
        grown = np.sqrt(np.clip((level - 0.10) / 0.6, 0, 1)) * np.clip((1.35 - level) / 0.1, 0, 1)
        reach = 0.45 * self.radius_mm + self.rv_width_mm * grown
        # Blunt towards the diaphragm (inferior), pointed towards the outflow (anterior).
        span = self.rv_span * self.radius_mm * (0.35 + 0.65 * grown)
        pointed = np.where(across > 0, 1.15, 0.95)
        distance = ellipse(
            away - 0.55 * self.radius_mm, across, reach + grown_mm, span * pointed + grown_mm
        )
        return np.where(grown > 0, distance, _NOWHERE)

    def window(self, x: Field, y: Field) -> tuple[slice, slice]:
        """Rows and columns that hold the whole heart with its fat, great vessels included.

        Args:
            x: increasing, off the heart's middle; any shape with one axis longer than 1.
            y: likewise.
        """
        around = self.radius_mm + _SURROUNDINGS_MM
        cos, sin = math.cos(math.radians(self.septum_deg)), math.sin(math.radians(self.septum_deg))
        found = []
        for axis, towards in ((y.ravel(), sin), (x.ravel(), cos)):
            low = -around - self.rv_width_mm * max(0.0, -towards)
            high = around + self.rv_width_mm * max(0.0, towards)
            found.append(slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high))))
        return found[0], found[1]

    def section(self, x: Field, y: Field, z: Field) -> "Section":
        """Distances of all parts at points (x, y, z) that broadcast with each other."""
        level = z / self.length_mm
        centre_x, centre_y = self.centre(z)
        dx, dy = x - centre_x, y - centre_y
        radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
        septal_deg = (np.rad2deg(angle) - self.septum_deg + 180) % 360 - 180

        wall = self.wall(angle, level)
        outer = self.epicardium(angle, level)
        above = z > self.length_mm + self.outflow_mm
        epicardium = np.where(above, _NOWHERE, radius - outer)
        endocardium = epicardium + wall
        off_gap = np.abs((septal_deg - self.gap_deg + 180) % 360 - 180)
        gap = np.deg2rad(off_gap - 0.5 * self.gap_width(z)) * np.maximum(radius, 1.0)

        return Section(
            level=level,
            septal_deg=septal_deg,
            epicardium=epicardium,
            endocardium=endocardium,
            wall=wall,
            gap=gap,
            papillary=self._papillary(dx, dy, level),
            rv_epicardium=self._right_ventricle(dx, dy, level, self.rv_wall_mm),
            rv_blood=self._right_ventricle(dx, dy, level, 0.0),
            great_vessels=self._great_vessels(dx, dy, z),
        )

    def _papillary(self, dx: Field, dy: Field, level: Field) -> Field:
        nearest = np.full(np.broadcast_shapes(dx.shape, dy.shape), _NOWHERE, np.float32)
        height = np.clip(1 - np.square((level - 0.45) / 0.27), 0, 1)
        cavity = np.maximum(self.axial_radius(level) - self.wall_mm, 0)
        for septal_deg, radius_mm in zip(self.papillary_deg, self.papillary_mm, strict=True):
            angle = math.radians(septal_deg + self.septum_deg)
            # Attached to the wall below, free in the cavity above.
            away = cavity * np.clip(1.0 - 0.55 * level, 0.6, 1.0)
            distance = np.hypot(dx - away * math.cos(angle), dy - away * math.sin(angle))
            distance = distance - radius_mm * np.sqrt(height)
            nearest = np.minimum(nearest, np.where(height > 0, distance, _NOWHERE))
        return nearest

    def _great_vessels(self, dx: Field, dy: Field, z: Field) -> Field:
        """Aortic root beside the gap, left atrium on the other side above the outflow tract."""
        above = z - self.length_mm
        cos = math.cos(math.radians(self.gap_deg + self.septum_deg))
        sin = math.sin(math.radians(self.gap_deg + self.septum_deg))
        # The root leaves the LV through the gap and lies over its middle further up.
        away = self.radius_mm * (0.85 - 0.35 * np.clip(above / 20, 0, 1))
        root = np.hypot(dx - away * cos, dy - away * sin) - self.root_mm
        atrium = ellipse(
            *turn(
                dx + 0.35 * self.radius_mm * cos,
                dy + 0.35 * self.radius_mm * sin,
                self.gap_deg + self.septum_deg,
            ),
            0.55 * self.radius_mm,
            0.85 * self.radius_mm,
        )
        root = np.where(above > 0, root, _NOWHERE)
        return np.minimum(root, np.where(above > self.outflow_mm, atrium, _NOWHERE))


class Section(NamedTuple):
    """Signed distances in mm (negative inside) at the points of a grid.

    Attributes:
        level: 0 at the apex, 1 at the last closed plane.
        septal_deg: septal angle in [-180, 180).
        epicardium: to the LV's outer outline.
        endocardium: to the LV's cavity.
        wall: wall thickness at this angle, in mm.
        gap: to the open sector of the outflow tract.
        papillary: to the nearer papillary muscle.
        rv_epicardium: to the RV's outer outline, the LV's part included.
        rv_blood: to the RV's cavity, the LV's part included.
        great_vessels: to the blood of aortic root and left atrium.
    """

    level: Field
    septal_deg: Field
    epicardium: Field
    endocardium: Field
    wall: Field
    gap: Field
    papillary: Field
    rv_epicardium: Field
    rv_blood: Field
    great_vessels: Field

    @property
    def depth(self) -> Field:
        """Wall depth: 0 at the endocardium, 1 at the epicardium."""
        return self.endocardium / self.wall


class ScarSection(NamedTuple):
    """Signed distances in mm of the scar's parts, negative inside; only meaningful in the wall."""

    scar: Field
    no_reflow: Field


def scar_section(heart: Heart, section: Section) -> ScarSection | None:
    """Distances to the scars of a heart, or None without scars."""
    if not heart.scars:
        return None
    scar = np.full(section.wall.shape, _NOWHERE, np.float32)
    no_reflow = np.full(section.wall.shape, _NOWHERE, np.float32)
    for infarct in heart.scars:
        extent = infarct.extent(section.septal_deg, section.level)
        scar = np.minimum(scar, (section.depth - extent) * section.wall)
        if heart.no_reflow:
            # The core keeps off the cavity, the scar's outer border and its lateral ends.
            inner = np.maximum(0.12 - section.depth, section.depth - (extent - 0.3))
            middle = infarct.eccentricity(section.septal_deg, section.level) - 0.55
            no_reflow = np.minimum(no_reflow, np.maximum(inner, middle) * section.wall)
    return ScarSection(scar, no_reflow)


def turn(x: Field, y: Field, angle_deg: float) -> tuple[Field, Field]:
    """Coordinates along a direction and across it (towards greater angles)."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return cos * x + sin * y, cos * y - sin * x


def ellipse(x: Field, y: Field, half_x: Field | float, half_y: Field | float) -> Field:
    """Distance to an ellipse about the origin, exact to first order near its outline."""
    across, along = np.square(x / half_x), np.square(y / half_y)
    scaled = np.sqrt(across + along)
    slope = np.sqrt(across / np.square(half_x) + along / np.square(half_y))
    return np.maximum(scaled, 1e-6) * (scaled - 1) / np.maximum(slope, 1e-9)


def sample_heart(rng: np.random.Generator) -> Heart:
    """A random adult's heart at the end of diastole; about 70% have a scar, as in EMIDEC."""
    diseased = rng.uniform() < 0.7
    radius_mm = rng.normal(34, 3)
    wall_mm = float(np.clip(rng.normal(9, 1.5), 6.5, 13))

    def waves(*amplitudes: float) -> tuple[tuple[float, float], ...]:
        return tuple(
            (float(rng.uniform(0, a)), float(rng.uniform(0, 2 * np.pi))) for a in amplitudes
        )

    scars: tuple[Scar, ...] = ()
    if diseased:
        scars = tuple(sample_scar(rng) for _ in range(2 if rng.uniform() < 0.15 else 1))
    deep = any(scar.depth > 0.65 for scar in scars)
    gap_from = float(rng.uniform(38, 60))
    return Heart(
        length_mm=float(rng.uniform(72, 92)),
        outflow_mm=float(rng.uniform(4, 16)),
        radius_mm=float(np.clip(radius_mm, 28, 41)),
        wall_mm=wall_mm,
        wall_waves=waves(0.25, 0.12),
        outline_waves=waves(0.05, 0.025, 0.012),
        septum_deg=float(rng.uniform(170, 215)),
        tilt=(float(rng.normal(0, 0.10)), float(rng.normal(0, 0.10))),
        bend_mm=(float(rng.normal(0, 4)), float(rng.normal(0, 4))),
        rv_width_mm=float(rng.uniform(22, 38)),
        rv_span=float(rng.uniform(0.70, 0.86)),
        rv_wall_mm=float(rng.uniform(2.5, 4.0)),
        papillary_deg=(float(rng.normal(135, 10)), float(rng.normal(-130, 10))),
        papillary_mm=(float(rng.uniform(3, 5.5)), float(rng.uniform(3, 5.5))),
        gap_deg=float(rng.uniform(0, 50)),
        gap_width_deg=(gap_from, gap_from + float(rng.uniform(10, 35))),
        root_mm=float(rng.uniform(11, 15)),
        scars=scars,
        no_reflow=bool(deep and rng.uniform() < 0.4),
    )
