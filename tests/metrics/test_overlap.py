import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from acsnet_jax.metrics import balanced_accuracy, dice, overlap, sensitivity, specificity

EMPTY = np.zeros((6, 7), bool)
FULL = np.ones((6, 7), bool)


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    truth = rng.random((3, 4, 9, 11)) < 0.4
    prediction = truth ^ (rng.random(truth.shape) < 0.2)
    return prediction, truth


def test_agrees_with_scikit_learn(pairs):
    prediction, truth = pairs
    result = overlap(prediction, truth)
    assert result.dice.shape == (3, 4)
    for index in np.ndindex(3, 4):
        flat = truth[index].ravel(), prediction[index].ravel()
        assert np.isclose(result.dice[index], f1_score(*flat))
        assert np.isclose(result.sensitivity[index], recall_score(*flat))
        assert np.isclose(result.specificity[index], recall_score(*flat, pos_label=False))
        assert np.isclose(result.balanced_accuracy[index], balanced_accuracy_score(*flat))


def test_closed_form_of_a_shifted_square():
    truth, prediction = np.zeros((2, 10, 10), bool)
    truth[2:6, 2:6] = True
    prediction[2:6, 3:7] = True  # 12 of 16 pixels in common, 4 of 84 background pixels taken
    assert np.isclose(dice(prediction, truth), 12 / 16)
    assert np.isclose(sensitivity(prediction, truth), 12 / 16)
    assert np.isclose(specificity(prediction, truth), 80 / 84)
    assert np.isclose(balanced_accuracy(prediction, truth), (12 / 16 + 80 / 84) / 2)


@pytest.mark.parametrize(
    ("prediction", "truth", "expected_dice", "expected_accuracy"),
    [
        (EMPTY, EMPTY, 1.0, 1.0),
        (FULL, EMPTY, 0.0, 0.0),
        (EMPTY, FULL, 0.0, 0.0),
        (FULL, FULL, 1.0, 1.0),
    ],
)
def test_empty_and_full_masks_follow_the_policy(
    prediction, truth, expected_dice, expected_accuracy
):
    assert float(dice(prediction, truth)) == expected_dice
    assert float(balanced_accuracy(prediction, truth)) == expected_accuracy


def test_a_false_alarm_on_an_empty_slice_is_no_better_than_chance():
    speck = EMPTY.copy()
    speck[2, 3] = True
    assert float(balanced_accuracy(speck, EMPTY)) == pytest.approx(0.5 * 41 / 42)


def test_dice_is_symmetric_and_flips_change_nothing(pairs):
    prediction, truth = pairs
    there, back = dice(prediction, truth), dice(truth, prediction)
    np.testing.assert_array_equal(there, back)
    np.testing.assert_array_equal(there, dice(prediction[..., ::-1, :], truth[..., ::-1, :]))


def test_balanced_accuracy_is_blind_to_which_class_is_called_foreground(pairs):
    prediction, truth = pairs
    np.testing.assert_array_equal(
        balanced_accuracy(prediction, truth), balanced_accuracy(~prediction, ~truth)
    )


def test_vmap_and_batch_axes_agree(pairs):
    prediction, truth = (jnp.asarray(mask) for mask in pairs)
    mapped = jax.vmap(overlap)(prediction, truth)
    jax.tree.map(np.testing.assert_array_equal, mapped, overlap(prediction, truth))
