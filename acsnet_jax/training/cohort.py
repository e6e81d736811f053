"""Which scans are trained on and which are held out: by patient, seeded, written down."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Sequence, Set
from typing import Any, Literal, NamedTuple

import numpy as np

from acsnet_jax.files import RESTORE, read_record, write_json
from acsnet_jax.io import Format, SliceOrder, read_cohort
from acsnet_jax.io.label_sets import parse_label_map
from acsnet_jax.io.pseudonym import key_file
from acsnet_jax.io.stack import check_finite, patient_of
from acsnet_jax.synthesis.cine_to_lge import cine_to_lge
from acsnet_jax.synthesis.phantom import make_cohort
from acsnet_jax.training.distributed import is_first
from acsnet_jax.training.spill import Spill
from acsnet_jax.types import InputError, Label, Modality, Scan

_TRAINED = ("checkpoints", "lv", "myo", "autoencoder", "networks")
"""What lies beside a ``split.json`` once networks were trained."""

_REFERENCES = 20  # phantoms that lend cine scans their histogram
_OTHER_SEED = 2**20  # added, so that they are no patients of a cohort of phantoms


@dataclasses.dataclass(frozen=True)
class CohortOptions:
    """Where scans come from and how they are divided.

    Attributes:
        format: "phantom", or a reader's name: "dicom", "nifti", "sunnybrook", "acdc", "emidec",
            "store".
        root: the cohort's folder; None for phantoms.
        cine_format: format of a further cohort of cine scans for training; None for none.
            "phantom" joins phantoms only: no real cohort is mixed with made-up patients.
        cine_root: its folder; None for phantoms.
        patients: number of phantoms in the cohort.
        cine_patients: number of phantoms in the cine cohort.
        image_size: height and width of the phantoms, in pixels.
        test_fraction: share of the patients of the cohort that is held out (paper: 25%); 1 to
            evaluate on a cohort that nothing was trained on.
        cine_test_fraction: share of the patients of the further cohort that is held out, to see how
            well the autoencoder rebuilds their masks.
        seed: of phantoms, split and cine conversion.
        slice_order: how to order slices whose geometry is unknown: "auto", "apex_first",
            "base_first".
        memory_gb: room for the pixels of scans in memory, and as much again for the samples made of
            them, in units of 2^30 bytes; what is beyond lies in unnamed files in the working
            folder. None for a quarter of the machine's memory.
        pseudonym_key: ``pseudonym.key`` of another working folder, to give DICOM scans the same
            names as there; None for one of its own.
        label_map: what the values of NIfTI labels mean, as in
            "1:blood_pool,2:myocardium,3:enhancement,4:background"; empty where they are 0
            background, 1 blood pool, 2 myocardium, 3 enhancement, 4 no-reflow.
    """

    format: Literal["phantom"] | Format = "phantom"
    root: str | None = None
    cine_format: Literal["phantom"] | Format | None = None
    cine_root: str | None = None
    patients: int = 40
    cine_patients: int = 40
    image_size: int = 160
    test_fraction: float = 0.25
    cine_test_fraction: float = 0.0
    seed: int = 0
    slice_order: SliceOrder = "auto"
    memory_gb: float | None = None
    pseudonym_key: str | None = None
    label_map: str = ""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be, and folders that nothing would read."""
        wrong = {
            "patients": self.patients < 1 and "1 or more",
            "cine_patients": self.cine_patients < 0 and "0 or more",
            "seed": self.seed < 0 and "0 or more",
            "test_fraction": not 0 < self.test_fraction <= 1 and "above 0 and at most 1",
            "cine_test_fraction": not 0 <= self.cine_test_fraction <= 1 and "from 0 to 1",
            "memory_gb": self.memory_gb is not None and self.memory_gb <= 0 and "above 0",
        }
        for name, wanted in wrong.items():
            if wanted:
                raise InputError(f"data.{name} is {getattr(self, name)}: give {wanted}")
        for part in ("", "cine_"):
            root, fmt = getattr(self, f"{part}root"), getattr(self, f"{part}format")
            if root and fmt in (None, "phantom"):
                raise InputError(
                    f"data.{part}root is {root}, and data.{part}format {fmt!r} reads no folder: "
                    f"say what lies there with --config.data.{part}format=FORMAT"
                )

    def values_of(self, fmt: str) -> dict[int, int] | None:
        """What the values of labels mean in a format, as `acsnet_jax.io.iter_cohort` takes it.

        Raises:
            InputError: ``label_map`` cannot be understood.
        """
        values, others = parse_label_map(self.label_map, key="data.label_map")
        if others is not None:
            raise InputError("config.data.label_map: name each value, other:NAME is not known here")
        return dict(values) if values is not None and fmt == "nifti" else None


