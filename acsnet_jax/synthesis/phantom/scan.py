"""Synthetic patients as scans: labels, image and geometry of a short-axis stack.

Arrays are ``[slices, height, width]``, apex first; intensities are magnitudes in arbitrary units.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

from acsnet_jax.synthesis.phantom.appearance import render, sample_contrast, sample_thorax
from acsnet_jax.synthesis.phantom.heart import Heart, Section, sample_heart, scar_section
from acsnet_jax.types import (
    InputError,
    Label,
    Modality,
    PhantomRecord,
    Provenance,
    Scan,
    Spacing,
)

_MODALITIES: tuple[Modality, ...] = ("lge", "cine")
_PLANES = 3  # planes averaged through the thickness of a slice
_MARGIN_MM = 6.0
_SMALLEST_CAVITY_MM = 3.0
_TOWARDS_BASE = np.array([-0.61, 0.61, 0.51])  # right, posterior, superior (LPS)


def make_scan(
    seed: int,
    patient: int,
    *,
    modality: Modality = "lge",
    size: int | tuple[int, int] = 144,
    spacing_mm: Spacing | None = None,
    slice_distance_mm: float | None = None,
) -> Scan:
    """One synthetic patient.

    Slices beyond the apex and beyond the base belong to the stack without an outline
    (``labelled`` is False there). Papillary muscles count as blood pool, as experts contour.

    Args:
        seed: number of the cohort, not negative.
        patient: number within the cohort, not negative. Another seed, patient or modality is
            another patient.
        modality: "lge" (labels tell enhancement and no-reflow) or "cine" (they do not).
        size: height and width in pixels, or one number for both.
        spacing_mm: (row, column); drawn between 1.3 and 1.9 mm, square, if None.
        slice_distance_mm: between the middles of slices; drawn between 8 and 10 mm if None.

    Raises:
        InputError: the picture is too small for the heart.
    """
    entropy = [seed, patient, _MODALITIES.index(modality)]
    rng = np.random.default_rng(np.random.SeedSequence(entropy))
    heart = sample_heart(rng)
    thorax = sample_thorax(rng, heart)
    contrast = sample_contrast(rng, modality)
    drawn_spacing = float(rng.uniform(1.3, 1.9))
    drawn_distance = float(rng.choice([8.0, 9.0, 10.0]))
    row_mm, column_mm = spacing_mm or (drawn_spacing, drawn_spacing)
    distance_mm = drawn_distance if slice_distance_mm is None else float(slice_distance_mm)
    height, width = (size, size) if isinstance(size, int) else size

    x = ((np.arange(width) - (width - 1) / 2) * column_mm).astype(np.float32).reshape(1, 1, -1)
    y = ((np.arange(height) - (height - 1) / 2) * row_mm).astype(np.float32).reshape(1, -1, 1)
    z = _slice_heights(rng, heart, distance_mm)
    offset_mm = _place(rng, heart, z, half_mm=(0.5 * width * column_mm, 0.5 * height * row_mm))

    within = (np.arange(_PLANES) - (_PLANES - 1) / 2) / _PLANES * 0.8 * distance_mm
    image = render(
        rng,
        heart,
        thorax,
        contrast,
        x=x,
        y=y,
        heights_mm=z[:, None] + within,
        offset_mm=offset_mm,
        spacing_mm=(row_mm, column_mm),
    )
    outlined = _outlined(heart, z, max(row_mm, column_mm))
    x, y = x - np.float32(offset_mm[0]), y - np.float32(offset_mm[1])
    rows, columns = heart.window(x, y)
    section = heart.section(x[..., columns], y[:, rows], z.astype(np.float32).reshape(-1, 1, 1))
    labels = np.zeros(image.shape, np.uint8)
    labels[:, rows, columns] = _labels(heart, section, modality)
    labels[~outlined] = Label.BACKGROUND

    affine, positions_mm = _pose(rng, (row_mm, column_mm), distance_mm, image.shape)
    territories = tuple(scar.territory for scar in heart.scars) if modality == "lge" else ()
    intensity_scale = rng.uniform(400, 2500)
    return Scan(
        id=f"phantom-{modality}-{seed:04d}-{patient:03d}",
        image=(image * intensity_scale).astype(np.float32),
        spacing_mm=(float(row_mm), float(column_mm)),
        positions_mm=positions_mm,
        affine=affine,
        oriented=True,
        modality=modality,
        labels=labels,
        labelled=outlined,
        has_enhancement=modality == "lge",
        file_order=np.arange(len(z)),
        file_affine=affine,
        provenance=Provenance(
            format="phantom",
            phantom=PhantomRecord(
                seed=seed,
                patient=patient,
                rv_insertions_deg=heart.insertions_deg,
                scar_territories=territories,
            ),
        ),
    )


def make_cohort(
    n: int,
    seed: int,
    *,
    modality: Modality = "lge",
    size: int | tuple[int, int] = 144,
    spacing_mm: Spacing | None = None,
    slice_distance_mm: float | None = None,
) -> list[Scan]:
    """Synthetic patients 0 to n - 1 of a seed; see `make_scan`.

    Args:
        n: number of patients.
        seed: number of the cohort; two seeds share no patient.
        modality: "lge" or "cine".
        size: height and width in pixels, or one number for both.
        spacing_mm: (row, column); drawn for each patient if None.
        slice_distance_mm: drawn for each patient if None.
    """
    return [
        make_scan(
            seed,
            patient,
            modality=modality,
            size=size,
            spacing_mm=spacing_mm,
            slice_distance_mm=slice_distance_mm,
        )
        for patient in range(n)
    ]


def _slice_heights(
    rng: np.random.Generator, heart: Heart, distance_mm: float
) -> Float[np.ndarray, "slices"]:
    """Height z of each slice: the whole LV, at most one slice below it and two above."""
    first = -distance_mm * rng.integers(0, 2) + rng.uniform(0, 1) * distance_mm
    top = heart.length_mm + heart.outflow_mm + distance_mm * rng.integers(0, 3)
    return np.arange(first, top, distance_mm)


def _place(
    rng: np.random.Generator,
    heart: Heart,
    z: Float[np.ndarray, "slices"],
    *,
    half_mm: tuple[float, float],
) -> tuple[float, float]:
    """(x, y) of the heart in the picture: off the middle, but with the LV inside on each slice."""
    inside = z[(z > 0) & (z <= heart.length_mm + heart.outflow_mm)]
    reach = heart.axial_radius(inside / heart.length_mm) * 1.09 + _MARGIN_MM
    offset = []
    for centre, half, usual in zip(heart.centre(inside), half_mm, (6.0, -6.0), strict=True):
        low, high = float(np.max(reach - centre) - half), float(half - np.max(reach + centre))
        if low > high:
            raise InputError(
                f"phantom: {2 * half:.0f} mm are too small for a heart; "
                "make size or spacing_mm larger, to 110 mm or more"
            )
        offset.append(float(np.clip(rng.normal(usual, 8), low, high)))
    return offset[0], offset[1]


def _outlined(
    heart: Heart, z: Float[np.ndarray, "slices"], pixel_mm: float
) -> Bool[np.ndarray, "slices"]:
    """Slices that an expert outlines: those with a cavity, up to the top of the outflow tract."""
    angle = np.deg2rad(np.arange(0, 360, 5.0)).reshape(1, -1)
    level = (z / heart.length_mm).reshape(-1, 1)
    cavity = (heart.epicardium(angle, level) - heart.wall(angle, level)).min(axis=1)
    wide_enough = cavity >= max(_SMALLEST_CAVITY_MM, 1.5 * pixel_mm)
    return wide_enough & (z <= heart.length_mm + heart.outflow_mm)


def _labels(
    heart: Heart, section: Section, modality: Modality
) -> UInt8[np.ndarray, "slices height width"]:
    inside = section.epicardium < 0
    gap = inside & (section.gap < 0)
    cavity = section.endocardium < 0
    labels = np.zeros(inside.shape, np.uint8)
    labels[inside & ~gap] = Label.MYOCARDIUM
    scars = scar_section(heart, section)
    if modality == "lge" and scars is not None:
        wall = inside & ~gap
        labels[wall & (scars.scar < 0)] = Label.ENHANCEMENT
        labels[wall & (scars.scar < 0) & (scars.no_reflow < 0)] = Label.NO_REFLOW
    # In the gap the contour of the blood pool runs on through the middle of the missing wall.
    labels[cavity | (gap & (section.depth < 0.5))] = Label.BLOOD_POOL
    return labels


def _pose(
    rng: np.random.Generator,
    spacing_mm: Spacing,
    distance_mm: float,
    shape: tuple[int, ...],
) -> tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, "slices"]]:
    """Affine to RAS+ and slice positions of a short-axis stack seen from the apex.

    The slices' normal runs from apex to base, to the right, back and up; image rows run down, image
    columns to the left and back, so that the RV lies left and the anterior wall on top.
    """
    normal = _TOWARDS_BASE + rng.normal(0, 0.08, 3)
    normal /= np.linalg.norm(normal)
    down = np.array([0.0, 0.0, -1.0]) + rng.normal(0, 0.05, 3)
    down -= normal * (down @ normal)
    down /= np.linalg.norm(down)
    right = np.cross(down, normal)

    slices, height, width = shape
    steps = np.stack([right * spacing_mm[1], down * spacing_mm[0], normal * distance_mm], axis=1)
    middle = np.array([width - 1, height - 1, slices - 1]) / 2
    origin = rng.normal(0, 15, 3) - steps @ middle
    positions_mm = origin @ normal + distance_mm * np.arange(slices)
    to_patient = np.eye(4)
    to_patient[:3, :3], to_patient[:3, 3] = steps, origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ to_patient, positions_mm
