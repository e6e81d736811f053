"""Layers that the networks share. Images are ``[batch, height, width, channels]``."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

Features = Float[Array, "batch height width channels"]


class ResidualBlock(nn.Module):
    """Twice convolution 3x3, ReLU, batch normalisation; plus a 1x1 projection of the input.

    Attributes:
        features: number of filters.
        dtype: of the computation; parameters stay float32.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: Features, *, train: bool
    ) -> Float[Array, "batch height width features"]:
        """Same height and width, `features` channels."""
        hidden = inputs
        for _ in range(2):
            hidden = nn.Conv(self.features, (3, 3), dtype=self.dtype)(hidden)
            hidden = nn.relu(hidden)
            hidden = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype)(
                hidden
            )
        return hidden + nn.Conv(self.features, (1, 1), dtype=self.dtype)(inputs)


def max_pool(inputs: Features) -> Float[Array, "batch height2 width2 channels"]:
    """2x2 max pooling by reshape: its gradient is fast on CPU and deterministic on GPU."""
    batch, height, width, channels = inputs.shape
    # [batch, height / 2, 2, width / 2, 2, channels]
    cells = inputs.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return cells.max(axis=(2, 4))


def patches(
    inputs: Features, side: int
) -> Float[Array, "batch height_by_side width_by_side channels_of_all"]:
    """Squares of `side` pixels as one pixel, whose channels are all of theirs, row by row."""
    batch, height, width, channels = inputs.shape
    cells = inputs.reshape(batch, height // side, side, width // side, side, channels)
    return jnp.swapaxes(cells, 2, 3).reshape(batch, height // side, width // side, -1)


def pixels(
    inputs: Float[Array, "batch height_by_side width_by_side channels_of_all"], side: int
) -> Features:
    """The inverse of `patches`."""
    batch, height, width, channels = inputs.shape
    cells = inputs.reshape(batch, height, width, side, side, channels // side**2)
    return jnp.swapaxes(cells, 2, 3).reshape(batch, height * side, width * side, -1)


class UpConvolution(nn.Module):
    """Transposed convolution 2x2 with stride 2, as one matrix product and a reshape.

    The same mathematics and parameters as ``flax.linen.ConvTranspose(features, (2, 2), (2, 2))``:
    no two kernel positions meet, so each input pixel makes four output pixels by itself. XLA's
    general transposed convolution costs a CPU several times as much.

    Attributes:
        features: number of filters.
        dtype: of the computation; parameters stay float32.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: Features) -> Float[Array, "batch height2 width2 features"]:
        """Twice the height and width, `features` channels."""
        batch, height, width, channels = inputs.shape
        shape = (2, 2, channels, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        # A transposed convolution runs through its kernel backwards.
        weights = jnp.moveaxis(kernel[::-1, ::-1], 2, 0).reshape(channels, -1).astype(self.dtype)
        squares = inputs.reshape(-1, channels).astype(self.dtype) @ weights
        image = pixels(squares.reshape(batch, height, width, -1), 2)
        return image + bias.reshape(1, 1, 1, -1).astype(self.dtype)
