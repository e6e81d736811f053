"""What a trained system is, in one folder: JSON and NumPy arrays, never pickle.

``bundle.json`` holds the version, the networks' sizes, the input spec, delta's thresholds and how
the system is used; ``lv.npz``, ``myo.npz`` and ``autoencoder.npz`` the networks' variables;
``latent.npz`` mixture and population; ``manifest.json`` size and SHA-256 of each of these, and
dtype and shape of each array, all of which is checked before an array is read. Stages 1 and 2 may
be ensembles, whose further members are ``lv_2.npz``, ``myo_2.npz`` and so on. A bundle without the
two segmentation networks is stage 3 alone, which checks and corrects masks from anywhere. In
compact form a bundle keeps half of the precision, and of the population the codes only.

- `FORMAT`: of what is written.
- `Latent`: stage 3's latent space.
- `NETWORKS`: the networks of a whole cascade.
- `Network`: a network's constructor arguments and its variables.
- `check_absent`: refuse to write where something is.
- `digest`: tells bundles apart by all that they hold.
- `load`: a bundle's callables.
- `load_corrector`: its stage 3.
- `provenance`: what a bundle says of itself.
- `save`: write one.
- `seal`: give a bundle of an older format its manifest.
"""

from acsnet_jax.bundle.manifest import digest
from acsnet_jax.bundle.record import FORMAT, NETWORKS
from acsnet_jax.bundle.system import (
    Latent,
    Network,
    check_absent,
    load,
    load_corrector,
    provenance,
    save,
    seal,
)

__all__ = [
    "FORMAT",
    "NETWORKS",
    "Latent",
    "Network",
    "check_absent",
    "digest",
    "load",
    "load_corrector",
    "provenance",
    "save",
    "seal",
]
