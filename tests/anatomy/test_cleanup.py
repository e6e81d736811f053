import itertools

import numpy as np
import pytest

from acsnet_jax.anatomy import cleanup
from acsnet_jax.anatomy.cleanup import CleanupWeights, one_lv

SPACING = (2.0, 2.0)
SIZE = 96


def disc(centre, radius, *, squeeze=1.0):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return (rows - centre[0]) ** 2 * squeeze + (columns - centre[1]) ** 2 / squeeze <= radius**2


def stack(*slices):
    return np.stack(slices).astype(np.float32)


def test_a_lone_disc_is_kept_and_its_holes_filled():
    ring = disc((48, 48), 14) & ~disc((48, 48), 9)
    result = one_lv(stack(ring, ring, ring) * 0.9, SPACING)
    np.testing.assert_array_equal(result, stack(*[disc((48, 48), 14)] * 3).astype(bool))


def test_the_largest_component_loses_to_the_one_that_runs_through_the_slices():
    heart = [disc((46, 50), radius) for radius in (8, 12, 14, 15, 15)]
    stomach = disc((75, 25), 20)  # large and round, but in one slice only
    probability = stack(*heart) * 0.9
    probability[2][stomach] = 0.9
    assert stomach.sum() > heart[2].sum()
    result = one_lv(probability, SPACING)
    np.testing.assert_array_equal(result, np.stack(heart))


def test_a_long_thin_bright_thing_through_all_slices_loses_to_the_round_one():
    wall = np.zeros((SIZE, SIZE), bool)
    wall[5:90, 8:16] = True
    heart = disc((45, 55), 13)
    probability = stack(*[heart] * 4) * 0.8
    probability[:, wall] = 0.95
    assert wall.sum() > heart.sum()
    np.testing.assert_array_equal(one_lv(probability, SPACING), np.stack([heart] * 4))


def test_slices_without_a_heart_stay_empty_and_specks_are_not_taken():
    heart = disc((48, 48), 13)
    speck = np.zeros((SIZE, SIZE), bool)
    speck[4:6, 90:92] = True
    result = one_lv(stack(speck, heart, heart, heart, speck) * 0.9, SPACING)
    assert result.any(axis=(1, 2)).tolist() == [False, True, True, True, False]


def test_a_gap_in_the_stack_does_not_break_the_chain():
    heart, nothing = disc((48, 48), 13), np.zeros((SIZE, SIZE), bool)
    result = one_lv(stack(heart, heart, nothing, heart, heart) * 0.9, SPACING)
    assert result.any(axis=(1, 2)).tolist() == [True, True, False, True, True]


def test_nothing_found_is_empty():
    assert not one_lv(np.zeros((3, SIZE, SIZE), np.float32), SPACING).any()


@pytest.mark.parametrize("turn", range(4))
def test_turning_the_picture_turns_the_result(turn):
    rng = np.random.default_rng(turn)
    probability = stack(*[disc((44, 52), 12) | disc((75, 20), 15)] * 3) * 0.8
    probability += 0.1 * rng.random(probability.shape, np.float32)
    turned = one_lv(np.rot90(probability, turn, axes=(1, 2)), SPACING)
    np.testing.assert_array_equal(turned, np.rot90(one_lv(probability, SPACING), turn, (1, 2)))


def test_the_chain_is_the_best_of_all():
    """Dynamic programming against enumeration of every chain."""
    rng = np.random.default_rng(3)
    weights = CleanupWeights(max_candidates=2)
    for _ in range(5):
        slices = []
        for _ in range(3):
            image = np.zeros((SIZE, SIZE), np.float32)
            for _ in range(2):
                centre, radius = rng.integers(15, 80, 2), rng.integers(5, 14)
                image[disc(centre, radius)] = rng.uniform(0.6, 1.0)
            slices.append(image)
        probability = stack(*slices)
        chosen = one_lv(probability, SPACING, weights=weights)
        assert _total(chosen, probability, weights) == pytest.approx(
            max(_total(chain, probability, weights) for chain in _chains(probability, weights))
        )


def _chains(probability, weights):
    options = [[None, *cleanup._candidates(image, SPACING, weights)] for image in probability]
    for chain in itertools.product(*options):
        yield np.stack([np.zeros((SIZE, SIZE), bool) if c is None else c.mask for c in chain])


def _total(chain, probability, weights):
    """The documented score of a chain, summed from scratch."""
    total = 0.0
    for mask, image in zip(chain, probability, strict=True):
        for candidate in cleanup._candidates(image, SPACING, weights):
            if mask.any() and np.array_equal(candidate.mask, mask):
                total += candidate.score
    for a, b in itertools.pairwise(chain):
        if a.any() and b.any():
            total += weights.continuity * (2 * (a & b).sum() / min(a.sum(), b.sum()) - 1)
    return total
