"""Stage 3's latent space from a trained autoencoder: thresholds, mixture, population."""

import dataclasses
import functools
import hashlib
import logging
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Bool, Float32
from tqdm import tqdm

from acsnet_jax import anatomy, latent
from acsnet_jax.bundle import Latent
from acsnet_jax.correction.check import as_leaves
from acsnet_jax.files import AGAIN, read_arrays, write_arrays, write_text
from acsnet_jax.io.stack import patient_of
from acsnet_jax.metrics import dice
from acsnet_jax.preprocess.grid import make_grid, to_working
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.training.cohort import Cohort
from acsnet_jax.training.datasets import mask_dataset
from acsnet_jax.types import InputError, Label, Scan, check_least

_LOG = logging.getLogger(__name__)
_BATCH = 256


@dataclasses.dataclass(frozen=True)
class LatentOptions:
    """How the latent space is filled.

    Attributes:
        components: of the Gaussian mixture.
        population: number of valid codes.
        coverage: share of the expert masks that each criterion alone accepts.
        experts: whose masks the thresholds are fitted to: those of "lge" scans, where there are
            any, or of "all". Thresholds are in mm, and the spacing of some cine cohorts is nominal.
        gap_max_deg: widest gap of an open slice; 0 forbids open slices.
        batch: codes decoded and checked at once.
        seed: of mixture and population.

    Raises:
        InputError: the coverage is no share, or a number is less than 1.
    """

    components: int = 6
    population: int = 100_000
    coverage: float = 0.99
    experts: Literal["lge", "all"] = "lge"
    gap_max_deg: float = 100.0
    batch: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse before hours of training what would be refused after them."""
        if not 0 < self.coverage <= 1:
            raise InputError(f"config.latent.coverage is {self.coverage}: give a share in (0, 1]")
        check_least(self, "config.latent.", components=1, population=1, batch=1)


@dataclasses.dataclass(frozen=True)
class Selection:
    """What figure 5 compares.

    Attributes:
        dimensions: of the latent space; an autoencoder is trained for each.
        components: the largest mixture.
        folds: of the cross-validation over patients.
    """

    dimensions: tuple[int, ...] = (4, 8, 16, 32)
    components: int = 10
    folds: int = 10


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
        quality: on masks of "training", and of "held-out LGE" and "held-out cine" scans where there
            are any.
    """

    latent: Latent
    max_change: float
    acceptance: float
    quality: dict[str, Quality]


def fit_latent_space(
    cohort: Cohort,
    spec: InputSpec,
    encode: Callable,
    decode: Callable,
    options: LatentOptions,
    *,
    draws: pathlib.Path,
) -> LatentSpace:
    """Fit thresholds and mixture to the training masks and draw the population.

    Held-out scans are only looked at to report quality. What was drawn is written to the folder
    `draws` batch by batch, so that a long draw that stopped goes on; whoever has kept the result
    removes the folder.

    Raises:
        InputError: no scan has a mask, or the decoder makes hardly any valid one.
    """
    train = cohort.train
    lge = [scan for scan in train if scan.modality == "lge"] or train
    experts = _expert_masks(lge if options.experts == "lge" else train, spec)
    fitted = anatomy.fit_thresholds(
        experts.masks, experts.spacing_mm, options.coverage, gap_max_deg=options.gap_max_deg
    )
    thresholds = as_leaves(fitted)
    shown = _expert_masks(train, spec)
    # codes have no spacing of their own: with native grids theirs is the cohort's usual one
    usual_mm = as_leaves(np.median(shown.spacing_mm, axis=0))
    is_valid = Partial(anatomy.is_valid, spacing_mm=usual_mm, thresholds=thresholds)
    codes = encode_masks(shown.masks, encode)
    mixture = latent.fit_mixture(codes, options.components, seed=options.seed)
    earlier = _earlier(draws, mixture, thresholds, options)
    if earlier:
        _LOG.info("population: goes on after %d batches", len(earlier))
    with tqdm(total=options.population, desc="population", unit="code", disable=None) as bar:
        population, acceptance = latent.draw_population(
            jax.random.key(options.seed),
            mixture,
            decode,
            is_valid,
            options.population,
            batch=options.batch,
            earlier=earlier,
            keep=functools.partial(_keep, draws),
            progress=lambda done, size: _advance(bar, min(done, size)),
        )
    space = LatentSpace(
        Latent(fitted, mixture, population),
        fit_max_change(lge, spec),
        acceptance,
        {
            name: quality_of(_expert_masks(scans, spec), encode, decode, thresholds)
            for name, scans in (
                ("training", train),
                ("held-out LGE", [scan for scan in cohort.test if scan.modality == "lge"]),
                (
                    "held-out cine",
                    [scan for scan in cohort.test if scan.modality == "cine"] + cohort.cine_test,
                ),
            )
            if scans
        },
    )
    _LOG.info("population: %d codes, %.1f%% accepted", options.population, 100 * acceptance)
    return space


