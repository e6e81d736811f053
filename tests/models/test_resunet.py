import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax.models import ResUNet, parameter_count
from acsnet_jax.models.blocks import UpConvolution, max_pool, patches, pixels

KEY = jax.random.key(0)
SMALL = ResUNet(filters=(4,), bridge=8, outputs=2)


@functools.cache
def compiled(**changes):
    """SMALL, with some attributes changed, in prediction and in training, compiled."""
    model = SMALL.clone(**changes)
    train = functools.partial(model.apply, train=True, mutable=["batch_stats"])
    return jax.jit(functools.partial(model.apply, train=False)), jax.jit(
        lambda variables, images, key: train(variables, images, rngs={"dropout": key})
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 8, 12, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    """Random ones, without compiling the initialisation; as variances they are positive."""
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: rng.uniform(0.02, 0.4, leaf.shape).astype(leaf.dtype), shapes(SMALL)
    )


def convolution(size, inputs, outputs):
    return size * size * inputs * outputs + outputs


def block(inputs, features):
    """Two 3x3 convolutions, each with scale and offset, and a 1x1 projection."""
    first = convolution(3, inputs, features) + 2 * features
    second = convolution(3, features, features) + 2 * features
    return first + second + convolution(1, inputs, features)


def unet(filters, bridge, outputs):
    """Figure 6, level by level: down, bridge, and up over transposed 2x2 convolutions."""
    down = sum(block(a, b) for a, b in zip((1, *filters[:-1]), filters, strict=True))
    coarser = (*filters[1:], bridge)
    up = sum(
        convolution(2, below, features) + block(2 * features, features)
        for features, below in zip(filters, coarser, strict=True)
    )
    return down + block(filters[-1], bridge) + up + convolution(1, filters[0], outputs)


def shapes(model, size=32):
    """Variables without computing any."""
    images = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
    return jax.eval_shape(functools.partial(model.init, train=False), KEY, images)


@pytest.mark.parametrize(
    ("filters", "bridge", "outputs", "count"),
    [
        ((32, 64, 128, 256), 512, 1, 8_115_073),  # stage 1
        ((64, 128, 256, 512), 1024, 2, 32_438_082),  # stage 2
        ((8, 16, 32, 64), 128, 1, 509_281),  # configs/emidec_cpu
        ((4, 8), 8, 2, 5_246),
    ],
)
def test_architectures_are_pinned_by_their_parameter_count(filters, bridge, outputs, count):
    model = ResUNet(filters=filters, bridge=bridge, outputs=outputs)
    assert parameter_count(shapes(model)["params"]) == unet(filters, bridge, outputs) == count


def test_one_logit_for_each_pixel_and_output(images, variables):
    predict, _ = compiled()
    logits = predict(variables, images)
    assert logits.shape == (3, 8, 12, 2)
    assert logits.dtype == jnp.float32
    assert np.isfinite(logits).all()
    assert set(variables) == {"params", "batch_stats"}


@pytest.mark.parametrize(("height", "width"), [(16, 18), (18, 16), (2, 16)])
def test_sizes_that_cannot_be_halved_are_refused(height, width):
    model = ResUNet(filters=(4, 8), bridge=8, outputs=1)
    with pytest.raises(ValueError, match=f"{height} x {width} pixels: both must be divisible by 4"):
        jax.eval_shape(lambda x: model.init(KEY, x, train=False), jnp.zeros((1, height, width, 1)))


