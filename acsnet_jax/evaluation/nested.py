"""The whole system cross-validated by patient, with everything that is fitted fitted inside.

Patients are dealt into folds. For every pair of folds one stage 1 and one stage 2 are trained on
the patients of the others. Of a fold that is held out, the networks of its pairs are an ensemble
that never saw it. Of another fold, the network of the pair of the two saw neither: from its
predictions there the rule for scar is fitted, so that no choice sees the fold that is judged, and
none is made on predictions of patients who were trained on.

Pretraining sees cine scans alone, made LGE-like by phantoms, and is shared. Stage 3 is given: it
must not have seen the patients, as the prior that ships has not.

References:
    Varma and Simon, BMC Bioinformatics 7, 2006 (bias of a choice outside of the cross-validation).
"""

import dataclasses
import itertools
import json
import logging
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import PyTree
from tqdm import tqdm

from acsnet_jax import bundle as bundles
from acsnet_jax.anatomy.cleanup import CleanupWeights
from acsnet_jax.clinical import ScarRule
from acsnet_jax.correction import Corrector
from acsnet_jax.evaluation.kept import read_segmentation, write_segmentation
from acsnet_jax.files import write_arrays, write_json
from acsnet_jax.models import Delineate, Encode, Ensemble, Localise, ResUNet
from acsnet_jax.pipeline import Bundle, Inference, nothing_found, segment
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.training.cohort import Cohort, with_cine
from acsnet_jax.training.latent_space import fit_max_change
from acsnet_jax.training.runs import as_network, as_network_of, load_run
from acsnet_jax.training.scar_fit import RuleGrid, ScarCase, fit_scar_rule, scar_case
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.training.spill import Spill
from acsnet_jax.training.state import TrainState
from acsnet_jax.training.study import pretrain, pretrains, train_network
from acsnet_jax.types import InputError, Label, Scan, Segmentation

_LOG = logging.getLogger(__name__)
_STAGES = ("lv", "myo")
_TOLD = 20  # scores of rules that a fold writes down


class Fold(NamedTuple):
    """What a held-out fold came to.

    Attributes:
        segmentations: of its patients, in the order of the scans.
        inference: how the ensemble was used, the fitted rule included.
    """

    segmentations: list[Segmentation]
    inference: Inference


def cross_validate_system(
    config: Config,
    scans: Sequence[Scan],
    cine: Sequence[Scan],
    corrector: Corrector,
    *,
    folds: int,
    seed: int,
    folder: pathlib.Path,
) -> list[Fold]:
    """Hold out every patient once.

    Args:
        config: of a study, as ``configs/emidec_cpu.py``.
        scans: labelled LGE scans of all patients.
        cine: labelled cine scans, for training alone.
        corrector: stage 3, which never saw the patients.
        folds: into which they are dealt; at least 3.
        seed: of the folds.
        folder: gets ``folds.json``, ``pretraining/``, ``networks/``, ``inner/``, ``held_out/`` and
            ``bundle/``, the system that comes out of it: all networks, and the rule fitted to all
            that is held out. What is there is not done again, and a training that stopped goes on.

    Raises:
        InputError: too few patients, `folder` has folds of other patients, or stage 3 works at
            another spacing or size than the config.
    """
    spec = from_config(InputSpec, config.spec)
    if (corrector.spacing_mm, corrector.size) != (spec.myo_spacing_mm, spec.mask_size):
        raise InputError(
            f"stage 3 was made for masks of {corrector.size} pixels of {corrector.spacing_mm} mm, "
            f"and config.spec has mask_size {spec.mask_size} and myo_spacing_mm "
            f"{spec.myo_spacing_mm}; set both to its own"
        )
    dealt = deal(scans, folds, seed)
    _keep(dealt, folder / "folds.json")
    system = _System(config, list(scans), list(cine), corrector, dealt, folder)
    for pair in tqdm(system.pairs(), desc="networks", unit="pair", disable=None):
        system.train(pair)
    found = [system.held_out(index) for index in range(folds)]
    system.keep_bundle([one for fold in found for one in fold.segmentations])
    return found


