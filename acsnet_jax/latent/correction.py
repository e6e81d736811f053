"""Latent correction: invalid masks move towards a valid neighbour's code until delta holds.

Masks are ``[*batch, height, width]``, ``Bool`` or soft predictions in [0, 1]; a pixel at 0.5 or
above is in the mask. Everything runs on the device in static shapes. No step takes more than
``block`` masks at once, and only masks that need a step take part in it.
"""

import functools
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from acsnet_jax.latent.neighbours import nearest
from acsnet_jax.latent.population import unpack_masks
from acsnet_jax.types import Correction, InputError, Population

# Stages of a mask: as given; on the grid towards a neighbour; between two grid points; and the
# neighbour's own mask. The last three are run for each neighbour. All go through one loop, so that
# networks and delta are compiled once.
_GIVEN, _GRID, _BETWEEN, _OWN = range(4)
_NEVER = np.iinfo(np.int32).max
_PROBES = (32, 64)  # blocks whose memory tells that of others


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

    Runs as one compiled program, also inside an outer ``jit``. Callables are compared by identity:
    pass the same ones again, or each call compiles anew.

    Args:
        masks: predictions of one shape; the encoder sees them as float32, soft or not.
        encode: ``Float32[n, height, width]`` to codes ``[n, latent]``.
        decode: codes to masks ``Bool[n, height, width]``.
        is_valid: masks to ``Bool[n]``; the same delta that drew the population.
        population: codes that decode to valid masks. Bare codes ``[size, latent]`` do as well; then
            a neighbour's mask is decoded anew.
        alphas: the grid, ascending in [0, 1], such as ``jnp.linspace(0, 1, 64)``.
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
    masks = jnp.asarray(masks)
    *batch, height, width = masks.shape
    flat = masks.reshape(-1, height, width)
    if not isinstance(population, Population):
        population = jnp.asarray(population)
    result = _correct(
        flat,
        population,
        jnp.asarray(alphas, jnp.float32),
        encode=encode,
        decode=decode,
        is_valid=is_valid,
        failures=failures,
        scope=scope,
        k=k,
        refine=refine,
        block=min(block, max(1, len(flat) * (len(alphas) + 1))),
    )
    return jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), result)


def block_within(limit_bytes: int, decode: Callable, is_valid: Callable, latent: int) -> int:
    """The largest ``block`` of `correct` whose decoding and checking stay within a memory limit.

    Compiles both for two small blocks and reads off what the compiler sets aside for each.

    Args:
        limit_bytes: of the arrays that live while one block is decoded and checked.
        decode: codes to masks.
        is_valid: masks to delta.
        latent: dimension of the codes.

    Returns:
        A power of two, at most 2^20.

    Raises:
        InputError: not even one mask fits, or the device does not tell its memory use.
    """

    def needs(count):
        codes = jax.ShapeDtypeStruct((count, latent), jnp.float32)
        program = jax.jit(lambda z: is_valid(decode(z))).lower(codes).compile()
        memory = program.memory_analysis()
        if memory is None:
            raise InputError("this device does not tell its memory use: set block instead")
        return memory.temp_size_in_bytes

    few, many = _PROBES
    each = max((needs(many) - needs(few)) / (many - few), 1.0)
    fixed = needs(few) - few * each
    if fixed + each > limit_bytes:
        raise InputError(
            f"decoding and checking one mask takes {math.ceil((fixed + each) / 2**20)} MiB: "
            f"allow more than {limit_bytes // 2**20}"
        )
    fitting = int((limit_bytes - fixed) / each)
    return 1 << min(fitting.bit_length() - 1, 20)