def _earlier(draws: pathlib.Path, mixture, thresholds, options) -> list[latent.Accepted]:
    """What a draw that stopped had accepted; one of another mixture or delta is thrown away."""
    parts = [*mixture, *np.asarray([*thresholds], np.float64), options.batch, options.seed]
    digest = hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in parts)).hexdigest()
    stamp = draws / "drawn_from.json"
    if not stamp.exists() or stamp.read_text(errors="replace") != digest:
        shutil.rmtree(draws, ignore_errors=True)
        draws.mkdir(parents=True)
        write_text(digest, stamp)
    earlier = []
    while (path := _batch_path(draws, len(earlier))).exists():
        earlier.append(read_arrays(path, lambda kept: (kept["codes"], kept["masks"]), fix=AGAIN))
    return earlier


def _keep(draws: pathlib.Path, number: int, accepted: latent.Accepted) -> None:
    write_arrays({"codes": accepted[0], "masks": accepted[1]}, _batch_path(draws, number))


def _batch_path(draws: pathlib.Path, number: int) -> pathlib.Path:
    return draws / f"{number:06d}.npz"


def select_latent(
    encoders: Mapping[int, tuple[Callable, Callable]],
    train: list[Scan],
    spec: InputSpec,
    selection: Selection,
) -> tuple[list[latent.Score], dict[int, float]]:
    """Scores of figure 5, and how well each autoencoder rebuilds the training masks.

    Args:
        encoders: (encode, decode) of the autoencoder of each latent dimension.
        train: scans whose masks are encoded; no patient is in two folds.
        spec: sizes.
        selection: what to try.
    """
    experts = _expert_masks(train, spec)
    masks = experts.masks
    patients = np.unique([patient_of(scan.id) for scan in train], return_inverse=True)[1]
    codes = {d: encode_masks(masks, encode) for d, (encode, _) in encoders.items()}
    with tqdm(desc="mixtures", unit="fit", disable=None) as bar:
        scores = latent.select(
            codes,
            components=range(1, selection.components + 1),
            folds=selection.folds,
            groups=patients[experts.scans],
            progress=lambda done, _: _advance(bar, done),
        )
    rebuilt = {d: _rebuilt_dice(masks, *pair) for d, pair in encoders.items()}
    return scores, rebuilt


def _advance(bar: tqdm, done: int) -> None:
    bar.update(done - bar.n)


class ExpertMasks(NamedTuple):
    """Expert masks.

    Attributes:
        masks: each centred on its own centroid.
        spacing_mm: of the working grid of each.
        scans: index of the scan of each.
    """

    masks: Bool[np.ndarray, "n size size"]
    spacing_mm: Float32[np.ndarray, "n 2"]
    scans: np.ndarray


def _expert_masks(scans: list[Scan], spec: InputSpec) -> ExpertMasks:
    dataset = mask_dataset(scans, spec)
    spacings = np.array([make_grid(scan, spec.myo_spacing_mm).spacing_mm for scan in scans])
    spacing_mm = spacings[dataset.scans].astype(np.float32)
    return ExpertMasks(dataset.images.astype(bool), spacing_mm, dataset.scans)


def _batches(values: np.ndarray, filling: float = 0.0) -> list[np.ndarray]:
    """Batches of one shape, the last filled up."""
    missing = np.full((-len(values) % _BATCH, *values.shape[1:]), filling, values.dtype)
    padded = np.concatenate([values, missing])
    return np.split(padded, len(padded) // _BATCH)


def encode_masks(
    masks: Bool[np.ndarray, "n height width"], encode: Callable
) -> Float32[np.ndarray, "n latent"]:
    """Codes of any number of masks, batch by batch."""
    parts = [np.asarray(encode(jnp.asarray(part, jnp.float32))) for part in _batches(masks)]
    return np.concatenate(parts)[: len(masks)]


def _rebuilt_dice(masks: np.ndarray, encode: Callable, decode: Callable) -> float:
    scores = [np.asarray(dice(rebuilt, given)) for given, rebuilt in _pairs(masks, encode, decode)]
    return float(np.concatenate(scores)[: len(masks)].mean())


def quality_of(
    experts: ExpertMasks, encode: Callable, decode: Callable, thresholds: anatomy.Thresholds
) -> Quality:
    """How well masks are rebuilt, and how many, before and after, satisfy delta."""
    scores, before, after = [], [], []
    spacings = _batches(experts.spacing_mm, filling=1.0)
    pairs = _pairs(experts.masks, encode, decode)
    for spacing_mm, (given, rebuilt) in zip(spacings, pairs, strict=True):
        scores.append(np.asarray(dice(rebuilt, given)))
        before.append(np.asarray(anatomy.is_valid(given, spacing_mm, thresholds)))
        after.append(np.asarray(anatomy.is_valid(rebuilt, spacing_mm, thresholds)))
    count = len(experts.masks)
    means = [float(np.concatenate(x)[:count].mean()) for x in (scores, before, after)]
    return Quality(count, *means)


def _pairs(masks: np.ndarray, encode: Callable, decode: Callable):
    """Batches of masks with their reconstructions, both on the host: one program measures both."""
    for part in _batches(masks):
        yield part, np.asarray(decode(encode(jnp.asarray(part, jnp.float32))))


def fit_max_change(scans: Sequence[Scan], spec: InputSpec) -> float:
    """The volume check's threshold from the experts' LV areas."""
    areas = []
    for scan in scans:
        labels = to_working(scan, spec.myo_spacing_mm).labels
        if labels is not None:
            drawn = (labels != Label.BACKGROUND).sum(axis=(1, 2))
            areas.append(np.where(scan.labelled, drawn, 0))
    return anatomy.fit_max_change(areas)
