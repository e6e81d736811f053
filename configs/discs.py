"""Discs instead of hearts: the latent correction of a shape of one's own, from start to end.

    python -m experiments.discs --config=configs/discs.py --workdir=runs/discs

takes 110 seconds on a shared 2-core AMD EPYC. Discs are made up, held-out ones damaged in five
ways and mended: none of the damaged masks is valid, 38.8% are after the largest component was kept
and its holes filled, 100% after the latent correction; mean Dice 0.898, 0.836 and 0.951.
Writes discs.png and discs.json.
"""

import ml_collections

from acsnet_jax.training.augment import Augment
from acsnet_jax.training.settings import Optimisation
from configs import common


def get_config():
    return ml_collections.ConfigDict(
        {
            "workdir": "runs/discs",
            "seed": 0,
            "train": 2000,  # discs
            "held_out": 200,  # discs, each damaged in every way
            "strength": 3,  # of the damage, 1 to 5
            # nine numbers make a disc: place, size, and three harmonics of its outline
            "model": {"size": 64, "latent": 8, "filters": (8, 16, 16, 32)},
            # discs come in all places and sizes already; quarter turns and mirrorings are free
            "augment": common.section(
                Augment(rotation_deg=0.0, scale=0.0, shift_px=0.0, damage=0.5)
            ),
            "optimisation": common.section(
                Optimisation(epochs=40, batch_size=16, learning_rate=3e-3)
            ),
            "components": 10,  # of the Gaussian mixture
            "population": 5_000,
        }
    )
