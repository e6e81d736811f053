"""Segment scans with a bundle: NIfTI, DICOM, clinical features, certificates and a report."""

import collections
import contextlib
import json
import logging
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tqdm import tqdm

from acsnet_jax import bundle as bundles
from acsnet_jax import clinical, report
from acsnet_jax.aside import Aside, Here, Place, spare_processes
from acsnet_jax.correction import lost_slices
from acsnet_jax.files import RESTORE, read_json, replacing_folder, write_json
from acsnet_jax.io import Loader, discover, write_segmentation
from acsnet_jax.io.dicom_seg import write_dicom_seg
from acsnet_jax.io.dicom_sr import write_dicom_sr
from acsnet_jax.io.pseudonym import key_file
from acsnet_jax.pipeline import segment
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.types import InputError, Scan, Segmentation

_LOG = logging.getLogger(__name__)

SETTINGS_FILE = "settings.json"
"""What the results of a folder follow from."""

_DECIDING = (
    "modality",
    "slice_order",
    "signal_zero",
    "rv_insertions_deg",
    "inference",
    "correction",
    "gate",
)
"""Keys that change results; input may grow, and a series' UID tells whose study it is."""

_OVERLAP_FROM = 4
"""Scans; for fewer, starting other processes costs more than they save."""


def predict(config: Config, workdir: pathlib.Path) -> None:
    """Segment every scan at ``config.input``; one folder a scan in `workdir`, whole or absent.

    A scan whose folder is there already is passed over, so that a re-run of the same bundle and
    options goes on; one whose pixels have changed since is segmented again. A bad scan does not
    stop the others. ``index.html`` and ``index.csv`` hold all scans of `workdir`, worst first. With
    ``config.overlap``, several scans are read by another process, and assessed and written by
    further ones, while this one computes.

    Raises:
        InputError: no input or bundle, `workdir` holds results of another bundle or other options,
            or at the end, if a scan could not be segmented.
    """
    for name in ("bundle", "input"):
        if not config[name]:
            raise InputError(f"config.{name} is not set; give it with --config.{name}=PATH")
    bundle = bundles.load(
        config.bundle,
        inference=config.inference.to_dict(),
        correction=config.correction.to_dict(),
    )
    loaders = discover(
        config.input,
        modality=config.modality or None,
        slice_order=config.slice_order,
        series=config.series or None,
        key=key_file(config.pseudonym_key, workdir),
    )
    delivery = _Delivery(
        _insertions(config.rv_insertions_deg),
        bundle.calibration,
        from_config(clinical.GateLimits, config.gate),
        config.dicom,
        _provenance(config),
    )
    _check_same(config, workdir)
    tally = _Tally()
    begun: set[pathlib.Path] = set()
    met: dict[pathlib.Path, tuple[str, str]] = {}  # name and digest of who has a folder
    with contextlib.ExitStack() as processes:
        reader: Place = Here()
        writer: Place = Here()
        waiting = 0
        if config.overlap and len(loaders) >= _OVERLAP_FROM:
            writers = spare_processes()
            reader, writer = (processes.enter_context(Aside(count)) for count in (1, writers))
            waiting = writers + 1
        readings = _readings(reader, loaders, config.signal_zero)
        bar = tqdm(readings, desc="segment", unit="scan", total=len(loaders), disable=None)
        for name, reading in bar:
            try:
                scan = reading()
                folder = workdir / scan.id
                other, digest = met.setdefault(folder, (name, scan.digest))
                if digest != scan.digest:
                    raise InputError(
                        f"its folder, {scan.id}, is that of {other}: rename one of them, names "
                        "are told apart by letters, digits, dots, dashes and underscores"
                    )
                if folder in begun or _is_there(folder, scan):
                    _LOG.info("%s: %s is there already", name, folder)
                    continue
                segmentation = segment(scan, bundle)
            except InputError as error:
                tally.settle(0)
                tally.fail(name, error)
                continue
            begun.add(folder)
            tally.wait_for(name, folder, writer.call(_deliver, segmentation, folder, delivery))
            tally.settle(waiting)
        tally.settle(0)
    _tell(workdir, delivery.provenance)
    if tally.doubtful:
        _LOG.warning(
            "%d scans are not accepted as they are; gate.json of each says why", tally.doubtful
        )
    if tally.lost:
        _LOG.warning(
            "%d slices were lost: nothing plausible was found for them, and they are left out; see "
            "their certificates",
            tally.lost,
        )
    if tally.failed:
        raise InputError(
            f"{len(tally.failed)} of {len(loaders)} scans could not be segmented, for the reasons "
            "above: " + ", ".join(tally.failed)
        )


