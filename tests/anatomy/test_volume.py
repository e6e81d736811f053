import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax.anatomy.volume import fit_max_change, trim_stack
from acsnet_jax.types import InputError

SIZE = 400


def stack(*slices):
    """Rows of pixels: an int is a ring of that area, a negative int a C, 0 an empty slice."""
    masks = np.zeros((len(slices), 1, SIZE), bool)
    cavities = np.zeros_like(masks)
    for i, area in enumerate(slices):
        masks[i, 0, : abs(area)] = True
        if area > 0:  # one pixel of the area is cavity
            masks[i, 0, 0], cavities[i, 0, 0] = False, True
    return jnp.asarray(masks), jnp.asarray(cavities)


def kept(*slices, **options):
    return np.flatnonzero(trim_stack(*stack(*slices), **options)).tolist()


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ((10, 20, 30, 40), [0, 1, 2, 3]),  # i_M = 3
        ((10, 20, 30, 28, 27), [0, 1, 2, 3, 4]),  # no C, no fall: up to the last slice
        ((10, 20, 30, 28, 11, 12), [0, 1, 2, 3]),  # i_D = 3: 28 to 11 falls by 17/28 > 0.6
        ((10, 20, 30, 40, 16, 15), [0, 1, 2, 3, 4, 5]),  # exactly 60% is not more than 60%
        ((10, 20, 30, 28, -27, -26, -25), [0, 1, 2, 3, 4, 5]),  # i_C = 4: ends at i_C + 1
        ((10, 20, 30, 28, -27, -5, -5), [0, 1, 2, 3, 4]),  # i_D = 4 before i_C + 1 = 5
        ((10, 20, 30, -29, 5, 6), [0, 1, 2, 3]),  # i_D = 3 = i_C
        ((-10, 20, 30, 40, 39, 38), [0, 1, 2, 3]),  # a C at the apex: i_M = 3 protects
        # i_D = 0, but i_M = 4 protects; towards the apex 10 to 50 is a rise, so 50 stays.
        ((50, 10, 20, 30, 40, 39), [0, 1, 2, 3, 4]),
    ],
)
def test_top_of_the_stack(slices, expected):
    assert kept(*slices) == expected


def test_stack_below_the_apex_is_cut_at_the_first_fall():
    # Run 30, 31, 32, 33 starts at index 3; 30 to 29 stays, 29 to 11 falls by 18/29 > 0.6.
    assert kept(12, 11, 29, 28, 31, 32, 33) == [2, 3, 4, 5, 6]
    assert kept(12, 12, 29, 28, 31, 32, 33) == [0, 1, 2, 3, 4, 5, 6]  # 17/29 < 0.6


def test_first_of_two_longest_runs_counts():
    # Both runs have three slices; the first ends at 2 and the fall after it at i_D = 2.
    assert kept(10, 20, 30, 5, 6, 7) == [0, 1, 2]
    # The second is longer: i_M = 6, and the walk down from 5 to 30 finds no fall.
    assert kept(10, 20, 30, 5, 6, 7, 8) == [0, 1, 2, 3, 4, 5, 6]


def test_equal_areas_do_not_increase():
    assert kept(10, 20, 20, 20, 5) == [0, 1, 2, 3]  # i_M = 1, i_D = 3
    assert kept(20, 20, -20, -20, -20, 20) == [0, 1, 2, 3]  # i_M = 0, i_C = 2


def test_empty_slices_are_never_kept_and_end_the_walk():
    assert kept(0, 0, 10, 20, 30, 0, 0) == [2, 3, 4]
    assert kept(9, 0, 10, 20, 30) == [2, 3, 4]  # 9 lies beyond a gap
    assert kept(10, 0, 20, 30, 40) == [2, 3, 4]
    assert kept(0, 0, 0) == []
    assert kept(7) == [0]


def test_max_change_is_an_option():
    slices = (10, 20, 30, 20, 19)  # falls by a third
    assert kept(*slices) == [0, 1, 2, 3, 4]
    assert kept(*slices, max_change=0.3) == [0, 1, 2]


def test_padding_and_vmap_change_nothing():
    stacks = [(10, 20, 30, 28, 11), (5, 6, -7, -6, -6, -6, 5), (10, 9, 8), (0, 10, 11, 3)]
    length = max(map(len, stacks)) + 2
    padded = [stack(*slices, *[0] * (length - len(slices))) for slices in stacks]
    masks, cavities = (jnp.stack(part) for part in zip(*padded, strict=True))
    together = jax.jit(jax.vmap(trim_stack))(masks, cavities)
    for slices, flags in zip(stacks, together, strict=True):
        assert np.flatnonzero(flags).tolist() == kept(*slices)


def reference(areas, is_open, max_change):
    """The definition, read out loud."""
    runs, run = [], [0]
    for i in range(1, len(areas)):
        if areas[i] > areas[i - 1]:
            run.append(i)
        else:
            runs.append(run)
            run = [i]
    runs.append(run)
    longest = max(runs, key=len)
    last = len(areas) - 1
    i_c = next((i for i in range(last + 1) if is_open[i]), last)

    def falls(i, j):
        return areas[i] > 0 and (areas[i] - areas[j]) / areas[i] > max_change

    i_d = next((i for i in range(last) if falls(i, i + 1)), last)
    top = max(longest[-1], min(i_c + 1, i_d))
    bottom = next(i for i in longest if areas[i] or i == longest[-1])
    while bottom > 0 and not falls(bottom, bottom - 1):
        bottom -= 1
    return [i for i in range(bottom, last + 1) if i <= top and areas[i]]


def test_random_stacks_follow_the_definition():
    rng = np.random.default_rng(0)
    trim = jax.jit(trim_stack)
    for _ in range(200):
        sizes = rng.integers(2, 60, 9) * rng.choice([0, 1, 1, 1, 1, -1], 9)
        expected = reference(np.abs(sizes), sizes < 0, 0.6)
        assert np.flatnonzero(trim(*stack(*sizes))).tolist() == expected


def test_fit_max_change_is_the_95th_percentile_of_shares_of_the_larger_area():
    # Differences 1/2, 1/2 (up and down alike) and 1/4; the empty slice is skipped.
    areas = [np.array([0, 10, 20]), np.array([8.0, 4.0, 3.0]), np.array([5])]
    assert fit_max_change(areas) == pytest.approx(np.percentile([0.5, 0.5, 0.25], 95))
    many = [np.array([100, 100 - i]) for i in range(101)][:-1]  # 0%, 1%, ... 99%
    assert fit_max_change(many) == pytest.approx(0.99 * 0.95)


def test_fit_max_change_needs_two_slices():
    with pytest.raises(InputError, match="two slices"):
        fit_max_change([np.array([3]), np.array([0, 4])])
