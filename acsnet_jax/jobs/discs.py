"""The latent correction of a shape that is no heart: discs, damaged and mended.

Masks are ``Bool[n, size, size]``. What makes a mask a disc comes in as two functions; the rest is
how masks of any kind are brought to the correction: train the autoencoder, fit bounds and mixture,
draw the population.
"""

import functools
import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from jaxtyping import Array, Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import ndimage
from tqdm import tqdm

from acsnet_jax import latent
from acsnet_jax.evaluation.damage import Kind, damage
from acsnet_jax.files import write_json
from acsnet_jax.metrics import dice
from acsnet_jax.models import Autoencoder, Decode, Encode
from acsnet_jax.report import drawing
from acsnet_jax.report.tables import TextTable, aligned
from acsnet_jax.training.augment import Augment
from acsnet_jax.training.masks import train_autoencoder
from acsnet_jax.training.settings import Config, Optimisation, from_config

_LOG = logging.getLogger(__name__)

DAMAGES: dict[str, tuple[Kind, ...]] = {
    "holes": ("holes",),
    "bites": ("dents",),
    "islands": ("islands",),
    "cuts": ("cuts",),
    "all of these": ("holes", "dents", "islands", "cuts"),
}
"""What is done to discs, one thing after the other."""

METHODS = {
    "damaged": "damaged",
    "cleaned": "largest component,\nholes filled",
    "corrected": "latent correction",
}
"""What becomes of them, and how table and picture call it."""

_RADIUS = (0.16, 0.30)  # of the picture's size
_SHIFT = 0.08  # from the middle either way, of the picture's size
_WOBBLE = {2: 0.08, 3: 0.03, 4: 0.02}  # largest amplitude of each harmonic, of the radius
_PIXEL_MM = (1.0, 1.0)  # damage is told in mm
_EIGHT_CONNECTED = ndimage.generate_binary_structure(2, 2)
_PANEL_INCHES = 1.75
_PANEL = "#f2f4f7"

Discs = Bool[np.ndarray, "n size size"]


class Outcome(NamedTuple):
    """What one method makes of discs that were damaged in each way.

    Attributes:
        masks: what comes out.
        valid: whether it satisfies delta.
        dice: with the undamaged disc.
    """

    masks: Bool[np.ndarray, "kinds n size size"]
    valid: Bool[np.ndarray, "kinds n"]
    dice: Float[np.ndarray, "kinds n"]


def correct_discs(
    config: Config,
    workdir: pathlib.Path,
    *,
    fit: Callable[..., Any],
    is_valid: Callable[..., Array],
) -> None:
    """Train on made-up discs, damage others, correct them, and tell how they fare.

    Writes ``discs.png`` and ``discs.json`` and prints a table.

    Args:
        config: as in ``configs/discs.py``.
        workdir: where to write.
        fit: from discs to the bounds of delta, a named tuple of numbers.
        is_valid: delta, from masks and ``bounds`` to ``Bool[n]``.

    Raises:
        InputError: no such strength of damage, or the decoder makes hardly any valid mask.
        FloatingPointError: the autoencoder's loss is not finite; names the step.
    """
    rng = np.random.default_rng(config.seed)
    train, truth = (draw_discs(rng, n, config.model.size) for n in (config.train, config.held_out))
    damaged = damage_discs(truth, config.strength, config.seed)
    model = from_config(Autoencoder, config.model)
    variables = train_autoencoder(
        train,
        model,
        augment=from_config(Augment, config.augment),
        optimisation=from_config(Optimisation, config.optimisation),
        seed=config.seed,
    )
    encode = Encode(model, variables)
    decode = Decode(model, variables)
    bounds = fit(train)
    delta = functools.partial(is_valid, bounds=bounds)
    codes = encode(jnp.asarray(train, jnp.float32))
    population, acceptance = _draw_population(config, codes, decode, delta)
    correction = latent.correct(
        damaged, encode, decode, delta, population, jnp.linspace(0.0, 1.0, 64)
    )
    mended = {
        "damaged": damaged,
        "cleaned": np.stack([[clean(mask) for mask in masks] for masks in damaged]),
        "corrected": np.asarray(correction.mask),
    }
    outcomes = {name: _judge(masks, truth, delta) for name, masks in mended.items()}
    rebuilt = decode(encode(jnp.asarray(truth, jnp.float32)))
    record = {
        "config": config.to_dict(),
        "bounds": bounds._asdict(),
        "autoencoder_dice": float(dice(rebuilt, truth).mean()),
        "acceptance": acceptance,
        "undamaged_valid": float(np.mean(delta(jnp.asarray(truth)))),
        "outcomes": {name: _numbers(outcome) for name, outcome in outcomes.items()},
    }
    write_json(record, workdir / "discs.json")
    draw_outcomes(outcomes, truth, workdir / "discs.png")
    _LOG.info(
        "autoencoder on %d held-out discs: Dice %.3f; population: %d codes, %.1f%% accepted",
        len(truth),
        record["autoencoder_dice"],
        config.population,
        100 * acceptance,
    )
    print(aligned(_table(outcomes)), end="")
    _LOG.info("see %s", workdir / "discs.png")


