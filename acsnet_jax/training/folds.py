"""Stages 1 and 2 trained without some folds of the patients, and the rule for scar this allows.

Patients are dealt into folds. Networks that left a fold out say what they say of patients whom they
never saw; the rule for scar is fitted to that, since what networks say of their own training
patients is too good to fit anything to. Several networks are an ensemble. A study leaves one fold
out at a time (`acsnet_jax.jobs.reproduce`), its cross-validation one and two
(`acsnet_jax.evaluation.nested`).

Pretraining sees cine scans alone, made LGE-like by phantoms, and is shared. Stage 3 is given.
"""

import dataclasses
import hashlib
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree
from tqdm import tqdm

from acsnet_jax import bundle as bundles
from acsnet_jax.anatomy.cleanup import CleanupWeights
from acsnet_jax.clinical import Calibration, ScarRule, fit_calibration, interval_case
from acsnet_jax.correction import Corrector
from acsnet_jax.files import AGAIN, RESTORE, read_arrays, read_json, write_arrays, write_json
from acsnet_jax.io.stack import patient_of
from acsnet_jax.models import Delineate, Encode, Ensemble, Localise, ResUNet
from acsnet_jax.pipeline import Bundle, Inference, segment_or_nothing
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.training.cohort import Cohort, digests, fingerprints, of_others, with_cine
from acsnet_jax.training.latent_space import fit_max_change
from acsnet_jax.training.runs import as_network_of, load_run
from acsnet_jax.training.same_run import check_inputs
from acsnet_jax.training.scar_fit import RuleGrid, ScarCase, fit_scar_rule, scar_case
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.training.spill import Spill
from acsnet_jax.training.state import TrainState
from acsnet_jax.training.study import pretrain, pretrains, train_network
from acsnet_jax.types import InputError, Label, Scan

_LOG = logging.getLogger(__name__)
_STAGES = ("lv", "myo")
_TOLD = 20  # scores of rules that are written down

LeftOut = tuple[int, ...]
"""Folds, from 0 and ascending, that a training did not see."""


def deal(scans: Sequence[Scan], folds: int, seed: int, *, least: int = 2) -> list[list[str]]:
    """Ids of scans in folds of alike burden; all scans of a patient are in one of them.

    Patients are ranked by how much of their myocardium is scar, those without any last, and every
    run of as many neighbours as there are folds gives one patient to each, at random.

    Args:
        scans: of all patients; of several scans of one, the most scarred ranks them.
        folds: how many.
        seed: of what is left to chance.
        least: how many folds there have to be.

    Raises:
        InputError: too few folds, or fewer patients than folds.
    """
    if folds < least:
        raise InputError(f"config.folds is {folds}; give at least {least}")
    patients: dict[str, list[Scan]] = {}
    for scan in sorted(scans, key=lambda scan: scan.id):
        patients.setdefault(patient_of(scan.id), []).append(scan)
    if len(patients) < folds:
        raise InputError(
            f"{len(patients)} labelled patients for {folds} folds; lower --config.folds"
        )
    ranked = sorted(patients.values(), key=lambda own: -max(map(_burden, own)))
    rng = np.random.default_rng(seed)
    dealt: list[list[str]] = [[] for _ in range(folds)]
    for start in range(0, len(ranked), folds):
        run = ranked[start : start + folds]
        for own, fold in zip(run, rng.permutation(folds), strict=False):
            dealt[fold].extend(scan.id for scan in own)
    return [sorted(ids) for ids in dealt]


def pretraining_cine(scans: Sequence[Scan], cine: list[Scan]) -> list[Scan]:
    """Cine scans that all trainings may see: of no patient of the folds, whom some leaves out.

    Args:
        scans: labelled LGE scans of all folds.
        cine: labelled cine scans.
    """
    return of_others(cine, {scan.id for scan in scans})


def check_enhancement(scans: Sequence[Scan]) -> None:
    """Ask for enhancement before anything is trained: the rule for scar is fitted to it.

    Raises:
        InputError: no expert told enhancement from viable myocardium.
    """
    if not any(scan.has_enhancement for scan in scans):
        raise InputError(
            "no label of the cohort holds enhancement (3 or 4), to which the rule for scar is "
            "fitted with folds: map it with config.data.label_map, or give --config.folds=0 to "
            "reproduce"
        )


def _burden(scan: Scan) -> float:
    """Share of the myocardium that is enhanced; -1 where nobody said."""
    if scan.labels is None or not scan.has_enhancement:
        return -1.0
    labels = scan.labels[scan.labelled]
    wall = np.count_nonzero(labels >= Label.MYOCARDIUM)
    return np.count_nonzero(labels >= Label.ENHANCEMENT) / wall if wall else 0.0


