"""The criteria once more, from their definitions, with scikit-image and SciPy in float64.

Slow and plain on purpose; it shares no code with the package.
"""

import numpy as np
from scipy import ndimage
from skimage import measure

NAN = float("nan")
FOUR = ndimage.generate_binary_structure(2, 1)


def _labels(mask, connectivity):
    return np.asarray(measure.label(mask, connectivity=connectivity))


def _depth(mask, spacing):
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=spacing))


def holes_of(mask):
    """Labels of the holes (0 elsewhere) and their number, in raster order of their first pixel."""
    labels = _labels(np.pad(~mask, 1, constant_values=True), connectivity=1)
    hole = labels[1:-1, 1:-1].copy()
    hole[hole == labels[0, 0]] = 0
    names = [k for k in dict.fromkeys(hole.ravel().tolist()) if k]
    renamed = np.zeros_like(hole)
    for new, old in enumerate(names, start=1):
        renamed[hole == old] = new
    return renamed, len(names)


def regions(mask):
    labels, count = holes_of(mask)
    areas = [np.sum(labels == k) for k in range(1, count + 1)]
    cavity = labels == 1 + int(np.argmax(areas)) if count else np.zeros_like(mask)
    return mask | (labels > 0), cavity


def circularity(region):
    return 4 * np.pi * region.sum() / measure.perimeter_crofton(region, directions=4) ** 2


def convexity_defect(filled, spacing):
    inside = np.asarray(ndimage.binary_erosion(filled, FOUR, border_value=0), bool)
    p = np.argwhere(filled & ~inside) * spacing
    q = np.argwhere(filled) * spacing
    turns = 2 * np.pi * np.arange(64) / 64
    u = np.stack([np.sin(turns), np.cos(turns)])  # (row, column)
    return (np.max(q @ u, axis=0) - p @ u).min(axis=1).max()


def longest_gap(mask, spacing):
    row, column = np.nonzero(mask)
    # n (p - c) is an integer: pixels that lie on an edge between bins lie there exactly
    y = (row.size * row - row.sum()) * spacing[0]
    x = (row.size * column - column.sum()) * spacing[1]
    bins = np.floor(np.degrees(np.arctan2(y, x)) % 360 / 5).astype(int) % 72
    full = np.isin(np.arange(72), bins)
    if not full.any():
        return 360.0
    turned = np.roll(full, -int(np.argmax(full)))
    runs = np.diff(np.flatnonzero(np.append(turned, True))) - 1
    return 5.0 * runs.max()


def measures(mask, spacing_mm):
    """All measures of one mask, as a dictionary."""
    spacing = np.asarray(spacing_mm, np.float64)
    pixel_mm = np.sqrt(spacing.prod())
    objects = int(_labels(mask, connectivity=2).max())
    labels, holes = holes_of(mask)
    filled, cavity = regions(mask)
    result = {
        "objects": objects,
        "holes": holes,
        "extra_hole_area_mm2": (np.sum(labels > 0) - cavity.sum()) * spacing.prod(),
        "is_ring": holes >= 1,
        "circularity_epi": NAN,
        "circularity_endo": NAN,
        "convexity_defect_mm": NAN,
        "wall_min_mm": NAN,
        "wall_max_mm": NAN,
        "gap_deg": NAN,
        "hollow": False,
        "area_mm2": mask.sum() * spacing.prod(),
    }
    if holes:
        outside = ~np.pad(filled, 1)
        to_cavity = _depth(~np.pad(cavity, 1), spacing)
        touching = np.asarray(ndimage.binary_dilation(~outside, FOUR)) & outside
        result |= {
            "circularity_epi": circularity(filled),
            "circularity_endo": circularity(cavity),
            "convexity_defect_mm": convexity_defect(filled, spacing),
            "wall_min_mm": to_cavity[outside].min() - pixel_mm,
            "wall_max_mm": to_cavity[touching].max() - pixel_mm,
        }
    elif objects:
        depth = _depth(np.pad(mask, 1), spacing)
        centre = np.argwhere(mask).mean(axis=0)
        # a shift by far less than any difference breaks ties in raster order
        nearest = np.ceil(centre - 0.5 - 1e-9).astype(int)
        result |= {
            "wall_max_mm": 2 * depth.max() - pixel_mm,
            "gap_deg": longest_gap(mask, spacing),
            "hollow": not mask[tuple(nearest)],
        }
    return result


def is_valid(m, thresholds):
    """Delta of the measures of one mask."""
    if m["objects"] != 1 or m["extra_hole_area_mm2"] != 0:
        return False
    if m["wall_max_mm"] > thresholds.wall_max_mm:
        return False
    if not m["is_ring"]:
        return m["hollow"] and 5 <= m["gap_deg"] <= thresholds.gap_max_deg
    return (
        m["circularity_epi"] >= thresholds.circularity_epi
        and m["circularity_endo"] >= thresholds.circularity_endo
        and m["convexity_defect_mm"] <= thresholds.convexity_defect_mm
        and m["wall_min_mm"] >= thresholds.wall_min_mm
    )