@functools.partial(
    jax.jit,
    static_argnames=("encode", "decode", "is_valid", "failures", "scope", "k", "refine", "block"),
)
def _correct(
    masks, population, alphas, *, encode, decode, is_valid, failures, scope, k, refine, block
):
    n, height, width = masks.shape
    row_block = max(1, min(block, n))
    stored = isinstance(population, Population)
    codes = population.codes if stored else population
    grid = jnp.pad(alphas.astype(codes.dtype), (1, 0))  # alpha = 0 comes first
    sizes = jnp.asarray([1, len(grid), refine - 1, 1], jnp.int32)  # points a stage
    given = masks if masks.dtype == bool else masks >= 0.5
    empty = ~jnp.any(given, axis=(1, 2))

    def is_needy(state):
        return ~empty if scope == "all" else ~empty & ~state.valid

    def look_up(state):
        needy = is_needy(state)

        def neighbours(mask):
            code = encode(mask.astype(jnp.float32))
            return code, *nearest(code, codes, k)

        start = (state.code, state.neighbour, state.distance)
        found = _map_rows(neighbours, (masks,), needy, start, row_block)
        return state._replace(code=found[0], neighbour=found[1], distance=found[2])

    def render(state, stage, rank, row, index):
        neighbour = _take(state.neighbour, row)[:, rank]

        def decoded():
            start, target = _take(state.code, row), _take(codes, neighbour)
            alpha = _alpha(state, stage, row, index, grid, refine)[:, None]
            # Written out, so that alpha = 1 is the neighbour to the last bit.
            return decode(jnp.where(alpha == 1, target, start + alpha * (target - start)))

        def as_is():
            mask = _take(given, row)
            if not stored:
                return mask
            own = unpack_masks(_take(population.masks, neighbour))
            return jnp.where(stage == _OWN, own, mask)

        decodes = (stage != _GIVEN) & ~((stage == _OWN) & stored)
        return jax.lax.cond(decodes, decoded, as_is)

    def run(number, state):
        stage = jnp.where(number == 0, _GIVEN, 1 + (number - 1) % 3)
        rank = jnp.maximum(number - 1, 0) // 3
        state = jax.lax.cond(number == 1, look_up, lambda state: state, state)
        searching = is_needy(state) & ~state.straight
        chosen = jnp.stack(
            [~empty, searching, state.upper > state.lower, searching & jnp.isnan(state.upper)]
        )[stage]

        def passes(row, index):
            mask = render(state, stage, rank, row, index)
            return is_valid(mask), mask

        size = sizes[stage]
        first, candidate = _first_passing(passes, chosen, size, state.candidate, block)
        alpha = _alpha(state, stage, jnp.arange(n, dtype=jnp.int32), first, grid, refine)
        trial = _Trial(rank, chosen, first < size, first, alpha)
        state = state._replace(candidate=candidate)
        return jax.lax.switch(
            stage,
            (
                lambda state: state._replace(valid=trial.found),
                lambda state: _after_grid(state, trial, grid),
                lambda state: state._replace(upper=jnp.where(trial.found, alpha, state.upper)),
                lambda state: _after_own(state, trial, given),
            ),
            state,
        )

    state = _State(
        valid=jnp.zeros(n, bool),
        code=jnp.zeros((n, codes.shape[1]), codes.dtype),
        neighbour=jnp.zeros((n, k), jnp.int32),
        distance=jnp.full((n, k), jnp.nan, codes.dtype),
        straight=jnp.zeros(n, bool),
        lower=jnp.zeros(n, codes.dtype),
        upper=jnp.full(n, jnp.nan, codes.dtype),
        candidate=jnp.zeros((n, height, width), bool),
        mask=jnp.zeros((n, height, width), bool),
        alpha=jnp.ones(n, codes.dtype),
        rank=jnp.zeros(n, jnp.int32),
        changed=jnp.full(n, _NEVER, jnp.int32),
    )
    state = jax.lax.fori_loop(0, 1 + 3 * k, run, state)
    needy = is_needy(state)
    searched = needy & ~state.straight
    used = (jnp.arange(n, dtype=jnp.int32), state.rank)
    result = jnp.where(needy[:, None, None], state.mask, given)
    return Correction(
        mask=result,
        alpha=jnp.where(needy, state.alpha, 0),
        neighbour=jnp.where(searched, state.neighbour[used], -1),
        distance=jnp.where(searched, state.distance[used], jnp.nan),
        valid_before=state.valid,
        failed_before=_failed(failures, given, ~state.valid, row_block),
        pixels_changed=_changed(result, given),
        empty=empty,
    )


class _State(NamedTuple):
    """What is known of each mask.

    Attributes:
        valid: whether the given mask satisfies delta.
        code: its code.
        neighbour: its k nearest of the population.
        distance: how far they are.
        straight: whether its code decodes to a valid mask, so that it needs no neighbour.
        lower: on the line to the neighbour at hand, the grid point below ``upper``.
        upper: the smallest alpha known to pass there; NaN before there is one.
        candidate: the mask at ``upper``, the array that was checked.
        mask: the best candidate so far.
        alpha: its step; 1 before there is one.
        rank: which neighbour it belongs to.
        changed: pixels by which it differs from the given mask.
    """

    valid: Array
    code: Array
    neighbour: Array
    distance: Array
    straight: Array
    lower: Array
    upper: Array
    candidate: Array
    mask: Array
    alpha: Array
    rank: Array
    changed: Array


class _Trial(NamedTuple):
    """What one stage found: which rows took part, and the first point at which each passed."""

    rank: Array
    chosen: Array
    found: Array
    first: Array
    alpha: Array


