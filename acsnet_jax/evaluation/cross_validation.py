"""Autoencoders compared by cross-validation inside the training patients, resumable.

Patients are dealt into folds. For each fold and candidate an autoencoder is trained on the patients
of the other folds, thresholds, mixture and population are fitted to the same patients, and all of
it is judged on the expert masks of the fold: rebuilt as they are, and corrected after damage. Masks
are ``Bool[masks, size, size]`` on stage 2's working grid, each centred on its centroid.
"""

import dataclasses
import itertools
import logging
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import ml_collections
import numpy as np
from tqdm import tqdm

from acsnet_jax.correction import CorrectionOptions, Corrector, correct_stack, valid_stack
from acsnet_jax.correction.check import joined, parts
from acsnet_jax.evaluation.autoencoders import (
    AutoencoderStudy,
    Candidate,
    FoldScore,
    ScanScore,
    compare_autoencoders,
)
from acsnet_jax.evaluation.damage import KINDS, STRENGTHS, Kind, damage
from acsnet_jax.files import AGAIN, RESTORE, read_json, read_record, write_json
from acsnet_jax.io.stack import patient_of
from acsnet_jax.latent import AcceptanceError
from acsnet_jax.metrics import dice
from acsnet_jax.preprocess.grid import make_grid
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.training.assembly import coders
from acsnet_jax.training.cohort import Cohort
from acsnet_jax.training.datasets import mask_dataset
from acsnet_jax.training.latent_space import LatentOptions, fit_latent_space
from acsnet_jax.training.loop import train_and_evaluate
from acsnet_jax.training.settings import Config, settings_of
from acsnet_jax.types import InputError, MaskStack, Scan, Spacing

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CrossValidation:
    """How autoencoders are judged inside the training patients.

    Attributes:
        folds: into which the patients are dealt; at least 2.
        judged: "all": LGE and cine patients alike, each kind dealt evenly over the folds, but cine
            patients that are fewer than the folds train in every fold; "lge": all cine patients
            train in every fold, and LGE alone is judged.
        strengths: of the damage that is to be corrected, 1 to 5; every kind at each.
        seed: of folds and damage.

    Raises:
        InputError: there is no such damage.
    """

    folds: int = 5
    judged: Literal["all", "lge"] = "all"
    strengths: tuple[int, ...] = (2, 4)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse before a training what would be refused after it."""
        if not self.strengths or not {*self.strengths} <= {*STRENGTHS}:
            raise InputError(
                f"config.validation.strengths is {self.strengths}: give some of {STRENGTHS}"
            )


class Fold(NamedTuple):
    """Scans divided by patient.

    Attributes:
        train: everything is fitted to these.
        judged: what was fitted is looked at on these.
    """

    train: list[Scan]
    judged: list[Scan]


def cross_validate(
    trained: Config,
    folds: Sequence[Fold],
    candidates: Sequence[Candidate],
    validation: CrossValidation,
    *,
    latent: LatentOptions,
    correction: CorrectionOptions,
    folder: pathlib.Path,
) -> AutoencoderStudy:
    """Train and judge every candidate on every fold, and choose.

    Args:
        trained: config of a training run, which the candidates share in all that they do not name.
        folds: of its training patients (`divide`). No other ones are ever seen.
        candidates: what is compared.
        validation: how.
        latent: how thresholds, mixture and population are fitted.
        correction: how damaged masks are corrected.
        folder: gets ``folds.json`` and, in ``results/``, a file for each fold and candidate. What
            is there is not done again, and a training that stopped goes on.

    Raises:
        InputError: `folder` has folds of other patients.
    """
    _keep_folds(folds, folder / "folds.json")
    found: dict[Candidate, list[FoldScore]] = {candidate: [] for candidate in candidates}
    work = list(itertools.product(range(len(folds)), candidates))
    for number, candidate in tqdm(work, desc="select", unit="training", disable=None):
        name = "fold{}_latent{}_epochs{}_damage{:g}".format(number + 1, *candidate)
        path, run = folder / "results" / f"{name}.json", folder / "unfinished" / name
        if not path.exists():
            score = _score_fold(
                candidate_config(trained, candidate),
                folds[number],
                [validation.seed, number],
                strengths=validation.strengths,
                latent=latent,
                correction=correction,
                run=run,
            )
            write_json({**score._asdict(), "scans": [x._asdict() for x in score.scans]}, path)
        if run.exists():  # its checkpoints are of no more use
            shutil.rmtree(run)
        found[candidate].append(_read(path))
        _LOG.info("%s: %s", name, _told(found[candidate][-1]))
    return compare_autoencoders(found)


def divide(scans: Sequence[Scan], validation: CrossValidation) -> list[Fold]:
    """Folds of patients, seeded; no patient is trained on and judged in one fold.

    LGE scans and cine scans are dealt one kind after the other, so that each fold has its share of
    both. See `CrossValidation.judged` for the cine scans that are never judged.

    Raises:
        InputError: fewer patients than folds, or fewer than 2 folds.
    """
    count = validation.folds
    if count < 2:
        raise InputError(f"config.validation.folds is {count}; give at least 2")
    kinds = [kind for kind in ("lge", "cine") if any(scan.modality == kind for scan in scans)]
    fold_of: dict[str, int] = {}
    judged = set()
    for index, kind in enumerate(kinds):
        named = {patient_of(scan.id) for scan in scans if scan.modality == kind}
        ids = sorted(named - fold_of.keys())
        if index and (validation.judged == "lge" or len(ids) < count):
            break
        if len(ids) < count:
            raise InputError(
                f"{len(ids)} {kind} training patient(s) for {count} folds; lower "
                "--config.validation.folds"
            )
        judged.add(kind)
        order = np.random.default_rng([validation.seed, index]).permutation(len(ids))
        for place, chosen in enumerate(order, start=len(fold_of)):
            fold_of[ids[chosen]] = place % count
    placed = [(scan, fold_of.get(patient_of(scan.id))) for scan in scans]
    return [
        Fold(
            [scan for scan, fold in placed if fold != number],
            [scan for scan, fold in placed if fold == number and scan.modality in judged],
        )
        for number in range(count)
    ]


def _keep_folds(folds: Sequence[Fold], path: pathlib.Path) -> None:
    """Write down who is judged where; refuse to go on with other patients."""
    record = [
        {name: [scan.id for scan in part] for name, part in fold._asdict().items()}
        for fold in folds
    ]
    if path.exists() and read_json(path, fix=RESTORE) != record:
        raise InputError(f"{path} has folds of other patients; use another --workdir")
    write_json(record, path)


def candidate_config(trained: Config, candidate: Candidate) -> Config:
    """The config of a training run with a candidate's three numbers in it."""
    config: Config = ml_collections.ConfigDict(trained.to_dict())
    config.model.latent = candidate.latent
    config.optimisation.epochs = candidate.epochs
    config.optimisation.picture_every = 0  # nobody looks at so many
    with config.augment.ignore_type():  # JSON may say 0
        config.augment.damage = candidate.damage
    return config


