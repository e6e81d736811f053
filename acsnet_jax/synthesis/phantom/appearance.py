"""How a synthetic short-axis stack looks: thorax, contrast, coil bias, partial volume, noise.

Points are (x, y, z) in mm as in `acsnet_jax.synthesis.phantom.heart`, x and y off the heart's
middle. Intensities are relative until `acsnet_jax.synthesis.phantom.scan` scales them.
"""

import dataclasses

import numpy as np
import scipy.ndimage
from jaxtyping import Float

from acsnet_jax.synthesis.phantom.heart import Field, Heart, Section, ellipse, scar_section, turn
from acsnet_jax.types import Modality, Spacing

Stack = Float[np.ndarray, "slices height width"]


@dataclasses.dataclass(frozen=True)
class Contrast:
    """Relative intensity of each tissue, and of the noise."""

    air: float
    lung: float
    muscle: float
    fat: float
    liver: float
    stomach: float
    blood: float
    myocardium: float
    scar: float
    gray_zone: float
    no_reflow: float
    noise: float


@dataclasses.dataclass(frozen=True)
class Thorax:
    """What surrounds the heart.

    Attributes:
        chest_deg: direction of the nearest chest wall.
        chest_mm: its distance from the LV's axis at the base.
        chest_radius_mm: radius of its curvature.
        skin_fat_mm: thickness of the fat under the skin.
        diaphragm_deg: direction of the diaphragm.
        diaphragm_mm: its distance from the LV's axis at the base.
        dome_mm: radius of the diaphragm's curvature.
        stomach: (x, y) and half axes of the stomach, in mm.
        aorta: (x, y) and radius of the descending aorta, in mm.
        pericardial_fat_mm: greatest thickness of the fat around the heart.
        fat_deg: direction in which that fat is thickest.
        bias: linear (x, y) and quadratic coefficients of the log of the coils' sensitivity.
    """

    chest_deg: float
    chest_mm: float
    chest_radius_mm: float
    skin_fat_mm: float
    diaphragm_deg: float
    diaphragm_mm: float
    dome_mm: float
    stomach: tuple[float, float, float, float]
    aorta: tuple[float, float, float]
    pericardial_fat_mm: float
    fat_deg: float
    bias: tuple[float, float, float]


def sample_contrast(rng: np.random.Generator, modality: Modality) -> Contrast:
    """LGE: nulled wall, mid-bright blood, bright scar and fat. Cine: bright blood, no scar."""
    if modality == "cine":
        dark = float(rng.uniform(0.24, 0.36))
        return Contrast(
            air=0.0,
            lung=float(rng.uniform(0.03, 0.07)),
            muscle=dark - 0.03,
            fat=float(rng.uniform(0.7, 0.95)),
            liver=float(rng.uniform(0.25, 0.42)),
            stomach=float(rng.uniform(0.1, 0.5)),
            blood=float(rng.uniform(0.85, 1.0)),
            myocardium=dark,
            scar=dark,
            gray_zone=dark,
            no_reflow=dark,
            noise=float(rng.uniform(0.012, 0.03)),
        )
    blood = float(rng.uniform(0.52, 0.72))
    dark = blood * float(rng.uniform(0.22, 0.45))
    scar = blood * float(rng.uniform(0.95, 1.3))
    return Contrast(
        air=0.0,
        lung=float(rng.uniform(0.06, 0.12)),
        muscle=float(rng.uniform(0.30, 0.42)),
        fat=float(rng.uniform(0.75, 1.0)),
        liver=float(rng.uniform(0.38, 0.60)),
        stomach=float(rng.uniform(0.03, 0.3)),
        blood=blood,
        myocardium=dark,
        scar=scar,
        gray_zone=dark + float(rng.uniform(0.4, 0.6)) * (scar - dark),
        no_reflow=dark + 0.1 * (scar - dark),
        noise=float(rng.uniform(0.025, 0.05)),
    )


