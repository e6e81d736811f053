import functools

import jax
import numpy as np
import pytest

from acsnet_jax import losses

# Compiled once a shape: an operation at a time costs a compilation each.
balanced_cross_entropy = jax.jit(losses.balanced_cross_entropy, static_argnames="beta")
tversky = jax.jit(losses.tversky, static_argnames="beta")
segmentation_loss = jax.jit(losses.segmentation_loss, static_argnames="beta")
reconstruction_loss = jax.jit(losses.reconstruction_loss)
weighted_mean = jax.jit(losses.weighted_mean)
batch_tversky = jax.jit(losses.batch_tversky, static_argnames="beta")

RNG = np.random.default_rng(0)
SURE = 30.0  # a logit whose sigmoid is 1 in float32, and whose opposite is 9e-14


def images(values):
    """One image with one output, from rows of pixels."""
    return np.asarray(values, np.float32)[None, :, :, None]


@functools.partial(jax.jit, static_argnums=0, static_argnames="beta")
def with_gradient(loss, logits, targets, **options):
    """A loss, and the gradient of its sum over samples and outputs."""

    def total(x):
        values = loss(x, targets, **options)
        return values.sum(), values

    (_, values), gradient = jax.value_and_grad(total, has_aux=True)(logits)
    return values, gradient


def random_batch():
    logits = 3 * RNG.normal(size=(4, 9, 7, 2))
    targets = RNG.random((4, 9, 7, 2)) > 0.6
    return logits.astype(np.float32), targets.astype(np.float32)


def check(function, expected, logits, targets, **options):
    values = function(logits, targets, **options)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, rtol=1e-5)


# Independent references: plain numpy in float64, pixel by pixel as the paper prints them.


def bce_reference(logits, targets, beta):
    q = 1 / (1 + np.exp(-logits.astype(float)))
    terms = beta * targets * np.log(q) + (1 - beta) * (1 - targets) * np.log(1 - q)
    return -terms.mean(axis=(1, 2))


def tversky_reference(logits, targets, beta):
    q = 1 / (1 + np.exp(-logits.astype(float)))
    hits = (q * targets).sum(axis=(1, 2))
    false_positives = (q * (1 - targets)).sum(axis=(1, 2))
    false_negatives = ((1 - q) * targets).sum(axis=(1, 2))
    return 1 - 2 * hits / (2 * hits + beta * false_positives + (1 - beta) * false_negatives)


@pytest.mark.parametrize("beta", [0.4, 0.6])
def test_the_losses_are_the_printed_formulas(beta):
    logits, targets = random_batch()
    bce = bce_reference(logits, targets, beta)
    region = tversky_reference(logits, targets, beta)
    check(balanced_cross_entropy, bce, logits, targets, beta=beta)
    check(tversky, region, logits, targets, beta=beta)
    check(segmentation_loss, (bce + region) / 2, logits, targets, beta=beta)


def test_reconstruction_is_cross_entropy_and_dice():
    logits, targets = random_batch()
    q = 1 / (1 + np.exp(-logits.astype(float)))
    cross_entropy = -(targets * np.log(q) + (1 - targets) * np.log(1 - q)).mean(axis=(1, 2))
    dice = 2 * (q * targets).sum(axis=(1, 2)) / (q.sum(axis=(1, 2)) + targets.sum(axis=(1, 2)))
    check(reconstruction_loss, cross_entropy + 1 - dice, logits, targets)


@pytest.mark.parametrize("beta", [0.4, 0.6])
def test_one_undecided_pixel(beta):
    half = images([[0.0]])  # sigmoid(0) = 1/2
    hit, miss = images([[1.0]]), images([[0.0]])
    log2 = np.log(2)
    assert balanced_cross_entropy(half, hit, beta=beta)[0, 0] == pytest.approx(beta * log2)
    assert balanced_cross_entropy(half, miss, beta=beta)[0, 0] == pytest.approx((1 - beta) * log2)
    # TP = FN = 1/2: 1 - 1 / (1 + (1 - beta) / 2).
    expected = 1 - 1 / (1 + (1 - beta) / 2)
    assert tversky(half, hit, beta=beta)[0, 0] == pytest.approx(expected)
    assert tversky(half, miss, beta=beta)[0, 0] == 1
    # Cross-entropy log 2, and Dice 2 (1/2) / (1/2 + 1).
    assert reconstruction_loss(half, hit)[0, 0] == pytest.approx(log2 + 1 - 2 / 3)


