"""Latent correction: invalid masks move towards a valid neighbour's code until delta holds.

Masks are ``[*batch, height, width]``, ``Bool`` or soft predictions in [0, 1]; a pixel at 0.5 or
above is in the mask. Everything runs on the device in static shapes. No step takes more than
``block`` masks at once, and only masks that need a step take part in it.

A mask passes through stages: as given; then, for each neighbour, the grid of alphas on the line to
it, the points between the last failing and the first passing alpha, and the neighbour's own mask.
All stages go through one loop, so that networks and delta are compiled once.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from acsnet_jax.latent.callables import as_argument
from acsnet_jax.latent.neighbours import nearest
from acsnet_jax.latent.population import unpack_masks
from acsnet_jax.latent.search import NEVER, first_passing, map_rows, take
from acsnet_jax.types import Correction, InputError, Population

_GIVEN, _GRID, _BETWEEN, _OWN = range(4)


def correct(
    masks: Bool[Array | np.ndarray, "*batch height width"]
    | Float[Array | np.ndarray, "*batch height width"],
    encode: Callable,
    decode: Callable,
    is_valid: Callable,
    population: Population | Float[Array | np.ndarray, "size latent"],
    alphas: Float[Array | np.ndarray, "alphas"],
    *,
    failures: Callable | None = None,
    scope: Literal["invalid", "all"] = "invalid",
    k: int = 1,
    refine: int = 16,
    block: int | None = None,
) -> Correction:
    """Corrects masks so that each satisfies delta.

    With z = encode(mask): where delta(decode(z)) holds, decode(z) is the result and alpha is 0.
    Elsewhere z_NN is the nearest code of the population, and alpha the smallest of the grid with
    delta(decode(z + alpha (z_NN - z))), refined once between the last failing and the first passing
    grid point. Delta need not be monotonic along the line, so every smaller grid point is tried.
    The array that passed is the one returned, never decoded again. If nothing on the grid passes,
    the neighbour's stored mask is returned with alpha 1. Empty masks stay empty.

    Runs as one compiled program, also inside an outer ``jit``. Callables that are pytrees, such as
    `acsnet_jax.models.Encode` or a `jax.tree_util.Partial`, are arguments of that program: other
    weights, thresholds or spacings of the same shapes run it again as it is. A plain function is
    compiled in and compared by identity: pass the same one again, or each call compiles anew.

    Args:
        masks: predictions of one shape; the encoder sees them as float32, soft or not.
        encode: ``Float32[n, height, width]`` to codes ``[n, latent]``.
        decode: codes to masks ``Bool[n, height, width]``.
        is_valid: masks to ``Bool[n]``; the same delta that drew the population.
        population: codes that decode to valid masks. Bare codes ``[size, latent]`` do as well; then
            a neighbour's mask is decoded anew.
        alphas: the grid, ascending in [0, 1], such as ``np.linspace(0, 1, 64)``.
        failures: masks to ``Bool[n, criteria]``, for ``Correction.failed_before``.
        scope: "invalid" keeps masks that satisfy delta untouched; "all" passes these as well
            through the autoencoder, as the paper reads.
        k: neighbours to try; the corrected mask that changes the fewest pixels wins.
        refine: number of steps between the last failing and the first passing grid point; 1 turns
            the refinement off.
        block: masks encoded, decoded or checked at once; bounds the memory. None: 64 on a CPU,
            1024 on an accelerator.

    Returns:
        The masks with what was done to each. Should even the neighbour's mask fail, as in a
        population drawn with another delta, the mask is empty though ``Correction.empty`` is False.

    Raises:
        InputError: the grid is empty, not ascending or outside [0, 1]; an option out of range.

    References:
        Paper, Methods, "Stage 3"; the sign of alpha as in figure 1D, towards the neighbour.
    """
    if block is None:
        block = 64 if jax.default_backend() == "cpu" else 1024
    _check_options(alphas, scope, k, refine, block)
    count = int(np.prod(masks.shape[:-2]))
    networks = _Networks(*(as_argument(call) for call in (encode, decode, is_valid, failures)))
    options = _Options(scope, k, refine, min(block, max(1, count * (len(alphas) + 1))))
    if not isinstance(alphas, Tracer):
        alphas = np.asarray(alphas, np.float32)
    if count == 0:
        *batch, height, width = masks.shape
        one = _correct(
            np.zeros((1, height, width), bool), population, alphas, networks, options=options
        )
        return jax.tree.map(lambda leaf: leaf[:0].reshape(*batch, *leaf.shape[1:]), one)
    return _correct(masks, population, alphas, networks, options=options)


class _Networks(NamedTuple):
    """The callables as pytrees; ``failures`` may be None."""

    encode: Any
    decode: Any
    is_valid: Any
    failures: Any


class _Options(NamedTuple):
    """What the compiled program depends on; see `correct`."""

    scope: str
    k: int
    refine: int
    block: int


class _Problem(NamedTuple):
    """What does not change from stage to stage.

    Attributes:
        soft: the masks as they came, for the encoder.
        given: the masks.
        empty: which of them are empty.
        codes: of the population.
        stored: its packed masks; None if only its codes are known.
        grid: alphas, 0 first.
        networks: encoder, decoder and delta.
        options: static.
    """

    soft: Array
    given: Bool[Array, "n height width"]
    empty: Bool[Array, "n"]
    codes: Float[Array, "size latent"]
    stored: Array | None
    grid: Float[Array, "points"]
    networks: _Networks
    options: _Options


class _State(NamedTuple):
    """What is known of each mask.

    Attributes:
        valid: whether the given mask satisfies delta.
        code: its code.
        neighbour: its k nearest of the population.
        distance: how far they are.
        redecoded: whether its own code decodes to a valid mask, so that it needs no neighbour.
        lower: on the line to the neighbour at hand, the grid point below ``upper``.
        upper: the smallest alpha known to pass there; NaN before there is one.
        candidate: the mask at ``upper``, the array that was checked.
        mask: the best candidate so far.
        alpha: its step; 1 before there is one.
        rank: which neighbour it belongs to.
        changed: pixels by which it differs from the given mask.
    """

    valid: Bool[Array, "n"]
    code: Float[Array, "n latent"]
    neighbour: Int[Array, "n k"]
    distance: Float[Array, "n k"]
    redecoded: Bool[Array, "n"]
    lower: Float[Array, "n"]
    upper: Float[Array, "n"]
    candidate: Bool[Array, "n height width"]
    mask: Bool[Array, "n height width"]
    alpha: Float[Array, "n"]
    rank: Int[Array, "n"]
    changed: Int[Array, "n"]


class _Trial(NamedTuple):
    """What one stage found: whether, at which point and alpha each mask passed first."""

    rank: Int[Array, ""]
    found: Bool[Array, "n"]
    first: Int[Array, "n"]
    alpha: Float[Array, "n"]


def _correct_batch(masks, population, alphas, networks, *, options) -> Correction:
    """`correct` as one program."""
    *batch, height, width = masks.shape
    soft = jnp.asarray(masks).reshape(-1, height, width)
    given = soft if soft.dtype == bool else soft >= 0.5
    stored = isinstance(population, Population)
    codes = jnp.asarray(population.codes if stored else population)
    problem = _Problem(
        soft=soft,
        given=given,
        empty=~jnp.any(given, axis=(1, 2)),
        codes=codes,
        stored=population.masks if stored else None,
        grid=jnp.pad(alphas.astype(codes.dtype), (1, 0)),
        networks=networks,
        options=options,
    )

    def stage(number, state):
        return _run_stage(problem, number, state)

    state = jax.lax.fori_loop(0, 1 + 3 * options.k, stage, _start(problem))
    result = _result(problem, state)
    return jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), result)


_correct = jax.jit(_correct_batch, static_argnames="options")


def _start(problem: _Problem) -> _State:
    n, k, dtype = len(problem.given), problem.options.k, problem.codes.dtype
    return _State(
        valid=jnp.zeros(n, bool),
        code=jnp.zeros((n, problem.codes.shape[1]), dtype),
        neighbour=jnp.zeros((n, k), jnp.int32),
        distance=jnp.full((n, k), jnp.nan, dtype),
        redecoded=jnp.zeros(n, bool),
        lower=jnp.zeros(n, dtype),
        upper=jnp.full(n, jnp.nan, dtype),
        candidate=jnp.zeros(problem.given.shape, bool),
        mask=jnp.zeros(problem.given.shape, bool),
        alpha=jnp.ones(n, dtype),
        rank=jnp.zeros(n, jnp.int32),
        changed=jnp.full(n, NEVER, jnp.int32),
    )


def _run_stage(problem: _Problem, number: Int[Array, ""], state: _State) -> _State:
    """Stage ``number``: 0 looks at the given masks, then three stages for each neighbour."""
    stage = jnp.where(number == 0, _GIVEN, 1 + (number - 1) % 3)
    rank = jnp.maximum(number - 1, 0) // 3
    state = jax.lax.cond(
        number == 1, lambda state: _look_up(problem, state), lambda state: state, state
    )

    def passes(row, point):
        mask = _render(problem, state, stage, rank, row, point)
        return problem.networks.is_valid(mask), mask

    n = len(problem.given)
    size = jnp.asarray([1, len(problem.grid), problem.options.refine - 1, 1], jnp.int32)[stage]
    first, candidate = first_passing(
        passes,
        _takes_part(problem, state)[stage],
        size,
        state.candidate,
        block=problem.options.block,
    )
    alpha = _alpha(problem, state, stage, jnp.arange(n, dtype=jnp.int32), first)
    trial = _Trial(rank, first < size, first, alpha)
    after = (_after_given, _after_grid, _after_between, _after_own)
    return jax.lax.switch(
        stage,
        [lambda state, step=step: step(problem, trial, state) for step in after],
        state._replace(candidate=candidate),
    )


def _to_correct(problem: _Problem, state: _State) -> Bool[Array, "n"]:
    """Masks that the correction has to do with, once it is known which are valid."""
    if problem.options.scope == "all":
        return ~problem.empty
    return ~problem.empty & ~state.valid


def _takes_part(problem: _Problem, state: _State) -> Bool[Array, "stages n"]:
    """Which masks take part in each stage."""
    searching = _to_correct(problem, state) & ~state.redecoded
    return jnp.stack(
        [
            ~problem.empty,
            searching,
            state.upper > state.lower,
            searching & jnp.isnan(state.upper),
        ]
    )


def _look_up(problem: _Problem, state: _State) -> _State:
    """Codes of the masks to correct, and their nearest neighbours."""

    def neighbours(mask):
        code = problem.networks.encode(mask.astype(jnp.float32))
        return code, *nearest(code, problem.codes, problem.options.k)

    start = (state.code, state.neighbour, state.distance)
    block = _row_block(problem)
    found = map_rows(neighbours, (problem.soft,), _to_correct(problem, state), start, block=block)
    return state._replace(code=found[0], neighbour=found[1], distance=found[2])


def _render(
    problem: _Problem,
    state: _State,
    stage: Int[Array, ""],
    rank: Int[Array, ""],
    row: Int[Array, "block"],
    point: Int[Array, "block"],
) -> Bool[Array, "block height width"]:
    """The masks that a stage tries: given, on the line to a neighbour, or the neighbour's own."""
    neighbour = take(state.neighbour, row)[:, rank]

    def decoded():
        start, target = take(state.code, row), take(problem.codes, neighbour)
        alpha = _alpha(problem, state, stage, row, point)[:, None]
        # Written out, so that alpha = 1 is the neighbour to the last bit.
        code = jnp.where(alpha == 1, target, start + alpha * (target - start))
        return problem.networks.decode(code)

    def as_is():
        mask = take(problem.given, row)
        if problem.stored is None:
            return mask
        own = unpack_masks(take(problem.stored, neighbour))
        return jnp.where(stage == _OWN, own, mask)

    decodes = (stage != _GIVEN) & ~((stage == _OWN) & (problem.stored is not None))
    return jax.lax.cond(decodes, decoded, as_is)