class Conversion(NamedTuple):
    """How one cine scan was made LGE-like."""

    cine: Scan
    reference: Scan
    seed: int


@dataclasses.dataclass(frozen=True)
class Cohort:
    """Scans divided by patient. `train` holds cine made LGE-like; `test` never does.

    Attributes:
        train: for every training step, histogram and threshold.
        test: held-out patients, only for evaluation.
        cine_test: held-out patients of the further cine cohort, as they are.
        example: one conversion, for figure 4; None if no cine scan got a pseudo-scar.
        cine: the training cine scans as they are, for networks that are pretrained on them.
    """

    train: list[Scan]
    test: list[Scan]
    cine_test: list[Scan] = dataclasses.field(default_factory=list)
    example: Conversion | None = None
    cine: list[Scan] = dataclasses.field(default_factory=list)

    def lge_alone(self) -> "Cohort":
        """The same without cine scans in `train`."""
        return dataclasses.replace(self, train=[x for x in self.train if x.modality == "lge"])

    @property
    def seen(self) -> list[str]:
        """Fingerprints of the scans that whatever is trained on it sees, cine as it was."""
        return fingerprints(self.lge_alone().train, self.cine)


def fingerprints(*cohorts: Sequence[Scan]) -> list[str]:
    """Of scans that something was trained on, for its bundle to tell; see `Scan.fingerprint`."""
    return sorted({scan.fingerprint for scans in cohorts for scan in scans})


def digests(scans: Iterable[Scan]) -> dict[str, str]:
    """SHA-256 of all that a training or a judgement takes from each scan, for `check_inputs`."""
    return {f"{scan.modality} {scan.id}": _digest(scan) for scan in scans}


def _digest(scan: Scan) -> str:
    told = (scan.oriented, scan.has_enhancement, scan.window, scan.signal_zero)
    found = hashlib.sha256(f"{scan.digest} {told}".encode())
    found.update(scan.labelled.tobytes())
    if scan.labels is not None:
        found.update(scan.labels.tobytes())
    return found.hexdigest()


def load(data: CohortOptions, workdir: pathlib.Path) -> Cohort:
    """Read, divide and convert a cohort; write ``split.json`` into `workdir`.

    An existing ``split.json`` is obeyed, so that a resumed run, and three networks in one folder,
    see one division.

    Raises:
        InputError: a folder is missing, a scan is bad, fewer than two patients are labelled, or
            ``split.json`` belongs to another cohort or has one patient on both sides.
    """
    spill = Spill(workdir, data.memory_gb)
    scans, extra = read_labelled(data, workdir, spill)
    divided = [scan for scan in scans if scan.modality == "lge"] or scans
    held_out = _held_out(divided, data, workdir)
    cine_held_out = set()
    if extra and data.cine_test_fraction > 0:
        cine_held_out = split([scan.id for scan in extra], data.cine_test_fraction, data.seed)
    train = of_others([*scans, *extra], held_out | cine_held_out)
    test = [scan for scan in divided if scan.id in held_out]
    cine_test = [scan for scan in extra if scan.id in cine_held_out]
    converted, conversions = _lge_like(train, data.seed, spill)
    scarred = {scan.id for scan in converted if _is_scarred(scan)}
    example = next((one for one in conversions if one.cine.id in scarred), None)
    cine = [scan for scan in train if scan.modality == "cine"]
    return Cohort(converted, test, cine_test, example, cine)