def sample_thorax(rng: np.random.Generator, heart: Heart) -> Thorax:
    """Surroundings that fit the size of the heart."""
    reach = heart.radius_mm + 0.8 * heart.rv_width_mm
    return Thorax(
        chest_deg=heart.septum_deg + float(rng.uniform(0, 45)),
        chest_mm=reach + float(rng.uniform(-8, 4)),
        chest_radius_mm=float(rng.uniform(110, 200)),
        skin_fat_mm=float(rng.uniform(8, 28)),
        diaphragm_deg=float(rng.uniform(75, 100)),
        diaphragm_mm=heart.radius_mm + float(rng.uniform(3, 9)),
        dome_mm=float(rng.uniform(120, 250)),
        stomach=(
            float(rng.uniform(5, 50)),
            heart.radius_mm + float(rng.uniform(25, 45)),
            float(rng.uniform(15, 32)),
            float(rng.uniform(12, 22)),
        ),
        aorta=(
            heart.radius_mm + float(rng.uniform(18, 38)),
            heart.radius_mm + float(rng.uniform(0, 18)),
            float(rng.uniform(9, 13)),
        ),
        pericardial_fat_mm=float(rng.uniform(3, 10)),
        fat_deg=heart.septum_deg + float(rng.uniform(-90, 90)),
        bias=(
            float(rng.normal(0, 0.0015)),
            float(rng.normal(0, 0.0015)),
            float(rng.uniform(-2e-5, 5e-6)),
        ),
    )


def coverage(distance_mm: Field, edge_mm: float) -> Field:
    """Share of a pixel inside an outline at this signed distance: the partial-volume edge."""
    return np.clip(0.5 - distance_mm / edge_mm, 0, 1)


def render(
    rng: np.random.Generator,
    heart: Heart,
    thorax: Thorax,
    contrast: Contrast,
    *,
    x: Field,
    y: Field,
    heights_mm: Float[np.ndarray, "slices inner"],
    offset_mm: tuple[float, float],
    spacing_mm: Spacing,
) -> Stack:
    """The noisy stack, relative intensities.

    Args:
        rng: texture, lung vessels and noise.
        heart: shape of the heart.
        thorax: surroundings.
        contrast: relative intensities.
        x: ``[1, 1, width]``, mm off the middle of the picture.
        y: ``[1, height, 1]``.
        heights_mm: z of the planes that are averaged into each slice (its thickness).
        offset_mm: (x, y) of the heart's middle.
        spacing_mm: (row, column) distance of pixel centres.
    """
    slices, inner = heights_mm.shape
    z = heights_mm.reshape(-1, 1, 1).astype(np.float32)
    x, y = x - np.float32(offset_mm[0]), y - np.float32(offset_mm[1])
    rows, columns = heart.window(x, y)
    section = heart.section(x[..., columns], y[:, rows], z)
    edge = 0.5 * sum(spacing_mm)
    shape = (slices, y.size, x.size)
    texture = _texture(rng, shape)
    vessels = _lung_vessels(rng, shape)

    picture = np.full((z.size, y.size, x.size), contrast.lung, np.float32)
    picture += np.repeat(vessels, inner, axis=0) * np.float32(0.6 * contrast.blood)
    _paint_thorax(picture, thorax, heart, contrast, x=x, y=y, z=z, edge=edge)
    _paint_heart(picture[:, rows, columns], thorax, heart, contrast, section=section, edge=edge)
    stack = picture.reshape(slices, inner, y.size, x.size).mean(axis=1)

    stack *= 1 + np.float32(0.08) * texture
    stack *= _bias(thorax, x, y)
    return _acquire(rng, stack, contrast.noise)


def _paint(picture: Field, value: float, share: Field) -> None:
    picture += (np.float32(value) - picture) * share


def _paint_thorax(
    picture: Field,
    thorax: Thorax,
    heart: Heart,
    contrast: Contrast,
    *,
    x: Field,
    y: Field,
    z: Field,
    edge: float,
) -> None:
    level = z / heart.length_mm
    # The chest wall and the diaphragm come closer towards the apex, where the heart is slender.
    slender = np.clip(1 - level / 0.6, 0, 1.1)

    down, aside = turn(x, y, thorax.diaphragm_deg)
    closer_mm = 0.75 * heart.radius_mm * slender
    dome = down + closer_mm - thorax.diaphragm_mm - np.square(aside) / (2 * thorax.dome_mm)
    _paint(picture, contrast.fat * 0.8, coverage(-dome, edge))
    _paint(picture, contrast.liver, coverage(2.5 - dome, edge))
    stomach_x, stomach_y, half_x, half_y = thorax.stomach
    stomach = ellipse(x - stomach_x, y - stomach_y + closer_mm, half_x, half_y)
    _paint(picture, contrast.fat * 0.6, coverage(stomach - 5, edge) * coverage(6 - dome, edge))
    _paint(picture, contrast.muscle, coverage(stomach - 2.5, edge) * coverage(6 - dome, edge))
    _paint(picture, contrast.stomach, coverage(stomach, edge) * coverage(8 - dome, edge))

    aorta_x, aorta_y, radius = thorax.aorta
    aorta = np.hypot(x - aorta_x, y - aorta_y) - radius
    seen = np.clip((level - 0.35) / 0.1, 0, 1)
    _paint(picture, contrast.muscle, coverage(aorta - 2, edge) * seen)
    _paint(picture, contrast.blood, coverage(aorta, edge) * seen)

    out, along = turn(x, y, thorax.chest_deg)
    wall = out - (1 - 0.6 * slender) * thorax.chest_mm
    wall = wall + np.square(along) / (2 * thorax.chest_radius_mm)
    ribs = np.square(np.sin(along / 12 + 0.02 * z)) * 5
    _paint(picture, contrast.fat * 0.8, coverage(-wall, edge))
    _paint(picture, contrast.muscle, coverage(2 - wall, edge))
    _paint(picture, contrast.lung * 2, coverage(np.abs(wall - 7) - ribs + 2, edge))
    _paint(picture, contrast.muscle, coverage(12 - wall, edge))
    _paint(picture, contrast.fat, coverage(17 - wall, edge))
    _paint(picture, contrast.muscle, coverage(17 + thorax.skin_fat_mm - wall, edge))
    _paint(picture, contrast.air, coverage(19 + thorax.skin_fat_mm - wall, edge))


