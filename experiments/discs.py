"""The correction is not about hearts: discs, closed and round, from made-up masks to mended ones.

    python -m experiments.discs --config=configs/discs.py --workdir=runs/discs

What a disc is stands here: what is measured, which bounds are fitted to examples, what must hold.
Another shape needs another page like this one.
"""

import functools
from typing import NamedTuple

import jax
from jaxtyping import Array, Bool, Float32, Int32

from acsnet_jax import anatomy, app
from acsnet_jax.anatomy import Criterion
from acsnet_jax.jobs.discs import correct_discs
from acsnet_jax.ops import bits, components, flood, quads

Masks = Bool[Array, "n height width"]


class Measures(NamedTuple):
    """What is measured of each mask; circularity is 4 pi area / perimeter^2, area in pixels."""

    objects: Int32[Array, "n"]
    holes: Int32[Array, "n"]
    circularity: Float32[Array, "n"]
    area: Int32[Array, "n"]


class Bounds(NamedTuple):
    """What is fitted: lower bounds."""

    circularity: float
    area: float


CRITERIA = (
    Criterion("one object", "objects", "equal", 1.0),
    Criterion("no hole", "holes", "equal", 0.0),
    Criterion("round", "circularity", "lower", "circularity"),
    Criterion("large", "area", "lower", "area"),
)


@jax.jit
def measure(masks: Masks) -> Measures:
    """Measures masks; of an empty one the circularity is NaN, which fails."""
    rows = bits.pack_rows(masks)
    lanes = bits.lanes_from_rows(rows, masks.shape[-1] + 2)
    objects = components.object_count(lanes, filled=~flood.outside(lanes))
    holes = objects - quads.euler_number(rows)
    measures = Measures(objects, holes, quads.circularity(rows), bits.count(rows))
    return jax.tree.map(lambda values: values[: len(masks)], measures)  # n was rounded up to 32


def fit(masks: Masks) -> Bounds:
    """The bounds, each of which accepts 99% of the examples."""
    return anatomy.fit_bounds(measure(masks), CRITERIA, Bounds)


def is_valid(masks: Masks, bounds: Bounds) -> Bool[Array, "n"]:
    """Delta: whether masks are discs."""
    return ~anatomy.check(measure(masks), bounds, CRITERIA).any(axis=-1)


if __name__ == "__main__":
    app.run(functools.partial(correct_discs, fit=fit, is_valid=is_valid), "configs/discs.py")