def read_labelled(
    data: CohortOptions, workdir: pathlib.Path, spill: Spill
) -> tuple[list[Scan], list[Scan]]:
    """The labelled scans of the cohort, and those of the further cine cohort.

    Args:
        data: where they come from.
        workdir: where the key of DICOM scans' names lies, if ``data`` names none.
        spill: where pixels go that memory is not to hold.

    Raises:
        InputError: a folder is missing, or a scan or the key is bad.
    """
    key = key_file(data.pseudonym_key, workdir)
    both = _read(data, "lge", key, spill), _read_cine(data, key, spill)
    scans, cine = ([scan for scan in part if scan.labelled.any()] for part in both)
    for scan in scans:
        if len(scan.image) == 1:
            raise InputError(
                f"scan {scan.id} is a single slice, which has no volume to be judged by: give the "
                "whole short-axis stack, or take it out of the cohort"
            )
    for scan in cine:
        if scan.modality != "cine":
            raise InputError(
                f"{data.cine_root}: scan {scan.id} is late enhancement, and data.cine_root is a "
                "cohort of cine scans: give LGE with --config.data.root"
            )
    return scans, cine


def of_others(scans: list[Scan], held_out: Set[str]) -> list[Scan]:
    """Scans to train on: whoever has a scan that is held out has none among them."""
    patients = {*map(patient_of, held_out)}
    return [scan for scan in scans if patient_of(scan.id) not in patients]


def with_cine(lge: list[Scan], cine: list[Scan], seed: int, spill: Spill) -> Cohort:
    """Training scans of a further division, nobody held out; cine made LGE-like by these LGE."""
    return Cohort(_lge_like([*lge, *cine], seed, spill)[0], [], cine=cine)


def lge_like_by_phantoms(cine: list[Scan], seed: int, spill: Spill) -> list[Scan]:
    """Cine scans made LGE-like by phantoms: no patient's LGE scan gives its histogram.

    So one pretraining serves all folds of a cross-validation, whoever is held out in them.
    """
    phantoms = make_cohort(_REFERENCES, seed + _OTHER_SEED, modality="lge")
    rng = np.random.default_rng(seed)
    return [
        spill.scan(cine_to_lge(scan, phantoms[rng.integers(len(phantoms))], seed=seed + index))
        for index, scan in enumerate(cine)
    ]


def _read(data: CohortOptions, modality: Modality, key: pathlib.Path, spill: Spill) -> list[Scan]:
    """The cohort itself."""
    if data.format == "phantom":
        return make_cohort(data.patients, data.seed, modality=modality, size=data.image_size)
    if data.root is None:
        raise InputError(
            f"data.format is {data.format!r} but data.root is not set; name the cohort's folder "
            "with --config.data.root=DIR"
        )
    return read_cohort(
        data.root,
        data.format,
        slice_order=data.slice_order,
        label_map=data.values_of(data.format),
        key=key,
        keep=spill.scan,
    )


def _read_cine(data: CohortOptions, key: pathlib.Path, spill: Spill) -> list[Scan]:
    """The further cohort of cine scans."""
    if data.cine_format is None or (data.cine_format == "phantom" and data.format != "phantom"):
        return []
    if data.cine_format == "phantom":
        return make_cohort(data.cine_patients, data.seed, modality="cine", size=data.image_size)
    if data.cine_root is None:
        raise InputError(
            f"data.cine_format is {data.cine_format!r} but data.cine_root is not set; name the "
            "folder with --config.data.cine_root=DIR"
        )
    return read_cohort(
        data.cine_root,
        data.cine_format,
        modality="cine" if data.cine_format == "nifti" else None,  # which tells of none
        slice_order=data.slice_order,
        label_map=data.values_of(data.cine_format),
        key=key,
        keep=spill.scan,
    )


