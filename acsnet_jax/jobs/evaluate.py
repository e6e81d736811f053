"""Evaluate a bundle on held-out patients: tables 1 and 2, figures 2 and 3, a report."""

import dataclasses
import functools
import logging
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from tqdm import tqdm

from acsnet_jax import bundle as bundles
from acsnet_jax import report
from acsnet_jax.correction import Corrector, valid_stack
from acsnet_jax.evaluation import evaluate as evaluate_segmentations
from acsnet_jax.evaluation.summary import SliceRecord, VolumeRecord, table1, table2
from acsnet_jax.files import write_json, write_text
from acsnet_jax.pipeline import segment
from acsnet_jax.preprocess.orient import turned_scan
from acsnet_jax.synthesis.cine_to_lge import conversion_steps
from acsnet_jax.training import cohort as cohorts
from acsnet_jax.training.record import read as read_record
from acsnet_jax.training.settings import Config, from_config
from acsnet_jax.types import Segmentation

_LOG = logging.getLogger(__name__)
_EXAMPLES = 4


@dataclasses.dataclass(frozen=True)
class Targets:
    """What a study aims at; 0 for no aim.

    Attributes:
        lv_dice: mean Dice of the LV at least.
        myocardium_dice: mean Dice of the myocardium at least.
        lv_volume_error: mean error of the LV's volume at most, as a share.
    """

    lv_dice: float = 0.0
    myocardium_dice: float = 0.0
    lv_volume_error: float = 0.0


def evaluate(config: Config, workdir: pathlib.Path) -> None:
    """Segment the held-out patients of ``config.data`` with ``config.bundle`` and write a report.

    Raises:
        InputError: bad bundle or data.
    """
    write_evaluation(
        load_cohort(config, workdir),
        pathlib.Path(config.bundle),
        workdir,
        data=from_config(cohorts.CohortOptions, config.data),
        targets=from_config(Targets, config.targets),
        config=config.to_dict(),
        inference=config.inference.to_dict(),
        correction=config.correction.to_dict(),
    )


def load_cohort(config: Config, workdir: pathlib.Path) -> cohorts.Cohort:
    """The cohort of ``config.data``, its held-out scans turned by ``config.turn``.

    The division is that of ``split.json`` in `workdir` or, if it is not there, of
    ``config.split``, the folder of a training run; without both it is drawn from the seed.

    Raises:
        InputError: bad data.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    if config.split and not (workdir / "split.json").exists():
        write_text((pathlib.Path(config.split) / "split.json").read_text(), workdir / "split.json")
    cohort = cohorts.load(from_config(cohorts.CohortOptions, config.data), workdir)
    if config.turn:
        turned = [turned_scan(scan, config.turn) for scan in cohort.test]
        cohort = dataclasses.replace(cohort, test=turned)
    return cohort


def write_evaluation(
    cohort: cohorts.Cohort,
    folder: pathlib.Path,
    workdir: pathlib.Path,
    *,
    data: cohorts.CohortOptions,
    targets: Targets,
    config: Mapping,
    inference: Mapping | None = None,
    correction: Mapping | None = None,
    runs: pathlib.Path | None = None,
) -> pathlib.Path:
    """Segment the held-out scans, and write tables, figures, certificates and ``report.html``.

    Returns:
        The path of the report.
    """
    bundle = bundles.load(
        folder, inference=dict(inference or {}), correction=dict(correction or {})
    )
    segmentations = [
        segment(scan, bundle)
        for scan in tqdm(cohort.test, desc="segment", unit="scan", disable=None)
    ]
    records = evaluate_segmentations(segmentations)
    rows = table1(records.slices), table2(records.volumes)
    report.write_tables(*rows, workdir)
    report.write_csv(report.slices_table(records.slices), workdir / "slices.csv")
    certificates = [one for segmentation in segmentations for one in segmentation.certificates]
    write_json([one._asdict() for one in certificates], workdir / "certificates.json")
    valid = native_validity(segmentations, bundle.corrector)
    summary = summarise(records.slices, records.volumes, valid, targets)
    for target in summary:
        _LOG.info("%s: %s", target.name, target.text(target.value))
    write_json(
        {one.name: {"value": one.value, "target": one.target} for one in summary},
        workdir / "summary.json",
    )
    worst = workdir / "figures" / "worst.png"
    worst_id = report.worst_case(segmentations, records.slices, worst)
    return report.write_report(
        workdir,
        report.Report(
            title="ACSNet: held-out patients",
            targets=summary,
            table1=rows[0],
            table2=rows[1],
            pictures=_pictures(segmentations, records, cohort, workdir / "figures", runs),
            worst=report.Picture(
                f"Worst patient: {worst_id}",
                "The held-out patient with the lowest myocardium Dice, slice by slice.",
                worst,
            ),
            certificates=certificates,
            data=_data_summary(cohort, data),
            config=_flat(config),
            environment=report.environment(),
            datasets=[x for x in (data.format, data.cine_format) if x in report.DATASET_CITATIONS],
        ),
    )


def native_validity(
    segmentations: Sequence[Segmentation], corrector: Corrector
) -> list[tuple[str, int, bool]]:
    """Delta of every output slice that is not empty, on the scan's own grid: (id, slice, valid)."""
    found = []
    for segmentation in segmentations:
        valid = valid_stack(
            segmentation.myocardium, segmentation.scan.spacing_mm, corrector.thresholds
        )
        for index in np.flatnonzero(segmentation.myocardium.any(axis=(1, 2))):
            found.append((segmentation.scan.id, int(index), bool(valid[index])))
    return found


