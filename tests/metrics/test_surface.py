import math

import jaxtyping
import numpy as np
import pytest
from scipy.spatial import KDTree
from scipy.spatial.distance import directed_hausdorff

from acsnet_jax.metrics import (
    dice,
    hausdorff_mm,
    mean_surface_distance_mm,
    stack_dice,
    surface_distance,
)
from acsnet_jax.types import InputError

SPACING = (1.5, 0.8)


def boundary_points(mask):
    """Pixels with a 4-neighbour outside, in mm, by shifted copies."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inside) * SPACING


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_point_sets(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, 24, 31)) < rng.uniform(0.02, 0.9)
    p, q = boundary_points(first), boundary_points(second)
    expected = max(directed_hausdorff(p, q)[0], directed_hausdorff(q, p)[0])
    pooled = np.concatenate([KDTree(q).query(p)[0], KDTree(p).query(q)[0]])
    result = surface_distance(first, second, SPACING)
    assert result is not None
    assert result.hausdorff_mm == pytest.approx(expected)
    assert result.mean_mm == pytest.approx(pooled.mean())


@pytest.mark.parametrize(("shift", "expected"), [((4, 0), 4 * 1.5), ((0, 5), 5 * 0.8)])
def test_a_shift_is_measured_in_mm(shift, expected):
    mask = np.zeros((40, 40), bool)
    mask[10:22, 8:20] = True
    moved = np.roll(mask, shift, (0, 1))
    assert hausdorff_mm(moved, mask, SPACING) == pytest.approx(expected)
    assert hausdorff_mm(mask, mask, SPACING) == 0
    assert mean_surface_distance_mm(mask, mask, SPACING) == 0


def test_concentric_squares():
    """Each side of the inner one lies 3 pixels from the outer; its corners, and so the maximum,
    lie on the diagonal."""
    outer, inner = np.zeros((2, 30, 30), bool)
    outer[5:25, 5:25] = True
    inner[8:22, 8:22] = True
    assert hausdorff_mm(outer, inner, (1.0, 1.0)) == pytest.approx(3 * math.sqrt(2))


def test_empty_masks_are_left_out_or_cost_the_diagonal():
    empty, mask = np.zeros((2, 30, 40), bool)
    mask[3, 4] = True
    assert surface_distance(empty, empty, SPACING) is None
    assert hausdorff_mm(empty, empty, SPACING) is None
    assert mean_surface_distance_mm(empty, empty, SPACING) is None
    diagonal = math.hypot(30 * 1.5, 40 * 0.8)
    for pair in ((empty, mask), (mask, empty)):
        assert hausdorff_mm(*pair, SPACING) == pytest.approx(diagonal)
        assert mean_surface_distance_mm(*pair, SPACING) == pytest.approx(diagonal)


@pytest.mark.parametrize("measure", [dice, stack_dice, hausdorff_mm])
def test_labels_are_no_masks(measure, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # which asks first in tests
    labels = np.ones((20, 20), np.uint8)
    more = [SPACING] if measure is hausdorff_mm else []
    with pytest.raises(InputError, match=r"masks are uint8, not bool.*mask > 0"):
        measure(labels, labels, *more)


def test_a_mask_at_the_border_has_its_boundary_there():
    mask, other = np.zeros((2, 20, 20), bool)
    mask[:10] = True
    other[:10, :15] = True
    assert hausdorff_mm(mask, other, (1.0, 1.0)) == pytest.approx(5)