def test_a_perfect_prediction_costs_nothing():
    targets = images([[1, 1, 0], [0, 1, 0]])
    logits = SURE * (2 * targets - 1)
    for loss in (
        balanced_cross_entropy(logits, targets, beta=0.6),
        tversky(logits, targets, beta=0.6),
        segmentation_loss(logits, targets, beta=0.6),
        reconstruction_loss(logits, targets),
    ):
        np.testing.assert_allclose(loss, 0, atol=1e-6)


def test_all_wrong_costs_most():
    targets = images([[1, 1, 0], [0, 1, 0]])  # half of the pixels
    logits = -SURE * (2 * targets - 1)
    np.testing.assert_allclose(tversky(logits, targets, beta=0.6), 1, atol=1e-6)
    # log_sigmoid(-30) = -30; half of the pixels weigh beta, the others 1 - beta.
    bce = balanced_cross_entropy(logits, targets, beta=0.6)
    np.testing.assert_allclose(bce, 0.5 * 0.6 * SURE + 0.5 * 0.4 * SURE, rtol=1e-6)
    np.testing.assert_allclose(reconstruction_loss(logits, targets), SURE + 1, rtol=1e-6)


def test_beta_is_the_price_of_false_positives_in_tversky():
    targets = images([[1, 1, 1, 1, 0, 0, 0, 0]])
    more = SURE * (2 * images([[1, 1, 1, 1, 1, 1, 0, 0]]) - 1)  # TP 4, FP 2
    less = SURE * (2 * images([[1, 1, 0, 0, 0, 0, 0, 0]]) - 1)  # TP 2, FN 2
    for beta in (0.4, 0.6):
        expected = 1 - 8 / (8 + 2 * beta)
        assert tversky(more, targets, beta=beta)[0, 0] == pytest.approx(expected, rel=1e-5)
        expected = 1 - 4 / (4 + 2 * (1 - beta))
        assert tversky(less, targets, beta=beta)[0, 0] == pytest.approx(expected, rel=1e-5)


def test_beta_is_the_price_of_misses_in_cross_entropy():
    targets = images([[1, 0]])
    none, both = images([[-2.0, -SURE]]), images([[SURE, 2.0]])
    for beta in (0.4, 0.6):
        price = np.log1p(np.exp(2.0)) / 2
        missed = balanced_cross_entropy(none, targets, beta=beta)[0, 0]
        found = balanced_cross_entropy(both, targets, beta=beta)[0, 0]
        assert missed == pytest.approx(beta * price, rel=1e-5)
        assert found == pytest.approx((1 - beta) * price, rel=1e-5)


def test_samples_and_outputs_stay_apart():
    logits, targets = random_batch()
    whole = np.asarray(segmentation_loss(logits, targets, beta=0.6))
    assert whole.shape == (4, 2)
    order = [2, 0, 3, 1]
    turned = segmentation_loss(logits[order][..., ::-1], targets[order][..., ::-1], beta=0.6)
    np.testing.assert_allclose(turned, whole[order][:, ::-1], rtol=1e-6)


def test_mirrored_images_and_targets_change_nothing():
    logits, targets = random_batch()
    mirrored = (array[:, ::-1, ::-1] for array in (logits, targets))
    before = segmentation_loss(logits, targets, beta=0.4)
    np.testing.assert_allclose(segmentation_loss(*mirrored, beta=0.4), before, rtol=1e-5)