def _score_fold(
    config: Config,
    fold: Fold,
    seed: Sequence[int],
    *,
    strengths: Sequence[int],
    latent: LatentOptions,
    correction: CorrectionOptions,
    run: pathlib.Path,
) -> FoldScore:
    """Train on a fold's training scans, fit the latent space to them, judge on the others.

    Args:
        config: of the training.
        fold: its scans.
        seed: of the damage, the same for all candidates.
        strengths: of the damage.
        latent: how thresholds, mixture and population are fitted.
        correction: how damaged masks are corrected.
        run: folder of the training; its checkpoints make a stopped one go on.
    """
    cohort = Cohort(fold.train, [])
    settings = settings_of(config)
    spec = settings.spec
    encode, decode = coders(settings, train_and_evaluate(config, run, cohort=cohort))
    try:
        space = fit_latent_space(cohort, spec, encode, decode, latent, draws=run / "draws")
    except AcceptanceError as error:
        _LOG.info("no population: %s", error)
        scores = judge(fold.judged, spec, None, strengths=strengths, seed=seed)
        return FoldScore(error.acceptance, scores)
    corrector = Corrector(
        encode,
        decode,
        space.latent.population,
        space.latent.mixture,
        space.latent.thresholds,
        spec.mask_size,
        spec.myo_spacing_mm,
        correction,
    )
    scores = judge(fold.judged, spec, corrector, strengths=strengths, seed=seed)
    return FoldScore(space.acceptance, scores)


