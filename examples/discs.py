"""The correction is not about hearts: discs, closed and round, from made-up masks to mended ones.

    python examples/discs.py [--small] [--picture=discs.png]

Another shape needs another page like this one. Masks are ``Bool[n, size, size]``, of pixels that
stand for a millimetre. Takes two minutes on two CPU cores, with --small a quarter of one.
"""

import argparse
from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from acsnet_jax import anatomy, latent
from acsnet_jax.evaluation import damage
from acsnet_jax.metrics import dice
from acsnet_jax.models import Autoencoder, Decode, Encode
from acsnet_jax.ops import bits, components, flood, quads
from acsnet_jax.training import Augment, Optimisation, train_autoencoder

SIZE = 64

# 1. What a disc is: what is measured of a mask, which bounds are fitted, what must hold.

# circularity is 4 pi area / perimeter^2, area in pixels; bounds are fitted, both from below
Measures = namedtuple("Measures", ["objects", "holes", "circularity", "area"])
Bounds = namedtuple("Bounds", ["circularity", "area"])

CRITERIA = (
    anatomy.Criterion("one object", "objects", "equal", 1.0),
    anatomy.Criterion("no hole", "holes", "equal", 0.0),
    anatomy.Criterion("round", "circularity", "lower", "circularity"),
    anatomy.Criterion("large", "area", "lower", "area"),
)


@jax.jit
def measure(masks):
    """Measures masks; of an empty one the circularity is NaN, which fails."""
    rows = bits.pack_rows(masks)
    lanes = bits.lanes_from_rows(rows, masks.shape[-1] + 2)
    objects = components.object_count(lanes, filled=~flood.outside(lanes))
    holes = objects - quads.euler_number(rows)
    measures = Measures(objects, holes, quads.circularity(rows), bits.count(rows))
    return jax.tree.map(lambda values: values[: len(masks)], measures)  # n was rounded up to 32


def is_valid(masks, bounds):
    """Delta: whether masks are discs."""
    return ~anatomy.check(measure(masks), bounds, CRITERIA).any(axis=-1)


# 2. Examples, and what may go wrong with them. Masks of your own take their place here.

DAMAGES = {
    "holes": ("holes",),
    "bites": ("dents",),
    "islands": ("islands",),
    "cuts": ("cuts",),
    "all of these": ("holes", "dents", "islands", "cuts"),
}


def draw_disc(rng: np.random.Generator):
    """A disc of any size near the middle, a little oval and with a smooth wobble."""
    radius = SIZE * rng.uniform(0.16, 0.30)
    centre = (SIZE - 1) / 2 + SIZE * rng.uniform(-0.08, 0.08, 2)
    row, column = np.indices((SIZE, SIZE)) - centre[:, None, None]
    outline = np.ones((SIZE, SIZE))
    for harmonic, largest in {2: 0.08, 3: 0.03, 4: 0.02}.items():
        phase = rng.uniform(0, 2 * np.pi)
        wave = np.cos(harmonic * np.arctan2(row, column) + phase)
        outline += rng.uniform(0, largest) * wave
    return np.hypot(row, column) <= radius * outline


def damage_disc(rng: np.random.Generator, disc, kinds):
    """One kind of damage after the other, of middle strength."""
    for kind in kinds:
        disc = damage(rng, disc, (1.0, 1.0), kind, 3)
    return disc


def clean(mask):
    """What one would do otherwise: keep the largest component and fill its holes."""
    labels = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, np.ones((3, 3)), output=labels)
    largest = 1 + np.argmax(np.bincount(labels.ravel(), minlength=2)[1:])
    return np.asarray(ndimage.binary_fill_holes(labels == largest))


# 3. From examples to all that the correction needs, and the correction itself.


def learn(discs, epochs, codes):
    """Encoder, decoder, delta and a population of so many codes, from examples alone."""
    model = Autoencoder(size=SIZE, latent=8, filters=(8, 16, 16, 32))
    augment = Augment(rotation_deg=0.0, scale=0.0, shift_px=0.0, damage=0.5)  # and quarter turns
    optimisation = Optimisation(epochs=epochs, batch_size=16, learning_rate=3e-3)
    variables = train_autoencoder(discs, model, augment=augment, optimisation=optimisation)
    encode, decode = Encode(model, variables), Decode(model, variables)
    bounds = anatomy.fit_bounds(measure(discs), CRITERIA, Bounds)  # each accepts 99% of the discs
    delta = jax.tree_util.Partial(is_valid, bounds=bounds)
    mixture = latent.fit_mixture(encode(jnp.asarray(discs, jnp.float32)), 10, seed=0)
    key = jax.random.key(0)
    population, share = latent.draw_population(key, mixture, decode, delta, codes)
    print(f"{bounds}; {share:.1%} of what the mixture makes are discs")
    return encode, decode, delta, population


def main(*, train=2000, held_out=200, epochs=40, codes=5000, picture=None):
    """Learns from made-up discs, mends others that were damaged, and prints how they fare."""
    rng = np.random.default_rng(0)
    discs = np.stack([draw_disc(rng) for _ in range(train)])
    truth = np.stack([draw_disc(rng) for _ in range(held_out)])
    encode, decode, delta, population = learn(discs, epochs, codes)
    alphas = jnp.linspace(0.0, 1.0, 64)
    mended = {}
    print(f"{'valid, Dice':14}{'damaged':>14}{'cleaned':>14}{'corrected':>14}")
    for name, kinds in DAMAGES.items():
        damaged = np.stack([damage_disc(rng, disc, kinds) for disc in truth])
        cleaned = np.stack([clean(mask) for mask in damaged])
        corrected = latent.correct(damaged, encode, decode, delta, population, alphas).mask
        mended[name] = (damaged, cleaned, np.asarray(corrected))
        shares = [float(delta(jnp.asarray(masks)).mean()) for masks in mended[name]]
        scores = [float(dice(masks, truth).mean()) for masks in mended[name]]
        cells = (f"{share:>8.1%}{score:6.3f}" for share, score in zip(shares, scores, strict=True))
        print(f"{name:14}" + "".join(cells))
    if picture:
        draw(mended, truth, picture)
    return mended


def draw(mended, truth, path):
    """The first disc damaged (top), cleaned and corrected, with the outline of the undamaged."""
    figure = Figure((10, 6), layout="constrained")
    panels = figure.subplots(3, len(mended))
    for name, methods, column in zip(mended, mended.values(), panels.T, strict=True):
        column[0].set_title(name)
        for masks, panel in zip(methods, column, strict=True):
            panel.imshow(masks[0], cmap="Blues", vmax=1.5)
            panel.contour(truth[0], [0.5], colors="#d55e00")
            panel.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The latent correction of discs.")
    parser.add_argument("--small", action="store_true", help="fewer discs, a shorter training")
    parser.add_argument("--picture", help="where to draw some of them")
    flags = parser.parse_args()
    sizes = {"train": 300, "held_out": 20, "epochs": 20, "codes": 200} if flags.small else {}
    main(**sizes, picture=flags.picture)