def _alpha(state, stage, row, index, grid, refine):
    lower, upper = _take(state.lower, row), _take(state.upper, row)
    between = lower + (index + 1).astype(lower.dtype) * ((upper - lower) / refine)
    on_line = jnp.where(stage == _GRID, _take(grid, index), between)
    return jnp.where(stage == _OWN, 1, on_line)


def _after_grid(state, trial, grid):
    return state._replace(
        straight=state.straight | (trial.found & (trial.first == 0)),
        lower=_take(grid, jnp.maximum(trial.first - 1, 0)),
        upper=jnp.where(trial.found, trial.alpha, jnp.nan),
    )


def _after_own(state, trial, given):
    """The neighbour at hand is done with: keeps its mask where it changes the least so far."""
    alpha = jnp.where(trial.found, 1, state.upper)
    changed = _changed(state.candidate, given)
    better = ~jnp.isnan(alpha) & (changed < state.changed)
    return state._replace(
        mask=jnp.where(better[:, None, None], state.candidate, state.mask),
        alpha=jnp.where(better, alpha, state.alpha),
        rank=jnp.where(better, trial.rank, state.rank),
        changed=jnp.where(better, changed, state.changed),
    )


def _first_passing(passes, chosen, size, masks, block):
    """First index below ``size`` at which each chosen row passes, and the mask that passed.

    Each round spreads ``block`` trials over the rows still open, the same number of successive
    indices each. So every index below the result is tried, few beyond it are, a few rows are tried
    at all indices at once, and blocks are full while many rows are open.

    Args:
        passes: (row, index) of each trial to (whether it passes, its mask).
        chosen: rows to try.
        size: number of indices.
        masks: one a row, overwritten where a row passes.
        block: trials a round.

    Returns:
        The first index, beyond ``size`` where there is none, and the masks.
    """
    n = len(chosen)
    slots = jnp.arange(block, dtype=jnp.int32)

    def is_open(state):
        first, tried, _ = state
        return chosen & (first == _NEVER) & (tried < size)

    def step(state):
        first, tried, masks = state
        still_open = is_open(state)
        share = jnp.maximum(block // jnp.sum(still_open, dtype=jnp.int32), 1)
        row = _take(_places(still_open, block), slots // share)
        index = _take(tried, row) + slots % share
        live = (row < n) & (index < size)
        passing, tried_masks = passes(row, index)
        passing = passing & live
        first = first.at[row].min(jnp.where(passing, index, _NEVER), mode="drop")
        tried = tried.at[row].max(jnp.where(live, index + 1, 0), mode="drop")
        winner = passing & (index == _take(first, row))
        return first, tried, _put(masks, jnp.where(winner, row, n), tried_masks)

    start = (jnp.full(n, _NEVER, jnp.int32), jnp.zeros(n, jnp.int32), masks)
    first, _, masks = jax.lax.while_loop(lambda state: jnp.any(is_open(state)), step, start)
    return first, masks


def _failed(failures, given, chosen, block):
    n, height, width = given.shape
    if failures is None:
        return jnp.zeros((n, 0), bool)
    shape = jax.eval_shape(failures, jax.ShapeDtypeStruct((block, height, width), bool)).shape
    return _map_rows(failures, (given,), chosen, jnp.zeros((n, shape[1]), bool), block)


def _map_rows(function, inputs, chosen, start, block):
    """Applies a function to the chosen rows of the inputs, ``block`` at a time, and to no others.

    Rows not chosen keep ``start``. The last block is filled up with row n, which reads some row
    and writes none.
    """
    n = len(chosen)
    order = _places(chosen, -(-n // block) * block)
    blocks = (jnp.sum(chosen, dtype=jnp.int32) + block - 1) // block

    def body(number, results):
        rows = jax.lax.dynamic_slice_in_dim(order, number * block, block)
        found = function(*jax.tree.map(lambda values: _take(values, rows), inputs))
        return jax.tree.map(lambda values, new: _put(values, rows, new), results, found)

    return jax.lax.fori_loop(0, blocks, body, start)


def _places(flags, size):
    """Indices of the True entries, then ``len(flags)``, cut or filled to ``size``."""
    n = len(flags)
    order = jnp.sort(jnp.where(flags, jnp.arange(n, dtype=jnp.int32), n))
    return jnp.pad(order[:size], (0, max(size - n, 0)), constant_values=n)


def _take(values, rows):
    return values.at[rows].get(mode="clip")


def _put(values, rows, new):
    return values.at[rows].set(new, mode="drop")


def _changed(masks, others):
    return jnp.sum(masks ^ others, axis=(1, 2), dtype=jnp.int32)


def _check_options(alphas, scope, k, refine, block):
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
