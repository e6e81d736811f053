"""How fast the latent correction is, and what bounds it.

    python -m benchmarks.latent_correction [--bundle=DIR]

Masks are members of the population, damaged until they fail delta, so that every one is corrected.
Without a bundle a small autoencoder is trained on the embedded phantoms first (two minutes on two
cores). Writes a table, JSON and a plot under benchmarks/results. In one run, on the same masks:

- *correct*: `acsnet_jax.latent.correct`, whole.
- *decode only*: the networks' decoder on as many codes as the search had to look at, and no more,
  in blocks of the same size. Nothing that decodes every candidate can be faster.
- *sequential*: one mask and one alpha at a time, the same networks under jit, delta by the oracle,
  stopping at the first alpha that passes.
"""

import dataclasses
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from jax.tree_util import Partial
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from acsnet_jax import anatomy, bundle, latent
from acsnet_jax.app import use_compilation_cache
from acsnet_jax.correction.check import as_leaves
from acsnet_jax.evaluation.damage import KINDS, STRENGTHS, damage
from acsnet_jax.models import Autoencoder, Decode, Encode
from acsnet_jax.preprocess.stages import InputSpec
from acsnet_jax.report.drawing import ACCENT, SECOND
from acsnet_jax.synthesis.phantom import make_cohort
from acsnet_jax.training.augment import Augment
from acsnet_jax.training.datasets import mask_dataset
from acsnet_jax.training.masks import train_autoencoder
from acsnet_jax.training.settings import Optimisation
from acsnet_jax.types import Correction, Population
from benchmarks import oracle, record

_BUNDLE = flags.DEFINE_string("bundle", "", "A trained system; a small one by default.")
_MASKS = flags.DEFINE_list("masks", "1,12,64,256,1024,4096,16384,65536", "Masks at once.")
_ALPHAS = flags.DEFINE_list("alphas", "16,64,256,1024", "Grid points.")
_POPULATION = flags.DEFINE_list(
    "population", "1000,10000,100000,1000000,4000000", "Codes in the population."
)
_DIMENSIONS = flags.DEFINE_list("dimensions", "1,2,4", "Latent dimension, times the system's own.")
_SEQUENTIAL = flags.DEFINE_integer("sequential", 48, "Masks for the sequential reference.")
_BLOCK = flags.DEFINE_integer("block", 0, "Masks decoded at once; 0 for the default of the device.")
flags.declare_key_flag("out")

DISTINCT = 1024
MASKS = 256  # at once, while something else grows
GRID = 64
REFINE = 16
ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class World:
    """Networks, delta and population of one system, and masks for it to correct."""

    encode: Callable
    decode: Callable
    is_valid: Callable
    population: Population
    thresholds: anatomy.Thresholds
    spacing_mm: float
    masks: np.ndarray


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    use_compilation_cache()
    world = damaged(load(_BUNDLE.value) if _BUNDLE.value else train())
    results = {
        "system": "bundle" if _BUNDLE.value else "phantoms",
        "image_size": world.masks.shape[1],
        "latent": world.population.codes.shape[1],
        "population": len(world.population.codes),
        "alphas": GRID,
        "refine": REFINE,
        "block": block(),
        "masks": [against_floor(world, int(count)) for count in _MASKS.value],
        "sequential": sequential(world, _SEQUENTIAL.value),
        "parts": parts(world),
        "alphas_grow": [grow_alphas(world, int(count)) for count in _ALPHAS.value],
        "population_grows": [grow_population(world, int(size)) for size in _POPULATION.value],
        "dimension_grows": [grow_dimension(world, int(times)) for times in _DIMENSIONS.value],
    }
    show(results)
    path = record.write("latent_correction", results, folder=record.OUT.value)
    plot(results, path.with_suffix(".png"))
    print(path)


def block() -> int:
    """Masks that `correct` decodes at once."""
    default = 64 if jax.default_backend() == "cpu" else 1024
    return _BLOCK.value or default


def load(folder: str) -> World:
    """Stage 3 of a bundle."""
    corrector = bundle.load_corrector(folder)
    spacing = corrector.spacing_mm or 1.5
    is_valid, _ = corrector.delta((spacing, spacing))
    return World(
        corrector.encode,
        corrector.decode,
        is_valid,
        corrector.population,
        corrector.thresholds,
        spacing,
        np.zeros((0, corrector.size, corrector.size), bool),
    )