def _paint_heart(
    picture: Field,
    thorax: Thorax,
    heart: Heart,
    contrast: Contrast,
    *,
    section: Section,
    edge: float,
) -> None:
    outline = np.minimum(section.epicardium, section.rv_epicardium)
    outline = np.minimum(outline, section.great_vessels - 2)
    angle = np.deg2rad(section.septal_deg + heart.septum_deg - thorax.fat_deg)
    thicker = np.cos(angle) + 0.5 * np.cos(3 * angle + 8 * section.level)
    fat_mm = thorax.pericardial_fat_mm * np.clip(0.3 + 0.6 * thicker, 0, 1)
    _paint(picture, contrast.fat, coverage(outline - fat_mm, edge))
    _paint(picture, contrast.muscle, coverage(section.rv_epicardium, edge))
    _paint(picture, contrast.blood, coverage(section.rv_blood, edge))

    wall = coverage(section.epicardium, edge) * coverage(-section.gap, edge)
    _paint(picture, contrast.myocardium, wall)
    scars = scar_section(heart, section)
    if scars is not None:
        rim_mm = 2.0
        _paint(picture, contrast.gray_zone, wall * coverage(scars.scar, edge))
        _paint(picture, contrast.scar, wall * coverage(scars.scar + rim_mm, edge))
        _paint(picture, contrast.no_reflow, wall * coverage(scars.no_reflow, edge))
    _paint(picture, contrast.myocardium, coverage(section.great_vessels - 2, edge) * (1 - wall))
    _paint(picture, contrast.blood, coverage(section.great_vessels, edge))
    open_sector = coverage(section.gap, edge) * coverage(section.epicardium, edge)
    _paint(picture, contrast.blood, np.maximum(coverage(section.endocardium, edge), open_sector))
    _paint(
        picture,
        contrast.myocardium,
        coverage(section.papillary, edge) * coverage(section.endocardium, edge),
    )


def _texture(rng: np.random.Generator, shape: tuple[int, int, int]) -> Stack:
    """Smooth noise of unit variance: tissue is never quite uniform."""
    noise = rng.standard_normal(shape, np.float32)
    fine, coarse = (scipy.ndimage.gaussian_filter(noise, (0, s, s)) for s in (1.0, 4.0))
    return 0.7 * fine / fine.std() + 0.7 * coarse / coarse.std()


def _lung_vessels(rng: np.random.Generator, shape: tuple[int, int, int]) -> Stack:
    """Vessels of the lung cut across: blurred dots of up to unit height."""
    dots = np.where(rng.random(shape, np.float32) < 0.006, rng.random(shape, np.float32), 0)
    return np.minimum(scipy.ndimage.gaussian_filter(dots, (0, 0.8, 0.8)) * 7, 1.2)


def _bias(thorax: Thorax, x: Field, y: Field) -> Field:
    across, down, quadratic = thorax.bias
    return np.exp(across * x + down * y + quadratic * (x * x + y * y)).astype(np.float32)


def _acquire(rng: np.random.Generator, stack: Stack, noise: float) -> Stack:
    """Point spread of the scanner, then Rician noise, slightly correlated by interpolation."""
    real, imaginary = (
        scipy.ndimage.gaussian_filter(rng.standard_normal(stack.shape, np.float32), (0, 0.65, 0.65))
        for _ in range(2)
    )
    correlated = np.float32(noise / real.std())
    blurred = scipy.ndimage.gaussian_filter(stack, (0, 0.55, 0.55))
    return np.hypot(blurred + correlated * real, correlated * imaginary)
