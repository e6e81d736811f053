import numpy as np
import pytest
import scipy.spatial.transform

from acsnet_jax.preprocess.orient import (
    TURNS,
    apply_turn,
    invert_turn,
    standard_turn,
    swaps_axes,
    turned_affine,
    turned_scan,
)
from acsnet_jax.synthesis.phantom import make_scan

STACK = np.random.default_rng(0).integers(0, 1000, (2, 3, 5))


def product(first: int, second: int) -> int:
    """The turn that equals `first`, then `second`: a transposition reverses quarter turns."""
    quarters = second % 4 + (-first if second >= 4 else first) % 4
    return quarters % 4 + 4 * ((first >= 4) != (second >= 4))


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_and_its_inverse_give_the_same_array(turn):
    np.testing.assert_array_equal(invert_turn(apply_turn(STACK, turn), turn), STACK)
    np.testing.assert_array_equal(apply_turn(invert_turn(STACK, turn), turn), STACK)


def test_turns_are_eight_different_ones():
    assert len({apply_turn(STACK, turn).tobytes() for turn in TURNS}) == 8
    np.testing.assert_array_equal(apply_turn(STACK, 0), STACK)
    np.testing.assert_array_equal(apply_turn(STACK, 4), STACK.transpose(0, 2, 1))
    # Counter-clockwise: the right column becomes the top row.
    np.testing.assert_array_equal(apply_turn(STACK, 1)[:, 0], STACK[:, :, -1])


def test_turns_compose_as_the_dihedral_group():
    for first in TURNS:
        for second in TURNS:
            twice = apply_turn(apply_turn(STACK, first), second)
            np.testing.assert_array_equal(twice, apply_turn(STACK, product(first, second)))


@pytest.mark.parametrize("turn", TURNS)
def test_swapped_axes_are_told(turn):
    shape = apply_turn(STACK, turn).shape[1:]
    assert swaps_axes(turn) == (shape == (5, 3))


@pytest.mark.parametrize("turn", [-1, 8])
def test_there_is_no_ninth_turn(turn):
    with pytest.raises(ValueError, match=r"0\.\.7"):
        apply_turn(STACK, turn)


def test_a_phantom_is_stored_in_the_standard_view():
    assert standard_turn(make_scan(0, 0, size=96).affine) == 0


@pytest.mark.parametrize("turn", TURNS)
def test_the_standard_view_does_not_depend_on_how_a_stack_was_stored(turn):
    scan = make_scan(0, 1, size=(96, 90))
    stored = turned_scan(scan, turn)
    view = apply_turn(stored.image, standard_turn(stored.affine))
    np.testing.assert_array_equal(view, scan.image)


def test_the_standard_view_of_any_pose_is_the_same_for_all_storages():
    rotations = scipy.spatial.transform.Rotation.random(50, rng=np.random.default_rng(1))
    for mirror in (1.0, -1.0):
        for rotation in rotations.as_matrix():
            affine = np.eye(4)
            affine[:3, :3] = rotation @ np.diag([1.3, 1.9 * mirror, 8.0])
            view = apply_turn(STACK, standard_turn(affine))
            for turn in TURNS:
                stored = turned_affine(affine, (3, 5), turn)
                again = apply_turn(apply_turn(STACK, turn), standard_turn(stored))
                np.testing.assert_array_equal(again, view)


@pytest.mark.parametrize(
    ("column", "row", "turn"),
    [
        ([-1, -1, 0], [0, 0, -1], 0),  # right: left and back; down: feet
        ([0, 0, -1], [-1, -1, 0], 4),  # rows and columns exchanged
        ([1, 1, 0], [0, 0, 1], 2),  # upside down
        ([0, 0, 1], [-1, -1, 0], 1),  # down shows what belongs right, right points to the head
    ],
)
def test_closed_forms_of_the_standard_turn(column, row, turn):
    affine = np.eye(4)
    affine[:3, 0] = np.array(column) * 0.7  # neither length nor origin matters
    affine[:3, 1] = np.array(row) * 2.0
    affine[:3, 3] = (100, -50, 7)
    assert standard_turn(affine) == turn
