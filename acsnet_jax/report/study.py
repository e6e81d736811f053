"""What a report shows beside its tables: pictures, and cohort and config in words."""

import collections
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from acsnet_jax.evaluation.agreement import Agreement, volume_pairs
from acsnet_jax.evaluation.burden import PatientRecord
from acsnet_jax.evaluation.challenge import ChallengeRecord
from acsnet_jax.evaluation.coverage import CoverageRecord, coverage_rows
from acsnet_jax.evaluation.records import Evaluation
from acsnet_jax.evaluation.summary import Structure, VolumeRecord
from acsnet_jax.report.agreement import AGREEMENT_CAPTION, agreement_text
from acsnet_jax.report.burden import burden_tables
from acsnet_jax.report.challenge import CHALLENGE_NAMES
from acsnet_jax.report.coverage import COVERAGE_CAPTION, coverage_text
from acsnet_jax.report.figures import figure4, montage, worst_case
from acsnet_jax.report.html import Picture, Section
from acsnet_jax.report.plots import Panel, bland_altman, figure2, figure3, training_curves
from acsnet_jax.report.tables import STRUCTURE_NAMES
from acsnet_jax.synthesis.cine_to_lge import conversion_steps
from acsnet_jax.training.cohort import Cohort, CohortOptions
from acsnet_jax.training.record import read as read_record
from acsnet_jax.types import Segmentation

_EXAMPLES = 4
_OWN = {
    *("workdir", "bundle", "input", "root", "cine_root", "split", "corrector", "autoencoder"),
    *("pseudonym_key", "series", "a", "b", "reference"),
    *("pattern_a", "pattern_b", "pattern_reference"),
}
"""Keys whose values are the user's own names."""
_WORST: tuple[Structure, ...] = ("enhancement", "myocardium")


def worst_pictures(
    segmentations: Sequence[Segmentation], records: Evaluation, folder: pathlib.Path
) -> list[Picture]:
    """The patient with the worst scar and the one with the worst wall, slice by slice.

    Args:
        segmentations: the held-out patients.
        records: of the same.
        folder: where pictures are drawn.
    """
    pictures = []
    for structure in _WORST:
        path = folder / f"worst_{structure}.png"
        worst = worst_case(segmentations, records.slices, path, structure=structure)
        if worst is not None:
            name = STRUCTURE_NAMES[structure]
            pictures.append(
                Picture(
                    f"Lowest {name} Dice: {worst}",
                    f"The held-out patient whose {name} has the lowest Dice, slice by slice.",
                    path,
                )
            )
        else:
            path.unlink(missing_ok=True)  # that of an earlier study
    return pictures


