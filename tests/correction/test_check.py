import numpy as np
import pytest

from acsnet_jax.correction import blood_pools, kept_slices
from acsnet_jax.metrics import dice
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.synthesis.phantom import make_scan
from acsnet_jax.training.latent_space import fit_max_change
from acsnet_jax.types import Label


@pytest.fixture(scope="module")
def cohort():
    return [make_scan(1, patient) for patient in range(14)]


def test_experts_stacks_with_an_open_base_are_kept_up_to_it(cohort):
    """By the threshold that is fitted to the same experts' areas, wall and cavity together."""
    change = fit_max_change(cohort, InputSpec())
    opened = 0
    for scan in cohort:
        wall = (scan.labels >= Label.MYOCARDIUM) & scan.labelled[:, None, None]
        lv = (scan.labels > Label.BACKGROUND) & scan.labelled[:, None, None]
        kept = kept_slices(wall, change, lv=lv)
        rings = blood_pools(wall, np.zeros_like(wall)).any(axis=(1, 2))
        (opens,) = np.nonzero(wall.any(axis=(1, 2)) & ~rings)
        opened += len(opens)
        upto = opens[0] + 1 if len(opens) else len(wall)
        np.testing.assert_array_equal(kept[:upto], wall[:upto].any(axis=(1, 2)))
        np.testing.assert_array_equal(kept_slices(wall, change)[:upto], kept[:upto])  # by its hull
    assert opened >= 10


def test_open_slices_get_the_blood_pool_inside_their_hull(cohort):
    scan = cohort[0]
    ring = scan.labels[5] >= Label.MYOCARDIUM
    gap = ring.copy()
    rows, columns = np.nonzero(ring)
    gap[int(rows.mean()) :, int(columns.mean()) - 4 : int(columns.mean()) + 5] = False
    drawn = scan.labels[5] == Label.BLOOD_POOL
    for lv in ((scan.labels[5] > 0)[None], None):
        pool = blood_pools(gap[None], lv)
        assert dice(pool[0], drawn) > 0.9
        assert not (pool[0] & gap).any()
    assert not blood_pools(gap[None], np.zeros_like(gap)[None]).any()


@pytest.mark.parametrize("broken", [2, 6])
def test_a_lost_slice_with_a_broken_wall_ends_no_stack(broken):
    """What stage 3 could not mend is put back as it was given, a ring with a crack."""
    row, column = np.mgrid[-30:31, -30:31]
    radius = np.hypot(row, column)
    masks = np.stack([(radius < 14 + k) & (radius > 7 + k) for k in range(10)])
    masks[broken, :31, 30] = False
    lost = np.zeros_like(masks)
    lost[broken], masks[broken] = masks[broken].copy(), False
    assert kept_slices(masks, 0.6, lost=lost).all()
    assert kept_slices(masks[::-1], 0.6, lost=lost[::-1]).all()