def _check_same(config: Config, workdir: pathlib.Path) -> None:
    """One folder holds results of one bundle and one set of options.

    Raises:
        InputError: `workdir` holds those of others.
    """
    settings = {"bundle": bundles.digest(config.bundle)}
    settings |= {name: config[name] for name in (*_DECIDING, "dicom")}
    settings = json.loads(json.dumps(settings, default=lambda node: node.to_dict()))
    path = workdir / SETTINGS_FILE
    if not path.exists():
        write_json(settings, path)
        return
    before = read_json(path, fix=RESTORE)
    # an older folder does not say whether it has DICOM
    known = {"dicom": config.dicom, **before} if isinstance(before, dict) else {}
    differ = [name for name in settings if known.get(name) != settings[name]]
    if differ:
        raise InputError(
            f"{workdir} holds results of others ({', '.join(differ)} differ): use another --workdir"
        )


def _is_there(folder: pathlib.Path, scan: Scan) -> bool:
    """Whether a folder holds results of a scan, and not of other pixels under the same name."""
    path = folder / report.FEATURES_FILE
    if not path.exists():
        return folder.exists()
    told = read_json(path, fix=f"remove {folder} and run again")
    known = told.get("image_sha256") if isinstance(told, dict) else None
    return known is None or known == scan.digest


def _readings(
    reader: Place, loaders: Sequence[tuple[str, Loader]], signal_zero: float | None
) -> Iterator[tuple[str, Callable[[], Scan]]]:
    """(name, what gives the scan) of each; while one is taken, the next is being read."""
    begun: collections.deque[tuple[str, Callable[[], Scan]]] = collections.deque()
    for name, load in loaders:
        begun.append((name, reader.call(_read, load, signal_zero)))
        if len(begun) > 1:
            yield begun.popleft()
    yield from begun


def _read(load: Loader, signal_zero: float | None) -> Scan:
    scan = load()
    return scan if signal_zero is None else scan.replace(signal_zero=signal_zero)


class _Delivery(NamedTuple):
    """What a study's files follow from besides its segmentation."""

    insertions_deg: tuple[float, float] | None
    calibration: clinical.Calibration | None
    limits: clinical.GateLimits
    dicom: bool
    provenance: Mapping[str, str]


class _Delivered(NamedTuple):
    """What is told of a study on the console."""

    verdict: str
    lost: int
    words: str


def _deliver(segmentation: Segmentation, folder: pathlib.Path, delivery: _Delivery) -> _Delivered:
    """Assess a segmentation and write all files of it."""
    assessment = clinical.assess(
        segmentation,
        insertions_deg=delivery.insertions_deg,
        calibration=delivery.calibration,
    )
    judgement = clinical.judge(clinical.measure_signs(segmentation), limits=delivery.limits)
    write_folder(
        segmentation,
        assessment,
        judgement,
        folder,
        dicom=delivery.dicom,
        provenance=delivery.provenance,
    )
    features = assessment.features
    words = (
        f"LV {_shown(features.lv_volume_ml, '{:.0f}')} mL, "
        f"myocardium {_shown(features.myocardial_mass_g, '{:.0f}')} g, "
        f"infarct {_shown(features.infarct_mass_g, '{:.1f}')} g "
        f"({_shown(features.infarct_fraction, '{:.1f}', scale=100.0)}% of LV mass)"
    )
    return _Delivered(judgement.verdict, len(lost_slices(segmentation.certificates)), words)


