"""What the gate says of studies that are bad on purpose, by networks that never saw the patients.

    python -m benchmarks.bad_studies --run=DIR --cine=ACDC --cine_format=acdc --patients=10

DIR is a finished ``experiments.crossvalidate``. Of some of its patients, as many of each fold, with
and without scar in turn, the study is taken as it is and spoilt in seven ways; cine scans given as
late enhancement are an eighth kind. Prints, for each kind, how many are accepted, to be looked at
and rejected, and mean Dice in 3-D: of the wall, of the wall of those accepted, and of the infarct
of patients with scar; writes JSON. The limits are the gate's defaults.
"""

import itertools
import json
import pathlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags, logging
from scipy import ndimage

from acsnet_jax import clinical
from acsnet_jax.evaluation.nested import unseeing_bundle
from acsnet_jax.io import read_cohort
from acsnet_jax.jobs.crossvalidate import read_inputs
from acsnet_jax.metrics import stack_dice
from acsnet_jax.pipeline import Bundle, segment_or_nothing
from acsnet_jax.training.folds import FoldNetworks
from acsnet_jax.training.runs import run_config
from acsnet_jax.types import InputError, Label, Scan
from benchmarks import record

_RUN = flags.DEFINE_string("run", "", "Folder of a finished cross-validation.")
_CINE = flags.DEFINE_string("cine", None, "Cohort of cine scans; none without it.")
_CINE_FORMAT = flags.DEFINE_string("cine_format", "acdc", "Its format.")
_PATIENTS = flags.DEFINE_integer("patients", 10, "Of each kind.")
flags.declare_key_flag("out")

Spoil = Callable[[Scan, np.random.Generator], Scan]


def _noise(scan: Scan, rng: np.random.Generator) -> Scan:
    """Noise as strong as the contrast between blood and wall."""
    return scan.replace(
        image=scan.image + rng.normal(0, _contrast(scan), scan.image.shape).astype(np.float32)
    )


def _motion(scan: Scan, rng: np.random.Generator) -> Scan:
    """Breathing: every line of k-space was read with the heart elsewhere, up to 12 mm."""
    spectrum = np.fft.fft(scan.image, axis=1)
    lines = scan.image.shape[1]
    phase = rng.uniform(0, 2 * np.pi)
    shift_px = 6.0 / scan.spacing_mm[0] * np.sin(np.arange(lines) * 0.7 + phase)
    ramp = np.exp(-2j * np.pi * np.fft.fftfreq(lines) * shift_px)
    image = np.real(np.fft.ifft(spectrum * ramp[None, :, None], axis=1))
    return scan.replace(image=image.astype(np.float32))


def _half(scan: Scan, rng: np.random.Generator) -> Scan:
    """Half of the heart lies outside of the field of view."""
    del rng
    image = scan.image.copy()
    middle = round(float(np.argwhere(_labels(scan) > 0)[:, 2].mean()))
    image[:, :, middle:] = image.min()
    return scan.replace(image=image)


def _shuffled(scan: Scan, rng: np.random.Generator) -> Scan:
    """Slices in no order."""
    order = rng.permutation(len(scan.image))
    labels = None if scan.labels is None else scan.labels[order]
    return scan.replace(image=scan.image[order], labels=labels, labelled=scan.labelled[order])


def _inverted(scan: Scan, rng: np.random.Generator) -> Scan:
    """Bright is dark: another series, or a wrong photometric interpretation."""
    del rng
    return scan.replace(image=scan.image.max() - scan.image)


def _blurred(scan: Scan, rng: np.random.Generator) -> Scan:
    """A localiser's resolution: 8 mm."""
    del rng
    sigma = (0, *(8.0 / 2.355 / step for step in scan.spacing_mm))
    return scan.replace(image=ndimage.gaussian_filter(scan.image, sigma))


def _elsewhere(scan: Scan, rng: np.random.Generator) -> Scan:
    """No heart in the picture: the patches beside it, mirrored over it."""
    del rng
    image = scan.image.copy()
    rows, columns = (np.flatnonzero((_labels(scan) > 0).any(axis=(0, axis))) for axis in (2, 1))
    margin = 12
    top, bottom = max(rows[0] - margin, 0), min(rows[-1] + margin, image.shape[1])
    left, right = max(columns[0] - margin, 0), min(columns[-1] + margin, image.shape[2])
    corner = image[:, : bottom - top, : right - left]
    image[:, top:bottom, left:right] = corner[:, ::-1, ::-1]
    return scan.replace(image=image)