def _draw_population(config: Config, codes: Array, decode: Callable, delta: Callable):
    """The population and its acceptance, from a mixture fitted to codes."""
    mixture = latent.fit_mixture(codes, config.components, seed=config.seed)
    with tqdm(total=config.population, desc="population", unit="code", disable=None) as bar:
        return latent.draw_population(
            jax.random.key(config.seed),
            mixture,
            decode,
            delta,
            config.population,
            progress=lambda done, _: _advance(bar, done),
        )


def _advance(bar: tqdm, done: int) -> None:
    bar.update(done - bar.n)


def draw_discs(rng: np.random.Generator, count: int, size: int) -> Discs:
    """Draws discs of many sizes, near the middle, a little oval and with a smooth wobble.

    Args:
        rng: chooses them.
        count: how many.
        size: height and width of the picture in pixels.
    """
    return np.stack([_disc(rng, size) for _ in range(count)])


def _disc(rng: np.random.Generator, size: int) -> Bool[np.ndarray, "size size"]:
    radius = size * rng.uniform(*_RADIUS)
    centre = (size - 1) / 2 + size * rng.uniform(-_SHIFT, _SHIFT, 2)
    row, column = np.indices((size, size)) - centre[:, None, None]
    angle = np.arctan2(row, column)
    outline = np.ones((size, size))
    for harmonic, largest in _WOBBLE.items():
        phase = rng.uniform(0, 2 * np.pi)
        outline += rng.uniform(0, largest) * np.cos(harmonic * angle + phase)
    return np.hypot(row, column) <= radius * outline


def damage_discs(discs: Discs, strength: int, seed: int) -> Bool[np.ndarray, "kinds n size size"]:
    """Damages every disc in each of the ways of `DAMAGES`.

    Args:
        discs: undamaged.
        strength: 1 to 5, see `acsnet_jax.evaluation.damage`; a pixel stands for a millimetre.
        seed: chooses the places.

    Raises:
        InputError: no such strength.
    """
    return np.stack(
        [
            [
                _damaged(np.random.default_rng([seed, row, index]), disc, kinds, strength)
                for index, disc in enumerate(discs)
            ]
            for row, kinds in enumerate(DAMAGES.values())
        ]
    )


def _damaged(rng: np.random.Generator, disc: np.ndarray, kinds: Sequence[Kind], strength: int):
    for kind in kinds:
        disc = damage(rng, disc, _PIXEL_MM, kind, strength)
    return disc


