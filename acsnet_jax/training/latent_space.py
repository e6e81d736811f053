"""Stage 3's latent space from a trained autoencoder: thresholds, mixture, population."""

import dataclasses
import logging
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from acsnet_jax import anatomy, latent
from acsnet_jax.bundle import Latent
from acsnet_jax.metrics import dice
from acsnet_jax.preprocess.grid import to_working
from acsnet_jax.preprocess.stages import Spec
from acsnet_jax.training.datasets import mask_dataset
from acsnet_jax.types import Label, Scan

_LOG = logging.getLogger(__name__)
_BATCH = 256


@dataclasses.dataclass(frozen=True)
class LatentOptions:
    """How the latent space is filled.

    Attributes:
        components: of the Gaussian mixture (design section 4: 6).
        population: number of valid codes.
        coverage: share of the expert masks that each criterion alone accepts.
        gap_max_deg: widest gap of an open slice; 0 forbids open slices.
        batch: codes decoded and checked at once.
        seed: of mixture and population.
    """

    components: int = 6
    population: int = 100_000
    coverage: float = 0.99
    gap_max_deg: float = 100.0
    batch: int = 1024
    seed: int = 0


class Quality(NamedTuple):
    """How well the autoencoder and the latent space stand for expert masks.

    Attributes:
        masks: number of expert masks.
        dice: mean Dice of masks and their reconstructions.
        valid_experts: share of the masks that satisfy delta.
        valid_reconstructions: share of the reconstructions that do.
    """

    masks: int
    dice: float
    valid_experts: float
    valid_reconstructions: float


class LatentSpace(NamedTuple):
    """A latent space and how good it is.

    Attributes:
        latent: thresholds, mixture, population.
        max_change: fitted threshold of `acsnet_jax.anatomy.trim_stack`.
        acceptance: share of the mixture's samples that decode to valid masks.
        train: quality on the training masks.
        test: quality on held-out masks; None without any.
    """

    latent: Latent
    max_change: float
    acceptance: float
    train: Quality
    test: Quality | None


def fit_latent_space(
    train: list[Scan],
    test: list[Scan],
    spec: Spec,
    encode: Callable,
    decode: Callable,
    options: LatentOptions,
) -> LatentSpace:
    """Fit thresholds and mixture to the training masks and draw the population.

    Thresholds come from LGE scans where there are any: they are in mm, and of some cine cohorts
    the spacing is only nominal. `test` is only looked at to report quality.

    Raises:
        InputError: no scan has a mask, or the decoder makes hardly any valid one.
    """
    spacing = (_spacing(spec, train),) * 2
    masks = mask_dataset(train, spec)
    lge = [scan for scan in train if scan.modality == "lge"] or train
    experts = _masks(mask_dataset(lge, spec))
    thresholds = anatomy.fit_thresholds(
        experts, spacing, options.coverage, gap_max_deg=options.gap_max_deg
    )

    def is_valid(mask):
        return anatomy.is_valid(mask, spacing, thresholds)

    codes = _encode(_masks(masks), encode)
    mixture = latent.fit_mixture(codes, options.components, seed=options.seed)
    with tqdm(total=options.population, desc="population", unit="code", disable=None) as bar:
        population, acceptance = latent.draw_population(
            jax.random.key(options.seed),
            mixture,
            decode,
            is_valid,
            options.population,
            batch=options.batch,
            progress=lambda done, size: _advance(bar, min(done, size)),
        )
    space = LatentSpace(
        Latent(thresholds, mixture, population),
        _max_change(lge, spec),
        acceptance,
        _quality(_masks(masks), encode, decode, is_valid),
        _quality(_masks(mask_dataset(test, spec)), encode, decode, is_valid) if test else None,
    )
    _LOG.info("population: %d codes, %.1f%% accepted", options.population, 100 * acceptance)
    return space


def _advance(bar: tqdm, done: int) -> None:
    bar.update(done - bar.n)


def _spacing(spec: Spec, scans: list[Scan]) -> float:
    """The spacing at which criteria are held; of native grids the median."""
    if spec.myo_spacing_mm is not None:
        return spec.myo_spacing_mm
    return float(np.median([np.sqrt(np.prod(scan.spacing_mm)) for scan in scans]))


def _masks(dataset) -> np.ndarray:
    return dataset.images.astype(bool)


def _batches(masks: np.ndarray):
    """Batches of one shape, the last padded with empty masks."""
    padded = np.concatenate([masks, np.zeros((-len(masks) % _BATCH, *masks.shape[1:]), bool)])
    return np.split(padded, len(padded) // _BATCH)


def _encode(masks: np.ndarray, encode: Callable) -> np.ndarray:
    parts = [np.asarray(encode(jnp.asarray(part, jnp.float32))) for part in _batches(masks)]
    return np.concatenate(parts)[: len(masks)]


def _quality(masks: np.ndarray, encode: Callable, decode: Callable, is_valid: Callable) -> Quality:
    scores, before, after = [], [], []
    for part in _batches(masks):
        given = jnp.asarray(part)
        rebuilt = decode(encode(given.astype(jnp.float32)))
        scores.append(np.asarray(dice(rebuilt, given)))
        before.append(np.asarray(is_valid(given)))
        after.append(np.asarray(is_valid(rebuilt)))
    means = [float(np.concatenate(x)[: len(masks)].mean()) for x in (scores, before, after)]
    return Quality(len(masks), *means)


def _max_change(scans: list[Scan], spec: Spec) -> float:
    """The volume check's threshold from the experts' LV areas."""
    areas = []
    for scan in scans:
        labels = to_working(scan, spec.myo_spacing_mm).labels
        if labels is not None:
            areas.append((labels != Label.BACKGROUND).sum(axis=(1, 2))[scan.labelled])
    return anatomy.fit_max_change(areas)