VERDICTS = ("accepted", "look at it", "rejected")
KINDS: dict[str, Spoil] = {
    "as it is": lambda scan, rng: scan,
    "noise": _noise,
    "motion": _motion,
    "half a heart": _half,
    "slices shuffled": _shuffled,
    "inverted": _inverted,
    "blurred": _blurred,
    "no heart": _elsewhere,
}


def _labels(scan: Scan) -> np.ndarray:
    if scan.labels is None:
        raise InputError(f"scan {scan.id} has no labels: spoilt studies need to know the heart")
    return scan.labels


def _contrast(scan: Scan) -> float:
    labels = _labels(scan)
    wall, blood = (
        float(np.median(scan.image[tissue]))
        for tissue in (labels == Label.MYOCARDIUM, labels == Label.BLOOD_POOL)
    )
    return abs(blood - wall)


class Judged(NamedTuple):
    """The gate's verdict, and Dice in 3-D on labelled slices; None where there is no infarct."""

    verdict: str
    wall: float
    infarct: float | None


def verdict_of(scan: Scan, bundle: Bundle) -> Judged:
    """What the gate says of a scan."""
    found = segment_or_nothing(scan, bundle)
    judgement = clinical.judge(clinical.measure_signs(found))
    told = scan.labelled[:, None, None]
    tissues = (Label.MYOCARDIUM, Label.ENHANCEMENT)
    wall, infarct = ((_labels(scan) >= tissue) & told for tissue in tissues)
    return Judged(
        judgement.verdict,
        stack_dice(found.myocardium & told, wall),
        stack_dice(found.enhancement & told, infarct) if infarct.any() else None,
    )


def _in_turn(scans: list[Scan], count: int) -> list[Scan]:
    """The first patients, with and without scar in turn."""
    with_scar, without = (
        [scan for scan in scans if (_labels(scan) >= Label.ENHANCEMENT).any() == scarred]
        for scarred in (True, False)
    )
    turns = itertools.chain.from_iterable(itertools.zip_longest(with_scar, without))
    return [scan for scan in turns if scan is not None][:count]


def networks_of(run: pathlib.Path) -> FoldNetworks:
    """The trained networks of a finished cross-validation."""
    config = run_config(run)
    dealt = json.loads((run / "folds.json").read_text())
    return FoldNetworks(config, *read_inputs(config, run), dealt, run)


def study(networks: FoldNetworks, cine: list[Scan], patients: int) -> list[dict]:
    """One row a kind."""
    found: dict[str, list[Judged]] = {}
    folds = len(networks.dealt)
    for index in range(folds):
        bundle = unseeing_bundle(networks, index)
        rng = np.random.default_rng(index)
        here = _in_turn(networks.of(index), -(-patients // folds))
        for kind, spoil in KINDS.items():
            rows = [verdict_of(spoil(scan, rng), bundle) for scan in here]
            found.setdefault(kind, []).extend(rows)
        given = [scan.replace(modality="lge") for scan in cine[index::folds][: len(here)]]
        found.setdefault("cine", []).extend(verdict_of(scan, bundle) for scan in given)
    return [
        {
            "kind": kind,
            "patients": len(rows),
            **{name: Counter(row.verdict for row in rows)[name] for name in VERDICTS},
            "wall_dice": _mean([row.wall for row in rows]),
            "wall_dice_accepted": _mean([row.wall for row in rows if row.verdict == "accepted"]),
            "infarct_dice": _mean([row.infarct for row in rows if row.infarct is not None]),
        }
        for kind, rows in found.items()
        if rows
    ]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)  # Orbax tells of every file that it reads
    if not _RUN.value:
        raise InputError("name the folder of a finished cross-validation with --run=DIR")
    cine = []
    if _CINE.value:
        layout: Any = _CINE_FORMAT.value  # a wrong one is told by the reader
        cine = [scan for scan in read_cohort(_CINE.value, layout) if scan.labelled.any()]
    rows = study(networks_of(pathlib.Path(_RUN.value)), cine, _PATIENTS.value)
    record.print_table([*rows[0]], [[*row.values()] for row in rows])
    record.write("bad_studies", {"rows": rows}, folder=record.OUT.value)


if __name__ == "__main__":
    app.run(main)
