"""The three networks and how they are called. Flax is imported here, in `training` and `bundle`.

- `Autoencoder`: stage 3's network.
- `parameter_count`: how many numbers a network learns.
- `Decode`: a trained autoencoder: codes to masks.
- `Delineate`: a trained stage 2: images to probabilities of myocardium and enhancement.
- `Ensemble`: several trained networks of stage 1 or 2, averaged.
- `Encode`: a trained autoencoder: masks to codes.
- `Localise`: a trained stage 1: images to probabilities of the LV.
- `ResUNet`: the network of stages 1 and 2.
"""

from acsnet_jax.models.autoencoder import Autoencoder, parameter_count
from acsnet_jax.models.networks import Decode, Delineate, Encode, Ensemble, Localise
from acsnet_jax.models.resunet import ResUNet

__all__ = [
    "Autoencoder",
    "Decode",
    "Delineate",
    "Encode",
    "Ensemble",
    "Localise",
    "ResUNet",
    "parameter_count",
]
