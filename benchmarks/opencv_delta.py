"""The criteria once more with OpenCV's C++ on one core: what a fast loop over masks would be.

Contours, hulls, connected components and exact distance transforms are OpenCV's; only the Crofton
perimeter, which it lacks, is counted with NumPy. Pixels are square, as its distance transform asks.
Its quick arctangent may put a pixel on the edge of an angular bin into the next.
Measures are those of `acsnet_jax.anatomy.Anatomy`, as a dictionary without those that do not apply.
"""

import math

import cv2
import numpy as np

_TURNS = 2 * np.pi * np.arange(64) / 64
_DIRECTIONS = np.stack([np.cos(_TURNS), np.sin(_TURNS)]).astype(np.float32)  # (column, row)
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def is_valid(mask: np.ndarray, spacing_mm: float, thresholds) -> bool:
    """Delta of one mask, with the cheap criteria first."""
    m = _count(mask)
    if m is None:
        return False
    if m["objects"] != 1 or m["extra_hole_area_mm2"] > 0:
        return False
    if not m["is_ring"]:
        m |= _open(m, spacing_mm)
        return (
            m["hollow"]
            and 5 <= m["gap_deg"] <= thresholds.gap_max_deg
            and m["wall_max_mm"] <= thresholds.wall_max_mm
        )
    if _circularity(m["cavity"]) < thresholds.circularity_endo:
        return False
    if _circularity(m["filled"]) < thresholds.circularity_epi:
        return False
    if _convexity_defect(m["filled"], spacing_mm) > thresholds.convexity_defect_mm:
        return False
    thin, thick = _walls(m, spacing_mm)
    return thin >= thresholds.wall_min_mm and thick <= thresholds.wall_max_mm


def measures(mask: np.ndarray, spacing_mm: float) -> dict:
    """All measures of one mask."""
    m = _count(mask)
    if m is None:
        return {"objects": 0, "holes": 0, "is_ring": False, "extra_hole_area_mm2": 0.0}
    m["extra_hole_area_mm2"] *= spacing_mm**2
    if not m["is_ring"]:
        return m | _open(m, spacing_mm)
    thin, thick = _walls(m, spacing_mm)
    return m | {
        "circularity_epi": _circularity(m["filled"]),
        "circularity_endo": _circularity(m["cavity"]),
        "convexity_defect_mm": _convexity_defect(m["filled"], spacing_mm),
        "wall_min_mm": thin,
        "wall_max_mm": thick,
    }


def _count(mask):
    """Components, holes, and the regions, in a window of one pixel around the mask."""
    column, row, width, height = cv2.boundingRect(mask)
    if not width:
        return None
    window = np.zeros((height + 2, width + 2), np.uint8)
    window[1:-1, 1:-1] = mask[row : row + height, column : column + width]
    objects = cv2.connectedComponents(window, connectivity=8)[0] - 1
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - window, connectivity=4)
    # label 0 is the mask; the outside is the component of the corner
    outside = labels[0, 0]
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[[0, outside]] = 0
    filled = (labels != outside).astype(np.uint8)
    cavity = (labels == int(np.argmax(areas))).astype(np.uint8) if count > 2 else None
    return {
        "objects": objects,
        "holes": count - 2,
        "is_ring": count > 2,
        "extra_hole_area_mm2": float(areas.sum() - areas.max()),
        "mask": window,
        "filled": filled,
        "cavity": cavity,
    }


def _circularity(region):
    padded = cv2.copyMakeBorder(region, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    straight = np.count_nonzero(padded[1:] > padded[:-1])
    straight += np.count_nonzero(padded[:, 1:] > padded[:, :-1])
    slanted = np.count_nonzero(padded[1:, 1:] > padded[:-1, :-1])
    slanted += np.count_nonzero(padded[1:, :-1] > padded[:-1, 1:])
    perimeter = math.pi / 4 * (straight + slanted * math.sqrt(0.5))
    return 4 * math.pi * cv2.countNonZero(region) / perimeter**2


def _convexity_defect(filled, spacing_mm):
    contours, _ = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(contours).reshape(-1, 2).astype(np.float32)
    hull = cv2.convexHull(points).reshape(-1, 2)
    heights = (hull @ _DIRECTIONS).max(axis=0)
    return float((heights - points @ _DIRECTIONS).min(axis=1).max()) * spacing_mm


def _walls(m, spacing_mm):
    to_cavity = cv2.distanceTransform(1 - m["cavity"], cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    around = (cv2.dilate(m["filled"], _CROSS) - m["filled"]) > 0
    found = to_cavity[around]
    return (float(found.min()) - 1) * spacing_mm, (float(found.max()) - 1) * spacing_mm


def _open(m, spacing_mm):
    depth = cv2.distanceTransform(m["mask"], cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    points = cv2.findNonZero(m["mask"]).reshape(-1, 2).astype(np.int64)
    number, total = len(points), points.sum(axis=0)
    offset = number * points - total
    turns = cv2.phase(
        offset[:, 0].astype(np.float64), offset[:, 1].astype(np.float64), angleInDegrees=True
    )
    seen = np.zeros(72, bool)
    seen[np.floor(turns / 5).astype(int).ravel() % 72] = True
    column, row = -((number - 2 * total) // (2 * number))
    return {
        "wall_max_mm": (2 * float(depth.max()) - 1) * spacing_mm,
        "gap_deg": 5.0 * _longest_run(~seen),
        "hollow": not m["mask"][row, column],
    }


def _longest_run(empty):
    if empty.all():
        return 72
    full = np.flatnonzero(~empty)
    return int(np.max(np.diff(np.append(full, full[0] + 72)) - 1))