def split(ids: list[str], test_fraction: float, seed: int) -> set[str]:
    """The held-out ids: of a seeded share of patients, one at least, never all; or all if it is 1.

    Raises:
        InputError: fewer than two patients to divide.
    """
    if test_fraction == 1:
        return set(ids)
    patients = sorted({*map(patient_of, ids)})
    if len(patients) < 2:
        raise InputError(
            f"the cohort has {len(patients)} labelled patient(s); holding one out for evaluation "
            "needs at least 2"
        )
    count = min(max(round(test_fraction * len(patients)), 1), len(patients) - 1)
    order = np.random.default_rng(seed).permutation(len(patients))
    held_out = {patients[index] for index in order[:count]}
    return {one for one in ids if patient_of(one) in held_out}


class Division(NamedTuple):
    """Ids of training and of held-out scans."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def read_division(path: pathlib.Path) -> Division:
    """What ``split.json`` says.

    Raises:
        InputError: it is damaged.
    """

    def parse(values: dict[str, Any]) -> Division:
        return Division(*(tuple(map(str, values[part])) for part in Division._fields))

    return read_record(path, parse, fix=RESTORE)


def division_folder(run: pathlib.Path) -> pathlib.Path | None:
    """Where the ``split.json`` of a run is: in its folder, or in that of a whole study around it.

    None if there is none.
    """
    return next((x for x in (run, run.parent) if (x / "split.json").is_file()), None)


def _held_out(scans: list[Scan], data: CohortOptions, workdir: pathlib.Path) -> set[str]:
    """Held-out ids, from ``split.json`` if it is there."""
    path = workdir / "split.json"
    ids = sorted(scan.id for scan in scans)
    if path.exists():
        known = read_division(path)
        if sorted([*known.train, *known.test]) != ids:
            raise InputError(f"{path} divides another cohort: use another --workdir")
        twice = {*map(patient_of, known.train)} & {*map(patient_of, known.test)}
        if twice:
            raise InputError(
                f"{path} trains on one scan of {min(twice)} and holds out another: train anew in "
                "another --workdir"
            )
        return set(known.test)
    trained = [name for name in _TRAINED if (workdir / name).exists()]
    if trained:
        raise InputError(
            f"{path} is missing, and {workdir / trained[0]} was trained on a division that is not "
            "known any more: use another --workdir"
        )
    test = split(ids, data.test_fraction, data.seed)
    record = {
        "seed": data.seed,
        "train": [name for name in ids if name not in test],
        "test": sorted(test),
    }
    if is_first():
        write_json(record, path)
    return test


def _lge_like(train: list[Scan], seed: int, spill: Spill) -> tuple[list[Scan], list[Conversion]]:
    """Training scans with every cine scan converted by a random LGE scan of the same list."""
    lge = [scan for scan in train if scan.modality == "lge"]
    if not lge:
        return train, []
    converted, conversions = [], []
    for index, scan in enumerate(train):
        if scan.modality == "lge":
            converted.append(scan)
            continue
        reference = lge[np.random.default_rng([seed, index]).integers(len(lge))]
        conversions.append(Conversion(scan, reference, seed + index))
        converted.append(spill.scan(cine_to_lge(scan, reference, seed=seed + index)))
    return converted, conversions


def _is_scarred(scan: Scan) -> bool:
    return scan.labels is not None and bool((scan.labels >= Label.ENHANCEMENT).any())


def check_images(scans: list[Scan]) -> None:
    """Readers refuse such files; scans may come from elsewhere.

    Raises:
        InputError: an intensity is not finite; names the scan and the slice.
    """
    for scan in scans:
        check_finite(scan.image, f"scan {scan.id}", order="from the apex")
