import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acsnet_jax.models import Autoencoder, parameter_count
from acsnet_jax.models.autoencoder import doubled

KEY = jax.random.key(0)
SMALL = Autoencoder(size=16, latent=3, filters=(4, 8))


def convolution(inputs, outputs):
    return 9 * inputs * outputs + outputs


def dense(inputs, outputs):
    return inputs * outputs + outputs


def autoencoder(size, latent, filters):
    """Figure 7: convolutions down to the code, and the same number mirrored back."""
    coarse = (size // 2 ** len(filters)) ** 2 * filters[-1]
    down = sum(convolution(a, b) for a, b in zip((1, *filters[:-1]), filters, strict=True))
    mirrored = filters[::-1]
    up = sum(convolution(a, b) for a, b in itertools.pairwise(mirrored))
    last = convolution(filters[0], filters[0]) + convolution(filters[0], 4)
    return down + dense(coarse, latent) + dense(latent, coarse) + up + last


def shapes(model):
    masks = jax.ShapeDtypeStruct((1, model.size, model.size, 1), jnp.float32)
    return jax.eval_shape(model.init, KEY, masks)


@pytest.mark.parametrize(
    ("size", "latent", "filters", "count"),
    [
        (128, 16, (16, 32, 32, 64, 64, 64), 223_956),  # design section 4
        (64, 16, (16, 32, 32, 64, 64), 150_100),  # configs/quickstart
        (16, 3, (4, 8), 1_823),
    ],
)
def test_architectures_are_pinned_by_their_parameter_count(size, latent, filters, count):
    model = Autoencoder(size=size, latent=latent, filters=filters)
    assert parameter_count(shapes(model)["params"]) == autoencoder(size, latent, filters) == count


def test_the_default_is_the_design():
    model = Autoencoder()
    assert (model.size, model.latent, len(model.filters)) == (128, 16, 6)
    assert set(shapes(model)) == {"params"}  # no batch statistics


@pytest.fixture(scope="module")
def variables():
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: (0.3 * rng.normal(size=leaf.shape)).astype(leaf.dtype), shapes(SMALL)
    )


@functools.partial(jax.jit, static_argnames=("method", "train"))
def apply(variables, inputs, **options):
    return SMALL.apply(variables, inputs, **options)


def test_masks_become_codes_become_masks(variables):
    masks = (jax.random.uniform(KEY, (5, 16, 16, 1)) > 0.5).astype(jnp.float32)
    codes = apply(variables, masks, method="encode")
    assert codes.shape == (5, 3)
    logits = apply(variables, codes, method="decode")
    assert logits.shape == (5, 16, 16, 1)
    np.testing.assert_allclose(apply(variables, masks), logits, atol=1e-6)
    np.testing.assert_allclose(apply(variables, masks, train=True), logits, atol=1e-6)


def test_a_code_decodes_alike_in_any_batch(variables):
    codes = jax.random.normal(KEY, (7, 3))
    together = apply(variables, codes, method="decode")
    for index in range(7):
        alone = apply(variables, codes[index : index + 1], method="decode")
        np.testing.assert_allclose(alone[0], together[index], atol=1e-5)
    backwards = apply(variables, codes[::-1], method="decode")
    np.testing.assert_allclose(backwards[::-1], together, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 1, 2, 1)])
def test_doubling_is_bilinear_resizing(shape):
    batch, height, width, channels = shape
    inputs = jax.random.normal(KEY, shape)
    expected = jax.image.resize(inputs, (batch, 2 * height, 2 * width, channels), "bilinear")
    np.testing.assert_allclose(doubled(inputs), expected, atol=1e-6)


def test_sizes_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="masks of 24 pixels: must be divisible by 16"):
        shapes(Autoencoder(size=24, filters=(4, 4, 4, 4)))
