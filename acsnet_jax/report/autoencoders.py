"""Which autoencoder was chosen and why: the table of all candidates, in three forms.

Dice lies in [0, 1]; tables print shares in percent. Means are over patients, with 95% confidence
intervals by Student's t; shares count masks.
"""

import pathlib
from typing import Any

from acsnet_jax.evaluation.autoencoders import AutoencoderStudy, Candidate, CandidateScore
from acsnet_jax.evaluation.summary import Summary
from acsnet_jax.files import write_json, write_text
from acsnet_jax.report.tables import TextTable, aligned, markdown, write_csv

_HEADER = ("Latent", "Epochs", "Damage", "Patients", "Dice corrected", "Of LGE", "Valid (%)")
_HEADER += ("Lost", "Dice rebuilt", "Rebuilt valid (%)", "Acceptance (%)", "")
_SUMMARIES = ("rebuilt_dice", "damaged_dice", "corrected_dice", "corrected_lge")
_RULE = (
    "The rule: of the candidates within one standard error (over patients) of the highest mean "
    "Dice corrected, the smallest latent dimension, then the fewest epochs, then the least damage."
)


def candidate_flags(candidate: Candidate) -> str:
    """What makes a training use a candidate's numbers."""
    return (
        f"--config.model.latent={candidate.latent} "
        f"--config.optimisation.epochs={candidate.epochs} "
        f"--config.augment.damage={candidate.damage:g}"
    )


def autoencoders_summary(study: AutoencoderStudy) -> str:
    """The table for a terminal, the rule, and in the last line the flags of the chosen one."""
    return (
        f"{_caption(study)}\n\n{aligned(_table(study))}\n{_RULE}\n{_verdict(study)}\n"
        f"chosen: {candidate_flags(study.choice.chosen)}"
    )


def write_autoencoders(study: AutoencoderStudy, folder: pathlib.Path) -> None:
    """Write ``selection.md``, ``.csv`` and ``.json``."""
    write_text(
        f"{_caption(study)}\n\n{markdown(_table(study))}\n{_RULE} {_verdict(study)}\n\n"
        f"Chosen: `{candidate_flags(study.choice.chosen)}`\n",
        folder / "selection.md",
    )
    write_csv(_csv(study), folder / "selection.csv")
    choice = study.choice
    record = {
        "folds": study.folds,
        "patients": study.patients,
        "candidates": [_plain(score) for score in study.scores],
        "best": choice.best._asdict(),
        "standard_error": choice.standard_error,
        "within_one_standard_error": [candidate._asdict() for candidate in choice.within],
        "chosen": choice.chosen._asdict(),
        "flags": candidate_flags(choice.chosen),
    }
    write_json(record, folder / "selection.json")


def _caption(study: AutoencoderStudy) -> str:
    first = study.scores[0]
    return (
        f"Autoencoders by {study.folds}-fold cross-validation inside the training patients: "
        f"{study.patients} patients, {first.masks} expert masks, none seen by the training, the "
        f"thresholds or the population that they judge. {first.damaged} damaged masks have Dice "
        f"{_interval(first.damaged_dice)} before the correction; a lost one has Dice 0 after it. "
        "Mean ± half the 95% confidence interval over patients (Student's t)."
    )


def _verdict(study: AutoencoderStudy) -> str:
    choice = study.choice
    best = next(score for score in study.scores if score.candidate == choice.best)
    return (
        f"Highest: {_words(choice.best)}, Dice {best.corrected_dice.mean:.4f}, standard error "
        f"{choice.standard_error:.4f}; {len(choice.within)} of {len(study.scores)} candidates lie "
        f"within it, and of these {_words(choice.chosen)} is chosen."
    )


def _words(candidate: Candidate) -> str:
    return (
        f"latent dimension {candidate.latent}, {candidate.epochs} epochs, damage "
        f"{candidate.damage:g}"
    )


def _table(study: AutoencoderStudy) -> TextTable:
    return TextTable(
        _HEADER,
        [
            (
                str(score.candidate.latent),
                str(score.candidate.epochs),
                f"{score.candidate.damage:g}",
                str(score.corrected_dice.patients),
                _interval(score.corrected_dice),
                _interval(score.corrected_lge),
                _share(score.valid),
                f"{score.lost} of {score.damaged}",
                _interval(score.rebuilt_dice),
                _share(score.rebuilt_valid),
                _share(score.acceptance),
                "chosen" if score.candidate == study.choice.chosen else "",
            )
            for score in study.scores
        ],
    )


def _csv(study: AutoencoderStudy) -> TextTable:
    """A candidate a row, in base units."""
    header = (*Candidate._fields, "chosen", "masks", "damaged", "valid", "lost")
    header += ("rebuilt_valid", "acceptance")
    for name in _SUMMARIES:
        header += (name, f"{name}_half_width_95", f"{name}_patients")
    table = TextTable(header, [])
    for score in study.scores:
        row: list[Any] = [*score.candidate, int(score.candidate == study.choice.chosen)]
        row += [score.masks, score.damaged, score.valid, score.lost]
        row += [score.rebuilt_valid, score.acceptance]
        for name in _SUMMARIES:
            summary: Summary = getattr(score, name)
            row += [summary.mean, summary.half_width, summary.patients]
        table.rows.append(tuple("" if x is None else f"{x:.6g}" for x in row))
    return table


def _plain(score: CandidateScore) -> dict[str, Any]:
    """Named tuples as JSON objects."""
    return {
        name: value._asdict() if isinstance(value, Candidate | Summary) else value
        for name, value in score._asdict().items()
    }


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f}"


def _interval(summary: Summary) -> str:
    if summary.mean is None:
        return "n/a"
    if summary.half_width is None:
        return f"{summary.mean:.3f}"
    return f"{summary.mean:.3f} ± {summary.half_width:.3f}"
