"""The anatomical autoencoder of stage 3 (paper, figure 7)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from acsnet_jax.models.blocks import Features


class Autoencoder(nn.Module):
    """Stride-2 3x3 convolutions to a latent vector, and mirrored back by bilinear upsampling.

    Each convolution of the decoder comes before its upsampling, and the last upsampling puts four
    logits of each coarse pixel side by side: nothing is convolved on the full grid, where half of
    all the time would go. No batch normalisation: what a code decodes to must not depend on its
    batch.

    Attributes:
        size: height and width of the masks; divisible by `step`.
        latent: dimension d of the code.
        filters: number of filters of each convolution of the encoder, finest first.
    """

    size: int = 128
    latent: int = 16
    filters: tuple[int, ...] = (16, 32, 32, 64, 64, 64)

    def setup(self):
        """Checks the size and makes the layers."""
        if self.size % self.step:
            raise ValueError(
                f"masks of {self.size} pixels: must be divisible by {self.step} "
                f"for {len(self.filters)} convolutions"
            )
        self.down = [nn.Conv(features, (3, 3), strides=(2, 2)) for features in self.filters]
        self.to_code = nn.Dense(self.latent)
        self.from_code = nn.Dense(self._coarse**2 * self.filters[-1])
        self.up = [nn.Conv(features, (3, 3)) for features in reversed(self.filters[:-1])]
        self.smooth = nn.Conv(self.filters[0], (3, 3))
        self.to_mask = nn.Conv(4, (3, 3))

    @property
    def step(self) -> int:
        """Height and width of a mask are multiples of it."""
        return 2 ** len(self.filters)

    @property
    def _coarse(self) -> int:
        """Height and width at the bottleneck."""
        return self.size // self.step

    def encode(self, masks: Features) -> Float[Array, "batch latent"]:
        """Codes of masks ``[batch, size, size, 1]`` with values in [0, 1]."""
        hidden = masks
        for convolution in self.down:
            hidden = nn.leaky_relu(convolution(hidden))
        return self.to_code(hidden.reshape(hidden.shape[0], -1))

    def decode(self, codes: Float[Array, "batch latent"]) -> Features:
        """Logits ``[batch, size, size, 1]`` of the masks that the codes stand for."""
        hidden = nn.leaky_relu(self.from_code(codes))
        hidden = hidden.reshape(hidden.shape[0], self._coarse, self._coarse, self.filters[-1])
        for convolution in self.up:
            hidden = doubled(nn.leaky_relu(convolution(hidden)))
        logits = self.to_mask(nn.leaky_relu(self.smooth(hidden)))
        batch, height, width, _ = logits.shape
        # [batch, height, width, 2 x 2] to [batch, height, 2, width, 2]
        cells = jnp.swapaxes(logits.reshape(batch, height, width, 2, 2), 2, 3)
        return cells.reshape(batch, 2 * height, 2 * width, 1)

    def __call__(self, masks: Features, *, train: bool = False) -> Features:
        """Logits of the reconstructed masks; `train` changes nothing."""
        del train
        return self.decode(self.encode(masks))


def doubled(inputs: Features) -> Float[Array, "batch height2 width2 channels"]:
    """Bilinear upsampling by 2, as `jax.image.resize`; by shifts, several times faster on a CPU."""
    for axis in (1, 2):
        inputs = _doubled_along(inputs, axis)
    return inputs


def _doubled_along(inputs, axis):
    size = inputs.shape[axis]
    padding = [(0, 0)] * inputs.ndim
    padding[axis] = (1, 1)
    padded = jnp.pad(inputs, padding, mode="edge")
    before, after = (jax.lax.slice_in_dim(padded, k, k + size, axis=axis) for k in (0, 2))
    pair = jnp.stack([0.75 * inputs + 0.25 * before, 0.75 * inputs + 0.25 * after], axis + 1)
    return pair.reshape(*inputs.shape[:axis], 2 * size, *inputs.shape[axis + 1 :])


def parameter_count(params: PyTree) -> int:
    """Number of trainable scalars in a parameter tree."""
    return sum(int(leaf.size) for leaf in jax.tree.leaves(params))
