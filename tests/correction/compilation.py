"""Corrects stacks of many spacings and sizes with two bundles, and counts what is compiled.

Prints those counts, and how many programs the persistent cache gave and lacked.
"""

import collections
import json

import jax
import jax.numpy as jnp
import numpy as np

from acsnet_jax import anatomy, latent
from acsnet_jax.app import use_compilation_cache
from acsnet_jax.correction import Corrector, correct_native
from acsnet_jax.models import Autoencoder, Decode, Encode
from acsnet_jax.preprocess.grid import grid_over
from acsnet_jax.types import Population

SIZE = 32
THRESHOLDS = anatomy.Thresholds(0.7, 0.7, 6.0, 2.0, 30.0)
MODEL = Autoencoder(size=SIZE, latent=4, filters=(4, 4))


def rings(count, size, *, middle=(0.0, 0.0)):
    """Rings of a wall of five pixels, of many radii; the first has an island."""
    rows, columns = np.indices((size[0], size[1])) - (np.array(size)[:, None, None] - 1) / 2
    radius = np.hypot(rows - middle[0], columns - middle[1])
    outer = np.linspace(9, 12, count)[:, None, None]
    return (radius <= outer) & (radius > outer - 5)


def make_corrector(seed):
    """A stage 3 of random weights: what it moves ends at the masks of its population."""
    variables = jax.jit(MODEL.init)(jax.random.key(seed), jnp.zeros((1, SIZE, SIZE, 1)))
    codes = np.random.default_rng(seed).normal(size=(40, 4)).astype(np.float32)
    masks = np.packbits(rings(40, (SIZE, SIZE)), axis=-1)
    return Corrector(
        encode=Encode(MODEL, variables),
        decode=Decode(MODEL, variables),
        population=Population(jnp.asarray(codes), jnp.asarray(masks)),
        mixture=latent.fit_mixture(codes, 1, seed=0),
        thresholds=THRESHOLDS._replace(wall_max_mm=30.0 + seed),
        size=SIZE,
        spacing_mm=None,
    )


def correct(corrector, number):
    """Corrects one stack of its own spacing, number of slices and picture size."""
    spacing = (1.2 + 0.03 * number, 1.2 + 0.03 * number)
    size = (60 + 3 * number, 80 + number)
    masks = rings(5 + number, size, middle=(4.0, -3.0))
    masks[0, :4, :4] = masks[1, 20:30] = True
    found = correct_native(masks, grid_over(size, spacing, None), corrector)
    assert found.valid_after.any()


def compilations():
    """Number of programs that each part of the work makes the compiler build, or fetch."""
    built = [0]

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        del duration_secs
        built[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    one, other = make_corrector(1), make_corrector(2)
    counts = {}
    for part, work in (
        ("first scan", lambda: correct(one, 0)),
        ("nineteen other scans", lambda: [correct(one, number) for number in range(1, 20)]),
        ("another bundle", lambda: [correct(other, number) for number in range(20)]),
    ):
        before = built[0]
        work()
        counts[part] = built[0] - before
    jax.monitoring.unregister_event_duration_listener(listen)
    return counts


def main():
    use_compilation_cache()
    counts = collections.Counter()
    jax.monitoring.register_event_listener(lambda event, **_: counts.update([event]))
    built = compilations()
    hit, missed = (counts[f"/jax/compilation_cache/cache_{what}"] for what in ("hits", "misses"))
    print(json.dumps({**built, "hit": hit, "missed": missed}))


if __name__ == "__main__":
    main()
