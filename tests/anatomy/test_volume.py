from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax.anatomy.volume import fit_max_change, trim_areas, trim_stack
from acsnet_jax.types import InputError

SIZE = 400


@runtime_checkable
class Compiled(Protocol):
    """What jit makes of a function; JAX's own types do not tell that it counts its programs."""

    def _cache_size(self) -> int: ...


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
        ((20, -19, 30, 40, 50, 49), [0, 1, 2, 3, 4]),  # a C where the run starts: i_C = 1
        ((-20, 19, 30, 40, 50, 49), [0, 1, 2, 3, 4, 5]),  # a C below it does not count
        # An apical slice drawn too small is no fall of the base; towards the apex 10 to 50 is a
        # rise, so 50 stays.
        ((50, 10, 20, 30, 40, 39), [0, 1, 2, 3, 4, 5]),
        ((50, 10, 20, 40, 60, 80, 78, 79, 77, 75), [*range(10)]),
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
    # An empty slice makes no run longer.
    assert kept(10, 20, 30, 0, 15, 25, 28) == [0, 1, 2]


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
    """The definition, read out loud; empty slices are skipped at both ends."""
    drawn = [i for i, area in enumerate(areas) if area]
    if not drawn:
        return []
    runs = [[drawn[0]]]
    for i in drawn[1:]:
        if i == runs[-1][-1] + 1 and areas[i] > areas[i - 1]:
            runs[-1].append(i)
        else:
            runs.append([i])
    longest = max(runs, key=len)
    last = drawn[-1]

    def falls(i, j):
        return (areas[i] - areas[j]) / areas[i] > max_change if areas[i] else False

    upwards = range(longest[0], last + 1)
    i_c = next((i for i in upwards if is_open[i]), last)
    i_d = next((i for i in upwards[:-1] if falls(i, i + 1)), last)
    top = max(longest[-1], min(i_c + 1, i_d))
    bottom = longest[0]
    while bottom > 0 and not falls(bottom, bottom - 1):
        bottom -= 1
    return [i for i in drawn if bottom <= i <= top]


def random_stacks(count, slices):
    rng = np.random.default_rng(slices)
    signs = rng.choice([0, 1, 1, 1, 1, 1, 1, -1], (count, slices))
    smooth = 30 + 25 * np.sin(np.linspace(0, 3, slices)) * rng.uniform(0.5, 1, (count, 1))
    sizes = np.where(rng.random((count, 1)) < 0.5, smooth, 0) + rng.integers(2, 40, signs.shape)
    return sizes.astype(int) * signs


@pytest.mark.parametrize("slices", [1, 2, 5, 9, 14])
@pytest.mark.parametrize("max_change", [0.25, 0.6])
def test_random_stacks_follow_the_definition(slices, max_change):
    for sizes in random_stacks(150, slices):
        expected = reference(np.abs(sizes), sizes < 0, max_change)
        found = trim_areas(np.abs(sizes), sizes < 0, max_change=max_change)
        assert np.flatnonzero(found).tolist() == expected, sizes


def test_a_stack_and_its_areas_are_judged_alike():
    for sizes in random_stacks(40, 9):
        areas = trim_areas(np.abs(sizes), sizes < 0)
        np.testing.assert_array_equal(trim_stack(*stack(*sizes)), areas)


def test_empty_slices_at_either_end_change_nothing():
    for sizes in random_stacks(60, 6):
        padded = np.concatenate([[0, 0], sizes, [0, 0, 0]])
        expected = trim_areas(np.abs(sizes), sizes < 0)
        found = np.asarray(trim_areas(np.abs(padded), padded < 0))
        np.testing.assert_array_equal(found[2:-3], expected)
        assert not found[:2].any() and not found[-3:].any()


def test_one_program_for_pictures_of_all_sizes_and_all_thresholds():
    assert isinstance(trim_areas, Compiled)
    trim_areas(np.arange(12), np.zeros(12, bool), max_change=0.6)
    programs = trim_areas._cache_size()
    for scale in (1, 50, 3000):
        trim_areas(scale * np.arange(12), np.zeros(12, bool), max_change=1 / (1 + scale))
    assert trim_areas._cache_size() == programs


def test_fit_max_change_is_the_95th_percentile_of_shares_of_the_larger_area():
    # Differences 1/2, 1/2 (up and down alike) and 1/4; the empty slice is skipped.
    areas = [np.array([0, 10, 20]), np.array([8.0, 4.0, 3.0]), np.array([5])]
    assert fit_max_change(areas) == pytest.approx(np.percentile([0.5, 0.5, 0.25], 95))
    many = [np.array([100, 100 - i]) for i in range(101)][:-1]  # 0%, 1%, ... 99%
    assert fit_max_change(many) == pytest.approx(0.99 * 0.95)


def test_slices_on_either_side_of_a_gap_are_not_successive():
    assert fit_max_change([np.array([100, 0, 10, 9])]) == pytest.approx(0.1)


def test_fit_max_change_needs_two_neighbours():
    with pytest.raises(InputError, match="two neighbouring slices"):
        fit_max_change([np.array([3]), np.array([0, 4]), np.array([4, 0, 4]), np.array([])])


def test_a_stack_without_slices():
    empty = jnp.zeros((0, 8, 8), bool)
    assert trim_stack(empty, empty).shape == (0,)
