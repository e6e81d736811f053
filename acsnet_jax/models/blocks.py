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
