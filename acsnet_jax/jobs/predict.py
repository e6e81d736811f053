"""Segment scans with a bundle: NIfTI, DICOM, clinical features, certificates and a report."""

import logging
import pathlib
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from acsnet_jax import bundle as bundles
from acsnet_jax import clinical, report
from acsnet_jax.correction import lost_slices
from acsnet_jax.files import replacing_folder, write_json
from acsnet_jax.io import discover, write_segmentation
from acsnet_jax.io.dicom_seg import write_dicom_seg
from acsnet_jax.io.dicom_sr import write_dicom_sr
from acsnet_jax.io.pseudonym import key_file
from acsnet_jax.pipeline import segment
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.types import InputError, Segmentation

_LOG = logging.getLogger(__name__)


def predict(config: Config, workdir: pathlib.Path) -> None:
    """Segment every scan at ``config.input``; one folder a scan in `workdir`, whole or absent.

    A scan whose folder is there already is passed over, so that a re-run goes on. A bad scan does
    not stop the others. ``index.html`` and ``index.csv`` hold all scans of `workdir`, worst first.

    Raises:
        InputError: no input or bundle, or at the end, if a scan could not be segmented.
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
    limits = from_config(clinical.GateLimits, config.gate)
    insertions_deg = _insertions(config.rv_insertions_deg)
    provenance = _provenance(config)
    failed, lost, doubtful = [], 0, 0
    for name, load in tqdm(loaders, desc="segment", unit="scan", disable=None):
        try:
            scan = load()
            if config.signal_zero is not None:
                scan = scan.replace(signal_zero=config.signal_zero)
            folder = workdir / scan.id
            if folder.exists():
                _LOG.info("%s: %s is there already", name, folder)
                continue
            segmentation = segment(scan, bundle)
            assessment = clinical.assess(
                segmentation, insertions_deg=insertions_deg, calibration=bundle.calibration
            )
            judgement = clinical.judge(clinical.measure_signs(segmentation), limits=limits)
            write_folder(
                segmentation,
                assessment,
                judgement,
                folder,
                dicom=config.dicom,
                provenance=provenance,
            )
        except InputError as error:
            _LOG.error("%s: %s", name, error)
            failed.append(name)
            continue
        lost += len(lost_slices(segmentation.certificates))
        doubtful += judgement.verdict != "accepted"
        features = assessment.features
        _LOG.info(
            "%s: %s; LV %s mL, myocardium %s g, infarct %s g (%s%% of LV mass) -> %s",
            name,
            judgement.verdict,
            _shown(features.lv_volume_ml, "{:.0f}"),
            _shown(features.myocardial_mass_g, "{:.0f}"),
            _shown(features.infarct_mass_g, "{:.1f}"),
            _shown(features.infarct_fraction, "{:.1f}", scale=100.0),
            folder,
        )
    _tell(workdir, provenance)
    if doubtful:
        _LOG.warning("%d scans are not accepted as they are; gate.json of each says why", doubtful)
    if lost:
        _LOG.warning(
            "%d slices were lost: nothing plausible was found for them, and they are left out; see "
            "their certificates",
            lost,
        )
    if failed:
        raise InputError(
            f"{len(failed)} of {len(loaders)} scans could not be segmented, for the reasons above: "
            + ", ".join(failed)
        )


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
