"""The residual U-Net of stages 1 and 2 (paper, figure 6)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from acsnet_jax.models.blocks import (
    Features,
    ResidualBlock,
    UpConvolution,
    max_pool,
    patches,
    pixels,
)


class ResUNet(nn.Module):
    """A U-Net of residual blocks with max pooling, dropout and transposed 2x2 convolutions.

    Height and width must be divisible by `step`.

    Attributes:
        filters: number of filters of each level, finest first.
        bridge: number of filters of the coarsest level.
        outputs: number of masks: 1 in stage 1, 2 in stage 2 (myocardium, enhancement), or 3 with
            no-reflow.
        dropout: rate after each pooling and before each block on the way up.
        patch: side in pixels of what the finest level takes as one. With 2 four pixels are channels
            of one, and the last layer tells them apart again: what full size costs is left out.
        dtype: of the computation; parameters and logits stay float32.
    """

    filters: tuple[int, ...]
    bridge: int
    outputs: int
    dropout: float = 0.2
    patch: int = 1
    dtype: Any = jnp.float32

    @property
    def step(self) -> int:
        """Height and width of an image are multiples of it."""
        return self.patch * 2 ** len(self.filters)

    @nn.compact
    def __call__(
        self, images: Features, *, train: bool
    ) -> Float[Array, "batch height width outputs"]:
        """Logits of each mask.

        Args:
            images: a channel for the slice, then one for each of its neighbours, if the network
                sees any; intensities in [0, 255].
            train: use batch statistics and dropout (needs the key "dropout").

        Raises:
            ValueError: height or width is not divisible by `step`.
        """
        step = self.step
        if images.shape[1] % step or images.shape[2] % step:
            raise ValueError(
                f"image of {images.shape[1]} x {images.shape[2]} pixels: both must be divisible "
                f"by {step} for {len(self.filters)} levels and patches of {self.patch}"
            )
        drop = nn.Dropout(self.dropout, deterministic=not train)
        hidden = patches(images / 127.5 - 1.0, self.patch).astype(self.dtype)
        skips = []
        for features in self.filters:
            hidden = ResidualBlock(features, self.dtype)(hidden, train=train)
            skips.append(hidden)
            hidden = drop(max_pool(hidden))
        hidden = ResidualBlock(self.bridge, self.dtype)(hidden, train=train)
        ups = zip(reversed(self.filters), reversed(skips), strict=True)
        for level, (features, skip) in enumerate(ups):
            # named as Flax named its own: bundles and checkpoints stay readable
            hidden = UpConvolution(features, self.dtype, name=f"ConvTranspose_{level}")(hidden)
            hidden = drop(jnp.concatenate([hidden, skip], axis=-1))
            hidden = ResidualBlock(features, self.dtype)(hidden, train=train)
        last = nn.Conv(self.outputs * self.patch**2, (1, 1), dtype=jnp.float32)
        return pixels(last(hidden.astype(jnp.float32)), self.patch)
