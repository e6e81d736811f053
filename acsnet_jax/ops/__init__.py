"""Exact, batched operators on binary masks, a module each.

- `bits`: masks packed in words: by rows, and one bit a mask (lanes).
- `components`: number of 8-connected objects, and the largest of them.
- `distance`: exact Euclidean distances in mm.
- `flood`: filling to a fixed point, and what is outside.
- `hull`: how deep an outline dents below its convex hull.
- `morphology`: neighbours and contours.
- `polar`: the angular gap of a mask around its centroid.
- `quads`: Euler number, Crofton perimeter and circularity.
- `subset`: work on those masks alone that need it, in static shapes.
"""

from acsnet_jax.ops import bits, components, distance, flood, hull, morphology, polar, quads, subset

__all__ = [
    "bits",
    "components",
    "distance",
    "flood",
    "hull",
    "morphology",
    "polar",
    "quads",
    "subset",
]