def _alpha(
    problem: _Problem,
    state: _State,
    stage: Int[Array, ""],
    row: Int[Array, "rows"],
    point: Int[Array, "rows"],
) -> Float[Array, "rows"]:
    """The step of a point of a stage's grid."""
    lower, upper = take(state.lower, row), take(state.upper, row)
    step = (upper - lower) / problem.options.refine
    between = lower + (point + 1).astype(lower.dtype) * step
    on_line = jnp.where(stage == _GRID, take(problem.grid, point), between)
    return jnp.where(stage == _OWN, 1, on_line)


def _after_given(problem: _Problem, trial: _Trial, state: _State) -> _State:
    del problem
    return state._replace(valid=trial.found)


def _after_grid(problem: _Problem, trial: _Trial, state: _State) -> _State:
    return state._replace(
        redecoded=state.redecoded | (trial.found & (trial.first == 0)),
        lower=take(problem.grid, jnp.maximum(trial.first - 1, 0)),
        upper=jnp.where(trial.found, trial.alpha, jnp.nan),
    )


def _after_between(problem: _Problem, trial: _Trial, state: _State) -> _State:
    del problem
    return state._replace(upper=jnp.where(trial.found, trial.alpha, state.upper))


def _after_own(problem: _Problem, trial: _Trial, state: _State) -> _State:
    """The neighbour at hand is done with: keeps its mask where it changes the least so far."""
    alpha = jnp.where(trial.found, 1, state.upper)
    changed = _changed(state.candidate, problem.given)
    better = ~jnp.isnan(alpha) & (changed < state.changed)
    return state._replace(
        mask=jnp.where(better[:, None, None], state.candidate, state.mask),
        alpha=jnp.where(better, alpha, state.alpha),
        rank=jnp.where(better, trial.rank, state.rank),
        changed=jnp.where(better, changed, state.changed),
    )


