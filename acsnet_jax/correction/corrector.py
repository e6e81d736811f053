"""Stage 3 as an object: what corrects masks of any scan, on any grid (paper, Stage 3).

A `Corrector` is callables and arrays; nothing here knows how its networks were made.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

from jax.tree_util import Partial

from acsnet_jax import anatomy, latent
from acsnet_jax.correction.check import as_leaves
from acsnet_jax.types import Population, Spacing, check_least


@dataclasses.dataclass(frozen=True)
class CorrectionOptions:
    """How masks are corrected; see `acsnet_jax.latent.correct`.

    Attributes:
        scope: "invalid" keeps a mask that satisfies delta; "all" corrects every one.
        alphas: number of grid points of the search.
        neighbours: number of neighbours to try; the least change wins.
        refine: steps between the last failing and the first passing grid point.
        memory_mb: what a block of masks may take while it is decoded and checked; 0 for blocks of
            64 masks on a CPU and of 1024 on an accelerator.
        cleaned_pose: whether a mask is also tried without its islands and extra holes; without it
            the latent space has to do all.
    """

    scope: Literal["invalid", "all"] = "invalid"
    alphas: int = 64
    neighbours: int = 1
    refine: int = 16
    memory_mb: int = 0
    cleaned_pose: bool = True

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that no search can have."""
        check_least(self, "correction.", alphas=2, neighbours=1, refine=1, memory_mb=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Corrector:
    """A trained stage 3, as `acsnet_jax.bundle.load_corrector` gives it.

    Attributes:
        encode: masks ``[n, size, size]`` to codes; a pytree, or a plain function.
        decode: codes to masks; a pytree, or a plain function.
        population: valid codes with their masks.
        mixture: density of the codes of expert masks.
        thresholds: of delta.
        size: height and width of the autoencoder's masks.
        spacing_mm: in-plane spacing at which it was trained; None for each scan's own.
        options: how masks are corrected.
    """

    encode: Callable
    decode: Callable
    population: Population
    mixture: latent.Mixture
    thresholds: anatomy.Thresholds
    size: int
    spacing_mm: float | None
    options: CorrectionOptions = CorrectionOptions()

    def delta(self, spacing_mm: Spacing) -> tuple[Partial, Partial]:
        """`is_valid` and `failures` at one spacing, with thresholds and spacing as leaves."""
        given = {"spacing_mm": as_leaves(spacing_mm), "thresholds": as_leaves(self.thresholds)}
        return Partial(anatomy.is_valid, **given), Partial(anatomy.failures, **given)

    @functools.cached_property
    def block(self) -> int | None:
        """Masks taken at once under ``options.memory_mb``; None for the default."""
        if not self.options.memory_mb:
            return None
        is_valid, _ = self.delta((1.0, 1.0))  # memory does not depend on the spacing
        codes = self.population.codes.shape[1]
        return latent.block_within(self.options.memory_mb * 2**20, self.decode, is_valid, codes)