@pytest.mark.parametrize("loss", [losses.segmentation_loss, losses.reconstruction_loss])
def test_gradients_are_finite_at_empty_targets_and_saturated_logits(loss):
    extremes = np.array([-1e4, -200.0, -SURE, 0.0, SURE, 200.0, 1e4], np.float32)
    logits = np.broadcast_to(extremes[:, None, None, None], (7, 4, 4, 1)).copy()
    options = {"beta": 0.6} if loss is losses.segmentation_loss else {}
    for target in (np.zeros_like(logits), np.ones_like(logits)):
        values, gradient = with_gradient(loss, logits, target, **options)
        assert np.isfinite(values).all()
        assert np.isfinite(gradient).all()


def test_without_a_target_tversky_is_flat_and_cross_entropy_still_pulls_down():
    logits = np.array([-1e4, -2.0, 0.0, 2.0], np.float32).repeat(16).reshape(4, 4, 4, 1)
    targets = np.zeros_like(logits)
    values, gradient = with_gradient(losses.tversky, logits, targets, beta=0.6)
    # TP = 0 < FP, but where the probability itself is 0.
    np.testing.assert_array_equal(values[:, 0], [0, 1, 1, 1])
    np.testing.assert_array_equal(gradient, 0)
    _, gradient = with_gradient(losses.balanced_cross_entropy, logits, targets, beta=0.6)
    assert (np.asarray(gradient)[1:] > 0).all()


@pytest.mark.parametrize(
    ("loss", "options"),
    [(losses.segmentation_loss, {"beta": 0.4}), (losses.reconstruction_loss, {})],
)
def test_a_descent_step_improves_each_loss(loss, options):
    logits, targets = random_batch()
    before, gradient = with_gradient(loss, logits, targets, **options)
    after, _ = with_gradient(loss, logits - 0.1 * np.asarray(gradient), targets, **options)
    assert (np.asarray(after) < np.asarray(before)).all()


def test_weighted_mean_of_closed_forms():
    values = np.array([[1.0, 10.0], [2.0, 20.0]], np.float32)
    for weights, mean in (
        ([[1, 1], [1, 1]], 33 / 4),
        ([[1, 0], [3, 0]], 7 / 4),
        ([[0, 0.5], [0, 0]], 10),
    ):
        assert weighted_mean(values, np.array(weights, np.float32)) == mean


def test_nothing_counted_is_zero_with_a_finite_gradient():
    compute = jax.jit(jax.value_and_grad(losses.weighted_mean))
    value, gradient = compute(np.ones((3, 2), np.float32), np.zeros((3, 2), np.float32))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_the_batch_loss_is_the_loss_of_one_large_image():
    logits, targets = random_batch()
    together = batch_tversky(logits, targets, np.ones((4, 2), np.float32), beta=0.4)
    tall = [x.reshape(1, 36, 7, 2) for x in (logits, targets)]
    np.testing.assert_allclose(together, tversky(*tall, beta=0.4)[0], rtol=1e-5)


def test_weights_take_an_image_out_of_the_batch_loss_or_an_output():
    logits, targets = random_batch()
    weights = np.ones((4, 2), np.float32)
    weights[3] = 0
    fewer = batch_tversky(logits[:3], targets[:3], weights[:3], beta=0.4)
    np.testing.assert_allclose(batch_tversky(logits, targets, weights, beta=0.4), fewer, rtol=1e-5)
    weights[:, 1] = 0
    assert batch_tversky(logits, targets, weights, beta=0.4)[1] == 0


def test_an_image_without_target_teaches_by_the_batch_loss_alone():
    logits = np.full((2, 2, 2, 1), 1.0, np.float32)
    targets = np.stack([np.ones((2, 2, 1)), np.zeros((2, 2, 1))]).astype(np.float32)
    _, by_image = with_gradient(losses.tversky, logits, targets, beta=0.4)
    assert not by_image[1].any() and by_image[0].any()
    weights = np.ones((2, 1), np.float32)
    by_batch = jax.grad(lambda x: batch_tversky(x, targets, weights, beta=0.4).sum())(logits)
    assert (by_batch[1] > 0).all() and (by_batch[0] < 0).all()