def _result(problem: _Problem, state: _State) -> Correction:
    n = len(problem.given)
    corrected = _to_correct(problem, state)
    searched = corrected & ~state.redecoded
    used = (jnp.arange(n, dtype=jnp.int32), state.rank)
    mask = jnp.where(corrected[:, None, None], state.mask, problem.given)
    return Correction(
        mask=mask,
        alpha=jnp.where(corrected, state.alpha, 0),
        neighbour=jnp.where(searched, state.neighbour[used], -1),
        distance=jnp.where(searched, state.distance[used], jnp.nan),
        valid_before=state.valid,
        failed_before=_failed(problem, ~state.valid),
        pixels_changed=_changed(mask, problem.given),
        empty=problem.empty,
    )


def _failed(problem: _Problem, chosen: Bool[Array, "n"]) -> Bool[Array, "n criteria"]:
    """Which criteria the chosen masks fail."""
    n, height, width = problem.given.shape
    failures, block = problem.networks.failures, _row_block(problem)
    if failures is None:
        return jnp.zeros((n, 0), bool)
    shape = jax.eval_shape(failures, jax.ShapeDtypeStruct((block, height, width), bool)).shape
    start = jnp.zeros((n, shape[1]), bool)
    return map_rows(failures, (problem.given,), chosen, start, block=block)


def _row_block(problem: _Problem) -> int:
    """Masks at once where each takes part once."""
    return max(1, min(problem.options.block, len(problem.given)))


def _changed(
    masks: Bool[Array, "n height width"], others: Bool[Array, "n height width"]
) -> Int[Array, "n"]:
    return jnp.sum(masks ^ others, axis=(1, 2), dtype=jnp.int32)


def _check_options(alphas, scope, k, refine, block) -> None:
    if scope not in ("invalid", "all"):
        raise InputError(f'scope is "{scope}": choose "invalid" or "all"')
    for name, value in (("k", k), ("refine", refine), ("block", block)):
        if value < 1:
            raise InputError(f"{name} is {value}: choose at least 1")
    if isinstance(alphas, Tracer):
        return
    grid = np.asarray(alphas)
    if not grid.size or grid[0] < 0 or grid[-1] > 1 or np.any(np.diff(grid) <= 0):
        raise InputError("alphas must ascend within [0, 1], such as linspace(0, 1, 64)")