@dataclasses.dataclass
class FoldNetworks:
    """What is trained and predicted without some folds, each found again on disk.

    Attributes:
        config: of a study, as ``configs/emidec_cpu.py``.
        scans: labelled LGE scans of all patients.
        cine: labelled cine scans, for training alone.
        corrector: stage 3.
        dealt: ids of the patients of each fold, see `deal`.
        folder: gets ``folds.json``, ``inputs.json``, ``pretraining/``, ``networks/`` and
            ``inner/``. What is there is not done again, and a training that stopped goes on.

    Raises:
        InputError: `folder` has folds of other patients, or was begun with other images, labels or
            stage 3; or stage 3 works at another spacing or size than the config.
    """

    config: Config
    scans: list[Scan]
    cine: list[Scan]
    corrector: Corrector
    dealt: list[list[str]]
    folder: pathlib.Path
    _pretrained: dict[str, TrainState] = dataclasses.field(default_factory=dict, init=False)
    _trained: dict[pathlib.Path, tuple[ResUNet, PyTree]] = dataclasses.field(
        default_factory=dict, init=False
    )

    def __post_init__(self) -> None:
        """Refuse what does not fit together; write the folds down."""
        stage3 = self.corrector
        if (stage3.spacing_mm, stage3.size) != (self.spec.myo_spacing_mm, self.spec.mask_size):
            raise InputError(
                f"stage 3 was made for masks of {stage3.size} pixels of {stage3.spacing_mm} mm, "
                f"and config.spec has mask_size {self.spec.mask_size} and myo_spacing_mm "
                f"{self.spec.myo_spacing_mm}; set both to its own"
            )
        path = self.folder / "folds.json"
        if path.exists() and read_json(path, fix=RESTORE) != self.dealt:
            raise InputError(f"{path} has folds of other patients; use another --workdir")
        write_json(self.dealt, path)
        inputs = {**digests([*self.scans, *self.cine]), "stage 3": _digest(stage3)}
        check_inputs(inputs, self.folder / "inputs.json")

    @property
    def spec(self) -> InputSpec:
        """Sizes and scalings."""
        return from_config(InputSpec, self.config.spec)

    @property
    def singles(self) -> list[tuple[int]]:
        """The trainings that left one fold out."""
        return [(fold,) for fold in range(len(self.dealt))]

    def of(self, *folds: int) -> list[Scan]:
        """Scans of some folds."""
        ids = {name for fold in folds for name in self.dealt[fold]}
        return [scan for scan in self.scans if scan.id in ids]

    def without(self, *folds: int) -> list[Scan]:
        """Scans of all other folds."""
        return self.of(*(index for index in range(len(self.dealt)) if index not in folds))

    def train(self, left_out: LeftOut) -> None:
        """Stages 1 and 2 on all folds but some, and what they say of enhancement in those."""
        seen = self.without(*left_out)
        for task in _STAGES:
            run = self.run(left_out, task)
            if (run / "done.json").exists():
                continue
            cohort = self._cohort(seen, task)
            train_network(self.config, task, run, cohort, pretrained=self._start(task))
            write_json({"patients": len(seen)}, run / "done.json")
        judged = [scan for scan in self.of(*left_out) if scan.has_enhancement]
        missing = [scan for scan in judged if not self._case(left_out, scan).exists()]
        if not missing:
            return
        inference = dataclasses.replace(self.inference(seen), spread=False)
        bundle = self.bundle([left_out], inference)
        for scan in tqdm(missing, desc="inner", unit="scan", leave=False, disable=None):
            found = scar_case(segment_or_nothing(scan, bundle))
            write_arrays(found._asdict(), self._case(left_out, scan))

    def cases(self, left_out: LeftOut, fold: int) -> list[ScarCase]:
        """What networks that never saw a fold say of its enhancement."""
        return [
            _read_case(self._case(left_out, scan)) for scan in self.of(fold) if scan.has_enhancement
        ]

    def rule_scores(self, cases: list[ScarCase]) -> list[dict[str, Any]]:
        """The best rules with their scores, the chosen one first."""
        _, scores = fit_scar_rule(cases, grid=from_config(RuleGrid, self.config.rule))
        return [score.record() for score in scores[:_TOLD]]

    def inference(self, train: list[Scan]) -> Inference:
        """The study's, with the stack check of these experts."""
        given = from_config(Inference, self.config.inference)
        return dataclasses.replace(given, max_change=fit_max_change(train, self.spec))

    def calibrate(self, judged: Sequence[tuple[LeftOut, int]], inference: Inference) -> Calibration:
        """Intervals that hold what experts say of patients whom networks never saw.

        Args:
            judged: trainings, each with a fold that it left out.
            inference: with the rule for scar that is used.
        """
        cases = []
        for left_out, fold in judged:
            bundle = self.bundle([left_out], inference)
            for scan in tqdm(
                self.of(fold), desc="intervals", unit="scan", leave=False, disable=None
            ):
                cases.append(interval_case(segment_or_nothing(scan, bundle)))
        return fit_calibration(cases)

    def bundle(
        self,
        members: Sequence[LeftOut],
        inference: Inference,
        *,
        calibration: Calibration | None = None,
    ) -> Bundle:
        """The ensemble of some trainings."""
        return Bundle(
            localise=Ensemble(tuple(Localise(*self._network(x, "lv")) for x in members)),
            delineate=Ensemble(tuple(Delineate(*self._network(x, "myo")) for x in members)),
            corrector=self.corrector,
            spec=self.spec,
            inference=inference,
            cleanup=CleanupWeights(),
            calibration=calibration,
        )

    def save_bundle(
        self,
        folder: pathlib.Path,
        members: Sequence[tuple[int]],
        training: dict[str, Any],
    ) -> None:
        """Write an ensemble, with the rule fitted to what each member says of its fold.

        Args:
            folder: must not exist.
            members: trainings that left one fold out.
            training: what stage 3 was made of, and whatever else there is to tell. Where nobody
                knows what it has seen (``seen`` is None), the bundle does not tell either.
        """
        scores = self.rule_scores([one for fold in members for one in self.cases(fold, fold[0])])
        inference = ruled(self.inference(self.scans), scores[0])
        first, *others = [
            {task: as_network_of(*self._network(member, task)) for task in _STAGES}
            for member in members
        ]
        stage3, encode = self.corrector, self.corrector.encode
        assert isinstance(encode, Encode)
        seen = training.get("seen", [])
        if seen is not None:
            seen = sorted({*fingerprints(self.scans, self.cine), *seen})
        told = {"folds": len(self.dealt), "scar_rules": scores, "seen": seen}
        bundles.save(
            folder,
            {**first, "autoencoder": as_network_of(encode.model, encode.variables)},
            bundles.Latent(stage3.thresholds, stage3.mixture, stage3.population),
            self.spec,
            inference,
            stage3.options,
            training={**training, **told},
            members=others,
            calibration=self.calibrate([(fold, fold[0]) for fold in members], inference),
        )

    def run(self, left_out: LeftOut, task: str) -> pathlib.Path:
        """Folder of a training."""
        return self.folder / "networks" / _name(left_out) / task

    def _cohort(self, scans: list[Scan], task: str) -> Cohort:
        """Training scans; whoever is left out has no cine scan among them either."""
        if pretrains(self.config, task):
            return Cohort(scans, [])
        spill = Spill(self.folder, self.config.data.memory_gb)
        left_out = {scan.id for scan in self.scans} - {scan.id for scan in scans}
        return with_cine(scans, of_others(self.cine, left_out), self.config.data.seed, spill)

    def _start(self, task: str) -> TrainState | None:
        """The pretraining that all share."""
        if pretrains(self.config, task) and task not in self._pretrained:
            folder = self.folder / "pretraining" / task
            cohort = Cohort([], [], cine=pretraining_cine(self.scans, self.cine))
            self._pretrained[task] = pretrain(self.config, task, folder, cohort)
        return self._pretrained.get(task)

    def _network(self, left_out: LeftOut, task: str) -> tuple[ResUNet, PyTree]:
        """A trained network with its variables, read once."""
        run = self.run(left_out, task)
        if run not in self._trained:
            settings, state = load_run(run)
            assert isinstance(settings.model, ResUNet)
            self._trained[run] = settings.model, state.variables
        return self._trained[run]

    def _case(self, left_out: LeftOut, scan: Scan) -> pathlib.Path:
        return self.folder / "inner" / _name(left_out) / f"{scan.id}.npz"


def ruled(inference: Inference, score: dict[str, Any]) -> Inference:
    """With the rule of a score; one kept before rules could ask for a peak asks for none."""
    told = {"min_peak_probability": 0.0, **score}
    names = [field.name for field in dataclasses.fields(ScarRule)]
    return dataclasses.replace(inference, **{name: told[name] for name in names})


def _digest(stage3: Corrector) -> str:
    """Of what it takes for plausible, and of the shapes that its autoencoder gave it."""
    leaves = jax.tree.leaves((stage3.thresholds, stage3.population))
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()


def _name(left_out: LeftOut) -> str:
    return "_".join(["without", *(str(fold + 1) for fold in left_out)])


def _read_case(path: pathlib.Path) -> ScarCase:
    def parse(arrays: Mapping[str, np.ndarray]) -> ScarCase:
        found = {name: arrays[name] for name in ScarCase._fields}
        row, column = (float(x) for x in found.pop("spacing_mm"))
        return ScarCase(spacing_mm=(row, column), **found)

    return read_arrays(path, parse, fix=AGAIN)
