"""Stage 3 from phantom shapes alone: the prior that ships with the package."""

import logging
import math
import pathlib

import jax
import numpy as np
from jax.tree_util import Partial

from acsnet_jax import anatomy, bundle, latent
from acsnet_jax.correction import CorrectionOptions
from acsnet_jax.correction.check import as_leaves
from acsnet_jax.models import Autoencoder, Decode, Encode
from acsnet_jax.pipeline import Inference
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.prior import decoded_population, half_precision
from acsnet_jax.synthesis.shapes import ShapeOptions, draw_plausible
from acsnet_jax.training.augment import Augment
from acsnet_jax.training.latent_space import ExpertMasks, encode_masks, quality_of
from acsnet_jax.training.masks import train_autoencoder
from acsnet_jax.training.settings import Config, Optimisation, build_model, from_config
from acsnet_jax.types import InputError

_LOG = logging.getLogger(__name__)
_SPARE = 1.02  # codes drawn for each that is kept, since rounding them makes few masks invalid


def make_prior(config: Config, workdir: pathlib.Path) -> None:
    """Draw shapes, train the autoencoder, fit mixture and population; write a compact bundle.

    Args:
        config: as in ``configs/prior.py``.
        workdir: the bundle's folder; must not exist, or be empty.

    Raises:
        InputError: the folder exists, or hardly any shape or any decoded mask is plausible.
        FloatingPointError: the autoencoder's loss is not finite; names the step.
    """
    bundle.check_absent(workdir)
    for name in ("train", "held_out"):
        if config[name] < 1:
            raise InputError(f"config.{name} is {config[name]}: give 1 or more shapes")
    spec = from_config(InputSpec, config.spec)
    if spec.myo_spacing_mm is None:
        raise InputError("config.spec.myo_spacing_mm is not set; shapes are drawn at one spacing")
    thresholds = anatomy.Thresholds(**config.thresholds.to_dict())
    spacing = (spec.myo_spacing_mm,) * 2
    delta = Partial(
        anatomy.is_valid, spacing_mm=as_leaves(spacing), thresholds=as_leaves(thresholds)
    )
    shapes = draw_plausible(
        np.random.default_rng(config.seed),
        config.train + config.held_out,
        delta,
        size=spec.mask_size,
        spacing_mm=spec.myo_spacing_mm,
        options=from_config(ShapeOptions, config.shapes),
    )
    train, held_out = np.split(shapes, [config.train])
    model = build_model("autoencoder", config.model.to_dict(), spec)
    assert isinstance(model, Autoencoder)
    variables = half_precision(
        train_autoencoder(
            train,
            model,
            augment=from_config(Augment, config.augment),
            optimisation=from_config(Optimisation, config.optimisation),
            seed=config.seed,
        )
    )
    encode, decode = Encode(model, variables), Decode(model, variables)

    mixture = latent.fit_mixture(encode_masks(train, encode), config.components, seed=config.seed)
    drawn, acceptance = latent.draw_population(
        jax.random.key(config.seed),
        mixture,
        decode,
        delta,
        math.ceil(_SPARE * config.population),
        batch=config.batch,
    )
    population = decoded_population(np.asarray(drawn.codes, np.float16), decode, delta)
    population = jax.tree.map(lambda leaf: leaf[: config.population], population)
    unseen = ExpertMasks(
        held_out,
        np.full((len(held_out), 2), spec.myo_spacing_mm, np.float32),
        np.arange(len(held_out)),
    )
    quality = quality_of(unseen, encode, decode, thresholds)
    _LOG.info(
        "%d held-out shapes rebuilt at Dice %.3f, %.1f%% of the reconstructions valid; "
        "population: %d codes, %.1f%% accepted",
        quality.masks,
        quality.dice,
        100 * quality.valid_reconstructions,
        len(population.codes),
        100 * acceptance,
    )
    sizes = {**config.model.to_dict(), "size": spec.mask_size}
    bundle.save(
        workdir,
        {"autoencoder": bundle.Network(sizes, variables)},
        bundle.Latent(thresholds, mixture, population),
        spec,
        Inference(),
        from_config(CorrectionOptions, config.correction),
        training={
            "data": {"format": "shapes", **config.shapes.to_dict(), "seed": config.seed},
            "shapes": config.train,
            "acceptance": acceptance,
            "masks": {"held-out shapes": quality._asdict()},
        },
        compact=True,
    )