def clean(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The usual cleaning: the largest 8-connected component with its holes filled."""
    labels = np.empty(mask.shape, np.int32)
    ndimage.label(mask, _EIGHT_CONNECTED, output=labels)
    largest = 1 + np.argmax(np.bincount(labels.ravel(), minlength=2)[1:])
    return np.asarray(ndimage.binary_fill_holes(labels == largest), bool)


def _judge(masks: Bool[np.ndarray, "kinds n size size"], truth: Discs, delta: Callable) -> Outcome:
    kinds, count, *shape = masks.shape
    valid = np.asarray(delta(jnp.asarray(masks.reshape(-1, *shape))))
    overlap = dice(masks, np.broadcast_to(truth, masks.shape))
    return Outcome(masks, valid.reshape(kinds, count), np.asarray(overlap))


def _numbers(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Share valid and mean Dice, for each kind of damage and for all together."""
    rows = {"all": slice(None)} | {kind: slice(k, k + 1) for k, kind in enumerate(DAMAGES)}
    return {
        kind: {
            "valid": float(outcome.valid[row].mean()),
            "dice": float(outcome.dice[row].mean(dtype=np.float64)),
        }
        for kind, row in rows.items()
    }


def _table(outcomes: Mapping[str, Outcome]) -> TextTable:
    """Share valid, mean Dice, and mean Dice of each kind of damage."""
    rows = []
    for name, outcome in outcomes.items():
        numbers = _numbers(outcome)
        scores = (f"{kind['dice']:.3f}" for kind in numbers.values())
        called = METHODS[name].replace("\n", " ")
        rows.append((called, f"{100 * numbers['all']['valid']:.1f}%", *scores))
    return TextTable(("", "valid", "Dice", *DAMAGES), rows)


@mpl.rc_context(drawing.STYLE)
def draw_outcomes(outcomes: Mapping[str, Outcome], truth: Discs, path: pathlib.Path) -> None:
    """Draw one disc a kind of damage (columns): damaged, cleaned and corrected.

    It is the disc of median Dice after the correction, so neither the best nor the worst.

    Args:
        outcomes: of each of `METHODS`.
        truth: the undamaged discs.
        path: picture to write.
    """
    figure = Figure(
        (_PANEL_INCHES * len(DAMAGES) + 0.4, (_PANEL_INCHES + 0.25) * len(METHODS) + 0.6),
        layout="compressed",
    )
    grid = figure.subplots(len(METHODS), len(DAMAGES), squeeze=False)
    for kind, (name, panels) in enumerate(zip(DAMAGES, grid.T, strict=True)):
        order = np.argsort(outcomes["corrected"].dice[kind], kind="stable")
        index = int(order[len(order) // 2])
        shown = [outcome.masks[kind, index] for outcome in outcomes.values()]
        box = drawing.crop_box(
            [mask[None] for mask in (*shown, truth[index])], _PIXEL_MM, margin_mm=4.0
        )
        panels[0].set_title(name, fontweight="bold", pad=6)
        for axes, outcome in zip(panels, outcomes.values(), strict=True):
            _draw_mask(axes, outcome, (kind, index), truth[index], box)
    for axes, name in zip(grid[:, 0], outcomes, strict=True):
        axes.set_ylabel(METHODS[name], labelpad=6)
    figure.legend(
        handles=[
            Patch(facecolor=drawing.ACCENT, alpha=0.75, label="valid"),
            Patch(facecolor=drawing.MUTED, alpha=0.75, label="not valid"),
            Line2D([], [], color=drawing.SECOND, lw=1.6, label="undamaged disc"),
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    drawing.save(figure, path)


def _draw_mask(
    axes: Axes, outcome: Outcome, at: tuple[int, int], truth: np.ndarray, box: drawing.Extent
) -> None:
    mask = outcome.masks[at][box]
    color = drawing.ACCENT if outcome.valid[at] else drawing.MUTED
    height, width = mask.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal", facecolor=_PANEL)
    drawing.fill(axes, mask, color, alpha=0.75)
    drawing.draw_outline(axes, truth[box], drawing.SECOND, width=1.6)
    drawing.bare(axes)
    axes.set_xlabel(f"Dice {outcome.dice[at]:.2f}", fontsize=8, labelpad=3)