def train() -> World:
    """A small system on the embedded phantoms."""
    spec = InputSpec(myo_spacing_mm=2.0, mask_size=64)
    spacing = (2.0, 2.0)
    masks = mask_dataset(make_cohort(40, 0, modality="lge", size=128), spec).images > 0
    model = Autoencoder(size=64, latent=16, filters=(8, 16, 32, 64))
    variables = train_autoencoder(
        masks,
        model,
        augment=Augment(rotation_deg=180.0, scale=0.1, shift_px=1.0),
        optimisation=Optimisation(batch_size=8, epochs=40, learning_rate=2e-3),
    )
    encode = Encode(model, variables)
    decode = Decode(model, variables)
    thresholds = as_leaves(anatomy.fit_thresholds(masks, spacing))
    is_valid = Partial(anatomy.is_valid, spacing_mm=as_leaves(spacing), thresholds=thresholds)
    mixture = latent.fit_mixture(np.asarray(encode(jnp.asarray(masks, jnp.float32))), 4, seed=0)
    key = jax.random.key(0)
    population, acceptance = latent.draw_population(key, mixture, decode, is_valid, 20_000)
    print(f"trained on {len(masks)} phantom masks; {100 * acceptance:.1f}% of samples accepted")
    return World(encode, decode, is_valid, population, thresholds, 2.0, masks[:0])


def damaged(world: World) -> World:
    """The world with masks that fail delta: members of the population, damaged."""
    rng = np.random.default_rng(0)
    members = np.asarray(latent.unpack_masks(world.population.masks[: 2 * DISTINCT]))
    spacing = (world.spacing_mm, world.spacing_mm)
    masks = np.stack(
        [
            damage(rng, mask, spacing, KINDS[k % len(KINDS)], STRENGTHS[k % len(STRENGTHS)])
            for k, mask in enumerate(members)
        ]
    )
    masks = masks[~np.asarray(world.is_valid(jnp.asarray(masks)))]
    return dataclasses.replace(world, masks=np.resize(masks, (DISTINCT, *masks.shape[1:])))


def correct(world: World, masks, *, population=None, alphas: int = GRID) -> Correction:
    return latent.correct(
        masks,
        world.encode,
        world.decode,
        world.is_valid,
        world.population if population is None else population,
        np.linspace(0.0, 1.0, alphas, dtype=np.float32),
        refine=REFINE,
        block=block(),
    )


def some(world: World, count: int) -> jax.Array:
    return jnp.asarray(np.resize(world.masks, (count, *world.masks.shape[1:])))


def seconds(world: World, count: int, **options) -> float:
    masks = some(world, count)
    repeats = 5 if count <= 256 else 2 if count <= 4096 else 1
    return record.best_seconds(lambda: correct(world, masks, **options), repeats=repeats)


def looked_at(correction: Correction, alphas: int) -> int:
    """Codes that a search must decode: up to the first that passes on the grid, and between."""
    alpha = np.asarray(correction.alpha, np.float64)
    step = 1 / (alphas - 1)
    upper = np.ceil(alpha / step - 1e-4)
    between = np.ceil((alpha - (upper - 1) * step) / (step / REFINE) - 1e-3)
    moved = np.asarray(correction.neighbour) >= 0
    return int(np.sum(np.where(moved, upper + 1 + np.clip(between, 0, REFINE - 1), 1)))


