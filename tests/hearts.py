"""Short-axis stacks of closed forms: rings, sectors of a wall, and scans around them."""

import numpy as np

from acsnet_jax.types import Scan, Segmentation


def ring(outer_mm, inner_mm, spacing_mm=(1.0, 1.0), *, size_mm=100.0, shift_mm=(0.0, 0.0), off=0.0):
    """Wall and cavity of a slice; the cavity's centre lies `off` mm to the right."""
    rows, columns = positions(spacing_mm, size_mm)
    rows, columns = rows - shift_mm[0], columns - shift_mm[1]
    cavity = np.hypot(rows, columns - off) < inner_mm
    return (np.hypot(rows, columns) < outer_mm) & ~cavity, cavity


def positions(spacing_mm=(1.0, 1.0), size_mm=100.0):
    """(row, column) of every pixel in mm, from the middle of the picture."""
    counts = [round(size_mm / step) for step in spacing_mm]
    rows, columns = np.indices(counts).astype(float)
    return (
        (rows - (counts[0] - 1) / 2) * spacing_mm[0],
        (columns - (counts[1] - 1) / 2) * spacing_mm[1],
    )


def sector(first_deg, last_deg, spacing_mm=(1.0, 1.0), size_mm=100.0):
    """Pixels that are seen from the middle between two angles, from right over down."""
    rows, columns = positions(spacing_mm, size_mm)
    return (np.rad2deg(np.arctan2(rows, columns)) - first_deg) % 360 < (last_deg - first_deg)


def radius(spacing_mm=(1.0, 1.0), size_mm=100.0):
    """Distance of every pixel from the middle in mm."""
    return np.hypot(*positions(spacing_mm, size_mm))


def make_scan(image, spacing_mm=(1.0, 1.0), *, distance_mm=10.0, **changes):
    """An LGE scan around an image."""
    slices = len(image)
    return Scan(
        id="heart",
        image=np.asarray(image, np.float32),
        spacing_mm=spacing_mm,
        positions_mm=np.arange(slices) * distance_mm,
        affine=np.eye(4),
        oriented=False,
        modality="lge",
        labels=None,
        labelled=np.zeros(slices, bool),
        has_enhancement=False,
        file_order=np.arange(slices),
        file_affine=np.eye(4),
    ).replace(**changes)


def heart(*, slices=6, scar=None, outer_mm=30.0, inner_mm=20.0, spacing_mm=(1.0, 1.0), **changes):
    """A segmentation of equal rings: wall about 100, scar 400, blood 300, the rest 20.

    `scar` is of one slice, inside the ring or not.
    """
    wall, cavity = ring(outer_mm, inner_mm, spacing_mm)
    marked = np.zeros_like(wall) if scar is None else scar & wall
    rng = np.random.default_rng(0)
    image = np.full((slices, *wall.shape), 20.0) + rng.normal(0, 5, (slices, *wall.shape))
    image[:, wall] += 80
    image[:, cavity] += 280
    image[:, marked] += 300
    wall, cavity, marked = (np.stack([mask] * slices) for mask in (wall, cavity, marked))
    return Segmentation(
        scan=make_scan(image, spacing_mm, **changes),
        myocardium=wall,
        blood_pool=cavity,
        enhancement=marked,
        core=marked.copy(),
        kept=np.ones(slices, bool),
    )
