"""How corrections fare on damaged masks: numbers, tables and pictures of the study of damage.

Dice, shares and relative errors lie in [0, 1], distances are in mm; tables print shares and errors
in percent. Clean predictions have the kind "clean" and strength 0. Means are over patients, with
95% confidence intervals by Student's t; shares count slices.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from acsnet_jax.evaluation.damage import KINDS, STRENGTHS
from acsnet_jax.evaluation.damage_study import (
    METHODS,
    DamageExample,
    DamageScore,
    DamageStudy,
)
from acsnet_jax.evaluation.summary import Summary
from acsnet_jax.files import write_json, write_text
from acsnet_jax.report import drawing
from acsnet_jax.report.tables import TextTable, markdown, write_csv
from acsnet_jax.types import Spacing

# Hollow and wide below, filled and small above: curves that coincide are all seen.
_LINES: dict[str, dict[str, Any]] = {
    "none": {"color": drawing.MUTED, "marker": "s", "linestyle": ":", "ms": 6.0, "mfc": "none"},
    "components": {"color": drawing.SECOND, "marker": "^", "linestyle": "-", "ms": 4.0},
    "latent": {"color": "#009e73", "marker": "v", "linestyle": "-.", "ms": 5.0, "mfc": "none"},
    "invalid": {"color": drawing.ACCENT, "marker": "o", "linestyle": "-", "ms": 3.5, "zorder": 3},
    "all": {"color": "#56b4e9", "marker": "D", "linestyle": "--", "ms": 6.0, "mfc": "none"},
}
_TRAINING = (
    "Training damage, where config.augment.damage is above 0, is of the same kin and drawn anew: "
    "sectors of up to 150 degrees missing (arcs here span up to 125), and up to 4 discs of 5 to "
    "30% of the mask's radius cut out or put beside (so are holes, islands, dents and blobs here); "
    "narrow cuts come closest to its thinnest sectors."
)
_EXPERT = "#ffd21f"
_PANEL_INCHES = 1.75


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f}"


def _interval(summary: Summary, *, scale: float = 1.0, digits: int = 3, sign: str = "") -> str:
    if summary.mean is None:
        return "n/a"
    mean = f"{scale * summary.mean:{sign}.{digits}f}"
    if summary.half_width is None:
        return mean
    return f"{mean} ± {scale * summary.half_width:.{digits}f}"


_MEASURES: dict[str, Callable[[DamageScore], str]] = {
    "Fail delta or are missing (%)": lambda score: _share(score.violations),
    "Masks lost": lambda score: f"{score.lost} of {score.masks}",
    "Dice": lambda score: _interval(score.dice),
    "Hausdorff distance (mm)": lambda score: _interval(score.hausdorff_mm, digits=1),
    "Myocardial volume error (%)": lambda score: _interval(
        score.volume_error, scale=100.0, digits=1
    ),
    "Slices untouched (%)": lambda score: _share(score.untouched),
}


def damage_summary(study: DamageStudy) -> str:
    """The study in Markdown: a table a measure, clean and each kind, all strengths together."""
    parts = [
        _section(
            measure,
            TextTable(
                ("Masks", "Slices", *METHODS.values()),
                [
                    (
                        _condition(row[0].kind, None),
                        str(row[0].slices),
                        *(cell(score) for score in row),
                    )
                    for row in _rows(study.means)
                ],
            ),
        )
        for measure, cell in _MEASURES.items()
    ]
    gains = {(gain.kind, gain.over): gain.dice for gain in study.gains}
    others = [method for method in METHODS if method != "invalid"]
    parts.append(
        _section(
            "Dice gained by ours, invalid (paired)",
            TextTable(
                ("Masks", "Patients", *(f"over {METHODS[method]}" for method in others)),
                [
                    (
                        _condition(kind, None),
                        str(gains[kind, others[0]].patients),
                        *(_interval(gains[kind, method], sign="+") for method in others),
                    )
                    for kind in ("clean", *KINDS)
                ],
            ),
        )
    )
    kept = study.already_valid
    parts.append(
        f"Clean predictions that satisfy delta: {kept.slices} of {study.slices} slices. Dice "
        f"before {_interval(kept.before)}; ours, invalid {_interval(kept.invalid)} "
        f"({kept.unchanged} of {kept.slices} returned bit for bit); ours, all "
        f"{_interval(kept.all)} ({_interval(kept.cost, sign='+')} paired).\n"
    )
    return "\n".join(parts)


def _section(title: str, table: TextTable) -> str:
    return f"**{title}**\n\n{markdown(table)}"


def _condition(kind: str, strength: int | None) -> str:
    if kind == "clean":
        return "as predicted"
    return kind if strength is None else f"{kind} {strength}"


def _rows(scores: Sequence[DamageScore]) -> list[list[DamageScore]]:
    """Scores by condition, the methods in order."""
    rows: dict[tuple[str, int | None], dict[str, DamageScore]] = {}
    for score in scores:
        rows.setdefault((score.kind, score.strength), {})[score.method] = score
    return [[row[method] for method in METHODS] for row in rows.values()]


def _csv(scores: Sequence[DamageScore]) -> TextTable:
    """Scores in base units, one a row."""
    header = ["kind", "strength", "method", "slices", "masks", "violations", "lost", "untouched"]
    for name in ("dice", "hausdorff_mm", "volume_error"):
        header += [name, f"{name}_half_width_95", f"{name}_patients"]
    table = TextTable(tuple(header), [])
    for score in scores:
        strength = "mean" if score.strength is None else str(score.strength)
        row = [score.kind, strength, score.method, str(score.slices), str(score.masks)]
        row += [_number(score.violations), str(score.lost), _number(score.untouched)]
        for summary in (score.dice, score.hausdorff_mm, score.volume_error):
            row += [_number(summary.mean), _number(summary.half_width), str(summary.patients)]
        table.rows.append(tuple(row))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _plain(value: Any) -> Any:
    """Named tuples as JSON objects."""
    if hasattr(value, "_asdict"):
        return {name: _plain(x) for name, x in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    return value


def write_damage(
    study: DamageStudy, examples: Sequence[DamageExample], folder: pathlib.Path
) -> None:
    """Write ``damage.md``, ``.csv``, ``.json`` and ``.png``, and ``examples.png``."""
    full = TextTable(
        ("Masks", "Method", "Slices", *_MEASURES),
        [
            (
                _condition(score.kind, score.strength),
                METHODS[score.method],
                str(score.slices),
                *(cell(score) for cell in _MEASURES.values()),
            )
            for row in _rows(study.scores)
            for score in row
        ],
    )
    row_mm, column_mm = study.spacing_mm
    never = study.slices - study.scores[0].masks
    write_text(
        f"Myocardium masks of {study.patients} patients, {study.slices} slices, at {row_mm:g} x "
        f"{column_mm:g} mm: as predicted and damaged (seed {study.seed}), against the expert. Mean "
        "± 95% confidence interval size over patients (Student's t); shares are of slices. "
        "Components: the largest component, all holes but the largest filled. Latent part alone: "
        "ours, invalid without trying the cleaned mask. The expert has myocardium on every slice, "
        "so an empty mask fails; it has Dice 0 and the diagonal of the masks' window as its "
        f"Hausdorff distance. {never} of {study.slices} slices were predicted empty, which no "
        "method mends; lost are masks that a method emptied. Rows of the first tables are means "
        f"over the five strengths. {_TRAINING}\n\n{damage_summary(study)}\n"
        f"{_section('Every condition', full)}",
        folder / "damage.md",
    )
    write_csv(_csv([*study.scores, *study.means]), folder / "damage.csv")
    write_json(_plain(study), folder / "damage.json")
    damage_curves(study.scores, folder / "damage.png")
    damage_examples(examples, folder / "examples.png", spacing_mm=study.spacing_mm)


@mpl.rc_context(drawing.STYLE)
def damage_curves(scores: Sequence[DamageScore], path: pathlib.Path) -> None:
    """Draw Dice and the share of invalid masks against strength, a column a kind of damage.

    Args:
        scores: every condition by every method; clean ones stand at strength 0.
        path: picture to write.

    Raises:
        InputError: there are no scores.
    """
    drawing.check_not_empty(len(scores), "damage curves")
    measures = (
        ("Dice", lambda score: score.dice.mean),
        ("fail delta or missing (%)", lambda score: 100 * score.violations),
    )
    figure = Figure((1.9 * len(KINDS), 4.4), layout="constrained")
    grid = figure.subplots(len(measures), len(KINDS), sharex=True, sharey="row")
    for panels, kind in zip(grid.T, KINDS, strict=True):
        panels[0].set_title(kind, fontweight="bold")
        panels[-1].set_xlabel("strength")
        panels[-1].set_xticks([0, *STRENGTHS])
        for axes, (_, value) in zip(panels, measures, strict=True):
            axes.grid(axis="y", color="#e4e7eb", lw=0.6)
            for method in METHODS:
                _draw_curve(axes, scores, kind, method, value)
    for axes, (name, _) in zip(grid[:, 0], measures, strict=True):
        axes.set_ylabel(name)
    grid[1, 0].set_ylim(-4, 104)
    handles = [Line2D([], [], lw=1.4, label=METHODS[m], **_LINES[m]) for m in METHODS]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(METHODS), frameon=False)
    drawing.save(figure, path)


def _draw_curve(
    axes: Axes,
    scores: Sequence[DamageScore],
    kind: str,
    method: str,
    value: Callable[[DamageScore], float | None],
) -> None:
    """One method against strength, from the clean predictions on; gaps where there is no value."""
    points = sorted(
        (score.strength, value(score))
        for score in scores
        if score.kind in ("clean", kind) and score.method == method and score.strength is not None
    )
    known = [(strength, y) for strength, y in points if y is not None]
    if known:
        axes.plot(*zip(*known, strict=True), lw=1.4, **_LINES[method])


@mpl.rc_context(drawing.STYLE)
def damage_examples(
    examples: Sequence[DamageExample], path: pathlib.Path, *, spacing_mm: Spacing
) -> None:
    """Draw slices (rows): the expert, the damaged mask, components, ours (invalid).

    Args:
        examples: one a row.
        path: picture to write.
        spacing_mm: (row, column) distance of pixel centres in mm.

    Raises:
        InputError: there is nothing to draw.
    """
    drawing.check_not_empty(len(examples), "damage examples")
    columns: tuple[tuple[str, str | None], ...] = (
        ("expert", None),
        ("damaged", "none"),
        ("components", "components"),
        ("ours", "invalid"),
    )
    figure = Figure(
        (_PANEL_INCHES * len(columns) + 0.3, (_PANEL_INCHES + 0.2) * len(examples) + 0.5),
        layout="compressed",
    )
    grid = figure.subplots(len(examples), len(columns), squeeze=False)
    for axes, (name, _) in zip(grid[0], columns, strict=True):
        axes.set_title(name, fontweight="bold", pad=4)
    for panels, example in zip(grid, examples, strict=True):
        shown = [example.expert, *(example.masks[m] for _, m in columns if m is not None)]
        box = drawing.crop_box([mask[None] for mask in shown], spacing_mm, margin_mm=10.0)
        black, white = (float(v) for v in np.percentile(example.image[box], (1.0, 99.7)))
        view = drawing.View(box, black, max(white, black + 1e-6), spacing_mm[0] / spacing_mm[1])
        panels[0].set_ylabel(f"{example.kind} {example.strength}\n{example.scan_id}", fontsize=8)
        for axes, (_, method) in zip(panels, columns, strict=True):
            drawing.draw_slice(axes, example.image, view)
            drawing.draw_outline(axes, example.expert[box], _EXPERT, width=0.9, style=":")
            if method is None:
                drawing.fill(axes, example.expert[box], _EXPERT, alpha=0.35)
                continue
            drawing.fill(axes, example.masks[method][box], drawing.WALL, alpha=0.35)
            drawing.draw_outline(axes, example.masks[method][box], drawing.WALL)
            verdict = "valid" if example.valid[method] else "fails delta"
            verdict = verdict if example.masks[method].any() else "lost"
            axes.set_xlabel(f"Dice {example.dice[method]:.2f}, {verdict}", fontsize=8, labelpad=3)
    figure.legend(
        handles=[
            Line2D([], [], color=drawing.WALL, lw=1.5, label="mask"),
            Line2D([], [], color=_EXPERT, lw=1.5, linestyle=":", label="expert"),
        ],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    drawing.save(figure, path)
