"""The population: latent codes that all decode to valid masks, drawn by rejection sampling.

Masks are ``Bool[n, height, width]``; packed, they are bytes of eight pixels along the width, most
significant bit first.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Key, UInt8, UInt32

from acsnet_jax.latent.callables import as_argument
from acsnet_jax.latent.mixture import Mixture, sample
from acsnet_jax.types import InputError, Population

Accepted = tuple[Float32[np.ndarray, "_ latent"], UInt8[np.ndarray, "_ height packed"]]
"""Codes that one batch of draws accepted, with their packed masks; on the host."""

_TRIAL_BATCHES = 8
_HOPELESS = 0.01


class AcceptanceError(InputError):
    """The decoder makes hardly any valid mask of the mixture's codes.

    Attributes:
        acceptance: share of the codes that were accepted.
    """

    def __init__(self, message: str, *, acceptance: float):
        super().__init__(message)
        self.acceptance = acceptance


def draw_population(
    key: Key[Array, ""] | UInt32[Array, "2"],
    mixture: Mixture,
    decode: Callable,
    is_valid: Callable,
    size: int,
    *,
    batch: int = 1024,
    max_batches: int | None = None,
    earlier: Iterable[Accepted] = (),
    keep: Callable[[int, Accepted], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Population, float]:
    """Draws valid codes by rejection: sample the mixture, decode, keep what satisfies delta.

    The result is a function of the arguments up to ``size``, and of ``batch``: batch number b
    uses ``fold_in(key, b)``. A draw that stopped goes on from what it had accepted (``earlier``)
    and ends with the same population as one that never stopped.

    Args:
        key: random key.
        mixture: density of the codes.
        decode: codes to masks, on a whole batch.
        is_valid: masks to delta, on a whole batch.
        size: number of valid codes wanted.
        batch: codes decoded and checked at once on the device.
        max_batches: give up after so many batches; None: only if fewer than 1% are accepted.
        earlier: what the first batches accepted, one entry a batch, in their order.
        keep: called with the number of each fresh batch and what it accepted; write it down, and
            hand it back as ``earlier`` to go on.
        progress: called with (codes accepted, size) after each batch.

    Returns:
        The first ``size`` accepted codes with their masks, and the share of codes accepted among
        all that were drawn.

    Raises:
        AcceptanceError: acceptance is hopeless.
        InputError: the masks' width is no multiple of 8.

    References:
        Paper, Methods, "Stage 3" (re-sampling scheme).
    """
    if size < 1:
        raise InputError(f"population size is {size}: ask for at least 1")
    earlier = list(earlier)
    fresh = draw_batches(key, mixture, decode, is_valid, batch=batch, first=len(earlier))
    drawn: list[Accepted] = []
    accepted = 0
    for number, found in enumerate(itertools.chain(earlier, fresh)):
        drawn.append(found)
        if keep is not None and number >= len(earlier):
            keep(number, found)
        accepted += len(found[0])
        if progress is not None:
            progress(min(accepted, size), size)
        if accepted >= size:
            break
        _check_acceptance(accepted, size, len(drawn), batch, max_batches)
    codes, masks = (jnp.asarray(np.concatenate(part)[:size]) for part in zip(*drawn, strict=True))
    population = Population(codes=codes, masks=masks)
    return population, accepted / (len(drawn) * batch)


def draw_batches(
    key: Key[Array, ""] | UInt32[Array, "2"],
    mixture: Mixture,
    decode: Callable,
    is_valid: Callable,
    *,
    batch: int = 1024,
    first: int = 0,
) -> Iterator[Accepted]:
    """Yields what each batch accepts, from batch number ``first`` on, without end.

    Write the entries down as they come and hand them to `draw_population` as ``earlier`` to
    resume a long draw.

    Args:
        key: random key; batch b uses ``fold_in(key, b)``.
        mixture: density of the codes.
        decode: codes to masks, on a whole batch.
        is_valid: masks to delta, on a whole batch.
        batch: codes a batch.
        first: number of the first batch.

    Yields:
        The accepted codes and packed masks of one batch, on the host, in the order drawn.
    """
    for number in itertools.count(first):
        drawn = _draw(
            key,
            np.uint32(number),
            mixture,
            as_argument(decode),
            as_argument(is_valid),
            batch=batch,
        )
        codes, masks, valid = jax.device_get(drawn)
        yield codes[valid], masks[valid]


def pack_masks(masks: Bool[Array, "*batch height width"]) -> UInt8[Array, "*batch height packed"]:
    """Packs eight pixels a byte along the width, most significant bit first.

    Raises:
        InputError: the width is no multiple of 8.
    """
    if masks.shape[-1] % 8:
        raise InputError(f"masks are {masks.shape[-1]} wide: pad the width to a multiple of 8")
    return jnp.packbits(masks, axis=-1)


def unpack_masks(packed: UInt8[Array, "*batch height packed"]) -> Bool[Array, "*batch height _"]:
    """Inverse of `pack_masks`."""
    return jnp.unpackbits(packed, axis=-1).astype(bool)


@functools.partial(jax.jit, static_argnames="batch")
def _draw(key, number, mixture, decode, is_valid, *, batch):
    codes = sample(jax.random.fold_in(key, number), mixture, batch)
    masks = decode(codes)
    return codes, pack_masks(masks), is_valid(masks)


def _check_acceptance(accepted, size, batches, batch, max_batches):
    rate = accepted / (batches * batch)
    hopeless = batches >= _TRIAL_BATCHES and rate < _HOPELESS
    if hopeless or (max_batches is not None and batches >= max_batches):
        raise AcceptanceError(
            f"only {accepted} of {size} valid codes after {batches} batches of {batch} "
            f"(acceptance {rate:.2%}): train the autoencoder longer, fit more mixture components, "
            "or loosen the thresholds",
            acceptance=rate,
        )
