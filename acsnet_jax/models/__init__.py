"""The three networks and how they are called. Flax is imported here, in `training` and `bundle`."""

from acsnet_jax.models.autoencoder import Autoencoder, parameter_count
from acsnet_jax.models.networks import Decode, Delineate, Encode, Localise
from acsnet_jax.models.resunet import ResUNet

__all__ = [
    "Autoencoder",
    "Decode",
    "Delineate",
    "Encode",
    "Localise",
    "ResUNet",
    "parameter_count",
]