def _by_scar(segmentations: Sequence[Segmentation], records: Evaluation) -> list[Segmentation]:
    """A few patients, taken evenly from the most scar, as the expert has it, to none."""
    scar: dict[str, float] = collections.defaultdict(float)
    for row in records.slices:
        if row.structure == "enhancement":
            scar[row.scan_id] += row.truth_mm2
    ranked = sorted(segmentations, key=lambda one: scar[one.scan.id], reverse=True)
    shown = min(_EXAMPLES, len(ranked))
    return [ranked[(2 * place + 1) * len(ranked) // (2 * shown)] for place in range(shown)]


def study_pictures(
    segmentations: Sequence[Segmentation],
    records: Evaluation,
    cohort: Cohort,
    folder: pathlib.Path,
    *,
    panels: Sequence[Panel] = (),
    runs: Mapping[str, pathlib.Path] | None = None,
) -> list[Picture]:
    """The figures of a study.

    Args:
        segmentations: the held-out patients.
        records: of the same.
        cohort: for figure 4, its conversion of a cine scan.
        folder: where pictures are drawn.
        panels: volumes against the expert's, see `agreement_panels`.
        runs: training runs by the name of the network, for their curves.
    """
    pictures = []

    def add(name: str, title: str, caption: str, draw: Callable[[pathlib.Path], object]) -> None:
        path = folder / name
        draw(path)
        pictures.append(Picture(title, caption, path))

    scarred = {r.scan_id for r in records.slices if r.structure == "core" and r.truth_mm2}
    examples = sorted(segmentations, key=lambda one: one.scan.id not in scarred)[:_EXAMPLES]
    add(
        "montage.png",
        "Held-out patients",
        "Apex, middle and base: image, expert, ours. Gray zone yellow, core scar red. Patients are "
        "taken evenly, from those with the most scar to those with none.",
        lambda path: montage(_by_scar(segmentations, records), path),
    )
    add(
        "figure2.png",
        "Figure 2",
        "Dice of every slice by region.",
        lambda path: figure2(records.slices, path),
    )
    add(
        "figure3.png",
        "Figure 3",
        "The slice with the most scar, of patients with scar first; relative errors of volumes.",
        lambda path: figure3(records.volumes, path, examples=examples),
    )
    if panels:
        add(
            "bland_altman.png",
            "Agreement of volumes",
            "Ours less the expert's against the mean of both, a dot a patient; bias with its 95% "
            "confidence interval, and limits of agreement; the four farthest outside are named.",
            lambda path: bland_altman(panels, path),
        )
    if cohort.example is not None:
        cine, reference, seed = cohort.example
        steps = conversion_steps(cine, reference, rng=np.random.default_rng(seed))
        add(
            "figure4.png",
            "Figure 4",
            "A cine scan becomes LGE-like: pseudo-scar, erosion and blur, speckle, histogram.",
            lambda path: figure4(steps, cine.spacing_mm, path),
        )
    if runs is not None:
        curves = {name: read_record(run) for name, run in runs.items()}
        add(
            "training.png",
            "Training",
            "Loss and Dice on the training samples.",
            lambda path: training_curves(curves, path),
        )
    return pictures


def agreement_panels(
    agreements: Sequence[Agreement],
    challenge: Sequence[ChallengeRecord],
    volumes: Sequence[VolumeRecord],
) -> list[Panel]:
    """A Bland-Altman plot of each volume; arguments as of `acsnet_jax.evaluation.agreement`.

    Args:
        agreements: of the records.
        challenge: records in 3-D.
        volumes: for core scar and gray zone.
    """
    pairs = dict(volume_pairs(challenge, volumes=volumes))
    return [Panel(CHALLENGE_NAMES[one.structure], pairs[one.structure], one) for one in agreements]


def study_sections(
    agreements: Sequence[Agreement],
    patients: Sequence[PatientRecord],
    coverage: Sequence[CoverageRecord],
) -> list[Section]:
    """Tables of volumes, of the infarct's share of the LV's mass, and of intervals.

    Args:
        agreements: of the volumes.
        patients: one a patient.
        coverage: of intervals.
    """
    decided, grouped = burden_tables(patients)
    return [
        Section("burden", "Scar by clinical thresholds", *decided),
        Section("pathology", "By pathology", *grouped),
        Section("agreement", "Agreement of volumes", AGREEMENT_CAPTION, agreement_text(agreements)),
        Section(
            "intervals",
            "Whether intervals hold",
            COVERAGE_CAPTION,
            coverage_text(coverage_rows(coverage)),
        ),
    ]


def cohort_text(cohort: Cohort, data: CohortOptions, *, seen: Sequence[str] = ()) -> dict[str, str]:
    """A cohort in words.

    Args:
        cohort: as it was divided.
        data: where it came from.
        seen: ids of held-out scans that the system was trained on nevertheless.
    """
    kinds = {
        "Training LGE scans": [s for s in cohort.train if s.modality == "lge"],
        "Training cine scans (LGE-like)": [s for s in cohort.train if s.modality == "cine"],
        "Held-out scans": cohort.test,
    }
    if not cohort.train:  # each is held out once, and trained on in all other folds
        kinds = {"Scans, each held out once": cohort.test, "Training cine scans": cohort.cine}
    summary = {"Format": data.format, "Split seed": str(data.seed)}
    for name, scans in kinds.items():
        labelled = sum(int(scan.labelled.sum()) for scan in scans)
        summary[name] = f"{len(scans)} with {labelled} labelled slices"
    if seen:
        summary["Trained on nevertheless"] = (
            f"{len(seen)} of the held-out scans: their figures are too good"
        )
    return summary


def config_text(config: Mapping, *, prefix: str = "") -> dict[str, str]:
    """A nested config as dotted keys; files and folders of the user are left out, and UIDs.

    What they are called may name a patient.

    Args:
        config: sections and values.
        prefix: of every key.
    """
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= config_text(value, prefix=f"{prefix}{key}.")
        elif key not in _OWN and not (
            isinstance(value, str) and pathlib.PurePath(value).is_absolute()
        ):
            flat[prefix + key] = str(value)
    return flat
