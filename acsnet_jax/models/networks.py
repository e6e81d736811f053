"""How a trained network is called.

Each callable is a pytree: its architecture is static, its variables are leaves. So it goes through
``jit`` as an argument, and networks of one architecture share one compiled program, whatever their
weights; a second process finds that program in the compilation cache.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from acsnet_jax.models.autoencoder import Autoencoder
from acsnet_jax.models.resunet import ResUNet

Slices = Float[Array, "n *channels size size"]
"""One slice an image; or each with its neighbours, ``[n, channels, size, size]``."""

_pytree = functools.partial(
    jax.tree_util.register_dataclass, data_fields=["variables"], meta_fields=["model"]
)
_ensemble = functools.partial(
    jax.tree_util.register_dataclass, data_fields=["members"], meta_fields=[]
)


@_pytree
@dataclasses.dataclass(frozen=True)
class Localise:
    """Stage 1: images in [0, 255] to LV probabilities ``[n, size, size]``.

    Attributes:
        model: the architecture.
        variables: what its ``apply`` takes.
    """

    model: ResUNet
    variables: PyTree

    def __call__(self, images: Slices) -> Float[Array, "n size size"]:
        """Probabilities of the LV."""
        return _probabilities(self.model, self.variables, images)[..., 0]


@_pytree
@dataclasses.dataclass(frozen=True)
class Delineate:
    """Stage 2: images in [0, 255] to probabilities of each output.

    Attributes:
        model: the architecture.
        variables: what its ``apply`` takes.
    """

    model: ResUNet
    variables: PyTree

    def __call__(self, images: Slices) -> Float[Array, "n size size outputs"]:
        """Probabilities of myocardium and enhancement, and of no-reflow if it has this output."""
        return _probabilities(self.model, self.variables, images)


@_pytree
@dataclasses.dataclass(frozen=True)
class Encode:
    """Stage 3: masks ``[n, size, size]`` in [0, 1] to codes ``[n, latent]``.

    Attributes:
        model: the architecture.
        variables: what its ``apply`` takes.
    """

    model: Autoencoder
    variables: PyTree

    def __call__(self, masks: Float[Array, "n size size"]) -> Float[Array, "n latent"]:
        """The codes."""
        return _encode(self.model, self.variables, masks)


@_pytree
@dataclasses.dataclass(frozen=True)
class Decode:
    """Stage 3: codes ``[n, latent]`` to masks ``Bool[n, size, size]``.

    Attributes:
        model: the architecture.
        variables: what its ``apply`` takes.
    """

    model: Autoencoder
    variables: PyTree

    def __call__(self, codes: Float[Array, "n latent"]) -> Bool[Array, "n size size"]:
        """The masks."""
        return _decode(self.model, self.variables, codes)


def channels_last(images: Shaped[Array, "n *channels size size"]) -> Shaped[Array, "n size size c"]:
    """Slices, with neighbours or without, as convolutions take them."""
    return images[..., None] if images.ndim == 3 else jnp.moveaxis(images, 1, -1)


@_ensemble
@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Networks of one kind whose probabilities are averaged.

    Attributes:
        members: `Localise` or `Delineate`, trained apart.
    """

    members: tuple[Localise | Delineate, ...]

    def __call__(self, images: Slices) -> Float[Array, "n size size *outputs"]:
        """The mean of the members' probabilities."""
        total = self.members[0](images)
        for member in self.members[1:]:
            total = total + member(images)
        return total / len(self.members)


@functools.partial(jax.jit, static_argnums=0)
def _probabilities(
    model: ResUNet, variables: PyTree, images: Slices
) -> Float[Array, "n size size outputs"]:
    logits = model.apply(variables, channels_last(images), train=False)
    return jax.nn.sigmoid(jnp.asarray(logits))


@functools.partial(jax.jit, static_argnums=0)
def _encode(
    model: Autoencoder, variables: PyTree, masks: Float[Array, "n size size"]
) -> Float[Array, "n latent"]:
    return jnp.asarray(model.apply(variables, masks[..., None], method="encode"))


@functools.partial(jax.jit, static_argnums=0)
def _decode(
    model: Autoencoder, variables: PyTree, codes: Float[Array, "n latent"]
) -> Bool[Array, "n size size"]:
    return jnp.asarray(model.apply(variables, codes, method="decode"))[..., 0] > 0