class _Tally:
    """What became of the scans, and of which it is not known yet."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.lost = 0
        self.doubtful = 0
        self._waiting: collections.deque[tuple[str, pathlib.Path, Callable[[], _Delivered]]]
        self._waiting = collections.deque()

    def wait_for(self, name: str, folder: pathlib.Path, result: Callable[[], _Delivered]) -> None:
        self._waiting.append((name, folder, result))

    def settle(self, most: int) -> None:
        """Until so many at most are waited for, the oldest first."""
        while len(self._waiting) > most:
            name, folder, result = self._waiting.popleft()
            try:
                delivered = result()
            except InputError as error:
                self.fail(name, error)
                continue
            self.lost += delivered.lost
            self.doubtful += delivered.verdict != "accepted"
            _LOG.info("%s: %s; %s -> %s", name, delivered.verdict, delivered.words, folder)

    def fail(self, name: str, error: InputError) -> None:
        _LOG.error("%s: %s", name, error)
        self.failed.append(name)


def _tell(workdir: pathlib.Path, provenance: Mapping[str, str]) -> None:
    """All studies of the folder in one page and one table, worst first."""
    studies = report.collect_studies(workdir)
    if not studies:
        return
    path = workdir / "index.html"
    report.write_studies(studies, path, title="LV and scar", provenance=provenance)
    for line in report.studies_text(studies).splitlines():
        _LOG.info("%s", line)
    _LOG.info("open %s", path)


def _insertions(given: Sequence[int | float] | None) -> tuple[float, float] | None:
    """Anterior and inferior insertion of the right ventricle, if they are given."""
    if given is None:
        return None
    if len(given) != 2:
        raise InputError(
            f"config.rv_insertions_deg has {len(given)} values: give the anterior and the inferior "
            "insertion in degrees, such as 240,120"
        )
    return float(given[0]), float(given[1])


def _shown(value: float | None, form: str, *, scale: float = 1.0) -> str:
    return "n/a" if value is None else form.format(scale * value)


def write_folder(
    segmentation: Segmentation,
    assessment: clinical.Assessment,
    judgement: clinical.Judgement,
    folder: pathlib.Path,
    *,
    dicom: bool,
    provenance: Mapping[str, str],
) -> None:
    """All files of one scan, in a folder that is whole or absent.

    Args:
        segmentation: of the scan.
        assessment: of the segmentation.
        judgement: of the gate.
        folder: is replaced.
        dicom: whether DICOM input gets a DICOM-SEG and a DICOM SR.
        provenance: what the result follows from, for the report.

    Raises:
        InputError: a file is in the folder's place.
    """
    with replacing_folder(folder) as temporary:
        write_segmentation(
            temporary / "segmentation.nii.gz", segmentation.tissue, segmentation.scan
        )
        report.write_assessment(assessment, segmentation, temporary)
        certificates = [one._asdict() for one in segmentation.certificates]
        write_json(certificates, temporary / "certificates.json")
        gate = {**judgement._asdict(), "signs": judgement.signs._asdict()}
        write_json(gate, temporary / "gate.json")
        report.overlay(segmentation, temporary / "overlay.png")
        report.unrolled(assessment, temporary / "ring.png", title=segmentation.scan.id)
        report.write_scan_page(
            temporary / "report.html",
            segmentation,
            assessment,
            provenance=provenance,
            judgement=judgement,
            pictures=report.scan_pictures(temporary, assessment),
        )
        if dicom and segmentation.scan.planes:
            _write_dicom(segmentation, assessment, temporary)


def _write_dicom(
    segmentation: Segmentation, assessment: clinical.Assessment, folder: pathlib.Path
) -> None:
    """The result as DICOM beside the source series; files that cannot be referred to get none."""
    dark = assessment.findings.no_reflow
    try:
        written = write_dicom_seg(
            folder / "segmentation.dcm",
            segmentation,
            no_reflow=None if isinstance(dark, clinical.NotAvailable) else dark,
        )
        write_dicom_sr(
            folder / "measurements.dcm",
            segmentation.scan,
            written,
            assessment.features._asdict(),
            segments=[one._asdict() for one in assessment.segments],
        )
    except InputError as error:
        _LOG.warning("%s: no DICOM is written: %s", segmentation.scan.id, error)


def _provenance(config: Config) -> dict[str, str]:
    """What the results follow from, without the user's folders, whose names may name a patient."""
    return {
        "Bundle": f"SHA-256 {bundles.digest(config.bundle)}",
        **report.environment(),
        **report.config_text(config.to_dict()),
    }
