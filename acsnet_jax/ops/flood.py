"""Flood filling to a fixed point, 32 masks a word (see `bits`, layout *lanes*).

A sweep carries the fill down, up, right and left through the whole grid; simple shapes need one
sweep, a spiral as many as it has turns. The loop ends when no pixel of any mask changes.
"""

import jax.numpy as jnp
from jax import lax

from acsnet_jax.ops.bits import Lanes


def flood(seed: Lanes, domain: Lanes, *, diagonal: bool = False) -> Lanes:
    """All pixels of the domain that connect to a seed within it.

    Args:
        seed: where the fill starts; seeds outside the domain are ignored.
        domain: where it may go.
        diagonal: 8-connected instead of 4-connected.
    """

    def sweep(state):
        fill, _ = state
        fill = _scan(fill, domain, diagonal, reverse=False)
        fill = _scan(fill, domain, diagonal, reverse=True)
        fill, across = jnp.swapaxes(fill, 0, 1), jnp.swapaxes(domain, 0, 1)
        fill = _scan(fill, across, diagonal, reverse=False)
        fill = _scan(fill, across, diagonal, reverse=True)
        fill = jnp.swapaxes(fill, 0, 1)
        return fill, jnp.any((grow(fill, diagonal=diagonal) & domain) != fill)

    return lax.while_loop(lambda state: state[1], sweep, (seed & domain, jnp.array(True)))[0]


def grow(lanes: Lanes, *, diagonal: bool = False) -> Lanes:
    """Dilation by the 4-neighbours, or by the 8-neighbours."""
    across = lanes | _shift(lanes, 1, 1) | _shift(lanes, 1, -1)
    column = across if diagonal else lanes
    return across | _shift(column, 0, 1) | _shift(column, 0, -1)


def outside(mask: Lanes) -> Lanes:
    """The background that 4-connects to the border of the padded grid."""
    border = jnp.zeros_like(mask)
    full = jnp.uint32(0xFFFFFFFF)
    border = border.at[0].set(full).at[-1].set(full).at[:, 0].set(full).at[:, -1].set(full)
    return flood(border, ~mask)


def _scan(fill, domain, diagonal, *, reverse):
    """Carries the fill along axis 0."""

    def step(carry, line):
        here, allowed = line
        if diagonal:
            carry = carry | _shift(carry, 0, 1) | _shift(carry, 0, -1)
        carry = (carry | here) & allowed
        return carry, carry

    return lax.scan(step, jnp.zeros_like(fill[0]), (fill, domain), reverse=reverse)[1]


def _shift(x, axis, by):
    """Moves pixels by one along an axis; background enters."""
    kept = lax.slice_in_dim(x, max(0, -by), x.shape[axis] - max(0, by), axis=axis)
    widths = [(0, 0)] * x.ndim
    widths[axis] = (max(0, by), max(0, -by))
    return jnp.pad(kept, widths)
