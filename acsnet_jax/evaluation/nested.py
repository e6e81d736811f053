"""The whole system cross-validated by patient, with everything that is fitted fitted inside.

Patients are dealt into folds. For every fold, and for every pair of folds, one stage 1 and one
stage 2 are trained on the patients of the others. Of a fold that is held out, all networks that
never saw it are an ensemble. Of another fold, the network of the pair of the two saw neither: from
its predictions there the rule for scar is fitted, so that no choice sees the fold that is judged,
and none is made on predictions of patients who were trained on. Where that is too much to train,
``config.pairs`` leaves each fold out with its two neighbours only: of five folds, ten trainings
instead of fifteen, and a rule that is fitted to two folds instead of four.

The system that comes out is that of a study on all patients: the networks that left one fold out,
and the rule fitted to what each says of its fold.

Stage 3 is given: it must not have seen the patients, as the prior that ships has not.

References:
    Varma and Simon, BMC Bioinformatics 7, 2006 (bias of a choice outside of the cross-validation).
"""

import logging
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from tqdm import tqdm

from acsnet_jax.clinical import Calibration, calibration_from
from acsnet_jax.evaluation.kept import read_segmentation, write_segmentation
from acsnet_jax.files import AGAIN, read_record, write_json
from acsnet_jax.pipeline import Bundle, Inference, segment_or_nothing
from acsnet_jax.training.folds import FoldNetworks, LeftOut, ruled
from acsnet_jax.types import InputError, Segmentation

PAIRS = ("all", "neighbours")
"""Which folds are left out two at a time; neighbours stand in a circle."""

_LOG = logging.getLogger(__name__)


class Fold(NamedTuple):
    """What a held-out fold came to.

    Attributes:
        segmentations: of its patients, in the order of the scans.
        inference: how the ensemble was used, the fitted rule included.
        calibration: of intervals, on the patients of the other folds.
    """

    segmentations: list[Segmentation]
    inference: Inference
    calibration: Calibration


def cross_validate_system(networks: FoldNetworks) -> list[Fold]:
    """Hold out every patient once.

    What is there already is not done again, and a training that stopped goes on.

    Args:
        networks: of at least 3 folds, two of which are left out at a time (``config.pairs``, all
            pairs without it); stage 3 never saw the patients. Its folder gets ``held_out/`` beside
            what the networks write themselves.

    Returns:
        What each fold came to, in their order.
    """
    folds = range(len(networks.dealt))
    pairs = sorted({_pair(fold, other) for fold in folds for other in _partners(networks, fold)})
    trainings: list[LeftOut] = [*networks.singles, *pairs]
    for left_out in tqdm(trainings, desc="networks", unit="training", disable=None):
        networks.train(left_out)
    return [_held_out(networks, index) for index in folds]


def save_system(networks: FoldNetworks, *, seen: Sequence[str] | None = ()) -> None:
    """Write the system that comes out of a cross-validation to ``bundle/``, if it is not there.

    Args:
        networks: trained ones of a cross-validation.
        seen: fingerprints of the scans that stage 3 was trained on; None if nobody knows them.
    """
    folder = networks.folder / "bundle"
    if not folder.exists():
        counts = {"lge": len(networks.scans), "cine": len(networks.cine)}
        networks.save_bundle(folder, networks.singles, {"scans": counts, "seen": seen})


def _held_out(networks: FoldNetworks, index: int) -> Fold:
    """Fit the rule and the intervals without a fold, and segment the fold."""
    rule_path = _rule_path(networks, index)
    if not rule_path.exists():
        others = _partners(networks, index)
        cases = [one for x in others for one in networks.cases(_pair(index, x), x)]
        scores = networks.rule_scores(cases)
        _LOG.info("fold %d: %s", index + 1, scores[0])
        write_json(scores, rule_path)
    inference = _inference(networks, index)
    if not _calibration_path(networks, index).exists():
        judged = [(_pair(index, other), other) for other in _partners(networks, index)]
        calibration = networks.calibrate(judged, inference)
        write_json(calibration._asdict(), _calibration_path(networks, index))
    paths = {rule_path.with_name(f"{scan.id}.npz"): scan for scan in networks.of(index)}
    missing = {path: scan for path, scan in paths.items() if not path.exists()}
    if missing:
        bundle = networks.bundle(_unseen(networks, index), inference)
        progress = tqdm(missing.items(), desc=f"fold {index + 1}", unit="scan", disable=None)
        for path, scan in progress:
            write_segmentation(segment_or_nothing(scan, bundle), path)
    segmentations = [read_segmentation(scan, path) for path, scan in paths.items()]
    return Fold(segmentations, inference, _calibration(networks, index))


def unseeing_bundle(networks: FoldNetworks, index: int) -> Bundle:
    """The system that has seen nothing of a fold: its ensemble, and the rule that was fitted.

    Args:
        networks: trained ones of a cross-validation.
        index: of the fold.
    """
    return networks.bundle(
        _unseen(networks, index),
        _inference(networks, index),
        calibration=_calibration(networks, index),
    )


def _unseen(networks: FoldNetworks, index: int) -> list[LeftOut]:
    """The trainings that a fold was left out of."""
    return [(index,), *(_pair(index, other) for other in _partners(networks, index))]


def _inference(networks: FoldNetworks, index: int) -> Inference:
    """How the ensemble of a fold is used: with the rule that was fitted without the fold."""
    plain = networks.inference(networks.without(index))
    path = _rule_path(networks, index)
    return read_record(path, lambda scores: ruled(plain, scores[0]), fix=AGAIN)


def check_pairs(pairs: str) -> None:
    """Ask for a choice of pairs that there is.

    Raises:
        InputError: there is none of this name.
    """
    if pairs not in PAIRS:
        raise InputError(f"config.pairs is {pairs!r}; give one of {', '.join(PAIRS)}")


def _partners(networks: FoldNetworks, index: int) -> list[int]:
    """The folds that a fold is left out together with."""
    folds = len(networks.dealt)
    if networks.config.get("pairs", "all") == "all":
        return [other for other in range(folds) if other != index]
    return sorted({(index - 1) % folds, (index + 1) % folds})


def _rule_path(networks: FoldNetworks, index: int) -> pathlib.Path:
    return networks.folder / "held_out" / f"fold{index + 1}" / "rule.json"


def _calibration_path(networks: FoldNetworks, index: int) -> pathlib.Path:
    return _rule_path(networks, index).with_name("calibration.json")


def _calibration(networks: FoldNetworks, index: int) -> Calibration:
    return read_record(_calibration_path(networks, index), calibration_from, fix=AGAIN)


def _pair(one: int, other: int) -> LeftOut:
    return min(one, other), max(one, other)
