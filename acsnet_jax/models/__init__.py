"""The three networks. Only here and in `training` and `bundle` is Flax imported."""

from acsnet_jax.models.autoencoder import Autoencoder, parameter_count
from acsnet_jax.models.resunet import ResUNet

__all__ = ["Autoencoder", "ResUNet", "parameter_count"]