def summarise(
    slices: Sequence[SliceRecord],
    volumes: Sequence[VolumeRecord],
    valid: Sequence[tuple[str, int, bool]],
    targets: Targets,
) -> list[report.Target]:
    """The study in a few numbers: means over patients."""
    first = {(row.structure, row.measure): row.total.mean for row in table1(slices)}
    second = {(row.structure, row.measure): row.total.mean for row in table2(volumes)}

    def aim(value: float) -> float | None:
        return value or None

    target = functools.partial(report.Target, unit="", higher_is_better=True, digits=3)
    error = second["lv", "relative_error"]
    return [
        target("LV Dice", first["lv", "dice"], aim(targets.lv_dice)),
        target("Myocardium Dice", first["myocardium", "dice"], aim(targets.myocardium_dice)),
        target(
            "LV volume error",
            None if error is None else 100 * error,
            aim(100 * targets.lv_volume_error),
            unit="%",
            higher_is_better=False,
            digits=1,
        ),
        target(
            "Output slices that satisfy delta",
            100 * float(np.mean([good for *_, good in valid])) if valid else None,
            100.0,
            unit="%",
            digits=1,
        ),
    ]


def _pictures(segmentations, records, cohort, folder, runs) -> list[report.Picture]:
    """Draws the figures of the report."""
    pictures = []

    def add(name: str, title: str, caption: str, draw) -> None:
        path = folder / name
        draw(path)
        pictures.append(report.Picture(title, caption, path))

    examples = segmentations[:_EXAMPLES]
    add(
        "montage.png",
        "Held-out patients",
        "Apex, middle and base: image, expert, ours. Gray zone yellow, core scar red.",
        lambda path: report.montage(examples, path),
    )
    add(
        "figure2.png",
        "Figure 2",
        "Dice of every slice by region.",
        lambda path: report.figure2(records.slices, path),
    )
    add(
        "figure3.png",
        "Figure 3",
        "LV and scar volumes: relative errors.",
        lambda path: report.figure3(records.volumes, path, examples=examples),
    )
    if cohort.example is not None:
        cine, reference, seed = cohort.example
        steps = conversion_steps(cine, reference, rng=np.random.default_rng(seed))
        add(
            "figure4.png",
            "Figure 4",
            "A cine scan becomes LGE-like: pseudo-scar, erosion and blur, speckle, histogram.",
            lambda path: report.figure4(steps, cine.spacing_mm, path),
        )
    if runs is not None:
        curves = {name: read_record(runs / name) for name in bundles.NETWORKS}
        add(
            "training.png",
            "Training",
            "Loss and Dice on the training samples.",
            lambda path: report.training_curves(curves, path),
        )
    return pictures


def _data_summary(cohort: cohorts.Cohort, data: cohorts.CohortOptions) -> dict[str, str]:
    kinds = {
        "Training LGE scans": [s for s in cohort.train if s.modality == "lge"],
        "Training cine scans (LGE-like)": [s for s in cohort.train if s.modality == "cine"],
        "Held-out scans": cohort.test,
    }
    summary = {"Format": data.format, "Split seed": str(data.seed)}
    for name, scans in kinds.items():
        labelled = sum(int(scan.labelled.sum()) for scan in scans)
        summary[name] = f"{len(scans)} with {labelled} labelled slices"
    return summary


def _flat(config: Mapping, prefix: str = "") -> dict[str, str]:
    """A nested config as dotted keys; folders of the user's machine are left out."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif not (isinstance(value, str) and pathlib.PurePath(value).is_absolute()):
            flat[prefix + key] = str(value)
    return flat