def deal(scans: Sequence[Scan], folds: int, seed: int) -> list[list[str]]:
    """Ids of patients in folds of alike burden.

    Patients are ranked by how much of their myocardium is scar, those without any last, and every
    run of as many neighbours as there are folds gives one patient to each, at random.

    Raises:
        InputError: fewer than 3 folds, or fewer patients than folds.
    """
    if folds < 3:
        raise InputError(f"config.folds is {folds}; give at least 3, two of which are left out")
    if len(scans) < folds:
        raise InputError(f"{len(scans)} labelled patients for {folds} folds; lower --config.folds")
    ranked = sorted(scans, key=lambda scan: (-_burden(scan), scan.id))
    rng = np.random.default_rng(seed)
    dealt: list[list[str]] = [[] for _ in range(folds)]
    for start in range(0, len(ranked), folds):
        run = ranked[start : start + folds]
        for scan, fold in zip(run, rng.permutation(folds), strict=False):
            dealt[fold].append(scan.id)
    return [sorted(ids) for ids in dealt]


def _burden(scan: Scan) -> float:
    """Share of the myocardium that is enhanced; -1 where nobody said."""
    if scan.labels is None or not scan.has_enhancement:
        return -1.0
    labels = scan.labels[scan.labelled]
    wall = np.count_nonzero(labels >= Label.MYOCARDIUM)
    return np.count_nonzero(labels >= Label.ENHANCEMENT) / wall if wall else 0.0


def _keep(dealt: list[list[str]], path: pathlib.Path) -> None:
    """Write down who is held out where; refuse to go on with other patients."""
    if path.exists() and json.loads(path.read_text()) != dealt:
        raise InputError(f"{path} has folds of other patients; use another --workdir")
    write_json(dealt, path)