def judge(
    scans: Sequence[Scan],
    spec: InputSpec,
    corrector: Corrector | None,
    *,
    strengths: Sequence[int],
    seed: Sequence[int],
) -> list[ScanScore]:
    """What a stage 3 is worth on expert masks that it never saw, a score a scan that has any.

    Args:
        scans: with labels.
        spec: of the autoencoder's masks.
        corrector: what rebuilds and corrects; None for an autoencoder that makes hardly any valid
            mask, so that no population could be drawn: it loses every mask.
        strengths: of the damage; every kind at each.
        seed: of the damage.
    """
    experts = mask_dataset([*scans], spec)
    masks = experts.images.astype(bool)
    spacings = [make_grid(scan, spec.myo_spacing_mm).spacing_mm for scan in scans]
    found: dict[int, ScanScore] = {}
    for spacing_mm in dict.fromkeys(spacings):  # one, unless each scan keeps its own
        rows = np.flatnonzero([spacings[index] == spacing_mm for index in experts.scans])
        if not len(rows):
            continue
        keys = [[*seed, int(row)] for row in rows]
        columns = _judge_masks(masks[rows], keys, spacing_mm, corrector, strengths)
        owners = experts.scans[rows]
        for index in np.unique(owners):
            own = {name: values[owners == index] for name, values in columns.items()}
            found[int(index)] = _scan_score(scans[index], own)
    return [found[index] for index in sorted(found)]


def _judge_masks(
    masks: MaskStack,
    keys: Sequence[Sequence[int]],
    spacing_mm: Spacing,
    corrector: Corrector | None,
    strengths: Sequence[int],
) -> dict[str, np.ndarray]:
    """Measures of masks of one spacing: ``[masks]`` rebuilt, ``[masks, damages]`` damaged."""
    conditions: list[tuple[Kind, int]] = [(kind, s) for kind in KINDS for s in strengths]
    damaged = np.stack(
        [
            damage(
                np.random.default_rng([*key, KINDS.index(kind)]), mask, spacing_mm, kind, strength
            )
            for key, mask in zip(keys, masks, strict=True)
            for kind, strength in conditions
        ]
    )
    experts = np.repeat(masks, len(conditions), axis=0)
    corrected, valid, of_rebuilt = np.zeros_like(damaged), np.zeros(len(damaged), bool), {}
    if corrector is not None:
        corrected = np.asarray(correct_stack(damaged, corrector, spacing_mm).mask)
        rebuilt = _rebuild(masks, corrector)
        both = np.concatenate([corrected, rebuilt])
        valid = valid_stack(both, spacing_mm, corrector.thresholds)
        valid, rebuilt_valid = valid[: len(damaged)], valid[len(damaged) :]
        rebuilt_dice = np.asarray(dice(rebuilt, masks))
        of_rebuilt = {"rebuilt_dice": rebuilt_dice, "rebuilt_valid": rebuilt_valid}
    columns = {
        "damaged_dice": np.asarray(dice(damaged, experts)),
        "corrected_dice": np.asarray(dice(corrected, experts)),
        "valid": valid,
        "lost": ~np.any(corrected, axis=(1, 2)),
    }
    shape = (len(masks), len(conditions))
    return {**{name: x.reshape(shape) for name, x in columns.items()}, **of_rebuilt}


def _rebuild(masks: MaskStack, corrector: Corrector) -> MaskStack:
    found = [
        corrector.decode(corrector.encode(jnp.asarray(part, jnp.float32))) for part in parts(masks)
    ]
    return joined(found, len(masks))


def _scan_score(scan: Scan, columns: dict[str, np.ndarray]) -> ScanScore:
    means = {name: float(np.mean(x)) for name, x in columns.items() if name.endswith("dice")}
    sums = {name: int(np.sum(x)) for name, x in columns.items() if not name.endswith("dice")}
    masks, damages = columns["lost"].shape
    return ScanScore(
        scan.id,
        scan.modality,
        masks=masks,
        damaged=masks * damages,
        **{"rebuilt_dice": None, "rebuilt_valid": None, **means, **sums},
    )


def _read(path: pathlib.Path) -> FoldScore:
    def parse(record: dict[str, Any]) -> FoldScore:
        return FoldScore(record["acceptance"], [ScanScore(**scan) for scan in record["scans"]])

    return read_record(path, parse, fix=AGAIN)


def _told(score: FoldScore) -> str:
    """One fold of one candidate in a line."""
    dice_after = np.mean([scan.corrected_dice for scan in score.scans])
    lost, damaged = (sum(getattr(x, name) for x in score.scans) for name in ("lost", "damaged"))
    return (
        f"Dice {dice_after:.3f} after correction, {lost} of {damaged} damaged masks lost, "
        f"acceptance {score.acceptance:.1%}"
    )
