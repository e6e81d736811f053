"""Evaluate a bundle on held-out patients: tables 1 and 2, figures 2 and 3, a report."""

import logging
import pathlib
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from acsnet_jax import bundle as bundles
from acsnet_jax import clinical, evaluation, report
from acsnet_jax.correction import Corrector
from acsnet_jax.evaluation import Targets
from acsnet_jax.files import write_json
from acsnet_jax.pipeline import segment_or_nothing
from acsnet_jax.training.cohort import Cohort, CohortOptions
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.types import Segmentation

_LOG = logging.getLogger(__name__)


def evaluate(config: Config, workdir: pathlib.Path) -> None:
    """Segment the held-out patients of ``config.data`` with ``config.bundle`` and write a report.

    Raises:
        InputError: bad bundle or data.
    """
    data = from_config(CohortOptions, config.data)
    path = write_evaluation(
        evaluation.load_held_out(data, workdir, split=config.split, turn=config.turn),
        pathlib.Path(config.bundle),
        workdir,
        data=data,
        targets=from_config(Targets, config.targets),
        config=config.to_dict(),
        inference=config.inference.to_dict(),
        correction=config.correction.to_dict(),
    )
    _LOG.info("done; open %s", path)


def write_evaluation(
    cohort: Cohort,
    folder: pathlib.Path,
    workdir: pathlib.Path,
    *,
    data: CohortOptions,
    targets: Targets,
    config: Mapping,
    inference: Mapping | None = None,
    correction: Mapping | None = None,
    runs: Mapping[str, pathlib.Path] | None = None,
) -> pathlib.Path:
    """Segment the held-out scans, and write tables, figures, certificates and ``report.html``.

    The last lines of the log are the study in a few numbers, scar first.

    Returns:
        The path of the report.
    """
    bundle = bundles.load(
        folder, inference=dict(inference or {}), correction=dict(correction or {})
    )
    seen = evaluation.trained_on(cohort.test, bundles.provenance(folder))
    segmentations = [
        segment_or_nothing(scan, bundle)
        for scan in tqdm(cohort.test, desc="segment", unit="scan", disable=None)
    ]
    return write_study(
        segmentations,
        evaluation.evaluate(segmentations, bundle.inference),
        bundle.corrector,
        [bundle.calibration] * len(segmentations),
        cohort,
        workdir,
        title="ACSNet: held-out patients",
        data=data,
        targets=targets,
        config=config,
        runs=runs,
        seen=seen,
    )


def write_study(
    segmentations: Sequence[Segmentation],
    records: evaluation.Evaluation,
    corrector: Corrector,
    calibrations: Sequence[clinical.Calibration | None],
    cohort: Cohort,
    workdir: pathlib.Path,
    *,
    title: str,
    data: CohortOptions,
    targets: Targets,
    config: Mapping,
    runs: Mapping[str, pathlib.Path] | None = None,
    seen: Sequence[str] = (),
) -> pathlib.Path:
    """Tables, figures, certificates, a page a patient, and ``report.html`` of held-out patients.

    Args:
        segmentations: of the patients.
        records: of the same.
        corrector: stage 3, which says what is valid.
        calibrations: of the intervals of each patient, None where there is none.
        cohort: for the report: who was trained on and who was held out.
        workdir: gets the files.
        title: of the report.
        data: for the report.
        targets: what the numbers are held against.
        config: for the report.
        runs: training runs by the name of the network, for their curves.
        seen: ids of patients that the system was trained on, for the report to say so.

    Returns:
        The path of the report.
    """
    table1, table2 = evaluation.table1(records.slices), evaluation.table2(records.volumes)
    validity = evaluation.validity_of(segmentations, corrector)
    numbers = evaluation.headline_numbers(records, validity, targets)
    certificates = [one for segmentation in segmentations for one in segmentation.certificates]
    in_3d = evaluation.evaluate_challenge(segmentations)
    gate = evaluation.gate_records(segmentations, in_3d)
    coverage = evaluation.coverage_records(segmentations, calibrations)
    _write_patients(segmentations, calibrations, gate, workdir / "patients", config)
    agreements = evaluation.agreement(in_3d, volumes=records.volumes)
    patients = evaluation.patient_records(segmentations, in_3d, records.volumes, gate)
    report.write_tables(table1, table2, workdir)
    report.write_challenge(in_3d, workdir)
    report.write_agreement(agreements, workdir)
    report.write_burden(patients, workdir)
    report.write_gate(gate, workdir)
    report.write_coverage(coverage, workdir)
    report.write_csv(report.slices_table(records.slices), workdir / "slices.csv")
    write_json([one._asdict() for one in certificates], workdir / "certificates.json")
    write_json({number.name: number.record() for number in numbers}, workdir / "summary.json")
    figures = workdir / "figures"
    path = report.write_report(
        workdir,
        report.Report(
            title=title,
            summary=numbers,
            table1=table1,
            table2=table2,
            challenge=in_3d,
            sections=report.study_sections(agreements, patients, coverage),
            gate=gate,
            pictures=report.study_pictures(
                segmentations,
                records,
                cohort,
                figures,
                panels=report.agreement_panels(agreements, in_3d, records.volumes),
                runs=runs,
            ),
            worst=report.worst_pictures(segmentations, records, figures),
            certificates=certificates,
            validity=validity,
            data=report.cohort_text(cohort, data, seen=seen),
            patients="patients/index.html",
            config=report.config_text(config),
            environment=report.environment(),
            datasets=[x for x in (data.format, data.cine_format) if x in report.DATASET_CITATIONS],
        ),
    )
    for number in numbers:
        _LOG.info("%s", number.line())
    return path


def _write_patients(
    segmentations: Sequence[Segmentation],
    calibrations: Sequence[clinical.Calibration | None],
    gate: Sequence[evaluation.GateRecord],
    folder: pathlib.Path,
    config: Mapping,
) -> None:
    """A page of each patient, and one that holds them all, worst first."""
    for page in folder.glob("*.html"):
        page.unlink()  # those of an earlier study
    provenance = {**report.environment(), **report.config_text(config)}
    studies = []
    given = list(zip(segmentations, calibrations, gate, strict=True))
    for segmentation, calibration, record in tqdm(given, desc="pages", disable=None):
        assessment = clinical.assess(segmentation, calibration=calibration)
        name = f"{segmentation.scan.id}.html"
        report.write_scan_page(
            folder / name,
            segmentation,
            assessment,
            provenance=provenance,
            judgement=record.judgement,
        )
        studies.append(
            report.study_of(
                segmentation.scan.id,
                assessment,
                record.judgement,
                page=name,
                wall_dice=record.myocardium,
                infarct_dice=record.enhancement,
            )
        )
    report.write_studies(
        report.ranked(studies),
        folder / "index.html",
        title="Held-out patients",
        provenance=provenance,
    )