def decode_seconds(world: World, count: int) -> float:
    """Seconds to decode so many codes, block by block, in one program."""
    size = block()
    codes = jnp.resize(world.population.codes, (size, world.population.codes.shape[1]))

    @jax.jit
    def run(codes):
        def body(k, total):
            # every block differs, so that none is decoded only once
            decoded = world.decode(codes + k.astype(jnp.float32) * 1e-6)
            return total + jnp.sum(decoded, dtype=jnp.int32)

        return jax.lax.fori_loop(0, -(-count // size), body, jnp.int32(0))

    return record.best_seconds(lambda: run(codes), repeats=2)


def against_floor(world: World, count: int) -> dict:
    """One line of the first table."""
    whole = seconds(world, count)
    trials = looked_at(correct(world, some(world, count)), GRID)
    floor = decode_seconds(world, trials)
    return {
        "masks": count,
        "seconds": whole,
        "masks_per_second": count / whole,
        "decodings": trials,
        "decode_only_seconds": floor,
        "over_decode_only": whole / floor,
    }


def sequential(world: World, count: int) -> dict:
    """The reference, mask after mask; how often its masks are ours, and how many of ours fail.

    Delta is the oracle's. A mask that comes back empty fails: returning nothing is no correction.
    """
    spacing = (world.spacing_mm, world.spacing_mm)
    bank = np.asarray(world.population.codes)

    def passes(mask):
        return oracle.is_valid(oracle.measures(mask, spacing), world.thresholds)

    def decode(code):
        return np.asarray(world.decode(jnp.asarray(code[None])))[0]

    def search(z, target, steps):
        for alpha in steps:
            mask = decode(z + np.float32(alpha) * (target - z))
            if passes(mask):
                return alpha, mask
        return None, None

    def one(mask):
        z = np.asarray(world.encode(jnp.asarray(mask[None], jnp.float32)))[0]
        target = bank[((bank - z) ** 2).sum(axis=1).argmin()]
        grid = np.linspace(0, 1, GRID)
        alpha, found = search(z, target, grid)
        if alpha is None or alpha == 0:
            return found
        finer = np.linspace(alpha - grid[1], alpha, REFINE + 1)[1:-1]
        _, better = search(z, target, finer)
        return found if better is None else better

    given = world.masks[:count]
    one(given[0])
    theirs, slow, fast = [], [], []
    for _ in range(ROUNDS):  # in turns, for a machine that others share
        start = time.perf_counter()
        theirs = [one(mask) for mask in given]
        slow.append((time.perf_counter() - start) / count)
        fast.append(seconds(world, 1024) / 1024)
    ours = np.asarray(correct(world, jnp.asarray(given)).mask)
    same = [a is not None and np.array_equal(a, b) for a, b in zip(theirs, ours, strict=True)]
    return {
        "masks": count,
        "masks_per_second": 1 / min(slow),
        "same_mask_share": float(np.mean(same)),
        "violations": sum(not (mask.any() and passes(mask)) for mask in ours),
        "lost": int(np.sum(~ours.any(axis=(1, 2)))),
        "ours_at_1024_over_sequential": min(slow) / min(fast),
    }


def parts(world: World) -> dict[str, float]:
    """Seconds of the parts of one correction of 1024 masks, each on its own."""
    masks = some(world, 1024)
    result = correct(world, masks)
    trials = looked_at(result, GRID)
    codes = world.encode(masks.astype(jnp.float32))
    one_block = jnp.resize(masks, (block(), *masks.shape[1:])).astype(jnp.float32)
    checked = jnp.resize(result.mask, one_block.shape)
    encode = record.best_seconds(lambda: world.encode(one_block)) / block()
    delta = record.best_seconds(lambda: world.is_valid(checked)) / block()
    return {
        "masks": 1024,
        "decodings": trials,
        "whole": seconds(world, 1024),
        "encode": encode * 1024,
        "nearest": record.best_seconds(lambda: latent.nearest(codes, world.population)),
        "decode": decode_seconds(world, trials),
        "delta": delta * (trials + 1024),
    }


def grow_alphas(world: World, count: int) -> dict:
    whole = seconds(world, MASKS, alphas=count)
    trials = looked_at(correct(world, some(world, MASKS), alphas=count), count)
    return {"alphas": count, "seconds": whole, "decodings": trials}


def grow_population(world: World, size: int) -> dict:
    """Codes alone, repeated: what grows is the search for the neighbour."""
    codes = jnp.resize(world.population.codes, (size, world.population.codes.shape[1]))
    queries = world.encode(some(world, 64).astype(jnp.float32))
    return {
        "population": size,
        "seconds": seconds(world, MASKS, population=codes),
        "nearest_64_seconds": record.best_seconds(lambda: latent.nearest(queries, codes)),
    }


def grow_dimension(world: World, times: int) -> dict:
    """Codes with coordinates that mean nothing: the same search in more dimensions."""
    own = world.population.codes.shape[1]
    padding = ((0, 0), (0, own * (times - 1)))
    wider = dataclasses.replace(
        world,
        encode=lambda masks: jnp.pad(world.encode(masks), padding),
        decode=lambda codes: world.decode(codes[:, :own]),
        population=world.population._replace(codes=jnp.pad(world.population.codes, padding)),
    )
    return {"latent": own * times, "seconds": seconds(wider, MASKS)}


def show(results: dict) -> None:
    print(
        f"{record.hardware()}: {results['image_size']} x {results['image_size']} pixels, d = "
        f"{results['latent']}, {results['population']:,} codes, {GRID} alphas, blocks of {block()}"
    )
    for name in ("masks", "alphas_grow", "population_grows", "dimension_grows"):
        rows = results[name]
        record.print_table([*rows[0]], [[*row.values()] for row in rows])
    for name in ("sequential", "parts"):
        print(name + ": " + ", ".join(f"{key} {value:.4g}" for key, value in results[name].items()))


def plot(results: dict, path) -> None:
    """Growth with masks, alphas, population and latent dimension."""
    figure = Figure((9.6, 2.8), layout="constrained")
    grid = figure.subplots(1, 4, sharey=True)
    panels = (
        ("masks", "masks", "masks"),
        ("alphas_grow", "alphas", "alphas"),
        ("population_grows", "population", "population"),
        ("dimension_grows", "latent", "latent dimension"),
    )
    for axes, (name, key, label) in zip(grid, panels, strict=True):
        rows = results[name]
        x = [row[key] for row in rows]
        axes.loglog(x, [row["seconds"] for row in rows], "o-", color=ACCENT, ms=4, label="correct")
        if name == "masks":
            floor = [row["decode_only_seconds"] for row in rows]
            axes.loglog(x, floor, "s--", color=SECOND, ms=3.5, label="decode only")
        if name == "population_grows":
            alone = [row["nearest_64_seconds"] for row in rows]
            axes.loglog(x, alone, "s--", color=SECOND, ms=3.5, label="nearest, 64 masks")
        axes.set_xlabel(label)
        axes.xaxis.set_minor_formatter(NullFormatter())
        if name == "dimension_grows":
            axes.set_xticks(x, [str(value) for value in x])
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2, which="major")
        axes.legend(frameon=False, fontsize=7)
    grid[0].set_ylabel("seconds")
    figure.suptitle(f"{record.hardware()}; {MASKS} masks where something else grows", fontsize=9)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    app.run(main)
