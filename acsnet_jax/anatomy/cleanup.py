"""One LV component through the stack (paper, Stage 1: slice- and volume-level checks).

The largest component is not always the heart: on LGE stomach, spleen or the right ventricle can be
larger. So every 8-connected component of every slice is a candidate, and the chain of candidates,
at most one a slice, with the best sum of scores wins: each slice's score weighs probability,
roundness, size and position, each step from slice to slice weighs overlap. The best chain is found
exactly, by dynamic programming. `clean_components` is the simple cleaning of one slice. Host side,
numpy and SciPy.
"""

import dataclasses
import itertools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from skimage.measure import perimeter_crofton

from acsnet_jax.ops.host import component_sizes, fill_holes, label_components, largest_component
from acsnet_jax.types import Spacing


@dataclasses.dataclass(frozen=True)
class CleanupWeights:
    """How much each property of a candidate counts.

    Attributes:
        threshold: probability from which a pixel belongs to a candidate.
        probability: weight of the mean probability inside the candidate, scaled to [0, 1].
        roundness: weight of 4 pi area / perimeter^2, at most 1.
        size: weight of a plausible area, 1 between `area_mm2`'s bounds, falling on either side.
        position: weight of the closeness to the picture's centre, where hearts are planned to lie.
        continuity: weight of the overlap with the next slice's candidate, from -1 to 1.
        bias: subtracted from each candidate, so that a bad one is worse than none.
        area_mm2: smallest and largest plausible area of a slice of the LV.
        reach_mm: distance from the centre at which position counts exp(-1/2).
        max_candidates: largest components kept a slice.
    """

    threshold: float = 0.5
    probability: float = 1.0
    roundness: float = 1.0
    size: float = 1.0
    position: float = 0.5
    continuity: float = 1.5
    bias: float = 2.0
    area_mm2: tuple[float, float] = (150.0, 9000.0)
    reach_mm: float = 60.0
    max_candidates: int = 8


class Candidate(NamedTuple):
    """A component of one slice, holes filled, and its score without continuity."""

    mask: Bool[np.ndarray, "height width"]
    score: float


def one_lv(
    probability: Float32[np.ndarray, "slices height width"],
    spacing_mm: Spacing,
    *,
    weights: CleanupWeights | None = None,
) -> Bool[np.ndarray, "slices height width"]:
    """The LV of each slice: one component without holes, or nothing.

    Args:
        probability: of the LV, in [0, 1], slices in order.
        spacing_mm: (row, column) spacing.
        weights: `CleanupWeights` by default.
    """
    weights = CleanupWeights() if weights is None else weights
    slices = [_candidates(image, spacing_mm, weights) for image in probability]
    result = np.zeros(probability.shape, bool)
    for index, candidate in enumerate(_best_chain(slices, weights)):
        if candidate is not None:
            result[index] = candidate.mask
    return result


def _candidates(
    probability: np.ndarray, spacing_mm: Spacing, weights: CleanupWeights
) -> list[Candidate]:
    """Candidates of one slice, largest first."""
    labels = label_components(probability >= weights.threshold)
    largest = np.argsort(-component_sizes(labels), kind="stable")[: weights.max_candidates] + 1
    found = []
    for value in largest:
        part = labels == value
        mask = fill_holes(part)
        found.append(Candidate(mask, _score(mask, probability[part], spacing_mm, weights)))
    return found


def _score(
    mask: np.ndarray, inside: np.ndarray, spacing_mm: Spacing, weights: CleanupWeights
) -> float:
    """Score of one candidate on its own slice."""
    pixels = mask.sum()
    perimeter = perimeter_crofton(np.pad(mask, 1), directions=4)
    roundness = min(4 * math.pi * pixels / perimeter**2, 1.0)
    area = float(pixels) * spacing_mm[0] * spacing_mm[1]
    low, high = weights.area_mm2
    size = min(area / low, 1.0, high / area)
    rows, columns = np.nonzero(mask)
    offset = math.hypot(
        (rows.mean() - (mask.shape[0] - 1) / 2) * spacing_mm[0],
        (columns.mean() - (mask.shape[1] - 1) / 2) * spacing_mm[1],
    )
    position = math.exp(-0.5 * (offset / weights.reach_mm) ** 2)
    certainty = (float(inside.mean()) - weights.threshold) / (1 - weights.threshold)
    return (
        weights.probability * certainty
        + weights.roundness * roundness
        + weights.size * size
        + weights.position * position
        - weights.bias
    )


def _best_chain(slices: list[list[Candidate]], weights: CleanupWeights) -> list[Candidate | None]:
    """At most one candidate a slice with the greatest total score (Viterbi).

    The state "nothing" has score 0 and keeps the last chosen candidate out of continuity, so that a
    chain pays for a gap only by the continuity that it misses.
    """
    states: list[list[Candidate | None]] = [[None, *candidates] for candidates in slices]
    totals = [_own_score(state) for state in states[0]]
    back: list[list[int]] = []
    for previous, current in itertools.pairwise(states):
        steps = [
            [total + _continuity(a, b, weights) for a, total in zip(previous, totals, strict=True)]
            for b in current
        ]
        back.append([int(np.argmax(step)) for step in steps])
        totals = [max(step) + _own_score(b) for step, b in zip(steps, current, strict=True)]
    choice = int(np.argmax(totals))
    chain = [states[-1][choice]]
    for previous, pointers in zip(reversed(states[:-1]), reversed(back), strict=True):
        choice = pointers[choice]
        chain.append(previous[choice])
    return chain[::-1]


def _own_score(state: Candidate | None) -> float:
    return 0.0 if state is None else state.score


def _continuity(a: Candidate | None, b: Candidate | None, weights: CleanupWeights) -> float:
    """How well two candidates of neighbouring slices overlap, relative to the smaller one."""
    if a is None or b is None:
        return 0.0
    shared = np.count_nonzero(a.mask & b.mask)
    smaller = min(np.count_nonzero(a.mask), np.count_nonzero(b.mask))
    return weights.continuity * (2 * shared / smaller - 1)


def clean_components(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The usual cleaning: the largest 8-connected component, all its holes but the largest filled.

    Ties go to the first in raster order. An empty mask stays empty.
    """
    kept = largest_component(mask)
    filled = fill_holes(kept)
    return filled & ~largest_component(filled & ~kept, connectivity=4)
