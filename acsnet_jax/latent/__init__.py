"""The latent space of valid masks: mixture, population, neighbours and the correction itself.

``encode``, ``decode`` and ``is_valid`` come in as callables on whole batches, so nothing here
knows a network or a heart:

- ``encode``: ``Float32[n, height, width]`` in [0, 1] to codes ``Float32[n, latent]``;
- ``decode``: codes to masks ``Bool[n, height, width]``;
- ``is_valid``: masks to ``Bool[n]`` (delta).
"""

from acsnet_jax.latent.correction import correct
from acsnet_jax.latent.memory import block_within
from acsnet_jax.latent.mixture import (
    Mixture,
    Score,
    adjusted_aic,
    choose,
    effective_rank,
    fit_mixture,
    log_prob,
    sample,
    select,
)
from acsnet_jax.latent.neighbours import nearest
from acsnet_jax.latent.population import (
    AcceptanceError,
    Accepted,
    draw_batches,
    draw_population,
    pack_masks,
    unpack_masks,
)

__all__ = [
    "AcceptanceError",
    "Accepted",
    "Mixture",
    "Score",
    "adjusted_aic",
    "block_within",
    "choose",
    "correct",
    "draw_batches",
    "draw_population",
    "effective_rank",
    "fit_mixture",
    "log_prob",
    "nearest",
    "pack_masks",
    "sample",
    "select",
    "unpack_masks",
]
