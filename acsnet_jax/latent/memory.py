"""How many masks fit: what the compiler sets aside to decode and check a block of them."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from acsnet_jax.types import InputError

_PROBES = (32, 64)  # blocks whose memory tells that of others


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

    def needs(count: int) -> int:
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
