"""The anatomical autoencoder of stage 3 (paper, figure 7; sizes in design section 4)."""

import flax.linen as nn
import jax
from jaxtyping import Array, Float, PyTree

from acsnet_jax.models.blocks import Features


class Autoencoder(nn.Module):
    """Stride-2 3x3 convolutions to a latent vector, and mirrored back by bilinear upsampling.

    No batch normalisation: what a code decodes to must not depend on its batch.

    Attributes:
        size: height and width of the masks; divisible by ``2 ** len(filters)``.
        latent: dimension d of the code.
        filters: number of filters of each convolution of the encoder, finest first.
    """

    size: int = 128
    latent: int = 16
    filters: tuple[int, ...] = (16, 32, 32, 64, 64, 64)

    def setup(self):
        """Checks the size and makes the layers."""
        if self.size % 2 ** len(self.filters):
            raise ValueError(
                f"masks of {self.size} pixels: must be divisible by {2 ** len(self.filters)} "
                f"for {len(self.filters)} convolutions"
            )
        self.down = [nn.Conv(features, (3, 3), strides=(2, 2)) for features in self.filters]
        self.to_code = nn.Dense(self.latent)
        self.from_code = nn.Dense(self._coarse**2 * self.filters[-1])
        mirrored = (*reversed(self.filters[:-1]), self.filters[0])
        self.up = [nn.Conv(features, (3, 3)) for features in mirrored]
        self.to_mask = nn.Conv(1, (3, 3))

    @property
    def _coarse(self) -> int:
        """Height and width at the bottleneck."""
        return self.size // 2 ** len(self.filters)

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
            batch, height, width, channels = hidden.shape
            shape = (batch, 2 * height, 2 * width, channels)
            hidden = nn.leaky_relu(convolution(jax.image.resize(hidden, shape, "bilinear")))
        return self.to_mask(hidden)

    def __call__(self, masks: Features, *, train: bool = False) -> Features:
        """Logits of the reconstructed masks; `train` changes nothing."""
        del train
        return self.decode(self.encode(masks))


def parameter_count(params: PyTree) -> int:
    """Number of trainable scalars in a parameter tree."""
    return sum(int(leaf.size) for leaf in jax.tree.leaves(params))