@dataclasses.dataclass
class _System:
    """One cross-validation: what is trained, predicted and fitted, each found again on disk."""

    config: Config
    scans: list[Scan]
    cine: list[Scan]
    corrector: Corrector
    dealt: list[list[str]]
    folder: pathlib.Path
    pretrained: dict[str, TrainState] = dataclasses.field(default_factory=dict)

    def pairs(self) -> list[tuple[int, int]]:
        """All pairs of folds."""
        return [*itertools.combinations(range(len(self.dealt)), 2)]

    def of(self, *folds: int) -> list[Scan]:
        """Scans of some folds."""
        ids = {name for fold in folds for name in self.dealt[fold]}
        return [scan for scan in self.scans if scan.id in ids]

    def without(self, *folds: int) -> list[Scan]:
        """Scans of all other folds."""
        return self.of(*(index for index in range(len(self.dealt)) if index not in folds))

    def train(self, pair: tuple[int, int]) -> None:
        """Networks that saw neither fold of a pair, and what they say of both."""
        seen = self.without(*pair)
        for task in _STAGES:
            run = self._run(pair, task)
            if (run / "done.json").exists():
                continue
            cohort = self._cohort(seen, task)
            train_network(self.config, task, run, cohort, pretrained=self._start(task))
            write_json({"patients": len(seen)}, run / "done.json")
        paths = {self._case(pair, scan): scan for scan in self.of(*pair) if scan.has_enhancement}
        missing = {path: scan for path, scan in paths.items() if not path.exists()}
        if not missing:
            return
        bundle = self._bundle([pair], self._inference(seen))
        progress = tqdm(missing.items(), desc="inner", unit="scan", leave=False, disable=None)
        for path, scan in progress:
            write_arrays(scar_case(segment_or_nothing(scan, bundle))._asdict(), path)

    def held_out(self, index: int) -> Fold:
        """Fit the rule without a fold, and segment the fold."""
        place = self.folder / "held_out" / f"fold{index + 1}"
        others = [other for other in range(len(self.dealt)) if other != index]
        rule_path = place / "rule.json"
        if not rule_path.exists():
            cases = [
                _read_case(self._case(_pair(index, other), scan))
                for other in others
                for scan in self.of(other)
                if scan.has_enhancement
            ]
            write_json(self._rule_scores(cases), rule_path)
        best = json.loads(rule_path.read_text())[0]
        inference = _ruled(self._inference(self.without(index)), best)
        _LOG.info("fold %d: %s", index + 1, best)
        bundle = self._bundle([_pair(index, other) for other in others], inference)
        segmentations = []
        for scan in tqdm(self.of(index), desc=f"fold {index + 1}", unit="scan", disable=None):
            path = place / f"{scan.id}.npz"
            if not path.exists():
                write_segmentation(segment_or_nothing(scan, bundle), path)
            segmentations.append(read_segmentation(scan, path))
        return Fold(segmentations, inference)

    def keep_bundle(self, segmentations: list[Segmentation]) -> None:
        """All networks as one system, with the rule fitted to what every patient was given."""
        folder = self.folder / "bundle"
        if folder.exists():
            return
        cases = [scar_case(one) for one in segmentations if one.scan.has_enhancement]
        scores = self._rule_scores(cases)
        runs = [{task: self._run(pair, task) for task in _STAGES} for pair in self.pairs()]
        first, *others = [
            {task: as_network(*load_run(run)) for task, run in member.items()} for member in runs
        ]
        stage3, encode = self.corrector, self.corrector.encode
        assert isinstance(encode, Encode)
        bundles.save(
            folder,
            {**first, "autoencoder": as_network_of(encode.model, encode.variables)},
            bundles.Latent(stage3.thresholds, stage3.mixture, stage3.population),
            from_config(InputSpec, self.config.spec),
            _ruled(self._inference(self.scans), scores[0]),
            stage3.options,
            training={
                "scans": {"lge": len(self.scans), "cine": len(self.cine)},
                "folds": len(self.dealt),
                "scar_rules": scores,
            },
            members=others,
        )

    def _rule_scores(self, cases: list[ScarCase]) -> list[dict[str, Any]]:
        """The best rules with their scores, the chosen one first."""
        _, scores = fit_scar_rule(cases, grid=from_config(RuleGrid, self.config.rule))
        return [score.record() for score in scores[:_TOLD]]

    def _cohort(self, scans: list[Scan], task: str) -> Cohort:
        if pretrains(self.config, task):
            return Cohort(scans, [])
        spill = Spill(self.folder, self.config.data.memory_gb)
        return with_cine(scans, self.cine, self.config.data.seed, spill)

    def _start(self, task: str) -> TrainState | None:
        """The pretraining that all pairs share."""
        if pretrains(self.config, task) and task not in self.pretrained:
            folder = self.folder / "pretraining" / task
            cohort = Cohort([], [], cine=self.cine)
            self.pretrained[task] = pretrain(self.config, task, folder, cohort)
        return self.pretrained.get(task)

    def _inference(self, train: list[Scan]) -> Inference:
        """The study's, with the stack check of these experts."""
        spec = from_config(InputSpec, self.config.spec)
        given = from_config(Inference, self.config.inference)
        return dataclasses.replace(given, max_change=fit_max_change(train, spec))

    def _bundle(self, pairs: list[tuple[int, int]], inference: Inference) -> Bundle:
        return Bundle(
            localise=Ensemble(tuple(Localise(*x) for x in self._networks(pairs, "lv"))),
            delineate=Ensemble(tuple(Delineate(*x) for x in self._networks(pairs, "myo"))),
            corrector=self.corrector,
            spec=from_config(InputSpec, self.config.spec),
            inference=inference,
            cleanup=CleanupWeights(),
        )

    def _networks(
        self, pairs: list[tuple[int, int]], task: str
    ) -> Iterator[tuple[ResUNet, PyTree]]:
        """Trained networks with their variables."""
        for pair in pairs:
            settings, state = load_run(self._run(pair, task))
            assert isinstance(settings.model, ResUNet)
            yield settings.model, state.variables

    def _run(self, pair: tuple[int, int], task: str) -> pathlib.Path:
        return self.folder / "networks" / _name(pair) / task

    def _case(self, pair: tuple[int, int], scan: Scan) -> pathlib.Path:
        return self.folder / "inner" / _name(pair) / f"{scan.id}.npz"


def segment_or_nothing(scan: Scan, bundle: Bundle) -> Segmentation:
    """A segmentation; an empty one, which every measure counts, where no ventricle was found."""
    try:
        return segment(scan, bundle)
    except InputError as error:
        _LOG.warning("%s", error)
        return nothing_found(scan)


def _ruled(inference: Inference, score: dict[str, Any]) -> Inference:
    """With the rule of a score."""
    names = [field.name for field in dataclasses.fields(ScarRule)]
    return dataclasses.replace(inference, **{name: score[name] for name in names})


def _pair(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)


def _name(pair: tuple[int, int]) -> str:
    return f"without_{pair[0] + 1}_{pair[1] + 1}"


def _read_case(path: pathlib.Path) -> ScarCase:
    with np.load(path, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in ScarCase._fields}
    row, column = (float(x) for x in found.pop("spacing_mm"))
    return ScarCase(spacing_mm=(row, column), **found)