@pytest.mark.parametrize(("side", "channels"), [(1, 2), (2, 3), (4, 1)])
def test_patches_are_channels_row_by_row_and_back(side, channels):
    image = jnp.arange(8.0 * 12 * channels).reshape(1, 8, 12, channels)
    found = patches(image, side)
    assert found.shape == (1, 8 // side, 12 // side, channels * side**2)
    np.testing.assert_array_equal(
        found[0, 1, 2], image[0, side : 2 * side, 2 * side : 3 * side].reshape(-1)
    )
    np.testing.assert_array_equal(pixels(found, side), image)


def test_with_patches_the_network_is_one_of_half_the_size(images):
    """Of four times the channels and outputs, and every pixel has its own logits."""
    whole, inner = SMALL.clone(patch=2), SMALL.clone(outputs=8)
    rng = np.random.default_rng(3)
    variables = jax.tree.map(
        lambda leaf: rng.uniform(0.02, 0.4, leaf.shape).astype(leaf.dtype), shapes(whole)
    )
    logits = jax.jit(functools.partial(whole.apply, train=False))(variables, images)
    assert logits.shape == (3, 8, 12, 2)
    quarters = patches(jnp.asarray(images), 2)
    half = jax.jit(functools.partial(inner.apply, train=False))(variables, quarters)
    np.testing.assert_allclose(logits, pixels(half, 2), rtol=1e-5)
    with pytest.raises(ValueError, match="divisible by 4 for 1 levels and patches of 2"):
        jax.eval_shape(lambda x: whole.init(KEY, x, train=False), jnp.zeros((1, 6, 8, 1)))


def test_the_computation_may_be_narrower_than_the_parameters(images, variables):
    narrow = SMALL.clone(dtype=jnp.bfloat16)
    expected = compiled()[0](variables, images)
    with jax.numpy_dtype_promotion("standard"):  # Flax's batch normalisation mixes the two
        assert {leaf.dtype for leaf in jax.tree.leaves(shapes(narrow))} == {np.dtype("float32")}
        logits = compiled(dtype=jnp.bfloat16)[0](variables, images)
    assert logits.dtype == jnp.float32
    assert (logits != expected).any()
    np.testing.assert_allclose(logits, expected, rtol=0.02)


def test_prediction_does_not_depend_on_the_batch_and_training_does(images, variables):
    predict, train = compiled(dropout=0.0)
    together = predict(variables, images)
    np.testing.assert_allclose(predict(variables, images[:1]), together[:1], atol=1e-5)
    trained, updates = train(variables, images, KEY)
    assert np.abs(trained - together).max() > 1e-3
    before = jax.tree.leaves(variables["batch_stats"])
    after = jax.tree.leaves(updates["batch_stats"])
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


def test_dropout_follows_its_key(images, variables):
    _, train = compiled()
    first, second = jax.random.split(KEY)
    once, again, other = (train(variables, images, key)[0] for key in (first, first, second))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()


def test_pooling_is_flax_max_pooling_with_its_gradient():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2, 4, 6, 3)).astype(np.float32)
    weights = rng.normal(size=(2, 2, 3, 3)).astype(np.float32)

    def reference(x):
        return nn.max_pool(x, (2, 2), strides=(2, 2))

    @functools.partial(jax.jit, static_argnums=0)
    def pooled(pool, x):
        result, pull_back = jax.vjp(pool, x)
        return result, pull_back(weights)

    both = (pooled(pool, features) for pool in (max_pool, reference))
    for result, expected in zip(*both, strict=True):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 0.05)], ids=["float32", "bfloat16"]
)
def test_up_convolution_is_flax_transposed_convolution_with_its_parameters(dtype, tolerance):
    rng = np.random.default_rng(2)
    inputs = jnp.asarray(rng.normal(size=(2, 3, 5, 4)), jnp.float32)
    shapes = {"kernel": (2, 2, 4, 6), "bias": (6,)}
    params = {name: jnp.asarray(rng.normal(size=s), jnp.float32) for name, s in shapes.items()}
    theirs = nn.ConvTranspose(6, (2, 2), strides=(2, 2), dtype=dtype)
    ours = UpConvolution(6, dtype)
    made, expected = (jax.eval_shape(layer.init, KEY, inputs) for layer in (ours, theirs))
    assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, expected)

    def outputs_and_gradients(layer):
        outputs, pull = jax.vjp(lambda p, x: layer.apply({"params": p}, x), params, inputs)
        assert outputs.dtype == dtype
        return outputs, pull(jnp.ones_like(outputs))

    found, wanted = map(outputs_and_gradients, (ours, theirs))
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        expected = np.asarray(other, np.float32)
        atol = tolerance * np.abs(expected).max()
        np.testing.assert_allclose(np.asarray(leaf, np.float32), expected, atol=atol)


def test_up_convolution_is_named_as_flax_names_its_own():
    assert "ConvTranspose_0" in shapes(SMALL)["params"]
